//! Entering a room. Reads like XEP-0045 §7.2: the checks in one list, then what the newcomer gets
//! and what the others hear. Nothing of the room slips in between (§7.1).

use super::history::Wish;
use super::presence::{self, Notice};
use super::room::Room;
use crate::config::{Config, Whois};
use crate::credentials::is_same_secret;
use crate::cx::Cx;
use crate::ids::Target;
use crate::outbound::Envelope;
use crate::xml::Element;
use crate::xmpp::jid::prepare_nick;
use crate::xmpp::{
    Affiliation, BareJid, Condition, ErrorType, Jid, PresenceType, Stanza, StanzaError, ns,
};

/// Occupants that come over the limit when they are admins or owners (§7.2.9).
const ADMINS_OVER_LIMIT_MAX: usize = 20;

/// A request to enter, taken apart.
pub struct Join<'a> {
    /// How to reach the newcomer.
    pub target: Target,
    /// The presence.
    pub stanza: &'a Stanza,
    /// `<x xmlns='http://jabber.org/protocol/muc'/>`
    pub x: &'a Element,
    /// The seat it wants: `room@service/nick`.
    pub seat_jid: &'a Jid,
    /// Its real bare address.
    pub account: BareJid,
    /// The room was made for it just now.
    pub is_creator: bool,
}

/// The nick of a seat's address: something is seen of it (§17.1), and it is not too long.
pub fn check_nick(seat_jid: &Jid, config: &Config) -> Result<String, StanzaError> {
    let nick = seat_jid.resource().unwrap_or_default();
    let nick = prepare_nick(nick).map_err(|_| Condition::JidMalformed)?;
    super::check_text_len(config, nick.len())?;
    Ok(nick)
}

impl Room {
    /// §7.2, in this order.
    pub fn join(&mut self, cx: &mut Cx, join: &Join<'_>) -> Result<(), StanzaError> {
        let nick = check_nick(join.seat_jid, &cx.config)?; // §7.2.1, §17.1
        self.check_unlocked(&join.account)?; // §7.2.10
        self.check_banned(&join.account)?; // §7.2.7
        self.check_members_only(&join.account)?; // §7.2.6
        self.check_password(cx, join)?; // §7.2.5
        self.check_nick_free(&nick, &join.account)?; // §7.2.8
        self.check_not_reserved(&nick, &join.account)?; // §7.2.8
        self.check_capacity(cx, &nick, &join.account)?; // §7.2.9
        self.check_sessions(cx, &nick)?; // limits.sessions_per_account
        if self.occupants_count() == 0 {
            self.recall(cx)?;
        }
        self.spend(cx, &join.account)?; // limits.room_messages_per_second
        self.enter(cx, join);
        Ok(())
    }

    fn check_unlocked(&self, account: &BareJid) -> Result<(), Condition> {
        if self.is_locked_for(account) { Err(Condition::ItemNotFound) } else { Ok(()) }
    }

    fn check_banned(&self, account: &BareJid) -> Result<(), Condition> {
        let is_banned = self.affiliation_of(account) == Affiliation::Outcast;
        if is_banned { Err(Condition::Forbidden) } else { Ok(()) }
    }

    fn check_members_only(&self, account: &BareJid) -> Result<(), Condition> {
        let is_member = self.affiliation_of(account) >= Affiliation::Member;
        if self.options.members_only && !is_member {
            return Err(Condition::RegistrationRequired);
        }
        Ok(())
    }

    fn check_password(&mut self, cx: &Cx, join: &Join<'_>) -> Result<(), StanzaError> {
        // A server admin could read the password in the configuration form.
        let is_exempt = join.is_creator || self.is_server_admin(&join.account);
        if self.options.password.is_empty() || is_exempt {
            return Ok(());
        }
        let given = join.x.child("password", ns::MUC).map(Element::text).unwrap_or_default();
        let is_right = is_same_secret(given.as_bytes(), self.options.password.as_bytes());
        if is_right {
            return Ok(());
        }
        self.spend(cx, &join.account)?; // Nobody guesses fast.
        Err(Condition::NotAuthorized.into())
    }

    /// The nick may be shared by the sessions of one user only.
    fn check_nick_free(&self, nick: &str, account: &BareJid) -> Result<(), Condition> {
        match self.occupant_like(nick) {
            Some(holder) if holder.account != *account => Err(Condition::Conflict),
            _ => Ok(()),
        }
    }

    fn check_capacity(&self, cx: &Cx, nick: &str, account: &BareJid) -> Result<(), StanzaError> {
        // One more session of an occupant, or somebody whom no room keeps out.
        if self.occupant_like(nick).is_some() || self.is_server_admin(account) {
            return Ok(());
        }
        let limits = [self.options.occupants_max as usize, cx.config.limits.room_occupants];
        let max = limits.into_iter().filter(|max| *max > 0).min().unwrap_or(usize::MAX);
        let is_admin = self.affiliation_of(account) >= Affiliation::Admin;
        let max = max.saturating_add(if is_admin { ADMINS_OVER_LIMIT_MAX } else { 0 });
        if self.occupants_count() < max {
            return Ok(());
        }
        Err(StanzaError::new(Condition::ServiceUnavailable).with_type(ErrorType::Wait))
    }

    /// Accounts here have no more sessions anyway; those elsewhere may have as many as they like.
    fn check_sessions(&self, cx: &Cx, nick: &str) -> Result<(), Condition> {
        let max = cx.config.limits.sessions_per_account;
        let count = self.occupant_like(nick).map_or(0, |occupant| occupant.seats.len());
        if max > 0 && count >= max { Err(Condition::ResourceConstraint) } else { Ok(()) }
    }

