//! Where a stanza goes: one `match` on its address and kind. Handlers return what went wrong; the
//! one reply of an error is made here. What handlers cause for others is drained here too, within
//! the turn.

use crate::cx::AccountEnd;
use crate::ids::{SessionId, Target};
use crate::im;
use crate::iq::{self, Scope};
use crate::outbound::Undelivered;
use crate::xmpp::{
    BareJid, Condition, IqType, Jid, MessageType, PresenceType, Stanza, StanzaError, StanzaKind,
    StreamCondition,
};

use super::Server;

/// What one input causes, until all of it is done.
#[derive(Default)]
pub(super) struct Chain {
    /// The session whose input it was.
    pub(super) origin: Option<SessionId>,
    /// Something was written to storage.
    pub(super) has_written: bool,
    /// It answers from nothing that is ever stored (a ping, a stream header).
    pub(super) is_free: bool,
    /// What ended sessions had not got, and was given to others or kept.
    pub(super) redelivered: Vec<(Jid, Undelivered)>,
}

impl Server {
    /// What is pushed from here on belongs to one input.
    pub(super) fn begin_chain(&mut self) {
        self.cx.out.set_time(self.cx.now.unix_ms);
        self.cx.out.begin_handler();
        self.cx.storage.begin_handler();
        self.chain = Chain::default();
    }

    /// Routes what the input caused, ends the sessions it asked to end, and marks the output as
    /// depending on the commit when something was written by it, or earlier in this turn.
    pub(super) fn finish_chain(&mut self) {
        for session in std::mem::take(&mut self.resumed) {
            self.cx.out.write_again(session);
        }
        loop {
            self.chain.has_written |= self.cx.storage.handler_wrote();
            if let Some(stanza) = self.cx.poll_routed() {
                self.cx.storage.begin_handler();
                self.handle_one(Target::Routed, stanza);
                continue;
            }
            let overflowed = self.cx.out.take_overflowed();
            let accounts = self.cx.take_ended_accounts();
            if accounts.is_empty() && overflowed.is_empty() {
                break;
            }
            for session in overflowed {
                log::info!("session not kept: reason=too-much-unacknowledged");
                self.end_stream(session, None);
            }
            for (account, why) in accounts {
                for session in self.sessions.of_account(&account) {
                    self.end_stream(session, Some(StreamCondition::NotAuthorized.into()));
                }
                if why == AccountEnd::Removed {
                    self.im.handle_account_removed(&mut self.cx, &account);
                    self.muc.handle_account_removed(&mut self.cx, &account);
                }
            }
        }
        // A later handler may have read what this one wrote, and so told of it.
        self.turn_wrote |= self.chain.has_written;
        if self.chain.has_written || self.turn_wrote && !self.chain.is_free {
            self.cx.out.taint_handler(self.chain.origin, self.chain.has_written);
            self.turn_redelivered.append(&mut self.chain.redelivered);
        }
        self.chain.redelivered.clear();
    }

    /// Hands one stanza to its handler, and answers its error.
    pub(super) fn handle_one(&mut self, origin: Target, stanza: Stanza) {
        let head = Stanza {
            kind: stanza.kind,
            from: stanza.from.clone(),
            to: stanza.to.clone(),
            id: stanza.id.clone(),
            lang: None,
            children: Vec::new(),
        };
        if let Err(error) = self.dispatch(origin, stanza) {
            self.cx.storage.roll_back_handler();
            self.reply_error(origin, &head, error);
        }
    }

    /// The one place that builds error stanzas (RFC 6120 §8.3.1). Errors and results are never
    /// answered.
    pub(super) fn reply_error(&mut self, origin: Target, head: &Stanza, mut error: StanzaError) {
        let kind = match head.kind {
            kind if kind.is_error() => return,
            StanzaKind::Iq(IqType::Result) => return,
            StanzaKind::Message(_) => StanzaKind::Message(MessageType::Error),
            StanzaKind::Presence(_) => StanzaKind::Presence(PresenceType::Error),
            StanzaKind::Iq(_) => StanzaKind::Iq(IqType::Error),
        };
        let from = head.to.clone().unwrap_or_else(|| head.from.to_bare().into());
        let mut reply = Stanza::new(kind, from, Some(head.from.clone())).with_id(head.id.clone());
        if let Some(payload) = error.extra.as_deref().and_then(|extra| extra.payload.clone()) {
            reply = reply.with_child(payload);
        }
        if self.cx.config.is_room_domain(reply.from.domain()) {
            // WIRE 6: rooms say who refuses, whatever part of the server found the fault.
            error.by.get_or_insert_with(|| reply.from.to_bare());
        }
        let reply = reply.with_child(error.to_element());
        if let (StanzaKind::Message(_), Target::Local(session)) = (reply.kind, origin) {
            self.im.copy_refusal(&mut self.cx, session, &reply);
        }
        self.cx.send(origin, reply);
    }

