//! Messages: the archive (§4.11) with what is wanted in it (XEP-0441), and what waits for somebody
//! who is away (§4.5). Both are read and written a page at a time. Retention is not applied here:
//! the server does that with what it keeps next.

use super::export::{Writer, text};
use super::import::{Import, User};
use super::state::stamp;
use super::{ARCHIVE, PIE};
use crate::archives::preferences;
use crate::storage::{
    ArchiveFilter, ArchiveOwner, ArchiveSlice, ChatMessage, OfflineBounds, OfflineMessage,
    OfflinePut, Retention, Storage,
};
use crate::xml::{Element, Node, read_fragment};
use crate::xmpp::delay::is_delay_by;
use crate::xmpp::mam::{self, Query};
use crate::xmpp::{BareJid, Jid, ns};

/// Messages and bytes that are held at once.
const PAGE: ArchiveSlice =
    ArchiveSlice { from_end: false, skipped: 0, messages_max: 500, bytes_max: 1024 * 1024 };
/// No bounds.
const ALL: Retention = Retention { messages_max: 0, bytes_max: 0, oldest_ms: i64::MIN };
const ALL_OFFLINE: OfflineBounds =
    OfflineBounds { messages_max: 0, bytes_max: 0, oldest_ms: i64::MIN };

pub(super) fn write_archive(
    storage: &mut Storage,
    account: &BareJid,
    writer: &mut Writer<'_>,
) -> Result<(), String> {
    if let Some(preferences) = storage.archive_preferences(account).map_err(text)? {
        writer.element(&preferences::to_element(&preferences))?;
    }
    let owner = ArchiveOwner::Account(account);
    if storage.archive_total(owner).map_err(text)?.messages == 0 {
        return Ok(());
    }
    writer.open("archive", ARCHIVE, &[]);
    let mut filter = ArchiveFilter::default();
    loop {
        let page = storage.archive_page(owner, &filter, PAGE).map_err(text)?;
        for message in &page.messages {
            let stanza = read_fragment(&message.xml, ns::CLIENT).pop();
            let stanza = stanza.ok_or_else(|| format!("the message {} is none", message.uid))?;
            let query = Query::default();
            writer.element(&mam::result(&query, &message.uid, message.unix_ms, Some(stanza)))?;
        }
        let Some(last) = page.messages.last().filter(|_| page.has_more) else { break };
        let place = storage.archive_place(owner, &last.uid, i64::MIN).map_err(text)?;
        filter.after = place.ok_or("the archive has changed meanwhile")?;
    }
    writer.close();
    Ok(())
}

pub(super) fn write_offline(
    storage: &mut Storage,
    account: &BareJid,
    writer: &mut Writer<'_>,
) -> Result<(), String> {
    let bytes_max = PAGE.bytes_max;
    let mut slice = storage.offline_slice(account, i64::MIN, bytes_max).map_err(text)?;
    if slice.messages.is_empty() {
        return Ok(());
    }
    writer.open("offline-messages", PIE, &[]);
    loop {
        for message in &slice.messages {
            for stanza in read_fragment(&message.xml, ns::CLIENT) {
                writer.element(&stanza)?;
            }
        }
        if !slice.has_more {
            break;
        }
        slice = storage.offline_next(account, &slice, bytes_max).map_err(text)?;
    }
    writer.close();
    Ok(())
}

/// `<prefs/>`
pub(super) fn read_preferences(
    import: &mut Import<'_>,
    user: &mut User,
    _: &Element,
    prefs: &Element,
) -> Result<(), String> {
    let preferences = preferences::parse(prefs).map_err(|error| {
        let why = error.text.as_deref().unwrap_or("they make no sense");
        format!("archive preferences: {why}")
    })?;
    import.storage.archive_preferences_put(&user.account, &preferences).map_err(text)
}

