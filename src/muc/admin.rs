//! `muc#admin`: lists of roles and affiliations, read and changed (XEP-0045 §8, §9, §10.3 to
//! §10.8, §17.4). The items of one set are all done or none: everything is checked, then written,
//! then changed, then told, in the order that each section demands (WIRE 25).

use super::changes::{AffiliationChanges, RoleChanges};
use super::dispatch::Request;
use super::nicks::{NickChanges, check_reservable};
use super::privilege::{self, Rank};
use super::room::Room;
use super::{check_reason, invite};
use crate::cx::Cx;
use crate::storage::AffiliationEntry;
use crate::xml::Element;
use crate::xmpp::{Affiliation, BareJid, Condition, Jid, Role, StanzaError, ns};

/// Bytes of the tags of an item in a list, at most.
const ITEM_TAGS_BYTES: usize = 70;

/// A decided set: nothing in it is refused any more.
#[derive(Default)]
struct Plan {
    roles: RoleChanges,
    affiliations: AffiliationChanges,
    nicks: NickChanges,
}

/// Reads an attribute's value: absent, or one of the known ones (else `bad-request`).
fn value<T>(
    item: &Element,
    name: &str,
    parse: fn(&str) -> Option<T>,
) -> Result<Option<T>, Condition> {
    let parsed = item.attr(name).map(|text| parse(text).ok_or(Condition::BadRequest));
    parsed.transpose()
}

/// The `nick` of an affiliation item (§9.3, §9.5): empty to take the reserved one away; left out,
/// it stays as it is. Whoever is not affiliated any more has none.
fn plan_nick(
    cx: &Cx,
    plan: &mut Plan,
    jid: BareJid,
    item: &Element,
    new: Affiliation,
) -> Result<(), StanzaError> {
    let Some(nick) = item.attr("nick").filter(|_| new >= Affiliation::Member) else {
        plan.nicks.remove(&jid);
        return Ok(());
    };
    if jid.local().is_none() {
        let error = StanzaError::new(Condition::NotAcceptable);
        return Err(error.with_text("a domain has no nick"));
    }
    let nick = match nick {
        "" => None,
        nick => Some(check_reservable(&cx.config, nick)?),
    };
    plan.nicks.insert(jid, nick);
    Ok(())
}

fn items(query: &Element) -> impl Iterator<Item = &Element> {
    query.elements().filter(|element| element.is("item", ns::MUC_ADMIN))
}

/// The refusal of an item names it (§8.4), so that of several the one to blame is known.
fn with_offender(mut error: StanzaError, item: &Element) -> StanzaError {
    let query = Element::new("query", ns::MUC_ADMIN).with_child(item.clone());
    error.extra_mut().payload = Some(query);
    error
}

impl Room {
    /// A get: one item that names the list (§8.5, §9.2, §9.5, §9.8, §10.5, §10.8).
    pub fn admin_list(&self, account: &BareJid, query: &Element) -> Result<Element, Condition> {
        let mut items = items(query);
        let (Some(item), None) = (items.next(), items.next()) else {
            return Err(Condition::BadRequest);
        };
        let rank = self.rank_of(account);
        let role = value(item, "role", Role::parse)?;
        let affiliation = value(item, "affiliation", Affiliation::parse)?;
        let list = Element::new("query", ns::MUC_ADMIN);
        match (role, affiliation) {
            (Some(role), None) => {
                privilege::check_role_list(rank, role)?;
                Ok(self.role_items(role).fold(list, Element::with_child))
            }
            (None, Some(affiliation)) => {
                privilege::check_affiliation_list(&self.options, rank, affiliation)?;
                Ok(self.affiliation_items(affiliation).fold(list, Element::with_child))
            }
            _ => Err(Condition::BadRequest),
        }
    }

    /// §17.4: nick, role, affiliation and the full address.
    fn role_items(&self, role: Role) -> impl Iterator<Item = Element> {
        let occupants = self.occupants().filter(move |occupant| occupant.role == role);
        occupants.flat_map(|occupant| {
            occupant.seats.iter().map(|seat| {
                Element::new("item", ns::MUC_ADMIN)
                    .with_attr("nick", occupant.nick.clone())
                    .with_attr("role", occupant.role.as_str())
                    .with_attr("affiliation", occupant.affiliation.as_str())
                    .with_attr("jid", seat.jid.as_str())
            })
        })
    }

