//! The tables of privileges of XEP-0045 §5.1.1, §5.1.2 and §5.2.1, row by row as they stand there,
//! with the answer that the text of §7 to §10 has for who may not. Changes of roles and
//! affiliations, each standing against each, are in tests/it/sim/table.rs.

use super::*;

const ADMIN: &str = "http://jabber.org/protocol/muc#admin";
const OWNER: &str = "http://jabber.org/protocol/muc#owner";

/// What comes of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// It is done, and seen to be.
    Done,
    /// Nothing comes of it, and there was nobody to tell so.
    Nothing,
    Refused(Condition),
}

use Outcome::{Done, Nothing, Refused};

const ABSENT: Outcome = Refused(Condition::NotAcceptable);
const FORBIDDEN: Outcome = Refused(Condition::Forbidden);
const NOT_ALLOWED: Outcome = Refused(Condition::NotAllowed);

/// The one who tries, and those with whom.
struct Scene {
    world: World,
    owner: User,
    actor: User,
    /// A participant without affiliation, `B`.
    other: User,
}

impl Scene {
    /// A room with an owner (`R`), an admin (`D`), a visitor (`V`) and the other. The actor has
    /// this affiliation and is outside.
    fn new(affiliation: &str, options: &[(&str, &[&str])]) -> Self {
        let mut world = World::new();
        let [owner, admin, visitor, other, actor] = ["romeo", "duke", "viola", "benvolio", "actor"]
            .map(|name| world.user(&format!("{name}@localhost/x")));
        world.room(&[(&owner, "R")]);
        let given = format!(
            "<item affiliation='admin' jid='duke@localhost'/>\
             <item affiliation='owner' jid='escalus@localhost'/>\
             <item affiliation='member' jid='mercutio@localhost'/>\
             <item affiliation='{affiliation}' jid='actor@localhost'/>"
        );
        world.admin(&owner, &given).expect("an owner may");
        for (user, nick) in [(&admin, "D"), (&visitor, "V"), (&other, "B")] {
            world.join(user, nick).expect("the room is open");
        }
        world.admin(&owner, "<item nick='V' role='visitor'/>").expect("an owner may");
        world.configure(&owner, options).expect("an owner may");
        let mut scene = Self { world, owner, actor, other };
        scene.forget();
        scene
    }

    /// The same in a moderated room, with the actor a member that has this role.
    fn with_role(role: &str) -> Self {
        let mut scene = Self::new("member", &[]);
        if role != "none" {
            scene.world.join(&scene.actor, "A").expect("the room is open");
            let item = format!("<item nick='A' role='{role}'/>");
            scene.world.admin(&scene.owner, &item).expect("an owner may");
        }
        let moderated: &[(&str, &[&str])] = &[("roomconfig_moderatedroom", &["1"])];
        scene.world.configure(&scene.owner, moderated).expect("an owner may");
        scene.forget();
        scene
    }

    fn forget(&mut self) {
        for user in [&self.owner, &self.actor, &self.other] {
            self.world.bytes(user);
        }
    }

    fn outcome(result: Result<(), StanzaError>) -> Outcome {
        match result {
            Ok(()) => Done,
            Err(error) => Refused(error.condition),
        }
    }

    /// Done when `who` hears of it; what was refused is heard by nobody.
    fn heard_by(&mut self, who: &User, result: Result<(), StanzaError>, text: &str) -> Outcome {
        let heard = self.world.heard(who);
        match (Self::outcome(result), heard.iter().any(|line| line.contains(text))) {
            (Done, true) => Done,
            (Done, false) => Nothing,
            (refused, false) => refused,
            (refused, true) => panic!("{refused:?}, but there is {heard:?}"),
        }
    }

