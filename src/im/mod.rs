//! Instant messaging (RFC 6121): who is connected, presence, subscriptions, delivery, rosters.
//!
//! One record per bound session and one per account with sessions; both go with the session. What
//! the rules are stands in the files of the concepts: `presence`, `probe`, `subscription` (its
//! tables: `standing`; what presence needs of a roster: `contacts`), `message` (delivery),
//! `roster`, `disco`. It knows nothing of streams, and nothing of rooms: a session's seats are the
//! room service's.

mod archive;
mod archive_prefs;
mod avatar;
mod blocking;
mod bookmarks;
mod caps;
mod carbons;
mod contacts;
mod disco;
mod friends;
mod last;
mod message;
mod offline;
mod pep;
mod presence;
mod private;
mod probe;
mod redelivery;
mod roster;
mod standing;
mod subscription;
#[cfg(test)]
mod tests;
mod vcard;
mod watchers;

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use bytes::Bytes;

use crate::allowance::Allowances;
use crate::cx::Cx;
use crate::ids::{BySession, SessionId, Target};
use crate::outbound::{Envelope, to_attribute};
use crate::storage::ArchiveWish;
use crate::xml::Element;
use crate::xmpp::{
    BareJid, Condition, IqType, Jid, PresenceType, Stanza, StanzaError, StanzaKind, ns,
};

use caps::{Caps, Interests};
use contacts::Contacts;
use watchers::Watchers;

pub use disco::answer_stranger;

/// An iq get or set to the bare address of an account that is being answered.
pub struct Request<'a> {
    /// Who asks, and how to reach it.
    pub origin: Target,
    /// Whose account is asked. It may not exist, unless its owner asks: then it is as an account
    /// without anything.
    pub account: BareJid,
    /// The whole stanza.
    pub stanza: &'a Stanza,
    /// Its one payload element.
    pub payload: &'a Element,
}

impl Request<'_> {
    /// Its owner asks.
    fn is_owner(&self) -> bool {
        self.account.as_str() == self.stanza.from.bare_str()
    }
}

/// A handler of [`ROUTES`]: the payload of the result, `None` for an empty result.
pub type Handler = fn(&mut Im, &mut Cx, &Request<'_>) -> Result<Option<Element>, StanzaError>;

/// Who may ask an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Askers {
    /// Its owner: with no `to`, or its own bare address.
    Owner,
    /// Everybody; the handler looks at who it is.
    Anyone,
}

/// An iq service of an account: the table that dispatches is the table that advertises.
pub struct Route {
    /// Namespace of the payload.
    pub ns: &'static str,
    /// Name of the payload.
    pub name: &'static str,
    /// Get or set.
    pub kind: IqType,
    /// Who may ask; others get what `answer_stranger` says.
    pub askers: Askers,
    /// The disco feature, where the namespace is to be advertised (once per namespace).
    pub feature: Option<&'static str>,
    /// What answers.
    pub handler: Handler,
}

