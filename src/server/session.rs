//! One client session of the core: its stream, its limits, its deadlines. What its stanzas do is
//! the router's; the negotiation up to a bound resource is `stream::c2s`.

use std::mem::swap;
use std::net::IpAddr;

use crate::accounts::invitations::TokenHash;
use crate::config::Limits;
use crate::ids::{ConnId, SessionId};
use crate::stream::c2s::Negotiation;
use crate::xml::{StreamParser, XmlLimits};
use crate::xmpp::{BareJid, Jid};

use super::limits::ByteBucket;
use super::management::Management;

/// A pinged client that stays silent for so long is gone.
pub const PING_ANSWER_MS_MAX: u64 = 60_000;

/// Why input of a session waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// It does not.
    None,
    /// The TLS handshake is not done.
    Tls,
    /// Its password is to be checked.
    Password,
    /// A failed login is answered at this monotonic millisecond.
    Failure(u64),
    /// Its join waits until there is room for what it causes.
    Door,
    /// Our end of the stream is sent; what still comes is nobody's.
    Ended,
    /// There is no connection; until this monotonic millisecond it may be resumed (XEP-0198).
    Detached(u64),
}

/// A session, from the accept of its connection to the end of it.
pub struct Session {
    /// Its handle.
    pub id: SessionId,
    /// Its transport, while there is one.
    pub conn: Option<ConnId>,
    /// Where it connects from.
    pub address: IpAddr,
    /// The parser of the current stream.
    pub parser: StreamParser,
    /// The negotiation; also knows the language and whether our header is sent.
    pub negotiation: Negotiation,
    /// The bound address.
    pub full_jid: Option<Jid>,
    /// The address that it had, once it has left: what it has not got may have been sent to that.
    pub former_jid: Option<Jid>,
    /// Why input waits.
    pub hold: Hold,
    /// Fed bytes have not all been looked at.
    pub is_pending: bool,
    /// How fast it may send.
    pub bucket: ByteBucket,
    /// When the connection was accepted.
    pub accepted_ms: u64,
    /// When something last came.
    pub input_ms: u64,
    /// When it was last pinged for its silence.
    pub pinged_ms: Option<u64>,
    /// The invitation that it has shown (XEP-0445 §4), until it has registered with it.
    pub invitation: Option<Box<TokenHash>>,
    /// Counted among the connections before login.
    pub is_login_awaited: bool,
    /// What stream management knows of it, once enabled.
    pub management: Option<Box<Management>>,
    /// The timer that is set; earlier ones have fired, later ones are set when it does.
    pub timer_ms: Option<u64>,
    /// Its number in the queue of those whose join waits.
    pub ticket: Option<u64>,
}

impl Session {
    /// True from the login on.
    pub fn is_authenticated(&self) -> bool {
        self.negotiation.account().is_some()
    }

    /// The next moment at which something is due, whatever it is.
    pub fn next_deadline_ms(&self, limits: &Limits) -> Option<u64> {
        match self.hold {
            Hold::Ended | Hold::Door => return None,
            Hold::Failure(due_ms) | Hold::Detached(due_ms) => return Some(due_ms),
            Hold::None | Hold::Tls | Hold::Password => {}
        }
        if !self.is_authenticated() || self.full_jid.is_none() {
            let seconds = limits.unauthenticated_seconds;
            return (seconds > 0).then(|| self.accepted_ms + seconds * 1000);
        }
        let idle_ms = match self.pinged_ms {
            Some(pinged_ms) => Some(pinged_ms + PING_ANSWER_MS_MAX),
            None => Some(self.input_ms + limits.idle_seconds * 1000),
        };
        let idle_ms = idle_ms.filter(|_| limits.idle_seconds > 0);
        [idle_ms, self.answer_due_ms()].into_iter().flatten().min()
    }

    /// When a client that was asked what it has handled, and has said nothing since, is gone.
    pub fn answer_due_ms(&self) -> Option<u64> {
        let asked_ms = self.management.as_ref()?.asked_ms?;
        Some(asked_ms.max(self.input_ms) + PING_ANSWER_MS_MAX)
    }
}

