//! The only folder that knows sockets.
