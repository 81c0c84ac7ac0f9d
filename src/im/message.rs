//! Delivery to the accounts of this server: who gets a stanza, by its kind, its type and whether
//! it is addressed to an account, a session, or a session that is not there (RFC 6121 §8.5).
//!
//! Accounts that do not exist are treated like accounts with nobody connected (§8.5.1 allows it in
//! every row) but for one thing: what would be kept for somebody (`offline`) is refused, with
//! `service-unavailable`, when there is nobody to keep it for. §8.5.1 allows silence there, which
//! would hide who exists; but it would also swallow the words of everybody who has mistyped an
//! address, and who wants to know names can ask registration for them. What is not kept is refused
//! with the same answer: a full store, a chat state, `no-store`.
//!
//! An iq to a session is given to it whoever sends it. §8.5.3.1 has servers refuse what comes from
//! somebody whom the account does not let see its presence (it SHOULD NOT be delivered); no server
//! in use does, and clients rest on that: who has got a full address with a message, or in a room
//! that shows addresses, is offered a file or a call there, and the requests go in both directions
//! before anybody has shown presence to anybody. What the section wants to prevent stays small:
//! whether a session is there is told to those who know its resource, which the server makes of
//! chance when it is let; whom the account has blocked learns nothing (XEP-0191 §3.3).
//!
//! The service that answers iqs to a bare address is not here: see `ROUTES`.

use crate::cx::Cx;
use crate::ids::{SessionId, Target};
use crate::outbound::{Envelope, to_attribute};
use crate::xmpp::StanzaKind::{self, Iq, Message, Presence};
use crate::xmpp::{
    BareJid, Condition, IqType, Jid, MessageType, PresenceType, Stanza, StanzaError,
};

use super::blocking::are_apart;
use super::{Im, Presence as Announced, Session, offline};

/// What a stanza is addressed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Addressed {
    /// A bare address (§8.5.2).
    Account,
    /// A full address that a session is bound to, available or not (§8.5.3.1).
    Session(SessionId),
    /// A full address that no session is bound to (§8.5.3.2).
    Nobody,
}

/// Who gets a stanza.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delivery {
    /// This session.
    Session(SessionId),
    /// All available sessions of the account whose priority is not negative, or else this.
    Ready(Otherwise),
    /// All available sessions of the account.
    Available,
    /// None of them.
    Nobody(Otherwise),
}

/// What becomes of a stanza that nobody gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Otherwise {
    /// It is silently ignored.
    Ignore,
    /// It is kept until somebody is there, if it can be.
    Keep,
    /// The sender gets an error.
    Refuse(Condition),
}

