//! Stream management (XEP-0198): acknowledgements, and sessions that outlive their connection.
//! With it client state indication (XEP-0352), which decides when output is written.
//!
//! A session whose connection is lost, and that may be resumed, stays what it is to everybody: in
//! its rooms, available, its outbox filling. It ends when nobody resumes it in time, when more
//! would have to be kept than the limit, when its resource is bound anew, when its account goes,
//! and at the shutdown. Violations, conflicts and a stream that was closed end it at once.
//!
//! What the bytes of an outbox are is `outbound`'s; here is what the peer is told, and who goes on
//! with which session.

use std::collections::VecDeque;

use crate::credentials::is_same_secret;
use crate::cx::Action;
use crate::ids::{SessionId, Target};
use crate::outbound::{TooHigh, Undelivered};
use crate::xml::writer::write_element;
use crate::xml::{Element, StreamParser, read_fragment};
use crate::xmpp::{
    BareJid, Condition, IqType, Jid, MessageType, Stanza, StanzaKind, StreamCondition, StreamError,
    ns,
};

use super::Server;
use super::edge;
use super::session::{Hold, xml_limits};

/// Ids of ended sessions that are remembered with what they had handled; the oldest go first.
const EXPIRED_SESSIONS_MAX: usize = 256;
/// Random bytes of the id that a session is resumed by.
const RESUMPTION_ID_BYTES: usize = 20;

/// What is known of a managed session, beside its outbox.
pub struct Management {
    /// Stanzas of the client that were handled, modulo 2^32 (§4).
    pub handled: u32,
    /// When the client was asked what it has handled, while the answer is due.
    pub asked_ms: Option<u64>,
    /// It may be resumed.
    resumption: Option<Resumption>,
}

struct Resumption {
    id: String,
    seconds: u64,
}

/// Sessions that could have been resumed, and ended otherwise (§5).
#[derive(Default)]
pub struct Expired(VecDeque<(BareJid, String, u32)>);

impl Expired {
    fn add(&mut self, account: BareJid, id: String, handled: u32) {
        if self.0.len() >= EXPIRED_SESSIONS_MAX {
            self.0.pop_front();
        }
        self.0.push_back((account, id, handled));
    }

    fn handled(&self, account: &BareJid, id: &str) -> Option<u32> {
        let is_it = |(owner, own, _): &&(BareJid, String, u32)| {
            owner == account && is_same_secret(own.as_bytes(), id.as_bytes())
        };
        self.0.iter().find(is_it).map(|(.., handled)| *handled)
    }
}

impl Server {
    /// `<enable/>` of a bound session, by itself or within XEP-0386: returns `<enabled/>` or
    /// `<failed/>`.
    pub(super) fn enable_management(&mut self, id: SessionId, enable: &Element) -> Element {
        let config = self.cx.config.clone();
        let Some(session) = self.sessions.get_mut(id) else { return failed(UNEXPECTED) };
        // §3: after the resource is bound, and once.
        if session.full_jid.is_none() || session.management.is_some() {
            return failed(UNEXPECTED);
        }
        let wish_seconds = enable.attr("max").and_then(|max| max.parse().ok());
        let seconds = match wish_seconds {
            Some(wish) if wish > 0 => config.c2s.resume_seconds.min(wish),
            _ => config.c2s.resume_seconds,
        };
        let is_wanted = matches!(enable.attr("resume"), Some("true" | "1"));
        let resumption = (is_wanted && seconds > 0)
            .then(|| Resumption { id: self.cx.random_hex(RESUMPTION_ID_BYTES), seconds });
        let mut enabled = Element::new("enabled", ns::SM);
        if let Some(resumption) = &resumption {
            enabled = enabled
                .with_attr("id", resumption.id.as_str())
                .with_attr("resume", "true")
                .with_attr("max", resumption.seconds.to_string());
        }
        session.management = Some(Box::new(Management { handled: 0, asked_ms: None, resumption }));
        self.cx.out.manage(id, config.limits.resume_bytes);
        enabled
    }

