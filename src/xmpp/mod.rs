//! Values of the protocol: addresses, stanzas, errors, forms, times. No state and no I/O.

pub mod affiliation;
pub mod base64;
pub mod bookmarks;
pub mod command;
pub mod dataform;
pub mod datetime;
pub mod delay;
pub mod disco;
pub mod domain;
pub mod error;
pub mod hex;
pub mod jid;
pub mod mam;
pub mod ns;
pub mod prep;
mod punycode;
pub mod rsm;
pub mod stanza;
pub mod vcard;

pub use affiliation::{Affiliation, Role};
pub use error::{Condition, ErrorType, StanzaError, StreamCondition, StreamError};
pub use jid::{BareJid, Jid, JidError};
pub use stanza::{IqType, MessageType, PresenceType, Stanza, StanzaKind};
