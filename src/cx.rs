//! What a handler is given: the time, the outboxes, timers, storage, chance, the configuration,
//! and the queue by which one part causes stanzas for another without importing it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;

use crate::blocks::Blocks;
use crate::certs::trust::Trust;
use crate::config::Config;
use crate::dns::Transmit;
use crate::ids::{ConnId, SessionId, Target};
use crate::outbound::{Envelope, Outboxes, to_attribute};
use crate::peers::{NoWay, Peers};
use crate::storage::Storage;
use crate::timers::Timers;
use crate::xml::{self, Element, Node};
use crate::xmpp::{BareJid, IqType, Stanza, StanzaKind, hex, ns};

/// Stanzas that handlers may have caused and the router not yet taken, at most.
const ROUTED_STANZAS_MAX: usize = 100_000;

/// With so much waiting in all outboxes together, or half of what they may hold, what can wait
/// does.
const CROWDED_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The time of this turn, read once by the reactor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since the process started; never goes back.
    pub mono_ms: u64,
    /// Milliseconds since 1970, by the wall clock.
    pub unix_ms: i64,
}

/// A source of unpredictable bytes: the operating system's, or a seed's in the simulator.
pub trait Entropy {
    /// Fills `bytes`.
    fn fill(&mut self, bytes: &mut [u8]);
}

/// What the core wants of the reactor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Write what waits, shut down writing, then read and discard until the peer's end or until
    /// the deadline (monotonic milliseconds), then close.
    CloseAfterFlush {
        /// The connection.
        conn: ConnId,
        /// When to give up.
        deadline_ms: u64,
    },
    /// The server wants input of this connection again after it wished for none: ask
    /// for its wish, there may be no new edge.
    Resume(ConnId),
    /// Close at once: the peer does not read, or is gone.
    Abort(ConnId),
    /// Stop accepting clients and components.
    CloseListeners,
    /// Stop accepting servers.
    CloseServerListeners,
    /// Connect to another server. `Server::handle_connected` tells how that went, unless
    /// [`Self::Disconnect`] came first.
    Connect {
        /// The stream that wants it.
        link: SessionId,
        /// Where to.
        address: SocketAddr,
    },
    /// An attempt to connect takes too long.
    Disconnect(SessionId),
    /// Begin TLS, as the one who has connected: all that was queued is written, the next bytes that
    /// come are the other's handshake. `Server::handle_tls` follows, or `Server::handle_closed`.
    StartTls {
        /// The connection.
        conn: ConnId,
        /// Our domain: its certificate is shown when the other one asks for it.
        ours: String,
        /// The domain that the other one is to be: the name that is asked for, unless it is an
        /// address.
        domain: String,
        /// The protocol is negotiated too (XEP-0368).
        is_direct: bool,
    },
    /// Send a question to a name server. `Server::handle_dns` tells what came back.
    AskDns(Transmit),
    /// The shutdown is complete: leave the loop with this exit code.
    Exit(u8),
}

/// Why all sessions of an account end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountEnd {
    /// It is no more: rooms forget what it was to them, lest the next of its name inherit it.
    Removed,
    /// Its password was changed.
    PasswordChanged,
    /// It is disabled: nobody may log in to it for now (XEP-0133 §4.3).
    Disabled,
    /// An admin wants it so; it may log in again (XEP-0133 §4.5).
    Kicked,
}

/// The result of an iq get or set, without payload. The one place that builds results.
fn result_of(request: &Stanza) -> Stanza {
    let kind = StanzaKind::Iq(IqType::Result);
    let from = request.to.clone().unwrap_or_else(|| request.from.to_bare().into());
    Stanza::new(kind, from, Some(request.from.clone())).with_id(request.id.clone())
}

/// The tools of a handler.
pub struct Cx {
    /// The time of this turn.
    pub now: Now,
    /// The configuration in force; a reload replaces it.
    pub config: Rc<Config>,
    /// The outboxes of all sessions.
    pub out: Outboxes,
    /// The timers.
    pub timers: Timers,
    /// The database.
    pub storage: Storage,
    /// The ways to other servers and to components.
    pub peers: Peers,
    /// Whom certificates of servers are checked against.
    pub trust: Rc<Trust>,
    /// Whom the connected accounts have blocked.
    pub blocks: Blocks,
    /// Chance.
    pub entropy: Box<dyn Entropy>,
    /// The verification string of the server's own capabilities (XEP-0115), for stream features.
    pub caps_ver: Rc<str>,
    /// What the reactor is to do.
    pub actions: VecDeque<Action>,
    /// Stanzas caused by handlers, drained by the router within the turn.
    routed: VecDeque<Stanza>,
    /// Accounts whose sessions are all to end.
    ended_accounts: Vec<(BareJid, AccountEnd)>,
}