    /// `<resume/>` of a session that has logged in and has no resource, by itself or within
    /// XEP-0388: it goes on as the earlier session, whose number is returned with `<resumed/>`.
    /// `Err`: `<failed/>`, and the session may bind.
    ///
    /// What the client has not handled is queued again at the end of this chain of handlers: the
    /// caller queues `<resumed/>` before that.
    pub(super) fn resume_session(
        &mut self,
        id: SessionId,
        resume: &Element,
    ) -> Result<(SessionId, Element), Element> {
        let session = self.sessions.get(id).filter(|session| session.full_jid.is_none());
        let account = session.and_then(|session| session.negotiation.account()).cloned();
        let Some(account) = account else { return Err(failed(UNEXPECTED)) };
        let (Some(previd), Some(h)) = (resume.attr("previd"), count_of(resume)) else {
            return Err(failed(Condition::BadRequest));
        };
        // What it has handled may depend on the commit of this turn.
        self.chain.is_free = false;
        let Some(old) = self.resumable(&account, previd) else {
            let handled = self.expired.handled(&account, previd);
            let handled = handled.map(|handled| handled.to_string());
            return Err(failed(Condition::ItemNotFound).with_attr_opt("h", handled));
        };
        let outbox = self.cx.out.get(old);
        match outbox.map_or(Ok(false), |outbox| outbox.reaches_back_to(h)) {
            Ok(true) => {}
            // It has taken too long to acknowledge: what it asks for is forgotten.
            Ok(false) => return Err(failed(Condition::ItemNotFound)),
            Err(too_high) => {
                let count = count_too_high(h, too_high);
                return Err(failed(Condition::UndefinedCondition).with_child(count));
            }
        }
        if let Some(outbox) = self.cx.out.get_mut(old) {
            // Cannot fail: it was looked at just now.
            let _ = outbox.acknowledge(h);
        }
        self.take_over(id, old);
        let handled = self.handled(old).unwrap_or_default();
        let resumed = Element::new("resumed", ns::SM)
            .with_attr("h", handled.to_string())
            .with_attr("previd", previd);
        Ok((old, resumed))
    }

    /// XEP-0352: the client is looked at (`true`) or not.
    pub(super) fn set_client_active(&mut self, id: SessionId, is_active: bool) {
        self.cx.out.set_active(id, is_active);
    }

    /// An element of XEP-0198 from a bound session.
    pub(super) fn handle_management(
        &mut self,
        id: SessionId,
        element: &Element,
    ) -> Result<(), StreamError> {
        let reply = match (&*element.name, self.handled(id)) {
            ("enable", None) => self.enable_management(id, element),
            // §3: a second time is a stream error by the text, and `<failed/>` by its example.
            ("enable", Some(_)) => {
                self.push_element(id, &failed(UNEXPECTED));
                return Err(StreamError::new(StreamCondition::PolicyViolation)
                    .with_text("stream management is enabled already"));
            }
            // It has a resource.
            ("resume", _) => failed(UNEXPECTED),
            ("r", Some(handled)) => answer(handled),
            ("a", Some(_)) => return self.handle_answer(id, element),
            _ => return Err(StreamCondition::UnsupportedStanzaType.into()),
        };
        self.push_element(id, &reply);
        Ok(())
    }

    /// `<enable/>` or `<resume/>` on a stream without a resource.
    pub(super) fn manage_unbound(&mut self, id: SessionId, element: &Element) {
        let result = match &*element.name {
            "resume" => self.resume_session(id, element),
            _ => Err(failed(UNEXPECTED)),
        };
        match result {
            Ok((session, resumed)) => self.push_element(session, &resumed),
            Err(failed) => self.push_element(id, &failed),
        }
    }

    /// XEP-0352 §4.2; there is no answer.
    pub(super) fn handle_client_state(
        &mut self,
        id: SessionId,
        element: &Element,
    ) -> Result<(), StreamError> {
        match &*element.name {
            "active" => self.set_client_active(id, true),
            "inactive" => self.set_client_active(id, false),
            _ => return Err(StreamCondition::UnsupportedStanzaType.into()),
        }
        Ok(())
    }

    /// §4: a stanza of the client was handled.
    pub(super) fn count_handled(&mut self, id: SessionId) {
        let session = self.sessions.get_mut(id);
        if let Some(management) = session.and_then(|session| session.management.as_mut()) {
            management.handled = management.handled.wrapping_add(1);
        }
    }

    /// The client says what it has handled. When it is behind what it got since it was asked, it
    /// is asked again, as long as it makes headway.
    fn handle_answer(&mut self, id: SessionId, answer: &Element) -> Result<(), StreamError> {
        let Some(h) = count_of(answer) else { return Err(StreamCondition::BadFormat.into()) };
        let Some(outbox) = self.cx.out.get_mut(id) else { return Ok(()) };
        match outbox.acknowledge(h) {
            Ok(news) => {
                let is_behind = news > 0 && outbox.stanzas_unacknowledged() > 0;
                let session = self.sessions.get_mut(id);
                if let Some(management) = session.and_then(|session| session.management.as_mut()) {
                    management.asked_ms = None;
                }
                if is_behind {
                    self.cx.out.ask_soon(id);
                }
                Ok(())
            }
            Err(too_high) => Err(StreamError::new(StreamCondition::UndefinedCondition)
                .with_text(format!(
                    "You acknowledged {h} stanzas, but I only sent you {} so far.",
                    too_high.sent
                ))
                .with_application(count_too_high(h, too_high))),
        }
    }

