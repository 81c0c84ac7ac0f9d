//! A server in this process: the reactor's turn (DESIGN.md §4) over a network of byte queues and a
//! clock that only goes where it is told. How many bytes a read or a write takes is the [`Pace`]'s
//! choice, so that the scenarios and the simulation share everything else.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::net::{IpAddr, Ipv4Addr};

use tercet::cx::{Action, Now};
use tercet::ids::{ConnId, Door};
use tercet::server::{ReadWish, Residue, Server};
use tercet::stream::c2s::TlsInfo;

use crate::driver::{Driver, Event, Link, PATIENCE_MS};
use crate::setup::Setup;

/// No session of a script waits longer to be resumed.
const RESUMPTION_MS_MAX: u64 = 600_000;
/// Turns without an event after which a server is said to spin.
const IDLE_TURNS_MAX: usize = 100_000;

/// How many bytes the network takes at once.
pub trait Pace {
    /// Of `waiting` bytes for the server, how many one read yields; 0: none this turn.
    fn read(&mut self, link: Link, waiting: usize) -> usize;
    /// Of `waiting` bytes for a client, how many one write takes; 0: its window is full.
    fn write(&mut self, link: Link, waiting: usize) -> usize;
}

/// Everything at once.
pub struct Whole;

impl Pace for Whole {
    fn read(&mut self, _: Link, waiting: usize) -> usize {
        waiting
    }
    fn write(&mut self, _: Link, waiting: usize) -> usize {
        waiting
    }
}

/// The server reads one byte a turn.
pub struct ByteWise;

impl Pace for ByteWise {
    fn read(&mut self, _: Link, _: usize) -> usize {
        1
    }
    fn write(&mut self, _: Link, waiting: usize) -> usize {
        waiting
    }
}

/// One connection, from the accept until the server was told that it is gone.
struct Pipe {
    id: ConnId,
    /// On the way to the server.
    input: VecDeque<u8>,
    /// The client has ended its direction, after `input`.
    client_ended: bool,
    /// The server has been told so.
    end_told: bool,
    /// Something waits in the outbox.
    dirty: bool,
    /// `CloseAfterFlush`, and until when.
    closing: Option<u64>,
    /// The server's direction has ended.
    fin_sent: bool,
    /// `<proceed/>` is written: what comes next must be a TLS handshake.
    awaits_tls: bool,
}

/// The server and its network.
pub struct World<P> {
    pub server: Server,
    pub now: Now,
    pub pace: P,
    pub events: VecDeque<Event>,
    pub exit: Option<u8>,
    pub is_listening: bool,
    /// Where the next clients come from.
    pub address: IpAddr,
    pipes: Vec<Option<Pipe>>,
}

impl<P: Pace> World<P> {
    pub fn new(server: Server, now: Now, pace: P) -> Self {
        Self {
            server,
            now,
            pace,
            events: VecDeque::new(),
            exit: None,
            is_listening: true,
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            pipes: Vec::new(),
        }
    }

    /// A client connects; `None`: refused.
    pub fn open(&mut self) -> Option<Link> {
        self.open_at(Door::Clients)
    }

    /// Somebody connects at this door; `None`: refused.
    pub fn open_at(&mut self, door: Door) -> Option<Link> {
        let link = self.pipes.len();
        let id = ConnId { index: link as u32, generation: 1 };
        let (now, address) = (self.now, self.address);
        let is_accepted = self.is_listening
            && match door {
                Door::Clients => self.server.handle_accept(now, id, address, false),
                _ => self.server.handle_accept_link(now, id, door, address, false),
            };
        if !is_accepted {
            return None;
        }
        self.pipes.push(Some(Pipe {
            id,
            input: VecDeque::new(),
            client_ended: false,
            end_told: false,
            dirty: false,
            closing: None,
            fin_sent: false,
            awaits_tls: false,
        }));
        Some(link)
    }

    pub fn write(&mut self, link: Link, bytes: &[u8]) {
        if let Some(pipe) = &mut self.pipes[link]
            && !pipe.client_ended
        {
            pipe.input.extend(bytes);
        }
    }

    /// The client ends its direction.
    pub fn end(&mut self, link: Link) {
        if let Some(pipe) = &mut self.pipes[link] {
            pipe.client_ended = true;
        }
    }

    /// The connection breaks.
    pub fn cut(&mut self, link: Link) {
        if let Some(pipe) = self.pipes[link].take() {
            self.server.handle_closed(self.now, pipe.id, "reset by the peer");
        }
    }

    /// Every connection breaks.
    pub fn cut_all(&mut self) {
        (0..self.pipes.len()).for_each(|link| self.cut(link));
    }

    /// The TLS handshake, imagined. Bytes that were sent in the clear meanwhile make it fail.
    pub fn start_tls(&mut self, link: Link) -> Result<(), String> {
        let Some(pipe) = &mut self.pipes[link] else { return Ok(()) };
        if !pipe.awaits_tls {
            return Err("the server does not expect a TLS handshake".to_owned());
        }
        if pipe.input.is_empty() {
            pipe.awaits_tls = false;
            self.server.handle_tls(self.now, pipe.id, TlsInfo::default());
        } else {
            self.events.push_back(Event::End(link));
            self.cut(link);
        }
        Ok(())
    }