    fn acts(&mut self, act: &Act) -> Outcome {
        let (owner, actor, other) = (self.owner.clone(), self.actor.clone(), self.other.clone());
        let seat = |nick: &str| format!("{ROOM}/{nick}");
        let world = &mut self.world;
        match act {
            Act::IsPresent => {
                let is_there = !world.muc.rooms_of(actor.session).is_empty();
                if is_there { Done } else { Nothing }
            }
            Act::Hears => {
                let result = world.say(&owner, "<body>hear</body>");
                self.heard_by(&actor, result, "body=hear")
            }
            Act::Sees => {
                let result = world.presence(&other, &seat("B"), "<show>away</show>");
                self.heard_by(&actor, result, "presence B")
            }
            Act::IsSeen => {
                let result = world.presence(&actor, &seat("A"), "<show>away</show>");
                self.heard_by(&other, result, "presence A")
            }
            Act::ChangesNick => {
                let result = world.presence(&actor, &seat("Z"), "");
                self.heard_by(&other, result, "->Z")
            }
            Act::SpeaksToOne => {
                let kind = StanzaKind::Message(MessageType::Chat);
                let result = world.send(&actor, kind, &seat("B"), "<body>psst</body>");
                self.heard_by(&other, result, "body=psst")
            }
            Act::Invites => {
                let x = "<x xmlns='http://jabber.org/protocol/muc#user'>\
                         <invite to='paris@example.org'/></x>";
                let kind = StanzaKind::Message(MessageType::Normal);
                Self::outcome(world.send(&actor, kind, ROOM, x))
            }
            Act::Says(text, heard) => {
                let result = world.say(&actor, text);
                self.heard_by(&other, result, heard)
            }
            Act::Admin(items) => {
                let result = world.admin(&actor, items);
                self.heard_by(&actor, result, "iq result")
            }
            Act::Lists(what) => {
                let list = format!("<query xmlns='{ADMIN}'><item {what}/></query>");
                let result = world.get(&actor, &list);
                self.heard_by(&actor, result, "iq result")
            }
            Act::GetsForm => {
                let result = world.get(&actor, &format!("<query xmlns='{OWNER}'/>"));
                self.heard_by(&actor, result, "iq result")
            }
            Act::Configures => {
                let result = world.configure(&actor, &[("roomconfig_roomname", &["Mine"])]);
                self.heard_by(&actor, result, "iq result")
            }
            Act::Destroys => {
                let destroy = format!("<query xmlns='{OWNER}'><destroy/></query>");
                let result = world.set(&actor, &destroy);
                self.heard_by(&other, result, "presence unavailable B")
            }
            Act::Enters => {
                let result = world.join(&actor, "A");
                self.heard_by(&actor, result, "110")
            }
        }
    }
}

