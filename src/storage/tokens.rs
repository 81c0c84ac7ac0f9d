//! Login tokens at rest (XEP-0484). They are kept as they are: a token is the key of an HMAC over
//! data of the TLS connection that it is used on, which no hash of it could check. So they are
//! made to be worth little: each for one client and one mechanism, void after days, after a change
//! of the password, and with the account.
//!
//! A client has two at most: the one that it uses, and a new one that it may not have received.

use rusqlite::params;

use super::{Storage, StorageError};
use crate::xmpp::BareJid;

/// The tables of this file.
pub(super) const SCHEMA: &str = "
CREATE TABLE login_token (
    account INTEGER NOT NULL REFERENCES account ON DELETE CASCADE,
    client BLOB NOT NULL,
    is_new INTEGER NOT NULL,
    mechanism TEXT NOT NULL,
    token TEXT NOT NULL,
    expires_unix_ms INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (account, client, is_new)
) STRICT, WITHOUT ROWID;
";

/// A token of a client. No `Debug`: it is as good as a password.
#[derive(Clone, PartialEq, Eq)]
pub struct LoginToken {
    /// It was given to the client and never used.
    pub is_new: bool,
    /// The name of the mechanism that it is for.
    pub mechanism: String,
    /// The token itself.
    pub token: String,
    /// From then on it is void.
    pub expires_unix_ms: i64,
    /// The highest count that the client has used it with; 0: none.
    pub count: u32,
}

impl Storage {
    /// The tokens of a client of an account, void ones included, the new one first.
    pub fn login_tokens(
        &mut self,
        account: &BareJid,
        client: &[u8],
    ) -> Result<Vec<LoginToken>, StorageError> {
        self.read_all(
            "SELECT is_new, mechanism, token, expires_unix_ms, count FROM login_token
             WHERE account = (SELECT id FROM account WHERE domain = ?1 AND local = ?2)
               AND client = ?3
             ORDER BY is_new DESC",
            (account.domain(), account.local(), client),
            |row| {
                Ok(LoginToken {
                    is_new: row.get(0)?,
                    mechanism: row.get(1)?,
                    token: row.get(2)?,
                    expires_unix_ms: row.get(3)?,
                    count: row.get(4)?,
                })
            },
        )
    }

    /// Gives a client a new token, in place of one that it never used. `tokens_max` bounds those of
    /// the account: the ones that are void first go; 0: no bound.
    pub fn login_token_add(
        &mut self,
        account: &BareJid,
        client: &[u8],
        token: &LoginToken,
        tokens_max: usize,
    ) -> Result<(), StorageError> {
        self.write(
            "INSERT OR REPLACE INTO login_token
             SELECT id, ?3, 1, ?4, ?5, ?6, ?7 FROM account WHERE domain = ?1 AND local = ?2",
            params![
                account.domain(),
                account.local(),
                client,
                token.mechanism,
                token.token,
                token.expires_unix_ms,
                token.count,
            ],
        )?;
        if tokens_max > 0 {
            self.write(
                "DELETE FROM login_token
                 WHERE account = (SELECT id FROM account WHERE domain = ?1 AND local = ?2)
                   AND (client, is_new) IN (
                       SELECT client, is_new FROM login_token
                       WHERE account = (SELECT id FROM account WHERE domain = ?1 AND local = ?2)
                       ORDER BY client = ?3 AND is_new DESC, expires_unix_ms DESC, client, is_new
                       LIMIT -1 OFFSET ?4)",
                (account.domain(), account.local(), client, tokens_max as i64),
            )?;
        }
        Ok(())
    }

    /// A client has used one of its tokens, with this count: it is new no more, and those that
    /// would be void before it are gone (XEP-0484 §3.5).
    pub fn login_token_used(
        &mut self,
        account: &BareJid,
        client: &[u8],
        token: &LoginToken,
        count: u32,
    ) -> Result<(), StorageError> {
        let others = self.login_tokens(account, client)?;
        let goes = |other: &LoginToken| {
            let is_older = token.is_new || other.expires_unix_ms < token.expires_unix_ms;
            other.is_new != token.is_new && is_older
        };
        if others.iter().any(goes) {
            self.write(
                "DELETE FROM login_token
                 WHERE account = (SELECT id FROM account WHERE domain = ?1 AND local = ?2)
                   AND client = ?3 AND is_new <> ?4",
                (account.domain(), account.local(), client, token.is_new),
            )?;
        }
        if token.is_new || token.count != count {
            self.write(
                "UPDATE login_token SET is_new = 0, count = ?4
                 WHERE account = (SELECT id FROM account WHERE domain = ?1 AND local = ?2)
                   AND client = ?3 AND is_new = ?5",
                (account.domain(), account.local(), client, count, token.is_new),
            )?;
        }
        Ok(())
    }

    /// Forgets the tokens of one client of an account.
    pub fn login_tokens_forget(
        &mut self,
        account: &BareJid,
        client: &[u8],
    ) -> Result<(), StorageError> {
        self.write(
            "DELETE FROM login_token
             WHERE account = (SELECT id FROM account WHERE domain = ?1 AND local = ?2)
               AND client = ?3",
            (account.domain(), account.local(), client),
        )?;
        Ok(())
    }

