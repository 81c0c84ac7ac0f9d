//! The form of a room's configuration (XEP-0045 §10.1.3, §10.2, §16.5.3): the fields that are
//! honoured, and no others. A submission may leave fields out: they keep their value (WIRE 9).
//!
//! Of the registered fields `muc#roomconfig_pubsub` is not offered: rooms have no nodes. Slow mode
//! has the name of XEP-0500, the archive the one that Prosody gave it and clients know; fields of
//! our own are named as XEP-0068 §3.4 says. What is refused names its field for people.

use crate::config::{
    AllowPm, Config, MESSAGE_BYTES_MAX, MESSAGES_PER_MINUTE_MAX, RoomOptions, RoomRegistration,
    SLOW_MODE_SECONDS_MAX, Whois,
};
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
const SLOW_MODE: &str = "muc#roomconfig_slow_mode_duration";
const ARCHIVE: &str = "muc#roomconfig_enablearchiving";
const MESSAGES_PER_MINUTE: &str = "{urn:tercet:room}messages_per_minute";
const MESSAGE_BYTES: &str = "{urn:tercet:room}message_bytes";
const OCCUPANTS_IN_DISCO: &str = "{urn:tercet:room}occupants_in_disco";

/// What the fields are called for people, in the order of the form.
const LABELS: &[(&str, &str)] = &[
    (NAME, "Name"),
    (DESCRIPTION, "Description"),
    (LANG, "Language of the discussion"),
    (PERSISTENT, "Persistent"),
    (PUBLIC, "Listed publicly"),
    (PROTECTED, "A password is required to enter"),
    (SECRET, "Password"),
    (MEMBERS_ONLY, "Members only"),
    (MODERATED, "Moderated: visitors need voice to speak"),
    (WHOIS_FIELD, "Who may see real addresses"),
    (CHANGE_SUBJECT, "Participants may change the subject"),
    (MAX_USERS_FIELD, "Maximum number of occupants"),
    (LOGGED, "Mark the room as publicly logged"),
    (BROADCAST, "Roles for which presence is broadcast"),
    (ALLOW_PM_FIELD, "Who may send private messages"),
    (ALLOW_INVITES, "Members may invite others"),
    (MEMBER_LIST, "Roles that may retrieve the member list"),
    (ADMINS, "Admins"),
    (OWNERS, "Owners"),
    (HISTORY, "Messages of history kept"),
    (REGISTRATION_FIELD, "Who becomes a member by registering"),
    (SLOW_MODE, "Slow mode: seconds between two messages of a user, 0 for none"),
    (ARCHIVE, "Archive messages while the room is persistent"),
    (MESSAGES_PER_MINUTE, "Messages of a user per minute, 0 for no limit"),
    (MESSAGE_BYTES, "Bytes of a message, 0 for no limit"),
    (OCCUPANTS_IN_DISCO, "List occupants to whoever asks about the room"),
];

/// A configuration that was asked for and is in itself sound.
pub struct Draft {
    /// The options.
    pub options: RoomOptions,
    /// The full list of admins, when it was submitted.
    pub admins: Option<Vec<BareJid>>,
    /// The full list of owners, when it was submitted.
    pub owners: Option<Vec<BareJid>>,
}

fn label(var: &str) -> &'static str {
    LABELS.iter().find(|(known, _)| *known == var).map_or("", |(_, label)| label)
}

fn name_of<T: Copy + PartialEq>(choices: &[(&'static str, &str, T)], value: T) -> &'static str {
    choices.iter().find(|(.., choice)| *choice == value).map_or("", |(name, ..)| name)
}

fn options_of<'a, T>(choices: &[(&'a str, &'a str, T)]) -> Vec<(&'a str, &'a str)> {
    choices.iter().map(|(name, label, _)| (*name, *label)).collect()
}

/// The refusal of a value (§10.1.3).
fn refusal(var: &str, why: &str) -> StanzaError {
    let text = format!("{}: {why}", label(var));
    StanzaError::new(Condition::NotAcceptable).with_text(text)
}

/// A form in the making, whose fields have their names from [`LABELS`].
struct Fields(Form);

impl Fields {
    fn text(self, var: &str, value: &str) -> Self {
        Self(self.0.text(var, label(var), value))
    }

    fn boolean(self, var: &str, value: bool) -> Self {
        Self(self.0.boolean(var, label(var), value))
    }

    fn number(self, var: &str, value: u32, value_max: u32) -> Self {
        Self(self.0.number(var, label(var), value, ..=value_max))
    }

    fn choice<T: Copy + PartialEq>(
        self,
        var: &str,
        value: T,
        choices: &[(&'static str, &'static str, T)],
    ) -> Self {
        Self(self.0.list(var, label(var), name_of(choices, value), &options_of(choices)))
    }

    fn roles(self, var: &str, roles: &[Role]) -> Self {
        let names: Vec<_> = roles.iter().map(|role| name_of(ROLES, *role)).collect();
        Self(self.0.lists(var, label(var), &names, &options_of(ROLES)))
    }

    fn max_users(self, max: u32) -> Self {
        let mut numbers: Vec<String> = MAX_USERS.iter().map(u32::to_string).collect();
        let value = if max == 0 { "none".to_owned() } else { max.to_string() };
        if max > 0 && !numbers.contains(&value) {
            numbers.push(value.clone());
        }
        numbers.push("none".to_owned());
        let numbers: Vec<_> = numbers.iter().map(|text| (text.as_str(), text.as_str())).collect();
        Self(self.0.list(MAX_USERS_FIELD, label(MAX_USERS_FIELD), &value, &numbers))
    }

    fn jids<'a>(self, var: &str, jids: impl Iterator<Item = &'a BareJid>) -> Self {
        let jids: Vec<_> = jids.map(BareJid::as_str).collect();
        Self(self.0.jids(var, label(var), &jids))
    }
}

/// What came back; refusals name the field.
struct Reading<'a> {
    form: &'a Submitted,
    config: &'a Config,
}