impl Cx {
    /// The tools at the start of the server.
    pub fn new(config: Rc<Config>, storage: Storage, entropy: Box<dyn Entropy>, now: Now) -> Self {
        Self {
            now,
            out: Outboxes::new(config.limits.outbox_bytes),
            config,
            timers: Timers::default(),
            storage,
            peers: Peers::default(),
            trust: Rc::default(),
            blocks: Blocks::default(),
            entropy,
            caps_ver: Rc::from(""),
            actions: VecDeque::new(),
            routed: VecDeque::new(),
            ended_accounts: Vec::new(),
        }
    }

    /// With more waiting in all outboxes together, what can wait does.
    pub fn crowded_bytes(&self) -> usize {
        match self.config.limits.outbox_bytes_total {
            0 => CROWDED_BYTES_MAX,
            total => CROWDED_BYTES_MAX.min(total / 2),
        }
    }

    /// True while so much waits.
    pub fn is_crowded(&self) -> bool {
        self.out.exceeds(self.crowded_bytes())
    }

    /// Causes a stanza: it is routed by its `to` after the handler, within this turn.
    pub fn route(&mut self, stanza: Stanza) {
        if self.routed.len() < ROUTED_STANZAS_MAX {
            self.routed.push_back(stanza);
        } else {
            log::error!("too many stanzas caused in one turn; one is dropped");
            self.out.stanzas_dropped += 1;
        }
    }

    /// The next stanza that a handler caused.
    pub fn poll_routed(&mut self) -> Option<Stanza> {
        self.routed.pop_front()
    }

    /// Answers an iq get or set with a result.
    pub fn reply(&mut self, origin: Target, request: &Stanza, payload: Option<Element>) {
        let mut reply = result_of(request);
        reply.children.extend(payload.map(Node::Element));
        self.send(origin, reply);
    }

    /// The same with a payload that this server has serialised before, in the namespace of
    /// stanzas: it is not read to be written again where it need not be.
    pub fn reply_xml(&mut self, origin: Target, request: &Stanza, xml: &str) {
        let mut reply = result_of(request);
        match origin {
            Target::Local(session) => {
                let envelope = Envelope::with_xml(&reply, xml);
                self.out.push_envelope(session, &envelope, &to_attribute(&request.from));
            }
            Target::Remote | Target::Routed => {
                reply.children.extend(
                    xml::read_fragment(xml.as_bytes(), ns::CLIENT).into_iter().map(Node::Element),
                );
                self.send(origin, reply);
            }
        }
    }

    /// Sends a stanza to a target: into its outbox, or through the router. To somebody elsewhere it
    /// goes at once too, so that it stays in order with what a room pushes; where there is no way,
    /// the router tells whoever is to know.
    pub fn send(&mut self, target: Target, stanza: Stanza) {
        match target {
            Target::Local(session) => self.out.push_stanza(session, &stanza),
            Target::Remote if self.send_out(&stanza).is_ok() => {}
            Target::Remote | Target::Routed => self.route(stanza),
        }
    }

    /// Queues a stanza for another server, or for a component, by its addresses; `Err`: there is no
    /// way there.
    pub fn send_out(&mut self, stanza: &Stanza) -> Result<(), NoWay> {
        let Some(to) = &stanza.to else { return Err(NoWay::Nowhere) };
        let (ours, theirs) = (stanza.from.domain(), to.domain());
        let way = self.peers.way(&mut self.out, &self.config.s2s, ours, theirs)?;
        self.out.push_stanza(way, stanza);
        Ok(())
    }

    /// Queues a stanza from our domain `ours`, serialised for many, for one of them at another
    /// server; `to` is of [`to_attribute`]. `Err`: there is no way there.
    pub fn push_out(
        &mut self,
        ours: &str,
        theirs: &str,
        envelope: &Envelope,
        to: &[u8],
    ) -> Result<(), NoWay> {
        let way = self.peers.way(&mut self.out, &self.config.s2s, ours, theirs)?;
        self.out.push_envelope(way, envelope, to);
        Ok(())
    }

    /// Asks the server to end all sessions of an account with `<not-authorized/>`, those still
    /// negotiating included, once the reply to the current request is queued.
    pub fn end_account(&mut self, account: BareJid, why: AccountEnd) {
        self.ended_accounts.push((account, why));
    }

    /// The accounts whose sessions are to end.
    pub fn take_ended_accounts(&mut self) -> Vec<(BareJid, AccountEnd)> {
        std::mem::take(&mut self.ended_accounts)
    }

    /// `bytes_count` random bytes in hexadecimal: ids, resources.
    pub fn random_hex(&mut self, bytes_count: usize) -> String {
        let mut bytes = vec![0; bytes_count];
        self.entropy.fill(&mut bytes);
        hex::encode(&bytes)
    }
}
