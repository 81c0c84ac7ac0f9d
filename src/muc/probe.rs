//! Presence probes (XEP-0045 §17.3): a question, never a join and never a leave. An occupant gets
//! the presence that it has missed: of the occupant that it names, or of the room, which is there.
//! Whoever is not in the room gets the same answer about everything in it, and about rooms that do
//! not exist: unavailable, without a word about who is there. A server asks for its users, in
//! their bare name (RFC 6121 §4.3).

use super::Muc;
use super::occupant::Occupant;
use super::presence::{self, Notice};
use super::room::Room;
use crate::cx::Cx;
use crate::ids::Target;
use crate::xml::Element;
use crate::xmpp::{Affiliation, Jid, PresenceType, Role, Stanza, StanzaKind, ns};

impl Muc {
    /// A probe to a room or a seat. Nobody is in a room that is not live, so none is read.
    pub(super) fn handle_probe(&self, cx: &mut Cx, origin: Target, probe: &Stanza, to: &Jid) {
        let room = self.live(to).map(|index| &self.rooms[index]);
        let known = room.and_then(|room| room.answer_to_probe(probe, to));
        let answer = known.unwrap_or_else(|| unavailable(to));
        let answer = Stanza { to: Some(probe.from.clone()), id: probe.id.clone(), ..answer };
        cx.send(origin, answer);
    }
}

impl Room {
    /// What an occupant may know; `None` when it is nothing.
    fn answer_to_probe(&self, probe: &Stanza, to: &Jid) -> Option<Stanza> {
        let prober = self.prober(&probe.from)?;
        let kind = PresenceType::Available;
        let Some(nick) = to.resource() else {
            return Some(Stanza::new(StanzaKind::Presence(kind), to.clone(), None));
        };
        let probed = match self.occupant_named(nick) {
            Some(probed) if probed.is_shown || probed.key == prober.key => probed,
            _ => return Some(unavailable(to)),
        };
        let sees_jids = self.sees_jids(prober);
        let (payload, notice) = (probed.payload(), Notice::default());
        let is_self = probed.key == prober.key;
        Some(presence::build(probed, kind, payload, &notice, sees_jids, is_self))
    }

    fn prober(&self, from: &Jid) -> Option<&Occupant> {
        let by_account = || self.occupants().find(|o| o.account.as_str() == from.as_str());
        self.occupant_at(from).or_else(by_account)
    }
}

/// Nobody is there, for all that the one who asks may know.
fn unavailable(from: &Jid) -> Stanza {
    let item = Element::new("item", ns::MUC_USER)
        .with_attr("affiliation", Affiliation::None.as_str())
        .with_attr("role", Role::None.as_str());
    let kind = StanzaKind::Presence(PresenceType::Unavailable);
    let x = Element::new("x", ns::MUC_USER).with_child(item);
    Stanza::new(kind, from.clone(), None).with_child(x)
}
