//! The sans-IO core: sessions, routing, limits, shutdown. No socket, no clock, no chance of its
//! own: the reactor (`net/`), the in-process driver of the tests and the simulator run it alike.
//!
//! `handle_*` take what happened and the time; `poll_*` hand out what is to be done. Between the
//! two everything is synchronous: when `handle_input` returns, the output of those bytes is in
//! the outboxes, and after `commit` it may be written.

mod admin;
mod control;
mod disco;
mod door;
mod drain;
mod edge;
mod inline;
pub mod limits;
mod links;
mod management;
mod router;
mod session;
mod streams;
mod turn;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::rc::Rc;

use crate::certs::trust::Trust;
use crate::config::Config;
use crate::cx::{Action, Cx, Entropy, Now};
use crate::dns::Resolver;
use crate::ids::{ConnId, SessionId};
use crate::im::Im;
use crate::iq::{self, Scope};
use crate::muc::Muc;
use crate::outbound::Undelivered;
use crate::storage::Storage;
use crate::stream::c2s::{Negotiation, TlsInfo};
use crate::stream::s2s::DIALBACK_SECRET;
use crate::timers::TimerKey;
use crate::xml::StreamParser;
use crate::xmpp::Jid;

use door::Door;
use drain::Drain;
use limits::{AddressLimits, ByteBucket, Counted};
use links::{Attachment, Links, Queues};
use management::Expired;
use router::Chain;
use session::{Hold, Session, Sessions, xml_limits};

/// Whether the server wants bytes of a connection now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadWish {
    /// Read the socket and call `handle_input`.
    Read,
    /// Do not read: bytes of an earlier read are still inside. Call `handle_input` with none.
    Pending,
    /// Not before this monotonic millisecond (rate limit).
    Until(u64),
    /// Not until [`Action::Resume`] (login check, STARTTLS), or never (the stream has ended).
    No,
}

/// What must all be zero when nobody is connected: the simulation and the tests look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Residue {
    /// Sessions, bound or not.
    pub sessions: usize,
    /// Sessions bound to a resource.
    pub bound: usize,
    /// Seats in rooms.
    pub seats: usize,
    /// Outboxes, empty or not.
    pub outboxes: usize,
    /// Bytes that outboxes keep: they wait, or are not acknowledged.
    pub outbox_bytes: usize,
    /// Connections counted by the limits.
    pub connections: usize,
    /// Connections counted as not logged in.
    pub logins_awaited: usize,
    /// Joins that wait.
    pub joins_waiting: usize,
    /// Streams with servers and components, and attempts to connect.
    pub links: usize,
    /// Queues for other servers, empty or not.
    pub queues: usize,
    /// Attempts to reach another server.
    pub attempts: usize,
}

/// The server.
pub struct Server {
    cx: Cx,
    sessions: Sessions,
    im: Im,
    muc: Muc,
    addresses: AddressLimits,
    /// Streams with servers and components, and what waits for them.
    links: Links,
    queues: Queues,
    dns: Resolver,
    attachment: Attachment,
    /// Sessions whose password is to be checked, in the order they asked.
    password_checks: VecDeque<SessionId>,
    /// Connections that have not logged in. Invariant: the sessions with `is_login_awaited`.
    logins_awaited: usize,
    /// Sessions that were resumed in the current chain, and get again what they have not handled.
    resumed: Vec<SessionId>,
    /// Sessions that nobody has resumed in time: what they had handled.
    expired: Expired,
    /// The current chain of handlers.
    chain: Chain,
    /// What ended sessions had not got in this turn, and was given to others or kept, where that
    /// depends on the commit.
    turn_redelivered: Vec<(Jid, Undelivered)>,
    /// Something was written in this turn: what later handlers say may rest on it.
    turn_wrote: bool,
    /// A timer is set for storage to sweep.
    sweeps: bool,
    door: Door,
    drain: Drain,
    /// The sessions of commands that admins run.
    commands: admin::Commands,
}

