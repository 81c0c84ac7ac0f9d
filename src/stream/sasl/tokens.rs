//! Login tokens (XEP-0484): which one a message proves, what follows from its use, and new ones.
//!
//! A client has two at most (§5.1): the one it uses, and a new one that may have been lost on the
//! way. A token is for one client and one mechanism. Whoever comes with one gets a new one when
//! the old is a day old: so it is void `accounts.token_days` after its last use, and a stolen one
//! is noticed early.

use super::{Condition, Failure, ht};
use crate::cx::Cx;
use crate::storage::{LoginToken, StorageError};
use crate::stream::inline::{ClientId, Fast};
use crate::xml::Element;
use crate::xmpp::{BareJid, base64, datetime, ns};

/// Random bytes of a token.
const TOKEN_BYTES: usize = 32;
/// Tokens of one client.
const CLIENT_TOKENS_MAX: usize = 2;
/// What a client without tokens is checked against, so that it takes the same time.
const STAND_IN: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// A login by a token.
pub struct Attempt<'a> {
    /// The account; `None`: the name cannot be one's.
    pub account: Option<&'a BareJid>,
    /// Which client it is.
    pub client: &'a ClientId,
    /// The mechanism.
    pub kind: ht::Kind,
    /// The channel-binding data of the mechanism.
    pub binding: &'a [u8],
    /// The message.
    pub message: &'a ht::Message,
    /// What `<fast/>` says.
    pub fast: Fast,
}

impl Attempt<'_> {
    /// The token that is proved, if it may be used.
    pub fn check(&self, cx: &mut Cx) -> Result<LoginToken, Failure> {
        let tokens = match self.account {
            Some(account) => cx
                .storage
                .login_tokens(account, self.client.as_bytes())
                .map_err(|_| Condition::TemporaryAuthFailure)?,
            None => Vec::new(),
        };
        // As much work for a name that has no token (advisory a13).
        let mut found = None;
        for slot in 0..CLIENT_TOKENS_MAX {
            let token = tokens.get(slot);
            let text = token.map_or(STAND_IN, |token| &token.token);
            let is_proved = self.message.is_proof_of(text, self.binding);
            found = found.or(token.filter(|_| is_proved));
        }
        let token = found.ok_or(Condition::NotAuthorized)?;
        let is_replay = self.fast.count.is_some_and(|count| count <= token.count);
        if token.mechanism != self.kind.name || is_replay {
            return Err(Condition::NotAuthorized.into());
        }
        if token.expires_unix_ms <= cx.now.unix_ms {
            return Err(Condition::CredentialsExpired.into());
        }
        Ok(token.clone())
    }

    /// The login has succeeded by this token: what follows. Returns the mechanism of the token that
    /// the client is to have next, when this one is not new.
    pub fn settle(
        &self,
        cx: &mut Cx,
        account: &BareJid,
        token: &LoginToken,
    ) -> Result<Option<ht::Kind>, StorageError> {
        let client = self.client.as_bytes();
        if self.fast.invalidates {
            cx.storage.login_tokens_forget(account, client)?;
            return Ok(None);
        }
        let count = self.fast.count.unwrap_or(token.count);
        cx.storage.login_token_used(account, client, token, count)?;
        let is_due = token.expires_unix_ms + DAY_MS <= expiry_unix_ms(cx);
        Ok(is_due.then_some(self.kind))
    }
}

/// A new token for a client, and the element that tells it (XEP-0484 §3.3).
pub fn issue(
    cx: &mut Cx,
    account: &BareJid,
    client: &ClientId,
    kind: ht::Kind,
) -> Result<Element, StorageError> {
    let mut bytes = [0; TOKEN_BYTES];
    cx.entropy.fill(&mut bytes);
    let token = LoginToken {
        is_new: true,
        mechanism: kind.name.to_owned(),
        token: base64::encode(&bytes),
        expires_unix_ms: expiry_unix_ms(cx),
        count: 0,
    };
    let tokens_max = cx.config.limits.login_tokens;
    cx.storage.login_token_add(account, client.as_bytes(), &token, tokens_max)?;
    let expiry = datetime::format_utc(token.expires_unix_ms);
    Ok(Element::new("token", ns::FAST).with_attr("token", token.token).with_attr("expiry", expiry))
}

/// When a token that is made now is void.
fn expiry_unix_ms(cx: &Cx) -> i64 {
    cx.now.unix_ms + i64::from(cx.config.accounts.token_days) * DAY_MS
}
