//! The core of these tests: it echoes, and does tricks when what came so far ends with a word in
//! angle brackets. Beside it the thread that it runs in, and blocking clients.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use mio::Poll;

use super::super::certificate;
use super::super::clock::Clock;
use super::super::control::Control;
use super::super::core::Core;
use super::super::listener::Listener;
use super::super::reactor::{Reactor, Source};
use crate::certs::trust::Trust;
use crate::config::{Attached, Config};
use crate::cx::{Action, Now};
use crate::dns::Transmit;
use crate::ids::{ConnId, Door, SessionId};
use crate::outbound::{Outbox, Outboxes};
use crate::server::ReadWish;
use crate::stream::c2s::TlsInfo;
use crate::xmpp::BareJid;

/// Longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes of `<flood>`.
pub const FLOOD_BYTES: usize = 8 * 1024 * 1024;
/// How long a peer may take to end.
const CLOSE_MS: u64 = 300;
/// `<pause>` and `<wait>`.
const PAUSE_MS: u64 = 60;

/// What the core saw.
#[derive(Debug)]
pub enum Seen {
    Accepted(Door),
    Connected(Result<(), String>),
    Dns(SocketAddr, Result<Vec<u8>, ()>),
    Tls(TlsInfo),
    End { bytes_before: usize },
    Closed(String),
}

struct Peer {
    session: SessionId,
    /// The last bytes that came.
    tail: Vec<u8>,
    received: usize,
    wish: ReadWish,
    /// Bytes taken in but not echoed, when the core is slow.
    inside: VecDeque<u8>,
    wake_ms: Option<u64>,
    /// Turns at the time of `<wait>`.
    turns: u64,
}

/// The echo.
pub struct Echo {
    out: Outboxes,
    peers: BTreeMap<ConnId, Peer>,
    conns: HashMap<SessionId, ConnId>,
    actions: VecDeque<Action>,
    seen: Sender<Seen>,
    turns: u64,
    /// Echo so many bytes per call and leave the others inside; 0: all.
    pub slice_bytes: usize,
    pub refuses: bool,
}

impl Echo {
    /// Connects to somebody.
    pub fn dial(&mut self, address: SocketAddr) {
        let link = self.out.open();
        self.actions.push_back(Action::Connect { link, address });
    }

    /// Connects, and thinks better of it.
    pub fn dial_and_give_up(&mut self, address: SocketAddr) {
        let link = self.out.open();
        self.actions.push_back(Action::Connect { link, address });
        self.actions.push_back(Action::Disconnect(link));
        self.out.close(link);
    }

    /// Asks a name server something.
    pub fn ask_dns(&mut self, server: SocketAddr, packet: &[u8], is_tcp: bool) {
        self.actions.push_back(Action::AskDns(Transmit {
            server,
            packet: packet.to_vec(),
            is_tcp,
        }));
    }

    fn add(&mut self, conn: ConnId, session: SessionId, wish: ReadWish) {
        let peer = Peer {
            session,
            tail: Vec::new(),
            received: 0,
            wish,
            inside: VecDeque::new(),
            wake_ms: None,
            turns: 0,
        };
        assert!(self.peers.insert(conn, peer).is_none(), "a handle is used once");
        self.conns.insert(session, conn);
    }

    fn push(&mut self, conn: ConnId, bytes: &[u8]) {
        if let Some(peer) = self.peers.get(&conn) {
            self.out.push_raw(peer.session, bytes);
        }
    }

    fn close(&mut self, now: Now, conn: ConnId, last: &[u8]) {
        if let Some(peer) = self.peers.get_mut(&conn) {
            self.out.push_end(peer.session, last);
            peer.wish = ReadWish::No;
            let deadline_ms = now.mono_ms + CLOSE_MS;
            self.actions.push_back(Action::CloseAfterFlush { conn, deadline_ms });
        }
    }

