//! The load client: thousands of connections on one thread and one mio loop, over loopback only.
//! It logs them in, hands what arrives stanza by stanza to the scenario (a [`Load`]), and writes
//! what the scenario pushes, once per connection and turn. It counts nothing and judges nothing.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use crate::login::{self, Account, Phase};
use crate::scan::{Input, Next};
use crate::scram::SaltCache;

/// Bytes of one read.
const READ_BYTES: usize = 256 * 1024;
/// A login takes no longer than this.
const LOGIN_SECONDS_MAX: u64 = 20;
/// Nor the end of all streams, with the leaving of rooms that goes with it.
const CLOSE_SECONDS_MAX: u64 = 60;

/// What a scenario does with stanzas that arrive on connections that are logged in.
pub trait Load {
    /// A stanza arrived, `now` in nanoseconds of [`Client::now`].
    fn stanza(
        &mut self,
        conn: usize,
        stanza: &[u8],
        now: u64,
        sends: &mut Sends,
    ) -> Result<(), String>;
}

/// Stanzas are dropped.
pub struct Ignore;

impl Load for Ignore {
    fn stanza(&mut self, _: usize, _: &[u8], _: u64, _: &mut Sends) -> Result<(), String> {
        Ok(())
    }
}

/// What a scenario wants to send.
#[derive(Default)]
pub struct Sends {
    bytes: Vec<u8>,
    /// Connection, and where its bytes end.
    items: Vec<(usize, usize)>,
}

impl Sends {
    /// Sends what `write` appends.
    pub fn push(&mut self, conn: usize, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.items.push((conn, self.bytes.len()));
    }
}

/// How connections begin.
#[derive(Clone)]
pub enum Opening {
    /// XMPP: a login.
    Login(Account),
    /// The bare loop: these bytes, over direct TLS or in the clear.
    Bare {
        /// Group and frame length.
        hello: Vec<u8>,
        /// TLS from the first byte.
        tls: bool,
    },
}

struct Conn {
    socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
    input: Input,
    out: Vec<u8>,
    written: usize,
    /// The socket took all that was written last.
    writable: bool,
    /// In the list of connections to flush.
    dirty: bool,
    account: Option<Account>,
    phase: Phase,
    started: u64,
    is_closed: bool,
}

