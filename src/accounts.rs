//! Accounts: the one way to add, change and remove them, for in-band registration, the control
//! socket and the command line on an idle database alike.
//!
//! What is done here is done in storage only. Sessions of an account that was removed, or whose
//! password was changed, are ended by whoever called (`Cx::end_account`, or the server itself for
//! the command line): an idle database has none.

pub mod invitations;
pub mod orders;

use std::fmt;

use crate::config::Config;
use crate::credentials::{Credentials, PasswordError};
use crate::cx::Entropy;
use crate::storage::{Storage, StorageError};
use crate::xmpp::{BareJid, Condition, StanzaError};

/// Why an account could not be added, changed or removed, worded for a person by `Display`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountError {
    /// Not an address of the form `name@domain`.
    BadAddress(String),
    /// The domain is not one of `domains`.
    NoSuchDomain(String),
    /// It exists already.
    Exists(BareJid),
    /// Somebody is invited to have it (XEP-0401 §6.2).
    Reserved(BareJid),
    /// There is no such account.
    NotFound(BareJid),
    /// The password is empty, too long, or has characters that SASLprep forbids.
    BadPassword(PasswordError),
    /// Storage.
    Storage(StorageError),
}

/// Parses `name@domain` and checks that accounts of this server live there.
pub fn parse_address(config: &Config, text: &str) -> Result<BareJid, AccountError> {
    let account = BareJid::parse(text).ok().filter(|jid| jid.local().is_some());
    let account = account.ok_or_else(|| AccountError::BadAddress(text.to_owned()))?;
    if !config.is_account_domain(account.domain()) {
        return Err(AccountError::NoSuchDomain(account.domain().to_owned()));
    }
    Ok(account)
}

/// Creates an account.
pub fn add(
    storage: &mut Storage,
    config: &Config,
    entropy: &mut dyn Entropy,
    account: &BareJid,
    password: &str,
) -> Result<(), AccountError> {
    // Asked first, so that a name that is taken costs no key derivation.
    if storage.account(account)?.is_some() {
        return Err(AccountError::Exists(account.clone()));
    }
    let credentials = Credentials::derive(password, config.sasl.iterations, entropy)?;
    if !storage.account_create(account, &credentials)? {
        return Err(AccountError::Exists(account.clone()));
    }
    Ok(())
}

/// Refuses a name that an invitation reserves.
pub fn check_not_reserved(
    storage: &mut Storage,
    account: &BareJid,
    unix_ms: i64,
) -> Result<(), AccountError> {
    match storage.account_is_reserved(account, unix_ms)? {
        true => Err(AccountError::Reserved(account.clone())),
        false => Ok(()),
    }
}

/// Changes a password.
pub fn change_password(
    storage: &mut Storage,
    config: &Config,
    entropy: &mut dyn Entropy,
    account: &BareJid,
    password: &str,
) -> Result<(), AccountError> {
    if storage.account(account)?.is_none() {
        return Err(AccountError::NotFound(account.clone()));
    }
    let credentials = Credentials::derive(password, config.sasl.iterations, entropy)?;
    if !storage.account_change(account, &credentials)? {
        return Err(AccountError::NotFound(account.clone()));
    }
    Ok(())
}

/// Lets nobody log in to an account, or its owner again (XEP-0133 §4.3, §4.4). All that belongs to
/// it stays, and what is sent to it waits as for anybody who is away.
pub fn disable(
    storage: &mut Storage,
    account: &BareJid,
    is_disabled: bool,
) -> Result<(), AccountError> {
    match storage.account_disable(account, is_disabled)? {
        true => Ok(()),
        false => Err(AccountError::NotFound(account.clone())),
    }
}

/// Removes an account with everything of it. Rooms that it owned alone stay, without an owner: who
/// is to have them is for a server admin to say, who is an owner everywhere.
pub fn remove(storage: &mut Storage, account: &BareJid) -> Result<(), AccountError> {
    let orphans = storage.rooms_owned_alone(account)?;
    if !storage.account_remove(account)? {
        return Err(AccountError::NotFound(account.clone()));
    }
    for room in orphans {
        log::warn!("{room} has no owner any more, {account} was the last; server admins manage it");
    }
    Ok(())
}

