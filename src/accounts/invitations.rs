//! Invitations to accounts (XEP-0401, XEP-0445): made by admins, by accounts where the
//! configuration lets them, and on the command line; each is good for one registration, and for
//! `registration.invite_days`.
//!
//! A token is 160 bits of chance. Storage knows its hash only, and finds an invitation by that in
//! one look-up: how long it takes says nothing about other tokens. Whether it has expired is looked
//! at once, when the client shows it (XEP-0445 §4); what has expired is swept later, so that
//! whoever has shown it in time finds it.

use std::fmt;

use ring::digest;

use super::{AccountError, parse_address};
use crate::config::Config;
use crate::cx::Entropy;
use crate::storage::{Invitation, Storage, StorageError};
use crate::xmpp::{BareJid, Condition, Jid, StanzaError, hex};

/// Random bytes of a token.
const TOKEN_BYTES: usize = 20;
/// Bytes of a token that somebody shows, at most.
const SHOWN_BYTES_MAX: usize = 256;
/// Invitations of one account that are still good, at most.
const INVITATIONS_PER_ACCOUNT_MAX: u32 = 100;
/// Those of the command line.
const INVITATIONS_OF_OPERATOR_MAX: u32 = 10_000;
/// What has expired is kept so long for those who have shown it in time: longer than any stream
/// lasts that nobody has logged in on.
const GRACE_MS: i64 = 24 * 60 * 60 * 1000;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// What a token is known by.
pub type TokenHash = [u8; digest::SHA256_OUTPUT_LEN];

/// What somebody is invited to.
pub struct Wish {
    /// Who invites; `None`: whoever runs the server.
    pub inviter: Option<BareJid>,
    /// Where the account will be.
    pub domain: String,
    /// The account, when it is to be a certain one.
    pub account: Option<BareJid>,
    /// Inviter and invited are to see each other's presence.
    pub is_subscribed: bool,
}

/// An invitation as it is handed out.
pub struct Issued {
    /// `xmpp:…`
    pub uri: String,
    /// When it is no longer good, in milliseconds since 1970.
    pub expires_unix_ms: i64,
}

/// Why nobody is invited.
#[derive(Debug, PartialEq, Eq)]
pub enum InviteError {
    /// The account is taken, or reserved.
    Account(AccountError),
    /// Too many invitations of this inviter are still good.
    TooMany,
}

/// Makes an invitation to add the inviter as a contact, with an account of its own where the
/// invited has none (XEP-0401 §5.1).
pub fn invite_contact(
    storage: &mut Storage,
    config: &Config,
    entropy: &mut dyn Entropy,
    unix_ms: i64,
    inviter: &BareJid,
) -> Result<Issued, InviteError> {
    let wish = Wish {
        inviter: Some(inviter.clone()),
        domain: inviter.domain().to_owned(),
        account: None,
        is_subscribed: true,
    };
    let (token, expires_unix_ms) = issue(storage, config, entropy, unix_ms, wish)?;
    let uri = format!("xmpp:{};ibr=y", query(inviter.as_jid(), "roster", &token));
    Ok(Issued { uri, expires_unix_ms })
}

/// Makes an invitation to an account (XEP-0401 §5.4).
pub fn invite_account(
    storage: &mut Storage,
    config: &Config,
    entropy: &mut dyn Entropy,
    unix_ms: i64,
    wish: Wish,
) -> Result<Issued, InviteError> {
    if let Some(account) = &wish.account {
        if storage.account(account)?.is_some() {
            return Err(AccountError::Exists(account.clone()).into());
        }
        super::check_not_reserved(storage, account, unix_ms)?;
    }
    let (domain, account) = (wish.domain.clone(), wish.account.clone());
    let (token, expires_unix_ms) = issue(storage, config, entropy, unix_ms, wish)?;
    let address = match &account {
        Some(account) => account.as_jid().clone(),
        None => Jid::from_parts(None, &domain, None).map_err(|_| StorageError::Failed)?,
    };
    Ok(Issued { uri: format!("xmpp:{}", query(&address, "register", &token)), expires_unix_ms })
}

