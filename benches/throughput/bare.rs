//! The limit: a fan-out loop that does no XMPP work. Every frame that a connection sends goes to
//! every connection of its group as it is. `each` writes one frame per system call, `turn` gathers
//! what one turn has for a connection into one write. It runs as a process of its own, this very
//! binary, so that its CPU time can be told apart, and ends when its standard input does.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;

use mio::net::{TcpListener, TcpStream};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustls::{ServerConfig, ServerConnection};
use slab::Slab;

/// Bytes of a hello: group, frame length, 1 when the sender gets its own frames too.
pub const HELLO_BYTES: usize = 12;
/// The answer to a hello.
const READY: &[u8] = b"<ready/>";
/// Bytes of one read.
const READ_BYTES: usize = 64 * 1024;

const LISTENER: Token = Token(usize::MAX - 1);
const STDIN: Token = Token(usize::MAX - 2);

/// The hello of a connection.
pub fn hello(group: usize, frame_bytes: usize, echo: bool) -> Vec<u8> {
    let numbers = [group as u32, frame_bytes as u32, u32::from(echo)];
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

struct Conn {
    socket: TcpStream,
    tls: Option<Box<ServerConnection>>,
    input: Vec<u8>,
    hello: Option<(usize, usize, bool)>,
    out: Vec<u8>,
    writable: bool,
    dirty: bool,
}

impl Conn {
    /// Writes what waits. `false`: the connection is gone.
    fn write(&mut self) -> bool {
        loop {
            let result = match &mut self.tls {
                None if self.out.is_empty() => return true,
                None => self.socket.write(&self.out).map(|count| drop(self.out.drain(..count))),
                Some(tls) => {
                    if !self.out.is_empty() {
                        let Ok(count) = tls.writer().write(&self.out) else { return false };
                        self.out.drain(..count);
                    }
                    if !tls.wants_write() {
                        return true;
                    }
                    tls.write_tls(&mut self.socket).map(drop)
                }
            };
            match result {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.writable = false;
                    return true;
                }
                Err(_) => return false,
            }
        }
    }

    /// Reads until the socket has no more. `false`: the connection is gone.
    fn read(&mut self, buffer: &mut [u8]) -> bool {
        loop {
            let count = match self.socket.read(buffer) {
                Ok(0) => return false,
                Ok(count) => count,
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            };
            let Some(tls) = &mut self.tls else {
                self.input.extend_from_slice(&buffer[..count]);
                continue;
            };
            let mut bytes = &buffer[..count];
            while !bytes.is_empty() {
                if tls.read_tls(&mut bytes).is_err() || tls.process_new_packets().is_err() {
                    return false;
                }
                match tls.reader().read_to_end(&mut self.input) {
                    Err(error) if error.kind() != ErrorKind::WouldBlock => return false,
                    _ => {}
                }
            }
        }
    }
}

struct Bare {
    conns: Slab<Conn>,
    groups: HashMap<usize, Vec<usize>>,
    dirty: Vec<usize>,
    write_each: bool,
}

impl Bare {
    fn mark(&mut self, index: usize) {
        if !std::mem::replace(&mut self.conns[index].dirty, true) {
            self.dirty.push(index);
        }
    }

    fn fan_out(&mut self, index: usize) {
        let input = std::mem::take(&mut self.conns[index].input);
        let mut rest = &input[..];
        if self.conns[index].hello.is_none() && rest.len() >= HELLO_BYTES {
            let number = |at: usize| {
                let bytes = [rest[at], rest[at + 1], rest[at + 2], rest[at + 3]];
                u32::from_le_bytes(bytes) as usize
            };
            let hello = (number(0), number(4).max(1), number(8) == 1);
            self.conns[index].hello = Some(hello);
            self.groups.entry(hello.0).or_default().push(index);
            rest = &rest[HELLO_BYTES..];
            self.conns[index].out.extend_from_slice(READY);
            self.mark(index);
        }
        if let Some((group, frame_bytes, echo)) = self.conns[index].hello {
            let members = self.groups.remove(&group).unwrap_or_default();
            while rest.len() >= frame_bytes {
                let (frame, after) = rest.split_at(frame_bytes);
                rest = after;
                for &member in &members {
                    if !echo && member == index {
                        continue;
                    }
                    let conn = &mut self.conns[member];
                    conn.out.extend_from_slice(frame);
                    if self.write_each && conn.writable {
                        conn.write();
                    } else {
                        self.mark(member);
                    }
                }
            }
            self.groups.insert(group, members);
        }
        self.conns[index].input = rest.to_vec();
    }

    fn remove(&mut self, index: usize) {
        let conn = self.conns.remove(index);
        if let Some((group, _, _)) = conn.hello
            && let Some(members) = self.groups.get_mut(&group)
        {
            members.retain(|&member| member != index);
        }
    }
}

/// Serves until standard input ends.
pub fn serve(write_each: bool, tls: bool) -> Result<(), std::io::Error> {
    let tls =
        if tls { Some(crate::tls::server_config().map_err(std::io::Error::other)?) } else { None };
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut listener = TcpListener::bind(([127, 0, 0, 1], 0).into())?;
    let stdin = &rustix::stdio::stdin();
    let raw = std::os::fd::AsRawFd::as_raw_fd(stdin);
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    poll.registry().register(&mut SourceFd(&raw), STDIN, Interest::READABLE)?;
    println!("{}", listener.local_addr()?);
    let mut buffer = vec![0; READ_BYTES];
    let mut bare =
        Bare { conns: Slab::new(), groups: HashMap::new(), dirty: Vec::new(), write_each };
    loop {
        if let Err(error) = poll.poll(&mut events, None)
            && error.kind() != ErrorKind::Interrupted
        {
            return Err(error);
        }
        let mut gone = Vec::new();
        for event in &events {
            match event.token() {
                STDIN => return Ok(()),
                LISTENER => accept(&mut poll, &listener, &mut bare, tls.as_ref())?,
                Token(index) => {
                    if event.is_writable() {
                        bare.conns[index].writable = true;
                        bare.mark(index);
                    }
                    if event.is_readable() || event.is_read_closed() {
                        if !bare.conns[index].read(&mut buffer) {
                            gone.push(index);
                        }
                        bare.mark(index); // handshake messages may wait
                        bare.fan_out(index);
                    }
                }
            }
        }
        for index in std::mem::take(&mut bare.dirty) {
            bare.conns[index].dirty = false;
            if bare.conns[index].writable {
                bare.conns[index].write();
            }
        }
        gone.sort_unstable();
        gone.dedup();
        for index in gone {
            bare.remove(index);
        }
    }
}

fn accept(
    poll: &mut Poll,
    listener: &TcpListener,
    bare: &mut Bare,
    tls: Option<&Arc<ServerConfig>>,
) -> Result<(), std::io::Error> {
    loop {
        let mut socket = match listener.accept() {
            Ok((socket, _)) => socket,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        socket.set_nodelay(true)?;
        let tls = match tls {
            None => None,
            Some(config) => {
                let tls = ServerConnection::new(Arc::clone(config));
                let mut tls = tls.map_err(std::io::Error::other)?;
                tls.set_buffer_limit(None);
                Some(Box::new(tls))
            }
        };
        let entry = bare.conns.vacant_entry();
        let interest = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut socket, Token(entry.key()), interest)?;
        entry.insert(Conn {
            socket,
            tls,
            input: Vec::new(),
            hello: None,
            out: Vec::new(),
            writable: true,
            dirty: false,
        });
    }
}
