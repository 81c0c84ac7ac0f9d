//! Writing the format (§4): the document, its hosts and users, and in which order a user's data
//! stand in it. An importer of our own needs what is earlier for what is later: the archive before
//! the messages that wait, since some of those are in it.

use std::io::Write;

use super::{PIE, blocked, contacts, kept, keys, messages, nodes, state};
use crate::storage::{Storage, StorageError};
use crate::xml::Element;
use crate::xml::writer::{write_attr, write_element};
use crate::xmpp::BareJid;

/// Bytes after which what was written is handed on.
const BUFFER_BYTES: usize = 64 * 1024;

/// A document that is being written, an element a line.
pub(super) struct Writer<'a> {
    out: &'a mut dyn Write,
    bytes: Vec<u8>,
    /// Name and namespace of what is open, outermost first.
    opened: Vec<(&'static str, &'static str)>,
}

impl<'a> Writer<'a> {
    fn new(out: &'a mut dyn Write) -> Self {
        let bytes = b"<?xml version='1.0' encoding='UTF-8'?>\n".to_vec();
        Self { out, bytes, opened: Vec::new() }
    }

    /// Begins an element.
    pub(super) fn open(
        &mut self,
        name: &'static str,
        ns: &'static str,
        attributes: &[(&str, &str)],
    ) {
        self.bytes.push(b'<');
        self.bytes.extend_from_slice(name.as_bytes());
        if ns != self.ns() {
            write_attr(&mut self.bytes, "xmlns", ns);
        }
        for (name, value) in attributes {
            write_attr(&mut self.bytes, name, value);
        }
        self.bytes.extend_from_slice(b">\n");
        self.opened.push((name, ns));
    }

    /// Ends the one that began last.
    pub(super) fn close(&mut self) {
        let (name, _) = self.opened.pop().expect("who closes has opened");
        self.bytes.extend_from_slice(format!("</{name}>\n").as_bytes());
    }

    /// A whole element.
    pub(super) fn element(&mut self, element: &Element) -> Result<(), String> {
        let ns = self.ns();
        write_element(&mut self.bytes, element, ns);
        self.bytes.push(b'\n');
        if self.bytes.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    /// The namespace in force.
    fn ns(&self) -> &'static str {
        self.opened.last().map_or("", |(_, ns)| ns)
    }

    fn flush(&mut self) -> Result<(), String> {
        self.out.write_all(&self.bytes).map_err(|error| error.to_string())?;
        self.bytes.clear();
        Ok(())
    }
}

/// Writes these accounts; returns how many.
pub fn export(
    storage: &mut Storage,
    accounts: &[BareJid],
    out: &mut dyn Write,
) -> Result<usize, String> {
    let mut writer = Writer::new(out);
    writer.open("server-data", PIE, &[]);
    let mut host: Option<&str> = None;
    for account in accounts {
        if host != Some(account.domain()) {
            if host.is_some() {
                writer.close();
            }
            writer.open("host", PIE, &[("jid", account.domain())]);
            host = Some(account.domain());
        }
        write_user(storage, account, &mut writer).map_err(|error| format!("{account}: {error}"))?;
        writer.flush()?;
    }
    if host.is_some() {
        writer.close();
    }
    writer.close();
    writer.flush()?;
    out.flush().map_err(|error| error.to_string())?;
    Ok(accounts.len())
}

/// `<user/>` (§4.2)
fn write_user(
    storage: &mut Storage,
    account: &BareJid,
    writer: &mut Writer<'_>,
) -> Result<(), String> {
    let credentials = storage.account(account).map_err(text)?;
    let credentials = credentials.ok_or("there is no account of this name")?;
    writer.open("user", PIE, &[("name", account.local().unwrap_or_default())]);
    keys::write(&credentials, writer)?;
    state::write(storage, account, writer)?;
    contacts::write(storage, account, writer)?;
    blocked::write(storage, account, writer)?;
    kept::write(storage, account, writer)?;
    nodes::write(storage, account, writer)?;
    messages::write_archive(storage, account, writer)?;
    messages::write_offline(storage, account, writer)?;
    writer.close();
    Ok(())
}

/// What storage says, for a person.
pub(super) fn text(error: StorageError) -> String {
    error.to_string()
}
