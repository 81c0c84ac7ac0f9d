//! Subscriptions (RFC 6121 §3): who may see whose presence. `standing` has the tables; here is what
//! follows from them for storage, the rosters of the account's sessions, and presence.
//!
//! Each side of a word is a handler of its own: the sender's account is changed, then the word is
//! routed like any stanza, to this server or another, and changes the account that it comes to. So
//! what one side stores never depends on the other. An account may have nobody connected: a request
//! is kept until it is answered, and given to each session that becomes available.
//!
//! What comes to an account that does not exist is ignored, as RFC 6121 §8.5.1 wants it. A request
//! to one that exists is kept without a word, so nobody learns which of the two it was; one over
//! the limit is dropped, for the same reason without an error.

use std::rc::Rc;

use crate::cx::Cx;
use crate::ids::SessionId;
use crate::outbound::{Envelope, to_attribute};
use crate::storage::{RosterItem, RosterVersion};
use crate::xmpp::{BareJid, Jid, PresenceType, Stanza, StanzaError, StanzaKind};

use super::blocking::are_apart;
use super::standing::{Reaction, Standing, Word};
use super::{Im, roster};

/// Requests to other servers that are repeated when a session becomes available, at most.
const REPEATED_REQUESTS_MAX: usize = 100;
/// Contacts of removed accounts that are told in one go.
const ENDS_BATCH_MAX: usize = 1_000;

/// A contact of an account as storage has it.
pub(super) struct Contact<'a> {
    pub account: &'a BareJid,
    pub jid: &'a BareJid,
    pub item: Option<RosterItem>,
    pub standing: Standing,
}

impl<'a> Contact<'a> {
    pub(super) fn read(
        cx: &mut Cx,
        account: &'a BareJid,
        jid: &'a BareJid,
    ) -> Result<Self, StanzaError> {
        let item = cx.storage.roster_item(account, jid)?;
        let is_requested = cx.storage.is_requested(account, jid)?;
        let standing = Standing::new(item.as_ref(), is_requested);
        Ok(Self { account, jid, item, standing })
    }
}

impl Im {
    /// A session asks for, grants, takes back or gives up a subscription: the roster of its account
    /// changes. `Ok(false)`: the stanza goes nowhere (Appendix A.2), or on its own way.
    pub(super) fn handle_sent_subscription(
        &mut self,
        cx: &mut Cx,
        session: SessionId,
        stanza: &mut Stanza,
    ) -> Result<bool, StanzaError> {
        let Some(session) = self.sessions.get(session) else { return Ok(false) };
        let account = session.account.clone();
        let (Some(word), Some(to)) = (word_of(stanza), &stanza.to) else { return Ok(true) };
        // §3.1.1, §3.1.2: to a bare address, whatever the client says.
        let jid = to.to_bare();
        // Everybody sees their own presence (§4.2.2): there is nothing to ask for.
        if jid == account {
            return Ok(false);
        }
        stanza.check_can_be_kept()?;
        let contact = Contact::read(cx, &account, &jid)?;
        let before = contact.standing;
        let (after, is_routed) = before.sent(word);
        self.settle(cx, &contact, after)?;
        if is_routed {
            stanza.to = Some(jid.clone().into());
            cx.route(stanza.clone());
        }
        self.tell_of_change(cx, &contact, after);
        Ok(false)
    }

    /// The same from the other side (Appendix A.3): the account may have nobody connected, and may
    /// not exist.
    pub(super) fn handle_received_subscription(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        stanza: &Stanza,
    ) -> Result<(), StanzaError> {
        let Some(word) = word_of(stanza) else { return Ok(()) };
        // The same for all accounts, existing or not.
        stanza.check_can_be_kept()?;
        let jid = stanza.from.to_bare();
        if jid == *account {
            return Ok(());
        }
        let contact = Contact::read(cx, account, &jid)?;
        let (after, reaction) = contact.standing.received(word);
        // §3.1.3: between bare addresses, even where one had a resource.
        let mut heard = Stanza { from: jid.clone().into(), ..stanza.clone() };
        heard.to = Some(account.clone().into());
        if after.pending_in && !contact.standing.pending_in {
            let mut xml = Vec::new();
            heard.write(&mut xml);
            let xml = String::from_utf8_lossy(&xml);
            let requests_max = cx.config.limits.subscription_requests;
            if !cx.storage.request_put(account, &jid, &xml, requests_max)? {
                return Ok(());
            }
        }
        let change = self.store(cx, &contact, after)?;
        match reaction {
            Reaction::Ignore => {}
            Reaction::Deliver => self.give_word(cx, account, word, &heard),
            Reaction::Approve => {
                let kind = StanzaKind::Presence(PresenceType::Subscribed);
                cx.route(Stanza::new(kind, account.clone().into(), Some(jid.clone().into())));
                // Who asks again has perhaps lost what it knew (§3.1.3 leaves it open).
                self.show_presence(cx, account, &jid, PresenceType::Available);
            }
        }
        self.push_change(cx, account, change);
        if reaction != Reaction::Approve {
            self.tell_of_change(cx, &contact, after);
        }
        Ok(())
    }

