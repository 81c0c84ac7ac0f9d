//! The sans-IO core: sessions, routing, limits, shutdown. No socket, no clock, no chance of its
//! own: the reactor (`net/`), the in-process driver of the tests and the simulator run it alike.

use std::net::IpAddr;
use std::rc::Rc;

use crate::config::Config;
use crate::cx::{Action, Entropy, Now};
use crate::ids::ConnId;
use crate::outbound::Outbox;
use crate::storage::Storage;
use crate::stream::c2s::TlsInfo;

/// Whether the server wants bytes of a connection now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadWish {
    /// Read the socket and call `handle_input`.
    Read,
    /// Do not read: bytes of an earlier read are still inside. Call `handle_input` with none.
    Pending,
    /// Not before this monotonic millisecond (rate limit).
    Until(u64),
    /// Not until something else happens (login check, close, STARTTLS).
    No,
}

/// The server.
pub struct Server {}

impl Server {
    /// A server that serves nobody yet. `Err`: a sentence about what stands in the way.
    pub fn new(
        config: Rc<Config>,
        storage: Storage,
        entropy: Box<dyn Entropy>,
        now: Now,
    ) -> Result<Self, String> {
        let _ = (config, storage, entropy, now);
        Ok(Self {})
    }

    /// A connection was accepted; `false`: refuse it (limits), close it at once and do not name it
    /// again. With `direct_tls` the server waits for [`Self::handle_tls`] first.
    pub fn handle_accept(
        &mut self,
        now: Now,
        conn: ConnId,
        address: IpAddr,
        direct_tls: bool,
    ) -> bool {
        let _ = (now, conn, address, direct_tls);
        false
    }

    /// The TLS handshake of a connection is done (direct TLS, or after STARTTLS).
    pub fn handle_tls(&mut self, now: Now, conn: ConnId, tls: TlsInfo) {
        let _ = (now, conn, tls);
    }

    /// Plaintext came (or none: see [`ReadWish::Pending`]). Takes all of it.
    pub fn handle_input(&mut self, now: Now, conn: ConnId, bytes: &[u8]) {
        let _ = (now, conn, bytes);
    }

    /// The peer has ended its direction (FIN, close_notify).
    pub fn handle_end(&mut self, now: Now, conn: ConnId) {
        let _ = (now, conn);
    }

    /// The connection is gone, whoever ended it: never named again by either side. What waits in
    /// its outbox is lost.
    pub fn handle_closed(&mut self, now: Now, conn: ConnId, reason: &str) {
        let _ = (now, conn, reason);
    }

    /// Fires due timers and does deferred work (one PLAIN check per turn).
    pub fn handle_timeout(&mut self, now: Now) {
        let _ = now;
    }

    /// A request of the command line (`user add JID\nPASSWORD`); returns `ok …` or `error …`.
    pub fn handle_control(&mut self, now: Now, request: &str) -> String {
        let _ = (now, request);
        String::new()
    }

    /// A new configuration is in force; sessions stay. Listeners, certificates and the log level
    /// are the reactor's and the command line's part of a reload.
    pub fn handle_reload(&mut self, now: Now, config: Rc<Config>) {
        let _ = (now, config);
    }

    /// TERM or INT: the ordered shutdown; a second one goes straight to its end.
    pub fn handle_shutdown(&mut self, now: Now, reason: &str) {
        let _ = (now, reason);
    }

    /// Whether to read a connection now.
    pub fn read_wish(&self, conn: ConnId) -> ReadWish {
        let _ = conn;
        ReadWish::No
    }

    /// True when this turn has produced so much output that reading should wait for the next.
    pub fn is_congested(&self) -> bool {
        false
    }

    /// Monotonic milliseconds of the next deadline; now or earlier: do not sleep.
    pub fn poll_timeout(&self) -> Option<u64> {
        None
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        None
    }

    /// The one storage commit of the turn, before anything of it is written.
    pub fn commit(&mut self, now: Now) {
        let _ = now;
    }

    /// The next connection that has something to write and was not told of yet.
    pub fn poll_dirty(&mut self) -> Option<ConnId> {
        None
    }

    /// The bytes that wait for a connection.
    pub fn outbox(&mut self, conn: ConnId) -> Option<&mut Outbox> {
        let _ = conn;
        None
    }

    /// After the writes: enforces the limits on what still waits. May yield actions.
    pub fn finish_turn(&mut self, now: Now) {
        let _ = now;
    }

    /// The last words for the log, once `Action::Exit` came (`shutdown: 0.2 s, 812 clients …`).
    pub fn summary(&self) -> String {
        String::new()
    }
}