impl Im {
    /// Delivers a stanza to an account of this server or one of its sessions (RFC 6121 §8.5).
    /// Iq get and set to a bare address never come here.
    ///
    /// The order: what the account has blocked does not pass; subscriptions and probes have rules
    /// of their own; a message is archived, given to whom it is for or kept when nobody is there;
    /// and what was not refused is copied to others of the user.
    pub fn deliver(
        &mut self,
        cx: &mut Cx,
        origin: Target,
        mut stanza: Stanza,
    ) -> Result<(), StanzaError> {
        // Nothing that is delivered today depends on how the sender is reached.
        let _ = origin;
        let to = stanza.to.clone().ok_or(Condition::BadRequest)?;
        let account = to.to_bare();
        if !self.check_received(cx, &account, &stanza)? {
            return Ok(());
        }
        if self.note_watcher(cx, &account, &stanza).is_err() {
            log::warn!("what {} wants to hear of {account} is not known", stanza.from);
        }
        match stanza.kind {
            Presence(PresenceType::Probe) => return self.handle_probe(cx, &account, &stanza),
            Presence(kind) if kind.is_subscription() => {
                return self.handle_received_subscription(cx, &account, &stanza);
            }
            Presence(PresenceType::Error) if to.is_bare() => {
                return self.handle_subscription_error(cx, &account, &stanza);
            }
            Message(_) => {
                offline::take_forged_delays(&mut stanza, &account);
                self.archive_received(cx, &account, &mut stanza)?;
            }
            Iq(_) => self.check_last(cx, &account, &stanza)?,
            _ => {}
        }
        let (given, otherwise) = match delivery(stanza.kind, self.addressed(&to)) {
            Delivery::Session(session) => {
                cx.out.push_stanza(session, &stanza);
                (vec![session], Otherwise::Ignore)
            }
            Delivery::Ready(otherwise) => {
                let ready = self.ready_in(&account).map(|(id, ..)| id);
                (push_to_all(cx, &stanza, &to, ready), otherwise)
            }
            Delivery::Available => {
                let available = self.available_in(&account);
                // Not the resources that the sender has blocked (XEP-0191 §3.3). That it is gone
                // they are told when they are.
                let is_farewell = stanza.kind == Presence(PresenceType::Unavailable);
                let is_for = |jid: &Jid| is_farewell || !are_apart(cx, &stanza.from, jid);
                let sessions = available.filter(|(_, session, _)| is_for(&session.full_jid));
                let sessions: Vec<SessionId> = sessions.map(|(id, ..)| id).collect();
                (push_to_all(cx, &stanza, &to, sessions.into_iter()), Otherwise::Ignore)
            }
            Delivery::Nobody(otherwise) => (Vec::new(), otherwise),
        };
        match otherwise {
            _ if !given.is_empty() => {}
            Otherwise::Ignore => {}
            Otherwise::Refuse(condition) => return Err(condition.into()),
            Otherwise::Keep => self.keep_or_refuse(cx, &account, &stanza, cx.now.unix_ms)?,
        }
        if let Message(_) = stanza.kind {
            self.copy_received(cx, &account, &stanza, &given);
        }
        Ok(())
    }

    /// Keeps a message for an account that has nobody ready for it (§8.5.2.2.1).
    pub(super) fn keep_or_refuse(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        stanza: &Stanza,
        unix_ms: i64,
    ) -> Result<(), StanzaError> {
        if self.keep_offline(cx, account, stanza, unix_ms)? {
            return Ok(());
        }
        Err(Condition::ServiceUnavailable.into())
    }

    /// Those of an account's sessions that get messages to the bare address (§8.5.2.1.1).
    pub(super) fn ready_in(
        &self,
        account: &BareJid,
    ) -> impl Iterator<Item = (SessionId, &Session, &Announced)> + use<'_> {
        self.available_in(account).filter(|(_, _, presence)| presence.priority >= 0)
    }

    fn addressed(&self, to: &Jid) -> Addressed {
        if to.is_bare() {
            return Addressed::Account;
        }
        self.session_at(to).map_or(Addressed::Nobody, Addressed::Session)
    }
}

/// Pushes one serialisation to each session, `to` as it was sent; returns which they were.
pub(super) fn push_to_all(
    cx: &mut Cx,
    stanza: &Stanza,
    to: &Jid,
    sessions: impl Iterator<Item = SessionId>,
) -> Vec<SessionId> {
    let mut sessions = sessions.peekable();
    if sessions.peek().is_none() {
        return Vec::new();
    }
    let (envelope, to) = (Envelope::new(stanza), to_attribute(to));
    sessions.inspect(|&session| cx.out.push_envelope(session, &envelope, &to)).collect()
}

