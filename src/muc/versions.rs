//! Versions of the affiliation list (XEP-0463): who comes back hears only what has changed.
//!
//! A version is the number of changes before it, as a string that nobody can guess or read: masked
//! and tagged with the secret of the room, so that a room made anew knows none of the old ones.
//! Only who asks for versions when joining is sent any, and only who may read some list: everybody
//! gets the part that the lists of §9 and §10 would show (advisory a14), and `forbidden` when that is none.
//! A difference holds states as they are now and the removal of what its reader knew, so that
//! nothing of what came and went in between is disclosed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use super::changes::AffiliationChanges;
use super::ids;
use super::occupant::{Occupant, Seat};
use super::privilege::{self, Rank};
use super::room::Room;
use crate::cx::Cx;
use crate::storage::{StorageError, VersionedChange};
use crate::xml::Element;
use crate::xmpp::{
    Affiliation, BareJid, Condition, MessageType, Stanza, StanzaError, StanzaKind, ns,
};

/// So many changes are remembered; older versions get the whole list.
const CHANGES_MAX: u64 = 1_000;
/// A response is split into messages of about this size.
const MESSAGE_BYTES_MAX: usize = 50_000;

/// From one version to the next; `since` is absent where all is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    since: Option<Rc<str>>,
    until: Rc<str>,
}

impl Step {
    /// `<mav/>`
    pub fn to_element(&self) -> Element {
        Element::new("mav", ns::MUC_AFFILIATIONS)
            .with_attr_opt("since", self.since.as_deref())
            .with_attr("until", &*self.until)
    }
}

/// The latest changes of an affiliation list.
#[derive(Default)]
pub struct Versions {
    /// Oldest first, those of one request under its last number.
    log: VecDeque<VersionedChange>,
    /// The changes there ever were: the version of the list.
    number: u64,
    /// The version that was last given to a change on its way to those in the room.
    told: u64,
    /// Accounts whose change in the latest request was not given a version yet.
    untold: BTreeSet<BareJid>,
}

impl Versions {
    /// Takes over the changes of one request.
    fn push(&mut self, changes: Vec<VersionedChange>) {
        self.told = self.number;
        self.untold = changes.iter().map(|change| change.jid.clone()).collect();
        self.number += changes.len() as u64;
        self.log.extend(changes);
        let floor = self.floor();
        while self.log.front().is_some_and(|change| change.number <= floor) {
            self.log.pop_front();
        }
    }

    /// The oldest version to which the difference is known.
    fn floor(&self) -> u64 {
        self.number.saturating_sub(CHANGES_MAX)
    }

    /// True for an account that has just been changed, of which nobody was told.
    pub fn is_untold(&self, jid: &BareJid) -> bool {
        self.untold.contains(jid)
    }

    /// What became of each account since a version: the affiliation it had, the one it has.
    fn since(&self, number: u64) -> BTreeMap<&BareJid, (Affiliation, Affiliation)> {
        let mut changes = BTreeMap::new();
        for change in self.log.iter().filter(|change| change.number > number) {
            let entry = changes.entry(&change.jid).or_insert((change.before, change.after));
            entry.1 = change.after;
        }
        changes
    }
}

/// The lists that somebody may read (XEP-0463 §5.2.3).
fn readable(room: &Room, rank: Rank) -> Vec<Affiliation> {
    use Affiliation::{Admin, Member, Outcast, Owner};
    let may =
        |list: &Affiliation| privilege::check_affiliation_list(&room.options, rank, *list).is_ok();
    [Outcast, Member, Admin, Owner].into_iter().filter(may).collect()
}

impl Room {
    fn version(&self, number: u64) -> Rc<str> {
        ids::list_version(&self.secret, number, None).into()
    }

    /// The number of a version that is known.
    fn version_number(&self, version: &str) -> Option<u64> {
        let number = ids::list_version_number(&self.secret, version)?;
        (self.versions.floor()..=self.versions.number).contains(&number).then_some(number)
    }

    /// The changes that a request makes, under the version to come.
    pub fn versioned(&self, changes: &AffiliationChanges) -> Vec<VersionedChange> {
        let before =
            |jid| self.affiliations.get(jid).map(|entry| entry.affiliation).unwrap_or_default();
        let changes = changes.iter().map(|(jid, (after, _))| (before(jid), jid.clone(), *after));
        let changes: Vec<_> = changes.filter(|(before, _, after)| before != after).collect();
        let number = self.versions.number + changes.len() as u64;
        let change = |(before, jid, after)| VersionedChange { number, jid, before, after };
        changes.into_iter().map(change).collect()
    }

