//! Streams: negotiation up to a bound session.
//!
//! `c2s` is the state machine of a client stream; `header` and `features` write and judge what
//! opens it, `sasl` logs in, `inline` is what a login may bring with it. Nothing here knows
//! sockets: elements in, bytes into the outbox.

pub mod c2s;
pub mod features;
pub mod header;
pub mod inline;
pub mod s2s;
pub mod sasl;
#[cfg(test)]
mod tests;

/// The name of the secret by which users that do not exist get a stable salt (advisory a13).
pub const UNKNOWN_USERS_SECRET: &str = "scram-unknown";
