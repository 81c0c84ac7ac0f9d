//! The card of a room and its avatar (XEP-0054, XEP-0486): set by owners, read by whoever may ask
//! what the room is. The hashes of its pictures (XEP-0153) are told in disco#info; no presence of
//! the bare room tells them, which XEP-0486 §5.2 advises against.
//!
//! The card of a stored room stays in the database, and goes out as it was written there: a room
//! of thousands asks for it at once when it changes. A temporary room holds it in memory.

use super::dispatch::Request;
use super::room::Room;
use crate::cx::Cx;
use crate::storage::{StorageError, StoredVcard};
use crate::xmpp::vcard::Card;
use crate::xmpp::{Condition, StanzaError};

/// A room's card.
#[derive(Default)]
pub struct Vcard {
    /// SHA-1 of each picture, in hexadecimal.
    photos: Vec<String>,
    /// The card, while the room is temporary; and while the commit that has stored it may be lost.
    xml: Option<String>,
}

impl Room {
    /// The hashes of its avatar: several when there are several formats of it.
    pub fn avatar_hashes(&self) -> &[String] {
        &self.vcard.photos
    }

    /// A get (XEP-0054 §3.3, XEP-0486 §3.4). A room without a card answers like one that is not
    /// there, as §3.3 demands, by the condition of §3.1: `service-unavailable` is a room that
    /// cannot have one (XEP-0486 §3.2).
    pub fn vcard_get(&mut self, cx: &mut Cx, request: &Request<'_>) -> Result<(), StanzaError> {
        let xml = self.vcard_xml(cx)?.ok_or(Condition::ItemNotFound)?;
        cx.reply_xml(request.origin, request.stanza, &xml);
        Ok(())
    }

    /// A set, by an owner (XEP-0486 §3.2).
    pub fn vcard_set(&mut self, cx: &mut Cx, request: &Request<'_>) -> Result<(), StanzaError> {
        self.check_owner(&request.account).map_err(|condition| {
            StanzaError::new(condition).with_text("only owners may change the card of the room")
        })?;
        // XEP-0486 §3.2: an empty one removes it.
        let vcard = Card::read(request.payload, cx.config.limits.room_vcard_bytes)?;
        let vcard = vcard.map(|card| StoredVcard { photos: card.hashes(), xml: card.xml });
        if self.vcard_xml(cx)?.as_deref() == vcard.as_ref().map(|vcard| vcard.xml.as_str()) {
            cx.reply(request.origin, request.stanza, None);
            return Ok(());
        }
        if self.is_stored {
            cx.storage.room_vcard_put(&self.jid, vcard.as_ref())?;
            self.mark_written(cx);
        }
        let (photos, xml) = vcard.map(|vcard| (vcard.photos, vcard.xml)).unzip();
        self.vcard.photos = photos.unwrap_or_default();
        self.vcard.xml = xml.filter(|_| !self.is_stored || self.vcard.xml.is_some());
        cx.reply(request.origin, request.stanza, None);
        self.tell_status(cx, &[104]);
        Ok(())
    }

    /// The card as it is sent.
    fn vcard_xml(&mut self, cx: &mut Cx) -> Result<Option<String>, StorageError> {
        if !self.is_stored {
            return Ok(self.vcard.xml.clone());
        }
        if self.written_turn != Some(cx.storage.turn_number()) {
            self.vcard.xml = None; // Stored for good.
        }
        cx.storage.room_vcard(&self.jid)
    }

    /// Writes the card of a room that has just been stored.
    pub fn store_vcard(&mut self, cx: &mut Cx) -> Result<(), StorageError> {
        let Some(xml) = self.vcard.xml.clone() else { return Ok(()) };
        let photos = self.vcard.photos.clone();
        cx.storage.room_vcard_put(&self.jid, Some(&StoredVcard { photos, xml }))
    }

    /// Takes the card of a stored room into memory: it is about to be temporary.
    pub fn keep_vcard(&mut self, cx: &mut Cx) -> Result<(), StorageError> {
        self.vcard.xml = cx.storage.room_vcard(&self.jid)?;
        Ok(())
    }

    /// Reads what is to be known of the card of a stored room.
    pub fn load_vcard(&mut self, cx: &mut Cx) -> Result<(), StorageError> {
        self.vcard = Vcard { photos: cx.storage.room_vcard_photos(&self.jid)?, xml: None };
        Ok(())
    }
}
