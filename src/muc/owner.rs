//! `muc#owner`: configuration and destruction (XEP-0045 §10.1, §10.2, §10.9). Whatever changes is
//! written first; then memory changes; then the result goes out, then the 104 message (WIRE 10),
//! then what becomes of the occupants.

use super::changes::{AffiliationChanges, RoleChanges};
use super::config_form::Draft;
use super::dispatch::Request;
use super::nicks::NickChanges;
use super::presence::Notice;
use super::room::Room;
use crate::config::{RoomOptions, Whois};
use crate::cx::Cx;
use crate::ids::Target;
use crate::storage::{StorageError, StoredRoom};
use crate::xml::Element;
use crate::xmpp::dataform::Submission;
use crate::xmpp::{Affiliation, BareJid, Condition, Jid, Role, Stanza, StanzaError, ns};

impl Room {
    /// Owners alone may do it (§10).
    pub fn check_owner(&self, account: &BareJid) -> Result<(), Condition> {
        let is_owner = self.affiliation_of(account) == Affiliation::Owner;
        if is_owner { Ok(()) } else { Err(Condition::Forbidden) }
    }

    /// A get: the form (§10.1.3, §10.2).
    pub fn owner_get(&self, account: &BareJid, query: &Element) -> Result<Element, StanzaError> {
        self.check_owner(account)?;
        if query.elements().next().is_some() {
            return Err(Condition::BadRequest.into());
        }
        Ok(Element::new("query", ns::MUC_OWNER).with_child(self.config_form()))
    }

    /// A set: a form that is submitted or cancelled, or the end of the room.
    pub fn owner_set(&mut self, cx: &mut Cx, request: &Request<'_>) -> Result<(), StanzaError> {
        let Request { origin, stanza, .. } = *request;
        self.check_owner(&request.account)?;
        let mut children = request.payload.elements();
        let (Some(child), None) = (children.next(), children.next()) else {
            return Err(Condition::BadRequest.into());
        };
        if child.is("destroy", ns::MUC_OWNER) {
            return self.destroy(cx, origin, stanza, child);
        }
        if !child.is("x", ns::DATA) {
            return Err(Condition::BadRequest.into());
        }
        match Submission::read(child, ns::MUC_ROOMCONFIG)? {
            Submission::Submit(form) => {
                let draft = self.draft(&cx.config, &form)?;
                self.configure(cx, origin, stanza, draft)
            }
            Submission::Cancel => {
                // §10.1.3: a room that was never configured is destroyed; §10.2: else no change.
                if self.lock.is_some() {
                    self.remove_all(cx, &Element::new("destroy", ns::MUC_USER));
                }
                cx.reply(origin, stanza, None);
                Ok(())
            }
        }
    }

    /// §10.9: those who are in hear of it, then the owner has the result.
    fn destroy(
        &mut self,
        cx: &mut Cx,
        origin: Target,
        stanza: &Stanza,
        request: &Element,
    ) -> Result<(), StanzaError> {
        let mut destroy = Element::new("destroy", ns::MUC_USER);
        if let Some(venue) = request.attr("jid") {
            let venue = Jid::parse(venue).map_err(|_| Condition::JidMalformed)?;
            destroy.set_attr("jid", venue.as_str());
        }
        for name in ["reason", "password"] {
            let child = request.child(name, ns::MUC_OWNER);
            if let Some(text) = super::check_reason(&cx.config, child)? {
                destroy.push(Element::new(name, ns::MUC_USER).with_text(text));
            }
        }
        self.end(cx, Some(&stanza.from.to_bare()), &destroy)?;
        cx.reply(origin, stanza, None);
        Ok(())
    }

