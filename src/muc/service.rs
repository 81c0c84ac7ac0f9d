//! The room service itself: what it tells of itself (XEP-0045 §6.2; of its rooms: listing.rs), and
//! who may make a room (§7.2.11, §10.1.1).

use super::Muc;
use super::graves;
use super::room::{self, Lock, Room};
use crate::config::RoomCreators;
use crate::cx::Cx;
use crate::storage::AffiliationEntry;
use crate::xml::Element;
use crate::xmpp::disco::{DiscoInfo, Identity};
use crate::xmpp::{
    Affiliation, BareJid, Condition, ErrorType, IqType, Jid, Stanza, StanzaError, StanzaKind, ns,
};

/// Features of the service beyond those of the small iq services (§6.2).
pub const FEATURES: &[&str] = &[
    ns::DISCO_INFO,
    ns::DISCO_ITEMS,
    ns::RSM,
    ns::MUC,
    ns::MUC_STABLE_ID,
    ns::MUC_UNIQUE,
    ns::OCCUPANT_ID,
    ns::VCARD_TEMP,
];

/// Bytes of a room's secret.
const SECRET_BYTES: usize = 32;

/// What the service says of itself (§6.2): the core adds the features of the small iq services,
/// and answers.
pub fn disco_info() -> DiscoInfo {
    let name = "Chat rooms".to_owned();
    DiscoInfo {
        identities: vec![Identity { category: "conference", kind: "text", name }],
        features: FEATURES.to_vec(),
        forms: Vec::new(),
    }
}

impl Muc {
    /// An iq get or set to the service that is none of the core's.
    pub(super) fn service_request(
        &mut self,
        cx: &mut Cx,
        iq: &Stanza,
        domain: &str,
    ) -> Result<Element, StanzaError> {
        let payload = iq.iq_payload().ok_or(Condition::BadRequest)?;
        if iq.kind == StanzaKind::Iq(IqType::Get) && payload.is("unique", ns::MUC_UNIQUE) {
            return self.unique_name(cx, iq, domain);
        }
        if iq.kind != StanzaKind::Iq(IqType::Get) || !payload.is("query", ns::DISCO_ITEMS) {
            return Err(Condition::ServiceUnavailable.into());
        }
        if payload.attr("node").is_some_and(|node| !node.is_empty()) {
            return Err(Condition::ItemNotFound.into());
        }
        self.list_rooms(cx, &iq.from.to_bare(), domain, payload)
    }

    /// May this user make one more room (§10.1.1)?
    pub(super) fn check_creation(&self, cx: &mut Cx, from: &Jid) -> Result<(), StanzaError> {
        let is_admin = cx.config.is_admin(from.bare_str());
        let may = match cx.config.rooms.create {
            RoomCreators::Anyone => true,
            RoomCreators::Local => is_admin || cx.config.is_home_domain(from.domain()),
            RoomCreators::Admins => is_admin,
        };
        if !may {
            return Err(Condition::NotAllowed.into());
        }
        let max = cx.config.limits.rooms;
        if max > 0 {
            let stored = cx.storage.rooms_count()?;
            // Live rooms that are stored count once; they are counted only when it matters.
            let is_full = self.rooms.len() + stored >= max && {
                let temporary = self.rooms.iter().filter(|(_, room)| !room.is_stored);
                temporary.count() + stored >= max
            };
            if is_full {
                let error = StanzaError::new(Condition::ResourceConstraint);
                return Err(error.with_type(ErrorType::Wait).with_text("too many rooms"));
            }
        }
        Ok(())
    }

    /// Makes a room: locked, with its creator as owner, who must enter it now (§10.1.1).
    pub(super) fn create(
        &mut self,
        cx: &mut Cx,
        jid: &BareJid,
        creator: &Jid,
    ) -> Result<usize, StanzaError> {
        let account = creator.to_bare();
        let has_grave = graves::check_name(cx, &account, jid)?;
        self.check_creation(cx, creator)?;
        let mut secret = vec![0; SECRET_BYTES];
        cx.entropy.fill(&mut secret);
        let options = cx.config.rooms.defaults.clone();
        let mut room = Room::new(jid.clone(), 0, options, secret);
        let owner = AffiliationEntry {
            jid: account.clone(),
            affiliation: Affiliation::Owner,
            nick: None,
            reason: None,
        };
        room.affiliations.insert(account.clone(), owner);
        let until_ms = cx.now.mono_ms + room::LOCK_MS;
        room.lock = Some(Lock { creator: account, until_ms, has_grave });
        Ok(self.insert(cx, room))
    }
}
