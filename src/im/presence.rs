//! Presence that a session broadcasts, and what it has directed at others (RFC 6121 §4).
//!
//! A broadcast reaches the user's own available resources, the sending one included, and who is
//! subscribed: sessions of this server by one serialisation, others through the router. Directed
//! presence is delivered like any stanza (`message`); here it is only remembered, so that whoever
//! saw the session come sees it go, once. Presence to rooms is not here.

use std::rc::Rc;

use crate::cx::Cx;
use crate::ids::SessionId;
use crate::outbound::{Envelope, to_attribute};
use crate::xml::writer::write_attr;
use crate::xmpp::{BareJid, Condition, Jid, PresenceType, Stanza, StanzaError, StanzaKind, ns};

use super::blocking::are_apart;
use super::contacts::Contacts;
use super::probe::read_presence;
use super::subscription::ask_again;
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
    /// remembers the target, to be told when the session ends (RFC 6121 §4.6). `Ok(true)`: it was
    /// none before.
    pub fn track_directed(
        &mut self,
        cx: &mut Cx,
        session: SessionId,
        presence: &Stanza,
    ) -> Result<bool, StanzaError> {
        let (Some(target), Some(session)) = (&presence.to, self.sessions.get_mut(session)) else {
            return Ok(false);
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
                return Ok(session.directed.insert(target.clone()));
            }
            StanzaKind::Presence(PresenceType::Unavailable) => {
                session.directed.remove(target);
            }
            _ => {}
        }
        Ok(false)
    }

    /// What a session has directed at an address did not leave this server.
    pub fn forget_directed(&mut self, session: SessionId, target: &Jid) {
        if let Some(session) = self.sessions.get_mut(session) {
            session.directed.remove(target);
        }
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
        let Some(session) = self.sessions.get(id) else { return Ok(()) };
        let (account, is_initial) = (session.account.clone(), session.presence.is_none());
        // From now on those who write straight to its sessions look there (XEP-0191).
        self.read_blocks(cx, &account)?;
        let contacts = self.contacts(cx, &account)?;
        let (visible, requests, awaited) = match is_initial {
            true => (
                self.find_visible(cx, &account, &contacts)?,
                cx.storage.requests(&account)?,
                cx.storage.awaited(&account)?,
            ),
            false => Default::default(),
        };
        let envelope = Envelope::new(presence);
        let Some(session) = self.sessions.get_mut(id) else { return Ok(()) };
        let ready = session.presence.as_ref().filter(|presence| presence.priority >= 0);
        let ready_since_ms = ready.map_or(cx.now.unix_ms, |presence| presence.ready_since_ms);
        let record = Presence { envelope: envelope.clone(), priority, ready_since_ms };
        let previous = session.presence.replace(record);
        self.broadcast(cx, &account, &contacts, presence, &envelope);
        if is_initial {
            self.show_others(cx, id);
            self.probe_contacts(cx, id, &contacts, &visible);
            ask_again(cx, &account, &awaited);
            // §3.1.3: whenever a resource becomes available, until they are answered.
            let kind = StanzaKind::Presence(PresenceType::Subscribe);
            for request in requests.iter().filter_map(|xml| read_presence(xml.as_bytes(), kind)) {
                // Who was blocked meanwhile asks no more (XEP-0191 §3.3).
                if !cx.blocks.has_blocked(&account, &request.from) {
                    cx.out.push_stanza(id, &request);
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

    /// A new session learns who else of the user is there: the answer to the probes that §4.3 has
    /// the server send to itself.
    fn show_others(&self, cx: &mut Cx, id: SessionId) {
        let Some(session) = self.sessions.get(id) else { return };
        for (other, _, presence) in self.available_in(&session.account) {
            if other != id {
                cx.out.push_envelope(id, &presence.envelope, &session.to);
            }
        }
    }

    /// Unavailable presence that the session sent itself (§4.5.2): to the user's own resources,
    /// the sending one included, to who is subscribed, and to those it had directed presence at.
    fn retire(&mut self, cx: &mut Cx, id: SessionId, presence: &Stanza) {
        let contacts = self.audience(cx, id);
        let Some(session) = self.sessions.get_mut(id) else { return };
        let directed = std::mem::take(&mut session.directed);
        let account = session.account.clone();
        let envelope = Envelope::new(presence);
        if session.presence.is_some() {
            self.broadcast(cx, &account, &contacts, presence, &envelope);
        }
        let audience = self.sessions.get(id).and_then(|session| {
            session.presence.is_some().then_some((&session.account, &*contacts))
        });
        for target in directed {
            self.dismiss(cx, audience, &target, presence, &envelope);
        }
        if self.sessions.get(id).is_some_and(|session| session.presence.is_some()) {
            self.note_departure(cx, &account, id, true, Some(presence));
        }
        // Only now, so that the broadcast has reached the session itself.
        if let Some(session) = self.sessions.get_mut(id) {
            session.presence = None;
            session.interests = None;
        }
        self.caps.forget(id);
    }

    /// The same for a session that ended without a word (§4.5.2, §4.6.3 rule 3); it hears nothing
    /// of it.
    pub(super) fn say_farewell(&self, cx: &mut Cx, session: &Session, contacts: &Contacts) {
        if session.presence.is_none() && session.directed.is_empty() {
            return;
        }
        let kind = StanzaKind::Presence(PresenceType::Unavailable);
        let presence = Stanza::new(kind, session.full_jid.clone(), None);
        let envelope = Envelope::new(&presence);
        let mut audience = None;
        if session.presence.is_some() {
            audience = Some((&session.account, contacts));
            for (id, other, _) in self.available_in(&session.account) {
                if other.full_jid != session.full_jid {
                    cx.out.push_envelope(id, &envelope, &other.to);
                }
            }
            self.tell_subscribers(cx, contacts, &presence, &envelope);
        }
        for target in &session.directed {
            self.dismiss(cx, audience, target, &presence, &envelope);
        }
    }

    /// Who is to hear of the end of a session beside its user and those it told itself: nobody when
    /// it is not available.
    pub(super) fn audience(&mut self, cx: &mut Cx, id: SessionId) -> Rc<Contacts> {
        let Some(session) = self.sessions.get(id) else { return Rc::default() };
        let account = session.account.clone();
        let is_available = session.presence.is_some();
        // What they block may not have been looked at: they were perhaps not here at the time.
        for target in session.directed.iter().map(Jid::to_bare).collect::<Vec<_>>() {
            if self.read_blocks(cx, &target).is_err() {
                log::error!("it is not known whom {target} blocks");
            }
        }
        if !is_available {
            return Rc::default();
        }
        self.contacts(cx, &account).unwrap_or_else(|error| {
            log::error!("the contacts of {account} are not told of its presence: {error}");
            Rc::default()
        })
    }

    /// To all available resources of the user, and to who is subscribed.
    fn broadcast(
        &self,
        cx: &mut Cx,
        account: &BareJid,
        contacts: &Contacts,
        presence: &Stanza,
        envelope: &Envelope,
    ) {
        for (id, session, _) in self.available_in(account) {
            cx.out.push_envelope(id, envelope, &session.to);
        }
        self.tell_subscribers(cx, contacts, presence, envelope);
    }

    /// The one way from a session's broadcast to its subscribers, in the order of their addresses:
    /// to the available resources of an account here, to the bare address elsewhere (§4.2.2). Who
    /// has blocked the other is not told, and does not tell (XEP-0191 §3.3).
    fn tell_subscribers(
        &self,
        cx: &mut Cx,
        contacts: &Contacts,
        presence: &Stanza,
        envelope: &Envelope,
    ) {
        let mut to = Vec::new();
        for contact in contacts.subscribers() {
            if !cx.config.is_account_domain(contact.domain()) {
                if are_apart(cx, &presence.from, contact.as_jid()) {
                    continue;
                }
                let mut presence = presence.clone();
                presence.to = Some(contact.clone().into());
                cx.route(presence);
                continue;
            }
            to.clear();
            for (id, session, _) in self.available_in(contact) {
                if are_apart(cx, &presence.from, &session.full_jid) {
                    continue;
                }
                if to.is_empty() {
                    write_attr(&mut to, "to", contact.as_str());
                }
                cx.out.push_envelope(id, envelope, &to);
            }
        }
    }

    /// Tells one target of directed presence that its sender is gone, unless the broadcast to the
    /// `audience`, the account itself and its subscribers, has said so already.
    fn dismiss(
        &self,
        cx: &mut Cx,
        audience: Option<(&BareJid, &Contacts)>,
        target: &Jid,
        presence: &Stanza,
        envelope: &Envelope,
    ) {
        let bare = target.to_bare();
        let has_heard = audience.is_some_and(|(account, contacts)| {
            bare == *account || contacts.subscription(&bare).is_from()
        });
        let is_account = target.local().is_some() && cx.config.is_account_domain(target.domain());
        if !is_account {
            if !has_heard && !are_apart(cx, &presence.from, target) {
                let mut presence = presence.clone();
                presence.to = Some(target.clone());
                cx.route(presence);
            }
            return;
        }
        let to = to_attribute(target);
        for (id, session) in self.sessions_for_presence(target) {
            // The broadcast is for available sessions only.
            let is_due = !has_heard || session.presence.is_none();
            if is_due && !are_apart(cx, &presence.from, &session.full_jid) {
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
            let id = self.session_at(target);
            id.and_then(|id| Some((id, self.sessions.get(id)?))).into_iter().collect()
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
