//! The tests of Tercet that need the whole server: scenarios through four drivers, the simulation,
//! and the rules of layers and style. One crate, so that it links once.
#![forbid(unsafe_code)]

mod admin_command;
mod advisories;
mod answers;
mod client;
mod command;
mod crash;
mod driver;
mod inproc;
mod limits;
mod matcher;
mod party;
mod player;
mod process;
mod reload;
mod resume;
mod room_command;
mod sasl;
mod scenario;
mod sections;
mod seeds;
mod setup;
mod shutdown;
mod sim;
mod sim_people;
mod sim_servers;
mod socket;
mod start;
mod storage_lost;
mod template;
mod tidy;
mod transfer;

mod scenarios;