    /// §17.4: affiliation and bare address, no role; a reserved nick but for outcasts.
    fn affiliation_items(&self, affiliation: Affiliation) -> impl Iterator<Item = Element> {
        let entries = self.affiliations.values();
        entries.filter(move |entry| entry.affiliation == affiliation).map(|entry| {
            let nick = entry.nick.as_deref().filter(|_| entry.affiliation != Affiliation::Outcast);
            let reason = entry.reason.as_deref();
            Element::new("item", ns::MUC_ADMIN)
                .with_attr("affiliation", entry.affiliation.as_str())
                .with_attr("jid", entry.jid.as_str())
                .with_attr_opt("nick", nick)
                .with_child_opt(
                    reason.map(|text| Element::new("reason", ns::MUC_ADMIN).with_text(text)),
                )
        })
    }

    /// A set.
    pub fn admin_set(&mut self, cx: &mut Cx, request: &Request<'_>) -> Result<(), StanzaError> {
        let Request { origin, stanza, .. } = *request;
        self.backlog.check()?;
        let plan = self.plan(cx, &stanza.from, request.payload)?;
        let actor = self.actor(&stanza.from);
        self.store_affiliations(cx, &plan.affiliations)?;
        self.store_nicks(cx, &plan.affiliations, &plan.nicks)?;
        let old = self.take_affiliations(&plan.affiliations);
        self.take_nicks(&plan.nicks);
        let verdicts = self.verdicts(&plan.roles, &plan.affiliations, &[321]);
        let here = self.present_among(&plan.affiliations);
        self.execute_with(cx, verdicts, Some(&actor), |cx| cx.reply(origin, stanza, None));
        for (jid, (affiliation, reason)) in &plan.affiliations {
            let before = old.get(jid).map_or(Affiliation::None, |entry| entry.affiliation);
            if self.versions.is_untold(jid) {
                self.tell_absent(cx, jid, *affiliation, reason.as_deref());
            }
            if before == *affiliation || here.contains(jid) {
                continue;
            }
            // §9.5: a new member of a members-only room is invited.
            let is_new = before == Affiliation::None && *affiliation == Affiliation::Member;
            if is_new && self.options.members_only && jid.local().is_some() {
                invite::invite_member(self, cx, &actor, jid, reason.as_deref());
            }
        }
        Ok(())
    }

    /// Reads and checks all items; an error refuses them all.
    fn plan(&self, cx: &Cx, from: &Jid, query: &Element) -> Result<Plan, StanzaError> {
        let mut plan = Plan::default();
        let account = from.to_bare();
        let rank = self.rank_of(&account);
        let mut count = 0;
        for item in items(query) {
            count += 1;
            let role = value(item, "role", Role::parse)?;
            let affiliation = value(item, "affiliation", Affiliation::parse)?;
            let reason = check_reason(&cx.config, item.child("reason", ns::MUC_ADMIN))?;
            let planned = match (role, affiliation) {
                (Some(role), None) => self.plan_role(&mut plan, rank, from, item, role, reason),
                (None, Some(new)) => {
                    let jid = self.plan_affiliation(&mut plan, rank, &account, item, new, reason);
                    jid.and_then(|jid| plan_nick(cx, &mut plan, jid, item, new))
                }
                // §17.4: never both; one of them there must be.
                _ => Err(Condition::BadRequest.into()),
            };
            planned.map_err(|error| with_offender(error, item))?;
        }
        if count == 0 {
            return Err(Condition::BadRequest.into());
        }
        self.check_server_admins(&account, &plan.affiliations)?;
        self.check_list(cx, &plan.affiliations)?;
        self.check_nicks(&plan.affiliations, &plan.nicks)?; // §9.3, §9.5
        self.check_list_bytes(cx, &plan.affiliations, &plan.nicks)?;
        Ok(plan)
    }

    fn plan_role(
        &self,
        plan: &mut Plan,
        rank: Rank,
        from: &Jid,
        item: &Element,
        role: Role,
        reason: Option<String>,
    ) -> Result<(), StanzaError> {
        let nick = item.attr("nick").ok_or(Condition::BadRequest)?;
        if rank.role < Role::Moderator && rank.affiliation < Affiliation::Admin {
            return Err(Condition::Forbidden.into()); // §8: before anything is told about nicks.
        }
        let nick = crate::xmpp::jid::prepare_resource(nick).map_err(|_| Condition::ItemNotFound)?;
        let target = self.occupant_named(&nick).ok_or(Condition::ItemNotFound)?;
        if role == Role::None && target.seat(from).is_some() {
            return Err(Condition::Conflict.into()); // §8.2: oneself.
        }
        if self.is_server_admin(&target.account) && !self.is_server_admin(&from.to_bare()) {
            return Err(Condition::NotAllowed.into()); // Above the owners of this room.
        }
        let target_rank = Rank { role: target.role, affiliation: target.affiliation };
        privilege::check_role(rank, target_rank, role)?;
        plan.roles.insert(target.key, (role, reason));
        Ok(())
    }

