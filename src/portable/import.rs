//! Reading the format (§4). What stands in the file and is not understood is left out, and counted:
//! whoever imports is told (§4). What is understood and wrong ends the import.

use std::io::Read;

use super::{MECHANISMS, PIE, SCRAM};
use crate::config::Config;
use crate::credentials::{Credentials, ScramHash, ScramKeys};
use crate::cx::Entropy;
use crate::storage::{RosterItem, Storage, StorageError, Subscription};
use crate::xml::Element;
use crate::xml::document::{Document, DocumentEvent};
use crate::xml::writer::write_element;
use crate::xmpp::{BareJid, Jid, base64, ns};

/// Levels that are told as they open: `<server-data/>`, `<host/>`, `<user/>`.
const LEVELS: usize = 3;
/// What an attacker who wrote the file could make a login cost (advisory a13 in reverse).
const ITERATIONS_MAX: u32 = 10_000_000;
/// Bytes of a salt.
const SALT_BYTES_MAX: usize = 1024;

/// What was imported.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Accounts.
    pub accounts: usize,
    /// Elements that are not understood and were left out, each once, by name.
    pub left_out: Vec<String>,
}

/// The account that is being read.
struct User {
    account: BareJid,
    /// In the order of [`MECHANISMS`].
    keys: [Option<ScramKeys>; 2],
    password: Option<String>,
    roster: Vec<RosterItem>,
    requests: Vec<(BareJid, String)>,
}

/// Reads accounts into a database, within the transaction of the turn. `Err` says on which line
/// and what; whoever calls must not commit then.
pub fn import(
    storage: &mut Storage,
    config: &Config,
    entropy: &mut dyn Entropy,
    source: impl Read,
) -> Result<Imported, String> {
    let mut document = Document::new(source, LEVELS);
    let mut reading = Reading { storage, config, entropy, imported: Imported::default() };
    let mut line = 1;
    reading.all(&mut document, &mut line).map_err(|error| format!("line {line}: {error}"))?;
    Ok(reading.imported)
}

struct Reading<'a> {
    storage: &'a mut Storage,
    config: &'a Config,
    entropy: &'a mut dyn Entropy,
    imported: Imported,
}

impl Reading<'_> {
    fn all<R: Read>(&mut self, document: &mut Document<R>, line: &mut u64) -> Result<(), String> {
        let mut opened: Vec<Element> = Vec::new();
        let mut user: Option<User> = None;
        loop {
            let event = document.next_event();
            *line = document.line();
            match event? {
                DocumentEvent::Open(element) => {
                    let is_known = match opened.as_slice() {
                        [] if element.is("server-data", PIE) => true,
                        [] => return Err("this is not the portable format (XEP-0227)".to_owned()),
                        [_] => element.is("host", PIE),
                        [_, host] => host.is("host", PIE) && element.is("user", PIE),
                        _ => false,
                    };
                    if !is_known {
                        self.leave_out(&element);
                    } else if opened.len() == LEVELS - 1 {
                        let host = opened[1].attr("jid").unwrap_or_default();
                        user = Some(self.open_user(host, &element)?);
                    }
                    opened.push(element);
                }
                DocumentEvent::Element(element) => match &mut user {
                    Some(user) => self.read(user, &element)?,
                    None => self.leave_out(&element),
                },
                DocumentEvent::Close => {
                    opened.pop();
                    if let Some(user) = user.take_if(|_| opened.len() == LEVELS - 1) {
                        self.keep(user)?;
                    }
                }
                DocumentEvent::End => return Ok(()),
            }
        }
    }

    fn leave_out(&mut self, element: &Element) {
        let name = format!("{{{}}}{}", element.ns, element.name);
        if !self.imported.left_out.contains(&name) && self.imported.left_out.len() < 100 {
            self.imported.left_out.push(name);
        }
    }

    fn open_user(&self, host: &str, element: &Element) -> Result<User, String> {
        let name = element.attr("name").ok_or("a user without a name")?;
        let account = Jid::from_parts(Some(name), host, None);
        let account = account.map_err(|_| format!("not an account: {name:?} at {host:?}"))?;
        let account = crate::accounts::parse_address(self.config, account.as_str());
        Ok(User {
            account: account.map_err(|error| error.to_string())?,
            keys: [None, None],
            password: element.attr("password").map(str::to_owned),
            roster: Vec::new(),
            requests: Vec::new(),
        })
    }

    /// A child of `<user/>`.
    fn read(&mut self, user: &mut User, element: &Element) -> Result<(), String> {
        if element.is("scram-credentials", SCRAM) {
            let mechanism = element.attr("mechanism").unwrap_or_default();
            match MECHANISMS.iter().position(|known| *known == mechanism) {
                Some(index) => user.keys[index] = Some(keys(element, index)?),
                None => self.leave_out(element),
            }
        } else if element.is("query", ns::ROSTER) {
            for item in element.elements().filter(|item| item.is("item", ns::ROSTER)) {
                user.roster.push(roster_item(item)?);
            }
        } else if element.is("presence", ns::CLIENT) && element.attr("type") == Some("subscribe") {
            let from = element.attr("from").and_then(|from| BareJid::parse(from).ok());
            let from = from.ok_or("a request that comes from nobody")?;
            let mut xml = Vec::new();
            write_element(&mut xml, element, ns::CLIENT);
            user.requests.push((from, String::from_utf8_lossy(&xml).into_owned()));
        } else {
            self.leave_out(element);
        }
        Ok(())
    }

    /// The whole user is read: it becomes an account.
    fn keep(&mut self, user: User) -> Result<(), String> {
        let account = &user.account;
        let failed = |error: StorageError| format!("{account}: {error}");
        let credentials = match (user.keys, &user.password) {
            ([Some(sha1), Some(sha256)], _) => Credentials { sha1, sha256 },
            (_, Some(password)) => {
                Credentials::derive(password, self.config.sasl.iterations, self.entropy)
                    .map_err(|_| format!("{account}: the password cannot be used"))?
            }
            _ => {
                let both = MECHANISMS.join(" and ");
                return Err(format!("{account}: there is neither a password nor {both}"));
            }
        };
        if !self.storage.account_create(account, &credentials).map_err(failed)? {
            return Err(format!("the account {account} exists already"));
        }
        for item in &user.roster {
            self.storage.roster_put(account, item).map_err(failed)?;
        }
        for (from, xml) in &user.requests {
            self.storage.request_put(account, from, xml, 0).map_err(failed)?;
        }
        self.imported.accounts += 1;
        Ok(())
    }
}

