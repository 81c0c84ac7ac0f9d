//! SASL (RFC 6120 §6, XEP-0388): the mechanisms, why a login fails, and what is common to all.
//!
//! `plain`, `scram` and `ht` are pure: messages and keys in, messages out. `profile` is the syntax
//! around them, the old one and that of XEP-0388; `tokens` is what login tokens may do (XEP-0484).
//! `login` is the state of a stream's login, the same for both profiles. The mechanism names of
//! one table are both what is offered and what is accepted.

pub mod ht;
pub mod login;
pub mod plain;
pub mod profile;
pub mod scram;
pub mod tokens;

use crate::credentials::ScramHash;
use crate::xmpp::{BareJid, Jid};

/// A mechanism of this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// PLAIN (RFC 4616).
    Plain,
    /// SCRAM (RFC 5802, RFC 7677).
    Scram {
        /// The hash.
        hash: ScramHash,
        /// With channel binding.
        is_plus: bool,
    },
    /// A login token (XEP-0484).
    Token(ht::Kind),
}

/// All mechanisms with their names, the ones to prefer first (RFC 6120 §6.3.3).
const MECHANISMS: [(Mechanism, &str); 5] = [
    (Mechanism::Scram { hash: ScramHash::Sha256, is_plus: true }, "SCRAM-SHA-256-PLUS"),
    (Mechanism::Scram { hash: ScramHash::Sha1, is_plus: true }, "SCRAM-SHA-1-PLUS"),
    (Mechanism::Scram { hash: ScramHash::Sha256, is_plus: false }, "SCRAM-SHA-256"),
    (Mechanism::Scram { hash: ScramHash::Sha1, is_plus: false }, "SCRAM-SHA-1"),
    (Mechanism::Plain, "PLAIN"),
];

impl Mechanism {
    /// True with channel binding.
    pub fn is_plus(self) -> bool {
        matches!(self, Self::Scram { is_plus: true, .. })
    }

    /// The mechanism of this name, as far as it is offered.
    pub fn parse(name: &str, has_plus: bool) -> Option<Self> {
        offered(has_plus).find(|(_, own)| *own == name).map(|(mechanism, _)| mechanism)
    }
}

/// The mechanisms and names to offer, without the -PLUS forms where nothing can be bound.
pub fn offered(has_plus: bool) -> impl Iterator<Item = (Mechanism, &'static str)> {
    MECHANISMS.into_iter().filter(move |(mechanism, _)| has_plus || !mechanism.is_plus())
}

/// What a client was offered, as XEP-0474 §6.1 has it signed: the mechanisms, and the types of
/// channel binding where XEP-0440 announces any. Both profiles offer the same.
pub fn announced(bindings: &ChannelBindings) -> String {
    let sorted = |mut names: Vec<&'static str>| {
        names.sort_unstable();
        names.join("\x1e")
    };
    let mechanisms = sorted(offered(!bindings.is_empty()).map(|(_, name)| name).collect());
    if bindings.is_empty() {
        return mechanisms;
    }
    let types = sorted(bindings.0.iter().map(|(kind, _)| *kind).collect());
    format!("{mechanisms}\x1f{types}")
}

/// What a client may bind its login to: type (RFC 9266, RFC 5929) and data. Empty: no -PLUS.
#[derive(Clone, Debug, Default)]
pub struct ChannelBindings(pub Vec<(&'static str, Vec<u8>)>);

impl ChannelBindings {
    /// The data of a type.
    pub fn get(&self, kind: &str) -> Option<&[u8]> {
        self.0.iter().find(|(own, _)| *own == kind).map(|(_, data)| data.as_slice())
    }

    /// True when the -PLUS mechanisms cannot be offered.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The defined conditions of a failed login (RFC 6120 §6.5), as far as this server needs them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// §6.5.1
    Aborted,
    /// §6.5.2
    AccountDisabled,
    /// §6.5.3
    CredentialsExpired,
    /// §6.5.4
    EncryptionRequired,
    /// §6.5.5
    IncorrectEncoding,
    /// §6.5.6
    InvalidAuthzid,
    /// §6.5.7
    InvalidMechanism,
    /// §6.5.8
    MalformedRequest,
    /// §6.5.10
    NotAuthorized,
    /// §6.5.11
    TemporaryAuthFailure,
}

impl Condition {
    /// The element name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aborted => "aborted",
            Self::AccountDisabled => "account-disabled",
            Self::CredentialsExpired => "credentials-expired",
            Self::EncryptionRequired => "encryption-required",
            Self::IncorrectEncoding => "incorrect-encoding",
            Self::InvalidAuthzid => "invalid-authzid",
            Self::InvalidMechanism => "invalid-mechanism",
            Self::MalformedRequest => "malformed-request",
            Self::NotAuthorized => "not-authorized",
            Self::TemporaryAuthFailure => "temporary-auth-failure",
        }
    }
}