/// What can be tried.
#[derive(Debug)]
enum Act {
    IsPresent,
    Hears,
    Sees,
    IsSeen,
    ChangesNick,
    SpeaksToOne,
    Invites,
    /// Text to all, and what is heard of it.
    Says(&'static str, &'static str),
    Admin(&'static str),
    /// The list with this attribute.
    Lists(&'static str),
    GetsForm,
    Configures,
    Destroys,
    Enters,
}

#[test]
fn privileges_of_roles() {
    const ROLES: [&str; 4] = ["none", "visitor", "participant", "moderator"];
    let from_one_up = [FORBIDDEN, FORBIDDEN, FORBIDDEN, Done];
    for (act, outcomes) in [
        (Act::IsPresent, [Nothing, Done, Done, Done]),
        (Act::Hears, [Nothing, Done, Done, Done]),
        (Act::Sees, [Nothing, Done, Done, Done]),
        (Act::IsSeen, [Nothing, Done, Done, Done]), // and changes its availability (§7.2.18)
        (Act::ChangesNick, [Nothing, Done, Done, Done]),
        (Act::SpeaksToOne, [ABSENT, Done, Done, Done]), // §7.5
        (Act::Invites, [ABSENT, Done, Done, Done]),
        (Act::Says("<body>oyez</body>", "body=oyez"), [ABSENT, FORBIDDEN, Done, Done]), // §7.4
        (
            Act::Says("<subject>oyez</subject>", "subject=oyez"),
            [ABSENT, FORBIDDEN, FORBIDDEN, Done],
        ),
        (Act::Admin("<item nick='B' role='none'/>"), from_one_up), // §8: kicks a participant
        (Act::Admin("<item nick='V' role='none'/>"), from_one_up), // and a visitor
        (
            Act::Admin("<item nick='D' role='none'/>"),
            [FORBIDDEN, FORBIDDEN, FORBIDDEN, NOT_ALLOWED],
        ),
        (Act::Admin("<item nick='V' role='participant'/>"), from_one_up), // grants voice
        (Act::Admin("<item nick='B' role='visitor'/>"), from_one_up),     // revokes it
        (
            Act::Admin("<item nick='D' role='visitor'/>"),
            [FORBIDDEN, FORBIDDEN, FORBIDDEN, NOT_ALLOWED], // §5.1.1: not an admin's
        ),
        (Act::Lists("role='participant'"), from_one_up), // §8.5
        (Act::Lists("role='visitor'"), from_one_up),
        (Act::Lists("role='moderator'"), [FORBIDDEN; 4]), // §9.8: for admins
    ] {
        for (role, wanted) in ROLES.into_iter().zip(outcomes) {
            assert_eq!(Scene::with_role(role).acts(&act), wanted, "{role}: {act:?}");
        }
    }
}

#[test]
fn privileges_of_affiliations() {
    const AFFILIATIONS: [&str; 5] = ["outcast", "none", "member", "admin", "owner"];
    const ANYONE: &[(&str, &[&str])] = &[("roomconfig_whois", &["anyone"])];
    const MEMBERS: &[(&str, &[&str])] = &[("roomconfig_membersonly", &["1"])];
    let no = FORBIDDEN;
    let for_admins = [no, no, no, Done, Done];
    let for_owners = [no, no, no, no, Done];
    for (options, act, outcomes) in [
        (&[][..], Act::Enters, [no, Done, Done, Done, Done]),
        (MEMBERS, Act::Enters, [no, Refused(Condition::RegistrationRequired), Done, Done, Done]),
        (ANYONE, Act::Lists("affiliation='member'"), [no, no, Done, Done, Done]),
        (&[], Act::Lists("affiliation='member'"), for_admins), // §5.2.1, third note
        (&[], Act::Admin("<item affiliation='outcast' jid='mercutio@localhost'/>"), for_admins),
        (&[], Act::Admin("<item affiliation='outcast' jid='benvolio@localhost'/>"), for_admins),
        (
            &[],
            Act::Admin("<item affiliation='outcast' jid='duke@localhost'/>"),
            [no, no, no, NOT_ALLOWED, Done], // §5.2.2: owners ban admins
        ),
        (
            &[],
            Act::Admin("<item affiliation='outcast' jid='escalus@localhost'/>"),
            [no, no, no, NOT_ALLOWED, Done], // §9.1
        ),
        (&[], Act::Lists("affiliation='outcast'"), for_admins),
        (&[], Act::Admin("<item affiliation='member' jid='benvolio@localhost'/>"), for_admins),
        (&[], Act::Admin("<item affiliation='none' jid='mercutio@localhost'/>"), for_admins),
        (&[], Act::Admin("<item nick='B' role='moderator'/>"), for_admins),
        (&[], Act::Lists("role='moderator'"), for_admins),
        (
            &[],
            Act::Admin("<item nick='D' role='participant'/>"),
            [no, no, no, NOT_ALLOWED, NOT_ALLOWED], // §9.7
        ),
        (&[], Act::Admin("<item affiliation='admin' jid='benvolio@localhost'/>"), for_owners),
        (&[], Act::Admin("<item affiliation='none' jid='duke@localhost'/>"), for_owners),
        (&[], Act::Lists("affiliation='admin'"), for_owners), // §10.8
        (&[], Act::Admin("<item affiliation='owner' jid='benvolio@localhost'/>"), for_owners),
        (&[], Act::Admin("<item affiliation='member' jid='escalus@localhost'/>"), for_owners),
        (&[], Act::Lists("affiliation='owner'"), for_owners), // §10.5
        (&[], Act::GetsForm, for_owners),
        (&[], Act::Configures, for_owners),
        (&[], Act::Destroys, for_owners),
    ] {
        for (affiliation, wanted) in AFFILIATIONS.into_iter().zip(outcomes) {
            let mut scene = Scene::new(affiliation, options);
            assert_eq!(scene.acts(&act), wanted, "{affiliation}: {act:?} {options:?}");
        }
    }
}

#[test]
fn roles_on_entering() {
    const AFFILIATIONS: [&str; 4] = ["none", "member", "admin", "owner"];
    for (options, roles) in [
        (&["moderatedroom"][..], ["visitor", "participant", "moderator", "moderator"]),
        (&[], ["participant", "participant", "moderator", "moderator"]),
        (&["membersonly"], ["", "participant", "moderator", "moderator"]),
        (&["membersonly", "moderatedroom"], ["", "participant", "moderator", "moderator"]),
    ] {
        let fields: Vec<_> = options.iter().map(|name| format!("roomconfig_{name}")).collect();
        let fields: Vec<(&str, &[&str])> =
            fields.iter().map(|name| (&**name, &["1"][..])).collect();
        for (affiliation, role) in AFFILIATIONS.into_iter().zip(roles) {
            let mut scene = Scene::new(affiliation, &fields);
            let entered = scene.acts(&Act::Enters);
            assert_eq!(entered == Done, !role.is_empty(), "{affiliation} {options:?}");
            let seen = scene.world.heard(&scene.owner).concat();
            let is_seen = seen.contains(&format!("presence A {affiliation}/{role}"));
            assert_eq!(is_seen, !role.is_empty(), "{affiliation} {options:?}: {seen}");
        }
    }
}
