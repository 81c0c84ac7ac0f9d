//! The steps of a turn that are about connections: edges, accepting, reading, acting, writing,
//! reaping. Their order is in `reactor`.
//!
//! Each step marks and queues; a connection leaves the slab in [`Reactor::reap`] alone, so that no
//! event of a batch can mean another connection than it did in the kernel.

use std::cmp::Reverse;
use std::net::SocketAddr;

use mio::Interest;
use mio::event::Event;
use mio::net::TcpStream;

use super::connection::Connection;
use super::core::Core;
use super::listener::Accepted;
use super::notify;
use super::reactor::{Reactor, Source};
use super::transport::{Outlook, Progress, Transport};
use crate::cx::{Action, Now};
use crate::ids::{ConnId, Door};
use crate::server::ReadWish;

/// Connections accepted per turn.
const ACCEPTS_MAX: usize = 64;
/// Connections read per turn.
const READS_MAX: usize = 256;
/// Bytes read per turn.
const READ_BYTES_MAX: usize = 256 * 1024;
/// TLS handshakes that go on in a turn: each step may be a signature or a key exchange.
const HANDSHAKES_MAX: usize = 8;
/// Connections written per turn.
const WRITES_MAX: usize = 1024;
/// Bytes written per turn.
const WRITE_BYTES_MAX: usize = 4 * 1024 * 1024;

impl<C: Core> Reactor<C> {
    /// A connection that is not dead.
    pub fn live(&mut self, id: ConnId) -> Option<&mut Connection> {
        let conn = self.connections.get_mut(id.index as usize)?;
        (conn.id == id && !conn.is_dead()).then_some(conn)
    }

    /// Step 4: what the kernel says of a connection.
    pub fn handle_edge(&mut self, index: usize, event: &Event) {
        let Some(conn) = self.connections.get_mut(index) else { return };
        let id = conn.id;
        conn.is_failed |= event.is_error();
        conn.is_readable |= event.is_readable() || event.is_read_closed() || event.is_error();
        if event.is_writable() && !std::mem::replace(&mut conn.is_writable, true) {
            self.mark_dirty(id);
        }
        self.mark_runnable(id);
    }

    /// Step 4: ends of pauses, deadlines of closing.
    pub fn fire_timers(&mut self, now: Now) {
        while let Some(&Reverse((due_ms, id))) = self.timers.peek() {
            if due_ms > now.mono_ms {
                break;
            }
            self.timers.pop();
            let Some(conn) = self.live(id) else { continue };
            if conn.is_overdue(now.mono_ms) {
                self.kill(id, "closed; the other side did not end in time");
            } else if conn.paused_until_ms.is_some_and(|until| until <= now.mono_ms) {
                conn.paused_until_ms = None;
                self.mark_runnable(id);
            }
        }
        self.expire_questions(now);
    }

    /// Step 4: accepts up to a budget, shared by the listeners.
    pub fn accept(&mut self, now: Now) {
        self.gate.handle_timeout(now.mono_ms);
        let share = ACCEPTS_MAX.div_ceil(self.listeners.len().max(1));
        for index in 0..self.listeners.len() {
            for _ in 0..share {
                let Some(listener) = &mut self.listeners[index] else { break };
                if !listener.is_ready || !self.gate.is_open(now.mono_ms) {
                    break;
                }
                let (door, direct_tls) = (listener.door, listener.direct_tls);
                match listener.accept() {
                    Accepted::Peer(stream, address) => {
                        self.admit(now, stream, address, door, direct_tls);
                    }
                    Accepted::Nobody => self.gate.handle_empty(),
                    Accepted::Gone => {}
                    Accepted::Exhausted(error) => {
                        if self.gate.handle_exhaustion(now.mono_ms) {
                            let count = self.connections.len();
                            log::warn!("accepting pauses at {count} connections: {error}");
                        }
                    }
                }
            }
        }
    }

    fn admit(
        &mut self,
        now: Now,
        stream: TcpStream,
        address: SocketAddr,
        door: Door,
        direct_tls: bool,
    ) {
        let Some(id) = self.next_id() else { return };
        if !self.core.handle_accept(now, id, door, address.ip(), direct_tls) {
            log::debug!("refused {address}");
            return;
        }
        log::debug!("{id:?} accepted from {address}");
        self.take_in(id, address, Transport::new(stream, door, direct_tls));
        self.schedule(id);
    }

    /// The handle of the next connection to be taken in.
    pub fn next_id(&mut self) -> Option<ConnId> {
        let index = u32::try_from(self.connections.vacant_key()).ok()?;
        self.generation = self.generation.wrapping_add(1);
        Some(ConnId { index, generation: self.generation })
    }