    /// RFC 6120 §10: no `to`, a room service, this server, an account, or elsewhere.
    fn dispatch(&mut self, origin: Target, mut stanza: Stanza) -> Result<(), StanzaError> {
        if stanza.to.is_none() {
            return self.handle_own(origin, stanza);
        }
        if let Target::Local(session) = origin
            && !self.im.handle_sent(&mut self.cx, session, &mut stanza)?
        {
            return Ok(());
        }
        let Some(to) = &stanza.to else { return Err(Condition::BadRequest.into()) };
        if self.cx.config.is_room_domain(to.domain()) {
            let is_service = to.local().is_none() && to.is_bare();
            if is_service && self.answer_if_known(origin, Scope::RoomService, &stanza)? {
                return Ok(());
            }
            return self.muc.handle(&mut self.cx, origin, stanza);
        }
        if !self.cx.config.is_account_domain(to.domain()) {
            return self.send_out(origin, &stanza);
        }
        match to.local() {
            None => self.handle_server(origin, &stanza),
            Some(_) => self.handle_account(origin, stanza),
        }
    }

    /// RFC 6120 §10.3: a stanza without `to` is for the sender's own account.
    fn handle_own(&mut self, origin: Target, mut stanza: Stanza) -> Result<(), StanzaError> {
        match stanza.kind {
            StanzaKind::Presence(PresenceType::Available | PresenceType::Unavailable) => {
                let Target::Local(session) = origin else { return Ok(()) };
                self.im.handle_broadcast(&mut self.cx, session, &mut stanza)?;
                // XEP-0045 §7.14: general unavailability leaves all rooms.
                if stanza.kind == StanzaKind::Presence(PresenceType::Unavailable) {
                    self.muc.handle_session_end(&mut self.cx, session, Some(&stanza));
                }
                Ok(())
            }
            StanzaKind::Presence(PresenceType::Probe | PresenceType::Error) => Ok(()),
            StanzaKind::Presence(_) => Err(Condition::BadRequest.into()),
            StanzaKind::Message(_) => {
                stanza.to = Some(stanza.from.to_bare().into());
                self.im.deliver(&mut self.cx, origin, stanza)
            }
            StanzaKind::Iq(IqType::Get | IqType::Set) => {
                let account = stanza.from.to_bare();
                self.answer_account(origin, account, &stanza)
            }
            StanzaKind::Iq(IqType::Result | IqType::Error) => {
                self.im.handle_answer(&mut self.cx, origin, &stanza);
                Ok(())
            }
        }
    }

    /// A stanza to a domain of ours, not to an account there.
    fn handle_server(&mut self, origin: Target, stanza: &Stanza) -> Result<(), StanzaError> {
        match stanza.kind {
            StanzaKind::Iq(IqType::Get | IqType::Set)
                if stanza.to.as_ref().is_some_and(|to| to.is_bare()) =>
            {
                if self.handle_command(origin, stanza)? {
                    return Ok(());
                }
                self.answer(origin, Scope::Server, stanza)
            }
            StanzaKind::Presence(_) => Ok(()),
            kind if kind.is_error() => Ok(()),
            // A result is the answer to a ping of ours: that it came is all that counts.
            StanzaKind::Iq(IqType::Result) => Ok(()),
            _ => Err(Condition::ServiceUnavailable.into()),
        }
    }