/// All connections.
pub struct Client {
    poll: Poll,
    events: Events,
    conns: Vec<Conn>,
    clock: Instant,
    buffer: Vec<u8>,
    plaintext: Vec<u8>,
    dirty: Vec<usize>,
    sends: Sends,
    tls: Arc<ClientConfig>,
    address: SocketAddr,
    nonce: u64,
    cache: SaltCache,
    ready: usize,
    /// Nanoseconds that each login took, from the connect to the bind.
    pub login_ns: Vec<u64>,
}

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl Client {
    /// No connection yet.
    pub fn new(address: SocketAddr, cache: SaltCache) -> Result<Self, String> {
        Ok(Self {
            poll: Poll::new().map_err(told)?,
            events: Events::with_capacity(1024),
            conns: Vec::new(),
            clock: Instant::now(),
            buffer: vec![0; READ_BYTES],
            plaintext: vec![0; READ_BYTES],
            dirty: Vec::new(),
            sends: Sends::default(),
            tls: crate::tls::client_config()?,
            address,
            nonce: u64::from(std::process::id()) << 32,
            cache,
            ready: 0,
            login_ns: Vec::new(),
        })
    }

    /// Gives the cache of salted passwords to the next client.
    pub fn into_cache(self) -> SaltCache {
        self.cache
    }

    /// Nanoseconds since this client was made.
    pub fn now(&self) -> u64 {
        self.clock.elapsed().as_nanos() as u64
    }

    /// Opens a connection for each opening, `at_once` of them in parallel, until all are ready.
    pub fn open_all(
        &mut self,
        openings: impl ExactSizeIterator<Item = Opening>,
        at_once: usize,
    ) -> Result<(), String> {
        let wanted = self.conns.len() + openings.len();
        let mut progress = self.now();
        let mut last_ready = self.ready;
        let mut openings = openings;
        while self.ready < wanted {
            while self.conns.len() < self.ready + at_once {
                let Some(opening) = openings.next() else { break };
                self.open(opening)?;
            }
            self.flush()?;
            self.turn(Duration::from_millis(100), &mut Ignore)?;
            if self.ready > last_ready {
                last_ready = self.ready;
                progress = self.now();
            } else if self.now() - progress > LOGIN_SECONDS_MAX * 1_000_000_000 {
                return Err(format!("{} of {wanted} logins, then none", self.ready));
            }
        }
        Ok(())
    }

    fn open(&mut self, opening: Opening) -> Result<(), String> {
        let started = self.now();
        // The connect is a blocking one: on loopback it is done at once, or refused.
        let socket = std::net::TcpStream::connect(self.address)
            .map_err(|error| format!("connect to {}: {error}", self.address))?;
        socket.set_nodelay(true).map_err(told)?;
        socket.set_nonblocking(true).map_err(told)?;
        let mut socket = TcpStream::from_std(socket);
        let index = self.conns.len();
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut socket, Token(index), interest).map_err(told)?;
        let mut conn = Conn {
            socket,
            tls: None,
            input: Input::default(),
            out: Vec::new(),
            written: 0,
            writable: true,
            dirty: false,
            account: None,
            phase: Phase::Greeting,
            started,
            is_closed: false,
        };
        match opening {
            Opening::Login(account) => {
                conn.out.extend_from_slice(login::header(&account).as_bytes());
                conn.account = Some(account);
            }
            Opening::Bare { hello, tls } => {
                if tls {
                    conn.tls = Some(Box::new(tls_connection(&self.tls, "localhost")?));
                }
                conn.input = Input::headless();
                conn.out = hello;
            }
        }
        self.conns.push(conn);
        self.mark(index);
        Ok(())
    }

    /// Sends what `write` pushes.
    pub fn push(&mut self, write: impl FnOnce(u64, &mut Sends)) {
        let now = self.now();
        write(now, &mut self.sends);
        self.apply_sends();
    }

    /// Queues bytes on a connection.
    pub fn send(&mut self, conn: usize, bytes: &[u8]) {
        self.conns[conn].out.extend_from_slice(bytes);
        self.mark(conn);
    }

    fn mark(&mut self, index: usize) {
        if !std::mem::replace(&mut self.conns[index].dirty, true) {
            self.dirty.push(index);
        }
    }

    /// One turn of the loop: waits, reads, lets the scenario answer, writes.
    pub fn turn(&mut self, wait: Duration, load: &mut dyn Load) -> Result<(), String> {
        self.flush()?;
        let mut events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        match self.poll.poll(&mut events, Some(wait)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.to_string()),
            _ => {}
        }
        for event in &events {
            let index = event.token().0;
            if event.is_writable() && !std::mem::replace(&mut self.conns[index].writable, true) {
                self.mark(index);
            }
            if event.is_readable() || event.is_read_closed() {
                self.read(index, event.is_read_closed(), load)?;
            }
        }
        self.events = events;
        self.apply_sends();
        self.flush()
    }

    /// Calls `turn` until `is_done` says so; `false` when that takes longer than `limit`.
    pub fn run<L: Load>(
        &mut self,
        limit: Duration,
        load: &mut L,
        mut is_done: impl FnMut(&mut L) -> bool,
    ) -> Result<bool, String> {
        let end = self.now() + limit.as_nanos() as u64;
        loop {
            let now = self.now();
            if is_done(load) {
                return Ok(true);
            }
            if now > end {
                return Ok(false);
            }
            self.turn(Duration::from_millis(5), load)?;
        }
    }

    fn apply_sends(&mut self) {
        let mut sends = std::mem::take(&mut self.sends);
        let mut start = 0;
        for &(conn, end) in &sends.items {
            self.conns[conn].out.extend_from_slice(&sends.bytes[start..end]);
            self.mark(conn);
            start = end;
        }
        sends.bytes.clear();
        sends.items.clear();
        self.sends = sends;
    }

    fn flush(&mut self) -> Result<(), String> {
        for index in std::mem::take(&mut self.dirty) {
            let conn = &mut self.conns[index];
            conn.dirty = false;
            if conn.writable && !conn.is_closed {
                conn.write().map_err(|error| format!("write: {error}"))?;
            }
        }
        Ok(())
    }

    /// Reads what is there. A short read means that there is no more, and that the next bytes come
    /// with an event of their own; but an end that has come already does not.
    fn read(&mut self, index: usize, has_ended: bool, load: &mut dyn Load) -> Result<(), String> {
        loop {
            let conn = &mut self.conns[index];
            if conn.is_closed {
                return Ok(());
            }
            let count = match conn.socket.read(&mut self.buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(format!("read: {error}")),
            };
            if count == 0 {
                conn.is_closed = true;
                let _ = conn.socket.shutdown(Shutdown::Both);
                return Ok(());
            }
            let mut buffer = std::mem::take(&mut self.buffer);
            let done = self.take(index, &buffer[..count], load);
            buffer.resize(READ_BYTES, 0);
            self.buffer = buffer;
            done?;
            if count < READ_BYTES && !has_ended {
                return Ok(());
            }
        }
    }

    fn take(&mut self, index: usize, bytes: &[u8], load: &mut dyn Load) -> Result<(), String> {
        if self.conns[index].tls.is_none() {
            return self.feed(index, bytes, load);
        }
        let mut bytes = bytes;
        while !bytes.is_empty() {
            let Some(tls) = &mut self.conns[index].tls else { return Ok(()) };
            tls.read_tls(&mut bytes).map_err(told)?;
            tls.process_new_packets().map_err(told)?;
            self.mark(index); // handshake messages may wait
            loop {
                let Some(tls) = &mut self.conns[index].tls else { return Ok(()) };
                let mut plaintext = std::mem::take(&mut self.plaintext);
                let got = tls.reader().read(&mut plaintext);
                let done = match got {
                    Ok(count) if count > 0 => {
                        self.feed(index, &plaintext[..count], load).map(|()| true)
                    }
                    _ => Ok(false),
                };
                self.plaintext = plaintext;
                if !done? {
                    break;
                }
            }
        }
        Ok(())
    }

    fn feed(&mut self, index: usize, bytes: &[u8], load: &mut dyn Load) -> Result<(), String> {
        let now = self.now();
        let mut input = std::mem::take(&mut self.conns[index].input);
        let done = input.feed(bytes, |stanza| {
            if stanza.starts_with(b"<stream:error") {
                let text = String::from_utf8_lossy(stanza);
                return Err(format!("connection {index}: {text}"));
            }
            if matches!(self.conns[index].phase, Phase::Ready) {
                load.stanza(index, stanza, now, &mut self.sends)?;
                return Ok(Next::Go);
            }
            self.negotiate(index, stanza, now)
        });
        self.conns[index].input = input;
        done
    }

    fn negotiate(&mut self, index: usize, stanza: &[u8], now: u64) -> Result<Next, String> {
        self.nonce += 1;
        let conn = &mut self.conns[index];
        let Some(account) = &conn.account else {
            // The bare loop's answer to the hello.
            conn.phase = Phase::Ready;
            self.ready += 1;
            return Ok(Next::Go);
        };
        let step = login::handle(account, &mut conn.phase, stanza, self.nonce, &mut self.cache)?;
        if step.start_tls {
            conn.tls = Some(Box::new(tls_connection(&self.tls, &account.domain)?));
        }
        conn.out.extend_from_slice(step.send.as_bytes());
        if matches!(conn.phase, Phase::Ready) {
            self.ready += 1;
            self.login_ns.push(now - conn.started);
        }
        self.mark(index);
        Ok(if step.restart { Next::Restart } else { Next::Go })
    }

    /// Ends all streams and waits for the server to close them all, but not for ever.
    pub fn close(mut self) -> SaltCache {
        for index in 0..self.conns.len() {
            if self.conns[index].account.is_some() {
                self.send(index, b"</stream:stream>");
            }
        }
        let end = self.now() + CLOSE_SECONDS_MAX * 1_000_000_000;
        let is_open = |conn: &Conn| conn.account.is_some() && !conn.is_closed;
        while self.now() < end && self.conns.iter().any(is_open) {
            if self.turn(Duration::from_millis(20), &mut Ignore).is_err() {
                break;
            }
        }
        self.into_cache()
    }
}

impl Conn {
    fn write(&mut self) -> std::io::Result<()> {
        loop {
            let result = match &mut self.tls {
                None if self.written == self.out.len() => break,
                None => self.socket.write(&self.out[self.written..]).map(|count| {
                    self.written += count;
                }),
                Some(tls) => {
                    if self.written < self.out.len() {
                        self.written += tls.writer().write(&self.out[self.written..])?;
                    }
                    if !tls.wants_write() {
                        break;
                    }
                    tls.write_tls(&mut self.socket).map(|_| ())
                }
            };
            match result {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.writable = false;
                    return Ok(());
                }
                // The server has closed; what it said is read first.
                Err(_) => {
                    self.writable = false;
                    return Ok(());
                }
            }
        }
        self.out.clear();
        self.written = 0;
        Ok(())
    }
}

fn tls_connection(config: &Arc<ClientConfig>, name: &str) -> Result<ClientConnection, String> {
    let name = ServerName::try_from(name.to_owned()).map_err(told)?;
    let mut tls = ClientConnection::new(Arc::clone(config), name).map_err(told)?;
    tls.set_buffer_limit(None);
    Ok(tls)
}
