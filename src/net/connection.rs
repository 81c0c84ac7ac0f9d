//! One connection as the reactor sees it: its transport, what the socket is known to be
//! ready for, in which of the reactor's queues it stands, and how far its end has come.
//!
//! The end: what waits is written, then (TLS) `close_notify`, then FIN; then the input is read and
//! thrown away until the peer's end, or the deadline. Closing at once would make the kernel reset
//! the connection when unread input is there, and that destroys the farewell on its way.

use std::io;
use std::net::IpAddr;

use super::tls::Identities;
use super::transport::{Outlook, Progress, Received, Scratch, Transport};
use crate::ids::ConnId;
use crate::outbound::Outbox;

/// How far the end of a connection has come.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    /// It serves.
    Open,
    /// The core has ended it; what waits is being written.
    Flushing { deadline_ms: u64 },
    /// Our direction is ended; the peer's end is awaited.
    Lingering { deadline_ms: u64 },
    /// To be reaped in step 10.
    Dead,
}

/// A connection.
pub struct Connection {
    /// Its handle.
    pub id: ConnId,
    /// Where the peer is.
    pub address: IpAddr,
    /// The socket and TLS.
    pub transport: Transport,
    /// Sticky: set by an edge, cleared only by `WouldBlock` or the peer's end.
    pub is_readable: bool,
    /// Sticky: set by an edge, cleared only by a short write.
    pub is_writable: bool,
    /// The socket has reported an error.
    pub is_failed: bool,
    /// The peer has ended its direction.
    pub is_ended: bool,
    /// The core was told of the peer's end, after all bytes before it.
    pub is_end_told: bool,
    /// Stands in the queue of step 5.
    pub is_runnable: bool,
    /// Stands in the queue of step 9.
    pub is_dirty: bool,
    /// Not read before that time; a timer is set.
    pub paused_until_ms: Option<u64>,
    phase: Phase,
}

impl Connection {
    /// A connection that was just accepted, or made.
    pub fn new(id: ConnId, address: IpAddr, transport: Transport) -> Self {
        Self {
            id,
            address,
            transport,
            is_readable: false,
            is_writable: true,
            is_failed: false,
            is_ended: false,
            is_end_told: false,
            is_runnable: false,
            is_dirty: false,
            paused_until_ms: None,
            phase: Phase::Open,
        }
    }

    /// True until the core or the peer ends it.
    pub fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// True when it waits to be reaped.
    pub fn is_dead(&self) -> bool {
        self.phase == Phase::Dead
    }

    /// No more reading or writing; false when that was so already.
    pub fn die(&mut self) -> bool {
        std::mem::replace(&mut self.phase, Phase::Dead) != Phase::Dead
    }

    /// Begins the end; `false` when there is nothing that could be said any more.
    pub fn close(&mut self, deadline_ms: u64) -> bool {
        match &mut self.phase {
            phase @ Phase::Open => *phase = Phase::Flushing { deadline_ms },
            Phase::Flushing { deadline_ms: own } | Phase::Lingering { deadline_ms: own } => {
                *own = deadline_ms.min(*own);
            }
            Phase::Dead => {}
        }
        // Without a finished handshake there is no stream to end (DESIGN §8, phase 4).
        !self.transport.is_handshaking()
    }

    /// True when the peer has had its time to end.
    pub fn is_overdue(&self, now_ms: u64) -> bool {
        match self.phase {
            Phase::Flushing { deadline_ms } | Phase::Lingering { deadline_ms } => {
                deadline_ms <= now_ms
            }
            _ => false,
        }
    }

    /// True when there is something for the core: bytes in the socket, or the peer's end.
    pub fn can_read(&self) -> bool {
        if self.is_ended { self.is_open() && !self.is_end_told } else { self.is_readable }
    }

    /// Reads what a turn allows.
    pub fn read<'a>(&mut self, scratch: &'a mut Scratch, tls: &Identities) -> Received<'a> {
        let received = self.transport.read(scratch, tls);
        if received.outlook != Outlook::More {
            self.is_readable = false;
        }
        received
    }

    /// Writes what a turn allows; at the end of everything ends our direction.
    pub fn write(&mut self, outbox: Option<&mut Outbox>) -> io::Result<Progress> {
        let is_flushing = matches!(self.phase, Phase::Flushing { .. });
        let progress = self.transport.write(outbox, is_flushing)?;
        match (&progress, &self.phase) {
            (Progress::Blocked, _) => self.is_writable = false,
            (Progress::Done, Phase::Flushing { deadline_ms }) => {
                self.transport.shut_down_writing()?;
                self.phase = Phase::Lingering { deadline_ms: *deadline_ms };
            }
            _ => {}
        }
        Ok(progress)
    }

    /// True when both directions have ended.
    pub fn is_over(&self) -> bool {
        self.is_ended && matches!(self.phase, Phase::Lingering { .. })
    }
}