    /// Forgets all tokens of an account: its password is another one.
    pub(super) fn login_tokens_forget_all(
        &mut self,
        account: &BareJid,
    ) -> Result<(), StorageError> {
        self.write(
            "DELETE FROM login_token
             WHERE account = (SELECT id FROM account WHERE domain = ?1 AND local = ?2)",
            (account.domain(), account.local()),
        )?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::tests::{credentials, jid};

    const CLIENT: &[u8] = b"client";

    fn storage() -> Storage {
        let mut storage = Storage::memory();
        for name in ["alice", "bob"] {
            let account = jid(&format!("{name}@localhost"));
            assert_eq!(storage.account_create(&account, &credentials(1)), Ok(true));
        }
        storage
    }

    fn token(text: &str, expires_unix_ms: i64) -> LoginToken {
        let (mechanism, token) = ("HT".to_owned(), text.to_owned());
        LoginToken { is_new: true, mechanism, token, expires_unix_ms, count: 0 }
    }

    fn texts(storage: &mut Storage, client: &[u8]) -> Vec<(String, bool, u32)> {
        let tokens = storage.login_tokens(&jid("alice@localhost"), client).unwrap();
        tokens.into_iter().map(|token| (token.token, token.is_new, token.count)).collect()
    }

    #[test]
    fn two_slots_of_a_client() {
        let (mut storage, alice) = (storage(), jid("alice@localhost"));
        let text = |token: &str, is_new, count| (token.to_owned(), is_new, count);
        storage.login_token_add(&alice, CLIENT, &token("a", 1), 9).unwrap();
        storage.login_token_add(&alice, CLIENT, &token("b", 2), 9).unwrap();
        assert_eq!(texts(&mut storage, CLIENT), [text("b", true, 0)]);
        storage.login_token_used(&alice, CLIENT, &token("b", 2), 7).unwrap();
        assert_eq!(texts(&mut storage, CLIENT), [text("b", false, 7)]);
        storage.login_token_add(&alice, CLIENT, &token("c", 3), 9).unwrap();
        assert_eq!(texts(&mut storage, CLIENT), [text("c", true, 0), text("b", false, 7)]);
        // The old one is good until the new one is used.
        let old = LoginToken { is_new: false, count: 7, ..token("b", 2) };
        storage.login_token_used(&alice, CLIENT, &old, 8).unwrap();
        assert_eq!(texts(&mut storage, CLIENT), [text("c", true, 0), text("b", false, 8)]);
        storage.login_token_used(&alice, CLIENT, &token("c", 3), 0).unwrap();
        assert_eq!(texts(&mut storage, CLIENT), [text("c", false, 0)]);
        assert_eq!(texts(&mut storage, b"other"), []);
        // One that would be void first does not outlive the use of another.
        storage.login_token_add(&alice, CLIENT, &token("d", 2), 9).unwrap();
        let used = LoginToken { is_new: false, ..token("c", 3) };
        storage.login_token_used(&alice, CLIENT, &used, 0).unwrap();
        assert_eq!(texts(&mut storage, CLIENT), [text("c", false, 0)]);
        storage.login_tokens_forget(&alice, CLIENT).unwrap();
        assert_eq!(texts(&mut storage, CLIENT), []);
    }

    #[test]
    fn the_oldest_go_over_the_limit() {
        let (mut storage, alice) = (storage(), jid("alice@localhost"));
        for (client, expires) in [(b"1", 30), (b"2", 10), (b"3", 20), (b"4", 5)] {
            storage.login_token_add(&alice, client, &token("t", expires), 3).unwrap();
        }
        // What was just given stays, even if it is void first.
        let left = [b"1", b"2", b"3", b"4"].map(|client| texts(&mut storage, client).len());
        assert_eq!(left, [1, 0, 1, 1]);
        let bob = jid("bob@localhost");
        storage.login_token_add(&bob, b"2", &token("t", 1), 3).unwrap();
        assert_eq!(storage.login_tokens(&bob, b"2").unwrap().len(), 1);
        assert_eq!(texts(&mut storage, b"3").len(), 1);
    }

    #[test]
    fn no_token_outlives_its_password_or_its_account() {
        let (mut storage, alice) = (storage(), jid("alice@localhost"));
        storage.login_token_add(&alice, CLIENT, &token("a", 1), 0).unwrap();
        assert_eq!(storage.account_change(&alice, &credentials(2)), Ok(true));
        assert_eq!(texts(&mut storage, CLIENT), []);
        storage.login_token_add(&alice, CLIENT, &token("b", 1), 0).unwrap();
        assert_eq!(storage.account_remove(&alice), Ok(true));
        assert_eq!(storage.account_create(&alice, &credentials(3)), Ok(true));
        assert_eq!(texts(&mut storage, CLIENT), []);
        // Nobody has no tokens.
        storage.login_token_add(&jid("eve@localhost"), CLIENT, &token("c", 1), 0).unwrap();
        assert!(storage.login_tokens(&jid("eve@localhost"), CLIENT).unwrap().is_empty());
    }
}