/// The iq services of accounts. What is not here may be, for owners, in `iq::ROUTES` with the scope
/// `Account`.
pub const ROUTES: &[Route] = &[
    Route {
        ns: ns::DISCO_INFO,
        name: "query",
        kind: IqType::Get,
        askers: Askers::Anyone,
        feature: Some(ns::DISCO_INFO),
        handler: disco::handle_info,
    },
    Route {
        ns: ns::DISCO_ITEMS,
        name: "query",
        kind: IqType::Get,
        askers: Askers::Anyone,
        feature: Some(ns::DISCO_ITEMS),
        handler: disco::handle_items,
    },
    // Rosters are part of RFC 6121, without a feature of their own.
    Route {
        ns: ns::ROSTER,
        name: "query",
        kind: IqType::Get,
        askers: Askers::Owner,
        feature: None,
        handler: roster::handle_get,
    },
    Route {
        ns: ns::ROSTER,
        name: "query",
        kind: IqType::Set,
        askers: Askers::Owner,
        feature: None,
        handler: roster::handle_set,
    },
    Route {
        ns: ns::LAST,
        name: "query",
        kind: IqType::Get,
        askers: Askers::Anyone,
        feature: Some(ns::LAST),
        handler: last::handle,
    },
    // Whoever is not the owner is told so (XEP-0313 §8.1). What accounts alone advertise of it is
    // in `archive::FEATURES`.
    mam("query", IqType::Get, archive::handle_form),
    mam("query", IqType::Set, archive::handle_query),
    mam("metadata", IqType::Get, archive::handle_metadata),
    mam("prefs", IqType::Get, archive_prefs::handle_get),
    mam("prefs", IqType::Set, archive_prefs::handle_set),
    document(ns::VCARD_TEMP, "vCard", IqType::Get, vcard::handle_get),
    document(ns::VCARD_TEMP, "vCard", IqType::Set, vcard::handle_set),
    document(ns::PRIVATE, "query", IqType::Get, private::handle_get),
    document(ns::PRIVATE, "query", IqType::Set, private::handle_set),
    Route {
        ns: ns::CARBONS,
        name: "enable",
        kind: IqType::Set,
        askers: Askers::Anyone,
        feature: Some(ns::CARBONS),
        handler: carbons::handle_enable,
    },
    Route {
        ns: ns::CARBONS,
        name: "disable",
        kind: IqType::Set,
        askers: Askers::Anyone,
        feature: None,
        handler: carbons::handle_disable,
    },
    Route {
        ns: ns::BLOCKING,
        name: "blocklist",
        kind: IqType::Get,
        askers: Askers::Owner,
        feature: Some(ns::BLOCKING),
        handler: blocking::handle_list,
    },
    Route {
        ns: ns::BLOCKING,
        name: "block",
        kind: IqType::Set,
        askers: Askers::Owner,
        feature: None,
        handler: blocking::handle_block,
    },
    Route {
        ns: ns::BLOCKING,
        name: "unblock",
        kind: IqType::Set,
        askers: Askers::Owner,
        feature: None,
        handler: blocking::handle_unblock,
    },
    // What accounts say of their nodes is no feature of the server: `pep::disco` has it.
    pubsub(ns::PUBSUB, IqType::Get, pep::handle_get),
    pubsub(ns::PUBSUB, IqType::Set, pep::handle_set),
    pubsub(ns::PUBSUB_OWNER, IqType::Get, pep::handle_get),
    pubsub(ns::PUBSUB_OWNER, IqType::Set, pep::handle_set),
];

const fn mam(name: &'static str, kind: IqType, handler: Handler) -> Route {
    Route { ns: ns::MAM, name, kind, askers: Askers::Anyone, feature: None, handler }
}

const fn document(ns: &'static str, name: &'static str, kind: IqType, handler: Handler) -> Route {
    Route { ns, name, kind, askers: Askers::Anyone, feature: Some(ns), handler }
}

const fn pubsub(ns: &'static str, kind: IqType, handler: Handler) -> Route {
    Route { ns, name: "pubsub", kind, askers: Askers::Anyone, feature: None, handler }
}

/// What a server with these accounts can besides what [`ROUTES`] answer (XEP-0280 §6.2, XEP-0160
/// §4).
pub const FEATURES: &[&str] = &[ns::CARBONS_RULES, ns::OFFLINE];

/// The accounts that are connected.
#[derive(Default)]
pub struct Im {
    sessions: BySession<Session>,
    /// Invariant: holds exactly the `full_jid` of each of `sessions`.
    addresses: HashMap<Jid, SessionId>,
    /// Invariant: an account is here while it has sessions.
    accounts: HashMap<BareJid, Account>,
    /// Features of an account that other tables than [`ROUTES`] answer.
    features_elsewhere: Vec<&'static str>,
    /// How much accounts may still have read from their archives.
    allowances: Allowances,
    /// Who has gone in this turn: at most the sessions there were.
    departures: Vec<last::Departure>,
    /// What clients have said of themselves.
    caps: Caps,
    /// Contacts at other servers that want to hear of nodes.
    watchers: Watchers,
    /// A conversion writes to nodes: what it writes is not converted back.
    is_converting: bool,
    /// Sessions that are to get more of what was kept for them, in the order they came.
    awaiting: Vec<SessionId>,
}

/// A bound session.
struct Session {
    account: BareJid,
    full_jid: Jid,
    /// ` to='…'` with the full address, escaped once.
    to: Bytes,
    /// Its last broadcast presence; `None` while it is connected but not available.
    presence: Option<Presence>,
    /// It has asked for the roster, and gets pushes from then on (RFC 6121 §2.1.6).
    wants_roster: bool,
    /// It has asked for the block list, and gets pushes from then on (XEP-0191 §3.3).
    wants_blocks: bool,
    /// Since when, in milliseconds since 1970, it gets copies of what the user's other resources
    /// say and hear (XEP-0280); `None`: it does not.
    carbons_since_ms: Option<i64>,
    /// Whom it has sent available presence to (RFC 6121 §4.6), in the order of the addresses, so
    /// that the farewells have an order. Bounded by `limits.directed_presences`.
    directed: BTreeSet<Jid>,
    /// What its client wants to hear of; `None` while it is not available or has not said.
    interests: Option<Rc<Interests>>,
}