    /// Writes the changes that a request makes to a stored room.
    pub fn store_changes(
        &mut self,
        cx: &mut Cx,
        changes: &[VersionedChange],
    ) -> Result<(), StorageError> {
        for change in changes {
            cx.storage.room_version_add(&self.jid, change)?;
        }
        match changes.last() {
            Some(change) => {
                let floor = change.number.saturating_sub(CHANGES_MAX);
                cx.storage.room_versions_trim(&self.jid, floor)
            }
            None => Ok(()),
        }
    }

    /// Takes over the changes that a request makes: the list has a new version.
    pub fn take_changes(&mut self, changes: Vec<VersionedChange>) {
        self.versions.push(changes);
    }

    /// The version that the change of an account makes, when it is first told of. The versions of
    /// one request are given in the order of telling, and the last one is that of the list.
    pub fn take_step(&mut self, jid: &BareJid) -> Option<Step> {
        if !self.versions.untold.remove(jid) {
            return None;
        }
        let since = self.versions.told;
        let is_last = self.versions.untold.is_empty();
        let until = if is_last { self.versions.number } else { since + 1 };
        self.versions.told = until;
        Some(Step { since: Some(self.version(since)), until: self.version(until) })
    }

    /// True when a viewer may read any list, and so may have versions.
    pub fn may_read_versions(&self, viewer: &Occupant) -> bool {
        let rank = Rank { role: viewer.role, affiliation: viewer.affiliation };
        self.sees_jids(viewer) && !readable(self, rank).is_empty()
    }

    /// True when a seat asked for versions, and may have them.
    pub fn gets_versions(&self, viewer: &Occupant, seat: &Seat) -> bool {
        seat.wants_versions && self.may_read_versions(viewer)
    }

    /// Answers `<mav/>` of a join, before any presence; returns what its own presence is to say.
    pub fn send_versions(
        &mut self,
        cx: &mut Cx,
        key: u64,
        join: &Stanza,
        mav: Option<&Element>,
    ) -> Option<Step> {
        let response = match mav {
            Some(mav) => self.versions_for(self.occupant(key)?, mav),
            None => Ok(Vec::new()),
        };
        let (messages, error) = match response {
            Ok(messages) => (messages, None),
            Err(condition) => (Vec::new(), Some(condition)),
        };
        let wants_versions = mav.is_some() && error.is_none();
        let seats = &mut self.occupants.get_mut(&key)?.seats;
        let seat = seats.iter_mut().find(|seat| seat.jid == join.from)?;
        seat.wants_versions = wants_versions;
        let seat = seat.clone();
        let room = self.jid.clone();
        if let Some(condition) = error {
            let error = StanzaError { by: Some(room.clone()), ..condition.into() };
            let kind = StanzaKind::Message(MessageType::Error);
            let refusal = Stanza::new(kind, room.into(), None).with_id(join.id.clone());
            seat.send(cx, refusal.with_child(error.to_element()));
            return None;
        }
        for x in messages {
            let kind = StanzaKind::Message(MessageType::Normal);
            seat.send(cx, Stanza::new(kind, self.jid.clone().into(), None).with_child(x));
        }
        let until = self.version(self.versions.number);
        wants_versions.then_some(Step { since: None, until })
    }

    /// The `muc#user` elements of the response (XEP-0463 §5.2.1).
    fn versions_for(&self, reader: &Occupant, mav: &Element) -> Result<Vec<Element>, Condition> {
        let rank = Rank { role: reader.role, affiliation: reader.affiliation };
        let lists = readable(self, rank);
        if !self.may_read_versions(reader) {
            return Err(Condition::Forbidden);
        }
        let since = mav.attr("since");
        let Some(number) = since.and_then(|version| self.version_number(version)) else {
            return Ok(self.split_items(None, self.full_items(&lists)));
        };
        if number == self.versions.number {
            return Ok(Vec::new());
        }
        // XEP-0463 §6: the past is for those who had a part in it.
        let lists_then = readable(self, self.rank_then(reader, number));
        if lists_then.is_empty() {
            return Err(Condition::Forbidden);
        }
        let items = self.changed_items(&lists, number);
        // There is no empty difference; and whose sight has changed must be told all of it.
        if lists_then != lists || items.is_empty() {
            return Ok(self.split_items(None, self.full_items(&lists)));
        }
        Ok(self.split_items(since.map(Rc::from), items))
    }

