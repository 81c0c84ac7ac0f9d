//! The network between the servers of a simulation, and to their clients: connections that are
//! made after a while, refused, or never answered; bytes that take their time and come in pieces;
//! connections that break and whose ends hear of it at different times; TLS without cryptography.
//! All of it from one seed, on one clock. Each server has the turn of the reactor (DESIGN.md §4).

mod writing;

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};

use tercet::cx::{Action, Now};
use tercet::server::{ReadWish, Server};
use tercet::stream::c2s::TlsInfo;

use super::ends::{End, Ends, Piece, Tls};
use super::roads::{Attempt, Road};
use crate::driver::{Event, Link};
use crate::seeds::Tally;
use crate::setup::Seeded;

/// How the network behaves.
pub struct Weather {
    pub rng: Seeded,
    /// Reads and writes come in pieces.
    pub is_chunked: bool,
    /// How long a piece may be on its way.
    pub latency_ms: u64,
    /// One attempt to connect in so many fails; 0: none.
    pub failures: usize,
    /// What servers do not offer each other.
    pub hides: Vec<&'static str>,
}

/// A server and its doors.
pub struct Host {
    pub domain: String,
    pub server: Server,
    pub exit: Option<u8>,
    pub exit_ms: u64,
    /// It is not given any turn: its process stands still.
    pub is_stuck: bool,
    /// How others reach it.
    pub road: Road,
    /// What it shows in TLS.
    pub chain: Vec<Vec<u8>>,
    takes_clients: bool,
    pub(super) takes_servers: bool,
}

impl Host {
    pub fn new(domain: &str, server: Server, chain: Vec<Vec<u8>>) -> Self {
        Self {
            domain: domain.to_owned(),
            server,
            exit: None,
            exit_ms: 0,
            is_stuck: false,
            road: Road::Open,
            chain,
            takes_clients: true,
            takes_servers: true,
        }
    }

    pub(super) fn runs(&self) -> bool {
        self.exit.is_none() && !self.is_stuck
    }
}

pub struct Net {
    pub hosts: Vec<Host>,
    pub now: Now,
    pub weather: Weather,
    /// What has come for clients.
    pub events: VecDeque<Event>,
    pub ends: Ends,
    pub tally: Tally,
    /// Turns in which something happened.
    pub steps_count: usize,
    pub(super) attempts: Vec<Attempt>,
}

impl Net {
    pub fn new(hosts: Vec<Host>, now: Now, weather: Weather) -> Self {
        Self {
            hosts,
            now,
            weather,
            events: VecDeque::new(),
            ends: Ends::default(),
            tally: Tally::new(),
            steps_count: 0,
            attempts: Vec::new(),
        }
    }

    pub fn count(&mut self, what: &'static str) {
        *self.tally.entry(what).or_default() += 1;
    }

    /// A client connects to a server; `None`: refused.
    pub fn open(&mut self, host: usize) -> Option<Link> {
        let id = self.ends.next_id();
        let place = &mut self.hosts[host];
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let is_let_in = place.exit.is_none()
            && place.takes_clients
            && place.server.handle_accept(self.now, id, address, false);
        is_let_in.then(|| self.ends.add(End::new(host, id, None)))
    }

    /// What a client says.
    pub fn write(&mut self, link: Link, bytes: &[u8]) {
        if let Some(end) = self.ends.get_mut(link) {
            end.coming.push_back((self.now.mono_ms, Piece::Bytes(bytes.iter().copied().collect())));
        }
    }

    /// The ends of connections between servers that have not heard of a break.
    pub fn wires(&self) -> Vec<Link> {
        self.ends
            .all()
            .filter(|(_, end)| end.is_of_servers && end.broken_ms.is_none())
            .map(|(link, _)| link)
            .collect()
    }

    /// A connection between servers breaks: nothing arrives any more, and each end hears of it
    /// when it does.
    pub fn cut_wire(&mut self, link: Link) {
        let far = self.ends.get_mut(link).and_then(|end| end.far);
        for link in [Some(link), far].into_iter().flatten() {
            let delay_ms = self.weather.rng.below(3_000) as u64;
            let Some(end) = self.ends.get_mut(link) else { continue };
            end.broken_ms = Some(self.now.mono_ms + delay_ms);
            self.ends.note_lost(link);
        }
        self.count("wires cut");
    }