impl Server {
    /// A server that serves nobody yet. `Err`: a sentence about what stands in the way.
    pub fn new(
        config: Rc<Config>,
        storage: Storage,
        entropy: Box<dyn Entropy>,
        now: Now,
    ) -> Result<Self, String> {
        let mut cx = Cx::new(config, storage, entropy, now);
        cx.caps_ver = disco::server_info(&cx.config.contact).caps_ver().into();
        // Made now: a storage that later takes no writes must not keep anybody from logging in.
        let made = cx.storage.secret(crate::stream::UNKNOWN_USERS_SECRET, &mut *cx.entropy);
        let made = made.and_then(|_| cx.storage.secret(DIALBACK_SECRET, &mut *cx.entropy));
        made.and_then(|_| cx.storage.commit())
            .map_err(|_| "the database takes no writes: is the disk full?".to_owned())?;
        let mut im = Im::new();
        im.advertise(iq::features(Scope::Account));
        let mut server = Self {
            cx,
            sessions: Sessions::default(),
            im,
            muc: Muc::new(),
            addresses: AddressLimits::default(),
            links: Links::default(),
            queues: Queues::default(),
            dns: Resolver::default(),
            attachment: Attachment::default(),
            password_checks: VecDeque::new(),
            logins_awaited: 0,
            resumed: Vec::new(),
            expired: Expired::default(),
            chain: Chain::default(),
            turn_redelivered: Vec::new(),
            turn_wrote: false,
            sweeps: false,
            door: Door::default(),
            drain: Drain::default(),
            commands: admin::Commands::default(),
        };
        for component in &server.cx.config.components {
            server.cx.peers.set_component(component.domain.as_str(), None);
        }
        server.begin_upstream();
        server.tell_of_removed();
        Ok(server)
    }

    /// Tells contacts of accounts that were removed while the server did not run.
    fn tell_of_removed(&mut self) {
        loop {
            self.begin_chain();
            let told = self.im.tell_of_removed(&mut self.cx);
            self.finish_chain();
            let is_stored = self.cx.storage.commit().is_ok();
            if !is_stored || !matches!(told, Ok(true)) {
                break;
            }
        }
    }

    /// A connection was accepted; `false`: refuse it (limits), close it at once and do not name it
    /// again. With `direct_tls` the server waits for [`Self::handle_tls`] first.
    pub fn handle_accept(
        &mut self,
        now: Now,
        conn: ConnId,
        address: IpAddr,
        direct_tls: bool,
    ) -> bool {
        self.cx.now = now;
        let limits = &self.cx.config.limits;
        let crowd = limits.connections_unauthenticated;
        let is_crowded = crowd != 0 && self.logins_awaited >= crowd;
        let is_busy = direct_tls
            && self.addresses.is_exhausted(limits, now.mono_ms, address, Counted::Handshakes);
        if self.drain.has_begun()
            || is_crowded
            || is_busy
            || !self.addresses.connect(limits, now.mono_ms, address)
        {
            log::debug!("connection refused: address={address} reason=limit");
            return false;
        }
        if direct_tls {
            self.addresses.count(now.mono_ms, address, Counted::Handshakes);
        }
        let id = self.cx.out.open();
        self.logins_awaited += 1;
        self.sessions.insert(Session {
            id,
            conn: Some(conn),
            address,
            parser: StreamParser::new(xml_limits(limits, false)),
            negotiation: Negotiation::new(address.to_canonical().is_loopback(), None),
            full_jid: None,
            former_jid: None,
            hold: if direct_tls { Hold::Tls } else { Hold::None },
            is_pending: false,
            bucket: ByteBucket::new(limits, now.mono_ms),
            accepted_ms: now.mono_ms,
            input_ms: now.mono_ms,
            pinged_ms: None,
            invitation: None,
            is_login_awaited: true,
            management: None,
            timer_ms: None,
            ticket: None,
        });
        self.set_timer(id);
        true
    }

