//! Sockets of questions to name servers. What is asked, and what an answer means, is `dns`'s
//! business; here packets go out and come in.
//!
//! Each question over UDP has a socket of its own: the system chooses its port, which nobody can
//! foresee, and connected to the name server it takes packets of that one alone. So whoever wants
//! to forge an answer has to guess the port as well as what the packet must hold, and has few
//! tries: a socket that gets too much that is no answer is closed. An answer that is too long for
//! UDP is asked for again over TCP (RFC 7766). A port is held for seconds, and there are only so
//! many sockets.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use mio::net::{TcpStream, UdpSocket};
use mio::{Interest, Registry, Token};
use slab::Slab;

use super::core::Core;
use super::reactor::{Reactor, Source};
use crate::cx::Now;
use crate::dns::Transmit;

/// Questions whose sockets are open; for another one the oldest is given up.
const QUESTIONS_MAX: usize = 256;
/// How long a socket waits for its answer.
const ANSWER_MS: u64 = 5_000;
/// Packets that a socket takes which are no answer to its question.
const STRAY_PACKETS_MAX: u32 = 16;
/// Bytes of an answer over UDP: we promise nobody that more than 512 may come (RFC 1035 §4.2.1).
const PACKET_BYTES_MAX: usize = 4096;
/// Bytes before a packet over TCP (RFC 1035 §4.2.2): its length.
const LENGTH_BYTES: usize = 2;

/// The sockets of all questions.
#[derive(Default)]
pub struct Questions {
    all: Slab<Question>,
}

struct Question {
    server: SocketAddr,
    deadline_ms: u64,
    socket: Socket,
}

enum Socket {
    Udp { socket: UdpSocket, id: [u8; 2], strays: u32 },
    Tcp { stream: TcpStream, unwritten: Vec<u8>, answer: Vec<u8> },
}

impl Questions {
    /// Sends a question.
    fn ask(&mut self, now_ms: u64, registry: &Registry, question: Transmit) -> io::Result<()> {
        if self.all.len() >= QUESTIONS_MAX {
            let oldest = self.all.iter().min_by_key(|(_, own)| own.deadline_ms);
            if let Some(index) = oldest.map(|(index, _)| index) {
                self.all.remove(index);
            }
        }
        let entry = self.all.vacant_entry();
        let token = Source::Question(entry.key()).token();
        let (server, deadline_ms) = (question.server, now_ms + ANSWER_MS);
        let socket = Socket::open(registry, token, question)?;
        entry.insert(Question { server, deadline_ms, socket });
        Ok(())
    }

    /// When a socket has waited long enough.
    pub fn next_due_ms(&self) -> Option<u64> {
        self.all.iter().map(|(_, question)| question.deadline_ms).min()
    }
}

impl<C: Core> Reactor<C> {
    /// Step 7: sends a question to a name server.
    pub fn ask_dns(&mut self, now: Now, question: Transmit) {
        let server = question.server;
        if let Err(error) = self.questions.ask(now.mono_ms, self.poll.registry(), question) {
            log::debug!("no question to the name server {server}: {error}");
            self.core.handle_dns(now, server, Err(()));
            self.is_unfinished = true;
        }
    }

    /// Step 4: the socket of a question has something.
    pub fn handle_answer(&mut self, now: Now, index: usize) {
        if let Some(question) = self.questions.all.get_mut(index) {
            let server = question.server;
            match question.socket.answer() {
                Ok(None) => {}
                Ok(Some(packet)) => {
                    self.forget_question(index);
                    self.core.handle_dns(now, server, Ok(&packet));
                }
                Err(error) => {
                    log::debug!("no answer of the name server {server}: {error}");
                    self.forget_question(index);
                    self.core.handle_dns(now, server, Err(()));
                }
            }
        }
    }

    /// Step 4: questions that nobody has answered. The core asks again by itself; of TCP it hears.
    pub fn expire_questions(&mut self, now: Now) {
        while self.questions.next_due_ms().is_some_and(|due_ms| due_ms <= now.mono_ms) {
            let late = self.questions.all.iter().find(|(_, own)| own.deadline_ms <= now.mono_ms);
            let Some((index, question)) = late else { return };
            let (server, is_tcp) = (question.server, matches!(question.socket, Socket::Tcp { .. }));
            self.forget_question(index);
            if is_tcp {
                self.core.handle_dns(now, server, Err(()));
            }
        }
    }

    fn forget_question(&mut self, index: usize) {
        self.questions.all.remove(index);
        self.gate.handle_freed();
    }
}

impl Socket {
    fn open(registry: &Registry, token: Token, question: Transmit) -> io::Result<Self> {
        let Transmit { server, packet, is_tcp } = question;
        if is_tcp {
            let mut stream = TcpStream::connect(server)?;
            registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
            let length = u16::try_from(packet.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
            let unwritten = [&length.to_be_bytes()[..], &packet].concat();
            return Ok(Self::Tcp { stream, unwritten, answer: Vec::new() });
        }
        let any = match server {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let mut socket = UdpSocket::bind(any)?;
        socket.connect(server)?;
        registry.register(&mut socket, token, Interest::READABLE)?;
        let id = packet.first_chunk().copied().unwrap_or_default();
        match socket.send(&packet) {
            // A full buffer loses the packet, as any network may: it is asked again.
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(Self::Udp { socket, id, strays: 0 }),
        }
    }

    /// The answer, once it has come. `Err`: none will come any more.
    fn answer(&mut self) -> io::Result<Option<Vec<u8>>> {
        match self {
            Self::Udp { socket, id, strays } => {
                let mut packet = [0; PACKET_BYTES_MAX];
                while let Some(len) = unless_blocked(socket.recv(&mut packet))? {
                    if packet[..len].starts_with(id) {
                        return Ok(Some(packet[..len].to_vec()));
                    }
                    *strays += 1;
                    if *strays > STRAY_PACKETS_MAX {
                        return Err(io::Error::other("somebody tries to guess the answer"));
                    }
                }
                Ok(None)
            }
            Self::Tcp { stream, unwritten, answer } => {
                while !unwritten.is_empty() {
                    match unless_blocked(stream.write(unwritten))? {
                        Some(written) => drop(unwritten.drain(..written)),
                        None => return stream.take_error()?.map_or(Ok(None), Err),
                    }
                }
                let mut chunk = [0; PACKET_BYTES_MAX];
                while let Some(count) = unless_blocked(stream.read(&mut chunk))? {
                    if count == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    answer.extend_from_slice(&chunk[..count]);
                    let Some(length) = answer.first_chunk::<LENGTH_BYTES>() else { continue };
                    let whole = LENGTH_BYTES + usize::from(u16::from_be_bytes(*length));
                    if answer.len() >= whole {
                        return Ok(Some(answer[LENGTH_BYTES..whole].to_vec()));
                    }
                }
                Ok(None)
            }
        }
    }
}

/// `None`: an edge will come.
fn unless_blocked(done: io::Result<usize>) -> io::Result<Option<usize>> {
    match done {
        Ok(count) => Ok(Some(count)),
        Err(error) => match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected => Ok(None),
            _ => Err(error),
        },
    }
}