impl<'a> Reading<'a> {
    fn named<T>(&self, var: &str, value: Result<T, StanzaError>) -> Result<T, StanzaError> {
        value.map_err(|_| refusal(var, "this is no value for it"))
    }

    fn text(&self, var: &str) -> Result<Option<&'a str>, StanzaError> {
        let text = self.named(var, self.form.text(var))?;
        super::check_text_len(self.config, text.map_or(0, str::len))
            .map_err(|_| refusal(var, "too long"))?;
        Ok(text)
    }

    fn set_text(&self, option: &mut String, var: &str) -> Result<(), StanzaError> {
        if let Some(text) = self.text(var)? {
            text.clone_into(option);
        }
        Ok(())
    }

    fn set_boolean(&self, option: &mut bool, var: &str) -> Result<(), StanzaError> {
        *option = self.named(var, self.form.boolean(var))?.unwrap_or(*option);
        Ok(())
    }

    /// A number that is unset (XEP-0004 §3.6) is 0.
    fn set_number(&self, option: &mut u32, var: &str, max: u32) -> Result<(), StanzaError> {
        let value = match self.named(var, self.form.text(var))? {
            None => return Ok(()),
            Some("") => 0,
            Some(_) => self.named(var, self.form.number(var))?.unwrap_or(*option),
        };
        if value > max {
            return Err(refusal(var, &format!("{max} at most")));
        }
        *option = value;
        Ok(())
    }

    fn set_choice<T: Copy>(
        &self,
        option: &mut T,
        var: &str,
        choices: &[(&str, &str, T)],
    ) -> Result<(), StanzaError> {
        *option = self.named(var, self.form.choice(var, choices))?.unwrap_or(*option);
        Ok(())
    }

    fn set_roles(&self, option: &mut Vec<Role>, var: &str) -> Result<(), StanzaError> {
        if let Some(roles) = self.named(var, self.form.choices(var, ROLES))? {
            *option = roles;
        }
        Ok(())
    }

    fn set_max_users(&self, option: &mut u32) -> Result<(), StanzaError> {
        match self.named(MAX_USERS_FIELD, self.form.text(MAX_USERS_FIELD))? {
            None => {}
            Some("none" | "") => *option = 0,
            Some(_) => {
                self.set_number(option, MAX_USERS_FIELD, u32::MAX)?;
                if *option == 0 {
                    return Err(refusal(MAX_USERS_FIELD, "a room for nobody"));
                }
            }
        }
        Ok(())
    }

    /// Accounts: a domain is no admin and no owner.
    fn accounts(&self, var: &str) -> Result<Option<Vec<BareJid>>, StanzaError> {
        let jids = self.named(var, self.form.jids(var))?;
        if jids.iter().flatten().any(|jid| jid.local().is_none()) {
            return Err(refusal(var, "a domain cannot be one"));
        }
        Ok(jids)
    }
}