    /// All connections between servers break, and both sides know.
    pub fn break_all(&mut self) {
        for link in self.wires() {
            self.ends.note_lost(link);
            if let Some(end) = self.ends.get_mut(link) {
                end.broken_ms = Some(self.now.mono_ms);
            }
        }
    }

    /// One turn of each server; false when there was nothing to do.
    pub fn turn(&mut self) -> bool {
        let mut worked = self.connect();
        for host in 0..self.hosts.len() {
            if self.hosts[host].runs() {
                worked |= self.turn_of(host);
            }
        }
        self.steps_count += usize::from(worked);
        worked
    }

    fn turn_of(&mut self, host: usize) -> bool {
        let now = self.now;
        let mut worked = self.read(host);
        let server = &mut self.hosts[host].server;
        worked |= server.poll_timeout().is_some_and(|due_ms| due_ms <= now.mono_ms);
        server.handle_timeout(now);
        worked |= self.act(host);
        self.hosts[host].server.commit(now);
        worked |= self.flush(host);
        self.hosts[host].server.finish_turn(now);
        worked |= self.act(host);
        worked |= self.reap(host);
        if self.hosts[host].exit.is_some() {
            self.die(host);
        }
        worked
    }

    /// When something is to happen by itself.
    pub fn next_deadline(&self) -> Option<u64> {
        let running = |host: usize| self.hosts[host].runs();
        let ends = self.ends.all().filter(|(_, end)| running(end.host)).filter_map(|(_, end)| {
            let wish = self.hosts[end.host].server.read_wish(end.id);
            let pause_ms = match wish {
                ReadWish::Until(due_ms) => Some(due_ms),
                ReadWish::No if end.closing.is_none() && end.tls == Tls::None => None,
                _ => Some(0),
            };
            let next_ms = end.coming.front().map(|(due_ms, _)| *due_ms);
            let next_ms = next_ms.zip(pause_ms).map(|(next, pause)| next.max(pause));
            [end.closing, end.broken_ms, next_ms].into_iter().flatten().min()
        });
        let hosts = self.hosts.iter().filter(|host| host.runs());
        let hosts = hosts.filter_map(|host| host.server.poll_timeout());
        let attempts = self.attempts.iter().filter(|attempt| attempt.road != Road::Silent);
        ends.chain(hosts).chain(attempts.map(|attempt| attempt.due_ms)).min()
    }

    /// The clock goes forward, up to `ms` further, to where something happens.
    pub fn advance_to(&mut self, mono_ms: u64) {
        let step_ms = mono_ms.saturating_sub(self.now.mono_ms);
        self.now.mono_ms += step_ms;
        self.now.unix_ms += step_ms as i64;
    }

    fn read(&mut self, host: usize) -> bool {
        let mut worked = false;
        for link in self.ends.of(host) {
            let is_broken = self
                .ends
                .get(link)
                .is_some_and(|end| end.broken_ms.is_some_and(|due_ms| due_ms <= self.now.mono_ms));
            if is_broken {
                self.lose_end(link, "reset by the other side");
                worked = true;
            } else {
                worked |= self.read_end(host, link);
            }
            if self.hosts[host].server.is_congested() {
                break;
            }
        }
        worked
    }

    /// One piece, or a part of it.
    fn read_end(&mut self, host: usize, link: Link) -> bool {
        let now = self.now;
        let Some(end) = self.ends.get_mut(link) else { return false };
        let (id, has_come) = (end.id, end.has_come(now.mono_ms));
        let is_busy = end.closing.is_some() || end.tls != Tls::None;
        if !is_busy {
            match self.hosts[host].server.read_wish(id) {
                ReadWish::Pending => {
                    self.hosts[host].server.handle_input(now, id, &[]);
                    return true;
                }
                ReadWish::No => return false,
                ReadWish::Until(due_ms) if due_ms > now.mono_ms => return false,
                ReadWish::Read | ReadWish::Until(_) => {}
            }
        }
        if !has_come {
            return false;
        }
        let share = if self.weather.is_chunked { 1 + self.weather.rng.below(400) } else { 1 << 20 };
        let Some(piece) = end.take(share) else { return false };
        match piece {
            Piece::Bytes(_) if end.closing.is_some() => {}
            Piece::Bytes(_) if end.tls != Tls::None => {
                self.lose_end(link, "no TLS handshake");
                self.count("bytes in the clear where TLS was due");
            }
            Piece::Bytes(bytes) => {
                let bytes: Vec<u8> = bytes.into();
                self.ends.note_read(link, bytes.len());
                self.hosts[host].server.handle_input(now, id, &bytes);
            }
            Piece::Hello(chain) => self.shake_hands(host, link, chain),
            Piece::Fin => {
                end.is_ended = true;
                if end.tls == Tls::None {
                    self.hosts[host].server.handle_end(now, id);
                } else {
                    self.lose_end(link, "gone during the TLS handshake");
                }
            }
        }
        true
    }

