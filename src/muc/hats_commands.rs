//! The commands by which hats are made, given and listed (XEP-0317 §3.2 to §3.7, XEP-0050). One
//! table says which there are, who may run each and what it does: disco shows from it to everybody
//! what is theirs.
//!
//! Owners manage hats. The list of hats is for those who may enter, the list of wearers for owners
//! and for those who see real addresses. A change is written first; then memory changes; then the
//! result goes out, the 104 message where the list of hats has changed, and the presences of
//! those who look different.

use std::collections::BTreeSet;

use super::config_form::check_lang;
use super::dispatch::Request;
use super::privilege;
use super::room::Room;
use crate::cx::Cx;
use crate::storage::Hat;
use crate::xml::Element;
use crate::xmpp::command::{Answer, Call, Note, Parties, Step, bad_payload};
use crate::xmpp::dataform::{Form, Submitted};
use crate::xmpp::disco::{DiscoInfo, Identity};
use crate::xmpp::{Affiliation, BareJid, Condition, ErrorType, Jid, Role, StanzaError, ns};

/// FORM_TYPE of all forms (§3.8).
const FORM_TYPE: &str = "urn:xmpp:hats:commands";
const TITLE: &str = "hats#title";
const URI: &str = "hats#uri";
const HUE: &str = "hats#hue";
const WEARER: &str = "hats#jid";

/// Bytes of a hat's address, title and language together.
const HAT_BYTES_MAX: usize = 1024;
/// Bytes of a hue: more digits than any angle needs.
const HUE_BYTES_MAX: usize = 32;
/// Hats that one account wears in one room: its presence shows all of them.
const HATS_WORN_MAX: usize = 16;
/// Hats worn in one room, by all together: `list-assigned` is one stanza.
const HATS_ASSIGNED_MAX: usize = 2_000;
/// Bytes of the tags of a row in a list, at most.
const ROW_TAGS_BYTES: usize = 220;
/// Random bytes that make a session id unique.
const NONCE_BYTES: usize = 8;

/// A command of the room.
struct Command {
    node: &'static str,
    /// For people.
    name: &'static str,
    may_run: fn(&Room, &BareJid) -> bool,
    work: Work,
}

/// What a command does.
enum Work {
    /// It answers at once.
    List(fn(&Room) -> Form),
    /// It takes a form; an `Err` of the change leaves everything as it was.
    Change { form: fn(&Room) -> Form, change: Change },
}

type Change = fn(&mut Room, &mut Cx, &Asked<'_>) -> Result<Outcome, StanzaError>;

/// A change that is asked for.
struct Asked<'a> {
    form: &'a Submitted,
    /// The language of the texts in it.
    lang: Option<&'a str>,
}

/// What a change has done, in storage and in memory.
#[derive(Default)]
struct Outcome {
    /// The list of hats is another one.
    has_new_list: bool,
    /// Whose hats look different.
    concerned: BTreeSet<BareJid>,
    /// Why nothing was done, though nothing was wrong.
    warning: Option<&'static str>,
}

const COMMANDS: &[Command] = &[
    Command {
        node: "urn:xmpp:hats:commands:create",
        name: "Create or update a hat",
        may_run: is_owner,
        work: Work::Change { form: create_form, change: create },
    },
    Command {
        node: "urn:xmpp:hats:commands:destroy",
        name: "Destroy a hat",
        may_run: is_owner,
        work: Work::Change { form: destroy_form, change: destroy },
    },
    Command {
        node: "urn:xmpp:hats:commands:list",
        name: "List hats",
        may_run: may_enter,
        work: Work::List(list),
    },
    Command {
        node: "urn:xmpp:hats:commands:assign",
        name: "Assign a hat to a user",
        may_run: is_owner,
        work: Work::Change { form: assign_form, change: assign },
    },
    Command {
        node: "urn:xmpp:hats:commands:unassign",
        name: "Remove a hat from a user",
        may_run: is_owner,
        work: Work::Change { form: unassign_form, change: unassign },
    },
    Command {
        node: "urn:xmpp:hats:commands:list-assigned",
        name: "List assigned hats",
        may_run: may_see_wearers,
        work: Work::List(list_assigned),
    },
];

