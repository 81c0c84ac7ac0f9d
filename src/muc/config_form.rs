//! The form of a room's configuration (XEP-0045 §10.1.3, §10.2, §16.5.3): the fields that are
//! honoured, and no others. A submission may leave fields out: they keep their value (WIRE 9).

use crate::config::{AllowPm, Config, RoomOptions, RoomRegistration, Whois};
use crate::xml::Element;
use crate::xmpp::dataform::{Form, Submitted};
use crate::xmpp::{Affiliation, BareJid, Condition, Role, StanzaError, ns};

use super::room::Room;

/// Messages of history that a room may be told to keep.
const HISTORY_MESSAGES_MAX: u32 = 1000;
/// Bytes of a language tag.
const LANG_BYTES_MAX: usize = 64;

const ROLES: &[(&str, &str, Role)] = &[
    ("moderator", "Moderators", Role::Moderator),
    ("participant", "Participants", Role::Participant),
    ("visitor", "Visitors", Role::Visitor),
];
const WHOIS: &[(&str, &str, Whois)] =
    &[("moderators", "Moderators only", Whois::Moderators), ("anyone", "Anyone", Whois::Anyone)];
const ALLOW_PM: &[(&str, &str, AllowPm)] = &[
    ("anyone", "Anyone", AllowPm::Anyone),
    ("participants", "Anyone with voice", AllowPm::Participants),
    ("moderators", "Moderators only", AllowPm::Moderators),
    ("none", "Nobody", AllowPm::None),
];
const REGISTRATION: &[(&str, &str, RoomRegistration)] = &[
    ("open", "Anybody; in a members-only room an admin approves", RoomRegistration::Open),
    ("approval", "Whom an admin approves", RoomRegistration::Approval),
    ("closed", "Nobody: admins add members", RoomRegistration::Closed),
];
const MAX_USERS: &[u32] = &[10, 20, 30, 50, 100, 200, 500, 1000];

const NAME: &str = "muc#roomconfig_roomname";
const DESCRIPTION: &str = "muc#roomconfig_roomdesc";
const LANG: &str = "muc#roomconfig_lang";
const PERSISTENT: &str = "muc#roomconfig_persistentroom";
const PUBLIC: &str = "muc#roomconfig_publicroom";
const PROTECTED: &str = "muc#roomconfig_passwordprotectedroom";
const SECRET: &str = "muc#roomconfig_roomsecret";
const MEMBERS_ONLY: &str = "muc#roomconfig_membersonly";
const MODERATED: &str = "muc#roomconfig_moderatedroom";
const WHOIS_FIELD: &str = "muc#roomconfig_whois";
const CHANGE_SUBJECT: &str = "muc#roomconfig_changesubject";
const MAX_USERS_FIELD: &str = "muc#roomconfig_maxusers";
const LOGGED: &str = "muc#roomconfig_enablelogging";
const BROADCAST: &str = "muc#roomconfig_presencebroadcast";
const ALLOW_PM_FIELD: &str = "muc#roomconfig_allowpm";
const ALLOW_INVITES: &str = "muc#roomconfig_allowinvites";
const MEMBER_LIST: &str = "muc#roomconfig_getmemberlist";
/// No registered field says this: a name in a namespace of our own (XEP-0068 §3.4).
const REGISTRATION_FIELD: &str = "{urn:tercet:room}registration";
const ADMINS: &str = "muc#roomconfig_roomadmins";
const OWNERS: &str = "muc#roomconfig_roomowners";
const HISTORY: &str = "muc#maxhistoryfetch";

/// A configuration that was asked for and is in itself sound.
pub struct Draft {
    /// The options.
    pub options: RoomOptions,
    /// The full list of admins, when it was submitted.
    pub admins: Option<Vec<BareJid>>,
    /// The full list of owners, when it was submitted.
    pub owners: Option<Vec<BareJid>>,
}

