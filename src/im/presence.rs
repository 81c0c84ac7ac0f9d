//! Presence that a session broadcasts, and what it has directed at others (RFC 6121 §4).
//!
//! Without subscriptions a broadcast reaches the user's own available resources only, the sending
//! one included. Directed presence is delivered like any stanza (`message`); here it is only
//! remembered, so that whoever saw the session come sees it go. Presence to rooms is not here.

use crate::cx::Cx;
use crate::ids::SessionId;
use crate::outbound::{Envelope, to_attribute};
use crate::xmpp::{BareJid, Condition, Jid, PresenceType, Stanza, StanzaError, StanzaKind, ns};

use super::{Im, Presence, Session};

impl Im {
    /// Presence without `to` from a session (RFC 6121 §4.2, §4.4, §4.5).
    pub fn handle_broadcast(
        &mut self,
        cx: &mut Cx,
        session: SessionId,
        presence: &mut Stanza,
    ) -> Result<(), StanzaError> {
        use PresenceType as P;
        let StanzaKind::Presence(kind) = presence.kind else {
            unreachable!("only presence is broadcast");
        };
        match kind {
            P::Available => {
                self.add_avatar(cx, session, presence)?;
                self.announce(cx, session, presence)
            }
            P::Unavailable => {
                self.retire(cx, session, presence);
                Ok(())
            }
            // A subscription is somebody's: there must be a `to` (RFC 6121 §3.1.1).
            P::Subscribe | P::Subscribed | P::Unsubscribe | P::Unsubscribed => {
                Err(Condition::BadRequest.into())
            }
            // Probes are for servers (RFC 6121 §4.3); an error is never answered.
            P::Probe | P::Error => Ok(()),
        }
    }

    /// A session sends presence (available or unavailable) to an address that is no room:
    /// remembers the target, to be told when the session ends (RFC 6121 §4.6).
    pub fn track_directed(
        &mut self,
        cx: &mut Cx,
        session: SessionId,
        presence: &Stanza,
    ) -> Result<(), StanzaError> {
        let (Some(target), Some(session)) = (&presence.to, self.sessions.get_mut(&session)) else {
            return Ok(());
        };
        match presence.kind {
            StanzaKind::Presence(PresenceType::Available) => {
                let targets_max = cx.config.limits.directed_presences;
                if targets_max > 0
                    && session.directed.len() >= targets_max
                    && !session.directed.contains(target)
                {
                    let error = StanzaError::new(Condition::PolicyViolation);
                    return Err(error.with_text("Too many addresses have your presence already"));
                }
                session.directed.insert(target.clone());
            }
            StanzaKind::Presence(PresenceType::Unavailable) => {
                session.directed.remove(target);
            }
            _ => {}
        }
        Ok(())
    }

    /// Initial presence (§4.2.2) or an update (§4.4.2).
    fn announce(
        &mut self,
        cx: &mut Cx,
        id: SessionId,
        presence: &Stanza,
    ) -> Result<(), StanzaError> {
        let priority = parse_priority(presence)?;
        presence.check_can_be_kept()?;
        let envelope = Envelope::new(presence);
        let Some(session) = self.sessions.get_mut(&id) else { return Ok(()) };
        let previous = session.presence.replace(Presence { envelope: envelope.clone(), priority });
        let session = &self.sessions[&id];
        for (other_id, other, _) in self.available_in(&session.account) {
            cx.out.push_envelope(other_id, &envelope, &other.to);
        }
        if previous.is_none() {
            // The newcomer learns who else of the user is there: the answer to the probes that
            // §4.3 has the server send to itself.
            for (other_id, _, presence) in self.available_in(&session.account) {
                if other_id != id {
                    cx.out.push_envelope(id, &presence.envelope, &session.to);
                }
            }
        }
        // XEP-0160 §2: what was kept comes after what is told of the others.
        let was_ready = previous.is_some_and(|previous| previous.priority >= 0);
        if priority >= 0 && !was_ready {
            self.deliver_offline(cx, id)?;
        }
        self.note_caps(cx, id, presence);
        Ok(())
    }

