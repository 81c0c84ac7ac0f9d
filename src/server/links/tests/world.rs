//! A server with one client, in a network of one other server that is written here again, in its
//! simplest form. A step is a connection made, bytes that pass one way, or the end of one; what
//! passes when is the test's choice.

use std::collections::{BTreeMap, VecDeque};
use std::io::IoSlice;
use std::net::SocketAddr;
use std::rc::Rc;

use super::peer::Peer;
use crate::config::Config;
use crate::cx::{Action, Entropy, Now};
use crate::ids::{ConnId, SessionId, Target};
use crate::server::Server;
use crate::storage::Storage;
use crate::stream::c2s::TlsInfo;
use crate::xml::Element;
use crate::xmpp::{Jid, MessageType, PresenceType, Stanza, StanzaKind, ns};

/// Steps after which a test is said to go on for ever.
const STEPS_MAX: usize = 10_000;

/// Bytes from a seed.
struct Seed(u8);

impl Entropy for Seed {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.0 = self.0.wrapping_mul(5).wrapping_add(3);
            *byte = self.0;
        }
    }
}

/// The server, what it waits for, and the other server.
pub struct World {
    pub server: Server,
    pub now: Now,
    pub peer: Peer,
    pub alice: SessionId,
    /// Connections are refused.
    pub is_dead: bool,
    /// The server reads one byte at a time.
    pub is_bytewise: bool,
    /// Where it has tried to connect.
    pub tried: Vec<SocketAddr>,
    connecting: VecDeque<(SessionId, SocketAddr)>,
    securing: VecDeque<ConnId>,
    closing: VecDeque<ConnId>,
    /// What the other server has said, not read yet.
    said: VecDeque<(ConnId, Vec<u8>)>,
    /// Connections that are up, and where to.
    pub conns: BTreeMap<ConnId, SocketAddr>,
    next_conn: u32,
    /// What alice has read.
    told: String,
}

pub fn jid(text: &str) -> Jid {
    Jid::parse(text).unwrap()
}

impl World {
    pub fn new(peer: Peer) -> Self {
        Self::with(peer, |_| {})
    }

    pub fn with(peer: Peer, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.s2s.require_tls = false;
        for (domain, address) in
            [("remote.example", "192.0.2.1:5269"), ("other.example", "192.0.2.2:5269")]
        {
            config.s2s.hosts.insert(domain.to_owned(), address.parse().unwrap());
        }
        change(&mut config);
        let now = Now { mono_ms: 1_000, unix_ms: 951_782_400_000 };
        let storage = Storage::memory();
        let mut server = Server::new(Rc::new(config), storage, Box::new(Seed(7)), now).unwrap();
        // One that does not answer.
        server.handle_resolver(now, "nameserver 192.0.2.53\n", "");
        let alice = server.cx.out.open();
        server.im.bind(&mut server.cx, alice, &jid("alice@localhost/a")).unwrap();
        Self {
            server,
            now,
            peer,
            alice,
            is_dead: false,
            is_bytewise: false,
            tried: Vec::new(),
            connecting: VecDeque::new(),
            securing: VecDeque::new(),
            closing: VecDeque::new(),
            said: VecDeque::new(),
            conns: BTreeMap::new(),
            next_conn: 0,
            told: String::new(),
        }
    }

    /// A message with this id leaves.
    pub fn send(&mut self, id: &str, from: &str, to: &str) {
        let kind = StanzaKind::Message(MessageType::Chat);
        let stanza = Stanza::new(kind, jid(from), Some(jid(to))).with_id(Some(id.to_owned()));
        self.route(stanza.with_child(Element::new("body", ns::CLIENT).with_text("hi")));
    }

    pub fn presence(&mut self, kind: PresenceType, to: &str) {
        let kind = StanzaKind::Presence(kind);
        self.route(Stanza::new(kind, jid("alice@localhost/a"), Some(jid(to))));
    }

    pub fn route(&mut self, stanza: Stanza) {
        self.server.begin_chain();
        self.server.handle_one(Target::Routed, stanza);
        self.server.finish_chain();
        self.turn();
    }

    /// A turn of the reactor without input.
    pub fn turn(&mut self) {
        self.server.handle_timeout(self.now);
        self.server.commit(self.now);
        while self.server.poll_dirty().is_some() {}
        self.server.finish_turn(self.now);
        while let Some(action) = self.server.poll_action() {
            match action {
                Action::Connect { link, address } => {
                    self.tried.push(address);
                    self.connecting.push_back((link, address));
                }
                Action::Disconnect(link) => self.connecting.retain(|(other, _)| *other != link),
                Action::StartTls { conn, .. } => self.securing.push_back(conn),
                Action::CloseAfterFlush { conn, .. } | Action::Abort(conn) => {
                    self.closing.push_back(conn);
                }
                _ => {}
            }
        }
        self.told.push_str(&take(&mut self.server, self.alice));
    }