impl fmt::Display for AccountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadAddress(text) => {
                write!(f, "{text:?} is not an address of the form name@domain")
            }
            Self::NoSuchDomain(domain) => write!(
                f,
                "no accounts of this server live at {domain} (see `domains` in the configuration)"
            ),
            Self::Exists(account) => write!(f, "the account {account} exists already"),
            Self::Reserved(account) => write!(f, "{account} is reserved by an invitation"),
            Self::NotFound(account) => write!(f, "there is no account {account}"),
            Self::BadPassword(PasswordError::Empty) => f.write_str("the password is empty"),
            Self::BadPassword(PasswordError::Forbidden) => {
                f.write_str("the password has a character that passwords may not have")
            }
            Self::BadPassword(PasswordError::TooLong) => f.write_str("the password is too long"),
            Self::Storage(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for AccountError {}

impl From<StorageError> for AccountError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl From<PasswordError> for AccountError {
    fn from(error: PasswordError) -> Self {
        Self::BadPassword(error)
    }
}

/// The conditions of XEP-0077 §3.1 to §3.3.
impl From<AccountError> for StanzaError {
    fn from(error: AccountError) -> Self {
        match &error {
            AccountError::BadAddress(_) | AccountError::BadPassword(_) => {
                Self::new(Condition::NotAcceptable).with_text(error.to_string())
            }
            AccountError::NoSuchDomain(_) => Condition::ServiceUnavailable.into(),
            AccountError::Exists(_) | AccountError::Reserved(_) => Condition::Conflict.into(),
            AccountError::NotFound(_) => Condition::RegistrationRequired.into(),
            AccountError::Storage(storage) => (*storage).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_accounts() {
        let config = Config::default();
        let parse = |text: &str| parse_address(&config, text).map(|jid| jid.as_str().to_owned());
        assert_eq!(parse("Romeo@localhost"), Ok("romeo@localhost".to_owned()));
        for bad in ["", "@", "localhost", "@localhost", "romeo@", "romeo@localhost/orchard"] {
            assert_eq!(parse(bad), Err(AccountError::BadAddress(bad.to_owned())), "{bad}");
        }
        let elsewhere = AccountError::NoSuchDomain("example.org".to_owned());
        assert_eq!(parse("romeo@example.org"), Err(elsewhere));
        // Nobody lives at a room domain.
        assert!(matches!(parse("r@conference.localhost"), Err(AccountError::NoSuchDomain(_))));
    }

    #[test]
    fn texts_for_a_person_name_what_is_wrong() {
        let account = BareJid::parse("romeo@localhost").expect("a valid address");
        for (error, want) in [
            (AccountError::BadAddress("x".into()), "\"x\" is not an address"),
            (AccountError::NoSuchDomain("d".into()), "live at d "),
            (AccountError::Exists(account.clone()), "romeo@localhost exists already"),
            (AccountError::NotFound(account), "no account romeo@localhost"),
            (PasswordError::Empty.into(), "empty"),
            (PasswordError::TooLong.into(), "too long"),
            (StorageError::Unavailable.into(), "cannot be written"),
        ] {
            let text = error.to_string();
            assert!(text.contains(want), "{text}");
        }
    }

    #[test]
    fn conditions_for_a_client() {
        let account = BareJid::parse("romeo@localhost").expect("a valid address");
        for (error, want) in [
            (AccountError::BadAddress("x".into()), Condition::NotAcceptable),
            (AccountError::Exists(account.clone()), Condition::Conflict),
            (AccountError::NotFound(account), Condition::RegistrationRequired),
            (PasswordError::Forbidden.into(), Condition::NotAcceptable),
            (StorageError::Failed.into(), Condition::InternalServerError),
            (StorageError::Unavailable.into(), Condition::ResourceConstraint),
        ] {
            assert_eq!(StanzaError::from(error).condition, want);
        }
    }
}
