//! Reading the format (§4): the walk through documents, and the table of what a user's are made of.
//! What stands in a file and is not understood is left out, and each kind of it told once: whoever
//! imports is to know (§4). What is understood and wrong ends the import, with file and line.
//!
//! A user's account is made as its element opens, and gets its keys as that ends: all of it is in
//! the transaction of whoever calls.

use std::io::Read;

use super::export::text;
use super::include::{DOCUMENTS_MAX, Files, XINCLUDE, path};
use super::keys::{self, Keys};
use super::{ARCHIVE, OURS, PIE, SCRAM, blocked, contacts, kept, messages, nodes, state};
use crate::config::Config;
use crate::cx::Entropy;
use crate::storage::Storage;
use crate::xml::Element;
use crate::xml::document::{Document, DocumentEvent, Take};
use crate::xmpp::{BareJid, Jid, ns};

/// Kinds of elements that are told of at most.
const LEFT_OUT_KINDS_MAX: usize = 100;
/// A roster may take this part of an outbox, as for clients.
const OUTBOX_SHARE: usize = 8;
/// What stands around a user: `<server-data/>` and `<host/>`.
const USER_DEPTH: usize = 2;

/// What was imported.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Accounts.
    pub accounts: usize,
    /// Elements that are not understood and were left out, each once, by name.
    pub left_out: Vec<String>,
}

/// What readers have at hand.
pub(super) struct Import<'a> {
    pub(super) storage: &'a mut Storage,
    pub(super) config: &'a Config,
    pub(super) entropy: &'a mut dyn Entropy,
    /// Now, for what comes without a time.
    pub(super) unix_ms: i64,
    imported: Imported,
}

/// The account that is being read.
pub(super) struct User {
    pub(super) account: BareJid,
    pub(super) keys: Keys,
    /// Nodes that were spoken of, and have no configuration yet.
    pub(super) unconfigured: Vec<String>,
    /// When the next item was published.
    pub(super) published_unix_ms: Option<i64>,
}

/// Reads an element, a child of the one before it.
type Reader = fn(&mut Import<'_>, &mut User, &Element, &Element) -> Result<(), String>;

/// A child of `<user/>`: whether it comes whole or its children do, one by one; who reads that.
struct Kind(&'static str, &'static str, Take, Reader);

const KINDS: &[Kind] = &[
    Kind("scram-credentials", SCRAM, Take::Whole, keys::read),
    Kind("disabled", OURS, Take::Whole, state::read_disabled),
    Kind("last", OURS, Take::Whole, state::read_last),
    Kind("query", ns::ROSTER, Take::Open, contacts::read_item),
    Kind("presence", ns::CLIENT, Take::Whole, contacts::read_request),
    Kind("query", blocked::PRIVACY, Take::Whole, blocked::read_privacy),
    Kind("blocklist", ns::BLOCKING, Take::Open, blocked::read_item),
    Kind("vCard", ns::VCARD_TEMP, Take::Whole, kept::read_vcard),
    Kind("query", ns::PRIVATE, Take::Open, kept::read_private),
    Kind("pubsub", ns::PUBSUB_OWNER, Take::Open, nodes::read_owned),
    Kind("pubsub", ns::PUBSUB, Take::Open, nodes::read_item),
    Kind("prefs", ns::MAM, Take::Whole, messages::read_preferences),
    Kind("archive", ARCHIVE, Take::Open, messages::read_archived),
    Kind("offline-messages", PIE, Take::Open, messages::read_offline),
];

fn kind(element: &Element) -> Option<&'static Kind> {
    KINDS.iter().find(|Kind(name, ns, ..)| element.is(name, ns))
}