    /// RFC 6120 §10.5.3, §10.5.4: a stanza to an account here, or to one of its resources.
    fn handle_account(&mut self, origin: Target, stanza: Stanza) -> Result<(), StanzaError> {
        let to = stanza.to.as_ref().expect("dispatch has looked at it");
        match stanza.kind {
            StanzaKind::Iq(IqType::Get | IqType::Set) if to.is_bare() => {
                let account = to.to_bare();
                self.answer_account(origin, account, &stanza)
            }
            StanzaKind::Iq(_) if to.is_bare() && to.as_str() == stanza.from.bare_str() => {
                self.im.handle_answer(&mut self.cx, origin, &stanza);
                Ok(())
            }
            StanzaKind::Presence(PresenceType::Available | PresenceType::Unavailable) => {
                if let Target::Local(session) = origin {
                    self.im.track_directed(&mut self.cx, session, &stanza)?;
                }
                self.im.deliver(&mut self.cx, origin, stanza)
            }
            _ => self.im.deliver(&mut self.cx, origin, stanza),
        }
    }

    /// An iq get or set to an account: the sender's own, by its bare address or with no `to` at all
    /// (RFC 6120 §10.3.3), or somebody else's.
    fn answer_account(
        &mut self,
        origin: Target,
        account: BareJid,
        stanza: &Stanza,
    ) -> Result<(), StanzaError> {
        let payload = stanza.iq_payload().ok_or(Condition::BadRequest)?;
        let is_owner = account.as_str() == stanza.from.bare_str();
        if !is_owner && !self.im.check_received(&mut self.cx, &account, stanza)? {
            return Ok(());
        }
        let found = im::ROUTES.iter().find(|route| {
            stanza.kind == StanzaKind::Iq(route.kind)
                && payload.is(route.name, route.ns)
                && (is_owner || route.askers == im::Askers::Anyone)
        });
        let payload = match found {
            Some(route) => {
                let request = im::Request { origin, account, stanza, payload };
                (route.handler)(&mut self.im, &mut self.cx, &request)?
            }
            None if is_owner => return self.answer(origin, Scope::Account, stanza),
            None => im::answer_stranger(stanza)?,
        };
        self.cx.reply(origin, stanza, payload);
        Ok(())
    }

    /// An iq get or set to a domain of ours, or for one of the small services of an account.
    fn answer(&mut self, origin: Target, scope: Scope, stanza: &Stanza) -> Result<(), StanzaError> {
        if self.answer_if_known(origin, scope, stanza)? {
            return Ok(());
        }
        Err(Condition::ServiceUnavailable.into())
    }

    /// The same where somebody else may answer instead; false: nothing here does.
    fn answer_if_known(
        &mut self,
        origin: Target,
        scope: Scope,
        stanza: &Stanza,
    ) -> Result<bool, StanzaError> {
        let StanzaKind::Iq(kind @ (IqType::Get | IqType::Set)) = stanza.kind else {
            return Ok(false);
        };
        let payload = stanza.iq_payload().ok_or(Condition::BadRequest)?;
        let answer = match super::disco::answer(&self.cx, scope, stanza)? {
            Some(answer) => Some(answer),
            None => {
                let Some(route) = iq::route(scope, kind, payload) else { return Ok(false) };
                (route.handler)(&mut self.cx, &iq::Request { origin, stanza, payload })?
            }
        };
        self.cx.reply(origin, stanza, answer);
        self.chain.is_free = true;
        Ok(true)
    }

    /// A stanza to another server, or to a component. Where there is no way there, what the server
    /// has caused itself dies in silence, except a request to subscribe, which somebody waits for.
    fn send_out(&mut self, origin: Target, stanza: &Stanza) -> Result<(), StanzaError> {
        use PresenceType::{Probe, Subscribe, Unavailable};
        let mut is_new = false;
        if let (Target::Local(session), StanzaKind::Presence(_)) = (origin, stanza.kind) {
            is_new = self.im.track_directed(&mut self.cx, session, stanza)?;
        }
        let Err(why) = self.cx.send_out(stanza) else { return Ok(()) };
        if let (Target::Local(session), true, Some(to)) = (origin, is_new, &stanza.to) {
            self.im.forget_directed(session, to);
        }
        match stanza.kind {
            StanzaKind::Presence(Unavailable | Probe) => Ok(()),
            StanzaKind::Presence(kind) if origin == Target::Routed && kind != Subscribe => Ok(()),
            _ => Err(Condition::from(why).into()),
        }
    }
}
