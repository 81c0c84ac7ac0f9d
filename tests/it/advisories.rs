//! What has gone wrong in servers of this kind, as public advisories tell it: one test for each,
//! named `advisory_` and the row that it is known by in this project. Each would fail on a server
//! with that flaw. Rows that are about other servers come with federation.

mod accounts;
mod features;
mod federation;
mod input;
mod logins;
mod occupants;
mod secrets;
mod streams;
mod tls;
mod wrappers;
