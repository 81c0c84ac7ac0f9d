//! One socket and what lies on it: nothing, or TLS. Reads and writes in amounts that suit a turn,
//! and says what the socket said; it knows neither the core nor when to be called.
//!
//! Nothing decrypted stays inside rustls: as much is fed to it as one read brought, and all the
//! plaintext is taken out again. So the sticky flag of the socket alone says whether there is more
//! to read. On the way out no more goes into rustls than its buffer limit; the outbox keeps the
//! rest.

use std::io::{self, BufRead, IoSlice, Read, Write};
use std::net::Shutdown;
use std::rc::Rc;

use mio::net::TcpStream;
use rustls::server::{AcceptedAlert, Acceptor};
use rustls::{ClientConnection, Connection};

use super::tls::{Identities, Identity};
use crate::ids::Door;
use crate::outbound::Outbox;
use crate::stream::c2s::TlsInfo;

/// Bytes read from one socket in one turn.
const READ_BYTES_MAX: usize = 16 * 1024;
/// Bytes written to one socket in one turn.
const WRITE_BYTES_MAX: usize = 256 * 1024;
/// Bytes that may wait inside rustls.
const TLS_BUFFER_BYTES_MAX: usize = 64 * 1024;
/// Bytes that a peer may send before the handshake is done; a ClientHello with post-quantum keys
/// has about 2 KiB, a long chain 10 KiB, and rustls alone would collect 64 KiB.
const HANDSHAKE_BYTES_MAX: usize = 32 * 1024;
/// Slices of one write.
const SLICES_MAX: usize = 64;

/// The buffers that all connections share, one after the other.
pub struct Scratch {
    /// What the socket gave.
    raw: Vec<u8>,
    /// What TLS made of it: at most `raw` and a record that was incomplete before.
    plain: Vec<u8>,
}

impl Scratch {
    /// Buffers for a reactor.
    pub fn new() -> Self {
        Self { raw: vec![0; READ_BYTES_MAX], plain: Vec::with_capacity(3 * READ_BYTES_MAX) }
    }
}

/// How it stands with reading after a read.
#[derive(Debug, PartialEq, Eq)]
pub enum Outlook {
    /// There may be more.
    More,
    /// There is no more: wait for an edge.
    Blocked,
    /// The peer has ended its direction.
    Ended,
    /// The connection is no good any more, and why.
    Broken(String),
}

/// What a read brought.
pub struct Received<'a> {
    /// For the core.
    pub plaintext: &'a [u8],
    /// Bytes that came over the wire.
    pub raw_bytes: usize,
    /// The handshake is done, by this read; before `plaintext`.
    pub secured: Option<TlsInfo>,
    /// And next?
    pub outlook: Outlook,
}

/// How it stands with writing after a write.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// All is written.
    Done,
    /// The budget of the turn is used up, the socket would take more.
    More,
    /// The socket takes no more: wait for an edge.
    Blocked,
}

enum Layer {
    Plain,
    /// TLS, before the name is known that the peer wants.
    Accepting(Box<Acceptor>),
    Tls(Box<Tls>),
}

impl Layer {
    fn accepting() -> Self {
        Self::Accepting(Box::default())
    }
}

struct Tls {
    rustls: Connection,
    identity: Rc<Identity>,
    /// `close_notify` is queued.
    is_ended: bool,
}

/// A socket.
pub struct Transport {
    stream: TcpStream,
    layer: Layer,
    /// Whom TLS is for, when the peer begins it.
    door: Door,
    /// Bytes that came before the handshake was done.
    handshake_bytes: usize,
}

impl Transport {
    /// A transport on a socket, with TLS from the first byte or without.
    pub fn new(stream: TcpStream, door: Door, direct_tls: bool) -> Self {
        let layer = if direct_tls { Layer::accepting() } else { Layer::Plain };
        Self { stream, layer, door, handshake_bytes: 0 }
    }