/// The presence of an available session, as every audience gets it.
struct Presence {
    envelope: Envelope,
    /// RFC 6121 §4.7.2.3; below 0 the session gets no messages to the bare address.
    priority: i8,
    /// Since when that is not below 0, in milliseconds since 1970.
    ready_since_ms: i64,
}

/// An account with at least one session.
#[derive(Default)]
struct Account {
    /// In the order they were bound.
    sessions: Vec<SessionId>,
    /// Read when presence first needs them.
    contacts: Option<Rc<Contacts>>,
    /// The hash of its avatar, if it has one; read when first asked for.
    avatar: Option<Option<Box<str>>>,
    /// `cx.blocks` holds its list, when it blocks anybody.
    knows_blocks: bool,
    /// What of its messages it wants archived; read when there first is one.
    archive_wish: Option<ArchiveWish>,
    /// What errors may answer, while a session wants copies.
    answerable: Option<Box<carbons::Answerable>>,
}

impl Im {
    /// Nobody.
    pub fn new() -> Self {
        Self::default()
    }

    /// Features of accounts that other tables answer, to be advertised with those of [`ROUTES`].
    pub fn advertise(&mut self, features: impl IntoIterator<Item = &'static str>) {
        self.features_elsewhere.extend(features);
    }

    /// Registers a bound session. The full address is free: the server has ended an older session
    /// of that address first. `Err` (`resource-constraint`) over `limits.sessions_per_account`.
    pub fn bind(
        &mut self,
        cx: &mut Cx,
        session: SessionId,
        full_jid: &Jid,
    ) -> Result<(), StanzaError> {
        assert!(self.sessions.get(session).is_none(), "a session is bound once");
        assert!(!self.addresses.contains_key(full_jid), "the older session has been ended");
        let account = full_jid.to_bare();
        let sessions_max = cx.config.limits.sessions_per_account;
        let sessions_count = self.accounts.get(&account).map_or(0, |a| a.sessions.len());
        if sessions_max > 0 && sessions_count >= sessions_max {
            return Err(Condition::ResourceConstraint.into());
        }
        self.accounts.entry(account.clone()).or_default().sessions.push(session);
        self.addresses.insert(full_jid.clone(), session);
        let record = Session {
            account,
            full_jid: full_jid.clone(),
            to: to_attribute(full_jid),
            presence: None,
            wants_roster: false,
            wants_blocks: false,
            carbons_since_ms: None,
            directed: BTreeSet::new(),
            interests: None,
        };
        self.sessions.insert(session, record);
        Ok(())
    }

    /// The session that is bound to a full address.
    pub fn session_at(&self, full_jid: &Jid) -> Option<SessionId> {
        self.addresses.get(full_jid).copied()
    }

    /// The sessions of an account, in the order they were bound.
    pub fn sessions_of(&self, account: &BareJid) -> Vec<SessionId> {
        self.accounts.get(account).map(|account| account.sessions.clone()).unwrap_or_default()
    }

    /// A session of this server sends a stanza to somebody: what its own account has to do with it
    /// first. `Ok(false)`: that was all, it goes nowhere.
    ///
    /// The order: what the sender has blocked is refused; subscriptions change the sender's
    /// roster, and go on from there as stanzas of its account; directed presence is remembered;
    /// messages are archived, and copied to its other resources.
    pub fn handle_sent(
        &mut self,
        cx: &mut Cx,
        session: SessionId,
        stanza: &mut Stanza,
    ) -> Result<bool, StanzaError> {
        self.check_sent(cx, session, stanza)?;
        match stanza.kind {
            StanzaKind::Presence(kind) if kind.is_subscription() => {
                self.handle_sent_subscription(cx, session, stanza)
            }
            // XEP-0398 §4: joins of rooms as well.
            StanzaKind::Presence(PresenceType::Available) => {
                self.add_avatar(cx, session, stanza)?;
                Ok(true)
            }
            StanzaKind::Presence(PresenceType::Probe) => {
                self.handle_sent_probe(cx, session, stanza)
            }
            StanzaKind::Message(_) => {
                self.archive_sent(cx, session, stanza, |im, cx, stanza| {
                    im.copy_sent(cx, session, stanza);
                })?;
                Ok(true)
            }
            _ => Ok(true),
        }
    }

