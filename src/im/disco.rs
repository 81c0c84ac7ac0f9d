//! What an account says of itself (XEP-0030): everything to its owner and to who sees its presence,
//! to others no more than the nodes that are open to all, so that nobody harvests names or learns
//! who is connected (XEP-0030 §8, WIRE 46).

use crate::cx::Cx;
use crate::xml::Element;
use crate::xmpp::disco::{DiscoInfo, Identity};
use crate::xmpp::{Condition, IqType, Stanza, StanzaError, StanzaKind, ns};

use super::{Im, ROUTES, Request, pep};

/// What is kept the same in two places (XEP-0398 §2, XEP-0402 §5.3).
const CONVERSIONS: [&str; 3] =
    [ns::PEP_VCARD_CONVERSION, ns::BOOKMARKS_COMPAT, ns::BOOKMARKS_COMPAT_PEP];

/// disco#info of an account or one of its nodes.
pub(super) fn handle_info(
    im: &mut Im,
    cx: &mut Cx,
    request: &Request<'_>,
) -> Result<Option<Element>, StanzaError> {
    let is_stranger = !im.is_subscriber(cx, &request.account, &request.stanza.from.to_bare())?;
    if let Some(node) = request.payload.attr("node") {
        let info = pep::handle_node_info(im, cx, request, node);
        return match info {
            Err(_) if is_stranger => answer_stranger(request.stanza),
            info => info.map(Some),
        };
    }
    if is_stranger {
        return answer_stranger(request.stanza);
    }
    let mut info = DiscoInfo {
        identities: vec![Identity {
            category: "account",
            kind: "registered",
            name: request.account.local().unwrap_or_default().to_owned(),
        }],
        ..DiscoInfo::default()
    };
    pep::add_to_account(&mut info);
    info.add_features(ROUTES.iter().filter_map(|route| route.feature));
    info.add_features(super::archive::FEATURES.iter().copied());
    info.add_features(im.features_elsewhere.iter().copied());
    info.add_features(CONVERSIONS);
    Ok(Some(info.to_element(None)))
}

/// disco#items of an account: its available resources (XEP-0030 §4, RFC 6121) and its nodes; or of
/// one of these.
pub(super) fn handle_items(
    im: &mut Im,
    cx: &mut Cx,
    request: &Request<'_>,
) -> Result<Option<Element>, StanzaError> {
    let asker = request.stanza.from.to_bare();
    let is_stranger = !im.is_subscriber(cx, &request.account, &asker)?;
    if let Some(node) = request.payload.attr("node") {
        let items = pep::handle_node_items(im, cx, request, node);
        return match items {
            Err(_) if is_stranger => answer_stranger(request.stanza),
            items => items.map(Some),
        };
    }
    let mut query = Element::new("query", ns::DISCO_ITEMS);
    if !is_stranger {
        for (_, session, _) in im.available_in(&request.account) {
            let jid = session.full_jid.as_str();
            query.push(Element::new("item", ns::DISCO_ITEMS).with_attr("jid", jid));
        }
    }
    for item in pep::nodes_for(im, cx, &request.account, &asker)? {
        query.push(item);
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