impl Room {
    /// The form with the values in force (§10.2).
    pub fn config_form(&self) -> Element {
        let options = &self.options;
        let title = format!("Configuration of {}", self.jid);
        let instructions = "Fields left out keep their value.";
        let mut fields = Fields(Form::to_fill_in(ns::MUC_ROOMCONFIG, &title, instructions))
            .text(NAME, &options.name)
            .text(DESCRIPTION, &options.description)
            .text(LANG, &options.lang)
            .boolean(PERSISTENT, options.persistent)
            .boolean(PUBLIC, options.public)
            .boolean(PROTECTED, !options.password.is_empty());
        fields.0 = fields.0.private(SECRET, label(SECRET), &options.password);
        fields
            .boolean(MEMBERS_ONLY, options.members_only)
            .boolean(MODERATED, options.moderated)
            .choice(WHOIS_FIELD, options.whois, WHOIS)
            .boolean(CHANGE_SUBJECT, options.change_subject)
            .max_users(options.occupants_max)
            .boolean(LOGGED, options.logged)
            .roles(BROADCAST, &options.presence_broadcast)
            .choice(ALLOW_PM_FIELD, options.allow_pm, ALLOW_PM)
            .boolean(ALLOW_INVITES, options.allow_invites)
            .roles(MEMBER_LIST, &options.get_member_list)
            .jids(ADMINS, self.accounts_with(Affiliation::Admin))
            .jids(OWNERS, self.accounts_with(Affiliation::Owner))
            .number(HISTORY, options.history_messages, history_max(options.history_messages))
            .choice(REGISTRATION_FIELD, options.registration, REGISTRATION)
            .number(SLOW_MODE, options.slow_mode_seconds, SLOW_MODE_SECONDS_MAX)
            .boolean(ARCHIVE, options.archive)
            .number(MESSAGES_PER_MINUTE, options.messages_per_minute, MESSAGES_PER_MINUTE_MAX)
            .number(MESSAGE_BYTES, options.message_bytes, MESSAGE_BYTES_MAX)
            .boolean(OCCUPANTS_IN_DISCO, options.occupants_in_disco)
            .0
            .into_element()
    }

    /// What a submission makes of the configuration. `Err` is `not-acceptable` (§10.1.3).
    pub fn draft(&self, config: &Config, form: &Submitted) -> Result<Draft, StanzaError> {
        let mut options = self.options.clone();
        let read = Reading { form, config };
        read.set_text(&mut options.name, NAME)?;
        read.set_text(&mut options.description, DESCRIPTION)?;
        read.set_text(&mut options.lang, LANG)?;
        check_lang(&options.lang)?;
        read.set_boolean(&mut options.persistent, PERSISTENT)?;
        read.set_boolean(&mut options.public, PUBLIC)?;
        let is_protected = read.named(PROTECTED, form.boolean(PROTECTED))?;
        options.password = password(&options.password, is_protected, read.text(SECRET)?)?;
        read.set_boolean(&mut options.members_only, MEMBERS_ONLY)?;
        read.set_boolean(&mut options.moderated, MODERATED)?;
        read.set_choice(&mut options.whois, WHOIS_FIELD, WHOIS)?;
        read.set_boolean(&mut options.change_subject, CHANGE_SUBJECT)?;
        read.set_max_users(&mut options.occupants_max)?;
        read.set_boolean(&mut options.logged, LOGGED)?;
        read.set_roles(&mut options.presence_broadcast, BROADCAST)?;
        read.set_choice(&mut options.allow_pm, ALLOW_PM_FIELD, ALLOW_PM)?;
        read.set_boolean(&mut options.allow_invites, ALLOW_INVITES)?;
        read.set_roles(&mut options.get_member_list, MEMBER_LIST)?;
        let history_max = history_max(self.options.history_messages);
        read.set_number(&mut options.history_messages, HISTORY, history_max)?;
        read.set_choice(&mut options.registration, REGISTRATION_FIELD, REGISTRATION)?;
        read.set_number(&mut options.slow_mode_seconds, SLOW_MODE, SLOW_MODE_SECONDS_MAX)?;
        read.set_boolean(&mut options.archive, ARCHIVE)?;
        let minute = &mut options.messages_per_minute;
        read.set_number(minute, MESSAGES_PER_MINUTE, MESSAGES_PER_MINUTE_MAX)?;
        read.set_number(&mut options.message_bytes, MESSAGE_BYTES, MESSAGE_BYTES_MAX)?;
        read.set_boolean(&mut options.occupants_in_disco, OCCUPANTS_IN_DISCO)?;
        let (admins, owners) = (read.accounts(ADMINS)?, read.accounts(OWNERS)?);
        Ok(Draft { options, admins, owners })
    }
}

/// Messages of history that a room may be told to keep: no fewer than it does already, since the
/// operator may let rooms begin with more.
fn history_max(messages: u32) -> u32 {
    messages.max(HISTORY_MESSAGES_MAX)
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
                return Err(refusal(SECRET, "it is required")); // §10.1.3
            }
            Ok(password.to_owned())
        }
        (None, Some(secret)) if secret.trim().is_empty() => Ok(String::new()),
        (None, Some(secret)) => Ok(secret.to_owned()),
        (None, None) => Ok(current.to_owned()),
    }
}

/// A language tag (RFC 5646), roughly: letters, digits and hyphens.
pub fn check_lang(lang: &str) -> Result<(), StanzaError> {
    let is_sound = lang.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if is_sound && lang.len() <= LANG_BYTES_MAX {
        return Ok(());
    }
    Err(refusal(LANG, "not a language tag"))
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
