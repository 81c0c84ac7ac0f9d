//! What goes into the archives of accounts (XEP-0313 §6.1.1): what a user says to others and is
//! told by them, from wherever it is delivered. When it cannot be kept it is not said.
//!
//! Kept are messages of type normal and chat that hold meaning (§3): those with a body, what its
//! sender wants stored (`<store/>`, XEP-0334 §4.4), and what is about a message that is kept, or of
//! more than a moment: see [`MEANINGFUL`]. Chat states alone are not, nor are errors, headlines and
//! what is said in rooms: rooms have archives of their own. `<no-store/>` and
//! `<no-permanent-store/>` keep a message out, but no retraction (XEP-0424 §5): else those who were
//! away would keep what it takes back. And each account says with whom (XEP-0441):
//! storage knows it, and whoever comes here may know enough of it already not to ask.
//!
//! A message to oneself is kept once, as received.

use crate::config::ArchiveDefault;
use crate::cx::Cx;
use crate::storage::{ArchiveWish, ChatMessage, Retention, StorageError};
use crate::xml::{Element, Node};
use crate::xmpp::{BareJid, Jid, MessageType, Stanza, StanzaKind, ns};

/// What makes a message worth keeping, by name and namespace.
const MEANINGFUL: &[(&str, &str)] = &[
    ("body", ns::CLIENT),
    ("store", ns::HINTS),
    ("retract", ns::RETRACT),
    ("reactions", ns::REACTIONS),
    // Receipts (XEP-0184) and markers (XEP-0333).
    ("received", "urn:xmpp:receipts"),
    ("received", "urn:xmpp:chat-markers:0"),
    ("displayed", "urn:xmpp:chat-markers:0"),
    ("acknowledged", "urn:xmpp:chat-markers:0"),
    // Encrypted messages (XEP-0384, XEP-0373, XEP-0380).
    ("encrypted", "eu.siacs.conversations.axolotl"),
    ("encrypted", "urn:xmpp:omemo:2"),
    ("openpgp", "urn:xmpp:openpgp:0"),
    ("encryption", "urn:xmpp:eme:0"),
    // Invitations (XEP-0249).
    ("x", ns::CONFERENCE),
];

/// What the archive of an account keeps now.
pub fn retention(cx: &Cx) -> Retention {
    let limits = &cx.config.limits;
    super::retention(
        cx.now,
        cx.config.accounts.archive_days,
        limits.account_archive_messages,
        limits.account_archive_bytes,
    )
}

/// Keeps a message that one of the account's sessions sends. Returns the `<stanza-id/>` that the
/// user's own other sessions may see of it: others may not (XEP-0313 §3.5).
pub fn keep_sent(
    cx: &mut Cx,
    account: &BareJid,
    wish: ArchiveWish,
    stanza: &mut Stanza,
) -> Result<Option<Element>, StorageError> {
    take_forged_ids(stanza, account);
    let Some(with) = &stanza.to else { return Ok(None) };
    if with.bare_str() == account.as_str() {
        return Ok(None);
    }
    let own_resource = stanza.from.resource().map(str::to_owned);
    if !is_wanted(cx, account, wish, with, stanza)? {
        return Ok(None);
    }
    let id = super::stanza_id_element(cx, account);
    keep(cx, account, with, own_resource, &id, stanza)?;
    Ok(Some(id))
}

/// Keeps a message to an account, which gets the `<stanza-id/>` of that (XEP-0313 §3.5), and loses
/// one that somebody has forged.
pub fn keep_received(
    cx: &mut Cx,
    account: &BareJid,
    wish: ArchiveWish,
    stanza: &mut Stanza,
) -> Result<(), StorageError> {
    take_forged_ids(stanza, account);
    let with = stanza.from.clone();
    if !is_wanted(cx, account, wish, &with, stanza)? {
        return Ok(());
    }
    let own_resource = stanza.to.as_ref().and_then(|to| to.resource()).map(str::to_owned);
    let id = super::stanza_id_element(cx, account);
    stanza.children.push(Node::Element(id.clone()));
    keep(cx, account, &with, own_resource, &id, stanza)
}

/// Only the server may say by which id it keeps a message (XEP-0359 §3).
fn take_forged_ids(stanza: &mut Stanza, account: &BareJid) {
    let is_by_account = |by: &str| Jid::parse(by).is_ok_and(|by| by == *account.as_jid());
    let is_forged = |node: &Node| match node {
        Node::Element(element) if element.is("stanza-id", ns::SID) => {
            element.attr("by").is_none_or(is_by_account)
        }
        _ => false,
    };
    stanza.children.retain(|node| !is_forged(node));
}

/// True for a message that is archived, and that this account wants archived.
fn is_wanted(
    cx: &mut Cx,
    account: &BareJid,
    wish: ArchiveWish,
    with: &Jid,
    stanza: &Stanza,
) -> Result<bool, StorageError> {
    if !is_archived(stanza) {
        return Ok(false);
    }
    let default = cx.config.accounts.archive;
    match (wish, default) {
        (ArchiveWish::All, _) | (ArchiveWish::Unsaid, ArchiveDefault::Always) => Ok(true),
        (ArchiveWish::Nothing, _) | (ArchiveWish::Unsaid, ArchiveDefault::Never) => Ok(false),
        (ArchiveWish::Depends, _) | (ArchiveWish::Unsaid, ArchiveDefault::Roster) => {
            cx.storage.chat_is_wanted(account, with, default)
        }
    }
}

