//! Carbon copies (XEP-0280): a user's resources see what the others of them say and hear.
//!
//! A copy is a message from the user's own bare address, which no client can send from: its `from`
//! is stamped with a resource (§11, and how forged copies are known). It is wrapped once for all
//! resources that get it. All rules of §6.1 hold. That an error answers a message which was copied
//! is known by its id: of each account that has copies switched on the latest few are remembered.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::cx::Cx;
use crate::ids::SessionId;
use crate::outbound::Envelope;
use crate::xml::Element;
use crate::xmpp::{
    BareJid, Condition, ErrorType, Jid, MessageType, Stanza, StanzaError, StanzaKind, ns,
};

use super::{Im, Request};

/// Messages of an account that an error may still be the answer to.
const ANSWERABLE_MESSAGES_MAX: usize = 64;

/// Hashes of the latest messages that were eligible: of the other side's address and the id.
#[derive(Default)]
pub(super) struct Answerable(VecDeque<u64>);

/// Which way a message goes, seen from the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Sent,
    Received,
}

/// `<enable/>` (§4), as often as the client likes (§10.1).
pub(super) fn handle_enable(
    im: &mut Im,
    cx: &mut Cx,
    request: &Request<'_>,
) -> Result<Option<Element>, StanzaError> {
    switch(im, cx, request, true)
}

/// `<disable/>` (§5).
pub(super) fn handle_disable(
    im: &mut Im,
    cx: &mut Cx,
    request: &Request<'_>,
) -> Result<Option<Element>, StanzaError> {
    switch(im, cx, request, false)
}

/// A session switches copies for itself, and for no other account (§4.1, §5.1).
fn switch(
    im: &mut Im,
    cx: &Cx,
    request: &Request<'_>,
    on: bool,
) -> Result<Option<Element>, StanzaError> {
    let session = im.session_at(&request.stanza.from);
    match session.filter(|_| request.stanza.from.bare_str() == request.account.as_str()) {
        Some(session) => im.set_carbons(cx, session, on),
        None => return Err(StanzaError::new(Condition::NotAllowed).with_type(ErrorType::Cancel)),
    }
    Ok(None)
}

impl Im {
    /// Switches copies on or off for a session (§4, §5; inline in XEP-0386).
    pub fn set_carbons(&mut self, cx: &Cx, session: SessionId, on: bool) {
        if let Some(session) = self.sessions.get_mut(session) {
            let since_ms = session.carbons_since_ms.unwrap_or(cx.now.unix_ms);
            session.carbons_since_ms = on.then_some(since_ms);
        }
    }

    /// Copies a message that a session sends to the others of its user (§8). One to the user itself
    /// is copied when it is received.
    pub(super) fn copy_sent(&mut self, cx: &mut Cx, session: SessionId, stanza: &Stanza) {
        let (Some(record), Some(to)) = (self.sessions.get(session), &stanza.to) else { return };
        let account = record.account.clone();
        if to.bare_str() != account.as_str() {
            self.copy(cx, &account, stanza, Way::Sent, &[session]);
        }
    }

    /// Copies a message to those of a user's resources that did not get it (§7).
    pub(super) fn copy_received(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        stanza: &Stanza,
        given: &[SessionId],
    ) {
        self.copy(cx, account, stanza, Way::Received, given);
    }

    /// The server itself has answered a message of a session with an error, which only that session
    /// gets: the others have a copy of the message, and see now what became of it (§6.1).
    pub fn copy_refusal(&mut self, cx: &mut Cx, session: SessionId, error: &Stanza) {
        let account = self.sessions.get(session).map(|record| record.account.clone());
        if let Some(account) = account {
            self.copy(cx, &account, error, Way::Received, &[session]);
        }
    }

    /// True when `session` has had a copy of this message, which was received at `unix_ms`.
    pub(super) fn has_copy(&self, session: SessionId, stanza: &Stanza, unix_ms: i64) -> bool {
        let wanted = self.sessions.get(session).is_some_and(|session| {
            session.carbons_since_ms.is_some_and(|since_ms| since_ms <= unix_ms)
                && session.full_jid != stanza.from
        });
        wanted && is_eligible(stanza, Way::Received)
    }

    fn copy(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        stanza: &Stanza,
        way: Way,
        given: &[SessionId],
    ) {
        if !self.sessions_in(account).any(|(_, session)| session.carbons_since_ms.is_some()) {
            return;
        }
        let other = if way == Way::Sent { stanza.to.as_ref() } else { Some(&stanza.from) };
        let Some(record) = self.accounts.get_mut(account) else { return };
        let is_eligible = match stanza.kind {
            // Hints and payload of an error are those of what it answers (XEP-0334 §5).
            StanzaKind::Message(MessageType::Error) => {
                record.answerable.as_ref().is_some_and(|latest| latest.has(other, stanza))
            }
            _ => is_eligible(stanza, way),
        };
        if !is_eligible {
            return;
        }
        if !stanza.kind.is_error() {
            record.answerable.get_or_insert_default().note(other, stanza);
        }
        let is_for = |id: SessionId, full_jid: &Jid| {
            // The sender does not hear itself, whoever it has written to.
            !given.contains(&id) && *full_jid != stanza.from
        };
        let others =
            self.sessions_in(account).filter(|(_, session)| session.carbons_since_ms.is_some());
        let mut others = others.filter(|(id, session)| is_for(*id, &session.full_jid)).peekable();
        if others.peek().is_some() {
            let envelope = Envelope::new(&wrap(account, stanza, way));
            others.for_each(|(id, session)| cx.out.push_envelope(id, &envelope, &session.to));
        }
    }
}

