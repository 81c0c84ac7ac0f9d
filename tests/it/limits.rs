//! One test per risk that `[limits]` of the configuration is about: what happens at the bound,
//! that others do not suffer, that what was held back comes, that 0 switches it off. In process
//! with a clock of its own, but for `process`, which is about sockets.

mod connections;
mod crowd;
mod disk;
mod door;
mod features;
mod input;
mod logins;
mod output;
mod people;
mod process;
mod rooms;
mod turns;
mod unwritten;
