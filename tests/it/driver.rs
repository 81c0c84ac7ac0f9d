//! What a scenario is played against: a server in this process, or the built binary over sockets.

use tercet::ids::Door;

/// A connection to the server.
pub type Link = usize;

/// Longest wait for anything that a script expects.
pub const PATIENCE_MS: u64 = 10_000;

/// What came from the server.
#[derive(Debug)]
pub enum Event {
    /// Bytes.
    Bytes(Link, Vec<u8>),
    /// The server has ended its direction, or the connection.
    End(Link),
}

pub trait Driver {
    /// Opens a connection, as a client does or as a component.
    fn open(&mut self, door: Door) -> Result<Link, String>;
    /// Hands bytes over; a link that is gone takes them silently.
    fn write(&mut self, link: Link, bytes: &[u8]);
    /// `<proceed/>` was read: the link switches to TLS.
    fn start_tls(&mut self, link: Link) -> Result<(), String>;
    /// The client ends the connection in order, after what it wrote.
    fn close(&mut self, link: Link);
    /// The connection is cut.
    fn cut(&mut self, link: Link);
    /// A new expectation begins: [`PATIENCE_MS`] from now.
    fn begin_wait(&mut self);
    /// The next event; `None` when there will be none, or patience is over.
    fn wait(&mut self) -> Result<Option<Event>, String>;
    /// The clock goes forward (in process only).
    fn pass_time(&mut self, ms: u64);
    /// TERM.
    fn shut_down(&mut self);
    /// Waits until the server is gone; its exit code.
    fn exit_code(&mut self) -> Result<i32, String>;
    /// A new server on the same data, after [`Self::exit_code`].
    fn restart(&mut self) -> Result<(), String>;
}
