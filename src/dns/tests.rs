//! The resolver against name servers of our own making, with a clock of our own.

mod answers;
mod places;
mod world;