/// What `tercet invite` asks for: any account of the first domain, or a certain one.
pub fn operators_wish(config: &Config, address: Option<&str>) -> Result<Wish, String> {
    let account = match address {
        Some(address) => Some(parse_address(config, address).map_err(|error| error.to_string())?),
        None => None,
    };
    let domain = match &account {
        Some(account) => account.domain().to_owned(),
        None => config.domains.first().map(|domain| domain.as_str().to_owned()).unwrap_or_default(),
    };
    Ok(Wish { inviter: None, domain, account, is_subscribed: false })
}

/// The hash of a token that is good for an account at `domain` (XEP-0445 §4).
pub fn check(
    storage: &mut Storage,
    domain: &str,
    token: &str,
    unix_ms: i64,
) -> Result<TokenHash, StanzaError> {
    let unknown = || {
        let error = StanzaError::new(Condition::ItemNotFound);
        error.with_text("The provided token is invalid or expired")
    };
    if token.is_empty() || token.len() > SHOWN_BYTES_MAX {
        return Err(unknown());
    }
    let hash = hash(token);
    let invitation = storage.invitation(&hash)?.ok_or_else(unknown)?;
    if invitation.domain != domain || invitation.expires_unix_ms <= unix_ms {
        return Err(unknown());
    }
    // Whoever may not come in any more invites nobody either.
    if let Some(inviter) = &invitation.inviter
        && storage.account_is_disabled(inviter)?
    {
        return Err(unknown());
    }
    Ok(hash)
}

/// Keeps a new invitation; returns its token and when it expires.
fn issue(
    storage: &mut Storage,
    config: &Config,
    entropy: &mut dyn Entropy,
    unix_ms: i64,
    wish: Wish,
) -> Result<(String, i64), InviteError> {
    storage.invitations_sweep(unix_ms.saturating_sub(GRACE_MS))?;
    let count_max = match wish.inviter {
        Some(_) => INVITATIONS_PER_ACCOUNT_MAX,
        None => INVITATIONS_OF_OPERATOR_MAX,
    };
    if storage.invitations_count(wish.inviter.as_ref(), unix_ms)? >= count_max {
        return Err(InviteError::TooMany);
    }
    let mut bytes = [0; TOKEN_BYTES];
    entropy.fill(&mut bytes);
    let token = hex::encode(&bytes);
    let Wish { inviter, domain, account, is_subscribed } = wish;
    let days = i64::from(config.registration.invite_days);
    let expires_unix_ms = unix_ms.saturating_add(days.saturating_mul(DAY_MS));
    let invitation = Invitation { domain, account, inviter, is_subscribed, expires_unix_ms };
    storage.invitation_put(&hash(&token), &invitation)?;
    Ok((token, expires_unix_ms))
}

fn hash(token: &str) -> TokenHash {
    let mut hash = TokenHash::default();
    hash.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
    hash
}

/// The address and the query of a URI (RFC 5122 §2.2): what it may not hold is percent-encoded.
fn query(address: &Jid, action: &str, token: &str) -> String {
    let mut text = String::new();
    for byte in address.as_str().bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => text.push(char::from(byte)),
            // The sub-delims and unreserved characters that RFC 5122 allows in a node, and "@".
            b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'(' | b')' | b'*' | b'+' | b',' | b';'
            | b'=' | b'@' => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    format!("{text}?{action};preauth={token}")
}

impl fmt::Display for InviteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(error) => error.fmt(f),
            Self::TooMany => f.write_str("too many invitations are open"),
        }
    }
}

impl From<AccountError> for InviteError {
    fn from(error: AccountError) -> Self {
        Self::Account(error)
    }
}

impl From<StorageError> for InviteError {
    fn from(error: StorageError) -> Self {
        Self::Account(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_uris() {
        for (address, want) in [
            ("juliet@example.com", "juliet@example.com?register;preauth=t"),
            ("a%b#c@example.com", "a%25b%23c@example.com?register;preauth=t"),
            ("ü@example.com", "%C3%BC@example.com?register;preauth=t"),
            ("a?b@example.com", "a%3Fb@example.com?register;preauth=t"),
        ] {
            let address = Jid::parse(address).expect("a valid address");
            assert_eq!(query(&address, "register", "t"), want);
        }
    }
}
