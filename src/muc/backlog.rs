//! What the others are still to be told, when one turn is too short for it: a request that changes
//! each of N occupants, or a network that loses all of them, means N by N stanzas.
//!
//! The state of the room changes at once, and whom a change concerns hears of it at once. What the
//! others must hear is told at once too while the turn has room for it; else it is put down here,
//! once per occupant: "show it as it is now", or "it is gone, with this farewell". In later turns
//! the occupants are visited one after the other, and each gets in one go all that it has not yet
//! heard ([`Seat::heard`]), in the order in which it happened. Who comes later has been welcomed
//! with the new state and hears none of it. Whether real addresses are shown is decided by what
//! the viewer may see when it is told.
//!
//! It is bounded: an occupant is shown once however often it changes, whoever joins makes room for
//! its own farewell, and requests that change lists are refused while far too much is waiting.

use std::collections::{BTreeMap, BTreeSet, HashMap};

mod telling;

use super::Muc;
use super::occupant::{Occupant, Payload, Seat};
use super::presence::{self, Actor, Audiences, Notice, Sight};
use super::room::Room;
use super::versions::Step;
use crate::config::Whois;
use crate::cx::Cx;
use crate::outbound::Envelope;
use crate::xmpp::{BareJid, Condition, PresenceType, Role, Stanza, StanzaError};

pub use telling::Telling;

/// With so much waiting no further list is changed.
const NEWS_MAX: usize = 10_000;

/// What a presence says, until it is told.
#[derive(Clone, Debug, Default)]
struct Saying {
    codes: Vec<u16>,
    actor: Option<Actor>,
    reason: Option<String>,
}

impl Saying {
    fn of(notice: &Notice<'_>) -> Self {
        Self {
            codes: notice.codes.to_vec(),
            actor: notice.actor.cloned(),
            reason: notice.reason.map(str::to_owned),
        }
    }

    fn notice<'a>(&'a self, step: Option<&'a Step>) -> Notice<'a> {
        Notice {
            codes: &self.codes,
            new_nick: None,
            actor: self.actor.as_ref(),
            reason: self.reason.as_deref(),
            step,
        }
    }
}

enum News {
    /// The presence of this occupant, as it is when it is told.
    Show {
        key: u64,
        /// Nobody has heard of the occupant before.
        is_first: bool,
    },
    /// A presence of an occupant as it was: its farewell.
    Past {
        occupant: Box<Occupant>,
        kind: PresenceType,
        payload: Payload,
        /// Real addresses were shown to all then.
        was_open: bool,
    },
    /// A message about somebody who is not here, for those who may see addresses.
    Absent { message: Stanza },
}

/// A piece of news.
struct Item {
    news: News,
    saying: Saying,
    /// The affiliation list changed with it.
    step: Option<Step>,
    /// The turn that put it down.
    queued_turn: u64,
    /// Serialised for each audience, and which look of the occupant that was.
    audiences: Audiences,
    look: u64,
}

