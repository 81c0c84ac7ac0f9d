//! Writing the format (§4).

use std::io::Write;

use super::{MECHANISMS, PIE, SCRAM};
use crate::credentials::{Credentials, ScramKeys};
use crate::storage::{RosterItem, Storage};
use crate::xml::writer::{escape_attr, write_element};
use crate::xml::{self, Element};
use crate::xmpp::{BareJid, base64, ns};

/// Writes these accounts; returns how many.
pub fn export(
    storage: &mut Storage,
    accounts: &[BareJid],
    out: &mut dyn Write,
) -> Result<usize, String> {
    let mut bytes = b"<?xml version='1.0' encoding='UTF-8'?>\n<server-data xmlns='".to_vec();
    bytes.extend_from_slice(PIE.as_bytes());
    bytes.extend_from_slice(b"'>\n");
    let mut host: Option<&str> = None;
    for account in accounts {
        if host != Some(account.domain()) {
            if host.is_some() {
                bytes.extend_from_slice(b"</host>\n");
            }
            open(&mut bytes, "host", "jid", account.domain());
            host = Some(account.domain());
        }
        write_user(storage, account, &mut bytes)?;
        out.write_all(&bytes).map_err(|error| error.to_string())?;
        bytes.clear();
    }
    if host.is_some() {
        bytes.extend_from_slice(b"</host>\n");
    }
    bytes.extend_from_slice(b"</server-data>\n");
    out.write_all(&bytes).and_then(|()| out.flush()).map_err(|error| error.to_string())?;
    Ok(accounts.len())
}

fn open(bytes: &mut Vec<u8>, name: &str, attribute: &str, value: &str) {
    bytes.extend_from_slice(format!("<{name} {attribute}='").as_bytes());
    escape_attr(bytes, value);
    bytes.extend_from_slice(b"'>\n");
}

/// `<user/>` (§4.2), a child a line.
fn write_user(storage: &mut Storage, account: &BareJid, bytes: &mut Vec<u8>) -> Result<(), String> {
    let failed = |error| format!("{account}: {error}");
    let credentials = storage.account(account).map_err(failed)?;
    let credentials = credentials.ok_or_else(|| format!("there is no account {account}"))?;
    open(bytes, "user", "name", account.local().unwrap_or_default());
    for element in scram(&credentials) {
        write_element(bytes, &element, PIE);
        bytes.push(b'\n');
    }
    let roster = storage.roster(account).map_err(failed)?;
    let query = Element::new("query", ns::ROSTER);
    let query = roster.iter().map(item_element).fold(query, Element::with_child);
    write_element(bytes, &query, PIE);
    bytes.push(b'\n');
    for request in storage.requests(account).map_err(failed)? {
        for stanza in xml::read_fragment(request.as_bytes(), ns::CLIENT) {
            write_element(bytes, &stanza, PIE);
            bytes.push(b'\n');
        }
    }
    bytes.extend_from_slice(b"</user>\n");
    Ok(())
}

/// §4.3
fn scram(credentials: &Credentials) -> [Element; 2] {
    let keys = [&credentials.sha1, &credentials.sha256];
    std::array::from_fn(|index| keys_element(MECHANISMS[index], keys[index]))
}

fn keys_element(mechanism: &str, keys: &ScramKeys) -> Element {
    let part = |name: &'static str, text: String| Element::new(name, SCRAM).with_text(text);
    Element::new("scram-credentials", SCRAM)
        .with_attr("mechanism", mechanism)
        .with_child(part("iter-count", keys.iterations.to_string()))
        .with_child(part("salt", base64::encode(&keys.salt)))
        .with_child(part("server-key", base64::encode(&keys.server_key)))
        .with_child(part("stored-key", base64::encode(&keys.stored_key)))
}

/// §4.4: as in a roster result (RFC 6121 §2.1.2).
fn item_element(item: &RosterItem) -> Element {
    let element = Element::new("item", ns::ROSTER)
        .with_attr("jid", item.jid.as_str())
        .with_attr_opt("name", item.name.as_deref())
        .with_attr("subscription", item.subscription.as_str())
        .with_attr_opt("ask", item.ask.then_some("subscribe"))
        .with_attr_opt("approved", item.approved.then_some("true"));
    let groups = item.groups.iter().map(|group| Element::new("group", ns::ROSTER).with_text(group));
    groups.fold(element, Element::with_child)
}
