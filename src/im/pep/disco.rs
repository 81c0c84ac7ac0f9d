//! What an account says of its nodes (XEP-0163 §6, XEP-0060 §5.1 to §5.5).

use crate::cx::Cx;
use crate::im::{Im, Request};
use crate::storage::PepNode;
use crate::xml::Element;
use crate::xmpp::dataform::Form;
use crate::xmpp::datetime::format_utc;
use crate::xmpp::disco::{DiscoInfo, Identity};
use crate::xmpp::{BareJid, StanzaError, ns};

use super::config::{access_str, items_str, publishers_str};

/// Items of a node that disco#items lists; all can be had by asking for them.
const LISTED_ITEMS_MAX: usize = 500;

/// What works of XEP-0060 §10.
const FEATURES: &[&str] = &[
    ns::PUBSUB,
    "http://jabber.org/protocol/pubsub#pubsub-on-a-jid",
    "http://jabber.org/protocol/pubsub#access-open",
    "http://jabber.org/protocol/pubsub#access-presence",
    "http://jabber.org/protocol/pubsub#access-roster",
    "http://jabber.org/protocol/pubsub#access-whitelist",
    "http://jabber.org/protocol/pubsub#auto-create",
    "http://jabber.org/protocol/pubsub#auto-subscribe",
    "http://jabber.org/protocol/pubsub#config-node",
    "http://jabber.org/protocol/pubsub#config-node-max",
    "http://jabber.org/protocol/pubsub#create-and-configure",
    "http://jabber.org/protocol/pubsub#create-nodes",
    "http://jabber.org/protocol/pubsub#delete-items",
    "http://jabber.org/protocol/pubsub#delete-nodes",
    "http://jabber.org/protocol/pubsub#filtered-notifications",
    "http://jabber.org/protocol/pubsub#instant-nodes",
    "http://jabber.org/protocol/pubsub#item-ids",
    "http://jabber.org/protocol/pubsub#last-published",
    "http://jabber.org/protocol/pubsub#manage-subscriptions",
    "http://jabber.org/protocol/pubsub#member-affiliation",
    "http://jabber.org/protocol/pubsub#meta-data",
    "http://jabber.org/protocol/pubsub#modify-affiliations",
    "http://jabber.org/protocol/pubsub#multi-items",
    "http://jabber.org/protocol/pubsub#outcast-affiliation",
    "http://jabber.org/protocol/pubsub#persistent-items",
    "http://jabber.org/protocol/pubsub#presence-subscribe",
    "http://jabber.org/protocol/pubsub#publish",
    "http://jabber.org/protocol/pubsub#publish-options",
    "http://jabber.org/protocol/pubsub#publisher-affiliation",
    "http://jabber.org/protocol/pubsub#purge-nodes",
    "http://jabber.org/protocol/pubsub#retract-items",
    "http://jabber.org/protocol/pubsub#retrieve-affiliations",
    "http://jabber.org/protocol/pubsub#retrieve-default",
    "http://jabber.org/protocol/pubsub#retrieve-items",
    "http://jabber.org/protocol/pubsub#retrieve-subscriptions",
    "http://jabber.org/protocol/pubsub#rsm",
    "http://jabber.org/protocol/pubsub#subscribe",
];

/// Adds what an account says of itself as a publish-subscribe service (XEP-0163 §6.1).
pub(in crate::im) fn add_to_account(info: &mut DiscoInfo) {
    info.identities.push(Identity { category: "pubsub", kind: "pep", name: String::new() });
    info.add_features(FEATURES.iter().copied());
}

/// The nodes of an account that somebody may read, as items (XEP-0163 §6.2).
pub(in crate::im) fn nodes_for(
    im: &mut Im,
    cx: &mut Cx,
    account: &BareJid,
    asker: &BareJid,
) -> Result<Vec<Element>, StanzaError> {
    let mut items = Vec::new();
    for node in cx.storage.pep_nodes(account)? {
        if im.pep_check_reader(cx, account, &node, asker).is_ok() {
            let title = Some(node.config.title).filter(|title| !title.is_empty());
            let item = Element::new("item", ns::DISCO_ITEMS)
                .with_attr("jid", account.as_str())
                .with_attr("node", node.name)
                .with_attr_opt("name", title);
            items.push(item);
        }
    }
    Ok(items)
}

/// disco#info of a node (XEP-0060 §5.3, §5.4).
pub(in crate::im) fn handle_node_info(
    im: &mut Im,
    cx: &mut Cx,
    request: &Request<'_>,
    name: &str,
) -> Result<Element, StanzaError> {
    let asker = request.stanza.from.to_bare();
    let node = im.pep_readable_node(cx, &request.account, name, &asker)?;
    let mut info = DiscoInfo {
        identities: vec![Identity { category: "pubsub", kind: "leaf", name: String::new() }],
        forms: vec![metadata(&request.account, &node)],
        ..DiscoInfo::default()
    };
    info.add_features([ns::PUBSUB]);
    Ok(info.to_element(Some(name)))
}

/// disco#items of a node: the ids of its items (XEP-0060 §5.5).
pub(in crate::im) fn handle_node_items(
    im: &mut Im,
    cx: &mut Cx,
    request: &Request<'_>,
    name: &str,
) -> Result<Element, StanzaError> {
    let asker = request.stanza.from.to_bare();
    let node = im.pep_readable_node(cx, &request.account, name, &asker)?;
    im.pep_expire(cx, &node)?;
    let mut query = Element::new("query", ns::DISCO_ITEMS).with_attr("node", name);
    for (id, _) in cx.storage.pep_index(&node)?.into_iter().take(LISTED_ITEMS_MAX) {
        let item = Element::new("item", ns::DISCO_ITEMS)
            .with_attr("jid", request.account.as_str())
            .with_attr("name", id);
        query.push(item);
    }
    Ok(query)
}

fn metadata(account: &BareJid, node: &PepNode) -> Element {
    let config = &node.config;
    Form::result(ns::PUBSUB_META_DATA)
        .text("pubsub#type", "What the items are about", &config.semantic_type)
        .jid("pubsub#creator", "Who has made it", account.as_str())
        .text("pubsub#creation_date", "When", &format_utc(node.created_unix_ms))
        .text("pubsub#title", "A name for people", &config.title)
        .text("pubsub#description", "A description", &config.description)
        .list("pubsub#access_model", "Who may read", access_str(config.access), &[])
        .list("pubsub#publish_model", "Who may publish", publishers_str(config.publishers), &[])
        .text("pubsub#max_items", "How many items are kept", &items_str(config.items_max))
        .jids("pubsub#owner", "Whose it is", &[account.as_str()])
        .into_element()
}