    /// What somebody was in an earlier version: the role is that with which it would have entered.
    fn rank_then(&self, reader: &Occupant, number: u64) -> Rank {
        let changes = self.versions.since(number);
        let domain = BareJid::parse(reader.account.domain()).ok();
        let own = changes.get(&reader.account);
        let of_domain = domain.as_ref().and_then(|domain| changes.get(domain));
        let has_own = self.affiliations.contains_key(&reader.account);
        let then = match (own, of_domain) {
            (Some((before, _)), _) if *before != Affiliation::None => Some(*before),
            (_, Some((before, _))) if own.is_some() || !has_own => Some(*before),
            (Some(_), None) => {
                let entry = domain.as_ref().and_then(|domain| self.affiliations.get(domain));
                Some(entry.map(|entry| entry.affiliation).unwrap_or_default())
            }
            _ => None,
        };
        match then {
            None => Rank { role: reader.role, affiliation: reader.affiliation },
            Some(affiliation) => {
                Rank { role: privilege::default_role(&self.options, affiliation), affiliation }
            }
        }
    }

    fn full_items(&self, lists: &[Affiliation]) -> Vec<Element> {
        let entries = self.affiliations.values();
        let entries = entries.filter(|entry| lists.contains(&entry.affiliation));
        entries.map(|entry| item(&entry.jid, entry.affiliation)).collect()
    }

    fn changed_items(&self, lists: &[Affiliation], number: u64) -> Vec<Element> {
        // The reader saw real addresses, and so was told of every member, admin and owner.
        let knew = |before| before >= Affiliation::Member || lists.contains(&before);
        let changes = self.versions.since(number).into_iter();
        let changes = changes.filter(|(_, (before, after))| before != after);
        let items = changes.filter_map(|(jid, (before, after))| {
            if lists.contains(&after) {
                return Some(item(jid, after));
            }
            knew(before).then(|| item(jid, Affiliation::None))
        });
        items.collect()
    }

    /// Splits items into messages, each of which goes on where the last one ended. A version in
    /// between is one that this room does not know when asked: who has it gets the whole list.
    fn split_items(&self, since: Option<Rc<str>>, items: Vec<Element>) -> Vec<Element> {
        let mut parts: Vec<Vec<Element>> = vec![Vec::new()];
        let mut bytes = 0;
        for item in items {
            let item_bytes = 50 + item.attr("jid").map_or(0, str::len);
            if bytes + item_bytes > MESSAGE_BYTES_MAX {
                parts.push(Vec::new());
                bytes = 0;
            }
            bytes += item_bytes;
            parts.last_mut().expect("there is one from the start").push(item);
        }
        let (last, mut since) = (parts.len() - 1, since);
        let parts = parts.into_iter().enumerate().map(|(index, items)| {
            let number = self.versions.number;
            let until = match index == last {
                true => self.version(number),
                false => ids::list_version(&self.secret, number, Some(index)).into(),
            };
            let step = Step { since: since.replace(Rc::clone(&until)), until };
            let x = Element::new("x", ns::MUC_USER).with_child(step.to_element());
            items.into_iter().fold(x, Element::with_child)
        });
        parts.collect()
    }

    /// Writes the versions of a room that has just been stored.
    pub fn store_versions(&mut self, cx: &mut Cx) -> Result<(), StorageError> {
        for change in &self.versions.log {
            cx.storage.room_version_add(&self.jid, change)?;
        }
        Ok(())
    }

    /// Reads the versions of a stored room; one that turns out not to be stored keeps its own.
    pub fn load_versions(&mut self, cx: &mut Cx) -> Result<(), StorageError> {
        let Some(changes) = cx.storage.room_versions(&self.jid)? else { return Ok(()) };
        let log: VecDeque<_> = changes.into();
        let number = log.back().map_or(0, |change| change.number);
        self.versions = Versions { log, number, told: number, untold: BTreeSet::new() };
        Ok(())
    }
}

fn item(jid: &BareJid, affiliation: Affiliation) -> Element {
    Element::new("item", ns::MUC_USER)
        .with_attr("jid", jid.as_str())
        .with_attr("affiliation", affiliation.as_str())
}