/// What the parser may accept, before or after login.
pub fn xml_limits(limits: &Limits, authenticated: bool) -> XmlLimits {
    XmlLimits {
        stanza_bytes_max: match authenticated {
            true => limits.stanza_bytes,
            false => limits.stanza_bytes_unauthenticated,
        },
        depth_max: limits.stanza_depth,
        attributes_max: limits.element_attributes,
        nodes_max: limits.stanza_nodes,
    }
}

/// Sessions by handle, and by the connection that carries them.
#[derive(Default)]
pub struct Sessions {
    /// By `SessionId::index`.
    slots: Vec<Option<Box<Session>>>,
    /// By `ConnId::index`.
    by_conn: Vec<Option<(ConnId, SessionId)>>,
    count: usize,
}

impl Sessions {
    /// Adds a session under its handle, and its connection.
    pub fn insert(&mut self, session: Session) {
        let index = session.id.index as usize;
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, || None);
        }
        if let Some(conn) = session.conn {
            let place = conn.index as usize;
            if self.by_conn.len() <= place {
                self.by_conn.resize(place + 1, None);
            }
            self.by_conn[place] = Some((conn, session.id));
        }
        self.slots[index] = Some(Box::new(session));
        self.count += 1;
    }

    /// Forgets a session and its connection.
    pub fn remove(&mut self, id: SessionId) -> Option<Session> {
        self.get(id)?;
        let session = self.slots[id.index as usize].take()?;
        if let Some(conn) = session.conn {
            self.by_conn[conn.index as usize] = None;
        }
        self.count -= 1;
        Some(*session)
    }

    /// A session.
    pub fn get(&self, id: SessionId) -> Option<&Session> {
        self.slots.get(id.index as usize)?.as_deref().filter(|session| session.id == id)
    }

    /// A session.
    pub fn get_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.slots.get_mut(id.index as usize)?.as_deref_mut().filter(|session| session.id == id)
    }

    /// The session that a connection carries.
    pub fn at(&self, conn: ConnId) -> Option<SessionId> {
        let (known, id) = (*self.by_conn.get(conn.index as usize)?)?;
        (known == conn).then_some(id)
    }

    /// A session has lost its connection.
    pub fn detach(&mut self, id: SessionId) {
        if let Some(conn) = self.get_mut(id).and_then(|session| session.conn.take()) {
            self.by_conn[conn.index as usize] = None;
        }
    }

    /// Two sessions exchange their connections, and what is of the connection: the stream, its
    /// deadlines and what counts against the address.
    pub fn swap_connections(&mut self, one: SessionId, other: SessionId) {
        let (Some(mut a), Some(mut b)) = (self.take(one), self.take(other)) else { return };
        swap(&mut a.conn, &mut b.conn);
        swap(&mut a.address, &mut b.address);
        swap(&mut a.parser, &mut b.parser);
        swap(&mut a.negotiation, &mut b.negotiation);
        swap(&mut a.hold, &mut b.hold);
        swap(&mut a.is_pending, &mut b.is_pending);
        swap(&mut a.bucket, &mut b.bucket);
        swap(&mut a.accepted_ms, &mut b.accepted_ms);
        swap(&mut a.input_ms, &mut b.input_ms);
        swap(&mut a.pinged_ms, &mut b.pinged_ms);
        swap(&mut a.is_login_awaited, &mut b.is_login_awaited);
        for session in [a, b] {
            if let Some(conn) = session.conn {
                self.by_conn[conn.index as usize] = Some((conn, session.id));
            }
            let index = session.id.index as usize;
            self.slots[index] = Some(session);
        }
    }

    /// Takes a session out of its place, to be put back.
    fn take(&mut self, id: SessionId) -> Option<Box<Session>> {
        self.get(id)?;
        self.slots[id.index as usize].take()
    }

    /// The handles of all sessions, in the order of their places.
    pub fn ids(&self) -> Vec<SessionId> {
        self.slots.iter().flatten().map(|session| session.id).collect()
    }

    /// The sessions that are logged in to an account, with a resource or not yet, in the order of
    /// their places.
    pub fn of_account(&self, account: &BareJid) -> Vec<SessionId> {
        let sessions = self.slots.iter().flatten();
        let own = sessions.filter(|session| session.negotiation.account() == Some(account));
        own.map(|session| session.id).collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// True without sessions.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}