fn is_owner(room: &Room, account: &BareJid) -> bool {
    room.check_owner(account).is_ok()
}

/// True for those inside, and for those who would be let in without a further word.
fn may_enter(room: &Room, account: &BareJid) -> bool {
    let rank = room.rank_of(account);
    let is_let_in = privilege::default_role(&room.options, rank.affiliation) != Role::None;
    let needs_password = !room.options.password.is_empty() && rank.affiliation < Affiliation::Admin;
    rank.role != Role::None || is_let_in && !needs_password
}

/// True for owners, and for occupants who see real addresses.
fn may_see_wearers(room: &Room, account: &BareJid) -> bool {
    let rank = room.rank_of(account);
    rank.affiliation == Affiliation::Owner
        || rank.role != Role::None && privilege::sees_jids(&room.options, rank.role)
}

impl Room {
    /// What an account may find at a node of commands (XEP-0050 §2.2); `None` when it is no such
    /// node.
    pub fn command_info(
        &self,
        account: &BareJid,
        node: &str,
    ) -> Option<Result<DiscoInfo, Condition>> {
        let info = |kind, name: &str| DiscoInfo {
            identities: vec![Identity { category: "automation", kind, name: name.to_owned() }],
            features: vec![ns::COMMANDS, ns::DATA],
            forms: Vec::new(),
        };
        if node == ns::COMMANDS {
            return Some(Ok(info("command-list", "Commands")));
        }
        let command = COMMANDS.iter().find(|command| command.node == node)?;
        let may_run = (command.may_run)(self, account);
        Some(if may_run {
            Ok(info("command-node", command.name))
        } else {
            Err(Condition::Forbidden)
        })
    }

    /// The commands that an account may run (XEP-0050 §2.2); `None` when it is no such node.
    pub fn command_items(&self, account: &BareJid, node: &str) -> Option<Vec<Element>> {
        if node != ns::COMMANDS {
            return COMMANDS.iter().any(|command| command.node == node).then(Vec::new);
        }
        let theirs = COMMANDS.iter().filter(|command| (command.may_run)(self, account));
        let item = |command: &Command| {
            Element::new("item", ns::DISCO_ITEMS)
                .with_attr("jid", self.jid.as_str())
                .with_attr("node", command.node)
                .with_attr("name", command.name)
        };
        Some(theirs.map(item).collect())
    }

    /// A command that is to be run, or to go on.
    pub fn handle_command(
        &mut self,
        cx: &mut Cx,
        request: &Request<'_>,
    ) -> Result<Option<Element>, StanzaError> {
        let call = Call::read(request.payload)?;
        let command = COMMANDS.iter().find(|command| command.node == call.node);
        let command = command.ok_or(Condition::ItemNotFound)?;
        if !(command.may_run)(self, &request.account) {
            // XEP-0050 §4.4: of this type, unlike elsewhere.
            return Err(StanzaError::new(Condition::Forbidden).with_type(ErrorType::Cancel));
        }
        let (secret, jid) = (self.secret.clone(), self.jid.clone());
        let parties = Parties {
            secret: &secret,
            requester: &request.stanza.from,
            responder: &jid,
            node: command.node,
        };
        if let Some(id) = call.session {
            self.hats.sessions.check(&parties, id, cx.now.unix_ms)?;
        }
        let new_session = |cx: &mut Cx, is_over| {
            parties.session_id(&cx.random_hex(NONCE_BYTES), cx.now.unix_ms, is_over)
        };
        let (form, change) = match command.work {
            Work::List(list) => {
                call.check_without_form()?;
                let answer = Answer::completed(command.node, &new_session(cx, true));
                let answer = answer.with_payload(list(self).into_element());
                return Ok(Some(answer.into_element()));
            }
            Work::Change { form, change } => (form, change),
        };
        let submitted = match call.step(FORM_TYPE)? {
            Step::Ask => {
                let (id, form) = (new_session(cx, false), form(self).into_element());
                return Ok(Some(Answer::executing(command.node, &id, form).into_element()));
            }
            Step::Cancel => {
                let id = call.session.unwrap_or_default();
                self.hats.sessions.end(&parties, id);
                return Ok(Some(Answer::canceled(command.node, id).into_element()));
            }
            Step::Do(submitted) => submitted,
        };
        let lang = request.payload.lang().or(request.stanza.lang.as_deref());
        let lang = lang.filter(|lang| !lang.is_empty() && check_lang(lang).is_ok());
        let outcome = change(self, cx, &Asked { form: &submitted, lang })?;
        let id = match call.session {
            Some(id) => {
                self.hats.sessions.end(&parties, id);
                id.to_owned()
            }
            None => new_session(cx, true),
        };
        self.finish(cx, request, Answer::completed(command.node, &id), &outcome);
        Ok(None)
    }

