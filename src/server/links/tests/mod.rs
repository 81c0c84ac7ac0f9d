//! What becomes of stanzas for another server that behaves well, badly, or not at all.

mod cuts;
mod negotiation;
mod peer;
mod reverse;
mod stops;
mod world;