/// What is to be done with an element inside of these.
fn take(path: &[Element], element: &Element) -> Take {
    let is_include = element.is("include", XINCLUDE);
    match path {
        [] | [_] | [_, _] | [_, _, _] if is_include => Take::Whole,
        [] => Take::Open,
        [_] if element.is("host", PIE) => Take::Open,
        [_, _] if element.is("user", PIE) => Take::Open,
        [_, _, _] => kind(element).map_or(Take::Skip, |Kind(_, _, take, _)| *take),
        [_, _, _, pubsub] if pubsub.is("pubsub", ns::PUBSUB) && element.is("items", ns::PUBSUB) => {
            Take::Open
        }
        [_] | [_, _] => Take::Skip,
        _ => Take::Whole,
    }
}

/// Reads accounts into a database, within the transaction of the turn, from the document of this
/// name and those that it includes. `Err` says in which file, on which line and what; whoever calls
/// must not commit then.
pub fn import(
    storage: &mut Storage,
    config: &Config,
    entropy: &mut dyn Entropy,
    unix_ms: i64,
    files: &mut dyn Files,
    name: &str,
) -> Result<Imported, String> {
    let mut chance = [0; 4];
    entropy.fill(&mut chance);
    storage.roster_epochs_skip(u32::from_ne_bytes(chance)).map_err(text)?;
    let imported = Imported::default();
    let import = Import { storage, config, entropy, unix_ms, imported };
    let mut walk = Walk { import, files, documents: Vec::new(), opened: Vec::new(), user: None };
    walk.include(name)?;
    walk.all().map_err(|error| {
        let whose = walk.user.as_ref().map(|user| format!("{}: ", user.account));
        let place = walk.documents.last().map(|open| {
            let line = open.document.line();
            format!("{}: line {line}: ", open.name)
        });
        format!("{}{}{error}", place.unwrap_or_default(), whose.unwrap_or_default())
    })?;
    Ok(walk.import.imported)
}

impl Import<'_> {
    /// An element is not understood, or cannot be kept.
    pub(super) fn leave_out(&mut self, element: &Element) {
        let name = format!("{{{}}}{}", element.ns, element.name);
        let left_out = &mut self.imported.left_out;
        if !left_out.contains(&name) && left_out.len() < LEFT_OUT_KINDS_MAX {
            left_out.push(name);
        }
    }

    /// What is in sum more than the server lets clients have: its own answers would not pass.
    fn check_limits(&mut self, account: &BareJid) -> Result<(), String> {
        let (storage, limits) = (&mut *self.storage, &self.config.limits);
        let (contacts, roster_bytes) = storage.roster_size(account, 0).map_err(text)?;
        let requests = storage.requests(account).map_err(text)?.len();
        let blocked = storage.blocked(account).map_err(text)?.len();
        let private = storage.private_xml_bytes(account).map_err(text)?;
        let nodes = storage.pep_usage(account).map_err(text)?;
        let mut items = 0;
        for node in storage.pep_nodes(account).map_err(text)? {
            items = items.max(storage.pep_index(&node).map_err(text)?.len());
        }
        for (count, max, what, key) in [
            (contacts, limits.roster_items, "contacts", "roster_items"),
            (roster_bytes * OUTBOX_SHARE, limits.outbox_bytes, "bytes of roster", "outbox_bytes"),
            (requests, limits.subscription_requests, "requests", "subscription_requests"),
            (blocked, limits.blocked_addresses, "blocked addresses", "blocked_addresses"),
            (private, limits.private_bytes, "bytes of private XML", "private_bytes"),
            (nodes.nodes, limits.pep_nodes, "nodes", "pep_nodes"),
            (items, limits.pep_items, "items of a node", "pep_items"),
            (nodes.bytes, limits.pep_bytes, "bytes of items", "pep_bytes"),
        ] {
            if max > 0 && count > max {
                return Err(format!("{count} {what} are more than limits.{key} ({max})"));
            }
        }
        Ok(())
    }
}

/// A document that is being read.
struct OpenDocument {
    document: Document<Box<dyn Read>>,
    name: String,
}

/// The way through documents.
struct Walk<'a> {
    import: Import<'a>,
    files: &'a mut dyn Files,
    /// Each but the first is included in the one before it.
    documents: Vec<OpenDocument>,
    /// What is open, through all documents.
    opened: Vec<Element>,
    user: Option<User>,
}