    fn trick(&mut self, now: Now, conn: ConnId) {
        let turns = self.turns;
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        let Some(start) = peer.tail.iter().rposition(|&byte| byte == b'<') else { return };
        let word = peer.tail.split_off(start);
        match &word[..] {
            b"<starttls>" => {
                let session = peer.session;
                peer.wish = ReadWish::No;
                self.out.push_raw(session, b"<proceed>");
                self.out.mark_starttls(session);
                // Not for the clear transport.
                self.out.push_raw(session, b"<secret>");
            }
            b"<tls>" | b"<direct>" => {
                peer.wish = ReadWish::No;
                let (ours, domain) = ("localhost".to_owned(), "other.example".to_owned());
                let is_direct = &word[..] == b"<direct>";
                self.actions.push_back(Action::StartTls { conn, ours, domain, is_direct });
            }
            b"<end>" => self.close(now, conn, b"<bye>"),
            b"<abort>" => self.actions.push_back(Action::Abort(conn)),
            b"<exit>" => self.actions.push_back(Action::Exit(7)),
            b"<doors>" => self.actions.push_back(Action::CloseListeners),
            b"<servers>" => self.actions.push_back(Action::CloseServerListeners),
            b"<pause>" => peer.wish = ReadWish::Until(now.mono_ms + PAUSE_MS),
            b"<never>" => peer.wish = ReadWish::No,
            b"<wait>" => {
                peer.wish = ReadWish::No;
                peer.turns = turns;
                peer.wake_ms = Some(now.mono_ms + PAUSE_MS);
            }
            b"<flood>" => {
                let bytes: Vec<u8> = (0..FLOOD_BYTES).map(|at| (at % 251) as u8).collect();
                self.push(conn, &bytes);
            }
            _ => peer.tail.extend(word),
        }
    }
}

impl Core for Echo {
    fn handle_connected(&mut self, _: Now, link: SessionId, conn: Result<ConnId, String>) {
        match conn {
            Ok(conn) => self.add(conn, link, ReadWish::Read),
            Err(_) => self.out.close(link),
        }
        let _ = self.seen.send(Seen::Connected(conn.map(|_| ())));
    }

    fn handle_dns(&mut self, _: Now, server: SocketAddr, packet: Result<&[u8], ()>) {
        let _ = self.seen.send(Seen::Dns(server, packet.map(<[u8]>::to_vec)));
    }

    fn handle_resolver(&mut self, _: Now, _: &str, _: &str) {}
    fn handle_trust(&mut self, _: Now, _: Rc<Trust>) {}

    fn handle_accept(
        &mut self,
        _: Now,
        conn: ConnId,
        door: Door,
        _: IpAddr,
        direct_tls: bool,
    ) -> bool {
        if self.refuses {
            return false;
        }
        let session = self.out.open();
        self.add(conn, session, if direct_tls { ReadWish::No } else { ReadWish::Read });
        let _ = self.seen.send(Seen::Accepted(door));
        true
    }

    fn handle_tls(&mut self, _: Now, conn: ConnId, tls: TlsInfo) {
        self.peers.get_mut(&conn).expect("alive").wish = ReadWish::Read;
        let _ = self.seen.send(Seen::Tls(tls));
    }

    fn handle_input(&mut self, now: Now, conn: ConnId, bytes: &[u8]) {
        let slice_bytes = if self.slice_bytes == 0 { usize::MAX } else { self.slice_bytes };
        let peer = self.peers.get_mut(&conn).expect("closed connections are not named");
        assert!(
            bytes.is_empty() || matches!(peer.wish, ReadWish::Read | ReadWish::Until(_)),
            "read without being wanted"
        );
        peer.received += bytes.len();
        peer.tail.extend(bytes);
        let excess = peer.tail.len().saturating_sub(16);
        peer.tail.drain(..excess);
        peer.inside.extend(bytes);
        let len = slice_bytes.min(peer.inside.len());
        let echo: Vec<u8> = peer.inside.drain(..len).collect();
        peer.wish = if peer.inside.is_empty() { ReadWish::Read } else { ReadWish::Pending };
        self.push(conn, &echo);
        self.trick(now, conn);
    }

