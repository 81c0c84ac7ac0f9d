//! Connections that we make, to other servers. An attempt is a socket that is not connected yet:
//! the kernel says by an edge that it is, or why it never will be. Then the socket becomes a
//! connection like those that were accepted. How long an attempt may take is the core's business.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use mio::Interest;
use mio::net::TcpStream;

use super::core::Core;
use super::reactor::{Reactor, Source};
use super::transport::Transport;
use crate::cx::Now;
use crate::ids::{ConnId, Door, SessionId};

/// A socket that is being connected.
pub struct Attempt {
    link: SessionId,
    address: SocketAddr,
    stream: TcpStream,
}

impl<C: Core> Reactor<C> {
    /// Step 7: begins to connect.
    pub fn connect(&mut self, now: Now, link: SessionId, address: SocketAddr) {
        if let Err(error) = self.begin_attempt(link, address) {
            self.core.handle_connected(now, link, Err(error.to_string()));
            self.is_unfinished = true;
        }
    }

    fn begin_attempt(&mut self, link: SessionId, address: SocketAddr) -> io::Result<()> {
        let mut stream = TcpStream::connect(address)?;
        let entry = self.attempts.vacant_entry();
        let token = Source::Attempt(entry.key()).token();
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, token, interest)?;
        entry.insert(Attempt { link, address, stream });
        Ok(())
    }

    /// Step 7: an attempt is given up; nothing is said of it any more.
    pub fn disconnect(&mut self, link: SessionId) {
        let attempt = self.attempts.iter().find(|(_, attempt)| attempt.link == link);
        if let Some(index) = attempt.map(|(index, _)| index) {
            self.attempts.remove(index);
            self.gate.handle_freed();
        }
    }

    /// Step 4: the kernel says something of an attempt.
    pub fn handle_attempt(&mut self, now: Now, index: usize) {
        let Some(attempt) = self.attempts.get(index) else { return };
        let outcome = attempt.outcome();
        if matches!(&outcome, Err(error) if error.kind() == io::ErrorKind::NotConnected) {
            return;
        }
        let Attempt { link, address, stream } = self.attempts.remove(index);
        let connected = outcome.and_then(|()| self.adopt(address, stream));
        match connected {
            Ok(id) => {
                self.core.handle_connected(now, link, Ok(id));
                // What was queued before there was a connection is written too.
                self.mark_dirty(id);
                self.schedule(id);
            }
            Err(error) => {
                self.gate.handle_freed();
                self.core.handle_connected(now, link, Err(error.to_string()));
            }
        }
    }

    /// The socket of an attempt becomes a connection.
    fn adopt(&mut self, address: SocketAddr, mut stream: TcpStream) -> io::Result<ConnId> {
        // Watched anew as a connection it reports all that it is ready for.
        self.poll.registry().deregister(&mut stream)?;
        let id = self.next_id().ok_or(io::ErrorKind::OutOfMemory)?;
        log::debug!("{id:?} connected to {address}");
        self.take_in(id, address, Transport::new(stream, Door::Servers, false));
        Ok(id)
    }

    /// Step 7: begins TLS on a connection that we have made.
    pub fn start_tls(&mut self, id: ConnId, ours: &str, domain: &str, is_direct: bool) {
        let identity = Rc::clone(self.identities.pick(Some(ours)));
        let Some(conn) = self.live(id) else { return };
        match identity.connect(domain, conn.address, is_direct) {
            Ok(tls) => {
                log::debug!("{id:?} begins TLS with {domain}");
                conn.transport.begin_tls(tls, identity);
                self.mark_dirty(id);
                self.schedule(id);
            }
            Err(error) => self.kill(id, &error),
        }
    }
}

impl Attempt {
    /// `Ok`: it is connected; `NotConnected`: it goes on; any other error ends it.
    fn outcome(&self) -> io::Result<()> {
        match self.stream.take_error()? {
            Some(error) => Err(error),
            None => self.stream.peer_addr().map(|_| ()),
        }
    }
}
