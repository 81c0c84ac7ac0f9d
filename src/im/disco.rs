//! What an account says of itself (XEP-0030): to its owner everything, to others nothing, so that
//! nobody harvests names or learns who is connected (XEP-0030 §8, WIRE 46).

use crate::cx::Cx;
use crate::xml::Element;
use crate::xmpp::disco::{DiscoInfo, Identity};
use crate::xmpp::{Condition, IqType, Stanza, StanzaError, StanzaKind, ns};

use super::{Im, ROUTES, Request};

/// disco#info of the sender's own account.
pub(super) fn handle_info(
    im: &mut Im,
    _: &mut Cx,
    request: &Request<'_>,
) -> Result<Option<Element>, StanzaError> {
    check_node(request.payload)?;
    let mut info = DiscoInfo {
        identities: vec![Identity {
            category: "account",
            kind: "registered",
            name: request.stanza.from.local().unwrap_or_default().to_owned(),
        }],
        ..DiscoInfo::default()
    };
    info.add_features(ROUTES.iter().filter_map(|route| route.feature));
    info.add_features(super::archive::FEATURES.iter().copied());
    info.add_features(im.features_elsewhere.iter().copied());
    Ok(Some(info.to_element(None)))
}

/// disco#items of the sender's own account: its available resources (XEP-0030 §4, RFC 6121).
pub(super) fn handle_items(
    im: &mut Im,
    _: &mut Cx,
    request: &Request<'_>,
) -> Result<Option<Element>, StanzaError> {
    check_node(request.payload)?;
    let mut query = Element::new("query", ns::DISCO_ITEMS);
    for (_, session, _) in im.available_in(&request.stanza.from.to_bare()) {
        let jid = session.full_jid.as_str();
        query.push(Element::new("item", ns::DISCO_ITEMS).with_attr("jid", jid));
    }
    Ok(Some(query))
}

/// Answers an iq get or set to the bare address of somebody else's account, whether there is such
/// an account or not: disco#items is empty, everything else `service-unavailable` (XEP-0030 §8).
pub fn answer_stranger(request: &Stanza) -> Result<Option<Element>, StanzaError> {
    let payload = request.iq_payload().ok_or(Condition::BadRequest)?;
    let asks_items =
        request.kind == StanzaKind::Iq(IqType::Get) && payload.is("query", ns::DISCO_ITEMS);
    if !asks_items {
        return Err(Condition::ServiceUnavailable.into());
    }
    let query = Element::new("query", ns::DISCO_ITEMS);
    Ok(Some(query.with_attr_opt("node", payload.attr("node"))))
}

/// Accounts have no nodes.
fn check_node(query: &Element) -> Result<(), StanzaError> {
    match query.attr("node") {
        Some(_) => Err(Condition::ItemNotFound.into()),
        None => Ok(()),
    }
}
