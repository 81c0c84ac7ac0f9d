//! The life of a client stream in the core: its events, the steps of its negotiation, its
//! deadlines, its end. The order of an end is here: what the peer is told, then what others are.

use crate::accounts::invitations::TokenHash;
use crate::cx::Action;
use crate::ids::{SessionId, Target};
use crate::iq;
use crate::outbound::Outbox;
use crate::stream::c2s::Step;
use crate::xml::writer::write_element;
use crate::xml::{Element, Node, StreamEvent, StreamParser, XmlError};
use crate::xmpp::ns;
use crate::xmpp::{
    BareJid, Condition, IqType, Jid, Stanza, StanzaError, StanzaKind, StreamCondition, StreamError,
};

use super::Server;
use super::admin::is_preauth;
use super::edge::{self, Edge};
use super::limits::Counted;
use super::session::{Hold, Session, xml_limits};

/// Stanzas of one session that are handled in one turn.
const TURN_STANZAS_MAX: usize = 64;
/// Bytes of answers that one session gets in one turn: what is long takes long to make.
const TURN_ANSWER_BYTES_MAX: usize = 256 * 1024;

impl Server {
    /// Input or a deadline of a session. As long as it is not bound its stream rests on nothing
    /// that others have written in this turn: its header is not taken back with theirs.
    fn begin_chain_of(&mut self, id: SessionId) {
        self.begin_chain();
        let session = self.sessions.get(id);
        self.chain.is_free = session.is_some_and(|session| session.full_jid.is_none());
        self.chain.origin = Some(id);
    }

    /// Handles what the parser of a session has, up to the budget of a turn.
    pub(super) fn process(&mut self, id: SessionId) {
        let waiting_before = self.cx.out.get(id).map_or(0, Outbox::len);
        for _ in 0..TURN_STANZAS_MAX {
            let Some(session) = self.sessions.get_mut(id) else { return };
            let Some(outbox) = self.cx.out.get(id) else { return };
            let is_served = outbox.len() > waiting_before.saturating_add(TURN_ANSWER_BYTES_MAX);
            if outbox.is_cut() {
                // It ends with this turn, and nothing of it is looked at any more.
                session.is_pending = false;
                return;
            }
            if session.hold != Hold::None || is_served || self.cx.out.is_congested() {
                session.is_pending = true;
                return;
            }
            match session.parser.next_event() {
                Ok(None) => {
                    session.is_pending = false;
                    return;
                }
                Ok(Some(event)) => {
                    self.begin_chain_of(id);
                    if let Err(error) = self.handle_event(id, event) {
                        self.end_stream(id, Some(error));
                    }
                    self.finish_chain();
                }
                Err(error) => {
                    self.begin_chain_of(id);
                    self.end_stream(id, Some(stream_error_of(error)));
                    self.finish_chain();
                    return;
                }
            }
        }
        if let Some(session) = self.sessions.get_mut(id) {
            session.is_pending = true;
        }
    }

    fn handle_event(&mut self, id: SessionId, event: StreamEvent) -> Result<(), StreamError> {
        let Some(session) = self.sessions.get_mut(id) else { return Ok(()) };
        match event {
            StreamEvent::Open(header) => session.negotiation.handle_open(&mut self.cx, id, &header),
            StreamEvent::Close => {
                self.end_stream(id, None);
                Ok(())
            }
            // RFC 6120 §4.9.1.1: after a stream error the peer closes; so do we.
            StreamEvent::Stanza(element) if element.is("error", ns::STREAMS) => {
                self.end_stream(id, None);
                Ok(())
            }
            StreamEvent::Stanza(element) => match session.full_jid.clone() {
                Some(full_jid) => self.handle_element(id, &full_jid, element),
                None => self.negotiate(id, element),
            },
        }
    }

