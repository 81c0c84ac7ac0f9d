//! Ids that say who spoke and what was said (XEP-0421, XEP-0359), in every stanza of a room that
//! reaches anybody: in presences, messages, the history, the archive. An occupant id belongs to one
//! account in one room and never to another; an account has one for as long as the room exists, and
//! a room made anew gives others. A message has one occupant id, one stanza id and one sender,
//! wherever it is read again.

use std::collections::{BTreeMap, BTreeSet};

use tercet::xml::Element;
use tercet::xmpp::ns;

use super::ledger::bare;
use super::person::Person;

const ID_CHARS_MAX: usize = 128;

/// What the crowd has said: every text is said once.
#[derive(Clone, Debug)]
struct Said {
    room: String,
    account: String,
    occupant_id: Option<String>,
    stanza_id: Option<String>,
    /// The seat from which it was said.
    from: Option<String>,
}

#[derive(Debug, Default)]
pub struct Identities {
    /// Room and account by occupant id.
    holders: BTreeMap<String, (String, String)>,
    /// Occupant id by room and account, while the room exists.
    current: BTreeMap<(String, String), String>,
    /// Occupant ids of rooms that were destroyed.
    past: BTreeSet<String>,
    said: BTreeMap<String, Said>,
    /// Text by stanza id.
    stanza_ids: BTreeMap<String, String>,
}

impl Identities {
    /// Somebody sends a text to a room.
    pub fn say(&mut self, text: &str, room: &str, account: String) {
        let room = room.to_owned();
        let (occupant_id, stanza_id, from) = (None, None, None);
        let said = Said { room, account, occupant_id, stanza_id, from };
        self.said.insert(text.to_owned(), said);
    }

    pub fn stanza_id(&self, text: &str) -> Option<&str> {
        self.said.get(text)?.stanza_id.as_deref()
    }

    pub fn account_of(&self, text: &str) -> Option<&str> {
        self.said.get(text).map(|said| said.account.as_str())
    }

    pub fn room_of(&self, text: &str) -> Option<&str> {
        self.said.get(text).map(|said| said.room.as_str())
    }

    /// The observer has made the room: none that was there before lives on.
    pub fn begin_room(&mut self, room: &str) {
        self.forget(room);
        let old = self.holders.iter().filter(|(_, (other, _))| other == room);
        self.past.extend(old.map(|(id, _)| id.clone()));
    }

    /// The room may be another than it was.
    pub fn forget(&mut self, room: &str) {
        self.current.retain(|(other, _), _| other != room);
    }

    /// A stanza from a room, or from somebody in it, came to a person.
    pub fn observe(
        &mut self,
        person: &Person,
        (room, nick): (&str, &str),
        element: &Element,
    ) -> Result<(), String> {
        if element.name == "iq" {
            return Ok(());
        }
        let found = archived(element).map_or(element, |(_, message)| message);
        let nick = if std::ptr::eq(found, element) {
            nick
        } else {
            found.attr("from").and_then(|from| from.split_once('/')).map_or("", |(_, nick)| nick)
        };
        let ids: Vec<&Element> =
            found.elements().filter(|child| child.is("occupant-id", ns::OCCUPANT_ID)).collect();
        let x = found.child("x", ns::MUC_USER);
        let has = |code: &str| {
            let mut statuses = x.iter().flat_map(|x| x.elements());
            statuses.any(|e| e.name == "status" && e.attr("code") == Some(code))
        };
        // Who is told that it is not in the room at all has no id (XEP-0045 §7.2.18).
        let is_stranger = has("333") && has("307");
        let said = self.text_of(found);
        let is_nobody = person.is_probing && found.attr("type") == Some("unavailable");
        let is_due = !nick.is_empty()
            && !is_stranger
            && !is_nobody
            && (found.name == "presence"
                || said.is_some()
                || found.child("body", ns::CLIENT).is_some());
        let id = match ids.as_slice() {
            [] if !is_due => return Ok(()),
            [] => return Err("no occupant id".to_owned()),
            [one] => one.attr("id").unwrap_or_default(),
            _ => return Err("more than one occupant id".to_owned()),
        };
        if id.is_empty() || id.chars().count() > ID_CHARS_MAX {
            return Err(format!("a bad occupant id: {id:?}"));
        }
        let items = x.iter().flat_map(|x| x.elements()).filter(|e| e.name == "item");
        let jid = items.into_iter().find_map(|item| item.attr("jid")).map(bare);
        let own = person.account();
        let account = match (&said, jid) {
            (Some(text), _) => self.account_of(text).map(str::to_owned),
            (None, Some(jid)) => Some(jid.to_owned()),
            (None, None) if has("110") => Some(own),
            (None, None) => None,
        };
        if let Some(account) = account {
            self.attribute(person.is_observer() && found.name == "presence", id, room, &account)?;
        }
        match said {
            Some(text) => self.check_said(&text, room, id, found, element),
            None => Ok(()),
        }
    }