impl Item {
    /// The stanza for a seat; `None` when it is not for it.
    fn envelope(&mut self, room: &mut Room, viewer: &Viewer, seat: &Seat) -> Option<Envelope> {
        let mut sees_jids = viewer.sees_jids;
        let wants_step = self.step.is_some() && seat.wants_versions && viewer.may_list;
        let notice = self.saying.notice(self.step.as_ref());
        match &self.news {
            News::Show { key, .. } => {
                let is_self = *key == viewer.key;
                if is_self && !wants_step {
                    return None; // It heard of itself at once, but not of the new version.
                }
                let occupant = room.occupants.get_mut(key).filter(|o| o.is_shown || is_self)?;
                if is_self {
                    // Its seats are taken out while it is visited.
                    let mut own = occupant.identity();
                    own.seats.clone_from(&viewer.own_seats);
                    let (kind, payload) = (PresenceType::Available, own.payload());
                    let own = presence::build(&own, kind, payload, &notice, sees_jids, true);
                    return Some(Envelope::new(&own));
                }
                if self.step.is_none() && notice.reason.is_none() {
                    return Some(occupant.snapshot(sees_jids).clone());
                }
                if self.look != occupant.look {
                    self.look = occupant.look;
                    self.audiences = Audiences::default();
                }
                let sight = Sight::of(sees_jids, wants_step);
                let (kind, payload) = (PresenceType::Available, occupant.payload());
                Some(self.audiences.get(occupant, kind, payload, &notice, sight).clone())
            }
            News::Past { occupant, kind, payload, was_open } => {
                if occupant.key == viewer.key {
                    return None;
                }
                // Who left a semi-anonymous room is not shown by one that was opened since.
                sees_jids &= *was_open || viewer.role == Role::Moderator;
                let sight = Sight::of(sees_jids, wants_step);
                Some(self.audiences.get(occupant, *kind, payload, &notice, sight).clone())
            }
            News::Absent { message } => {
                let sight = Sight::of(sees_jids, wants_step);
                let step = self.step.as_ref();
                (sight != Sight::Nicks)
                    .then(|| self.audiences.get_message(message, step, sight).clone())
            }
        }
    }
}

/// Whom a piece of news is for.
struct Viewer {
    key: u64,
    role: Role,
    sees_jids: bool,
    /// May read some of the affiliation list.
    may_list: bool,
    /// Its seats, if so.
    own_seats: Vec<Seat>,
}

/// What is still to be told in a room.
#[derive(Default)]
pub struct Backlog {
    /// By number, in the order in which it happened; numbers are those of [`Room::next_count`].
    items: BTreeMap<u64, Item>,
    /// The numbers of [`News::Show`] by occupant.
    shows: HashMap<u64, u64>,
    /// The numbers of farewells by nick.
    farewells: HashMap<String, Vec<u64>>,
    /// Occupants who get the presences of all others again.
    refreshes: BTreeSet<u64>,
    /// The next occupant to visit is this one or the first after it.
    cursor: u64,
    /// Everybody visited on this round has heard everything up to here.
    heard_by_all: u64,
    /// Somebody was passed over on this round: too much waits for it already.
    has_skipped: bool,
    /// In the queue of the service.
    is_queued: bool,
}

impl Backlog {
    /// Nothing is to be told.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty() && self.refreshes.is_empty()
    }

    /// Refuses what would add to far too much.
    pub fn check(&self) -> Result<(), StanzaError> {
        if self.items.len() < NEWS_MAX {
            return Ok(());
        }
        let error = StanzaError::new(Condition::ResourceConstraint);
        Err(error.with_text("the room is still telling of the last change"))
    }

    fn start_round(&mut self) {
        self.cursor = 0;
        self.has_skipped = false;
        self.heard_by_all = self.items.keys().next_back().copied().unwrap_or_default();
    }

    /// Forgets what all have heard.
    fn end_round(&mut self) {
        let rest = self.items.split_off(&(self.heard_by_all + 1));
        for (number, item) in std::mem::replace(&mut self.items, rest) {
            self.unlist(number, &item);
        }
    }

    fn unlist(&mut self, number: u64, item: &Item) {
        match &item.news {
            News::Show { key, .. } => {
                self.shows.remove(key);
            }
            News::Past { occupant, .. } => {
                if let Some(numbers) = self.farewells.get_mut(&occupant.nick) {
                    numbers.retain(|other| *other != number);
                    if numbers.is_empty() {
                        self.farewells.remove(&occupant.nick);
                    }
                }
            }
            News::Absent { .. } => {}
        }
    }

    fn put(&mut self, number: u64, item: Item) {
        match &item.news {
            News::Show { key, .. } => drop(self.shows.insert(*key, number)),
            News::Past { occupant, .. } => {
                self.farewells.entry(occupant.nick.clone()).or_default().push(number);
            }
            News::Absent { .. } => {}
        }
        self.items.insert(number, item);
    }
}