impl Walk<'_> {
    /// Reads a document from here on.
    fn include(&mut self, name: &str) -> Result<(), String> {
        if self.documents.len() >= DOCUMENTS_MAX {
            return Err(format!("{name}: files include each other too deep"));
        }
        let source = self.files.open(name);
        let source = source.map_err(|error| format!("{name}: {error}"))?;
        let (document, name) = (Document::new(source), name.to_owned());
        self.documents.push(OpenDocument { document, name });
        Ok(())
    }

    fn all(&mut self) -> Result<(), String> {
        while let Some(open) = self.documents.last_mut() {
            let opened = &self.opened;
            match open.document.next_event(|element| take(opened, element))? {
                DocumentEvent::Open(element) => self.open(element)?,
                DocumentEvent::Element(element) => self.element(&element)?,
                DocumentEvent::Skipped(element) => self.import.leave_out(&element),
                DocumentEvent::Close => {
                    self.opened.pop();
                    if self.opened.len() == USER_DEPTH
                        && let Some(user) = &mut self.user
                    {
                        finish(&mut self.import, user)?;
                        self.user = None;
                    }
                }
                DocumentEvent::End => {
                    self.documents.pop();
                }
            }
        }
        Ok(())
    }

    fn open(&mut self, element: Element) -> Result<(), String> {
        match self.opened.as_slice() {
            [] if !element.is("server-data", PIE) => {
                return Err("this is not the portable format (XEP-0227)".to_owned());
            }
            [_, host] => self.user = Some(begin(&mut self.import, host, &element)?),
            _ => {}
        }
        self.opened.push(element);
        Ok(())
    }

    /// An element that has come whole.
    fn element(&mut self, element: &Element) -> Result<(), String> {
        if self.opened.len() <= USER_DEPTH + 1 && element.is("include", XINCLUDE) {
            let base = self.documents.last().map_or("", |open| &open.name);
            match path(base, element)? {
                Some(name) => self.include(&name)?,
                None => self.import.leave_out(element),
            }
            return Ok(());
        }
        let (Some(user), [_, _, of_user @ .., parent]) = (&mut self.user, &self.opened[..]) else {
            return Ok(());
        };
        // Of the child of the user that it is, or stands in.
        let child = match of_user {
            [] => element,
            [_] => parent,
            [_, child, ..] => child,
        };
        match kind(child) {
            Some(Kind(.., read)) => read(&mut self.import, user, parent, element),
            None => Ok(()),
        }
    }
}

/// A user begins: its account is made.
fn begin(import: &mut Import<'_>, host: &Element, element: &Element) -> Result<User, String> {
    let host = host.attr("jid").unwrap_or_default();
    let name = element.attr("name").ok_or("a user without a name")?;
    let account = Jid::from_parts(Some(name), host, None);
    let account = account.map_err(|_| format!("not an account: {name:?} at {host:?}"))?;
    let account = crate::accounts::parse_address(import.config, account.as_str());
    let account = account.map_err(|error| error.to_string())?;
    let is_new = import.storage.account_create(&account, &keys::no_credentials());
    if !is_new.map_err(text)? {
        return Err(format!("the account {account} exists already"));
    }
    let keys = Keys::of(element);
    Ok(User { account, keys, unconfigured: Vec::new(), published_unix_ms: None })
}

/// The user has ended: all that an account needs has to be there.
fn finish(import: &mut Import<'_>, user: &mut User) -> Result<(), String> {
    if let Some(node) = user.unconfigured.first() {
        return Err(format!("the node {node:?} has no configuration (§4.10.2)"));
    }
    nodes::convert_bookmarks(import, &user.account)?;
    import.check_limits(&user.account)?;
    let credentials = keys::credentials(import, std::mem::take(&mut user.keys))?;
    import.storage.account_change(&user.account, &credentials).map_err(text)?;
    import.imported.accounts += 1;
    Ok(())
}