/// Why a login failed. The words never tell whether there is such an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The defined condition.
    pub condition: Condition,
    /// The `server-error-value` of RFC 5802 §7, where it has one.
    pub text: Option<&'static str>,
}

impl Failure {
    /// A failure that says more than its condition.
    pub fn new(condition: Condition, text: &'static str) -> Self {
        Self { condition, text: Some(text) }
    }
}

impl From<Condition> for Failure {
    fn from(condition: Condition) -> Self {
        Self { condition, text: None }
    }
}

/// The account that a user name means: the local part at the stream's domain. Nodeprep does to it
/// all that SASLprep would, and more. `None`: it cannot be the name of an account.
pub fn account_of(host: &BareJid, username: &str) -> Option<BareJid> {
    Jid::from_parts(Some(username), host.domain(), None).ok().map(|jid| jid.to_bare())
}

/// An authorisation identity must be the account's own bare JID (advisory a05, RFC 6120 §6.3.8).
pub fn check_authzid(authzid: Option<&str>, account: Option<&BareJid>) -> Result<(), Failure> {
    let Some(authzid) = authzid else { return Ok(()) };
    let authzid = BareJid::parse(authzid).map_err(|_| Condition::InvalidAuthzid)?;
    if account == Some(&authzid) { Ok(()) } else { Err(Condition::InvalidAuthzid.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers_and_accepts_from_one_table() {
        let names = |has_plus| offered(has_plus).map(|(_, name)| name).collect::<Vec<_>>();
        assert_eq!(names(false), ["SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"]);
        assert_eq!(names(true).len(), 5);
        assert_eq!(names(true)[0], "SCRAM-SHA-256-PLUS");
        assert_eq!(Mechanism::parse("PLAIN", false), Some(Mechanism::Plain));
        assert_eq!(Mechanism::parse("SCRAM-SHA-1-PLUS", false), None);
        assert!(Mechanism::parse("SCRAM-SHA-1-PLUS", true).is_some_and(Mechanism::is_plus));
        for name in ["", "plain", "EXTERNAL", "DIGEST-MD5", "SCRAM-SHA-512"] {
            assert_eq!(Mechanism::parse(name, true), None);
        }
    }

    #[test]
    fn what_is_announced_is_sorted_and_joined() {
        let none = ChannelBindings::default();
        assert_eq!(announced(&none), "PLAIN\x1eSCRAM-SHA-1\x1eSCRAM-SHA-256");
        let both = ["tls-server-end-point", "tls-exporter"].map(|kind| (kind, Vec::new()));
        assert_eq!(
            announced(&ChannelBindings(both.into())),
            "PLAIN\x1eSCRAM-SHA-1\x1eSCRAM-SHA-1-PLUS\x1eSCRAM-SHA-256\x1eSCRAM-SHA-256-PLUS\
             \x1ftls-exporter\x1etls-server-end-point"
        );
    }

    #[test]
    fn advisory_a05_authzid_is_the_own_account_or_refused() {
        let host = BareJid::parse("localhost").unwrap();
        let account = account_of(&host, "alice").unwrap();
        let check = |authzid| check_authzid(authzid, Some(&account)).is_ok();
        assert!(check(None));
        assert!(check(Some("alice@localhost")));
        assert!(check(Some("Alice@LOCALHOST")));
        let others = [
            "",
            "bob@localhost",
            "alice@example.org",
            "alice",
            "localhost",
            "alice@localhost/x",
            "@localhost",
            "alice@",
            "admin@localhost",
        ];
        for other in others {
            assert!(!check(Some(other)), "{other}");
        }
        assert!(check_authzid(Some("alice@localhost"), None).is_err());
    }
}