    /// An error to the bare address of an account: for its sessions when it answers a request to
    /// subscribe, which goes out from there (§3.1.2); what else does is the server's own doing.
    pub(super) fn handle_subscription_error(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        stanza: &Stanza,
    ) -> Result<(), StanzaError> {
        let item = cx.storage.roster_item(account, &stanza.from.to_bare())?;
        if item.is_some_and(|item| item.ask) {
            let sessions = self.sessions_in(account);
            let concerned = sessions.filter(|(_, s)| s.wants_roster || s.presence.is_some());
            let ids: Vec<_> = concerned.map(|(id, _)| id).collect();
            push_to_all(cx, ids, stanza);
        }
        Ok(())
    }

    /// An account is removed: its contacts are told (§3.2, §3.3).
    pub(super) fn end_subscriptions(&mut self, cx: &mut Cx, account: &BareJid) {
        loop {
            match self.tell_of_removed(cx) {
                Ok(true) => {}
                Ok(false) => break,
                // They are still noted, and told at the next start.
                Err(_) => {
                    log::error!("contacts of {account}, which was removed, could not be told");
                    break;
                }
            }
        }
    }

    /// Tells contacts of accounts that were removed, perhaps while the server did not run. `false`
    /// when nobody is left to be told.
    pub fn tell_of_removed(&mut self, cx: &mut Cx) -> Result<bool, StanzaError> {
        let ends = cx.storage.take_subscription_ends(ENDS_BATCH_MAX)?;
        for end in &ends {
            for (is_meant, kind) in [
                (end.unsubscribe, PresenceType::Unsubscribe),
                (end.unsubscribed, PresenceType::Unsubscribed),
            ] {
                if is_meant {
                    route_between(cx, kind, &end.account, &end.contact);
                }
            }
        }
        Ok(!ends.is_empty())
    }

    /// §2.5.2: the contact was removed from the roster, and with it all that there was with it.
    pub(super) fn break_off(&mut self, cx: &mut Cx, contact: &Contact<'_>) {
        let before = contact.standing;
        if before.to || before.pending_out {
            route_between(cx, PresenceType::Unsubscribe, contact.account, contact.jid);
        }
        if before.from || before.pending_in {
            route_between(cx, PresenceType::Unsubscribed, contact.account, contact.jid);
        }
        self.tell_of_change(cx, contact, Standing::default());
    }

    /// Stores what changes and pushes it.
    pub(super) fn settle(
        &mut self,
        cx: &mut Cx,
        contact: &Contact<'_>,
        after: Standing,
    ) -> Result<(), StanzaError> {
        let change = self.store(cx, contact, after)?;
        self.push_change(cx, contact.account, change);
        Ok(())
    }

    /// Stores a new state, then remembers it. Returns the roster item when that is another now.
    fn store(
        &mut self,
        cx: &mut Cx,
        contact: &Contact<'_>,
        after: Standing,
    ) -> Result<Option<(RosterItem, RosterVersion)>, StanzaError> {
        let before = contact.standing;
        if before.pending_in && !after.pending_in {
            cx.storage.request_remove(contact.account, contact.jid)?;
        }
        let visible = |s: Standing| (s.to, s.from, s.pending_out, s.approved);
        if visible(before) == visible(after) {
            return Ok(None);
        }
        let item = RosterItem {
            subscription: after.subscription(),
            ask: after.pending_out,
            approved: after.approved,
            ..contact.item.clone().unwrap_or_else(|| roster::new_item(contact.jid.clone()))
        };
        if contact.item.is_none() {
            roster::check_room(cx, contact.account, None, &item)?;
        }
        let version = cx.storage.roster_put(contact.account, &item)?;
        self.note_subscription(contact.account, contact.jid, item.subscription);
        Ok(Some((item, version)))
    }