/// A child of `<archive/>`.
pub(super) fn read_archived(
    import: &mut Import<'_>,
    user: &mut User,
    _: &Element,
    result: &Element,
) -> Result<(), String> {
    if !result.is("result", ns::MAM) {
        import.leave_out(result);
        return Ok(());
    }
    let id = result.attr("id").filter(|id| !id.is_empty());
    let id = id.ok_or("an archived message without an id")?;
    let forwarded = result.child("forwarded", ns::FORWARD);
    let part = |name, ns| forwarded.and_then(|forwarded| forwarded.child(name, ns));
    let delay = part("delay", ns::DELAY).ok_or("an archived message without a time")?;
    let stanza = part("message", ns::CLIENT).ok_or("an archived message that is none")?;
    let account = &user.account;
    let (with, own_resource) = sides(account, stanza)?;
    let message = ChatMessage {
        uid: id.to_owned(),
        unix_ms: stamp(delay)?,
        with,
        own_resource,
        xml: import.stanza_text(stanza)?.into_bytes(),
    };
    let place = import.storage.archive_place(ArchiveOwner::Account(account), id, i64::MIN);
    if place.map_err(text)?.is_some() {
        return Err(format!("two archived messages have the id {id:?}"));
    }
    import.storage.chat_add(account, &message, ALL).map_err(text)
}

/// The other side of a message, and the resource of this one. A message to oneself is kept as one
/// that was received (`archives::chats`); a client's has no `from`, the account's own no `to`.
fn sides(account: &BareJid, stanza: &Element) -> Result<(Jid, Option<String>), String> {
    let own = account.as_jid();
    let from = address(stanza, "from")?.unwrap_or_else(|| own.clone());
    let to = address(stanza, "to")?.unwrap_or_else(|| own.clone());
    let is_own = |jid: &Jid| jid.bare_str() == account.as_str();
    let (with, mine) = if is_own(&from) && !is_own(&to) { (to, from) } else { (from, to) };
    let resource = Some(mine).filter(is_own).and_then(|mine| mine.resource().map(str::to_owned));
    Ok((with, resource))
}

/// An address that a stanza has; `None` where it has none.
fn address(stanza: &Element, name: &str) -> Result<Option<Jid>, String> {
    let parse = |text| Jid::parse(text).map_err(|_| format!("{name} is no address: {text:?}"));
    stanza.attr(name).map(parse).transpose()
}

/// A child of `<offline-messages/>`.
pub(super) fn read_offline(
    import: &mut Import<'_>,
    user: &mut User,
    _: &Element,
    stanza: &Element,
) -> Result<(), String> {
    if !stanza.is("message", ns::CLIENT) {
        import.leave_out(stanza);
        return Ok(());
    }
    let account = &user.account;
    let sender = address(stanza, "from")?.ok_or("a message that comes from nobody")?;
    let to = address(stanza, "to")?.ok_or("a message that is to nobody")?;
    if to.bare_str() != account.as_str() {
        return Err(format!("a message to {to} waits for somebody else"));
    }
    let message = OfflineMessage {
        unix_ms: accepted_unix_ms(account, stanza)?.unwrap_or(import.unix_ms),
        sender: sender.to_string(),
        xml: import.stanza_text(stanza)?.into_bytes(),
        is_archived: is_archived(import, account, stanza)?,
    };
    match import.storage.offline_put(account, &message, ALL_OFFLINE).map_err(text)? {
        OfflinePut::Kept => Ok(()),
        OfflinePut::Full | OfflinePut::NoAccount => Err("a message cannot be kept".to_owned()),
    }
}

/// When a message was accepted: as its server says, or whoever says it last (XEP-0203).
fn accepted_unix_ms(account: &BareJid, stanza: &Element) -> Result<Option<i64>, String> {
    let ours = stanza.children.iter().find(|node| is_delay_by(node, account.domain()));
    let delay = match ours {
        Some(Node::Element(delay)) => Some(delay),
        _ => stanza.elements().filter(|child| child.is("delay", ns::DELAY)).last(),
    };
    delay.map(stamp).transpose()
}

/// True when the archive that came before it has a message, under the id that it says.
fn is_archived(
    import: &mut Import<'_>,
    account: &BareJid,
    stanza: &Element,
) -> Result<bool, String> {
    let is_id = |child: &&Element| {
        child.is("stanza-id", ns::SID) && child.attr("by") == Some(account.as_str())
    };
    let Some(id) = stanza.elements().find(is_id).and_then(|child| child.attr("id")) else {
        return Ok(false);
    };
    let place = import.storage.archive_place(ArchiveOwner::Account(account), id, i64::MIN);
    Ok(place.map_err(text)?.is_some())
}
