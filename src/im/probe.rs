//! Probes (RFC 6121 §4.3): who becomes available asks for the presence of those it is subscribed
//! to, and who asks an account of this server is answered.
//!
//! Contacts here are not asked by stanza: their presence is read and given to the new session in
//! the same handler. Nothing is said of those who are away: §4.3.2 leaves it open, and it would be
//! a stanza per contact for each login.

use std::rc::Rc;

use crate::cx::Cx;
use crate::ids::SessionId;
use crate::xml;
use crate::xmpp::{BareJid, Jid, PresenceType, Stanza, StanzaError, StanzaKind, ns};

use super::blocking::are_apart;
use super::contacts::Contacts;
use super::{Im, Presence};

impl Im {
    /// A session asks for the presence of somebody itself. `Ok(false)`: nobody is asked. RFC 6121
    /// §4.3 lets clients do it, and as long as the answer to a request is awaited it would be one:
    /// `unsubscribed`, which would end the waiting.
    pub(super) fn handle_sent_probe(
        &mut self,
        cx: &mut Cx,
        session: SessionId,
        stanza: &Stanza,
    ) -> Result<bool, StanzaError> {
        let (Some(session), Some(to)) = (self.sessions.get(session), &stanza.to) else {
            return Ok(true);
        };
        let item = cx.storage.roster_item(&session.account, &to.to_bare())?;
        Ok(!item.is_some_and(|item| item.ask))
    }

    /// A probe for an account or one of its resources (§4.3.2). An account that does not exist
    /// answers like one that the asker may not see.
    pub(super) fn handle_probe(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        probe: &Stanza,
    ) -> Result<(), StanzaError> {
        let answer = |kind, from: Jid| {
            Stanza::new(StanzaKind::Presence(kind), from, Some(probe.from.clone()))
        };
        if !self.is_subscriber(cx, account, &probe.from.to_bare())? {
            // From the bare address: which resources there are is not told. What is said to the
            // account that asks is not said to one of its resources (§3.2.2).
            let mut refusal = answer(PresenceType::Unsubscribed, account.clone().into());
            refusal.to = Some(probe.from.to_bare().into());
            cx.route(refusal);
            return Ok(());
        }
        let asked = probe.to.as_ref().filter(|to| !to.is_bare());
        let available = self.available_in(account);
        let wanted = available.filter(|(_, s, _)| asked.is_none_or(|to| *to == s.full_jid));
        let mut shown = wanted.map(|(_, session, presence)| {
            let mut presence = presence.to_stanza(&session.full_jid);
            presence.to = Some(probe.from.clone());
            presence
        });
        match shown.next() {
            Some(first) => {
                cx.route(first);
                shown.for_each(|presence| cx.route(presence));
            }
            None => {
                let from = asked.cloned().unwrap_or_else(|| account.clone().into());
                cx.route(answer(PresenceType::Unavailable, from));
            }
        }
        Ok(())
    }

    /// The contacts of those accounts here that the account of a new session is subscribed to and
    /// that have sessions: whether they let it see them.
    pub(super) fn find_visible(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        contacts: &Rc<Contacts>,
    ) -> Result<Vec<BareJid>, StanzaError> {
        let mut visible = Vec::new();
        for contact in contacts.subscribed_to() {
            if self.available_in(contact).next().is_some()
                && self.contacts(cx, contact)?.subscription(account).is_from()
            {
                visible.push(contact.clone());
            }
        }
        Ok(visible)
    }

    /// §4.2.2, §4.3.1: asks those elsewhere, on behalf of the account; `visible` ones are shown to
    /// the session at once. Nobody who is blocked is asked or shown (XEP-0191 §3.3).
    pub(super) fn probe_contacts(
        &self,
        cx: &mut Cx,
        id: SessionId,
        contacts: &Contacts,
        visible: &[BareJid],
    ) {
        let Some(session) = self.sessions.get(id) else { return };
        for contact in visible {
            for (_, other, presence) in self.available_in(contact) {
                if !are_apart(cx, &session.full_jid, &other.full_jid) {
                    cx.out.push_envelope(id, &presence.envelope, &session.to);
                }
            }
        }
        for contact in contacts.subscribed_to() {
            if !cx.config.is_account_domain(contact.domain())
                && !are_apart(cx, &session.full_jid, contact.as_jid())
            {
                let kind = StanzaKind::Presence(PresenceType::Probe);
                let to: Jid = contact.clone().into();
                let id = cx.random_hex(8);
                let probe = Stanza::new(kind, session.account.clone().into(), Some(to));
                cx.route(probe.with_id(Some(id)));
            }
        }
    }
}

impl Presence {
    /// The presence as a stanza without `to`, for where it is not given to a session of this server
    /// at once: that is rare, so only its serialisation is kept.
    pub(super) fn to_stanza(&self, full_jid: &Jid) -> Stanza {
        let kind = StanzaKind::Presence(PresenceType::Available);
        let kept = read_presence(&self.envelope.to_vec(), kind);
        kept.unwrap_or_else(|| Stanza::new(kind, full_jid.clone(), None))
    }
}

/// Reads a presence that this server has serialised and kept.
pub(super) fn read_presence(xml: &[u8], kind: StanzaKind) -> Option<Stanza> {
    let element = xml::read_fragment(xml, ns::CLIENT).pop()?;
    let from = Jid::parse(element.attr("from")?).ok()?;
    let to = element.attr("to").and_then(|to| Jid::parse(to).ok());
    let mut stanza = Stanza::new(kind, from, to);
    stanza.id = element.attr("id").map(str::to_owned);
    stanza.lang = element.lang().map(str::to_owned);
    stanza.children = element.children;
    Some(stanza)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::Element;

    #[test]
    fn what_is_kept_is_read_as_it_was() {
        let kind = StanzaKind::Presence(PresenceType::Subscribe);
        let jid = |text| Jid::parse(text).expect("a valid address");
        let mut stanza = Stanza::new(kind, jid("r@localhost"), Some(jid("j@localhost")))
            .with_id(Some("<1>".to_owned()))
            .with_child(Element::new("status", ns::CLIENT).with_text("It's & me"))
            .with_child(Element::new("nick", "urn:nick").with_text("R"));
        stanza.lang = Some("it".to_owned());
        let mut xml = Vec::new();
        stanza.write(&mut xml);
        assert_eq!(read_presence(&xml, kind), Some(stanza));
        assert_eq!(read_presence(b"", kind), None);
    }
}