    fn plan_affiliation(
        &self,
        plan: &mut Plan,
        rank: Rank,
        account: &BareJid,
        item: &Element,
        new: Affiliation,
        reason: Option<String>,
    ) -> Result<BareJid, StanzaError> {
        let jid = item.attr("jid").ok_or(Condition::BadRequest)?;
        if rank.affiliation < Affiliation::Admin {
            return Err(Condition::Forbidden.into()); // §9
        }
        // §10.3 and others: a full address stands for its bare one.
        let jid = Jid::parse(jid).map_err(|_| Condition::JidMalformed)?.to_bare();
        if jid == *account && new == Affiliation::Outcast {
            return Err(Condition::Conflict.into()); // §9.1
        }
        let old = self.affiliations.get(&jid).map_or(Affiliation::None, |entry| entry.affiliation);
        privilege::check_affiliation(rank.affiliation, old, new)?;
        if jid.local().is_none() && new >= Affiliation::Admin {
            return Err(Condition::NotAllowed.into()); // A domain is banned or a member (§9.2).
        }
        plan.affiliations.insert(jid.clone(), (new, reason));
        Ok(jid)
    }

    /// A server admin is never banned, it would be an owner all the same; and what it has in this
    /// room is taken from it by server admins alone.
    pub fn check_server_admins(
        &self,
        actor: &BareJid,
        changes: &AffiliationChanges,
    ) -> Result<(), Condition> {
        let is_refused = |(jid, (new, _)): (&BareJid, &(Affiliation, _))| {
            let old = self.affiliations.get(jid).map(|entry| entry.affiliation);
            let is_less = *new < old.unwrap_or_default() && !self.is_server_admin(actor);
            self.is_server_admin(jid) && (is_less || *new == Affiliation::Outcast)
        };
        if changes.iter().any(is_refused) { Err(Condition::NotAllowed) } else { Ok(()) }
    }

    /// What holds for the list as a whole: an owner remains, and it does not grow without bound.
    pub fn check_list(&self, cx: &Cx, changes: &AffiliationChanges) -> Result<(), StanzaError> {
        if changes.is_empty() {
            return Ok(());
        }
        let becomes_owner = changes.values().any(|(new, _)| *new == Affiliation::Owner);
        // A room may have lost its owner with the account; server admins manage it then.
        let mut owners = self.accounts_with(Affiliation::Owner).peekable();
        let had_owner = owners.peek().is_some();
        if had_owner && !becomes_owner && owners.all(|owner| changes.contains_key(owner)) {
            return Err(Condition::Conflict.into()); // §10.4
        }
        let is_here = |jid: &BareJid| self.affiliations.contains_key(jid);
        let (mut added, mut removed) = (0, 0);
        for (jid, (new, _)) in changes {
            match (is_here(jid), *new) {
                (false, Affiliation::None) => {}
                (false, _) => added += 1,
                (true, Affiliation::None) => removed += 1,
                (true, _) => {}
            }
        }
        let max = cx.config.limits.room_affiliations;
        if max > 0 && added > removed && self.affiliations.len() + added - removed > max {
            return Err(Condition::ResourceConstraint.into());
        }
        Ok(())
    }

    /// What holds for its texts: a list that is read goes out as one stanza.
    pub fn check_list_bytes(
        &self,
        cx: &Cx,
        changes: &AffiliationChanges,
        nicks: &NickChanges,
    ) -> Result<(), StanzaError> {
        let bytes = |entry: &AffiliationEntry| {
            let texts = [Some(entry.jid.as_str()), entry.nick.as_deref(), entry.reason.as_deref()];
            let texts = texts.into_iter().flatten();
            ITEM_TAGS_BYTES + texts.map(super::escaped_bytes).sum::<usize>()
        };
        let (mut before, mut after) = (0, 0);
        for (jid, change) in changes {
            before += self.affiliations.get(jid).map_or(0, bytes);
            if change.0 != Affiliation::None {
                let entry = self.entry_after(jid, change);
                let nick = nicks.get(jid).cloned().unwrap_or_else(|| entry.nick.clone());
                after += bytes(&AffiliationEntry { nick, ..entry });
            }
        }
        if after <= before {
            return Ok(());
        }
        let all: usize = self.affiliations.values().map(bytes).sum();
        super::check_answer_bytes(&cx.config, all + after - before)
    }
}
