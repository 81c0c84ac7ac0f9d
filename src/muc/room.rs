//! A room: its options, its occupants and how they are found. What happens in it stands in the
//! other files of this folder, one per concept.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use super::activity::Activity;
use super::asked::Asked;
use super::backlog::Backlog;
use super::hats::Hats;
use super::history::History;
use super::ids;
use super::invite::Invitations;
use super::nicks::Reserved;
use super::occupant::{Occupant, Payload, Seat};
use super::pace::Paces;
use super::privilege::{self, Rank};
use super::register::Applicants;
use super::subject::Subject;
use super::vcard::Vcard;
use super::versions::Versions;
use super::voice_kept::Voices;
use crate::config::RoomOptions;
use crate::cx::Cx;
use crate::ids::{SessionId, Target};
use crate::outbound::Envelope;
use crate::storage::AffiliationEntry;
use crate::xmpp::jid::nick_key;
use crate::xmpp::{Affiliation, BareJid, Jid, Role};

/// How long a new room waits for its configuration before the defaults are accepted (§10.1.1).
pub const LOCK_MS: u64 = 5 * 60 * 1000;

/// A room that is not configured yet (XEP-0045 §10.1.1).
#[derive(Clone, Debug)]
pub struct Lock {
    /// Who made it: nobody else gets in.
    pub creator: BareJid,
    /// When the defaults are accepted.
    pub until_ms: u64,
    /// A destroyed room of this name is remembered until then.
    pub has_grave: bool,
}

/// A live room.
pub struct Room {
    /// Its address.
    pub jid: BareJid,
    /// Its number within the service: names it in timers and indexes.
    pub number: u64,
    /// Its configuration.
    pub options: RoomOptions,
    /// What its occupant ids are made with.
    pub secret: Vec<u8>,
    /// Outcasts, members, admins and owners, never `None`.
    pub affiliations: BTreeMap<BareJid, AffiliationEntry>,
    /// Who has reserved which nick.
    pub reserved: Reserved,
    /// Who waits to be made a member.
    pub applicants: Applicants,
    /// When accounts have asked to be made members.
    pub registration_asked: Asked,
    /// When accounts have asked for voice.
    pub voice_asked: Asked,
    /// Invitations that may be declined.
    pub invitations: Invitations,
    /// The subject; `None` when it was never set.
    pub subject: Option<Subject>,
    /// The latest messages.
    pub history: History,
    /// Its hats.
    pub hats: Hats,
    /// Its card.
    pub vcard: Vcard,
    /// The latest changes of `affiliations`.
    pub versions: Versions,
    /// How busy it is.
    pub activity: Activity,
    /// When its occupants have spoken.
    pub paces: Paces,
    /// Admins of the whole server: owners of every room, though in no list of it.
    pub admins: Rc<[BareJid]>,
    /// Who has been given voice, or lost it.
    pub voices: Voices,
    /// Set until the room is configured.
    pub lock: Option<Lock>,
    /// It is in the database. Invariant: equals `options.persistent` once it is unlocked.
    pub is_stored: bool,
    /// It is to be forgotten when the handler returns.
    pub is_destroyed: bool,
    /// Rows that the current request has had read, for the allowance of who asked.
    pub rows_read: usize,
    /// The turn that last wrote it to the database.
    pub written_turn: Option<u64>,
    /// Sessions that came, for the index of the service.
    pub entered: Vec<(SessionId, Jid)>,
    /// Sessions that went, for the index of the service.
    pub left: Vec<SessionId>,
    /// What the others are still to be told.
    pub backlog: Backlog,
    /// In the order of joining.
    pub(super) occupants: BTreeMap<u64, Occupant>,
    /// By conflict key of the nick.
    nicks: HashMap<String, u64>,
    /// By real full address.
    seats: HashMap<Jid, u64>,
    /// Counts occupants, seats and presences.
    count: u64,
}