    /// The newcomer is let in: it hears of all others, itself, the past and the subject; then the
    /// others hear of it.
    fn enter(&mut self, cx: &mut Cx, join: &Join<'_>) {
        let payload = presence::payload_of(&self.jid, join.stanza);
        let session_jid = &join.stanza.from;
        let nick = join.seat_jid.resource().unwrap_or_default();
        self.clear_nick(cx, nick);
        let key = match self.occupant_like(nick).map(|occupant| occupant.key) {
            Some(key) => key,
            None => self.add_occupant(cx, join.seat_jid.clone(), join.account.clone()),
        };
        self.add_seat(key, session_jid, join.target, payload);
        self.welcome(cx, key, join);
        // §7.2.2: the others, and the occupant's other sessions.
        self.tell_other_sessions(cx, key, session_jid);
        self.show_to_others(cx, key, false);
        self.show_applicants(cx, session_jid); // §9.9
    }

    /// The presence of an occupant for its own sessions but one.
    fn tell_other_sessions(&self, cx: &mut Cx, key: u64, session_jid: &Jid) {
        let Some(occupant) = self.occupant(key).filter(|occupant| occupant.seats.len() > 1) else {
            return;
        };
        let sees_jids = self.sees_jids(occupant);
        let (kind, notice) = (PresenceType::Available, Notice::default());
        let stanza = presence::build(occupant, kind, occupant.payload(), &notice, sees_jids, true);
        let envelope = Envelope::new(&stanza);
        for seat in occupant.seats.iter().filter(|seat| seat.jid != *session_jid) {
            seat.push(cx, &envelope);
        }
    }

    /// Everything that a session gets when it joins, in the order of §7.1.
    fn welcome(&mut self, cx: &mut Cx, key: u64, join: &Join<'_>) {
        let mav = join.x.child("mav", ns::MUC_AFFILIATIONS);
        let step = self.send_versions(cx, key, join.stanza, mav); // XEP-0463 §5.2.1
        let Some(occupant) = self.occupant(key) else { return };
        let Some(seat) = occupant.seat(&join.stanza.from).cloned() else { return };
        let sees_jids = self.sees_jids(occupant);
        for other in self.occupants_for_snapshots() {
            if other.key != key && other.is_shown {
                seat.push(cx, other.snapshot(sees_jids));
            }
        }
        let mut codes = Vec::new();
        if self.options.whois == Whois::Anyone {
            codes.push(100); // §7.2.3
        }
        if self.options.logged {
            codes.push(170); // §7.2.12
        }
        if join.is_creator {
            codes.push(201); // §10.1.1
        }
        let Some(occupant) = self.occupant(key) else { return };
        if join.seat_jid.resource() != Some(&occupant.nick) {
            codes.push(210); // §7.2.8: the user's own nick, in the letters it already has here.
        }
        let notice = Notice { codes: &codes, step: step.as_ref(), ..Notice::default() };
        let (kind, payload) = (PresenceType::Available, occupant.payload());
        let own = presence::build(occupant, kind, payload, &notice, sees_jids, true);
        seat.push(cx, &Envelope::new(&own.with_id(join.stanza.id.clone())));
        let wish = Wish::read(join.x.child("history", ns::MUC), cx.now);
        let to_chars = String::from_utf8_lossy(&seat.to).chars().count();
        let account = occupant.account.clone();
        for (from, message) in self.history.select(wish, to_chars) {
            if !cx.blocks.has_blocked(&account, from) {
                seat.push(cx, message);
            }
        }
        seat.push(cx, &Envelope::new(&self.subject_message()));
    }

    /// A join from a session that is in already: it gets everything again, the others hear only
    /// what has changed (§17.3). Another nick is a change of nick first.
    pub fn resync(&mut self, cx: &mut Cx, join: &Join<'_>) -> Result<(), StanzaError> {
        let session_jid = &join.stanza.from;
        let payload = presence::payload_of(&self.jid, join.stanza);
        let Some(occupant) = self.occupant_at(session_jid) else { return Ok(()) };
        let key = occupant.key;
        if occupant.nick != join.seat_jid.resource().unwrap_or_default() {
            self.change_nick(cx, session_jid, join.seat_jid, payload)?;
        } else if *occupant.payload() != payload {
            self.spend(cx, &join.account)?;
            self.set_payload(key, session_jid, payload);
            self.tell_other_sessions(cx, key, session_jid);
            self.show_to_others(cx, key, false);
        } else {
            self.set_payload(key, session_jid, payload);
        }
        if join.x.child("mav", ns::MUC_AFFILIATIONS).is_some() {
            self.catch_up(cx, key, session_jid); // XEP-0463 §5.2.1: no older version follows.
        }
        self.welcome(cx, key, join);
        self.show_applicants(cx, session_jid); // §9.9
        Ok(())
    }
}

/// The reply to a presence of somebody who believes to be in the room (§7.2.18).
pub fn out_of_step(stanza: &Stanza, affiliation: Affiliation) -> Option<Stanza> {
    let status = |code| presence::status(code);
    let reason = Element::new("reason", ns::MUC_USER).with_text("You are not in the room.");
    let item = Element::new("item", ns::MUC_USER)
        .with_attr("affiliation", affiliation.as_str())
        .with_attr("role", "none")
        .with_child(reason);
    let x = Element::new("x", ns::MUC_USER)
        .with_child(status(307))
        .with_child(status(333))
        .with_child(item)
        .with_child(status(110));
    let kind = crate::xmpp::StanzaKind::Presence(PresenceType::Unavailable);
    let reply = Stanza::new(kind, stanza.to.clone()?, Some(stanza.from.clone()));
    Some(reply.with_id(stanza.id.clone()).with_child(x))
}