    /// The TLS handshake of a connection is done (direct TLS, or after STARTTLS).
    pub fn handle_tls(&mut self, now: Now, conn: ConnId, tls: TlsInfo) {
        self.cx.now = now;
        if let Some(link) = self.links.at(conn) {
            self.handle_link_tls(link, tls);
            return;
        }
        let Some(session) = self.session_at_mut(conn) else { return };
        if session.hold != Hold::Tls {
            return;
        }
        session.hold = Hold::None;
        session.input_ms = now.mono_ms;
        session.negotiation.handle_tls(tls);
        let id = session.id;
        if let Some(session) = self.sessions.get_mut(id) {
            streams::restart(session, &self.cx.config.limits);
        }
        self.resume(id);
    }

    /// Plaintext came (or none: see [`ReadWish::Pending`]). Takes all of it.
    pub fn handle_input(&mut self, now: Now, conn: ConnId, bytes: &[u8]) {
        self.cx.now = now;
        if let Some(link) = self.links.at(conn) {
            self.handle_link_input(link, bytes);
            return;
        }
        let Some(id) = self.sessions.at(conn) else { return };
        let Some(session) = self.sessions.get_mut(id) else { return };
        if session.hold == Hold::Ended {
            return;
        }
        if !bytes.is_empty() {
            session.bucket.take(&self.cx.config.limits, now.mono_ms, bytes.len());
            session.input_ms = now.mono_ms;
            session.pinged_ms = None;
            session.parser.feed(bytes);
        }
        self.process(id);
    }

    /// The peer has ended its direction (FIN, close_notify).
    pub fn handle_end(&mut self, now: Now, conn: ConnId) {
        self.cx.now = now;
        if let Some(link) = self.links.at(conn) {
            self.begin_chain();
            self.keep_incoming(link);
            if !self.cut_off_link(link) {
                self.end_link(link, None);
            }
            self.finish_chain();
        }
        if let Some(id) = self.sessions.at(conn) {
            self.begin_chain();
            if !self.cut_off(id, "ended without the end of the stream") {
                self.end_stream(id, None);
            }
            self.finish_chain();
        }
    }

    /// The connection is gone, whoever ended it: never named again by either side. Its session
    /// stays when it may be resumed; else what waits in its outbox goes elsewhere, or is lost.
    pub fn handle_closed(&mut self, now: Now, conn: ConnId, reason: &str) {
        self.cx.now = now;
        if let Some(link) = self.links.at(conn) {
            self.begin_chain();
            self.forget_link(link, reason);
            self.finish_chain();
        }
        let Some(id) = self.sessions.at(conn) else { return };
        self.begin_chain();
        if !self.detach(id, reason) {
            self.leave(id);
            self.close(id, reason);
        }
        self.finish_chain();
    }

    /// The end of a session whose connection is gone.
    fn close(&mut self, id: SessionId, reason: &str) {
        if !self.drain.is_over() {
            self.drain.count_closed(self.misses_something(id));
            self.redeliver(id);
        }
        let Some(session) = self.sessions.remove(id) else { return };
        log::debug!("connection closed: address={} reason={reason}", session.address);
        self.addresses.disconnect(session.address);
        if session.is_login_awaited {
            self.logins_awaited -= 1;
        }
        self.cx.out.close(id);
    }

    /// Fires due timers and does deferred work (one PLAIN check per turn).
    pub fn handle_timeout(&mut self, now: Now) {
        self.cx.now = now;
        self.check_one_password();
        while let Some(key) = self.cx.timers.poll(now.mono_ms) {
            match key {
                TimerKey::Session(id) => self.handle_session_timer(id),
                TimerKey::Link(link) => self.handle_link_timer(link),
                TimerKey::Queue(queue) => self.handle_queue_timer(queue),
                TimerKey::Upstream => self.handle_upstream_timer(),
                TimerKey::Dns => self.handle_dns_timer(),
                TimerKey::Room(room) => {
                    self.begin_chain();
                    self.muc.handle_timer(&mut self.cx, room);
                    self.finish_chain();
                }
                TimerKey::Drain => {}
                TimerKey::Shutdown => self.shut_down_as_ordered(),
                TimerKey::Storage => self.probe_storage(),
                TimerKey::Sweep => self.sweep_storage(),
            }
        }
        self.tell_crowds();
        if self.im.has_backlog() {
            self.begin_chain();
            self.im.deliver_backlog(&mut self.cx);
            self.finish_chain();
        }
        self.poll_drain();
    }