impl Answerable {
    fn note(&mut self, other: Option<&Jid>, stanza: &Stanza) {
        let Some(hash) = Self::hash(other, stanza) else { return };
        if self.0.len() == ANSWERABLE_MESSAGES_MAX {
            self.0.pop_front();
        }
        self.0.push_back(hash);
    }

    fn has(&self, other: Option<&Jid>, stanza: &Stanza) -> bool {
        Self::hash(other, stanza).is_some_and(|hash| self.0.contains(&hash))
    }

    /// Whoever answers may do so with another resource than was written to. Without an id there is
    /// nothing to know an answer by.
    fn hash(other: Option<&Jid>, stanza: &Stanza) -> Option<u64> {
        let mut hasher = DefaultHasher::new();
        (other?.bare_str(), stanza.id.as_ref()?).hash(&mut hasher);
        Some(hasher.finish())
    }
}

/// The rules of §6.1, but for errors.
fn is_eligible(stanza: &Stanza, way: Way) -> bool {
    let StanzaKind::Message(kind) = stanza.kind else { return false };
    let is_private = stanza.child("private", ns::CARBONS).is_some()
        || stanza.child("no-copy", ns::HINTS).is_some();
    if kind == MessageType::Groupchat || is_private {
        return false;
    }
    if let Some(x) = stanza.child("x", ns::MUC_USER) {
        if x.child("invite", ns::MUC_USER).is_some() {
            return true;
        }
        // A private message. The room gives what is received to all sessions that are in it.
        match way {
            Way::Sent if stanza.to.as_ref().is_some_and(|to| !to.is_bare()) => return true,
            Way::Received if !stanza.from.is_bare() => return false,
            _ => {}
        }
    }
    kind == MessageType::Chat
        || kind == MessageType::Normal && stanza.child("body", ns::CLIENT).is_some()
        || stanza.child("x", ns::CONFERENCE).is_some()
        || stanza
            .elements()
            .any(|child| matches!(&*child.ns, ns::RECEIPTS | ns::CHAT_STATES | ns::CHAT_MARKERS))
}

/// The copy: the original in a message of the user to itself (§7, §8).
fn wrap(account: &BareJid, stanza: &Stanza, way: Way) -> Stanza {
    let name = if way == Way::Sent { "sent" } else { "received" };
    let forwarded = Element::new("forwarded", ns::FORWARD).with_child(stanza.to_element());
    Stanza::new(stanza.kind, account.as_jid().clone(), None)
        .with_child(Element::new(name, ns::CARBONS).with_child(forwarded))
}

/// True for a copy that this server has made for `account`.
pub(super) fn is_copy(account: &BareJid, stanza: &Stanza) -> bool {
    stanza.from == *account.as_jid()
        && stanza.elements().any(|child| {
            child.ns == ns::CARBONS && (child.name == "sent" || child.name == "received")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: MessageType, child: Option<Element>, sent: bool, received: bool) {
        let jid = |text| Jid::parse(text).expect("an address");
        let (here, there) = (jid("juliet@localhost/balcony"), jid("r@conference.localhost/Romeo"));
        let message = |from: &Jid, to: &Jid| {
            Stanza::new(StanzaKind::Message(kind), from.clone(), Some(to.clone()))
                .with_child_opt(child.clone())
        };
        assert_eq!(is_eligible(&message(&here, &there), Way::Sent), sent, "{child:?} sent");
        assert_eq!(is_eligible(&message(&there, &here), Way::Received), received, "{child:?}");
    }

    /// XEP-0280 §6.1, in its order.
    #[test]
    fn which_messages_are_copied() {
        use MessageType::{Chat, Groupchat, Headline, Normal};
        let element = |name: &'static str, ns: &'static str| Some(Element::new(name, ns));
        check(Chat, None, true, true);
        check(Normal, element("body", ns::CLIENT), true, true);
        check(Normal, element("subject", ns::CLIENT), false, false);
        check(Headline, element("body", ns::CLIENT), false, false);
        for payload in [
            element("request", ns::RECEIPTS),
            element("received", ns::RECEIPTS),
            element("composing", ns::CHAT_STATES),
            element("displayed", ns::CHAT_MARKERS),
            element("x", ns::CONFERENCE),
        ] {
            check(Normal, payload.clone(), true, true);
            check(Groupchat, payload, false, false);
        }
        let x = Element::new("x", ns::MUC_USER);
        check(Normal, Some(x.clone().with_child(Element::new("invite", ns::MUC_USER))), true, true);
        check(Normal, Some(x.clone()), true, false);
        check(Chat, Some(x), true, false);
        check(Chat, element("private", ns::CARBONS), false, false);
        check(Chat, element("no-copy", ns::HINTS), false, false);
    }

    #[test]
    fn answers_are_known_by_address_and_id() {
        let jid = |text| Jid::parse(text).expect("an address");
        let (romeo, phone) = (jid("romeo@localhost"), jid("romeo@localhost/phone"));
        let message = |id: &str| {
            let kind = StanzaKind::Message(MessageType::Chat);
            Stanza::new(kind, jid("juliet@localhost/b"), None).with_id(Some(id.to_owned()))
        };
        let mut answerable = Answerable::default();
        answerable.note(Some(&romeo), &message("0"));
        assert!(answerable.has(Some(&phone), &message("0")));
        assert!(!answerable.has(Some(&jid("paris@localhost")), &message("0")));
        assert!(!answerable.has(Some(&romeo), &message("1")));
        for n in 1..=ANSWERABLE_MESSAGES_MAX {
            answerable.note(Some(&romeo), &message(&n.to_string()));
        }
        assert!(!answerable.has(Some(&romeo), &message("0")), "bounded");
        assert!(answerable.has(Some(&romeo), &message("1")));
    }
}