    /// An element of a bound session: stamped, then routed.
    fn handle_element(
        &mut self,
        id: SessionId,
        full_jid: &Jid,
        element: Element,
    ) -> Result<(), StreamError> {
        if element.ns == ns::SM {
            return self.handle_management(id, &element);
        }
        if element.ns == ns::CSI {
            return self.handle_client_state(id, &element);
        }
        let lang = self.sessions.get(id).and_then(|session| session.negotiation.lang());
        let origin = Target::Local(id);
        match edge::stanza_of(element, full_jid, lang)? {
            Edge::Stanza(stanza) if self.must_wait(&stanza) => {
                self.wait_at_door(id, stanza);
                return Ok(());
            }
            Edge::Stanza(stanza) => self.handle_one(origin, stanza),
            Edge::Refused(stanza, error) => self.reply_error(origin, &stanza, error),
        }
        self.count_handled(id);
        Ok(())
    }

    fn negotiate(&mut self, id: SessionId, element: Element) -> Result<(), StreamError> {
        let now_ms = self.cx.now.mono_ms;
        let Some(session) = self.sessions.get_mut(id) else { return Ok(()) };
        let address = session.address;
        if element.is("starttls", ns::TLS) {
            // Whatever follows in the clear would be taken for part of the secure stream
            // (CVE-2011-0411): refused before the client is told to proceed.
            if session.parser.holds_bytes() {
                return Err(StreamError::new(StreamCondition::PolicyViolation)
                    .with_text("nothing may follow <starttls/> before the TLS handshake"));
            }
            let limits = &self.cx.config.limits;
            if self.addresses.is_exhausted(limits, now_ms, address, Counted::Handshakes) {
                return Err(StreamCondition::PolicyViolation.into());
            }
        }
        let (limits, failures) = (&self.cx.config.limits, Counted::LoginFailures);
        if self.addresses.is_exhausted(limits, now_ms, address, failures)
            && session.negotiation.refuse_login(&element)
        {
            log::warn!("login refused: address={address} reason=too-many-failures");
            self.hold_failure(id);
            return Ok(());
        }
        let step = session.negotiation.handle_element(&mut self.cx, id, element)?;
        self.take_step(id, step)
    }

    /// Does what the negotiation asks for.
    pub(super) fn take_step(&mut self, id: SessionId, step: Step) -> Result<(), StreamError> {
        let now_ms = self.cx.now.mono_ms;
        let Some(session) = self.sessions.get_mut(id) else { return Ok(()) };
        match step {
            Step::Continue => {}
            Step::StartTls => {
                session.hold = Hold::Tls;
                self.addresses.count(now_ms, session.address, Counted::Handshakes);
            }
            Step::CheckPassword => {
                session.hold = Hold::Password;
                self.password_checks.push_back(id);
            }
            Step::LoginFailed { account } => {
                let account = account.as_ref().map_or("-", BareJid::as_str);
                log::warn!("login failed: address={} account={account}", session.address);
                self.addresses.count(now_ms, session.address, Counted::LoginFailures);
                self.hold_failure(id);
            }
            Step::Authenticated => {
                restart(session, &self.cx.config.limits);
                self.count_login(id);
            }
            Step::Granted(granted) => self.log_in(id, *granted),
            Step::Bind { id: request_id, resource } => self.bind(id, &request_id, resource),
            Step::Management(element) => self.manage_unbound(id, &element),
            Step::Stanza(element) => self.register(id, &element),
        }
        Ok(())
    }

    /// A connection has logged in.
    pub(super) fn count_login(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        if std::mem::take(&mut session.is_login_awaited) {
            self.logins_awaited -= 1;
        }
    }

    /// Holds the answer to a failed login back for a while.
    fn hold_failure(&mut self, id: SessionId) {
        let due_ms = self.cx.now.mono_ms + self.cx.config.sasl.failure_delay_ms;
        if let Some(session) = self.sessions.get_mut(id) {
            session.hold = Hold::Failure(due_ms);
        }
        self.set_timer(id);
    }