    fn push_change(
        &self,
        cx: &mut Cx,
        account: &BareJid,
        change: Option<(RosterItem, RosterVersion)>,
    ) {
        if let Some((item, version)) = change {
            self.push_item(cx, account, roster::item_element(&item), &version.to_string());
        }
    }

    /// Who begins to see the account's presence is shown it (§3.1.5), who ceases to is told that
    /// its sessions are gone (§3.2.2, §3.3.3).
    pub(super) fn tell_of_change(&mut self, cx: &mut Cx, contact: &Contact<'_>, after: Standing) {
        let kind = match (contact.standing.from, after.from) {
            (false, true) => PresenceType::Available,
            (true, false) => PresenceType::Unavailable,
            _ => return,
        };
        self.show_presence(cx, contact.account, contact.jid, kind);
        // XEP-0163 §4.3.4, §7.1: so with its nodes.
        let told = match after.from {
            true => self.pep_welcome(cx, contact.account, contact.jid),
            false => self.pep_recheck(cx, contact.account, contact.jid),
        };
        if told.is_err() {
            log::warn!("the nodes of {} do not follow its subscriptions", contact.account);
        }
    }

    /// Sends the presence of each available session to a contact, or that it is gone; nothing of it
    /// to one that was blocked, which was told then that they are gone (XEP-0191 §3.3).
    pub(super) fn show_presence(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        contact: &BareJid,
        kind: PresenceType,
    ) {
        for (_, session, presence) in self.available_in(account) {
            if are_apart(cx, &session.full_jid, contact.as_jid()) {
                continue;
            }
            let mut shown = match kind {
                PresenceType::Available => presence.to_stanza(&session.full_jid),
                _ => Stanza::new(StanzaKind::Presence(kind), session.full_jid.clone(), None),
            };
            shown.to = Some(contact.clone().into());
            cx.route(shown);
        }
    }

    /// Gives a word to the sessions that it is for: a request to the available ones (§3.1.3), the
    /// others to those that are interested in the roster (§3.1.6, §3.2.3, §3.3.3).
    fn give_word(&self, cx: &mut Cx, account: &BareJid, word: Word, stanza: &Stanza) {
        let sessions = self.sessions_in(account).filter(|(_, session)| match word {
            Word::Subscribe => session.presence.is_some(),
            _ => session.wants_roster,
        });
        let ids: Vec<_> = sessions.map(|(id, _)| id).collect();
        push_to_all(cx, ids, stanza);
    }
}

fn word_of(stanza: &Stanza) -> Option<Word> {
    match stanza.kind {
        StanzaKind::Presence(kind) => Word::of(kind),
        _ => None,
    }
}

/// Sends one of the four words on behalf of an account.
fn route_between(cx: &mut Cx, kind: PresenceType, from: &BareJid, to: &BareJid) {
    let to: Jid = to.clone().into();
    cx.route(Stanza::new(StanzaKind::Presence(kind), from.clone().into(), Some(to)));
}

/// §3.1.2: a request to another server may have been lost without a word; it is made again whenever
/// a session becomes available, with an id. Here nothing is lost: a request is kept. That there is
/// no way there was said when it was first made.
pub(super) fn ask_again(cx: &mut Cx, account: &BareJid, awaited: &[BareJid]) {
    let config = Rc::clone(&cx.config);
    let is_away = |contact: &&BareJid| !config.is_own_domain(contact.domain());
    for contact in awaited.iter().filter(is_away).take(REPEATED_REQUESTS_MAX) {
        if are_apart(cx, account.as_jid(), contact.as_jid()) {
            continue;
        }
        let id = cx.random_hex(8);
        let kind = StanzaKind::Presence(PresenceType::Subscribe);
        let request = Stanza::new(kind, account.clone().into(), Some(contact.clone().into()));
        let _ = cx.send_out(&request.with_id(Some(id)));
    }
}

/// One serialisation for all, `to` as it was sent.
fn push_to_all(cx: &mut Cx, sessions: Vec<SessionId>, stanza: &Stanza) {
    let (Some(to), false) = (&stanza.to, sessions.is_empty()) else { return };
    let (envelope, to) = (Envelope::new(stanza), to_attribute(to));
    for session in sessions {
        cx.out.push_envelope(session, &envelope, &to);
    }
}
