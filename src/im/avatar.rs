//! Avatars: the picture on the card (XEP-0153) and the one in the nodes (XEP-0084) are the same
//! (XEP-0398), whichever of them the client knows, and its hash is told in presence.
//!
//! Both are stored; who changes one changes the other. The card can be read by everybody, so only a
//! node that is open to all fills it (XEP-0398 §7). An avatar that is taken back goes from both.

use crate::cx::Cx;
use crate::ids::SessionId;
use crate::storage::{PepAccess, PepConfig, StorageError, StoredVcard};
use crate::xml::{Element, Node, read_fragment};
use crate::xmpp::vcard::{Card, Picture, decode_image, with_picture};
use crate::xmpp::{BareJid, Stanza, StanzaError, base64, ns};

use super::Im;
use super::pep::PepChange;

/// What a presence says of an avatar (XEP-0153 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told<'a> {
    /// Nothing, or that it is not known yet: the server says it (XEP-0398 §4).
    Nothing,
    /// There is none, or none to be shown.
    None,
    /// Its hash.
    Hash(&'a str),
}

impl Im {
    /// Tells the hash of the account's avatar in available presence of a session, broadcast or
    /// directed, where the client has not said anything of it (XEP-0398 §4).
    pub(super) fn add_avatar(
        &mut self,
        cx: &mut Cx,
        id: SessionId,
        presence: &mut Stanza,
    ) -> Result<(), StorageError> {
        if said(&text_of(presence)) != Told::Nothing {
            return Ok(());
        }
        let Some(session) = self.sessions.get(id) else { return Ok(()) };
        let Some(account) = self.accounts.get_mut(&session.account) else { return Ok(()) };
        if account.avatar.is_none() {
            let hashes = cx.storage.account_vcard_photos(&session.account)?;
            account.avatar = Some(hashes.into_iter().next().map(String::into_boxed_str));
        }
        if let Some(Some(hash)) = &account.avatar {
            say(presence, hash);
        }
        Ok(())
    }

    /// A card was set whose first picture is `picture`, in the place of one with the hashes
    /// `before`: the nodes follow (XEP-0398 §3.2).
    pub(super) fn publish_picture(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        picture: Option<&Picture>,
        before: &[String],
    ) -> Result<(), StanzaError> {
        let published = self.pep_items(cx, account, ns::AVATAR_METADATA)?.pop();
        let published = published.map(|(id, metadata)| (id, is_disabled(&metadata)));
        self.is_converting = true;
        let done = match (picture, published) {
            (Some(picture), Some((id, false))) if id.eq_ignore_ascii_case(&picture.sha1()) => {
                Ok(())
            }
            (Some(picture), _) => self.publish_avatar(cx, account, picture),
            // It was taken from the card, so it is no more: not so one that never was on it.
            (None, Some((id, false))) if is_among(&id, before) => {
                let empty = Element::new("metadata", ns::AVATAR_METADATA);
                self.pep_publish(cx, account, ns::AVATAR_METADATA, &id, empty, &open_node())
            }
            (None, _) => Ok(()),
        };
        self.is_converting = false;
        done
    }

    /// XEP-0398 §3.2: first the picture, then what is said of it.
    fn publish_avatar(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        picture: &Picture,
    ) -> Result<(), StanzaError> {
        let (hash, config) = (picture.sha1(), open_node());
        let text = base64::encode(&picture.image);
        let data = Element::new("data", ns::AVATAR_DATA).with_text(text);
        self.pep_publish(cx, account, ns::AVATAR_DATA, &hash, data, &config)?;
        let info = Element::new("info", ns::AVATAR_METADATA)
            .with_attr("bytes", picture.image.len().to_string())
            .with_attr("id", hash.as_str())
            .with_attr("type", picture.content_type());
        let metadata = Element::new("metadata", ns::AVATAR_METADATA).with_child(info);
        self.pep_publish(cx, account, ns::AVATAR_METADATA, &hash, metadata, &config)
    }