    /// A new configuration is in force; sessions stay. Listeners, certificates and the log level
    /// are the reactor's and the command line's part of a reload.
    pub fn handle_reload(&mut self, now: Now, config: Rc<Config>) {
        self.cx.now = now;
        self.cx.out.set_limit(config.limits.outbox_bytes);
        self.cx.caps_ver = disco::server_info(&config.contact).caps_ver().into();
        self.cx.config = config;
        self.begin_chain();
        self.muc.handle_reload(&mut self.cx);
        self.finish_chain();
        // A limit of time may be nearer than before, or there was none.
        for id in self.sessions.ids() {
            self.set_timer(id);
        }
    }

    /// The authorities that certificates of servers are checked against, at the start and at a
    /// reload.
    pub fn handle_trust(&mut self, now: Now, trust: Rc<Trust>) {
        self.cx.now = now;
        self.cx.trust = trust;
    }

    /// Whether to read a connection now.
    pub fn read_wish(&self, conn: ConnId) -> ReadWish {
        if let Some(link) = self.links.at(conn) {
            return self.link_read_wish(link);
        }
        let session = self.sessions.at(conn).and_then(|id| self.sessions.get(id));
        let Some(session) = session else { return ReadWish::No };
        if session.hold != Hold::None {
            return ReadWish::No;
        }
        if session.is_pending {
            return ReadWish::Pending;
        }
        if self.drain.has_begun() {
            return ReadWish::No;
        }
        match session.bucket.paused_until_ms(&self.cx.config.limits) {
            Some(until_ms) if until_ms > self.cx.now.mono_ms => ReadWish::Until(until_ms),
            _ => ReadWish::Read,
        }
    }

    /// True when this turn has produced so much output that reading should wait for the next.
    pub fn is_congested(&self) -> bool {
        self.cx.out.is_congested()
    }

    /// True while so much waits to be written that what can wait does.
    pub fn is_crowded(&self) -> bool {
        self.cx.is_crowded()
    }

    /// Monotonic milliseconds of the next deadline; now or earlier: do not sleep.
    pub fn poll_timeout(&self) -> Option<u64> {
        if !self.password_checks.is_empty() || self.drain_wants_turn() || self.queues_want_turn() {
            return Some(self.cx.now.mono_ms);
        }
        let now_ms = self.cx.now.mono_ms;
        let backlogs_ms = [self.muc.poll_timeout(now_ms), self.im.poll_timeout(&self.cx)];
        let dues_ms = [self.cx.timers.next_due_ms(), self.door_due_ms()].into_iter();
        dues_ms.chain(backlogs_ms).flatten().min()
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.cx.actions.pop_front()
    }

    /// What is left; all zero when nobody is connected.
    pub fn residue(&self) -> Residue {
        Residue {
            sessions: self.sessions.len(),
            bound: self.im.sessions_count(),
            seats: self.muc.seats_count(),
            outboxes: self.cx.out.len(),
            outbox_bytes: self.cx.out.bytes_kept(),
            connections: self.addresses.connections(),
            logins_awaited: self.logins_awaited,
            joins_waiting: self.door.len(),
            links: self.links.len(),
            queues: self.cx.peers.queues_count(),
            attempts: self.queues.attempts_count(),
        }
    }

    /// Timers that are set. They are never cancelled: what nobody needs any more is gone when its
    /// time has come.
    pub fn timers_count(&self) -> usize {
        self.cx.timers.len()
    }

    /// The database: tests make accounts and inject faults through it.
    pub fn storage(&mut self) -> &mut Storage {
        &mut self.cx.storage
    }

    fn session_at_mut(&mut self, conn: ConnId) -> Option<&mut Session> {
        self.sessions.get_mut(self.sessions.at(conn)?)
    }
}