impl Room {
    /// True when news must wait: the turn is full, or earlier ones wait.
    pub fn must_wait(&self, cx: &Cx) -> bool {
        cx.out.is_congested() || !self.backlog.is_empty()
    }

    /// True when the presence of an occupant is still to be told to all.
    pub fn is_show_waiting(&self, key: u64) -> bool {
        self.backlog.shows.contains_key(&key)
    }

    fn queue(&mut self, cx: &Cx, news: News, saying: Saying, step: Option<Step>) {
        let number = self.next_count();
        let (queued_turn, audiences) = (cx.storage.turn_number(), Audiences::default());
        self.backlog.put(number, Item { news, saying, step, queued_turn, audiences, look: 0 });
    }

    /// The presence of an occupant is to be told, as it will be then.
    pub fn queue_show(&mut self, cx: &Cx, key: u64, notice: &Notice<'_>, mut is_first: bool) {
        let mut saying = Saying::of(notice);
        if let Some(number) = self.backlog.shows.remove(&key)
            && let Some(item) = self.backlog.items.remove(&number)
        {
            is_first |= matches!(item.news, News::Show { is_first: true, .. });
            saying.reason = saying.reason.or_else(|| item.saying.reason.clone());
            let account = self.occupant(key).map(|occupant| occupant.account.clone());
            if let (Some(account), Some(step)) = (account, item.step.clone()) {
                self.put_step(number, &item, step, &account);
            }
        }
        self.queue(cx, News::Show { key, is_first }, saying, notice.step.cloned());
    }

    /// A presence that is not to be told any more was to tell of a version, too: a message does,
    /// with what the list says, which of an admin of the server is not what its presence says.
    fn put_step(&mut self, number: u64, item: &Item, step: Step, account: &BareJid) {
        let entry = self.affiliations.get(account);
        let affiliation = entry.map(|entry| entry.affiliation).unwrap_or_default();
        let message = self.absent_message(account, affiliation, item.saying.reason.as_deref());
        let (news, saying) = (News::Absent { message }, Saying::default());
        let (step, queued_turn, audiences) = (Some(step), item.queued_turn, Audiences::default());
        self.backlog.put(number, Item { news, saying, step, queued_turn, audiences, look: 0 });
    }

    /// The farewell of an occupant is to be told; its presence is not, any more.
    pub fn queue_farewell(
        &mut self,
        cx: &Cx,
        occupant: &Occupant,
        payload: &Payload,
        notice: &Notice<'_>,
    ) {
        let was_open = self.options.whois == Whois::Anyone;
        let (kind, occupant) = (PresenceType::Unavailable, Box::new(occupant.clone()));
        let news = News::Past { occupant, kind, payload: payload.clone(), was_open };
        self.queue(cx, news, Saying::of(notice), notice.step.cloned());
    }

    /// A message about somebody who is not here is to be told.
    pub fn queue_absent(&mut self, cx: &Cx, message: Stanza, step: Option<Step>) {
        self.queue(cx, News::Absent { message }, Saying::default(), step);
    }

    /// An occupant gets the presences of all others again.
    pub fn refresh(&mut self, cx: &mut Cx, key: u64) {
        if self.must_wait(cx) {
            self.backlog.refreshes.insert(key);
        } else {
            self.show_all_to(cx, key);
        }
    }

    /// An occupant is gone for the others: how it was is no news any more, unless they are about
    /// to hear of its going without having heard of its coming.
    pub fn retire_news(&mut self, occupant: &Occupant) {
        let Some(number) = self.backlog.shows.remove(&occupant.key) else { return };
        let Some(item) = self.backlog.items.remove(&number) else { return };
        if matches!(item.news, News::Show { is_first: true, .. }) {
            let was_open = self.options.whois == Whois::Anyone;
            let (kind, payload) = (PresenceType::Available, occupant.payload().clone());
            let occupant = Box::new(occupant.clone());
            let news = News::Past { occupant, kind, payload, was_open };
            self.backlog.put(number, Item { news, audiences: Audiences::default(), ..item });
        } else if let Some(step) = item.step.clone() {
            self.put_step(number, &item, step, &occupant.account);
        }
    }