    /// The result of a change, and what the others hear of it.
    fn finish(&mut self, cx: &mut Cx, request: &Request<'_>, answer: Answer, outcome: &Outcome) {
        let keys = self.wear_hats(&outcome.concerned);
        let answer = match outcome.warning {
            Some(warning) => answer.with_note(Note::Warn, warning),
            None => answer,
        };
        cx.reply(request.origin, request.stanza, Some(answer.into_element()));
        if outcome.has_new_list {
            self.tell_status(cx, &[104]); // §3.2
        }
        self.show_hats(cx, &keys);
    }

    /// Remembers that the room was written, when it is one that is.
    fn hats_written(&mut self, cx: &Cx) {
        if self.is_stored {
            self.mark_written(cx);
        }
    }
}

/// A field of one line, without white space around it.
fn line<'a>(form: &'a Submitted, var: &str) -> Result<Option<&'a str>, StanzaError> {
    let text = form.text(var).map_err(|_| bad_payload("more than one value"))?;
    Ok(text.map(str::trim))
}

/// The same of a field that must be there.
fn required<'a>(form: &'a Submitted, var: &str) -> Result<&'a str, StanzaError> {
    let text = line(form, var)?.filter(|text| !text.is_empty());
    text.ok_or_else(|| bad_payload("a required field is missing"))
}

/// The hat that a form names.
fn known_hat<'a>(room: &'a Room, form: &Submitted) -> Result<&'a Hat, StanzaError> {
    room.hats.get(required(form, URI)?).ok_or_else(|| bad_payload("there is no such hat"))
}

/// The account that a form names.
fn wearer(cx: &Cx, form: &Submitted) -> Result<BareJid, StanzaError> {
    let jid = Jid::parse(required(form, WEARER)?).map_err(|_| bad_payload("not an address"))?;
    if jid.local().is_none() || cx.config.is_room_domain(jid.domain()) {
        return Err(bad_payload("not the address of a user"));
    }
    Ok(jid.to_bare())
}

/// A URI (RFC 3986 §3), as far as it must be one to be told from others: a scheme, a colon, and
/// something without white space behind it.
fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let is_scheme_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(is_scheme_byte)
        && !rest.is_empty()
        && !rest.contains(|char: char| char.is_whitespace() || char.is_control())
}

/// A hue angle: degrees in decimal digits, 0 to less than 360.
fn is_hue(text: &str) -> bool {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let degrees = whole.parse::<u32>();
    text.len() <= HUE_BYTES_MAX
        && is_digits(whole)
        && is_digits(fraction)
        && degrees.is_ok_and(|degrees| degrees < 360)
}

/// The options of a field that names a hat.
fn hat_options(room: &Room) -> Vec<(&str, &str)> {
    room.hats.iter().map(|hat| (&*hat.uri, hat.title.as_str())).collect()
}

fn to_fill_in(title: &str, instructions: &str) -> Form {
    Form::to_fill_in(FORM_TYPE, title, instructions)
}

fn with_hat(form: Form, room: &Room) -> Form {
    form.list(URI, "The hat", "", &hat_options(room)).required()
}

