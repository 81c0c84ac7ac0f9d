//! The tests of Tercet that need the whole server: scenarios through four drivers, the simulation,
//! and the rules of layers and style. One crate, so that it links once.
#![forbid(unsafe_code)]

mod client;
mod driver;
mod inproc;
mod matcher;
mod player;
mod process;
mod sasl;
mod scenario;
mod setup;
mod sim;
mod socket;
mod template;
mod tidy;

mod scenarios;