impl Room {
    /// An empty room, unlocked, that is not stored.
    pub fn new(jid: BareJid, number: u64, options: RoomOptions, secret: Vec<u8>) -> Self {
        Self {
            jid,
            number,
            options,
            secret,
            affiliations: BTreeMap::new(),
            reserved: Reserved::default(),
            applicants: Applicants::default(),
            registration_asked: Asked::default(),
            voice_asked: Asked::default(),
            invitations: Invitations::default(),
            subject: None,
            history: History::default(),
            hats: Hats::default(),
            vcard: Vcard::default(),
            versions: Versions::default(),
            activity: Activity::default(),
            paces: Paces::default(),
            admins: Rc::default(),
            voices: Voices::default(),
            lock: None,
            is_stored: false,
            is_destroyed: false,
            rows_read: 0,
            written_turn: None,
            entered: Vec::new(),
            left: Vec::new(),
            backlog: Backlog::default(),
            occupants: BTreeMap::new(),
            nicks: HashMap::new(),
            seats: HashMap::new(),
            count: 0,
        }
    }

    /// The name for people: the configured one, or the local part of the address.
    pub fn title(&self) -> &str {
        title(&self.options.name, &self.jid)
    }

    /// Remembers that this turn wrote the room to the database.
    pub fn mark_written(&mut self, cx: &Cx) {
        self.written_turn = Some(cx.storage.turn_number());
    }

    /// True for an admin of the whole server.
    pub fn is_server_admin(&self, account: &BareJid) -> bool {
        self.admins.contains(account)
    }

    /// The affiliation of an account: that of a server admin, its own entry, else that of its
    /// domain (§9.2).
    pub fn affiliation_of(&self, account: &BareJid) -> Affiliation {
        if self.is_server_admin(account) {
            return Affiliation::Owner;
        }
        let entry = self.affiliations.get(account).or_else(|| {
            let domain = BareJid::parse(account.domain()).ok()?;
            self.affiliations.get(&domain)
        });
        entry.map_or(Affiliation::None, |entry| entry.affiliation)
    }

    /// Accounts with an affiliation, in the order of their addresses.
    pub fn accounts_with(&self, affiliation: Affiliation) -> impl Iterator<Item = &BareJid> {
        let entries = self.affiliations.values();
        entries.filter(move |entry| entry.affiliation == affiliation).map(|entry| &entry.jid)
    }

    /// What an account may do: with the highest role it has in the room.
    pub fn rank_of(&self, account: &BareJid) -> Rank {
        let own = self.occupants.values().filter(|occupant| occupant.account == *account);
        let role = own.map(|occupant| occupant.role).max().unwrap_or(Role::None);
        Rank { role, affiliation: self.affiliation_of(account) }
    }

    /// True for everyone but the creator, and server admins, while the room waits for its
    /// configuration (§7.2.10).
    pub fn is_locked_for(&self, account: &BareJid) -> bool {
        self.lock.as_ref().is_some_and(|lock| lock.creator != *account)
            && !self.is_server_admin(account)
    }

    /// True when presences of this role go to all (`muc#roomconfig_presencebroadcast`).
    pub fn shows(&self, role: Role) -> bool {
        self.options.presence_broadcast.contains(&role)
    }

    /// True when an occupant sees the real addresses of others, and knows that it does.
    pub fn sees_jids(&self, viewer: &Occupant) -> bool {
        !viewer.has_untold_sight && privilege::sees_jids(&self.options, viewer.role)
    }

    /// The occupants in the order of joining.
    pub fn occupants(&self) -> impl Iterator<Item = &Occupant> {
        self.occupants.values()
    }

    /// Their keys, in the order of joining.
    pub fn keys(&self) -> Vec<u64> {
        self.occupants.keys().copied().collect()
    }

    /// How many there are.
    pub fn occupants_count(&self) -> usize {
        self.occupants.len()
    }

    /// How many sessions there are.
    pub fn seats_count(&self) -> usize {
        self.seats.len()
    }

    /// The occupant with this key.
    pub fn occupant(&self, key: u64) -> Option<&Occupant> {
        self.occupants.get(&key)
    }

    /// The occupant with this key, to be changed: it looks different afterwards.
    pub fn occupant_mut(&mut self, key: u64) -> Option<&mut Occupant> {
        let occupant = self.occupants.get_mut(&key)?;
        occupant.touch();
        Some(occupant)
    }

    /// All occupants, mutably, for their snapshots.
    pub fn occupants_for_snapshots(&mut self) -> impl Iterator<Item = &mut Occupant> {
        self.occupants.values_mut()
    }

    /// How an occupant looks to others: without and with real addresses.
    pub fn snapshots_of(&mut self, key: u64) -> Option<[Envelope; 2]> {
        let occupant = self.occupants.get_mut(&key)?;
        Some([false, true].map(|sees_jids| occupant.snapshot(sees_jids).clone()))
    }

