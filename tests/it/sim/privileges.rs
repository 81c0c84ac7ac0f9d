//! Who may do what, as data: the tables of privileges (XEP-0045 §5.1.1, §5.2.1) and the refusals of
//! §7 to §10, read from the text and not from the server's code. A row says what a request comes to
//! for each role, or, where the cell says so, for each affiliation; where the text leaves several
//! answers open all of them are listed. Rows for what is not advertised are left alone.

use tercet::xmpp::ns;

use super::archive::ARCHIVE;
use super::deeds::{MEMBERS_ONLY, MODERATED, PERSISTENT, SECRET, WHOIS};
use super::rules::{AFFILIATIONS, Outcomes, Standing};

pub const ALLOW_INVITES: &str = "muc#roomconfig_allowinvites";
pub const ALLOW_PM: &str = "muc#roomconfig_allowpm";
pub const CHANGE_SUBJECT: &str = "muc#roomconfig_changesubject";

/// What somebody asks of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    Speak,
    /// A message that is neither to all nor an invitation.
    SpeakNormally,
    ChangeSubject,
    /// To the observer, as all that is to a seat.
    Whisper,
    WhisperToAll,
    WhisperToNobody,
    ChangeNick,
    /// The observer's.
    TakeNick,
    PingOwnSeat,
    DiscoverSeat,
    InviteObserver,
    InviteNobody,
    Decline,
    ReadRole(&'static str),
    ReadAffiliation(&'static str),
    /// The configuration.
    GetForm,
    CancelForm,
    Destroy,
    AskForVoice,
    ModerateNothing,
    ReadReservedNick,
    ReadRegistration,
    QueryArchive,
    ReadCard,
    SetCard,
    ListAssignedHats,
}

/// For each role: none (not in the room), visitor, participant, moderator.
type ByRole = [Outcomes; 4];
/// For each affiliation, as [`AFFILIATIONS`] has them: outcast, none, member, admin, owner.
type ByAffiliation = [Outcomes; 5];

pub struct Row {
    pub request: Request,
    /// The feature without which there is no such request.
    pub needs: Option<&'static str>,
    /// Options of the room for which the row holds.
    given: &'static [(&'static str, &'static str)],
    by_role: ByRole,
    by_affiliation: ByAffiliation,
}

/// Look at the affiliation instead.
const SEE: Outcomes = &["see the affiliation"];
const ANY: Outcomes = &[];
const DONE: Outcomes = &["result"];
/// Done, and nothing is answered.
const SILENCE: Outcomes = &["silence"];
const NO_SERVICE: Outcomes = &["service-unavailable"];
const BAD_REQUEST: Outcomes = &["bad-request"];
const FORBIDDEN: Outcomes = &["forbidden"];
const CONFLICT: Outcomes = &["conflict"];
const NOT_FOUND: Outcomes = &["item-not-found"];
/// §7.4, §7.5; the type is that of XEP-0410 §3.2.
const OUTSIDE: Outcomes = &["not-acceptable cancel"];
/// §7.4 or §17.2, where no section says it of this very request.
const OUTSIDE_OR_FORBIDDEN: Outcomes = &["not-acceptable cancel", "forbidden"];
/// §7.2.18, WIRE 32.
const OUT_OF_STEP: Outcomes = &["out of step"];
/// Whoever asks again and again is told to wait.
const ASKED: Outcomes = &["silence", "policy-violation wait"];
const CARD: Outcomes = &["result", "item-not-found"];
/// Nobody is told where the invited has no session (RFC 6121 §8.5.2.2.1), unless it comes back.
const INVITED: Outcomes = &["silence", "service-unavailable"];
/// XEP-0050 §4.4: of type cancel.
const NO_COMMAND: Outcomes = &["forbidden cancel"];
const OPEN_COMMAND: Outcomes = &["result", "forbidden cancel"];
const OPEN: Outcomes = &["result", "forbidden"];
const MAY_WHISPER: Outcomes = &["silence", "forbidden"];
const NO_MODERATOR: Outcomes = &["forbidden", "forbidden modify", "not-acceptable cancel"];

const NOBODY: ByAffiliation = [ANY; 5];
const ADMINS: ByAffiliation = [FORBIDDEN, FORBIDDEN, FORBIDDEN, DONE, DONE];
const OWNERS: ByAffiliation = [FORBIDDEN, FORBIDDEN, FORBIDDEN, FORBIDDEN, DONE];

const fn role(
    request: Request,
    given: &'static [(&'static str, &'static str)],
    by_role: ByRole,
) -> Row {
    Row { request, needs: None, given, by_role, by_affiliation: NOBODY }
}

const fn affiliation(
    request: Request,
    given: &'static [(&'static str, &'static str)],
    by_affiliation: ByAffiliation,
) -> Row {
    Row { request, needs: None, given, by_role: [SEE; 4], by_affiliation }
}

const fn needs(feature: &'static str, row: Row) -> Row {
    Row { needs: Some(feature), ..row }
}

pub const ROWS: &[Row] = &[
    // §7.4, §17.2
    role(Request::Speak, &[], [OUTSIDE, FORBIDDEN, DONE, DONE]),
    role(
        Request::SpeakNormally,
        &[],
        [&["bad-request", "not-acceptable cancel"], BAD_REQUEST, BAD_REQUEST, BAD_REQUEST],
    ),
    // §8.1
    role(Request::ChangeSubject, &[(CHANGE_SUBJECT, "1")], [OUTSIDE, FORBIDDEN, DONE, DONE]),
    role(Request::ChangeSubject, &[(CHANGE_SUBJECT, "0")], [OUTSIDE, FORBIDDEN, FORBIDDEN, DONE]),
    // §7.5, and muc#roomconfig_allowpm in §16.5.3
    role(Request::Whisper, &[(ALLOW_PM, "anyone")], [OUTSIDE, SILENCE, SILENCE, SILENCE]),
    role(Request::Whisper, &[(ALLOW_PM, "participants")], [OUTSIDE, FORBIDDEN, SILENCE, SILENCE]),
    role(Request::Whisper, &[(ALLOW_PM, "moderators")], [OUTSIDE, FORBIDDEN, FORBIDDEN, SILENCE]),
    role(Request::Whisper, &[(ALLOW_PM, "none")], [OUTSIDE, FORBIDDEN, FORBIDDEN, FORBIDDEN]),
    role(
        Request::WhisperToAll,
        &[],
        [&["bad-request", "not-acceptable cancel"], BAD_REQUEST, BAD_REQUEST, BAD_REQUEST],
    ),
    role(
        Request::WhisperToNobody,
        &[(ALLOW_PM, "anyone")],
        [OUTSIDE, NOT_FOUND, NOT_FOUND, NOT_FOUND],
    ),
    // §7.6
    role(Request::ChangeNick, &[], [OUT_OF_STEP, SILENCE, SILENCE, SILENCE]),
    role(Request::TakeNick, &[], [OUT_OF_STEP, CONFLICT, CONFLICT, CONFLICT]),
    // XEP-0410 §3.2, §3.3
    role(Request::PingOwnSeat, &[], [OUTSIDE, DONE, DONE, DONE]),
    // §6.6
    role(Request::DiscoverSeat, &[], [BAD_REQUEST, ANY, ANY, ANY]),
    // §7.8.2, §9.5
    role(
        Request::InviteObserver,
        &[(MEMBERS_ONLY, "0")],
        [OUTSIDE_OR_FORBIDDEN, INVITED, INVITED, INVITED],
    ),
    role(
        Request::InviteNobody,
        &[(MEMBERS_ONLY, "0")],
        [OUTSIDE_OR_FORBIDDEN, NOT_FOUND, NOT_FOUND, NOT_FOUND],
    ),
    Row {
        request: Request::InviteObserver,
        needs: None,
        given: &[(MEMBERS_ONLY, "1"), (ALLOW_INVITES, "0")],
        by_role: [OUTSIDE_OR_FORBIDDEN, SEE, SEE, SEE],
        by_affiliation: [FORBIDDEN, FORBIDDEN, FORBIDDEN, INVITED, INVITED],
    },
    role(
        Request::InviteObserver,
        &[(MEMBERS_ONLY, "1"), (ALLOW_INVITES, "1")],
        [OUTSIDE_OR_FORBIDDEN, &["silence", "service-unavailable", "forbidden"], INVITED, INVITED],
    ),
    affiliation(Request::Decline, &[], [MAY_WHISPER, SILENCE, SILENCE, SILENCE, SILENCE]),
    // §8.5
    Row {
        request: Request::ReadRole("visitor"),
        needs: None,
        given: &[],
        by_role: [SEE, SEE, SEE, DONE],
        by_affiliation: ADMINS,
    },
    Row {
        request: Request::ReadRole("participant"),
        needs: None,
        given: &[],
        by_role: [SEE, SEE, SEE, DONE],
        by_affiliation: ADMINS,
    },
    // §9.8
    affiliation(Request::ReadRole("moderator"), &[], ADMINS),
    // §9.2
    affiliation(Request::ReadAffiliation("outcast"), &[], ADMINS),
    // §9.5, §5.2.1; moderators see addresses anyway.
    Row {
        request: Request::ReadAffiliation("member"),
        needs: None,
        given: &[(WHOIS, "moderators")],
        by_role: [SEE, SEE, SEE, OPEN],
        by_affiliation: ADMINS,
    },
    Row {
        request: Request::ReadAffiliation("member"),
        needs: None,
        given: &[(WHOIS, "anyone")],
        by_role: [SEE, OPEN, OPEN, OPEN],
        by_affiliation: [FORBIDDEN, FORBIDDEN, OPEN, DONE, DONE],
    },
    // §10.5, §10.8
    affiliation(Request::ReadAffiliation("admin"), &[(WHOIS, "moderators")], OWNERS),
    affiliation(Request::ReadAffiliation("owner"), &[(WHOIS, "moderators")], OWNERS),
    affiliation(
        Request::ReadAffiliation("admin"),
        &[(WHOIS, "anyone")],
        [FORBIDDEN, FORBIDDEN, FORBIDDEN, OPEN, DONE],
    ),
    affiliation(
        Request::ReadAffiliation("owner"),
        &[(WHOIS, "anyone")],
        [FORBIDDEN, FORBIDDEN, FORBIDDEN, OPEN, DONE],
    ),
    affiliation(Request::ReadAffiliation("none"), &[], [BAD_REQUEST; 5]),
    // §10.2, §10.9
    affiliation(Request::GetForm, &[], OWNERS),
    affiliation(Request::CancelForm, &[], OWNERS),
    affiliation(Request::Destroy, &[], OWNERS),
    // §7.13; what becomes of it is looked at in novelties.rs.
    needs(
        ns::MUC_REQUEST,
        role(Request::AskForVoice, &[(MODERATED, "1")], [OUTSIDE_OR_FORBIDDEN, ASKED, ANY, ANY]),
    ),
    // XEP-0425 §3.2; a message that never was.
    needs(
        ns::MODERATE,
        role(Request::ModerateNothing, &[], [ANY, NO_MODERATOR, NO_MODERATOR, NOT_FOUND]),
    ),
    // §7.12, §7.10
    needs(
        ns::REGISTER,
        affiliation(
            Request::ReadReservedNick,
            &[],
            [&["result", "forbidden"], DONE, DONE, DONE, DONE],
        ),
    ),
    needs(
        ns::REGISTER,
        affiliation(
            Request::ReadRegistration,
            &[],
            [&["not-allowed", "forbidden"], &["result", "not-allowed"], DONE, DONE, DONE],
        ),
    ),
    // XEP-0313 §7: who could not enter reads nothing.
    needs(
        ns::MAM,
        affiliation(
            Request::QueryArchive,
            &[(MEMBERS_ONLY, "0"), (SECRET, ""), (PERSISTENT, "1"), (ARCHIVE, "1")],
            [FORBIDDEN, DONE, DONE, DONE, DONE],
        ),
    ),
    needs(
        ns::MAM,
        affiliation(
            Request::QueryArchive,
            &[(MEMBERS_ONLY, "1"), (SECRET, ""), (PERSISTENT, "1"), (ARCHIVE, "1")],
            [FORBIDDEN, &["forbidden", "registration-required"], DONE, DONE, DONE],
        ),
    ),
    // There is none.
    needs(
        ns::MAM,
        affiliation(
            Request::QueryArchive,
            &[(MEMBERS_ONLY, "0"), (SECRET, ""), (ARCHIVE, "0")],
            [FORBIDDEN, NO_SERVICE, NO_SERVICE, NO_SERVICE, NO_SERVICE],
        ),
    ),
    // XEP-0486 §3, §7; XEP-0054 §3.1: there may be none.
    needs(ns::VCARD_TEMP, affiliation(Request::ReadCard, &[], [ANY, ANY, CARD, CARD, CARD])),
    needs(ns::VCARD_TEMP, affiliation(Request::SetCard, &[], OWNERS)),
    // XEP-0317 §3.7
    needs(
        ns::HATS,
        Row {
            request: Request::ListAssignedHats,
            needs: None,
            given: &[(WHOIS, "moderators")],
            // It shows addresses, which these see anyway.
            by_role: [SEE, SEE, SEE, OPEN_COMMAND],
            by_affiliation: [NO_COMMAND, NO_COMMAND, NO_COMMAND, OPEN_COMMAND, DONE],
        },
    ),
    needs(
        ns::HATS,
        Row {
            request: Request::ListAssignedHats,
            needs: None,
            given: &[(WHOIS, "anyone")],
            // It shows addresses, which these see anyway.
            by_role: [SEE, OPEN_COMMAND, OPEN_COMMAND, OPEN_COMMAND],
            by_affiliation: [NO_COMMAND, NO_COMMAND, NO_COMMAND, OPEN_COMMAND, DONE],
        },
    ),
];

const ROLES: [&str; 4] = ["none", "visitor", "participant", "moderator"];

impl Row {
    /// True when the room is of the kind that the row is about; `None`: not known.
    pub fn holds(&self, option: impl Fn(&'static str) -> Option<String>) -> Option<bool> {
        let mut is_right = true;
        for (var, wanted) in self.given {
            is_right &= option(var)? == *wanted;
        }
        Some(is_right)
    }

    /// What it comes to for somebody.
    pub fn outcomes(&self, who: &Standing) -> Outcomes {
        let role = ROLES.iter().position(|name| *name == who.role).expect("a role");
        let rank = AFFILIATIONS.iter().position(|name| *name == who.affiliation);
        match self.by_role[role] {
            SEE => self.by_affiliation[rank.expect("an affiliation")],
            outcomes => outcomes,
        }
    }

    /// Options that must be set so for the row to hold.
    pub fn given(&self) -> &'static [(&'static str, &'static str)] {
        self.given
    }
}

impl Request {
    /// True for what a session asks from its seat; other requests are the account's.
    pub fn is_from_seat(self) -> bool {
        !matches!(
            self,
            Self::ReadRole(_)
                | Self::ReadAffiliation(_)
                | Self::GetForm
                | Self::CancelForm
                | Self::Destroy
                | Self::ModerateNothing
                | Self::ListAssignedHats
        )
    }
}

/// What stands in the way of somebody who wants to come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    NoNick,
    InvisibleNick,
    Locked,
    Banned,
    NotMember,
    WrongPassword,
    NickTaken,
    Full,
}