fn create_form(_: &Room) -> Form {
    to_fill_in("Creating a Hat", "The URI of a hat that is there updates it.")
        .text(TITLE, "Hat Title", "")
        .required()
        .text(URI, "Hat URI", "")
        .required()
        .text(HUE, "Hat Hue", "")
}

fn destroy_form(room: &Room) -> Form {
    with_hat(to_fill_in("Destroying a Hat", "It is taken from everybody who wears it."), room)
}

fn assign_form(room: &Room) -> Form {
    let form = to_fill_in("Assigning a Hat", "The user wears it until it is removed.");
    with_hat(form.jid(WEARER, "User Address", "").required(), room)
}

fn unassign_form(room: &Room) -> Form {
    let form = to_fill_in("Removing a Hat", "The user wears it no more.");
    with_hat(form.jid(WEARER, "User Address", "").required(), room)
}

/// §3.2: makes a hat, or changes the one with this address. A hue that is left out stays.
fn create(room: &mut Room, cx: &mut Cx, asked: &Asked<'_>) -> Result<Outcome, StanzaError> {
    let (uri, title) = (required(asked.form, URI)?, required(asked.form, TITLE)?);
    let bytes = uri.len() + title.len() + asked.lang.map_or(0, str::len);
    let is_long = |text: &str| super::check_text_len(&cx.config, text.len()).is_err();
    if bytes > HAT_BYTES_MAX || is_long(uri) || is_long(title) {
        return Err(bad_payload("the text is too long"));
    }
    if !is_uri(uri) {
        return Err(bad_payload("not a URI"));
    }
    let known = room.hats.get(uri);
    let hue = match line(asked.form, HUE)? {
        None => known.and_then(|hat| hat.hue.clone()),
        Some("") => None,
        Some(hue) if is_hue(hue) => Some(hue.to_owned()),
        Some(_) => return Err(bad_payload("not a hue: degrees from 0 to less than 360")),
    };
    let max = cx.config.limits.room_hats;
    if known.is_none() && max > 0 && room.hats.len() >= max {
        return Err(StanzaError::new(Condition::ResourceConstraint).with_text("too many hats"));
    }
    let lang = asked.lang.map(str::to_owned);
    let hat = Hat { uri: uri.into(), title: title.to_owned(), lang, hue };
    if known == Some(&hat) {
        return Ok(Outcome { warning: Some("the hat is like that"), ..Outcome::default() });
    }
    let (others, worn) = (room.hats.iter(), room.hats.assigned());
    let others = others.filter(|other| other.uri != hat.uri).chain([&hat]);
    let list = others.map(|other| row_bytes(None, other)).sum();
    let worn =
        worn.map(|(jid, worn)| row_bytes(Some(jid), if worn.uri == hat.uri { &hat } else { worn }));
    super::check_answer_bytes(&cx.config, worn.sum::<usize>().max(list))?;
    if room.is_stored {
        cx.storage.room_hat_put(&room.jid, &hat)?;
    }
    room.hats_written(cx);
    room.hats.put(hat);
    Ok(Outcome { has_new_list: true, concerned: room.hats.wearers(uri), warning: None })
}

/// §3.3: also takes it from everybody who wears it.
fn destroy(room: &mut Room, cx: &mut Cx, asked: &Asked<'_>) -> Result<Outcome, StanzaError> {
    let uri = known_hat(room, asked.form)?.uri.clone();
    if room.is_stored {
        cx.storage.room_hat_remove(&room.jid, &uri)?;
    }
    room.hats_written(cx);
    let concerned = room.hats.wearers(&uri);
    room.hats.remove(&uri);
    Ok(Outcome { has_new_list: true, concerned, warning: None })
}