    fn shake_hands(&mut self, host: usize, link: Link, chain: Vec<Vec<u8>>) {
        let Some(end) = self.ends.get_mut(link) else { return };
        let (id, was) = (end.id, std::mem::replace(&mut end.tls, Tls::None));
        match was {
            Tls::None => return self.lose_end(link, "TLS that nobody has asked for"),
            Tls::Accepting => {
                let own = self.hosts[host].chain.clone();
                self.send(link, Piece::Hello(own));
                self.count("TLS handshakes");
            }
            Tls::Connecting => {}
        }
        let tls = TlsInfo { is_tls13: true, peer_chain: chain, ..TlsInfo::default() };
        self.hosts[host].server.handle_tls(self.now, id, tls);
    }

    /// Something is on its way to the other end.
    fn send(&mut self, link: Link, piece: Piece) {
        let delay_ms = match self.weather.is_chunked {
            true => self.weather.rng.below(self.weather.latency_ms as usize + 1) as u64,
            false => self.weather.latency_ms,
        };
        self.ends.send(link, piece, self.now.mono_ms, delay_ms);
    }

    fn act(&mut self, host: usize) -> bool {
        let mut worked = false;
        while let Some(action) = self.hosts[host].server.poll_action() {
            worked = true;
            match action {
                Action::CloseAfterFlush { conn, deadline_ms } => {
                    let link = self.ends.link_of(conn);
                    if let Some(end) = self.ends.get_mut(link) {
                        end.closing = Some(deadline_ms.max(self.now.mono_ms));
                    }
                }
                Action::Abort(conn) => self.abort(self.ends.link_of(conn)),
                Action::Resume(_) => {}
                Action::CloseListeners => self.hosts[host].takes_clients = false,
                Action::CloseServerListeners => self.hosts[host].takes_servers = false,
                Action::Connect { link, address } => self.begin(host, link, address),
                Action::Disconnect(link) => {
                    self.attempts.retain(|a| a.host != host || a.link != link);
                }
                Action::StartTls { conn, .. } => {
                    let link = self.ends.link_of(conn);
                    if let Some(end) = self.ends.get_mut(link) {
                        end.tls = Tls::Connecting;
                    }
                    self.send(link, Piece::Hello(self.hosts[host].chain.clone()));
                }
                Action::AskDns(_) => self.count("questions to a silent name server"),
                Action::Exit(code) => {
                    self.hosts[host].exit = Some(code);
                    self.hosts[host].exit_ms = self.now.mono_ms;
                }
            }
        }
        worked
    }

    /// This end resets the connection.
    fn abort(&mut self, link: Link) {
        let far = self.ends.get_mut(link).and_then(|end| end.far);
        if let Some(far) = far
            && let Some(end) = self.ends.get_mut(far)
        {
            end.broken_ms.get_or_insert(self.now.mono_ms + self.weather.latency_ms);
            self.ends.note_lost(far);
        }
        self.ends.note_lost(link);
        self.lose_end(link, "aborted");
    }

    /// An end is gone, and its server is told.
    fn lose_end(&mut self, link: Link, reason: &str) {
        let Some(end) = self.ends.get(link) else { return };
        let (host, id) = (end.host, end.id);
        if !end.is_of_servers {
            self.events.push_back(Event::End(link));
        }
        self.ends.note_outbox(link, self.hosts[host].server.outbox(id));
        self.ends.remove(link);
        self.hosts[host].server.handle_closed(self.now, id, reason);
    }
}
