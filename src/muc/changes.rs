//! Changes of roles and affiliations once they are decided: what becomes of the occupants, and
//! who hears of it (XEP-0045 §5.1.3, §8, §9, §10). Who may change what is in privilege.rs; what is
//! asked for is read in admin.rs and owner.rs.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use super::occupant::{Occupant, Payload};
use super::presence::{self, Actor, Audiences, Notice, Sight};
use super::privilege;
use super::room::Room;
use crate::cx::Cx;
use crate::storage::{AffiliationEntry, StorageError};
use crate::xml::Element;
use crate::xmpp::{Affiliation, BareJid, MessageType, Role, Stanza, StanzaKind, ns};

/// New roles of occupants, with the reasons.
pub type RoleChanges = BTreeMap<u64, (Role, Option<String>)>;
/// New affiliations of accounts and domains, with the reasons.
pub type AffiliationChanges = BTreeMap<BareJid, (Affiliation, Option<String>)>;

/// What becomes of an occupant.
pub struct Verdict {
    key: u64,
    affiliation: Affiliation,
    /// `None`: it is taken out.
    role: Role,
    codes: &'static [u16],
    reason: Option<String>,
}

impl Verdict {
    /// True for a kick: the order of §8.2 differs from all others.
    fn is_kick(&self) -> bool {
        self.codes == [307]
    }
}

/// A verdict that has been carried out and is to be told.
struct Changed<'a> {
    verdict: &'a Verdict,
    /// Before it.
    saw_jids: bool,
    /// Before it.
    was_shown: bool,
}

impl Room {
    /// The entry that a change makes; `Affiliation::None` is the end of it.
    pub fn entry_after(
        &self,
        jid: &BareJid,
        change: &(Affiliation, Option<String>),
    ) -> AffiliationEntry {
        let (affiliation, reason) = change.clone();
        let nick = self.affiliations.get(jid).and_then(|entry| entry.nick.clone());
        // An outcast has no reserved nick (§9.1).
        let nick = nick.filter(|_| affiliation != Affiliation::Outcast);
        AffiliationEntry { jid: jid.clone(), affiliation, nick, reason }
    }

    /// All entries as they will be.
    pub fn affiliations_after(&self, changes: &AffiliationChanges) -> Vec<AffiliationEntry> {
        let others = self.affiliations.values().filter(|entry| !changes.contains_key(&entry.jid));
        let changed = changes.iter().map(|(jid, change)| self.entry_after(jid, change));
        let remaining = changed.filter(|entry| entry.affiliation != Affiliation::None);
        others.cloned().chain(remaining).collect()
    }

    /// Takes changes over that are written; what is returned are the entries that were there.
    pub fn take_affiliations(
        &mut self,
        changes: &AffiliationChanges,
    ) -> BTreeMap<BareJid, AffiliationEntry> {
        let versioned = self.versioned(changes);
        self.take_changes(versioned);
        let mut old = BTreeMap::new();
        for (jid, change) in changes {
            let entry = self.entry_after(jid, change);
            let after = entry.affiliation;
            let before = match after {
                Affiliation::None => self.affiliations.remove(jid),
                _ => self.affiliations.insert(jid.clone(), entry),
            };
            if after != before.as_ref().map(|before| before.affiliation).unwrap_or_default() {
                self.voices.forget(jid);
            }
            if after >= Affiliation::Member {
                self.applicants.forget(jid);
            }
            old.extend(before.map(|before| (jid.clone(), before)));
        }
        old
    }

    /// Writes changed entries to the database, when the room is there.
    pub fn store_affiliations(
        &mut self,
        cx: &mut Cx,
        changes: &AffiliationChanges,
    ) -> Result<(), StorageError> {
        if !self.is_stored {
            return Ok(());
        }
        for (jid, change) in changes {
            let entry = self.entry_after(jid, change);
            let is_removal = entry.affiliation == Affiliation::None;
            let is_same = match self.affiliations.get(jid) {
                None => is_removal,
                Some(before) => *before == entry,
            };
            if !is_same {
                cx.storage.room_affiliation(&self.jid, &entry)?;
                self.mark_written(cx);
            }
        }
        let versioned = self.versioned(changes);
        self.store_changes(cx, &versioned)
    }

    /// The accounts among the changes that are in the room.
    pub fn present_among(&self, changes: &AffiliationChanges) -> BTreeSet<BareJid> {
        let accounts = self.occupants().map(|occupant| &occupant.account);
        accounts.filter(|account| changes.contains_key(*account)).cloned().collect()
    }