    /// An account is removed: what others have of it goes too. Its own rows go with it.
    pub fn handle_account_removed(&mut self, cx: &mut Cx, account: &BareJid) {
        // Contacts learn it from `subscription`.
        self.end_subscriptions(cx, account);
        self.watchers.forget_account(account);
    }

    /// A session is over: its unavailable presence goes to its own other resources, to who sees its
    /// presence, and to the targets of its directed presence, unless it said so itself; then it is
    /// forgotten.
    pub fn handle_session_end(&mut self, cx: &mut Cx, session: SessionId) {
        let contacts = self.audience(cx, session);
        let Some(record) = self.sessions.remove(session) else { return };
        self.addresses.remove(&record.full_jid);
        self.caps.forget(session);
        if let Some(account) = self.accounts.get_mut(&record.account) {
            account.sessions.retain(|&other| other != session);
            if account.sessions.is_empty() {
                self.accounts.remove(&record.account);
            }
        }
        self.note_departure(cx, &record.account, session, record.presence.is_some(), None);
        self.say_farewell(cx, &record, &contacts);
        if !self.accounts.contains_key(&record.account) {
            cx.blocks.forget(&record.account);
        }
    }

    /// Shutdown, phase 4: what [`Self::handle_session_end`] says for each of `ids`, said while
    /// all of them are still there to hear it; then all are forgotten.
    pub fn shut_down(&mut self, cx: &mut Cx, ids: &[SessionId]) {
        for &session in ids {
            let contacts = self.audience(cx, session);
            if let Some(record) = self.sessions.get(session) {
                self.say_farewell(cx, record, &contacts);
            }
        }
        self.accounts.keys().for_each(|account| cx.blocks.forget(account));
        let sessions = std::mem::take(&mut self.sessions);
        self.accounts.clear();
        for &id in ids {
            let Some(Session { account, presence, .. }) = sessions.get(id) else { continue };
            self.note_departure(cx, account, id, presence.is_some(), None);
        }
        let features_elsewhere = std::mem::take(&mut self.features_elsewhere);
        let departures = std::mem::take(&mut self.departures);
        *self = Self { features_elsewhere, departures, ..Self::default() };
    }

    /// Storage lost this turn's writes: what is kept of it is read again.
    pub fn handle_storage_lost(&mut self, cx: &mut Cx) {
        self.read_blocks_again(cx);
        for account in self.accounts.values_mut() {
            account.archive_wish = None;
            account.avatar = None;
            account.contacts = None;
        }
    }

    /// The accounts with bound sessions, of this domain or of all, sorted.
    pub fn online(&self, domain: Option<&str>) -> Vec<&BareJid> {
        let is_asked = |account: &&BareJid| domain.is_none_or(|domain| account.domain() == domain);
        let mut accounts: Vec<_> = self.accounts.keys().filter(is_asked).collect();
        accounts.sort_unstable();
        accounts
    }

    /// Pushes one message of the server to every bound session of a domain; returns to how many.
    pub fn push_to_domain(&self, cx: &mut Cx, domain: &BareJid, message: &Stanza) -> usize {
        let envelope = Envelope::new(message);
        let mut heard = 0;
        for account in self.online(Some(domain.domain())) {
            for (session, record) in self.sessions_in(account) {
                cx.out.push_envelope(session, &envelope, &record.to);
                heard += 1;
            }
        }
        heard
    }

    /// Bound sessions.
    pub fn sessions_count(&self) -> usize {
        self.sessions.len()
    }

    /// The records of an account's sessions, in the order they were bound.
    fn sessions_in(
        &self,
        account: &BareJid,
    ) -> impl Iterator<Item = (SessionId, &Session)> + use<'_> {
        let ids = self.accounts.get(account).map_or(&[][..], |account| &account.sessions);
        ids.iter().map(|&id| (id, self.sessions.get(id).expect("accounts hold bound sessions")))
    }

    /// Those of an account's sessions that are available.
    fn available_in(
        &self,
        account: &BareJid,
    ) -> impl Iterator<Item = (SessionId, &Session, &Presence)> + use<'_> {
        self.sessions_in(account)
            .filter_map(|(id, session)| Some((id, session, session.presence.as_ref()?)))
    }
}
