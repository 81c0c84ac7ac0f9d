//! Accounts in the portable format (XEP-0227), out of the database and into it, with all that is of
//! them: keys and state, contacts and their requests, whom they block, cards and private XML, nodes
//! with their items, the archive with what is wanted in it, what waits for them. Each kind has a
//! file that writes and reads it; `export` says in which order they are written, `import` walks
//! through documents and knows by its table whose an element is, `include` names further files.
//!
//! Memory does not grow with the number of accounts nor with what one has: archives are read in
//! pages, documents element by element, each of a bounded size. What cannot be imported as a whole
//! is not imported at all, and an account that is there already is not touched: it is an error.
//!
//! Left out are login tokens (XEP-0484): they are good for one server. Versions of rosters begin
//! anew. What the format has no place for is in a namespace of our own, which others ignore (§4).
//!
//! Documents are plain bytes here: where files are is the command line's to know.

mod blocked;
mod contacts;
mod export;
mod import;
mod include;
mod kept;
mod keys;
mod messages;
mod nodes;
mod state;

pub use export::export;
pub use import::{Imported, import};
pub use include::Files;

/// The format.
const PIE: &str = "urn:xmpp:pie:0";
/// SCRAM credentials in it (§4.3).
const SCRAM: &str = "urn:xmpp:pie:0#scram";
/// Archives in it (§4.11).
const ARCHIVE: &str = "urn:xmpp:pie:0#mam";
/// What it has no place for.
const OURS: &str = "urn:tercet:export:0";

#[cfg(test)]
mod tests;
