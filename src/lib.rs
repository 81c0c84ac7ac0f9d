//! Tercet, an XMPP server for chat rooms.
#![forbid(unsafe_code)]

pub mod accounts;
pub mod certs;
pub mod cli;
pub mod config;
pub mod credentials;
pub mod cx;
pub mod ids;
pub mod im;
pub mod iq;
pub mod muc;
pub mod net;
pub mod outbound;
pub mod server;
pub mod storage;
pub mod stream;
pub mod timers;
pub mod xml;
pub mod xmpp;
