//! The card of a room and its avatar (XEP-0054, XEP-0486): set by owners, read by whoever may ask
//! what the room is. The hashes of its pictures (XEP-0153) are told in disco#info; no presence of
//! the bare room tells them, which XEP-0486 §5.2 advises against.
//!
//! The card of a stored room stays in the database, and goes out as it was written there: a room
//! of thousands asks for it at once when it changes. A temporary room holds it in memory.

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use super::dispatch::Request;
use super::room::Room;
use crate::config::Config;
use crate::cx::Cx;
use crate::storage::{StorageError, StoredVcard};
use crate::xml::Element;
use crate::xml::writer::write_element;
use crate::xmpp::{Condition, StanzaError, base64, ns};

/// Pictures of one card: several are one image in several formats (XEP-0486 §5.1).
const PHOTOS_MAX: usize = 8;

/// A room's card.
#[derive(Default)]
pub struct Vcard {
    /// SHA-1 of each picture, in hexadecimal.
    photos: Vec<String>,
    /// The card, while the room is temporary; and while the commit that has stored it may be lost.
    xml: Option<String>,
}

/// Reads a card that is to be set; `None` for an empty one.
fn read(config: &Config, vcard: &Element) -> Result<Option<StoredVcard>, StanzaError> {
    if vcard.elements().next().is_none() {
        return Ok(None); // XEP-0486 §3.2: removes it.
    }
    let mut photos = Vec::new();
    for photo in vcard.elements().filter(|element| element.is("PHOTO", ns::VCARD_TEMP)) {
        let Some(binval) = photo.child("BINVAL", ns::VCARD_TEMP) else { continue };
        // XEP-0153 §4.6: lines may be broken anywhere.
        let digits: String = binval.text().split_ascii_whitespace().collect();
        let image = base64::decode(&digits).ok_or_else(|| {
            StanzaError::new(Condition::BadRequest).with_text("the picture is not Base64")
        })?;
        if !image.is_empty() {
            photos.push(sha1(&image)); // XEP-0153 §3.1: of the picture itself.
        }
    }
    if photos.len() > PHOTOS_MAX {
        return Err(StanzaError::new(Condition::NotAcceptable).with_text("too many pictures"));
    }
    let mut xml = Vec::new();
    write_element(&mut xml, vcard, ns::CLIENT);
    let max = config.limits.room_vcard_bytes;
    if max > 0 && xml.len() > max {
        return Err(StanzaError::new(Condition::PolicyViolation).with_text("the card is too large"));
    }
    Ok(Some(StoredVcard { photos, xml: String::from_utf8_lossy(&xml).into_owned() }))
}

fn sha1(bytes: &[u8]) -> String {
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes);
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
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
        let vcard = read(&cx.config, request.payload)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn vcard(pictures: &[&str]) -> Element {
        pictures.iter().fold(Element::new("vCard", ns::VCARD_TEMP), |vcard, text| {
            let binval = Element::new("BINVAL", ns::VCARD_TEMP).with_text(*text);
            vcard.with_child(Element::new("PHOTO", ns::VCARD_TEMP).with_child(binval))
        })
    }

    #[test]
    fn cards() {
        let config = Config::default();
        let photos = |pictures: &[&str]| {
            let read = read(&config, &vcard(pictures)).map_err(|error| error.condition)?;
            Ok::<_, Condition>(read.map(|vcard| vcard.photos))
        };
        assert_eq!(photos(&[]), Ok(None));
        let svg = "PHN2ZyB4bWxucz0iaHR0cDovL3d3dy53My5vcmcvMjAwMC9zdmciIHdpZHRoPSIzMiIgaGVpZ2h0\n\
                   \tPSIzMiI+CiA8cmVjdCB4PSIwIiB5PSIwIiB3aWR0aD0iMzIiIGhlaWdodD0iMzIiIGZpbGw9In\r\n\
                   JlZCIvPgo8L3N2Zz4K";
        let hash = "a31c4bd04de69663cfd7f424a8453f4674da37ff".to_owned(); // XEP-0486 §3.3
        assert_eq!(photos(&[svg]), Ok(Some(vec![hash.clone()])));
        assert_eq!(
            photos(&["AA==", svg]).map(|photos| photos.map(|all| all[1].clone())),
            Ok(Some(hash))
        );
        assert_eq!(photos(&[" \n"]), Ok(Some(vec![])));
        assert_eq!(photos(&["AA=A"]), Err(Condition::BadRequest));
        assert_eq!(photos(&["not an image"]), Err(Condition::BadRequest));
        assert_eq!(photos(&["AA=="; PHOTOS_MAX + 1]), Err(Condition::NotAcceptable));
        let large = "AAAA".repeat(config.limits.room_vcard_bytes / 4);
        assert_eq!(photos(&[&large]), Err(Condition::PolicyViolation));
    }
}