    /// Does one of the password checks that wait: each costs milliseconds (PBKDF2), so a turn
    /// has room for one.
    pub(super) fn check_one_password(&mut self) {
        while let Some(id) = self.password_checks.pop_front() {
            let Some(session) = self.sessions.get_mut(id) else { continue };
            if session.hold != Hold::Password {
                continue;
            }
            session.hold = Hold::None;
            self.begin_chain_of(id);
            let step = match self.sessions.get_mut(id) {
                Some(session) => session.negotiation.check_password(&mut self.cx, id),
                None => Ok(Step::Continue),
            };
            if let Err(error) = step.and_then(|step| self.take_step(id, step)) {
                self.end_stream(id, Some(error));
            }
            self.finish_chain();
            self.resume(id);
            return;
        }
    }

    /// Input of a session goes on after a hold.
    pub(super) fn resume(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get(id) else { return };
        if session.hold == Hold::None
            && let Some(conn) = session.conn
        {
            self.cx.actions.push_back(Action::Resume(conn));
        }
    }

    /// RFC 6120 §7: a client asks for a resource by an iq.
    fn bind(&mut self, id: SessionId, request_id: &str, resource: Option<String>) {
        let resource = resource.unwrap_or_else(|| self.cx.random_hex(8));
        let bound = self.take_resource(id, &resource);
        let Some(session) = self.sessions.get_mut(id) else { return };
        let negotiation = &mut session.negotiation;
        match bound {
            Ok(full_jid) => negotiation.bound(&mut self.cx, id, request_id, &full_jid),
            Err(error) => negotiation.refuse_bind(&mut self.cx, id, Some(request_id), &error),
        }
    }

    /// Binds a resource. Of two sessions with one address the new one wins (§7.7.2.2), and the old
    /// one is entirely gone before.
    pub(super) fn take_resource(
        &mut self,
        id: SessionId,
        resource: &str,
    ) -> Result<Jid, StanzaError> {
        let session = self.sessions.get(id).ok_or(Condition::ItemNotFound)?;
        let account = session.negotiation.account().ok_or(Condition::NotAllowed)?;
        let full_jid = account.with_resource(resource).map_err(|_| Condition::BadRequest)?;
        if let Some(old) = self.im.session_at(&full_jid) {
            self.chain.is_free = false;
            self.end_stream(old, Some(StreamCondition::Conflict.into()));
        }
        self.im.bind(&mut self.cx, id, &full_jid)?;
        if let Some(session) = self.sessions.get_mut(id) {
            log::debug!("{full_jid} bound from {}", session.address);
            session.full_jid = Some(full_jid.clone());
        }
        self.set_timer(id);
        Ok(full_jid)
    }

    /// XEP-0077 §3.1: an iq of in-band registration before login. The client has no address yet,
    /// so the answer has no `to`.
    fn register(&mut self, id: SessionId, iq: &Element) {
        let Some(session) = self.sessions.get(id) else { return };
        let Some(domain) = session.negotiation.host().cloned() else { return };
        let address = session.address;
        let (now_ms, limits) = (self.cx.now.mono_ms, &self.cx.config.limits);
        let what = Counted::Registrations;
        let invitation = session.invitation.clone();
        let result = match iq.attr("type") {
            Some("result" | "error") => return,
            Some("set") if self.addresses.is_exhausted(limits, now_ms, address, what) => {
                // Said once: nothing else keeps a client from trying as fast as it can write.
                let said_at = limits.registrations_per_address_per_minute.saturating_add(1);
                if self.addresses.count(now_ms, address, what) == said_at {
                    log::warn!("registration refused: address={address} reason=too-many");
                }
                Err(StanzaError::new(Condition::ResourceConstraint))
            }
            _ if is_preauth(iq) => {
                let shown = self.handle_preauth(id, &domain, iq);
                if shown.is_err() {
                    self.addresses.count(now_ms, address, what);
                }
                shown.map(|()| None)
            }
            Some("set") => {
                self.addresses.count(now_ms, address, what);
                self.register_invited(id, &domain, iq, invitation.as_deref())
            }
            _ => iq::register::handle_unauthenticated(&mut self.cx, &domain, iq, None)
                .map(|answer| answer.payload),
        };
        let (kind, payload) = match result {
            Ok(payload) => (IqType::Result, payload),
            Err(error) => {
                self.cx.storage.roll_back_handler();
                (IqType::Error, Some(error.to_element()))
            }
        };
        let mut reply = Stanza::new(StanzaKind::Iq(kind), domain.into(), None);
        reply.id = iq.attr("id").map(str::to_owned);
        reply.children.extend(payload.map(Node::Element));
        self.cx.out.push_stanza(id, &reply);
    }

