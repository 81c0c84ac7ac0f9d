//! Tercet, an XMPP server for chat rooms: one thread, one reactor, one binary.
//!
//! # The code map
//!
//! Layers, lower ones never import higher ones; a test (`tests/it/tidy.rs`) reads the `use` lines.
//!
//! | layer | where | what |
//! |---|---|---|
//! | 5 | `main.rs`, [`cli`] | flags, subcommands, logging, exit codes |
//! | 4 | [`net`] | the reactor: the only folder that knows sockets, TLS input and output, clocks, signals |
//! | 3 | [`server`] | the sans-IO core: sessions, routing, limits, the ordered shutdown |
//! | 2 | [`stream`], [`im`], [`muc`], [`iq`] | negotiation; accounts; rooms; small services. None imports another |
//! | 1 | [`cx`], [`peers`], [`dns`], [`blocks`], [`archives`], [`outbound`], [`timers`], [`storage`], [`config`], [`credentials`], [`accounts`], [`allowance`], [`node_config`], [`portable`], [`ids`] | the tools that a handler is given |
//! | 0 | [`xmpp`], [`xml`] | values: addresses, stanzas, errors, elements, the stream parser |
//!
//! # The way of a stanza
//!
//! `net::reactor` reads bytes and calls [`server::Server::handle_input`]. The session's
//! [`xml::StreamParser`] yields an element, `server::edge` makes a [`xmpp::Stanza`] of it with a
//! stamped `from`, `server::router` finds the handler by address and kind. The handler pushes
//! serialised stanzas into [`outbound::Outboxes`], or returns an error, which the router answers.
//! At the end of the turn storage is committed once, then each connection with output is written
//! once.
//!
//! # What always holds
//!
//! - Nothing is sent before the storage commit that it depends on.
//! - Handles ([`ids`]) cross files, references do not; a stale handle is an ordinary `None`.
//! - Time, chance and storage are arguments ([`cx::Cx`]): the core runs in a simulator from a seed.
//! - Every queue has a bound, and what happens at the bound is written where it is.
#![forbid(unsafe_code)]

pub mod accounts;
pub mod allowance;
pub mod archives;
pub mod blocks;
pub mod certs;
pub mod cli;
pub mod config;
pub mod credentials;
pub mod cx;
pub mod dns;
pub mod ids;
pub mod im;
pub mod iq;
pub mod muc;
pub mod net;
pub mod node_config;
pub mod outbound;
pub mod peers;
pub mod portable;
pub mod server;
pub mod storage;
pub mod stream;
pub mod timers;
pub mod xml;
pub mod xmpp;