/// §7.2.17, in the order in which they are looked at.
pub const JOIN: [(Obstacle, &str); 8] = [
    (Obstacle::NoNick, "jid-malformed"),            // §7.2.1
    (Obstacle::InvisibleNick, "jid-malformed"),     // §17.1
    (Obstacle::Locked, "item-not-found"),           // §7.2.10
    (Obstacle::Banned, "forbidden"),                // §7.2.7
    (Obstacle::NotMember, "registration-required"), // §7.2.6
    (Obstacle::WrongPassword, "not-authorized"),    // §7.2.5
    (Obstacle::NickTaken, "conflict"),              // §7.2.8
    (Obstacle::Full, "service-unavailable wait"),   // §7.2.9
];

/// What a join comes to.
pub fn join_outcome(obstacles: &[Obstacle]) -> &'static str {
    let first = JOIN.iter().find(|(obstacle, _)| obstacles.contains(obstacle));
    first.map_or("result", |(_, outcome)| outcome)
}

/// The role with which somebody enters (§5.1.2): outcast, none, member, admin, owner.
pub const DEFAULT_ROLES: [(&str, [&str; 5]); 2] = [
    ("0", ["none", "participant", "participant", "moderator", "moderator"]),
    ("1", ["none", "visitor", "participant", "moderator", "moderator"]),
];