    /// A registration, with the invitation that was shown before it: that is used up by it, and
    /// makes contacts of inviter and invited where it was meant to (XEP-0401 §5.5).
    fn register_invited(
        &mut self,
        id: SessionId,
        domain: &BareJid,
        iq: &Element,
        invitation: Option<&TokenHash>,
    ) -> Result<Option<Element>, StanzaError> {
        let cx = &mut self.cx;
        let answer = iq::register::handle_unauthenticated(cx, domain, iq, invitation)?;
        if let Some((inviter, invited)) = &answer.contacts {
            self.im.befriend(cx, inviter, invited)?;
        }
        if let Some(session) = self.sessions.get_mut(id) {
            session.invitation = None;
            session.negotiation.set_invited(false);
        }
        Ok(answer.payload)
    }

    /// Ends a stream from our side, or answers its end: the peer is told, then the others, and
    /// the connection closes when everything is written.
    pub(super) fn end_stream(&mut self, id: SessionId, error: Option<StreamError>) {
        let has_ended = self.sessions.get(id).is_none_or(|session| session.hold == Hold::Ended);
        if !has_ended {
            self.say_end(id, error);
            self.leave(id);
            self.forget_if_detached(id);
        }
    }

    /// The first half of an end: the peer is told, and gets nothing after it.
    pub(super) fn say_end(&mut self, id: SessionId, error: Option<StreamError>) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        let was_in_handshake = session.hold == Hold::Tls;
        session.hold = Hold::Ended;
        session.is_pending = false;
        if let Some(error) = &error {
            let who = session.full_jid.as_ref().map_or("-", Jid::as_str);
            let condition = error.condition.as_str();
            log::debug!("stream ends: address={} jid={who} error={condition}", session.address);
        }
        if was_in_handshake {
            // No stream to end: whatever we wrote would be taken for a TLS record.
            self.cx.actions.extend(session.conn.map(Action::Abort));
        } else {
            let mut bytes = Vec::new();
            if let Some(error) = &error {
                session.negotiation.open_for_error(&mut self.cx, id);
                write_stream_error(&mut bytes, error);
            }
            if session.negotiation.is_open() {
                bytes.extend_from_slice(b"</stream:stream>");
            }
            self.cx.out.push_end(id, &bytes);
            let deadline_ms = self.cx.now.mono_ms + self.cx.config.shutdown.clients_ms;
            let action = |conn| Action::CloseAfterFlush { conn, deadline_ms };
            self.cx.actions.extend(session.conn.map(action));
        }
    }

    /// A session is over for everybody else: it leaves its rooms and its account. What a managed
    /// one has not acknowledged goes elsewhere then; that of others is known when the connection
    /// is gone.
    pub(super) fn leave(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        if let Some(ticket) = session.ticket.take() {
            self.door.forget(ticket);
        }
        if let Some(full_jid) = session.full_jid.take() {
            session.former_jid = Some(full_jid);
            let is_managed = session.management.is_some();
            self.muc.handle_session_end(&mut self.cx, id, None);
            self.im.handle_session_end(&mut self.cx, id);
            if is_managed {
                self.redeliver(id);
            }
        }
    }

    /// Sets the timer of a session, unless one is set that fires before.
    pub(super) fn set_timer(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        let Some(due_ms) = session.next_deadline_ms(&self.cx.config.limits) else { return };
        if session.timer_ms.is_none_or(|set_ms| set_ms > due_ms) {
            session.timer_ms = Some(due_ms);
            self.cx.timers.set(due_ms, crate::timers::TimerKey::Session(id));
        }
    }

    /// A timer of a session fired: does what is due, and sets the next one.
    pub(super) fn handle_session_timer(&mut self, id: SessionId) {
        let now_ms = self.cx.now.mono_ms;
        let Some(session) = self.sessions.get_mut(id) else { return };
        if session.timer_ms.is_none_or(|due_ms| due_ms > now_ms) {
            return; // An earlier timer has replaced this one.
        }
        session.timer_ms = None;
        let due_ms = session.next_deadline_ms(&self.cx.config.limits);
        if due_ms.is_some_and(|due_ms| due_ms <= now_ms) {
            self.begin_chain_of(id);
            self.handle_deadline(id);
            self.finish_chain();
        }
        self.set_timer(id);
    }

    fn handle_deadline(&mut self, id: SessionId) {
        let now_ms = self.cx.now.mono_ms;
        let Some(session) = self.sessions.get_mut(id) else { return };
        match session.hold {
            Hold::Failure(_) => {
                session.hold = Hold::None;
                if let Err(error) = session.negotiation.send_failure(&mut self.cx, id) {
                    self.end_stream(id, Some(error));
                }
                self.resume(id);
            }
            Hold::Detached(_) => self.end_stream(id, None),
            _ if session.full_jid.is_none()
                || session.pinged_ms.is_some()
                || session.answer_due_ms().is_some_and(|due_ms| due_ms <= now_ms) =>
            {
                if !self.cut_off(id, "silent") {
                    self.end_stream(id, Some(StreamCondition::ConnectionTimeout.into()));
                }
            }
            _ => {
                // Silent for long: an answer of any kind shows that the client is there.
                session.pinged_ms = Some(now_ms);
                let Some(domain) = session.negotiation.host().cloned() else { return };
                let to = session.full_jid.clone();
                let id_text = Some(self.cx.random_hex(6));
                let ping = Stanza::new(StanzaKind::Iq(IqType::Get), domain.into(), to)
                    .with_id(id_text)
                    .with_child(Element::new("ping", ns::PING));
                self.cx.out.push_stanza(id, &ping);
            }
        }
    }
}