    /// The socket, to register it.
    pub fn socket(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Switches to TLS: the next bytes are the ClientHello.
    pub fn start_tls(&mut self) {
        self.layer = Layer::accepting();
    }

    /// Switches to TLS, as the one who connected: the next bytes are our ClientHello.
    pub fn begin_tls(&mut self, tls: ClientConnection, identity: Rc<Identity>) {
        self.layer = Layer::Tls(Tls::new(tls.into(), identity));
    }

    /// True from the switch to TLS until its handshake is done.
    pub fn is_handshaking(&self) -> bool {
        match &self.layer {
            Layer::Plain => false,
            Layer::Accepting(_) => true,
            Layer::Tls(tls) => tls.rustls.is_handshaking(),
        }
    }

    /// True when TLS itself has something to write.
    pub fn has_tls_output(&self) -> bool {
        matches!(&self.layer, Layer::Tls(tls) if tls.rustls.wants_write())
    }

    /// Reads what a turn allows.
    pub fn read<'a>(&mut self, scratch: &'a mut Scratch, tls: &Identities) -> Received<'a> {
        let (raw_bytes, mut outlook) = self.fill(&mut scratch.raw);
        let raw = &scratch.raw[..raw_bytes];
        if matches!(self.layer, Layer::Plain) {
            return Received { plaintext: raw, raw_bytes, secured: None, outlook };
        }
        scratch.plain.clear();
        let was_handshaking = self.is_handshaking();
        match self.feed(raw, &mut scratch.plain, tls) {
            Ok(false) => {}
            Ok(true) => outlook = Outlook::Ended,
            Err(error) => {
                self.send_alert();
                outlook = Outlook::Broken(error);
            }
        }
        let secured = match &self.layer {
            Layer::Tls(tls) if was_handshaking && !tls.rustls.is_handshaking() => {
                Some(tls.identity.tls_info(&tls.rustls))
            }
            _ => None,
        };
        Received { plaintext: &scratch.plain, raw_bytes, secured, outlook }
    }

    /// Reads from the socket until `raw` is full or the socket is empty.
    fn fill(&mut self, raw: &mut [u8]) -> (usize, Outlook) {
        let mut len = 0;
        while len < raw.len() {
            match self.stream.read(&mut raw[len..]) {
                Ok(0) => return (len, Outlook::Ended),
                Ok(count) => len += count,
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return (len, Outlook::Blocked),
                    io::ErrorKind::Interrupted => {}
                    _ => return (len, Outlook::Broken(error.to_string())),
                },
            }
        }
        (len, Outlook::More)
    }

    /// Gives bytes of the wire to TLS and takes the plaintext; true when the peer has said
    /// `close_notify`.
    fn feed(
        &mut self,
        mut raw: &[u8],
        plain: &mut Vec<u8>,
        identities: &Identities,
    ) -> Result<bool, String> {
        if self.is_handshaking() {
            self.handshake_bytes += raw.len();
            if self.handshake_bytes > HANDSHAKE_BYTES_MAX {
                return Err("the TLS handshake is too long".to_owned());
            }
        }
        while !raw.is_empty() {
            match &mut self.layer {
                Layer::Plain => unreachable!("the caller has seen that there is TLS"),
                Layer::Accepting(acceptor) => {
                    acceptor.read_tls(&mut raw).map_err(|error| error.to_string())?;
                    match acceptor.accept() {
                        Ok(None) => continue,
                        Ok(Some(accepted)) => {
                            let hello = accepted.client_hello();
                            let identity = Rc::clone(identities.pick(hello.server_name()));
                            let config = identity.accepting(self.door);
                            let rustls = accepted
                                .into_connection(config)
                                .map_err(|refusal| self.refuse(refusal))?;
                            self.layer = Layer::Tls(Tls::new(rustls.into(), identity));
                        }
                        Err(refusal) => return Err(self.refuse(refusal)),
                    }
                }
                Layer::Tls(tls) => {
                    tls.rustls.read_tls(&mut raw).map_err(|error| error.to_string())?;
                }
            }
            if let Layer::Tls(tls) = &mut self.layer
                && tls.process(plain)?
            {
                // Nothing counts after the peer's close_notify (RFC 8446 §6.1).
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Sends the alert of a ClientHello that was refused, if the socket takes it.
    fn refuse(&mut self, (error, mut alert): (rustls::Error, AcceptedAlert)) -> String {
        // The connection is given up anyway, and the socket's buffer is empty at this point.
        let _ = alert.write_all(&mut self.stream);
        format!("TLS: {error}")
    }

    /// Sends the alert that rustls has queued, if the socket takes it.
    fn send_alert(&mut self) {
        if let Layer::Tls(tls) = &mut self.layer {
            // The connection is given up anyway.
            let _ = tls.rustls.write_tls(&mut self.stream);
        }
    }

    /// Writes what a turn allows of the outbox, in one write. With `is_end` nothing will follow
    /// what is in it: TLS says `close_notify` after the last byte.
    pub fn write(&mut self, outbox: Option<&mut Outbox>, is_end: bool) -> io::Result<Progress> {
        match &mut self.layer {
            Layer::Plain => match outbox {
                Some(outbox) => write_plain(&mut self.stream, outbox),
                None => Ok(Progress::Done),
            },
            Layer::Accepting(_) => Ok(Progress::Done),
            Layer::Tls(tls) => tls.write(&mut self.stream, outbox, is_end),
        }
    }

    /// Ends our direction. All must be written.
    pub fn shut_down_writing(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }
}

fn write_plain(stream: &mut TcpStream, outbox: &mut Outbox) -> io::Result<Progress> {
    let (written, is_short) = with_slices(outbox, WRITE_BYTES_MAX, |slices| {
        let mut once = Once { stream, is_short: false };
        once.write_vectored(slices).map(|written| (written, once.is_short))
    })?;
    outbox.consume(written);
    Ok(match () {
        () if is_short => Progress::Blocked,
        () if outbox.transport_len() > 0 => Progress::More,
        () => Progress::Done,
    })
}

impl Tls {
    fn new(mut rustls: Connection, identity: Rc<Identity>) -> Box<Self> {
        rustls.set_buffer_limit(Some(TLS_BUFFER_BYTES_MAX));
        Box::new(Self { rustls, identity, is_ended: false })
    }

    /// Decrypts what was fed; true when the peer has said `close_notify`.
    fn process(&mut self, plain: &mut Vec<u8>) -> Result<bool, String> {
        let state = self.rustls.process_new_packets();
        let mut reader = self.rustls.reader();
        // What was decrypted before an error is good. Errors of the reader say that it is empty.
        while let Ok(chunk) = reader.fill_buf() {
            let len = chunk.len();
            if len == 0 {
                break;
            }
            plain.extend_from_slice(chunk);
            reader.consume(len);
        }
        state.map(|state| state.peer_has_closed()).map_err(|error| format!("TLS: {error}"))
    }

    fn write(
        &mut self,
        stream: &mut TcpStream,
        outbox: Option<&mut Outbox>,
        is_end: bool,
    ) -> io::Result<Progress> {
        let mut rest = 0;
        if let Some(outbox) = outbox
            && !self.rustls.is_handshaking()
        {
            // rustls takes as much as fits under its buffer limit.
            let taken = with_slices(outbox, TLS_BUFFER_BYTES_MAX, |slices| {
                self.rustls.writer().write_vectored(slices)
            })?;
            outbox.consume(taken);
            rest = outbox.len();
        }
        if is_end && rest == 0 && !self.is_ended {
            self.is_ended = true;
            self.rustls.send_close_notify();
        }
        let mut once = Once { stream, is_short: false };
        if self.rustls.wants_write() {
            self.rustls.write_tls(&mut once)?;
        }
        Ok(match () {
            () if once.is_short => Progress::Blocked,
            () if rest > 0 || self.rustls.wants_write() => Progress::More,
            () => Progress::Done,
        })
    }
}

/// Calls `write` with what waits before the switch to TLS, at most `bytes_max`; not at all when
/// nothing waits.
fn with_slices<T: Default>(
    outbox: &Outbox,
    bytes_max: usize,
    write: impl FnOnce(&[IoSlice]) -> io::Result<T>,
) -> io::Result<T> {
    let mut room = bytes_max.min(outbox.transport_len());
    if room == 0 {
        return Ok(T::default());
    }
    // Nearly always one chunk is all.
    if let Some(first) = outbox.chunks().next()
        && first.len() >= room
    {
        return write(&[IoSlice::new(&first[..room])]);
    }
    let mut slices = [IoSlice::new(&[]); SLICES_MAX];
    let mut used = 0;
    for (chunk, slice) in outbox.chunks().zip(&mut slices) {
        if room == 0 {
            break;
        }
        *slice = IoSlice::new(&chunk[..room.min(chunk.len())]);
        room -= slice.len();
        used += 1;
    }
    write(&slices[..used])
}

/// A writer that remembers whether the socket took less than it was offered: then, and only then,
/// an edge will come.
struct Once<'a> {
    stream: &'a mut TcpStream,
    is_short: bool,
}

impl Write for Once<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let offered: usize = slices.iter().map(|slice| slice.len()).sum();
        match self.stream.write_vectored(slices) {
            Ok(written) => {
                self.is_short = written < offered;
                Ok(written)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.is_short = true;
                Ok(0)
            }
            // Nothing was written: the next turn tries again.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            Err(error) => Err(error),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