    /// The occupant is no viewer any more.
    pub fn forget_viewer(&mut self, key: u64) {
        self.backlog.refreshes.remove(&key);
    }

    /// Before a nick gets another holder all hear what they have not heard of the last one; and
    /// whoever comes makes room in the backlog for the farewell that it will need.
    pub fn clear_nick(&mut self, cx: &mut Cx, nick: &str) {
        for number in self.backlog.farewells.get(nick).cloned().unwrap_or_default() {
            self.tell_everybody(cx, number);
        }
        if let Some(number) = self.backlog.items.keys().next().copied() {
            self.tell_everybody(cx, number);
        }
    }

    /// All hear of an occupant as it is, before it changes its nick.
    pub fn tell_show(&mut self, cx: &mut Cx, key: u64) {
        if let Some(number) = self.backlog.shows.get(&key).copied() {
            self.tell_everybody(cx, number);
        }
    }

    /// Tells a piece of news to all who have not heard it. Out of its turn it says nothing of
    /// versions, which are told in their order: a message does so in its place.
    fn tell_everybody(&mut self, cx: &mut Cx, number: u64) {
        let Some(mut item) = self.backlog.items.remove(&number) else { return };
        self.backlog.unlist(number, &item);
        let is_first = self.backlog.items.range(..number).next().is_none();
        if let Some(step) = item.step.take_if(|_| !is_first) {
            let occupant = match &item.news {
                News::Show { key, .. } => self.occupant(*key),
                News::Past { occupant, .. } => Some(&**occupant),
                News::Absent { .. } => None,
            };
            if let Some(account) = occupant.map(|occupant| occupant.account.clone()) {
                self.put_step(number, &item, step, &account);
            }
        }
        for key in self.keys() {
            let Some((viewer, seats)) = self.take_viewer(key) else { continue };
            for seat in seats.iter().filter(|seat| seat.heard < number) {
                if let Some(envelope) = item.envelope(self, &viewer, seat) {
                    seat.push(cx, &envelope);
                }
            }
            self.put_seats_back(key, seats);
        }
    }

    /// A viewer, and its seats, while others are looked at.
    fn take_viewer(&mut self, key: u64) -> Option<(Viewer, Vec<Seat>)> {
        let occupant = self.occupant(key)?;
        let (role, sees_jids) = (occupant.role, self.sees_jids(occupant));
        let may_list = occupant.seats.iter().any(|seat| seat.wants_versions)
            && self.may_read_versions(occupant);
        let occupant = self.occupants.get_mut(&key)?;
        let own_seats = if may_list { occupant.seats.clone() } else { Vec::new() };
        let seats = std::mem::take(&mut occupant.seats);
        Some((Viewer { key, role, sees_jids, may_list, own_seats }, seats))
    }

    fn put_seats_back(&mut self, key: u64, seats: Vec<Seat>) {
        if let Some(occupant) = self.occupants.get_mut(&key) {
            occupant.seats = seats;
        }
    }

    /// A commit is lost, and the room is as it was: why something was done in this turn is not
    /// said, for it was not done.
    pub fn forget_turn(&mut self, turn: u64) {
        let mut backlog = std::mem::take(&mut self.backlog);
        backlog.items.retain(|_, item| {
            item.queued_turn != turn || !matches!(item.news, News::Absent { .. })
        });
        for item in backlog.items.values_mut().filter(|item| item.queued_turn == turn) {
            item.saying = Saying::default();
            item.step = None;
            item.audiences = Audiences::default();
            if let News::Past { occupant, .. } = &mut item.news {
                occupant.affiliation = self.affiliation_of(&occupant.account);
            }
        }
        self.backlog = backlog;
    }
}