    /// One thing happens. False: nothing can, before the clock goes on.
    pub fn step(&mut self) -> bool {
        if self.server.poll_timeout().is_some_and(|due_ms| due_ms <= self.now.mono_ms) {
            self.turn();
            return true;
        }
        if let Some((link, address)) = self.connecting.pop_front() {
            self.connect(link, address);
        } else if let Some((conn, bytes)) = self.said.pop_front() {
            self.feed(conn, &bytes);
        } else if let Some(conn) = self.conn_with_output() {
            self.read(conn);
        } else if let Some(conn) = self.securing.pop_front() {
            self.peer.is_secure(conn);
            self.server.handle_tls(self.now, conn, TlsInfo::default());
        } else if let Some(conn) = self.closing.pop_front() {
            self.close(conn);
        } else {
            return false;
        }
        self.turn();
        true
    }

    /// What links have to write goes nowhere.
    pub fn drop_output(&mut self) {
        for id in self.server.links.ids() {
            take(&mut self.server, id);
        }
    }

    /// Until nothing happens.
    pub fn run(&mut self) {
        for _ in 0..STEPS_MAX {
            if !self.step() {
                return;
            }
        }
        panic!("it goes on for ever");
    }

    /// The clock goes on, as far as something is to happen by then.
    pub fn wait(&mut self, ms: u64) {
        let end_ms = self.now.mono_ms + ms;
        self.run();
        while let Some(due_ms) = self.server.poll_timeout().filter(|due_ms| *due_ms <= end_ms) {
            self.set_clock(due_ms.max(self.now.mono_ms));
            self.run();
        }
        self.set_clock(end_ms);
        self.run();
    }

    fn set_clock(&mut self, mono_ms: u64) {
        self.now.unix_ms += (mono_ms - self.now.mono_ms) as i64;
        self.now.mono_ms = mono_ms;
    }

    fn connect(&mut self, link: SessionId, address: SocketAddr) {
        if self.is_dead {
            self.server.handle_connected(self.now, link, Err("refused".to_owned()));
            return;
        }
        let conn = ConnId { index: self.next_conn, generation: 1 };
        self.next_conn += 1;
        self.conns.insert(conn, address);
        self.peer.accept(conn);
        self.server.handle_connected(self.now, link, Ok(conn));
    }

    /// The other server says something.
    pub fn feed(&mut self, conn: ConnId, bytes: &[u8]) {
        let count = if self.is_bytewise { 1 } else { bytes.len().max(1) };
        for piece in bytes.chunks(count) {
            self.server.handle_input(self.now, conn, piece);
            // As it is after a hold.
            self.server.handle_input(self.now, conn, b"");
        }
        self.turn();
    }

    fn conn_with_output(&mut self) -> Option<ConnId> {
        let conns: Vec<_> = self.conns.keys().copied().collect();
        conns
            .into_iter()
            .find(|conn| self.server.outbox(*conn).is_some_and(|outbox| !outbox.is_empty()))
    }

    fn read(&mut self, conn: ConnId) {
        let Some(id) = self.server.links.at(conn) else { return };
        let bytes = take(&mut self.server, id);
        let answer = self.peer.handle(conn, bytes.as_bytes());
        if !answer.is_empty() {
            self.said.push_back((conn, answer));
        }
    }

    /// The connection is gone.
    pub fn close(&mut self, conn: ConnId) {
        if self.conns.remove(&conn).is_some() {
            self.said.retain(|(other, _)| *other != conn);
            self.securing.retain(|other| *other != conn);
            self.peer.close(conn);
            self.server.handle_closed(self.now, conn, "cut");
        }
    }

    /// All connections are gone, and none is made that was about to be.
    pub fn cut(&mut self) {
        for (link, _) in std::mem::take(&mut self.connecting) {
            self.server.handle_connected(self.now, link, Err("cut".to_owned()));
        }
        let conns: Vec<_> = self.conns.keys().copied().collect();
        conns.into_iter().for_each(|conn| self.close(conn));
        self.turn();
    }

    /// The connection that is up.
    pub fn conn(&self) -> ConnId {
        assert_eq!(self.conns.len(), 1, "one connection");
        *self.conns.keys().next().unwrap()
    }

    /// What alice has read since the last call.
    pub fn told(&mut self) -> String {
        std::mem::take(&mut self.told)
    }

    /// The conditions of errors that alice has read since the last call, with the ids.
    pub fn bounced(&mut self) -> Vec<(String, String)> {
        let told = self.told();
        let read = crate::xml::read_fragment(told.as_bytes(), ns::CLIENT);
        let errors = read.iter().filter_map(|stanza| {
            let error = stanza.child("error", ns::CLIENT)?;
            let condition = error.elements().next()?.name.to_string();
            Some((stanza.attr("id").unwrap_or_default().to_owned(), condition))
        });
        errors.collect()
    }

    /// Nothing is left but alice.
    #[track_caller]
    pub fn assert_idle(&self) {
        let residue = self.server.residue();
        assert_eq!((residue.links, residue.queues, residue.attempts), (0, 0, 0));
        assert_eq!((residue.outboxes, residue.outbox_bytes), (1, 0));
    }
}

/// Writes everything that waits.
fn take(server: &mut Server, id: SessionId) -> String {
    let Some(outbox) = server.cx.out.get_mut(id) else { return String::new() };
    let mut slices = [IoSlice::new(&[]); 64];
    let mut bytes = Vec::new();
    let used = outbox.slices(&mut slices);
    slices[..used].iter().for_each(|slice| bytes.extend_from_slice(slice));
    outbox.consume(bytes.len());
    String::from_utf8(bytes).unwrap()
}