    /// What becomes of each occupant whom a change concerns, with the list and the options as
    /// they are now. `outsider_code` is for those who are no members of a members-only room.
    pub fn verdicts(
        &self,
        roles: &RoleChanges,
        affiliations: &AffiliationChanges,
        outsider_code: &'static [u16],
    ) -> Vec<Verdict> {
        let domains = affiliations.iter().filter(|(jid, _)| jid.local().is_none());
        let domains: HashMap<_, _> = domains.map(|(jid, change)| (jid.as_str(), change)).collect();
        let mut verdicts = Vec::new();
        for occupant in self.occupants() {
            let own = affiliations.get(&occupant.account);
            let change = own.or_else(|| domains.get(occupant.account.domain()).copied());
            let affiliation = match change {
                Some(_) => self.affiliation_of(&occupant.account),
                None => occupant.affiliation,
            };
            let mut reason = change.and_then(|(_, reason)| reason.clone());
            let mut codes: &'static [u16] = &[];
            let (old, role) = (occupant.affiliation, occupant.role);
            let mut new_role = role;
            if affiliation == Affiliation::Outcast {
                (new_role, codes) = (Role::None, &[301]); // §9.1
            } else if self.options.members_only && affiliation < Affiliation::Member {
                (new_role, codes) = (Role::None, outsider_code); // §9.4, §10.2
            } else {
                if affiliation != old {
                    new_role = privilege::role_after(&self.options, old, affiliation, role);
                }
                if let Some((asked, why)) = roles.get(&occupant.key) {
                    reason = why.clone().or(reason);
                    new_role = *asked;
                    codes = if new_role == Role::None { &[307] } else { &[] }; // §8.2
                }
            }
            if (new_role, affiliation) != (role, old) {
                let (key, role) = (occupant.key, new_role);
                verdicts.push(Verdict { key, affiliation, role, codes, reason });
            }
        }
        verdicts
    }

    /// The admins of the server are others now: those who gain or lose the rank hear of it.
    pub fn set_admins(&mut self, cx: &mut Cx, admins: Rc<[BareJid]>) {
        let old = std::mem::replace(&mut self.admins, admins);
        if old == self.admins {
            return;
        }
        let is_other = |jid: &BareJid| old.contains(jid) != self.admins.contains(jid);
        let others = old.iter().chain(self.admins.iter()).filter(|jid| is_other(jid));
        let changes = others.map(|jid| (jid.clone(), (self.affiliation_of(jid), None))).collect();
        let verdicts = self.verdicts(&RoleChanges::new(), &changes, &[321]);
        self.execute(cx, verdicts, None);
    }

    /// Carries out verdicts, of which nobody waits for a result.
    pub fn execute(&mut self, cx: &mut Cx, verdicts: Vec<Verdict>, actor: Option<&Actor>) {
        self.execute_with(cx, verdicts, actor, |_| {});
    }

    /// Carries out verdicts: those who are kicked hear of it, then `reply` is called (§8.2), then
    /// all others hear. Everything is changed before it is told, so that nobody is told anything
    /// by a right that it has just lost; and nobody who is about to go hears of the others.
    pub fn execute_with(
        &mut self,
        cx: &mut Cx,
        verdicts: Vec<Verdict>,
        actor: Option<&Actor>,
        reply: impl FnOnce(&mut Cx),
    ) {
        let is_removal = |verdict: &Verdict| verdict.role == Role::None;
        let (removals, others): (Vec<_>, Vec<_>) = verdicts.into_iter().partition(is_removal);
        let (kicks, removals): (Vec<_>, Vec<_>) = removals.into_iter().partition(Verdict::is_kick);
        let mut removed = self.take_out(cx, &kicks, actor);
        let changed: Vec<_> =
            others.iter().filter_map(|verdict| self.change(cx, verdict)).collect();
        reply(cx);
        removed.extend(self.take_out(cx, &removals, actor));
        self.tell_taken_out(cx, &removed, actor);
        for change in &changed {
            self.tell_changed(cx, change);
        }
    }