    /// At the end of a turn: those who got stanzas are asked what they have handled, unless they
    /// have not answered yet.
    pub(super) fn ask_acknowledgements(&mut self) {
        for id in self.cx.out.ask_managed() {
            let now_ms = self.cx.now.mono_ms;
            let session = self.sessions.get_mut(id);
            if let Some(management) = session.and_then(|session| session.management.as_mut()) {
                management.asked_ms = Some(now_ms);
            }
            self.push_element(id, &Element::new("r", ns::SM));
            self.set_timer(id);
        }
    }

    /// Shutdown: the last word about what was handled, and the question for the client's.
    pub(super) fn say_last_count(&mut self, id: SessionId) {
        let is_serving = self.sessions.get(id).is_some_and(|session| session.hold == Hold::None);
        if let Some(handled) = self.handled(id).filter(|_| is_serving) {
            self.push_element(id, &answer(handled));
            self.push_element(id, &Element::new("r", ns::SM));
        }
    }

    /// The connection of a session is no good any more, though it is still there: closes it, and
    /// keeps the session. False: it cannot be kept.
    pub(super) fn cut_off(&mut self, id: SessionId, reason: &str) -> bool {
        let conn = self.sessions.get(id).and_then(|session| session.conn);
        let is_kept = self.detach(id, reason);
        if is_kept {
            self.cx.actions.extend(conn.map(Action::Abort));
        }
        is_kept
    }

    /// The connection of a session is gone: keeps the session to be resumed. False: it cannot be.
    pub(super) fn detach(&mut self, id: SessionId, reason: &str) -> bool {
        let Some(session) = self.sessions.get_mut(id) else { return false };
        let resumption = session.management.as_ref().and_then(|m| m.resumption.as_ref());
        let is_bound =
            matches!(session.hold, Hold::None | Hold::Door) && session.full_jid.is_some();
        let Some(resumption) = resumption.filter(|_| is_bound && !self.drain.has_begun()) else {
            return false;
        };
        let seconds = resumption.seconds;
        if !self.cx.out.detach(id) {
            return false;
        }
        self.leave_door(id);
        let Some(session) = self.sessions.get_mut(id) else { return false };
        let address = session.address;
        log::debug!("connection lost, session kept: address={address} reason={reason}");
        session.hold = Hold::Detached(self.cx.now.mono_ms + seconds * 1000);
        session.parser = StreamParser::new(xml_limits(&self.cx.config.limits, true));
        session.is_pending = false;
        session.pinged_ms = None;
        if let Some(management) = &mut session.management {
            management.asked_ms = None;
        }
        self.addresses.disconnect(address);
        self.sessions.detach(id);
        self.set_timer(id);
        true
    }

    /// An ended session without a connection: nobody will report its end, so it goes now.
    pub(super) fn forget_if_detached(&mut self, id: SessionId) {
        if self.sessions.get(id).is_none_or(|session| session.conn.is_some()) {
            return;
        }
        let Some(session) = self.sessions.remove(id) else { return };
        self.cx.out.close(id);
        let account = session.negotiation.account().cloned();
        let management = session.management.map(|management| *management);
        if let (Some(account), Some(Management { handled, resumption: Some(resumption), .. })) =
            (account, management)
        {
            self.expired.add(account, resumption.id, handled);
        }
    }

    /// What the client of an ended session may not have goes to others of its user, into storage,
    /// or back (§4). What is of no use to anybody else is lost, and counted unless the client has
    /// been away.
    pub(super) fn redeliver(&mut self, id: SessionId) {
        let session = self.sessions.get(id);
        let is_present = session.is_some_and(|session| session.conn.is_some());
        let is_managed = session.is_some_and(|session| session.management.is_some());
        // Without an address it was sent nothing that is for others.
        let full_jid = session
            .and_then(|session| session.former_jid.as_ref().or(session.full_jid.as_ref()))
            .cloned();
        for undelivered in self.cx.out.take_undelivered(id) {
            let was_given =
                full_jid.as_ref().is_some_and(|jid| self.redeliver_written(jid, &undelivered));
            self.cx.out.stanzas_dropped += u64::from(!was_given && is_present && !is_managed);
            if let Some(full_jid) = full_jid.clone().filter(|_| was_given) {
                self.chain.redelivered.push((full_jid, undelivered));
            }
        }
    }

    /// The commit failed that the redelivery of these rested on: once more. What cannot be kept now
    /// goes back to who sent it.
    pub(super) fn redeliver_again(&mut self) {
        for (full_jid, undelivered) in std::mem::take(&mut self.turn_redelivered) {
            self.redeliver_written(&full_jid, &undelivered);
        }
    }

