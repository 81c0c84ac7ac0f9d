//! The archive of a room (XEP-0313 for rooms), writing: what was said while the room was stored,
//! kept by the turn that sends it. When it cannot be kept it is not said.
//!
//! Kept is what holds meaning (§3): messages with a body, changes of the subject, retractions
//! (XEP-0424 §5), reactions, and what its sender wants stored (`<store/>`); not chat states and
//! markers alone. `<no-store/>` and `<no-permanent-store/>` (XEP-0334 §4) keep a message out, the
//! former out of the history for newcomers too; a retraction is kept all the same, or those who
//! were away would keep what it takes back. Nor is anything kept that the room says of itself, but
//! for the retractions by its moderators. The id of a message here is the stanza id that occupants
//! saw (§3.5). The sender is stored as it was: full address, affiliation, role.
//!
//! When an owner switches the archive off, what is in it is removed: a room that says it keeps
//! nothing keeps nothing. After a restart the history is filled from here.

use super::history::Said;
use super::occupant::Occupant;
use super::room::Room;
use super::{retract, subject};
use crate::archives::{self, Archive, read_message};
use crate::config::Config;
use crate::cx::{Cx, Now};
use crate::outbound::Envelope;
use crate::storage::{
    ArchiveFilter, ArchiveOwner, ArchiveSlice, ArchivedAuthor, ArchivedMessage, Retention,
    StorageError,
};
use crate::xml::Element;
use crate::xmpp::{BareJid, Jid, MessageType, Stanza, StanzaKind, ns};

/// Who said something: the occupant, and the session it used.
#[derive(Clone, Copy)]
pub struct Author<'a> {
    /// The occupant.
    pub occupant: &'a Occupant,
    /// The real full address.
    pub session_jid: &'a Jid,
}

/// True for a message that is archived.
fn is_archived(message: &Stanza) -> bool {
    let has = |name, ns| message.child(name, ns).is_some();
    let is_unwanted = has("no-store", ns::HINTS) || has("no-permanent-store", ns::HINTS);
    has("retract", ns::RETRACT)
        || !is_unwanted
            && (has("body", ns::CLIENT)
                || has("store", ns::HINTS)
                || has("reactions", ns::REACTIONS)
                || subject::is_change(message))
}

/// True for a message that newcomers get as history (XEP-0045 §7.2.13).
pub fn is_replayed(message: &Stanza) -> bool {
    let has = |name, ns| message.child(name, ns).is_some();
    has("retract", ns::RETRACT) || has("body", ns::CLIENT) && !has("no-store", ns::HINTS)
}

/// The id that the room gave a message (XEP-0359).
pub fn stanza_id<'a>(room: &BareJid, message: &'a Stanza) -> &'a str {
    let mut ids = message.elements().filter(|element| element.is("stanza-id", ns::SID));
    let own = ids.find(|id| id.attr("by") == Some(room.as_str()));
    own.and_then(|id| id.attr("id")).expect("the room gives each message an id")
}

/// A stored message as a stanza to all.
pub fn to_stanza(message: Element) -> Option<Stanza> {
    let from = Jid::parse(message.attr("from")?).ok()?;
    let text = |value: Option<&str>| value.map(str::to_owned);
    let (id, lang) = (text(message.attr("id")), text(message.lang()));
    let mut stanza = Stanza::new(StanzaKind::Message(MessageType::Groupchat), from, None);
    stanza.id = id;
    stanza.lang = lang;
    stanza.children = message.children;
    Some(stanza)
}

/// What an archive keeps now.
pub fn retention(config: &Config, now: Now) -> Retention {
    let limits = &config.limits;
    let days = config.rooms.archive_days;
    archives::retention(now, days, limits.room_archive_messages, limits.room_archive_bytes)
}

impl Room {
    /// True when messages are archived: they are while the room is stored.
    pub fn keeps_archive(&self) -> bool {
        self.is_stored && self.options.archive
    }

    /// Archives a message as it is about to be sent to all; without an author it is the room's.
    pub fn archive(
        &mut self,
        cx: &mut Cx,
        author: Option<Author<'_>>,
        message: &Stanza,
        envelope: &Envelope,
    ) -> Result<(), StorageError> {
        if !self.keeps_archive() || !is_archived(message) {
            return Ok(());
        }
        let archived = ArchivedMessage {
            uid: stanza_id(&self.jid, message).to_owned(),
            unix_ms: cx.now.unix_ms,
            nick: message.from.resource().unwrap_or_default().to_owned(),
            author: author.map(|author| ArchivedAuthor {
                jid: author.session_jid.clone(),
                affiliation: author.occupant.affiliation,
                role: author.occupant.role,
                occupant_id: author.occupant.id.to_string(),
            }),
            is_replayed: is_replayed(message),
            xml: envelope.to_vec(),
        };
        cx.storage.archive_add(self.archive_owner(), &archived, retention(&cx.config, cx.now))?;
        self.mark_written(cx);
        Ok(())
    }