    /// A new connection has its place, and is watched.
    pub fn take_in(&mut self, id: ConnId, address: SocketAddr, transport: Transport) {
        let entry = self.connections.vacant_entry();
        assert_eq!(entry.key(), entry_index(id), "the handle is of the next connection");
        let conn = entry.insert(Connection::new(id, address.ip(), transport));
        let socket = conn.transport.socket();
        // It only costs latency when this fails.
        let _ = socket.set_nodelay(true);
        let interest = Interest::READABLE | Interest::WRITABLE;
        let token = Source::Connection(entry_index(id)).token();
        if let Err(error) = self.poll.registry().register(socket, token, interest) {
            self.kill(id, &error.to_string());
        }
    }

    /// Whether to read a connection: its end and its TLS are the reactor's business, the rest is
    /// the core's.
    fn wish(&mut self, id: ConnId) -> ReadWish {
        let Some(conn) = self.live(id) else { return ReadWish::No };
        let can_read = conn.can_read();
        if !conn.is_open() || conn.transport.is_handshaking() {
            return ReadWish::Read;
        }
        // The ClientHello may be in the socket already; it is not for this transport.
        if self.core.outbox(id).is_some_and(|outbox| outbox.starttls_is_marked()) {
            return ReadWish::No;
        }
        match self.core.read_wish(id) {
            // The pause is over, though the core has not been told the time yet.
            ReadWish::Until(due_ms) if due_ms <= self.now_ms => {
                if can_read {
                    ReadWish::Read
                } else {
                    ReadWish::Pending
                }
            }
            wish => wish,
        }
    }

    /// Puts a connection where its wish belongs: to the runnable ones, on a timer, or
    /// nowhere.
    pub fn schedule(&mut self, id: ConnId) {
        let wish = self.wish(id);
        let Some(conn) = self.live(id) else { return };
        let is_lost = conn.is_failed && wish != ReadWish::Pending;
        match wish {
            ReadWish::Read if conn.can_read() => self.mark_runnable(id),
            ReadWish::Pending => self.mark_runnable(id),
            _ if is_lost => self.kill(id, "reset by the other side"),
            // An edge will come, or `Action::Resume`.
            ReadWish::Read | ReadWish::No => {}
            ReadWish::Until(due_ms) => {
                // An earlier timer is enough: it asks again.
                if conn.paused_until_ms.is_none_or(|until| until > due_ms) {
                    conn.paused_until_ms = Some(due_ms);
                    self.timers.push(Reverse((due_ms, id)));
                }
            }
        }
    }

    /// Step 5: reads, up to a budget of connections, bytes, handshakes, and of output caused.
    /// Nothing is read while much waits that the last turn had no room to write.
    pub fn read_runnable(&mut self, now: Now) {
        if std::mem::take(&mut self.is_writing_behind) && self.core.is_crowded() {
            return;
        }
        let (mut bytes, mut handshakes) = (0, 0);
        for _ in 0..self.runnable.len().min(READS_MAX) {
            if bytes >= READ_BYTES_MAX || self.core.is_congested() {
                break;
            }
            let Some(id) = self.runnable.pop_front() else { break };
            let Some(conn) = self.live(id) else { continue };
            if conn.transport.is_handshaking() {
                if handshakes == HANDSHAKES_MAX {
                    self.runnable.push_back(id);
                    continue;
                }
                handshakes += 1;
            }
            conn.is_runnable = false;
            match self.wish(id) {
                ReadWish::Read => bytes += self.read(now, id),
                ReadWish::Pending => self.core.handle_input(now, id, b""),
                ReadWish::Until(_) | ReadWish::No => {}
            }
            self.schedule(id);
        }
    }

    /// Reads one connection; returns the bytes that came.
    fn read(&mut self, now: Now, id: ConnId) -> usize {
        let conn = &mut self.connections[entry_index(id)];
        if !conn.can_read() {
            return 0;
        }
        if conn.is_ended {
            conn.is_end_told = true;
            self.core.handle_end(now, id);
            return 0;
        }
        let received = conn.read(&mut self.scratch, &self.identities);
        let (raw_bytes, outlook) = (received.raw_bytes, received.outlook);
        conn.is_ended = outlook == Outlook::Ended;
        let has_tls_output = conn.transport.has_tls_output() || received.secured.is_some();
        let (is_handshaking, is_over) = (conn.transport.is_handshaking(), conn.is_over());
        if conn.is_open() {
            if let Some(tls) = received.secured {
                log::debug!("{id:?} is on TLS, 1.3: {}, SNI {:?}", tls.is_tls13, tls.sni);
                self.core.handle_tls(now, id, tls);
            }
            if !received.plaintext.is_empty() {
                self.core.handle_input(now, id, received.plaintext);
            }
        }
        if has_tls_output {
            self.mark_dirty(id);
        }
        match outlook {
            Outlook::Broken(reason) => self.kill(id, &reason),
            Outlook::Ended if is_handshaking => self.kill(id, "gone during the TLS handshake"),
            Outlook::Ended if is_over => self.kill(id, "closed"),
            // All bytes before the end are the core's before the end is: maybe in a later turn.
            Outlook::Ended if self.wish(id) == ReadWish::Read => {
                self.read(now, id);
            }
            Outlook::Ended | Outlook::More | Outlook::Blocked => {}
        }
        raw_bytes
    }