    /// A submitted configuration, the first of a room or a later one.
    fn configure(
        &mut self,
        cx: &mut Cx,
        origin: Target,
        stanza: &Stanza,
        draft: Draft,
    ) -> Result<(), StanzaError> {
        self.backlog.check()?;
        let changes = self.listed_changes(&draft);
        self.check_server_admins(&stanza.from.to_bare(), &changes)?;
        if !changes.is_empty() {
            self.check_list(cx, &changes).map_err(|error| match error.condition {
                // §10.2: `conflict` where no owner remains; §10.1.3: a room never begins so.
                Condition::Conflict if self.lock.is_some() => Condition::NotAcceptable.into(),
                _ => error,
            })?;
            self.check_list_bytes(cx, &changes, &NickChanges::new())?;
        }
        self.take_name(cx)?;
        self.store_configuration(cx, &draft.options, &changes)?;
        self.lock = None; // §10.1.2, §10.1.3: now it exists.
        self.take_affiliations(&changes);
        let old = std::mem::replace(&mut self.options, draft.options);
        let bytes_max = cx.config.limits.room_history_bytes;
        self.history.trim(self.options.history_messages as usize, bytes_max);
        if old.whois != self.options.whois {
            self.touch_all();
        }
        if !self.options.moderated {
            self.voices.clear();
        }

        cx.reply(origin, stanza, None);
        let codes = codes(&old, &self.options, !changes.is_empty());
        if !codes.is_empty() {
            self.tell_status(cx, &codes);
        }
        self.settle_occupants(cx, &old, &changes, &stanza.from);
        Ok(())
    }

    /// Admins and owners of a form are full lists (§16.5.3). An owner who is in its list no more
    /// becomes an admin (§10.2), unless the list of admins came along without it; an admin who is
    /// in its list no more is a mere member where one must be one, else nobody.
    fn listed_changes(&self, draft: &Draft) -> AffiliationChanges {
        let mut changes = AffiliationChanges::new();
        let mere = if draft.options.members_only { Affiliation::Member } else { Affiliation::None };
        let ex_owner = if draft.admins.is_none() { Affiliation::Admin } else { mere };
        let lists = [
            (Affiliation::Admin, mere, &draft.admins),
            (Affiliation::Owner, ex_owner, &draft.owners),
        ];
        for (affiliation, lost, listed) in lists {
            let Some(listed) = listed else { continue };
            for jid in self.accounts_with(affiliation).filter(|jid| !listed.contains(jid)) {
                changes.entry(jid.clone()).or_insert((lost, None));
            }
            for jid in listed {
                let is_owner = self.affiliation_of(jid) == Affiliation::Owner;
                let stays = draft.owners.is_none() && is_owner;
                if !stays {
                    changes.insert(jid.clone(), (affiliation, None));
                }
            }
        }
        let now = |jid: &BareJid| self.affiliations.get(jid).map(|entry| entry.affiliation);
        changes.retain(|jid, (new, _)| now(jid).unwrap_or_default() != *new);
        changes
    }

    fn store_configuration(
        &mut self,
        cx: &mut Cx,
        options: &RoomOptions,
        changes: &AffiliationChanges,
    ) -> Result<(), StorageError> {
        match (self.is_stored, options.persistent) {
            (false, false) => return Ok(()),
            (false, true) => {
                let affiliations = self.affiliations_after(changes);
                let stored = StoredRoom { affiliations, ..self.to_stored(options.clone()) };
                self.store_whole(cx, &stored)?;
                self.store_changes(cx, &self.versioned(changes))?;
            }
            (true, false) => {
                self.keep_vcard(cx)?;
                cx.storage.room_remove(&self.jid)?;
            }
            (true, true) => {
                if self.options.archive && !options.archive {
                    cx.storage.archive_clear(self.archive_owner())?;
                }
                if *options != self.options {
                    cx.storage.room_options(&self.jid, options)?;
                }
                self.store_affiliations(cx, changes)?;
            }
        }
        self.is_stored = options.persistent;
        self.mark_written(cx);
        Ok(())
    }

    /// What a new configuration does to those who are in the room.
    fn settle_occupants(
        &mut self,
        cx: &mut Cx,
        old: &RoomOptions,
        changes: &AffiliationChanges,
        from: &Jid,
    ) {
        let mut roles = RoleChanges::new();
        if old.moderated && !self.options.moderated {
            // §5.1.2: in an unmoderated room there is nobody without voice.
            for visitor in self.occupants().filter(|occupant| occupant.role == Role::Visitor) {
                roles.insert(visitor.key, (Role::Participant, None));
            }
        }
        let actor = self.actor(from);
        // §10.2, status 322: nobody who is no member stays in a members-only room.
        let verdicts = self.verdicts(&roles, changes, &[322]);
        self.execute(cx, verdicts, Some(&actor));
        for (jid, (affiliation, _)) in changes {
            if self.versions.is_untold(jid) {
                self.tell_absent(cx, jid, *affiliation, None);
            }
        }
        if old.presence_broadcast != self.options.presence_broadcast {
            self.apply_broadcast(cx);
        }
        if old.whois != self.options.whois {
            // WIRE 24: moderators have seen the addresses before, and still do.
            for key in self.keys() {
                if self.occupant(key).is_some_and(|occupant| occupant.role != Role::Moderator) {
                    self.refresh(cx, key);
                }
            }
        }
    }

