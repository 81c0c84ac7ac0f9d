//! Ad-hoc commands at the domains with accounts (XEP-0050): administration (XEP-0133), for
//! `admin.jids` only, and invitations (XEP-0401). One table says which there are, who may run each
//! and what it does: disco shows from it to everybody what is theirs, and to others not even that
//! there is more.
//!
//! What a command does is done by the same functions as for the command line: orders about accounts
//! by `accounts::orders`, the rest in `deeds`. A command is done as a whole or not at all; its
//! result is queued first, then sessions end: an admin reads that its own has ended. A disabled
//! account is to others as one that is away: what comes for it waits (XEP-0133 §4.3 forbids to
//! destroy anything of it).
//!
//! Passwords are in forms only, never in the log.

mod deeds;
mod forms;
mod invite;
mod preauth;

use crate::config::{Config, Inviters};
use crate::cx::Cx;
use crate::ids::{SessionId, Target};
use crate::xml::Element;
use crate::xmpp::command::{Answer, Call, Note, Parties, Sessions, Step};
use crate::xmpp::dataform::{Form, Submitted};
use crate::xmpp::disco::{DiscoInfo, Identity};
use crate::xmpp::{
    BareJid, Condition, ErrorType, IqType, Jid, Stanza, StanzaError, StanzaKind, ns,
};

use super::Server;
pub(super) use deeds::check_announcement;
pub(super) use preauth::is_preauth;

/// Random bytes that make a session id unique.
const NONCE_BYTES: usize = 8;
/// Bytes of what authenticates session ids.
const SECRET_BYTES: usize = 32;

/// A command of the server.
struct Command {
    node: &'static str,
    /// For people.
    name: &'static str,
    may_run: fn(&Config, &BareJid) -> bool,
    work: Work,
}