/// §4.3
fn keys(element: &Element, index: usize) -> Result<ScramKeys, String> {
    let hash = [ScramHash::Sha1, ScramHash::Sha256][index];
    let part = |name: &str| {
        let text = element.child(name, SCRAM).map(Element::text);
        text.ok_or_else(|| format!("credentials without {name}"))
    };
    let bytes = |name: &str| {
        let decoded = base64::decode(part(name)?.trim());
        decoded.ok_or_else(|| format!("{name} is not base64"))
    };
    let key = |name: &str| {
        let key = bytes(name)?;
        match key.len() == hash.output_bytes() {
            true => Ok(key),
            false => Err(format!("{name} is not of the size of {}", MECHANISMS[index])),
        }
    };
    let iterations = part("iter-count")?.trim().parse().ok();
    let iterations = iterations.filter(|count| (1..=ITERATIONS_MAX).contains(count));
    let salt = bytes("salt")?;
    if salt.is_empty() || salt.len() > SALT_BYTES_MAX {
        return Err("the salt has no possible size".to_owned());
    }
    Ok(ScramKeys {
        salt,
        iterations: iterations.ok_or("iter-count is no possible number")?,
        stored_key: key("stored-key")?,
        server_key: key("server-key")?,
    })
}

/// §4.4
fn roster_item(item: &Element) -> Result<RosterItem, String> {
    let jid = item.attr("jid").unwrap_or_default();
    let jid = BareJid::parse(jid).map_err(|_| format!("not a contact: {jid:?}"))?;
    let subscription = match item.attr("subscription").unwrap_or("none") {
        "none" => Subscription::None,
        "to" => Subscription::To,
        "from" => Subscription::From,
        "both" => Subscription::Both,
        other => return Err(format!("no subscription is {other:?}")),
    };
    let groups = item.elements().filter(|group| group.is("group", ns::ROSTER));
    let mut groups: Vec<String> = groups.map(Element::text).collect();
    groups.sort_unstable();
    groups.dedup();
    Ok(RosterItem {
        jid,
        name: item.attr("name").map(str::to_owned),
        groups,
        subscription,
        ask: item.attr("ask") == Some("subscribe"),
        approved: matches!(item.attr("approved"), Some("true" | "1")),
    })
}