fn name_of<T: Copy + PartialEq>(choices: &[(&'static str, &str, T)], value: T) -> &'static str {
    choices.iter().find(|(.., choice)| *choice == value).map_or("", |(name, ..)| name)
}

fn options_of<'a, T>(choices: &[(&'a str, &'a str, T)]) -> Vec<(&'a str, &'a str)> {
    choices.iter().map(|(name, label, _)| (*name, *label)).collect()
}

impl Room {
    /// The form with the values in force (§10.2).
    pub fn config_form(&self) -> Element {
        let options = &self.options;
        let roles = options_of(ROLES);
        let names = |list: &[Role]| -> Vec<&str> {
            list.iter().map(|role| name_of(ROLES, *role)).collect()
        };
        let mut numbers: Vec<String> = MAX_USERS.iter().map(u32::to_string).collect();
        let max_users = match options.occupants_max {
            0 => "none".to_owned(),
            max => max.to_string(),
        };
        if options.occupants_max > 0 && !numbers.contains(&max_users) {
            numbers.push(max_users.clone());
        }
        numbers.push("none".to_owned());
        let numbers: Vec<_> = numbers.iter().map(|text| (text.as_str(), text.as_str())).collect();
        let with = |affiliation: Affiliation| -> Vec<&str> {
            self.accounts_with(affiliation).map(BareJid::as_str).collect()
        };
        let title = format!("Configuration of {}", self.jid);
        Form::to_fill_in(ns::MUC_ROOMCONFIG, &title, "Fields left out keep their value.")
            .text(NAME, "Name", &options.name)
            .text(DESCRIPTION, "Description", &options.description)
            .text(LANG, "Language of the discussion", &options.lang)
            .boolean(PERSISTENT, "Persistent", options.persistent)
            .boolean(PUBLIC, "Listed publicly", options.public)
            .boolean(PROTECTED, "A password is required to enter", !options.password.is_empty())
            .private(SECRET, "Password", &options.password)
            .boolean(MEMBERS_ONLY, "Members only", options.members_only)
            .boolean(MODERATED, "Moderated: visitors need voice to speak", options.moderated)
            .list(
                WHOIS_FIELD,
                "Who may see real addresses",
                name_of(WHOIS, options.whois),
                &options_of(WHOIS),
            )
            .boolean(CHANGE_SUBJECT, "Participants may change the subject", options.change_subject)
            .list(MAX_USERS_FIELD, "Maximum number of occupants", &max_users, &numbers)
            .boolean(LOGGED, "Mark the room as publicly logged", options.logged)
            .lists(
                BROADCAST,
                "Roles for which presence is broadcast",
                &names(&options.presence_broadcast),
                &roles,
            )
            .list(
                ALLOW_PM_FIELD,
                "Who may send private messages",
                name_of(ALLOW_PM, options.allow_pm),
                &options_of(ALLOW_PM),
            )
            .boolean(ALLOW_INVITES, "Members may invite others", options.allow_invites)
            .lists(
                MEMBER_LIST,
                "Roles that may retrieve the member list",
                &names(&options.get_member_list),
                &roles,
            )
            .list(
                REGISTRATION_FIELD,
                "Who becomes a member by registering",
                name_of(REGISTRATION, options.registration),
                &options_of(REGISTRATION),
            )
            .jids(ADMINS, "Admins", &with(Affiliation::Admin))
            .jids(OWNERS, "Owners", &with(Affiliation::Owner))
            .text(HISTORY, "Messages of history kept", &options.history_messages.to_string())
            .into_element()
    }

    /// What a submission makes of the configuration. `Err` is `not-acceptable` (§10.1.3).
    pub fn draft(&self, config: &Config, form: &Submitted) -> Result<Draft, StanzaError> {
        let mut options = self.options.clone();
        let set_text = |option: &mut String, var: &str| -> Result<(), StanzaError> {
            if let Some(text) = form.text(var)? {
                super::check_text_len(config, text.len())?;
                text.clone_into(option);
            }
            Ok(())
        };
        set_text(&mut options.name, NAME)?;
        set_text(&mut options.description, DESCRIPTION)?;
        set_text(&mut options.lang, LANG)?;
        check_lang(&options.lang)?;
        let set_bool = |option: &mut bool, var: &str| -> Result<(), StanzaError> {
            *option = form.boolean(var)?.unwrap_or(*option);
            Ok(())
        };
        set_bool(&mut options.persistent, PERSISTENT)?;
        set_bool(&mut options.public, PUBLIC)?;
        let secret = form.text(SECRET)?;
        super::check_text_len(config, secret.map_or(0, str::len))?;
        options.password = password(&options.password, form.boolean(PROTECTED)?, secret)?;
        set_bool(&mut options.members_only, MEMBERS_ONLY)?;
        set_bool(&mut options.moderated, MODERATED)?;
        options.whois = form.choice(WHOIS_FIELD, WHOIS)?.unwrap_or(options.whois);
        set_bool(&mut options.change_subject, CHANGE_SUBJECT)?;
        options.occupants_max = match form.text(MAX_USERS_FIELD)? {
            None => options.occupants_max,
            Some("none" | "") => 0,
            Some(_) => form.number(MAX_USERS_FIELD)?.filter(|max| *max > 0).ok_or_else(|| {
                StanzaError::new(Condition::NotAcceptable).with_text("a room for nobody")
            })?,
        };
        set_bool(&mut options.logged, LOGGED)?;
        let broadcast = form.choices(BROADCAST, ROLES)?;
        options.presence_broadcast = broadcast.unwrap_or(options.presence_broadcast);
        options.allow_pm = form.choice(ALLOW_PM_FIELD, ALLOW_PM)?.unwrap_or(options.allow_pm);
        set_bool(&mut options.allow_invites, ALLOW_INVITES)?;
        let member_list = form.choices(MEMBER_LIST, ROLES)?;
        options.get_member_list = member_list.unwrap_or(options.get_member_list);
        let registration = form.choice(REGISTRATION_FIELD, REGISTRATION)?;
        options.registration = registration.unwrap_or(options.registration);
        if let Some(messages) = form.number(HISTORY)? {
            if messages > HISTORY_MESSAGES_MAX.max(config.rooms.defaults.history_messages) {
                let error = StanzaError::new(Condition::NotAcceptable);
                return Err(error.with_text("too many messages of history"));
            }
            options.history_messages = messages;
        }
        let (admins, owners) = (form.jids(ADMINS)?, form.jids(OWNERS)?);
        let mut listed = admins.iter().chain(owners.iter()).flatten();
        if listed.any(|jid| jid.local().is_none()) {
            let error = StanzaError::new(Condition::NotAcceptable);
            return Err(error.with_text("a domain is no admin and no owner"));
        }
        Ok(Draft { options, admins, owners })
    }
}

/// The password in force after a submission (WIRE 8): the boolean decides where it is there, else
/// a secret switches protection on, and a secret without a value switches it off.
fn password(
    current: &str,
    is_protected: Option<bool>,
    secret: Option<&str>,
) -> Result<String, StanzaError> {
    match (is_protected, secret) {
        (Some(false), _) => Ok(String::new()),
        (Some(true), _) => {
            let password = secret.unwrap_or(current);
            if password.trim().is_empty() {
                let error = StanzaError::new(Condition::NotAcceptable); // §10.1.3
                return Err(error.with_text("a password is required"));
            }
            Ok(password.to_owned())
        }
        (None, Some(secret)) if secret.trim().is_empty() => Ok(String::new()),
        (None, Some(secret)) => Ok(secret.to_owned()),
        (None, None) => Ok(current.to_owned()),
    }
}

/// A language tag (RFC 5646), roughly: letters, digits and hyphens.
fn check_lang(lang: &str) -> Result<(), StanzaError> {
    let is_sound = lang.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if is_sound && lang.len() <= LANG_BYTES_MAX {
        return Ok(());
    }
    Err(StanzaError::new(Condition::NotAcceptable).with_text("not a language tag"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn password_both_styles() {
        let refused = None;
        for (current, is_protected, secret, want) in [
            ("", None, Some("s"), Some("s")),
            ("old", None, Some(""), Some("")),
            ("old", None, Some(" "), Some("")),
            ("old", None, None, Some("old")),
            ("old", Some(true), None, Some("old")),
            ("old", Some(true), Some("new"), Some("new")),
            ("", Some(true), None, refused),
            ("old", Some(true), Some(""), refused),
            ("old", Some(true), Some(" "), refused),
            ("old", Some(false), Some("new"), Some("")),
        ] {
            let got = password(current, is_protected, secret).ok();
            assert_eq!(got.as_deref(), want, "{current:?} {is_protected:?} {secret:?}");
        }
    }

    #[test]
    fn language_tags() {
        assert!(check_lang("").is_ok() && check_lang("de-CH-1996").is_ok());
        assert!(check_lang("d e").is_err() && check_lang("ü").is_err());
        assert!(check_lang(&"a".repeat(65)).is_err());
    }
}