/// §3.5: one hat at a time.
fn assign(room: &mut Room, cx: &mut Cx, asked: &Asked<'_>) -> Result<Outcome, StanzaError> {
    let jid = wearer(cx, asked.form)?;
    let uri = known_hat(room, asked.form)?.uri.clone();
    if room.hats.is_worn_by(&jid, &uri) {
        return Ok(Outcome { warning: Some("the user wears it"), ..Outcome::default() });
    }
    let is_full = room.hats.worn_count(&jid) >= HATS_WORN_MAX
        || room.hats.assigned_count() >= HATS_ASSIGNED_MAX;
    if is_full {
        let error = StanzaError::new(Condition::ResourceConstraint);
        return Err(error.with_text("too many hats are worn"));
    }
    let worn = room.hats.assigned().map(|(jid, hat)| row_bytes(Some(jid), hat)).sum::<usize>();
    let new = room.hats.get(&uri).map_or(0, |hat| row_bytes(Some(&jid), hat));
    super::check_answer_bytes(&cx.config, worn + new)?;
    if room.is_stored {
        cx.storage.room_hat_give(&room.jid, &jid, &uri)?;
    }
    room.hats_written(cx);
    room.hats.give(&jid, &uri);
    Ok(Outcome { concerned: [jid].into(), ..Outcome::default() })
}

/// §3.6
fn unassign(room: &mut Room, cx: &mut Cx, asked: &Asked<'_>) -> Result<Outcome, StanzaError> {
    let jid = wearer(cx, asked.form)?;
    let uri = known_hat(room, asked.form)?.uri.clone();
    if !room.hats.is_worn_by(&jid, &uri) {
        return Ok(Outcome { warning: Some("the user does not wear it"), ..Outcome::default() });
    }
    if room.is_stored {
        cx.storage.room_hat_take(&room.jid, &jid, &uri)?;
    }
    room.hats_written(cx);
    room.hats.take(&jid, &uri);
    Ok(Outcome { concerned: [jid].into(), ..Outcome::default() })
}

/// §3.4
fn list(room: &Room) -> Form {
    let columns = [(TITLE, "Title"), (URI, "URI"), (HUE, "Hue")];
    room.hats.iter().fold(Form::table("Hats List", &columns), |table, hat| {
        let hue = hat.hue.as_deref().unwrap_or_default();
        table.row(&[(TITLE, &hat.title), (URI, &hat.uri), (HUE, hue)])
    })
}

/// Bytes of the row of a hat, and of who wears it, in a list.
fn row_bytes(jid: Option<&BareJid>, hat: &Hat) -> usize {
    let hue = hat.hue.as_deref().unwrap_or_default();
    let texts = [jid.map_or("", BareJid::as_str), &hat.title, &hat.uri, hue];
    ROW_TAGS_BYTES + texts.into_iter().map(super::escaped_bytes).sum::<usize>()
}

/// §3.7
fn list_assigned(room: &Room) -> Form {
    let columns = [(WEARER, "User Address"), (URI, "URI"), (TITLE, "Title"), (HUE, "Hue")];
    let table = Form::table("Assigned Hats List", &columns);
    room.hats.assigned().fold(table, |table, (jid, hat)| {
        let hue = hat.hue.as_deref().unwrap_or_default();
        table.row(&[(WEARER, jid.as_str()), (URI, &hat.uri), (TITLE, &hat.title), (HUE, hue)])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris() {
        for good in ["http://tech.example.edu/hats#Teacher", "urn:x", "a+b-c.1:ü", "xmpp:a@b"] {
            assert!(is_uri(good), "{good}");
        }
        for bad in ["", ":", "http:", "teacher", "1a:b", "a b:c", "a:b c", "a:\u{7}", "ä:b"] {
            assert!(!is_uri(bad), "{bad}");
        }
    }

    #[test]
    fn hues() {
        for good in ["0", "359", "359.999999", "327.255249", "0.0", "007"] {
            assert!(is_hue(good), "{good}");
        }
        let long = format!("1.{}", "0".repeat(HUE_BYTES_MAX));
        for bad in ["", "360", "360.0", "-1", "+1", "1e2", ".5", "5.", "1.2.3", "red", "NaN", &long]
        {
            assert!(!is_hue(bad), "{bad}");
        }
    }
}