    /// The first half of a removal: occupants are taken out, and hear of it (§8.2).
    fn take_out<'a>(
        &mut self,
        cx: &mut Cx,
        removals: &'a [Verdict],
        actor: Option<&Actor>,
    ) -> Vec<(Occupant, &'a Verdict)> {
        let mut removed = Vec::new();
        for verdict in removals {
            self.set_affiliation(verdict);
            let occupant = self.expel(cx, verdict.key, &verdict.notice(actor));
            removed.extend(occupant.map(|occupant| (occupant, verdict)));
        }
        removed
    }

    /// The second half: those who remain hear of it.
    fn tell_taken_out(
        &mut self,
        cx: &mut Cx,
        removed: &[(Occupant, &Verdict)],
        actor: Option<&Actor>,
    ) {
        for (occupant, verdict) in removed.iter().filter(|(occupant, _)| occupant.is_shown) {
            let step = self.take_step(&occupant.account);
            let notice = Notice { step: step.as_ref(), ..verdict.notice(actor) };
            self.tell_gone(cx, occupant, &Payload::default(), &notice);
        }
    }

    /// An occupant has another role or affiliation.
    fn change<'a>(&mut self, cx: &Cx, verdict: &'a Verdict) -> Option<Changed<'a>> {
        let occupant = self.occupant(verdict.key)?;
        let (saw_jids, was_shown) = (self.sees_jids(occupant), occupant.is_shown);
        let is_shown = self.shows(verdict.role);
        let gains_sight = !saw_jids && privilege::sees_jids(&self.options, verdict.role);
        self.set_affiliation(verdict);
        let occupant = self.occupant_mut(verdict.key)?;
        occupant.has_untold_sight = gains_sight;
        occupant.set_role(verdict.role, cx.storage.turn_number());
        occupant.is_shown = is_shown;
        Some(Changed { verdict, saw_jids, was_shown })
    }

    /// It hears of it, and all others.
    fn tell_changed(&mut self, cx: &mut Cx, change: &Changed<'_>) {
        let Changed { verdict, saw_jids, was_shown } = *change;
        let Some(occupant) = self.occupant_mut(verdict.key) else { return };
        occupant.has_untold_sight = false;
        let Some(occupant) = self.occupant(verdict.key) else { return };
        let (is_shown, sees_jids) = (occupant.is_shown, self.sees_jids(occupant));
        let account = occupant.account.clone();
        let step = if is_shown { self.take_step(&account) } else { None };
        // An actor is named where somebody is taken out (§8.2, §9.1, §9.4).
        let notice = Notice { step: step.as_ref(), ..verdict.notice(None) };
        // Versions are told in their order: with the others' when that must wait.
        let own_step = notice.step.filter(|_| !self.must_wait(cx));
        self.tell_self_alone(cx, verdict.key, &Notice { step: own_step, ..notice });
        self.tell_change(cx, verdict.key, &notice, !was_shown);
        if was_shown && !is_shown {
            self.tell_hidden(cx, verdict.key);
        }
        if sees_jids != saw_jids {
            // §5.1: everybody's presence again, with or without the addresses.
            self.refresh(cx, verdict.key);
        }
    }

    fn set_affiliation(&mut self, verdict: &Verdict) {
        if let Some(occupant) = self.occupant_mut(verdict.key) {
            occupant.affiliation = verdict.affiliation;
        }
    }

    /// The presence of an occupant is not broadcast any more: for the others it is gone.
    pub fn tell_hidden(&mut self, cx: &mut Cx, key: u64) {
        let Some(occupant) = self.occupant(key).cloned() else { return };
        self.retire_news(&occupant);
        self.tell_gone(cx, &occupant, &Payload::default(), &Notice::default());
    }

    /// Tells of an affiliation of somebody who is not in the room (§10.3 and others): to all, or
    /// to moderators where real addresses are theirs alone.
    pub fn tell_absent(
        &mut self,
        cx: &mut Cx,
        jid: &BareJid,
        affiliation: Affiliation,
        reason: Option<&str>,
    ) {
        let id = super::ids::stanza_id(cx.entropy.as_mut());
        let message = self.absent_message(jid, affiliation, reason).with_id(Some(id));
        let step = self.take_step(jid);
        if self.must_wait(cx) {
            self.queue_absent(cx, message, step);
            return;
        }
        let mut audiences = Audiences::default();
        for viewer in self.occupants().filter(|viewer| self.sees_jids(viewer)) {
            for seat in &viewer.seats {
                let wants_step = step.is_some() && self.gets_versions(viewer, seat);
                let sight = Sight::of(true, wants_step);
                seat.push(cx, audiences.get_message(&message, step.as_ref(), sight));
            }
        }
    }

    /// The message about somebody who is not in the room, without an id.
    pub fn absent_message(
        &self,
        jid: &BareJid,
        affiliation: Affiliation,
        reason: Option<&str>,
    ) -> Stanza {
        let mut x = Element::new("x", ns::MUC_USER);
        if affiliation == Affiliation::Outcast {
            x.push(presence::status(301));
        } else if affiliation == Affiliation::None && self.options.members_only {
            x.push(presence::status(321));
        }
        let mut item = Element::new("item", ns::MUC_USER)
            .with_attr("jid", jid.as_str())
            .with_attr("affiliation", affiliation.as_str())
            .with_attr("role", "none");
        if let Some(reason) = reason {
            item.push(Element::new("reason", ns::MUC_USER).with_text(reason));
        }
        x.push(item);
        let kind = StanzaKind::Message(MessageType::Normal);
        Stanza::new(kind, self.jid.clone().into(), None).with_child(x)
    }

    /// The person behind a change: with the nick it has here, if any.
    pub fn actor(&self, session_jid: &crate::xmpp::Jid) -> Actor {
        let account = session_jid.to_bare();
        let here = self.occupant_at(session_jid);
        let here = here.or_else(|| self.occupants().find(|o| o.account == account));
        Actor { nick: here.map(|occupant| occupant.nick.clone()), account }
    }
}

impl Verdict {
    /// What the presences say.
    pub fn notice<'a>(&'a self, actor: Option<&'a Actor>) -> Notice<'a> {
        Notice {
            codes: self.codes,
            new_nick: None,
            actor,
            reason: self.reason.as_deref(),
            step: None,
        }
    }
}