    /// Step 7: what the core wants done.
    pub fn act(&mut self, now: Now) {
        while let Some(action) = self.core.poll_action() {
            match action {
                Action::CloseAfterFlush { conn, deadline_ms } => {
                    self.close(conn, deadline_ms.max(now.mono_ms));
                }
                Action::Resume(id) => self.schedule(id),
                Action::Abort(id) => self.kill(id, "aborted"),
                Action::CloseListeners => {
                    notify::stopping();
                    self.close_doors(&[Door::Clients, Door::Components]);
                }
                Action::CloseServerListeners => self.close_doors(&[Door::Servers]),
                Action::Connect { link, address } => self.connect(now, link, address),
                Action::Disconnect(link) => self.disconnect(link),
                Action::StartTls { conn, ours, domain, is_direct } => {
                    self.start_tls(conn, &ours, &domain, is_direct);
                }
                Action::AskDns(transmit) => self.ask_dns(now, transmit),
                Action::Exit(code) => self.exit_code = Some(code),
            }
        }
    }

    fn close_doors(&mut self, doors: &[Door]) {
        for place in &mut self.listeners {
            place.take_if(|listener| doors.contains(&listener.door));
        }
    }

    fn close(&mut self, id: ConnId, deadline_ms: u64) {
        let Some(conn) = self.live(id) else { return };
        if conn.close(deadline_ms) {
            self.timers.push(Reverse((deadline_ms, id)));
            self.mark_dirty(id);
            self.schedule(id);
        } else {
            self.kill(id, "closed during the TLS handshake");
        }
    }

    /// Step 9: one write each, up to a budget.
    pub fn write_dirty(&mut self) {
        self.collect_dirty();
        let mut bytes = 0;
        for _ in 0..self.dirty.len().min(WRITES_MAX) {
            if bytes >= WRITE_BYTES_MAX {
                break;
            }
            let Some(id) = self.dirty.pop_front() else { break };
            if let Some(conn) = self.live(id) {
                conn.is_dirty = false;
                if conn.is_writable {
                    bytes += self.write(id);
                }
            }
        }
        self.is_writing_behind = !self.dirty.is_empty();
    }

    /// Writes one connection; returns the bytes that left its outbox.
    fn write(&mut self, id: ConnId) -> usize {
        let conn = &mut self.connections[entry_index(id)];
        let mut outbox = self.core.outbox(id);
        let before = outbox.as_ref().map_or(0, |outbox| outbox.len());
        match conn.write(outbox.as_deref_mut()) {
            Ok(Progress::More) => {
                conn.is_dirty = true;
                self.dirty.push_back(id);
            }
            Ok(Progress::Done | Progress::Blocked) => {}
            Err(error) => {
                self.kill(id, &error.to_string());
                return 0;
            }
        }
        let bytes = outbox.as_ref().map_or(0, |outbox| before - outbox.len());
        if let Some(outbox) = outbox.filter(|outbox| outbox.starttls_is_due())
            && conn.is_open()
        {
            log::debug!("{id:?} switches to TLS");
            outbox.starttls_done();
            conn.transport.start_tls();
            self.schedule(id);
        } else if conn.is_over() {
            self.kill(id, "closed");
        }
        bytes
    }

    /// Step 10: connections leave, here alone.
    pub fn reap(&mut self, now: Now) {
        self.act(now);
        while let Some((id, reason)) = self.dead.pop_front() {
            // Dropping the socket closes it and takes it out of the poll.
            let conn = self.connections.remove(entry_index(id));
            log::debug!("{id:?} from {} is gone: {reason}", conn.address);
            drop(conn);
            self.core.handle_closed(now, id, &reason);
            self.gate.handle_freed();
            self.is_unfinished = true;
            self.act(now);
        }
        self.collect_dirty();
        if let Some(control) = &mut self.control {
            control.flush(now.mono_ms);
        }
    }

    /// Takes over what the core has to write.
    fn collect_dirty(&mut self) {
        while let Some(id) = self.core.poll_dirty() {
            self.mark_dirty(id);
        }
    }

    pub fn mark_dirty(&mut self, id: ConnId) {
        if let Some(conn) = self.live(id)
            && !std::mem::replace(&mut conn.is_dirty, true)
        {
            self.dirty.push_back(id);
        }
    }

    fn mark_runnable(&mut self, id: ConnId) {
        if let Some(conn) = self.live(id)
            && !std::mem::replace(&mut conn.is_runnable, true)
        {
            self.runnable.push_back(id);
        }
    }

    /// The connection is no good any more: nothing is read or written, and step 10 reaps it.
    pub fn kill(&mut self, id: ConnId, reason: &str) {
        if let Some(conn) = self.live(id)
            && conn.die()
        {
            self.dead.push_back((id, reason.to_owned()));
        }
    }
}

fn entry_index(id: ConnId) -> usize {
    id.index as usize
}