/// The rules of RFC 6121 §8.5 as a table: kind and type, then whom it is addressed to.
fn delivery(kind: StanzaKind, addressed: Addressed) -> Delivery {
    use Addressed::{Account, Nobody as Absent, Session};
    use Condition::ServiceUnavailable;
    use Delivery::{Available, Nobody, Ready};
    use MessageType as M;
    use Otherwise::{Ignore, Keep, Refuse};
    use PresenceType as P;

    match (kind, addressed) {
        // §8.5.3.1.1, §8.5.3.1.2, §8.5.3.1.3: what a session is sent, it gets.
        (Message(_), Session(id))
        | (Presence(P::Available | P::Unavailable | P::Error), Session(id))
        | (Iq(_), Session(id)) => Delivery::Session(id),

        // §8.5.2.1.1; nobody there: §8.5.2.2.1; §8.5.3.2.1.
        (Message(M::Normal | M::Chat), Account) | (Message(M::Chat), Absent) => Ready(Keep),
        (Message(M::Normal), Absent) => Nobody(Refuse(ServiceUnavailable)),
        (Message(M::Groupchat), Account | Absent) => Nobody(Refuse(ServiceUnavailable)),
        (Message(M::Headline), Account) => Ready(Ignore),
        (Message(M::Headline), Absent) => Nobody(Ignore),
        (Message(M::Error), Account | Absent) => Nobody(Ignore),

        // §8.5.2.1.2, §8.5.2.2.2; §8.5.3.2.2.
        (Presence(P::Available | P::Unavailable), Account) => Available,
        (Presence(P::Available | P::Unavailable | P::Error), Absent) => Nobody(Ignore),
        (Presence(P::Error), Account) => Nobody(Ignore),
        // §3, §4.3.2: they have rules of their own, and never come here.
        (
            Presence(P::Subscribe | P::Subscribed | P::Unsubscribe | P::Unsubscribed | P::Probe),
            _,
        ) => Nobody(Ignore),

        // §8.5.3.2.3; to a bare address the server answers itself (§8.5.2.1.3).
        (Iq(IqType::Get | IqType::Set), Account | Absent) => Nobody(Refuse(ServiceUnavailable)),
        (Iq(IqType::Result | IqType::Error), Account | Absent) => Nobody(Ignore),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of RFC 6121 §8.5, in its order. `S` stands for the session addressed.
    #[test]
    fn rows_of_rfc_6121_8_5() {
        use Condition::ServiceUnavailable;
        use Otherwise::{Ignore, Refuse};
        let id = SessionId { index: 1, generation: 1 };
        let session = Delivery::Session(id);
        let (ignore, refuse) =
            (Delivery::Nobody(Ignore), Delivery::Nobody(Refuse(ServiceUnavailable)));
        let ready = Delivery::Ready(Otherwise::Keep);
        let rows = [
            // kind and type, to the account, to a session, to a session that is not there
            (Message(MessageType::Normal), ready, session, refuse),
            (Message(MessageType::Chat), ready, session, ready),
            (Message(MessageType::Groupchat), refuse, session, refuse),
            (Message(MessageType::Headline), Delivery::Ready(Ignore), session, ignore),
            (Message(MessageType::Error), ignore, session, ignore),
            (Presence(PresenceType::Available), Delivery::Available, session, ignore),
            (Presence(PresenceType::Unavailable), Delivery::Available, session, ignore),
            (Presence(PresenceType::Subscribe), ignore, ignore, ignore),
            (Presence(PresenceType::Subscribed), ignore, ignore, ignore),
            (Presence(PresenceType::Unsubscribe), ignore, ignore, ignore),
            (Presence(PresenceType::Unsubscribed), ignore, ignore, ignore),
            (Presence(PresenceType::Probe), ignore, ignore, ignore),
            (Presence(PresenceType::Error), ignore, session, ignore),
            (Iq(IqType::Get), refuse, session, refuse),
            (Iq(IqType::Set), refuse, session, refuse),
            (Iq(IqType::Result), ignore, session, ignore),
            (Iq(IqType::Error), ignore, session, ignore),
        ];
        for (kind, to_account, to_session, to_nobody) in rows {
            assert_eq!(delivery(kind, Addressed::Account), to_account, "{kind:?}");
            assert_eq!(delivery(kind, Addressed::Session(id)), to_session, "{kind:?}");
            assert_eq!(delivery(kind, Addressed::Nobody), to_nobody, "{kind:?}");
        }
    }

    /// An error or a result never causes an error, whatever it is addressed to (RFC 6120 §8.3.1).
    #[test]
    fn errors_and_results_are_never_refused() {
        let id = SessionId { index: 1, generation: 1 };
        for kind in [
            Message(MessageType::Error),
            Presence(PresenceType::Error),
            Iq(IqType::Error),
            Iq(IqType::Result),
        ] {
            for addressed in [Addressed::Account, Addressed::Session(id), Addressed::Nobody] {
                let refused = matches!(
                    delivery(kind, addressed),
                    Delivery::Nobody(Otherwise::Refuse(_)) | Delivery::Ready(Otherwise::Refuse(_))
                );
                assert!(!refused, "{kind:?} {addressed:?}");
            }
        }
    }
}
