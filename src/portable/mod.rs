//! Accounts in the portable format (XEP-0227), out of the database and into it: credentials,
//! roster, requests for subscription. User by user in both directions, so that memory does not grow
//! with the number of accounts; a file that cannot be imported as a whole is not imported at all.
//!
//! Files are plain bytes here: where they are is the command line's to know.

mod export;
mod import;

pub use export::export;
pub use import::{Imported, import};

/// The format.
const PIE: &str = "urn:xmpp:pie:0";
/// SCRAM credentials in it (§4.3).
const SCRAM: &str = "urn:xmpp:pie:0#scram";

/// The mechanisms whose keys are kept, by their names in the format.
const MECHANISMS: [&str; 2] = ["SCRAM-SHA-1", "SCRAM-SHA-256"];

#[cfg(test)]
mod tests;
