//! Accounts: the one way to add, change and remove them, for in-band registration, the control
//! socket and the command line on an idle database alike. (Owned by the im work package.)

use crate::config::Config;
use crate::cx::Entropy;
use crate::storage::{Storage, StorageError};
use crate::xmpp::BareJid;

/// Why an account could not be added, changed or removed, worded for a person by `Display`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountError {
    /// Not an address of the form `name@domain`.
    BadAddress(String),
    /// The domain is not one of `domains`.
    NoSuchDomain(String),
    /// It exists already.
    Exists(BareJid),
    /// There is no such account.
    NotFound(BareJid),
    /// The password is empty, too long, or has characters that SASLprep forbids.
    BadPassword(crate::credentials::PasswordError),
    /// Storage.
    Storage(StorageError),
}

/// Parses `name@domain` and checks that accounts of this server live there.
pub fn parse_address(config: &Config, text: &str) -> Result<BareJid, AccountError> {
    let _ = config;
    Err(AccountError::BadAddress(text.to_owned()))
}

/// Creates an account.
pub fn add(
    storage: &mut Storage,
    config: &Config,
    entropy: &mut dyn Entropy,
    account: &BareJid,
    password: &str,
) -> Result<(), AccountError> {
    let _ = (storage, config, entropy, password);
    Err(AccountError::NotFound(account.clone()))
}

/// Changes a password.
pub fn change_password(
    storage: &mut Storage,
    config: &Config,
    entropy: &mut dyn Entropy,
    account: &BareJid,
    password: &str,
) -> Result<(), AccountError> {
    let _ = (storage, config, entropy, password);
    Err(AccountError::NotFound(account.clone()))
}

/// Removes an account with everything of it.
pub fn remove(storage: &mut Storage, account: &BareJid) -> Result<(), AccountError> {
    let _ = storage;
    Err(AccountError::NotFound(account.clone()))
}
