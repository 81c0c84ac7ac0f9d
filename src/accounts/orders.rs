//! What whoever runs the server orders about accounts: read from the text of the command line, or
//! made from the form of an ad-hoc command (XEP-0133), and carried out here in either case, on a
//! running server and on an idle database alike. What follows for sessions is told, not done: an
//! idle database has none.

use super::{AccountError, parse_address};
use crate::config::Config;
use crate::cx::{AccountEnd, Entropy};
use crate::storage::Storage;
use crate::xmpp::{BareJid, Jid};

/// What is to be done. (Without `Debug`: passwords are never shown.)
pub enum Order {
    /// Makes an account (XEP-0133 §4.1).
    Add {
        /// Which.
        account: BareJid,
        /// Its password.
        password: String,
    },
    /// Changes a password (XEP-0133 §4.7).
    ChangePassword {
        /// Of which account.
        account: BareJid,
        /// The new one.
        password: String,
    },
    /// Removes an account (XEP-0133 §4.2).
    Remove(BareJid),
    /// Lets nobody log in to an account (XEP-0133 §4.3).
    Disable(BareJid),
    /// Lets its owner log in again (XEP-0133 §4.4).
    Enable(BareJid),
    /// Ends the sessions of an account, or one of them (XEP-0133 §4.5).
    End(Jid),
    /// Shows all accounts, a line each.
    List,
}

/// What was done.
pub struct Done {
    /// In words.
    pub text: String,
    /// The sessions that are to end, by an account or by the address of one.
    pub ends: Option<(Jid, AccountEnd)>,
}

impl Order {
    /// Reads the words after `user` of a request; a password stands on its second line.
    pub fn parse(config: &Config, request: &str) -> Result<Self, String> {
        let (command, password) = match request.split_once('\n') {
            Some((command, rest)) => (command, rest.strip_suffix('\n').unwrap_or(rest)),
            None => (request, ""),
        };
        let mut words = command.split_ascii_whitespace();
        let (verb, address, None) = (words.next(), words.next(), words.next()) else {
            return Err("unknown request".to_owned());
        };
        let password = || password.to_owned();
        let account = |text| parse_address(config, text).map_err(|error| error.to_string());
        match (verb.unwrap_or_default(), address) {
            ("list", None) => Ok(Self::List),
            ("add", Some(jid)) => Ok(Self::Add { account: account(jid)?, password: password() }),
            ("passwd", Some(jid)) => {
                Ok(Self::ChangePassword { account: account(jid)?, password: password() })
            }
            ("del", Some(jid)) => Ok(Self::Remove(account(jid)?)),
            ("disable", Some(jid)) => Ok(Self::Disable(account(jid)?)),
            ("enable", Some(jid)) => Ok(Self::Enable(account(jid)?)),
            ("end", Some(jid)) => parse_session(config, jid).map(Self::End),
            (verb, _) => Err(format!("unknown request: user {verb}")),
        }
    }

    /// Derives keys, which takes milliseconds.
    pub fn is_slow(&self) -> bool {
        matches!(self, Self::Add { .. } | Self::ChangePassword { .. })
    }

    /// Does it, in storage.
    pub fn carry_out(
        self,
        storage: &mut Storage,
        config: &Config,
        entropy: &mut dyn Entropy,
        unix_ms: i64,
    ) -> Result<Done, AccountError> {
        let done = |text, ends| Ok(Done { text, ends });
        let ends = |account: BareJid, why| Some((account.into(), why));
        match self {
            Self::Add { account, password } => {
                super::check_not_reserved(storage, &account, unix_ms)?;
                super::add(storage, config, entropy, &account, &password)?;
                done(format!("added {account}"), None)
            }
            Self::ChangePassword { account, password } => {
                super::change_password(storage, config, entropy, &account, &password)?;
                let text = format!("changed the password of {account}");
                done(text, ends(account, AccountEnd::PasswordChanged))
            }
            Self::Remove(account) => {
                super::remove(storage, &account)?;
                done(format!("removed {account}"), ends(account, AccountEnd::Removed))
            }
            Self::Disable(account) => {
                super::disable(storage, &account, true)?;
                done(format!("disabled {account}"), ends(account, AccountEnd::Disabled))
            }
            Self::Enable(account) => {
                super::disable(storage, &account, false)?;
                done(format!("enabled {account}"), None)
            }
            Self::End(address) => {
                let account = address.to_bare();
                if storage.account(&account)?.is_none() {
                    return Err(AccountError::NotFound(account));
                }
                let text = format!("ended the sessions of {address}");
                done(text, Some((address, AccountEnd::Kicked)))
            }
            Self::List => done(list(storage)?, None),
        }
    }
}

/// An account, or the address of a session of one.
pub fn parse_session(config: &Config, text: &str) -> Result<Jid, String> {
    let bad = || AccountError::BadAddress(text.to_owned()).to_string();
    let address = Jid::parse(text).map_err(|_| bad())?;
    parse_address(config, address.bare_str()).map_err(|error| error.to_string())?;
    Ok(address)
}

/// All accounts, one a line, with a word behind those that are disabled.
fn list(storage: &mut Storage) -> Result<String, AccountError> {
    let mut text = String::new();
    for account in storage.accounts()? {
        text.push_str(account.as_str());
        if storage.account_is_disabled(&account)? {
            text.push_str("\tdisabled");
        }
        text.push('\n');
    }
    Ok(text)
}