/// A new stream on the same connection (RFC 6120 §5.4.3.3, §6.4.6): a new parser. What a client
/// sent before it had the answer is the beginning of the new stream. (After STARTTLS there is
/// nothing such: it was refused.)
pub(super) fn restart(session: &mut Session, limits: &crate::config::Limits) {
    let limits = xml_limits(limits, session.is_authenticated());
    let old = std::mem::replace(&mut session.parser, StreamParser::new(limits));
    session.parser = old.restart(limits);
}

/// RFC 6120 §4.9.3: which condition a fault of the XML is.
pub(super) fn stream_error_of(error: XmlError) -> StreamError {
    match error {
        XmlError::NotWellFormed => StreamCondition::NotWellFormed.into(),
        XmlError::Restricted => StreamCondition::RestrictedXml.into(),
        XmlError::UnsupportedEncoding => StreamCondition::UnsupportedEncoding.into(),
        XmlError::UnboundPrefix => StreamCondition::NotWellFormed.into(),
        XmlError::TooLarge => StreamError::new(StreamCondition::PolicyViolation)
            .with_text("the stanza is larger than this server allows"),
        XmlError::TooComplex => StreamError::new(StreamCondition::PolicyViolation)
            .with_text("the stanza has more depth, attributes or elements than this server allows"),
        XmlError::StrayText => StreamCondition::BadFormat.into(),
    }
}

pub(super) fn write_stream_error(bytes: &mut Vec<u8>, error: &StreamError) {
    bytes.extend_from_slice(b"<stream:error>");
    let condition = Element::new(error.condition.as_str(), ns::STREAM_ERRORS);
    write_element(bytes, &condition, ns::CLIENT);
    if let Some(text) = &error.text {
        let text = Element::new("text", ns::STREAM_ERRORS).with_text(text.as_ref());
        write_element(bytes, &text, ns::CLIENT);
    }
    if let Some(application) = &error.application {
        write_element(bytes, application, ns::CLIENT);
    }
    bytes.extend_from_slice(b"</stream:error>");
}