    /// False: it is of no use to anybody else.
    fn redeliver_written(&mut self, full_jid: &Jid, undelivered: &Undelivered) -> bool {
        let Undelivered { xml, queued_unix_ms } = undelivered;
        if !is_for_others(xml) {
            return false;
        }
        let stanzas = read_fragment(xml, ns::CLIENT).into_iter().filter_map(edge::written_stanza);
        stanzas.fold(false, |given, stanza| {
            self.redeliver_one(full_jid, stanza, *queued_unix_ms) | given
        })
    }

    /// False: it is of no use to anybody else.
    fn redeliver_one(&mut self, full_jid: &Jid, stanza: Stanza, queued_unix_ms: i64) -> bool {
        let is_for_others = matches!(
            stanza.kind,
            StanzaKind::Message(MessageType::Normal | MessageType::Chat)
                | StanzaKind::Iq(IqType::Get | IqType::Set)
        );
        if is_for_others {
            let head = Stanza { children: Vec::new(), ..stanza.clone() };
            self.cx.storage.begin_handler();
            let redelivered = self.im.redeliver(&mut self.cx, full_jid, stanza, queued_unix_ms);
            if let Err(error) = redelivered {
                self.cx.storage.roll_back_handler();
                self.reply_error(Target::Routed, &head, error);
            }
        }
        is_for_others
    }

    /// A connection goes on as an earlier session (§5). What that one still has of a connection is
    /// closed.
    fn take_over(&mut self, id: SessionId, old: SessionId) {
        let is_amid_stanza = self.cx.out.get(old).is_some_and(|outbox| outbox.is_amid_stanza());
        self.cx.out.move_to(old, id);
        self.sessions.swap_connections(id, old);
        self.leave_door(old);
        if let Some(session) = self.sessions.get_mut(old) {
            log::debug!("session resumed: address={}", session.address);
            session.hold = Hold::None;
            session.is_pending = true;
            session.negotiation.resumed();
            if let Some(management) = &mut session.management {
                management.asked_ms = None;
            }
            if std::mem::take(&mut session.is_login_awaited) {
                self.logins_awaited -= 1;
            }
        }
        self.resumed.push(old);
        self.set_timer(old);
        self.resume(old);
        // The number of the new session is now that of the old connection.
        let Some(rest) = self.sessions.get_mut(id) else { return };
        match rest.conn {
            None => self.forget_if_detached(id),
            Some(conn) if is_amid_stanza => {
                rest.hold = Hold::Ended;
                self.cx.actions.push_back(Action::Abort(conn));
            }
            Some(_) => self.say_end(id, Some(StreamCondition::Conflict.into())),
        }
    }

    /// The session of an account that this id resumes.
    fn resumable(&self, account: &BareJid, previd: &str) -> Option<SessionId> {
        self.im.sessions_of(account).into_iter().find(|&id| {
            let session = self.sessions.get(id).filter(|session| session.hold != Hold::Ended);
            let management = session.and_then(|session| session.management.as_ref());
            management.and_then(|management| management.resumption.as_ref()).is_some_and(
                |resumption| is_same_secret(resumption.id.as_bytes(), previd.as_bytes()),
            )
        })
    }

    /// Stanzas of the client that were handled, where it has enabled that they are counted.
    fn handled(&self, id: SessionId) -> Option<u32> {
        Some(self.sessions.get(id)?.management.as_ref()?.handled)
    }

    fn push_element(&mut self, id: SessionId, element: &Element) {
        let mut bytes = Vec::with_capacity(128);
        write_element(&mut bytes, element, ns::CLIENT);
        self.cx.out.push_raw(id, &bytes);
    }
}

/// §3: not now, or not again.
const UNEXPECTED: Condition = Condition::UnexpectedRequest;

/// §6
pub(super) fn failed(condition: Condition) -> Element {
    let condition = Element::new(condition.as_str(), ns::STANZA_ERRORS);
    Element::new("failed", ns::SM).with_child(condition)
}

/// `<a/>`
pub(super) fn answer(handled: u32) -> Element {
    Element::new("a", ns::SM).with_attr("h", handled.to_string())
}

/// §6
pub(super) fn count_too_high(h: u32, TooHigh { sent }: TooHigh) -> Element {
    Element::new("handled-count-too-high", ns::SM)
        .with_attr("h", h.to_string())
        .with_attr("send-count", sent.to_string())
}

/// The `h` of an element.
pub(super) fn count_of(element: &Element) -> Option<u32> {
    element.attr("h")?.trim().parse().ok()
}

/// Whether a serialised stanza may be one that goes to others: most of what waits is presence and
/// what rooms reflect, and need not be read.
fn is_for_others(xml: &[u8]) -> bool {
    let head = xml.split(|&byte| byte == b'>').next().unwrap_or_default();
    let is_groupchat = head.starts_with(b"<message")
        && head.windows(17).any(|window| window == b" type='groupchat'");
    !is_groupchat && !head.starts_with(b"<presence")
}