    /// What the crowd has said in it: a body or a subject.
    fn text_of(&self, message: &Element) -> Option<String> {
        let text = |name| message.child(name, ns::CLIENT).map(Element::text);
        let text = text("body").or_else(|| text("subject"))?;
        self.said.contains_key(&text).then_some(text)
    }

    fn attribute(
        &mut self,
        is_current: bool,
        id: &str,
        room: &str,
        account: &str,
    ) -> Result<(), String> {
        let holder = (room.to_owned(), account.to_owned());
        let known = self.holders.entry(id.to_owned()).or_insert_with(|| holder.clone());
        if *known != holder {
            return Err(format!("the occupant id of {known:?} is given to {holder:?}"));
        }
        if !is_current {
            return Ok(());
        }
        if self.past.contains(id) {
            return Err(format!("{id} has outlived its room"));
        }
        let current = self.current.entry(holder).or_insert_with(|| id.to_owned());
        if current == id { Ok(()) } else { Err(format!("the occupant id was {current}")) }
    }

    fn check_said(
        &mut self,
        text: &str,
        room: &str,
        id: &str,
        found: &Element,
        element: &Element,
    ) -> Result<(), String> {
        let Some(said) = self.said.get_mut(text) else { return Ok(()) };
        if said.room != room {
            return Err(format!("this was said in {}", said.room));
        }
        let once = |slot: &mut Option<String>, value: &str, what: &str| {
            let known = slot.get_or_insert_with(|| value.to_owned());
            if known == value { Ok(()) } else { Err(format!("{what} was {known}, is {value}")) }
        };
        once(&mut said.occupant_id, id, "the occupant id")?;
        once(&mut said.from, found.attr("from").unwrap_or_default(), "the sender")?;
        if found.attr("type") != Some("groupchat") {
            return Ok(());
        }
        let by_room = |e: &&Element| e.is("stanza-id", ns::SID) && e.attr("by") == Some(room);
        let ids: Vec<_> = found.elements().filter(by_room).collect();
        let in_archive = archived(element).map(|(id, _)| id);
        let is_subject = found.child("body", ns::CLIENT).is_none();
        let stanza_id = match (ids.as_slice(), in_archive) {
            ([], Some(id)) => id,
            ([one], None) => one.attr("id").unwrap_or_default(),
            ([one], Some(id)) if one.attr("id") == Some(id) => id,
            // The subject of newcomers need not say when it was set (§7.2.15).
            ([], None) if is_subject => return Ok(()),
            _ => return Err("not one stanza id of the room".to_owned()),
        };
        once(&mut said.stanza_id, stanza_id, "the stanza id")?;
        let known = self.stanza_ids.entry(stanza_id.to_owned()).or_insert_with(|| text.to_owned());
        if known == text { Ok(()) } else { Err(format!("the stanza id of {known} came again")) }
    }
}

/// A message out of an archive, and its id there (XEP-0313 §4.2).
pub fn archived(element: &Element) -> Option<(&str, &Element)> {
    let result = element.child("result", ns::MAM)?;
    let forwarded = result.child("forwarded", ns::FORWARD)?;
    Some((result.attr("id")?, forwarded.child("message", ns::CLIENT)?))
}