    /// The node of avatars has changed: the card follows (XEP-0398 §3.1).
    pub(super) fn handle_avatar_change(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        change: PepChange<'_>,
    ) -> Result<(), StanzaError> {
        let before = cx.storage.account_vcard_photos(account)?;
        let picture = match change {
            PepChange::Published(Some(metadata)) if is_disabled(metadata) => None,
            PepChange::Published(Some(metadata)) => {
                match self.published_picture(cx, account, metadata)? {
                    None => return Ok(()),
                    picture => picture,
                }
            }
            PepChange::Published(None) => return Ok(()),
            PepChange::Retracted(ids) if ids.iter().any(|id| is_among(id, &before)) => None,
            PepChange::Retracted(_) => return Ok(()),
            PepChange::Purged | PepChange::Deleted => None,
        };
        let hash = picture.as_ref().map(Picture::sha1);
        if hash.as_ref() == before.first() {
            return Ok(());
        }
        let xml = cx.storage.account_vcard(account)?.unwrap_or_default();
        let vcard = read_fragment(xml.as_bytes(), ns::CLIENT).pop();
        let vcard = vcard.unwrap_or_else(|| Element::new("vCard", ns::VCARD_TEMP));
        let bytes_max = cx.config.limits.account_vcard_bytes;
        // A picture that the card has no room for is left out of it.
        let card = match Card::read(&with_picture(vcard.clone(), picture.as_ref()), bytes_max) {
            Ok(card) => card,
            Err(_) => Card::read(&with_picture(vcard, None), 0)?,
        };
        let stored = card.map(|card| StoredVcard { photos: card.hashes(), xml: card.xml });
        cx.storage.account_vcard_put(account, stored.as_ref())?;
        self.renew_avatar(cx, account, &before)
    }

    /// The picture that is meant: the first that is no address elsewhere, if everybody may read it
    /// and it is what it is called (XEP-0398 §3.1, §7).
    fn published_picture(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        metadata: &Element,
    ) -> Result<Option<Picture>, StanzaError> {
        let node = cx.storage.pep_node(account, ns::AVATAR_DATA)?;
        if node.is_none_or(|node| node.config.access != PepAccess::Open) {
            return Ok(None);
        }
        for info in metadata.elements().filter(|info| info.is("info", ns::AVATAR_METADATA)) {
            let (Some(id), None) = (info.attr("id"), info.attr("url")) else { continue };
            let data = self.pep_item(cx, account, ns::AVATAR_DATA, id)?;
            let Some(image) = data.and_then(|data| decode_image(&data.text())) else { continue };
            let kind = info.attr("type").unwrap_or_default().to_owned();
            let picture = Picture { kind, image };
            if picture.sha1().eq_ignore_ascii_case(id) {
                return Ok(Some(picture));
            }
        }
        Ok(None)
    }

    /// The avatar of an account may have changed, from the first of the hashes `before`: the
    /// presence of its sessions says it, but where the client has spoken for itself.
    pub(super) fn renew_avatar(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        before: &[String],
    ) -> Result<(), StanzaError> {
        let after = cx.storage.account_vcard_photos(account)?;
        let (before, after) = (before.first(), after.first());
        if before == after {
            return Ok(());
        }
        // To be read when the handler has succeeded; what follows says the hash by itself.
        if let Some(account) = self.accounts.get_mut(account) {
            account.avatar = None;
        }
        let sessions = self.available_in(account);
        let mut told: Vec<_> = sessions
            .map(|(id, session, presence)| (id, presence.to_stanza(&session.full_jid)))
            .collect();
        for (id, presence) in &mut told {
            let text = text_of(presence);
            let is_ours = match said(&text) {
                Told::Nothing => true,
                Told::None => false,
                Told::Hash(hash) => before.is_some_and(|before| hash.eq_ignore_ascii_case(before)),
            };
            if is_ours {
                say(presence, after.map_or("", String::as_str));
                self.handle_broadcast(cx, *id, presence)?;
            }
        }
        Ok(())
    }
}

/// XEP-0153 §3.1: digits of either case.
fn is_among(id: &str, hashes: &[String]) -> bool {
    hashes.iter().any(|hash| hash.eq_ignore_ascii_case(id))
}

/// The card is read by everybody, so its picture may be.
fn open_node() -> PepConfig {
    PepConfig { access: PepAccess::Open, ..PepConfig::default() }
}

/// XEP-0084 §4.2: nothing is said of a picture, so there is none.
fn is_disabled(metadata: &Element) -> bool {
    metadata.is("metadata", ns::AVATAR_METADATA) && metadata.elements().next().is_none()
}

/// The text of `<photo/>`; `None` where there is none.
fn text_of(presence: &Stanza) -> Option<String> {
    let x = presence.child("x", ns::VCARD_UPDATE)?;
    Some(x.child("photo", ns::VCARD_UPDATE)?.text())
}

fn said(photo: &Option<String>) -> Told<'_> {
    match photo.as_deref().map(str::trim) {
        None => Told::Nothing,
        Some("") => Told::None,
        Some(hash) => Told::Hash(hash),
    }
}

/// Puts a hash into a presence, in the place of what it says.
fn say(presence: &mut Stanza, hash: &str) {
    let is_update =
        |node: &Node| matches!(node, Node::Element(child) if child.is("x", ns::VCARD_UPDATE));
    presence.children.retain(|node| !is_update(node));
    let photo = Element::new("photo", ns::VCARD_UPDATE).with_text(hash);
    let x = Element::new("x", ns::VCARD_UPDATE).with_child(photo);
    presence.children.push(Node::Element(x));
}
