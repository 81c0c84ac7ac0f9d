//! Streams: negotiation up to a bound session.
pub mod c2s;