    fn handle_end(&mut self, now: Now, conn: ConnId) {
        let peer = &self.peers[&conn];
        assert!(peer.inside.is_empty(), "bytes first, then the end");
        let _ = self.seen.send(Seen::End { bytes_before: peer.received });
        self.close(now, conn, b"<eof>");
    }

    fn handle_closed(&mut self, _: Now, conn: ConnId, reason: &str) {
        let peer = self.peers.remove(&conn).expect("closed once");
        self.conns.remove(&peer.session);
        self.out.close(peer.session);
        let _ = self.seen.send(Seen::Closed(reason.to_owned()));
    }

    fn handle_timeout(&mut self, now: Now) {
        self.turns += 1;
        let due: Vec<ConnId> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.wake_ms.is_some_and(|wake_ms| wake_ms <= now.mono_ms))
            .map(|(conn, _)| *conn)
            .collect();
        for conn in due {
            let peer = self.peers.get_mut(&conn).expect("alive");
            peer.wake_ms = None;
            peer.wish = ReadWish::Read;
            self.actions.push_back(Action::Resume(conn));
            let text = format!("<{} turns>", self.turns - peer.turns);
            self.push(conn, text.as_bytes());
            self.actions.push_back(Action::Resume(conn));
        }
    }

    fn handle_control(&mut self, _: Now, request: &str) -> String {
        if request == "exit" {
            self.actions.push_back(Action::Exit(0));
        }
        format!("ok {}", request.len())
    }

    fn handle_reload(&mut self, _: Now, _: Rc<Config>) {}

    fn handle_shutdown(&mut self, _: Now, _: &str) {
        self.actions.push_back(Action::Exit(3));
    }

    fn read_wish(&self, conn: ConnId) -> ReadWish {
        self.peers[&conn].wish
    }

    fn is_congested(&self) -> bool {
        self.out.is_congested()
    }

    /// Always: it keeps nobody from being read in the end.
    fn is_crowded(&self) -> bool {
        true
    }

    fn poll_timeout(&self) -> Option<u64> {
        self.peers.values().filter_map(|peer| peer.wake_ms).min()
    }

    fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    fn commit(&mut self, _: Now) {
        self.out.commit_turn();
    }

    fn poll_dirty(&mut self) -> Option<ConnId> {
        let session = self.out.poll_dirty()?;
        self.conns.get(&session).copied()
    }

    fn outbox(&mut self, conn: ConnId) -> Option<&mut Outbox> {
        let session = self.peers.get(&conn)?.session;
        self.out.get_mut(session)
    }

    fn finish_turn(&mut self, _: Now) {}

    fn summary(&self) -> String {
        format!("{} peers left", self.peers.len())
    }
}

/// A data folder that goes with its test.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("tercet-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder for the test");
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A configuration on free ports: for clients, for servers, one clear and one direct TLS each, and
/// for components.
pub fn config(folder: &Path) -> Config {
    let mut config = Config { data: folder.to_owned(), ..Config::default() };
    config.c2s.listen = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    config.c2s.listen_tls = config.c2s.listen.clone();
    config.s2s.listen = config.c2s.listen.clone();
    config.s2s.listen_tls = config.c2s.listen.clone();
    config.components = vec![Attached {
        domain: BareJid::parse("irc.localhost").expect("a domain"),
        secret: "known to both".to_owned(),
        listen: config.c2s.listen[0],
    }];
    config
}

/// A reactor with an echo, ready to run, and the addresses it listens on.
pub fn reactor(
    config: Config,
    seen: Sender<Seen>,
    set: impl FnOnce(&mut Echo),
) -> (Reactor<Echo>, Vec<SocketAddr>) {
    let mut clock = Clock::new();
    let identities = certificate::load(&config, clock.begin_turn()).expect("a certificate");
    let listeners = Listener::bind_all(&config).expect("free ports");
    let addresses = listeners.iter().map(|own| own.address().expect("bound")).collect();
    let poll = Poll::new().expect("a poll");
    let control =
        Control::bind(&config.data, poll.registry(), Source::Control.token()).expect("a socket");
    let mut core = Echo {
        out: Outboxes::new(0),
        peers: BTreeMap::new(),
        conns: HashMap::new(),
        actions: VecDeque::new(),
        seen,
        turns: 0,
        slice_bytes: 0,
        refuses: false,
    };
    set(&mut core);
    let mut reactor = Reactor::new(core, poll, clock, Rc::new(config), identities);
    reactor.control = Some(control);
    super::super::listen(&mut reactor, listeners).expect("listening");
    (reactor, addresses)
}