    /// The occupant that a session is.
    pub fn occupant_at(&self, session_jid: &Jid) -> Option<&Occupant> {
        self.occupants.get(self.seats.get(session_jid)?)
    }

    /// The occupant with a nick, or with one that is in conflict with it.
    pub fn occupant_like(&self, nick: &str) -> Option<&Occupant> {
        self.occupants.get(self.nicks.get(&nick_key(nick))?)
    }

    /// The occupant with exactly this nick (prepared): who is addressed by it.
    pub fn occupant_named(&self, nick: &str) -> Option<&Occupant> {
        self.occupant_like(nick).filter(|occupant| occupant.nick == nick)
    }

    /// A number that this room has not given before.
    pub fn next_count(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    /// Adds an occupant without a seat; [`Self::add_seat`] must follow. The nick is free.
    pub fn add_occupant(&mut self, cx: &Cx, jid: Jid, account: BareJid) -> u64 {
        let key = self.next_count();
        let id = Rc::from(ids::occupant_id(&self.secret, account.as_str()));
        let mut occupant = Occupant::new(key, jid, account, id);
        occupant.affiliation = self.affiliation_of(&occupant.account);
        let role = self.role_on_entering(&occupant.account, occupant.affiliation);
        occupant.set_role(role, cx.storage.turn_number());
        occupant.is_shown = self.shows(occupant.role);
        occupant.hats = self.hats.element_for(&occupant.account);
        let taken = self.nicks.insert(nick_key(&occupant.nick), key);
        assert!(taken.is_none(), "the nick was checked to be free");
        self.occupants.insert(key, occupant);
        key
    }

    /// Gives a session a seat of an occupant.
    pub fn add_seat(&mut self, key: u64, jid: &Jid, target: Target, payload: Payload) {
        let count = self.next_count();
        let room = self.jid.clone();
        let occupant = self.occupant_mut(key).expect("the occupant was found or added just now");
        occupant.seats.push(Seat::new(count, &room, jid.clone(), target, payload));
        self.seats.insert(jid.clone(), key);
        if let Target::Local(session) = target {
            self.entered.push((session, jid.clone()));
        }
    }

    /// Takes a seat away; the occupant may be left without any.
    pub fn take_seat(&mut self, jid: &Jid) -> Option<(u64, Seat)> {
        let key = self.seats.remove(jid)?;
        let occupant = self.occupant_mut(key).expect("a seat belongs to an occupant");
        let index = occupant.seats.iter().position(|seat| seat.jid == *jid);
        let seat = occupant.seats.remove(index.expect("the index of seats names seats"));
        self.note_left(&seat);
        Some((key, seat))
    }

    /// Takes an occupant away with all its seats, which it keeps for farewells.
    pub fn take_occupant(&mut self, key: u64) -> Option<Occupant> {
        let occupant = self.occupants.remove(&key)?;
        self.retire_news(&occupant);
        self.forget_viewer(key);
        self.nicks.remove(&nick_key(&occupant.nick));
        for seat in &occupant.seats {
            self.seats.remove(&seat.jid);
            self.note_left(seat);
        }
        self.note_voice(&occupant);
        Some(occupant)
    }

    fn note_left(&mut self, seat: &Seat) {
        if let Target::Local(session) = seat.target {
            self.left.push(session);
        }
    }

    /// Gives an occupant another nick, which is free or its own in other letters.
    pub fn rename(&mut self, key: u64, jid: Jid) {
        let occupant = self.occupants.get_mut(&key).expect("the occupant was found just now");
        self.nicks.remove(&nick_key(&occupant.nick));
        occupant.nick = jid.resource().unwrap_or_default().to_owned();
        occupant.jid = jid;
        occupant.touch();
        self.nicks.insert(nick_key(&occupant.nick), key);
    }

    /// All occupants look different: who sees real addresses has changed.
    pub fn touch_all(&mut self) {
        for occupant in self.occupants.values_mut() {
            occupant.touch();
        }
    }
}

/// The name of a room for people.
pub fn title<'a>(name: &'a str, jid: &'a BareJid) -> &'a str {
    if name.is_empty() { jid.local().unwrap_or_default() } else { name }
}