/// What a command does.
enum Work {
    /// It answers at once.
    Answer(fn(&mut Server, &Asked<'_>) -> Result<Outcome, StanzaError>),
    /// It takes a form first.
    Form {
        /// The form, and its FORM_TYPE.
        form: fn() -> Form,
        form_type: &'static str,
        work: fn(&mut Server, &Asked<'_>, &Submitted) -> Result<Outcome, StanzaError>,
    },
}

/// By whom a command is run, and where.
struct Asked<'a> {
    requester: &'a Jid,
    /// The domain that was asked.
    domain: &'a BareJid,
}

/// What a command has done.
#[derive(Default)]
struct Outcome {
    /// What is to be told, beside that it is done.
    form: Option<Form>,
    /// What else a person should know.
    note: Option<String>,
    /// The sessions that end when the result is queued.
    ends: Vec<SessionId>,
}

const fn form(
    form: fn() -> Form,
    work: fn(&mut Server, &Asked<'_>, &Submitted) -> Result<Outcome, StanzaError>,
) -> Work {
    Work::Form { form, form_type: ns::ADMIN, work }
}

const fn command(node: &'static str, name: &'static str, work: Work) -> Command {
    Command { node, name, may_run: is_admin, work }
}

/// In the order of XEP-0133, then those of XEP-0401.
const COMMANDS: &[Command] = &[
    command(
        "http://jabber.org/protocol/admin#add-user",
        "Add User",
        form(forms::add_user, deeds::add_user),
    ),
    command(
        "http://jabber.org/protocol/admin#delete-user",
        "Delete User",
        form(forms::delete_user, deeds::delete_user),
    ),
    command(
        "http://jabber.org/protocol/admin#disable-user",
        "Disable User",
        form(forms::disable_user, deeds::disable_user),
    ),
    command(
        "http://jabber.org/protocol/admin#reenable-user",
        "Re-Enable User",
        form(forms::reenable_user, deeds::reenable_user),
    ),
    command(
        "http://jabber.org/protocol/admin#end-user-session",
        "End User Session",
        form(forms::end_user_session, deeds::end_user_session),
    ),
    command(
        "http://jabber.org/protocol/admin#change-user-password",
        "Change User Password",
        form(forms::change_user_password, deeds::change_user_password),
    ),
    command(
        "http://jabber.org/protocol/admin#get-registered-users-num",
        "Get Number of Registered Users",
        Work::Answer(deeds::registered_users_num),
    ),
    command(
        "http://jabber.org/protocol/admin#get-disabled-users-num",
        "Get Number of Disabled Users",
        Work::Answer(deeds::disabled_users_num),
    ),
    command(
        "http://jabber.org/protocol/admin#get-online-users-num",
        "Get Number of Online Users",
        Work::Answer(deeds::online_users_num),
    ),
    command(
        "http://jabber.org/protocol/admin#get-registered-users-list",
        "Get List of Registered Users",
        form(forms::registered_users_list, deeds::registered_users_list),
    ),
    command(
        "http://jabber.org/protocol/admin#get-disabled-users-list",
        "Get List of Disabled Users",
        form(forms::disabled_users_list, deeds::disabled_users_list),
    ),
    command(
        "http://jabber.org/protocol/admin#get-online-users-list",
        "Get List of Online Users",
        form(forms::online_users_list, deeds::online_users_list),
    ),
    command(
        "http://jabber.org/protocol/admin#announce",
        "Send Announcement to Online Users",
        form(forms::announce, deeds::make_announcement),
    ),
    command(
        "http://jabber.org/protocol/admin#shutdown",
        "Shut Down Service",
        form(forms::shutdown, deeds::shutdown),
    ),
    Command {
        node: "urn:xmpp:invite#invite",
        name: "Invite user",
        may_run: may_invite,
        work: Work::Answer(invite::invite_contact),
    },
    Command {
        node: "urn:xmpp:invite#create-account",
        name: "Create account",
        may_run: is_admin,
        work: Work::Form {
            form: forms::create_account,
            form_type: ns::INVITATION,
            work: invite::invite_account,
        },
    },
];

fn is_admin(config: &Config, account: &BareJid) -> bool {
    config.is_admin(account.as_str())
}

/// XEP-0401 §5.1: accounts of this server, as the configuration says.
fn may_invite(config: &Config, account: &BareJid) -> bool {
    let is_ours = account.local().is_some() && config.is_account_domain(account.domain());
    is_ours
        && match config.registration.invite {
            Inviters::Admins => is_admin(config, account),
            Inviters::Accounts => true,
        }
}

/// What somebody may find at a node of commands (XEP-0050 §2.2); `None` when it is no such node.
pub(super) fn command_info(
    cx: &Cx,
    from: &Jid,
    node: &str,
) -> Option<Result<DiscoInfo, StanzaError>> {
    let info = |kind, name: &str| DiscoInfo {
        identities: vec![Identity { category: "automation", kind, name: name.to_owned() }],
        features: vec![ns::COMMANDS, ns::DATA],
        forms: Vec::new(),
    };
    if node == ns::COMMANDS {
        return Some(Ok(info("command-list", "Commands")));
    }
    let command = COMMANDS.iter().find(|command| command.node == node)?;
    Some(match (command.may_run)(&cx.config, &from.to_bare()) {
        true => Ok(info("command-node", command.name)),
        false => Err(Condition::Forbidden.into()),
    })
}

/// The commands that somebody may run (XEP-0050 §2.2); `None` when it is no such node.
pub(super) fn command_items(cx: &Cx, stanza: &Stanza, node: &str) -> Option<Vec<Element>> {
    if node != ns::COMMANDS {
        return COMMANDS.iter().any(|command| command.node == node).then(Vec::new);
    }
    let account = stanza.from.to_bare();
    let theirs = COMMANDS.iter().filter(|command| (command.may_run)(&cx.config, &account));
    let item = |command: &Command| {
        Element::new("item", ns::DISCO_ITEMS)
            .with_attr("jid", stanza.to.as_ref().map_or("", Jid::bare_str))
            .with_attr("node", command.node)
            .with_attr("name", command.name)
    };
    Some(theirs.map(item).collect())
}

/// The command of a node that somebody may run.
fn command_for(cx: &Cx, from: &Jid, node: &str) -> Result<&'static Command, StanzaError> {
    let Some(command) = COMMANDS.iter().find(|command| command.node == node) else {
        // XEP-0133 §5: a command of its table that is not supported.
        let is_known = node.strip_prefix(ns::ADMIN).is_some_and(|rest| rest.starts_with('#'));
        return Err(match is_known {
            true => Condition::FeatureNotImplemented.into(),
            false => Condition::ItemNotFound.into(),
        });
    };
    if !(command.may_run)(&cx.config, &from.to_bare()) {
        // XEP-0050 §4.4: of this type, unlike elsewhere.
        return Err(StanzaError::new(Condition::Forbidden).with_type(ErrorType::Cancel));
    }
    Ok(command)
}

/// The sessions of commands (XEP-0050 §3.3). They do not outlive the server.
#[derive(Default)]
pub(super) struct Commands {
    /// What authenticates the ids of sessions; made when the first is needed.
    secret: Option<[u8; SECRET_BYTES]>,
    sessions: Sessions,
}

impl Commands {
    fn secret(&mut self, cx: &mut Cx) -> [u8; SECRET_BYTES] {
        *self.secret.get_or_insert_with(|| {
            let mut secret = [0; SECRET_BYTES];
            cx.entropy.fill(&mut secret);
            secret
        })
    }
}

impl Server {
    /// An iq to a domain of ours that may be a command; false: it is none.
    pub(super) fn handle_command(
        &mut self,
        origin: Target,
        stanza: &Stanza,
    ) -> Result<bool, StanzaError> {
        let payload = stanza.iq_payload().filter(|payload| payload.is("command", ns::COMMANDS));
        let (Some(payload), Some(to)) = (payload, &stanza.to) else { return Ok(false) };
        if stanza.kind != StanzaKind::Iq(IqType::Set) {
            return Ok(false);
        }
        let call = Call::read(payload)?;
        let command = command_for(&self.cx, &stanza.from, call.node)?;
        let (secret, domain) = (self.commands.secret(&mut self.cx), to.to_bare());
        let parties = Parties {
            secret: &secret,
            requester: &stanza.from,
            responder: &domain,
            node: command.node,
        };
        if let Some(id) = call.session {
            self.commands.sessions.check(&parties, id, self.cx.now.unix_ms)?;
        }
        let asked = Asked { requester: &stanza.from, domain: &domain };
        let (answer, ends) = self.run_command(command, &call, &parties, &asked)?;
        self.cx.reply(origin, stanza, Some(answer.into_element()));
        for session in ends {
            self.end_kicked(session);
        }
        Ok(true)
    }

    /// One step of a command, and the sessions that end after its answer.
    fn run_command(
        &mut self,
        command: &'static Command,
        call: &Call<'_>,
        parties: &Parties<'_>,
        asked: &Asked<'_>,
    ) -> Result<(Answer, Vec<SessionId>), StanzaError> {
        let unix_ms = self.cx.now.unix_ms;
        let nonce = self.cx.random_hex(NONCE_BYTES);
        let outcome = match command.work {
            Work::Answer(work) => {
                call.check_without_form()?;
                work(self, asked)?
            }
            Work::Form { form, form_type, work } => match call.step(form_type)? {
                Step::Ask => {
                    let id = parties.session_id(&nonce, unix_ms, false);
                    let form = form().into_element();
                    return Ok((Answer::executing(command.node, &id, form), Vec::new()));
                }
                Step::Cancel => {
                    let id = call.session.unwrap_or_default();
                    self.commands.sessions.end(parties, id);
                    return Ok((Answer::canceled(command.node, id), Vec::new()));
                }
                Step::Do(submitted) => work(self, asked, &submitted)?,
            },
        };
        let id = match call.session {
            Some(id) => {
                self.commands.sessions.end(parties, id);
                id.to_owned()
            }
            None => parties.session_id(&nonce, unix_ms, true),
        };
        let mut answer = Answer::completed(command.node, &id);
        if let Some(form) = outcome.form {
            answer = answer.with_payload(form.into_element());
        }
        if let Some(note) = outcome.note {
            answer = answer.with_note(Note::Info, &note);
        }
        Ok((answer, outcome.ends))
    }
}
