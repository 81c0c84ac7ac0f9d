//! What the server says of itself (XEP-0030, XEP-0115): made of the tables that dispatch, so that
//! nothing is advertised that is not answered, and the same for every client.

use crate::cx::Cx;
use crate::im;
use crate::iq::{self, Scope};
use crate::muc;
use crate::xml::Element;
use crate::xmpp::disco::{DiscoInfo, Identity};
use crate::xmpp::ns;
use crate::xmpp::{Condition, IqType, Stanza, StanzaError, StanzaKind};

/// The identity and features of the domains with accounts.
pub fn server_info() -> DiscoInfo {
    let mut features = vec![ns::DISCO_INFO, ns::DISCO_ITEMS];
    let own = iq::ROUTES.iter().filter(|route| route.scopes.contains(&Scope::Server));
    let of_accounts = im::ROUTES.iter().filter_map(|route| route.feature);
    features.extend(own.filter_map(|route| route.feature).chain(of_accounts));
    features.sort_unstable();
    features.dedup();
    let identity = Identity { category: "server", kind: "im", name: "Tercet".to_owned() };
    DiscoInfo { identities: vec![identity], features, forms: Vec::new() }
}

/// The answer to a request for the features of the room service; `None`: it is not that.
pub fn answer_room_service(stanza: &Stanza) -> Result<Option<Element>, StanzaError> {
    let is_get = stanza.kind == StanzaKind::Iq(IqType::Get);
    let Some(payload) = stanza.iq_payload().filter(|_| is_get) else { return Ok(None) };
    if !payload.is("query", ns::DISCO_INFO) {
        return Ok(None);
    }
    if payload.attr("node").is_some() {
        return Err(Condition::ItemNotFound.into());
    }
    let mut info = muc::service_disco_info();
    let own = iq::ROUTES.iter().filter(|route| route.scopes.contains(&Scope::RoomService));
    info.features.extend(own.filter_map(|route| route.feature));
    info.features.sort_unstable();
    info.features.dedup();
    Ok(Some(info.to_element(None)))
}

/// The answer to a disco request addressed to a domain with accounts; `None`: it is not disco.
pub fn answer(cx: &Cx, stanza: &Stanza) -> Result<Option<Element>, StanzaError> {
    let Some(payload) = stanza.iq_payload() else { return Ok(None) };
    if stanza.kind != StanzaKind::Iq(IqType::Get) {
        return Ok(None);
    }
    let node = payload.attr("node");
    if payload.is("query", ns::DISCO_INFO) {
        let own_caps = format!("{}#{}", ns::CAPS_NODE, cx.caps_ver);
        return match node {
            Some(node) if node != own_caps => Err(Condition::ItemNotFound.into()),
            node => Ok(Some(server_info().to_element(node))),
        };
    }
    if payload.is("query", ns::DISCO_ITEMS) {
        if node.is_some() {
            return Err(Condition::ItemNotFound.into());
        }
        let mut query = Element::new("query", ns::DISCO_ITEMS);
        for domain in &cx.config.rooms.domains {
            query.push(
                Element::new("item", ns::DISCO_ITEMS)
                    .with_attr("jid", domain.as_str())
                    .with_attr("name", "Rooms"),
            );
        }
        return Ok(Some(query));
    }
    Ok(None)
}
