//! What an account says of itself (XEP-0030, WIRE 46).

use super::*;
use crate::im::answer_stranger;

const ORCHARD: &str = "romeo@localhost/orchard";

fn query(ns: &'static str) -> Element {
    Element::new("query", ns)
}

#[test]
fn an_account_tells_its_owner() {
    let mut world = World::new();
    world.im.advertise([ns::PING, ns::REGISTER, ns::REGISTER]);
    let orchard = world.available(ORCHARD, 0);
    let info = world.ask(orchard, ORCHARD, IqType::Get, query(ns::DISCO_INFO));
    let info = info.ok().flatten().expect("disco#info");
    let identity = info.child("identity", ns::DISCO_INFO).expect("an identity");
    assert_eq!(
        (identity.attr("category"), identity.attr("type")),
        (Some("account"), Some("registered"))
    );
    let features = info.elements().filter_map(|child| child.attr("var"));
    // Those of its nodes: tests/scenarios/pep_disco.scs.
    let features: Vec<_> = features.filter(|feature| !feature.starts_with(ns::PUBSUB)).collect();
    let own = [ns::DISCO_INFO, ns::DISCO_ITEMS, ns::LAST, ns::VCARD_TEMP, ns::PRIVATE];
    let own = [&own[..], &[ns::CARBONS, ns::BLOCKING]].concat();
    let of_archives = [ns::MAM, "urn:xmpp:mam:2#extended", ns::SID];
    let conversions = [ns::PEP_VCARD_CONVERSION, ns::BOOKMARKS_COMPAT, ns::BOOKMARKS_COMPAT_PEP];
    let all = [&own[..], &of_archives, &[ns::PING, ns::REGISTER], &conversions].concat();
    assert_eq!(features, all);
    let items = world.ask(orchard, ORCHARD, IqType::Get, query(ns::DISCO_ITEMS));
    let items = items.ok().flatten().expect("disco#items");
    let jids: Vec<_> = items.elements().filter_map(|child| child.attr("jid")).collect();
    assert_eq!(jids, [ORCHARD]);
    for ns in [ns::DISCO_INFO, ns::DISCO_ITEMS] {
        let error = world.ask(orchard, ORCHARD, IqType::Get, query(ns).with_attr("node", "x"));
        assert_eq!(error, Err(Condition::ItemNotFound));
    }
}

#[test]
fn strangers_learn_nothing() {
    let ask = |kind, payload: Element| {
        let (from, to) = (jid(ORCHARD), Some(jid("juliet@localhost")));
        let request = Stanza::new(StanzaKind::Iq(kind), from, to).with_child(payload);
        answer_stranger(&request).map_err(|error| error.condition)
    };
    let unavailable = Err(Condition::ServiceUnavailable);
    assert_eq!(ask(IqType::Get, query(ns::DISCO_INFO)), unavailable);
    assert_eq!(ask(IqType::Get, query(ns::ROSTER)), unavailable);
    assert_eq!(ask(IqType::Set, query(ns::DISCO_ITEMS)), unavailable);
    assert_eq!(ask(IqType::Get, query(ns::DISCO_ITEMS)), Ok(Some(query(ns::DISCO_ITEMS))));
    let node = query(ns::DISCO_ITEMS).with_attr("node", "x");
    assert_eq!(ask(IqType::Get, node.clone()), Ok(Some(node)));
}
