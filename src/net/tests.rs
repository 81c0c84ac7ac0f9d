//! The reactor over real sockets, with an echo instead of the server: what is tested here is that
//! bytes, ends and times come through, not what they mean. Nobody sleeps; a client that waits for
//! something waits on its socket, and a socket that is silent for too long fails the test.

mod clear;
mod control;
mod dial;
mod doors;
mod echo;
mod limits;
mod resolver;
mod tls;