    /// Connections that the server has not been told the end of.
    pub fn pipes_count(&self) -> usize {
        self.pipes.iter().flatten().count()
    }

    /// One turn of the reactor; false when there was nothing to do.
    pub fn turn(&mut self) -> bool {
        let mut worked = self.read();
        worked |= self.server.poll_timeout().is_some_and(|due| due <= self.now.mono_ms);
        self.server.handle_timeout(self.now);
        worked |= self.act();
        self.server.commit(self.now);
        worked |= self.flush();
        self.server.finish_turn(self.now);
        worked |= self.act();
        worked |= self.reap();
        worked
    }

    /// When something is to happen by itself.
    pub fn next_deadline(&self) -> Option<u64> {
        let pipes = self.pipes.iter().flatten();
        let waits = pipes.filter_map(|pipe| match (pipe.closing, self.server.read_wish(pipe.id)) {
            (Some(deadline), _) => Some(deadline),
            (None, ReadWish::Until(due)) if !pipe.input.is_empty() => Some(due),
            _ => None,
        });
        waits.chain(self.server.poll_timeout()).min()
    }

    /// The clock goes forward to `mono_ms`.
    pub fn advance_to(&mut self, mono_ms: u64) {
        let step = mono_ms.saturating_sub(self.now.mono_ms);
        self.now.mono_ms += step;
        self.now.unix_ms += step as i64;
    }

    fn read(&mut self) -> bool {
        let mut worked = false;
        for link in 0..self.pipes.len() {
            let Some(pipe) = &mut self.pipes[link] else { continue };
            if pipe.closing.is_some() {
                worked |= !pipe.input.is_empty();
                pipe.input.clear();
                continue;
            }
            if pipe.awaits_tls {
                continue;
            }
            match self.server.read_wish(pipe.id) {
                ReadWish::Pending => {
                    self.server.handle_input(self.now, pipe.id, &[]);
                    worked = true;
                    continue;
                }
                ReadWish::No => continue,
                ReadWish::Until(due) if due > self.now.mono_ms => continue,
                ReadWish::Read | ReadWish::Until(_) => {}
            }
            if !pipe.input.is_empty() {
                let count = self.pace.read(link, pipe.input.len()).min(pipe.input.len());
                let bytes: Vec<u8> = pipe.input.drain(..count).collect();
                worked |= count > 0;
                if count > 0 {
                    self.server.handle_input(self.now, pipe.id, &bytes);
                }
            } else if pipe.client_ended && !std::mem::replace(&mut pipe.end_told, true) {
                self.server.handle_end(self.now, pipe.id);
                worked = true;
            }
            if self.server.is_congested() {
                break;
            }
        }
        worked
    }

    fn act(&mut self) -> bool {
        let mut worked = false;
        while let Some(action) = self.server.poll_action() {
            worked = true;
            match action {
                Action::CloseAfterFlush { conn, deadline_ms } => {
                    if let Some(pipe) = &mut self.pipes[conn.index as usize] {
                        pipe.closing = Some(deadline_ms);
                    }
                }
                Action::Abort(conn) => {
                    let link = conn.index as usize;
                    if let Some(pipe) = self.pipes[link].take() {
                        if !pipe.fin_sent {
                            self.events.push_back(Event::End(link));
                        }
                        self.server.handle_closed(self.now, pipe.id, "aborted");
                    }
                }
                // Every pipe is looked at in every turn.
                Action::Resume(_) => {}
                Action::CloseListeners => self.is_listening = false,
                // No other server is in this world.
                Action::CloseServerListeners
                | Action::Connect { .. }
                | Action::Disconnect(_)
                | Action::StartTls { .. }
                | Action::AskDns(_) => {}
                Action::Exit(code) => self.exit = Some(code),
            }
        }
        worked
    }

    fn flush(&mut self) -> bool {
        while let Some(conn) = self.server.poll_dirty() {
            if let Some(pipe) = &mut self.pipes[conn.index as usize] {
                pipe.dirty = true;
            }
        }
        let mut worked = false;
        for link in 0..self.pipes.len() {
            let Some(pipe) = &mut self.pipes[link] else { continue };
            if !pipe.dirty {
                continue;
            }
            let Some(outbox) = self.server.outbox(pipe.id) else { continue };
            let count = self.pace.write(link, outbox.len()).min(outbox.len());
            if count > 0 {
                let mut slices = vec![IoSlice::new(&[]); 64];
                let used = outbox.slices(&mut slices);
                let mut bytes = Vec::with_capacity(count);
                slices[..used].iter().for_each(|slice| bytes.extend_from_slice(slice));
                bytes.truncate(count);
                outbox.consume(bytes.len());
                self.events.push_back(Event::Bytes(link, bytes));
                worked = true;
            }
            if outbox.starttls_is_due() {
                outbox.starttls_done();
                pipe.awaits_tls = true;
            }
            pipe.dirty = !outbox.is_empty();
        }
        worked
    }