/// A reactor in its thread.
pub struct Running {
    pub clear: SocketAddr,
    pub tls: SocketAddr,
    /// For servers, for servers with TLS, for components.
    pub others: [SocketAddr; 3],
    pub folder: Folder,
    pub seen: Receiver<Seen>,
    /// The exit code, connections left in the slab, residue in the queues.
    thread: Option<JoinHandle<(u8, usize, usize)>>,
}

impl Running {
    pub fn new(name: &str) -> Self {
        Self::with(name, |_| {})
    }

    pub fn with(name: &str, set: impl FnOnce(&mut Echo) + Send + 'static) -> Self {
        let folder = Folder::new(name);
        let path = folder.0.clone();
        let ((tell, told), (send, seen)) = (channel(), channel());
        let thread = std::thread::spawn(move || {
            let (mut reactor, addresses) = reactor(config(&path), send, set);
            tell.send(addresses).expect("the test waits");
            let code = reactor.run(&mut || Err("no reload here".into())).expect("a sound poll");
            let residue = reactor.core.out.len() + reactor.core.conns.len();
            (code, reactor.connections.len(), residue)
        });
        let addresses = told.recv_timeout(PATIENCE).expect("the reactor starts");
        let addresses: [_; 5] = addresses[..].try_into().expect("all doors");
        let [clear, tls, others @ ..] = addresses;
        Self { clear, tls, others, folder, seen, thread: Some(thread) }
    }

    /// A client in the clear.
    pub fn client(&self) -> TcpStream {
        connect(self.clear)
    }

    /// Waits for the end of a connection; what else was seen until then is dropped.
    #[track_caller]
    pub fn closed(&self) -> String {
        loop {
            if let Seen::Closed(reason) = self.saw() {
                return reason;
            }
        }
    }

    #[track_caller]
    pub fn saw(&self) -> Seen {
        self.seen.recv_timeout(PATIENCE).expect("the core sees something in time")
    }

    /// Ends the loop when all connections are gone, and checks that nothing of them is left.
    pub fn finish(mut self) {
        assert_eq!(super::control::ask(&self.folder.0, b"exit"), "ok 4");
        let end = self.thread.take().expect("once").join().expect("no panic in the loop");
        assert_eq!(end, (0, 0, 0), "exit code, connections, residue");
    }

    /// Waits for an end that somebody else has caused.
    pub fn exit_code(mut self) -> u8 {
        self.thread.take().expect("once").join().expect("no panic in the loop").0
    }
}

/// A client that fails instead of waiting for ever.
pub fn connect(address: SocketAddr) -> TcpStream {
    let client = TcpStream::connect(address).expect("the listener accepts");
    client.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    client.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    client.set_nodelay(true).expect("no delay");
    client
}

/// Reads exactly `want`.
#[track_caller]
pub fn expect(client: &mut impl Read, want: &[u8]) {
    let mut got = vec![0; want.len()];
    client.read_exact(&mut got).expect("as many bytes as that");
    assert_eq!(String::from_utf8_lossy(&got), String::from_utf8_lossy(want));
}

/// Sends, and expects the echo and then `more`.
#[track_caller]
pub fn ask(client: &mut (impl Read + Write), bytes: &[u8], more: &[u8]) {
    client.write_all(bytes).expect("taken");
    expect(client, &[bytes, more].concat());
}

/// Reads until the orderly end.
#[track_caller]
pub fn rest(client: &mut impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    client.read_to_end(&mut bytes).expect("an orderly end");
    bytes
}