/// True for a message that is archived.
fn is_archived(stanza: &Stanza) -> bool {
    let StanzaKind::Message(MessageType::Normal | MessageType::Chat) = stanza.kind else {
        return false;
    };
    let has = |name, ns| stanza.child(name, ns).is_some();
    let is_unwanted = has("no-store", ns::HINTS) || has("no-permanent-store", ns::HINTS);
    // XEP-0045 §7.8.2: an invitation by way of the room.
    let is_invitation = || {
        stanza.child("x", ns::MUC_USER).is_some_and(|x| x.child("invite", ns::MUC_USER).is_some())
    };
    has("retract", ns::RETRACT)
        || !is_unwanted && (MEANINGFUL.iter().any(|(name, ns)| has(name, ns)) || is_invitation())
}

fn keep(
    cx: &mut Cx,
    account: &BareJid,
    with: &Jid,
    own_resource: Option<String>,
    id: &Element,
    stanza: &Stanza,
) -> Result<(), StorageError> {
    let mut xml = Vec::with_capacity(512);
    stanza.write(&mut xml);
    let message = ChatMessage {
        uid: id.attr("id").unwrap_or_default().to_owned(),
        unix_ms: cx.now.unix_ms,
        with: with.clone(),
        own_resource,
        xml,
    };
    cx.storage.chat_add(account, &message, retention(cx))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORE: (&str, &str) = ("store", ns::HINTS);
    const NO_STORE: (&str, &str) = ("no-store", ns::HINTS);
    const NO_PERMANENT: (&str, &str) = ("no-permanent-store", ns::HINTS);
    const BODY: (&str, &str) = ("body", ns::CLIENT);
    const STATE: (&str, &str) = ("composing", "http://jabber.org/protocol/chatstates");
    const RETRACT: (&str, &str) = ("retract", ns::RETRACT);

    fn message(kind: MessageType, children: &[(&'static str, &'static str)]) -> Stanza {
        let from = Jid::parse("romeo@h/r").expect("an address");
        let message = Stanza::new(StanzaKind::Message(kind), from, None);
        let child = |(name, ns): &(&'static str, &'static str)| Element::new(*name, *ns);
        children.iter().map(child).fold(message, Stanza::with_child)
    }

    #[test]
    fn what_is_kept() {
        use MessageType::{Chat, Error, Groupchat, Headline, Normal};
        for (kind, children, want) in [
            (Chat, &[BODY][..], true),
            (Normal, &[BODY, STATE], true),
            (Normal, &[("subject", ns::CLIENT)], false),
            (Chat, &[STATE], false),
            (Chat, &[], false),
            (Chat, &[STATE, STORE], true),
            (Chat, &[("reactions", ns::REACTIONS)], true),
            (Chat, &[("received", "urn:xmpp:receipts")], true),
            (Chat, &[("request", "urn:xmpp:receipts")], false),
            (Chat, &[("markable", "urn:xmpp:chat-markers:0")], false),
            (Chat, &[("encrypted", "urn:xmpp:omemo:2")], true),
            (Normal, &[("x", ns::CONFERENCE)], true),
            (Normal, &[("event", ns::PUBSUB_EVENT)], false),
            (Chat, &[BODY, NO_STORE], false),
            (Chat, &[BODY, NO_PERMANENT], false),
            (Chat, &[BODY, STORE, NO_STORE], false),
            (Chat, &[RETRACT, NO_STORE], true),
            (Groupchat, &[BODY, STORE], false),
            (Headline, &[BODY, STORE], false),
            (Error, &[BODY, STORE], false),
            (Error, &[RETRACT], false),
        ] {
            assert_eq!(is_archived(&message(kind, children)), want, "{kind:?} {children:?}");
        }
        for (inner, want) in [("invite", true), ("decline", false), ("item", false)] {
            let x = Element::new("x", ns::MUC_USER).with_child(Element::new(inner, ns::MUC_USER));
            assert_eq!(is_archived(&message(Normal, &[]).with_child(x)), want, "{inner}");
        }
    }

    #[test]
    fn only_ids_by_the_account_are_taken() {
        let account = BareJid::parse("juliet@h").expect("an address");
        for (by, is_kept) in [
            (Some("juliet@h"), false),
            (Some("Juliet@H"), false),
            (None, false),
            (Some("juliet@h/x"), true),
            (Some("h"), true),
            (Some("@"), true),
        ] {
            let id = Element::new("stanza-id", ns::SID).with_attr_opt("by", by);
            let mut stanza = message(MessageType::Chat, &[BODY]).with_child(id);
            take_forged_ids(&mut stanza, &account);
            assert_eq!(stanza.child("stanza-id", ns::SID).is_some(), is_kept, "{by:?}");
            assert!(stanza.child("body", ns::CLIENT).is_some());
        }
    }
}