    /// Keeps a message that is about to be sent to all for those who come later; of one that is
    /// not to be kept, no more than moderators need to take it back.
    pub fn remember(
        &mut self,
        cx: &Cx,
        author: Option<Author<'_>>,
        message: &Stanza,
        envelope: &Envelope,
    ) {
        let said = Said {
            from: message.from.clone(),
            id: stanza_id(&self.jid, message).to_owned(),
            author: author.map(|author| author.occupant.id.clone()),
            unix_ms: cx.now.unix_ms,
        };
        if !is_replayed(message) {
            if message.child("body", ns::CLIENT).is_some() {
                let emptied = Stanza { id: None, ..retract::emptied(&self.jid, message) };
                self.history.pass(said, Envelope::new(&emptied));
            }
            return;
        }
        let messages_max = self.options.history_messages as usize;
        let bytes_max = cx.config.limits.room_history_bytes;
        self.history.push(&self.jid, said, envelope, messages_max, bytes_max);
    }

    /// Fills the history from the end of the archive: nobody was here to say anything since.
    pub fn recall(&mut self, cx: &mut Cx) -> Result<(), StorageError> {
        if !self.keeps_archive() {
            return Ok(());
        }
        self.archive_read(cx).expire(cx)?;
        let messages_max = self.options.history_messages as usize;
        let bytes_max = cx.config.limits.room_history_bytes;
        let filter = ArchiveFilter {
            start_ms: retention(&cx.config, cx.now).oldest_ms,
            replayed_only: true,
            ..ArchiveFilter::default()
        };
        let slice = ArchiveSlice {
            from_end: true,
            skipped: 0,
            messages_max,
            bytes_max: if bytes_max == 0 { usize::MAX } else { bytes_max },
        };
        let page = cx.storage.archive_page(self.archive_owner(), &filter, slice)?;
        self.history = super::history::History::default();
        for archived in page.messages {
            let Some(stanza) = read_message(&archived.xml).and_then(to_stanza) else { continue };
            let author = archived.author.map(|author| author.occupant_id.into());
            let from = stanza.from.clone();
            let said = Said { from, id: archived.uid, author, unix_ms: archived.unix_ms };
            let envelope = Envelope::new(&stanza);
            self.history.push(&self.jid, said, &envelope, messages_max, bytes_max);
        }
        Ok(())
    }

    /// Whose archive it is, for storage.
    pub fn archive_owner(&self) -> ArchiveOwner<'_> {
        ArchiveOwner::Room(&self.jid)
    }

    /// The archive, to be read.
    pub fn archive_read(&self, cx: &Cx) -> Archive<'_> {
        Archive::new(self.archive_owner(), retention(&cx.config, cx.now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept() {
        let from = Jid::parse("u@h/r").expect("an address");
        let kind = StanzaKind::Message(MessageType::Groupchat);
        let message = |children: &[(&'static str, &'static str)]| {
            let message = Stanza::new(kind, from.clone(), None);
            let child = |(name, ns): &(&'static str, &'static str)| Element::new(*name, *ns);
            children.iter().map(child).fold(message, Stanza::with_child)
        };
        let (body, subject) = (("body", ns::CLIENT), ("subject", ns::CLIENT));
        let (no_store, no_permanent) = (("no-store", ns::HINTS), ("no-permanent-store", ns::HINTS));
        let (store, retract) = (("store", ns::HINTS), ("retract", ns::RETRACT));
        let composing = ("composing", "http://jabber.org/protocol/chatstates");
        let displayed = ("displayed", "urn:xmpp:chat-markers:0");
        for (children, want) in [
            (&[body][..], (true, true)),
            (&[body, composing], (true, true)),
            (&[subject], (true, false)),
            (&[subject, body], (true, true)),
            (&[retract], (true, true)),
            (&[retract, no_store], (true, true)),
            (&[("reactions", ns::REACTIONS)], (true, false)),
            (&[store, ("encrypted", "urn:xmpp:omemo:2")], (true, false)),
            (&[composing], (false, false)),
            (&[displayed], (false, false)),
            (&[], (false, false)),
            (&[body, no_store], (false, false)),
            (&[body, no_permanent], (false, true)),
            (&[body, store, no_permanent], (false, true)),
            (&[subject, no_store], (false, false)),
        ] {
            let message = message(children);
            assert_eq!((is_archived(&message), is_replayed(&message)), want, "{children:?}");
        }
    }
}