    /// Unavailable presence that the session sent itself (§4.5.2): to the user's own resources,
    /// the sending one included, and to those it had directed presence at.
    fn retire(&mut self, cx: &mut Cx, id: SessionId, presence: &Stanza) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let directed = std::mem::take(&mut session.directed);
        let account = session.account.clone();
        let was_available = session.presence.is_some();
        let envelope = Envelope::new(presence);
        if was_available {
            self.broadcast(cx, &account, &envelope);
        }
        for target in directed {
            self.dismiss(cx, &account, was_available, &target, presence, &envelope);
        }
        // Only now, so that the broadcast has reached the session itself.
        if let Some(session) = self.sessions.get_mut(&id) {
            session.presence = None;
            session.interests = None;
        }
        self.caps.forget(id);
    }

    /// The same for a session that ended without a word (§4.5.2, §4.6.3 rule 3); it hears nothing
    /// of it.
    pub(super) fn say_farewell(&self, cx: &mut Cx, session: &Session) {
        if session.presence.is_none() && session.directed.is_empty() {
            return;
        }
        let kind = StanzaKind::Presence(PresenceType::Unavailable);
        let presence = Stanza::new(kind, session.full_jid.clone(), None);
        let envelope = Envelope::new(&presence);
        let was_available = session.presence.is_some();
        let others = self.available_in(&session.account);
        for (id, other, _) in others.filter(|_| was_available) {
            if other.full_jid != session.full_jid {
                cx.out.push_envelope(id, &envelope, &other.to);
            }
        }
        for target in &session.directed {
            self.dismiss(cx, &session.account, was_available, target, &presence, &envelope);
        }
    }

    /// To all available resources of the user.
    fn broadcast(&self, cx: &mut Cx, account: &BareJid, envelope: &Envelope) {
        for (id, session, _) in self.available_in(account) {
            cx.out.push_envelope(id, envelope, &session.to);
        }
    }

    /// Tells one target of directed presence that its sender is gone, unless the broadcast to the
    /// user's own resources has said so already.
    fn dismiss(
        &self,
        cx: &mut Cx,
        account: &BareJid,
        was_broadcast: bool,
        target: &Jid,
        presence: &Stanza,
        envelope: &Envelope,
    ) {
        let is_account = target.local().is_some() && cx.config.is_account_domain(target.domain());
        if !is_account {
            let mut presence = presence.clone();
            presence.to = Some(target.clone());
            return cx.route(presence);
        }
        let is_own = target.bare_str() == account.as_str();
        let to = to_attribute(target);
        for (id, session) in self.sessions_for_presence(target) {
            let was_told = is_own && was_broadcast && session.presence.is_some();
            if !was_told {
                cx.out.push_envelope(id, envelope, &to);
            }
        }
    }

    /// Who gets available or unavailable presence to this address (§8.5.2.1.2, §8.5.3.1).
    fn sessions_for_presence(&self, target: &Jid) -> Vec<(SessionId, &Session)> {
        if target.is_bare() {
            let available = self.available_in(&target.to_bare());
            available.map(|(id, session, _)| (id, session)).collect()
        } else {
            self.session_at(target).into_iter().map(|id| (id, &self.sessions[&id])).collect()
        }
    }
}

/// `<priority/>`: -128 to 127, 0 when absent (RFC 6121 §4.7.2.3).
fn parse_priority(presence: &Stanza) -> Result<i8, StanzaError> {
    let mut priorities = presence.elements().filter(|child| child.is("priority", ns::CLIENT));
    let Some(priority) = priorities.next() else { return Ok(0) };
    if priorities.next().is_some() {
        return Err(Condition::BadRequest.into());
    }
    // xs:byte: white space around it, a plus sign and leading zeros are allowed.
    let text = priority.text();
    text.trim_matches([' ', '\t', '\r', '\n']).parse().map_err(|_| Condition::BadRequest.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::Element;

    #[test]
    fn priorities() {
        let from = Jid::parse("romeo@localhost/orchard").expect("a valid address");
        let presence = Stanza::new(StanzaKind::Presence(PresenceType::Available), from, None);
        let priority = |text: &str| Element::new("priority", ns::CLIENT).with_text(text);
        assert_eq!(parse_priority(&presence), Ok(0));
        for (text, want) in [
            ("-128", Some(-128)),
            ("127", Some(127)),
            (" +007\n", Some(7)),
            ("-0", Some(0)),
            ("", None),
            ("128", None),
            ("-129", None),
            ("1.0", None),
            ("0x1", None),
            ("- 1", None),
            ("\u{661}", None),
            ("99999999999999999999999", None),
        ] {
            let got = parse_priority(&presence.clone().with_child(priority(text)));
            assert_eq!(got, want.ok_or(Condition::BadRequest.into()), "{text:?}");
        }
        let twice = presence.clone().with_child(priority("1")).with_child(priority("1"));
        assert_eq!(parse_priority(&twice), Err(Condition::BadRequest.into()));
        // One of another namespace is no priority.
        let other = presence.with_child(Element::new("priority", "urn:x").with_text("x"));
        assert_eq!(parse_priority(&other), Ok(0));
    }
}
