//! What goes into the archives of accounts (XEP-0313 §6.1.1): what a user says to others and is
//! told by them, from wherever it is delivered. When it cannot be kept it is not said.
//!
//! Kept are messages of type normal and chat that hold meaning (§3): those with a body, what its
//! sender wants stored (`<store/>`, XEP-0334 §4.4), and what is about a message that is kept, or of
//! more than a moment: see [`MEANINGFUL`]. Chat states alone are not, nor are errors, headlines and
//! what is said in rooms: rooms have archives of their own. `<no-store/>` and
//! `<no-permanent-store/>` keep a message out, but no retraction (XEP-0424 §5): else those who were
//! away would keep what it takes back. And each account says with whom (XEP-0441).
//!
//! A message to oneself is kept once, as received.

use crate::cx::Cx;
use crate::storage::{ChatMessage, Retention, StorageError};
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
    stanza: &mut Stanza,
) -> Result<Option<Element>, StorageError> {
    take_forged_ids(stanza, account);
    let Some(with) = &stanza.to else { return Ok(None) };
    if with.bare_str() == account.as_str() {
        return Ok(None);
    }
    let own_resource = stanza.from.resource().map(str::to_owned);
    if !is_wanted(cx, account, with, stanza)? {
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
    stanza: &mut Stanza,
) -> Result<(), StorageError> {
    take_forged_ids(stanza, account);
    let with = stanza.from.clone();
    if !is_wanted(cx, account, &with, stanza)? {
        return Ok(());
    }
    let own_resource = stanza.to.as_ref().and_then(|to| to.resource()).map(str::to_owned);
    let id = super::stanza_id_element(cx, account);
    stanza.children.push(Node::Element(id.clone()));
    keep(cx, account, &with, own_resource, &id, stanza)
}

/// Only the server may say by which id it keeps a message (XEP-0359 §3).
fn take_forged_ids(stanza: &mut Stanza, account: &BareJid) {
    let is_forged = |node: &Node| {
        let Node::Element(element) = node else { return false };
        let by = element.attr("by").map(Jid::parse);
        element.is("stanza-id", ns::SID)
            && by.is_none_or(|by| by.is_ok_and(|by| by == *account.as_jid()))
    };
    stanza.children.retain(|node| !is_forged(node));
}

/// True for a message that is archived, and that this account wants archived.
fn is_wanted(
    cx: &mut Cx,
    account: &BareJid,
    with: &Jid,
    stanza: &Stanza,
) -> Result<bool, StorageError> {
    let default = cx.config.accounts.archive;
    Ok(is_archived(stanza) && cx.storage.chat_is_wanted(account, with, default)?)
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