    /// Shows and hides occupants as `muc#roomconfig_presencebroadcast` now says.
    fn apply_broadcast(&mut self, cx: &mut Cx) {
        for key in self.keys() {
            let Some(occupant) = self.occupant(key) else { continue };
            let is_shown = self.shows(occupant.role);
            if occupant.is_shown == is_shown {
                continue;
            }
            if let Some(occupant) = self.occupant_mut(key) {
                occupant.is_shown = is_shown;
            }
            if is_shown {
                self.tell_change(cx, key, &Notice::default(), true);
            } else {
                self.tell_hidden(cx, key);
            }
        }
    }
}

/// The status codes of a change (§10.2.1): 104 for whatever is no matter of privacy (WIRE 12).
fn codes(old: &RoomOptions, new: &RoomOptions, list_changed: bool) -> Vec<u16> {
    let mut codes = Vec::new();
    let public_part = RoomOptions { whois: old.whois, logged: old.logged, ..new.clone() };
    if public_part != *old || list_changed {
        codes.push(104);
    }
    if old.logged != new.logged {
        codes.push(if new.logged { 170 } else { 171 });
    }
    if old.whois != new.whois {
        codes.push(if new.whois == Whois::Anyone { 172 } else { 173 });
    }
    codes
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::config::Config;
    use crate::cx::{Entropy, Now};
    use crate::outbound::Envelope;
    use crate::storage::{ArchiveFilter, ArchiveOwner, Storage};
    use crate::xmpp::{MessageType, StanzaKind};

    struct Zero;

    impl Entropy for Zero {
        fn fill(&mut self, bytes: &mut [u8]) {
            bytes.fill(0);
        }
    }

    #[test]
    fn an_archive_that_is_switched_off_is_emptied() {
        let mut cx =
            Cx::new(Rc::new(Config::default()), Storage::memory(), Box::new(Zero), Now::default());
        let jid = BareJid::parse("room@c").expect("an address");
        let options = RoomOptions { persistent: true, ..RoomOptions::default() };
        let mut room = Room::new(jid.clone(), 1, options.clone(), vec![1; 32]);
        room.store_whole(&mut cx, &room.to_stored(options.clone())).expect("stored");
        room.is_stored = true;
        let kind = StanzaKind::Message(MessageType::Groupchat);
        let message = Stanza::new(kind, jid.clone().into(), None)
            .with_child(Element::new("body", ns::CLIENT).with_text("x"))
            .with_child(crate::archives::stanza_id_element(&mut cx, &jid));
        room.archive(&mut cx, None, &message, &Envelope::new(&message)).expect("archived");
        let (owner, any) = (ArchiveOwner::Room(&jid), ArchiveFilter::default());
        let count = |cx: &mut Cx| cx.storage.archive_count(owner, &any);
        assert_eq!(count(&mut cx), Ok(1));
        let none = AffiliationChanges::new();
        let named = RoomOptions { name: "x".into(), ..options.clone() };
        room.store_configuration(&mut cx, &named, &none).expect("stored");
        assert_eq!(count(&mut cx), Ok(1));
        let off = RoomOptions { archive: false, ..options };
        room.store_configuration(&mut cx, &off, &none).expect("stored");
        assert_eq!(count(&mut cx), Ok(0));
    }

    #[test]
    fn status_codes() {
        let old = RoomOptions::default();
        let named = RoomOptions { name: "x".into(), ..old.clone() };
        let open = RoomOptions { whois: Whois::Anyone, ..old.clone() };
        let all = RoomOptions { logged: true, name: "x".into(), ..open.clone() };
        assert_eq!(codes(&old, &old, false), [0; 0]);
        assert_eq!(codes(&old, &old, true), [104]);
        assert_eq!(codes(&old, &named, false), [104]);
        assert_eq!(codes(&old, &open, false), [172]);
        assert_eq!(codes(&open, &old, false), [173]);
        assert_eq!(codes(&old, &all, false), [104, 170, 172]);
        assert_eq!(codes(&all, &open, false), [104, 171]);
    }
}