    /// Ends what is to be closed and is flushed; forgets what both sides have ended.
    fn reap(&mut self) -> bool {
        let mut worked = false;
        for link in 0..self.pipes.len() {
            let Some(pipe) = &mut self.pipes[link] else { continue };
            let Some(deadline_ms) = pipe.closing else { continue };
            let is_flushed = self.server.outbox(pipe.id).is_none_or(|outbox| outbox.is_empty());
            if is_flushed && !std::mem::replace(&mut pipe.fin_sent, true) {
                self.events.push_back(Event::End(link));
                worked = true;
            }
            let is_over = pipe.fin_sent && pipe.client_ended;
            if is_over || deadline_ms <= self.now.mono_ms {
                if !pipe.fin_sent {
                    self.events.push_back(Event::End(link));
                }
                self.server.handle_closed(self.now, pipe.id, "closed");
                self.pipes[link] = None;
                worked = true;
            }
        }
        worked
    }
}

/// The in-process driver.
pub struct InProcess<P> {
    pub world: World<P>,
    setup: Setup,
    patience_ends_ms: u64,
}

impl<P: Pace> InProcess<P> {
    pub fn new(setup: Setup, pace: P) -> Result<Self, String> {
        let now = Now { mono_ms: 1_000, unix_ms: 1_767_225_600_000 };
        let server = setup.server(now)?;
        Ok(Self { world: World::new(server, now, pace), setup, patience_ends_ms: 0 })
    }

    /// Runs until nothing is left to do at this moment.
    pub fn settle(&mut self) -> Result<(), String> {
        for _ in 0..IDLE_TURNS_MAX {
            if self.world.exit.is_some() || !self.world.turn() {
                return Ok(());
            }
        }
        Err("the server spins".to_owned())
    }

    /// Cuts what is still connected; then the server must hold nothing any more.
    pub fn check_residue(&mut self) -> Result<(), String> {
        if self.world.exit.is_some() {
            return Ok(());
        }
        self.world.cut_all();
        self.settle()?;
        // Sessions that may be resumed (XEP-0198) are, by nobody.
        self.pass_time(RESUMPTION_MS_MAX);
        self.settle()?;
        let residue = self.world.server.residue();
        if residue == Residue::default() { Ok(()) } else { Err(format!("left over: {residue:?}")) }
    }
}

impl<P: Pace> Driver for InProcess<P> {
    fn open(&mut self, door: Door) -> Result<Link, String> {
        self.world.open_at(door).ok_or_else(|| "the connection is refused".to_owned())
    }

    /// What one client sends is handled before another sends, however the bytes are cut: else the
    /// order in a room would depend on that.
    fn write(&mut self, link: Link, bytes: &[u8]) {
        self.world.write(link, bytes);
        // A server that spins is found by whoever waits.
        let _ = self.settle();
    }

    fn start_tls(&mut self, link: Link) -> Result<(), String> {
        self.settle()?;
        self.world.start_tls(link)
    }

    fn close(&mut self, link: Link) {
        self.world.end(link);
    }

    fn cut(&mut self, link: Link) {
        self.world.cut(link);
    }

    fn begin_wait(&mut self) {
        self.patience_ends_ms = self.world.now.mono_ms + PATIENCE_MS;
    }

    fn wait(&mut self) -> Result<Option<Event>, String> {
        for _ in 0..IDLE_TURNS_MAX {
            if let Some(event) = self.world.events.pop_front() {
                return Ok(Some(event));
            }
            if self.world.exit.is_some() {
                return Ok(None);
            }
            if self.world.turn() {
                continue;
            }
            match self.world.next_deadline() {
                Some(due) if due <= self.patience_ends_ms => self.world.advance_to(due),
                _ => return Ok(None),
            }
        }
        Err("the server spins".to_owned())
    }

    fn pass_time(&mut self, ms: u64) {
        let end_ms = self.world.now.mono_ms + ms;
        for _ in 0..IDLE_TURNS_MAX {
            if self.world.turn() {
                continue;
            }
            match self.world.next_deadline() {
                Some(due) if due <= end_ms => self.world.advance_to(due),
                _ => break,
            }
        }
        self.world.advance_to(end_ms);
    }

    fn shut_down(&mut self) {
        // What was read before the signal is handled first (DESIGN.md §8, phase 2).
        if self.settle().is_ok() {
            self.world.server.handle_shutdown(self.world.now, "TERM");
        }
    }

    fn exit_code(&mut self) -> Result<i32, String> {
        self.world.exit.map(i32::from).ok_or_else(|| "the server does not exit".to_owned())
    }

    fn restart(&mut self) -> Result<(), String> {
        self.world.server = self.setup.server(self.world.now)?;
        self.world.pipes.iter_mut().for_each(|pipe| *pipe = None);
        self.world.is_listening = true;
        self.world.exit = None;
        Ok(())
    }
}
