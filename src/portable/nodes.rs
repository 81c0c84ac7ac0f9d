//! Nodes (§4.10): first what they are, with those whom their owner has put on a list and those who
//! have subscribed (§4.10.1), then their items (§4.10.2). When an item was published has no place
//! in the format: an element in a namespace of our own says it before the item.
//!
//! A node that is spoken of before its configuration is closed to others until that comes; without
//! one it may have no items. A field that is not understood, or not possible here, is left out and
//! told (§4.10.1); but what decides who may read and write closes the node then.

use super::OURS;
use super::contacts::to_text;
use super::export::{Writer, text};
use super::import::{Import, User};
use super::state::stamp;
use crate::node_config::{self, NAME_BYTES_MAX};
use crate::storage::{
    PepAccess, PepAffiliation, PepConfig, PepItem, PepNode, PepPublishers, Storage,
};
use crate::xml::{Element, read_fragment};
use crate::xmpp::bookmarks;
use crate::xmpp::dataform::{Submission, Submitted};
use crate::xmpp::datetime::{format_utc, parse_utc};
use crate::xmpp::{BareJid, Jid, ns};

/// When a node was made: a field of its meta-data (XEP-0060 §16.4.3), which others ignore here.
const CREATED: &str = "pubsub#creation_date";

pub(super) fn write(
    storage: &mut Storage,
    account: &BareJid,
    writer: &mut Writer<'_>,
) -> Result<(), String> {
    let nodes = storage.pep_nodes(account).map_err(text)?;
    if nodes.is_empty() {
        return Ok(());
    }
    writer.open("pubsub", ns::PUBSUB_OWNER, &[]);
    for node in &nodes {
        writer.element(&configure(node))?;
        write_people(storage, node, writer)?;
    }
    writer.close();
    writer.open("pubsub", ns::PUBSUB, &[]);
    for node in &nodes {
        writer.open("items", ns::PUBSUB, &[("node", node.name.as_str())]);
        for (uid, _) in storage.pep_index(node).map_err(text)? {
            let Some(item) = storage.pep_item(node, &uid).map_err(text)? else { continue };
            let published = Element::new("published", OURS);
            writer.element(&published.with_attr("stamp", format_utc(item.unix_ms)))?;
            let element = Element::new("item", ns::PUBSUB)
                .with_attr("id", uid)
                .with_attr("publisher", item.publisher);
            let payload = read_fragment(item.xml.as_bytes(), "").pop();
            writer.element(&element.with_child_opt(payload))?;
        }
        writer.close();
    }
    writer.close();
    Ok(())
}

fn configure(node: &PepNode) -> Element {
    let created = Element::new("value", ns::DATA).with_text(format_utc(node.created_unix_ms));
    let created = Element::new("field", ns::DATA).with_attr("var", CREATED).with_child(created);
    // The type is that of the example in §4.10.2.
    let mut form = node_config::result(&node.config).with_child(created);
    form.set_attr("type", "form");
    let configure = Element::new("configure", ns::PUBSUB_OWNER);
    configure.with_attr("node", node.name.as_str()).with_child(form)
}

/// `<affiliations/>` and `<subscriptions/>` of a node, where there are any.
fn write_people(
    storage: &mut Storage,
    node: &PepNode,
    writer: &mut Writer<'_>,
) -> Result<(), String> {
    let entry = |name: &'static str, jid: &str, what: &'static str, value: &'static str| {
        let entry = Element::new(name, ns::PUBSUB_OWNER);
        entry.with_attr("jid", jid).with_attr(what, value)
    };
    let affiliations = storage.pep_affiliations(node).map_err(text)?;
    let affiliations = affiliations.iter().map(|(jid, affiliation)| {
        entry("affiliation", jid.as_str(), "affiliation", affiliation.as_str())
    });
    let subscribers = storage.pep_subscribers(node).map_err(text)?;
    let subscriptions = subscribers
        .iter()
        .map(|jid| entry("subscription", jid.as_str(), "subscription", "subscribed"));
    for (name, entries) in [
        ("affiliations", affiliations.collect::<Vec<_>>()),
        ("subscriptions", subscriptions.collect()),
    ] {
        if !entries.is_empty() {
            let list = Element::new(name, ns::PUBSUB_OWNER).with_attr("node", node.name.as_str());
            writer.element(&entries.into_iter().fold(list, Element::with_child))?;
        }
    }
    Ok(())
}

/// A child of `<pubsub/>` of owners.
pub(super) fn read_owned(
    import: &mut Import<'_>,
    user: &mut User,
    _: &Element,
    element: &Element,
) -> Result<(), String> {
    if element.is("configure", ns::PUBSUB_OWNER) {
        read_configuration(import, user, element)
    } else if element.is("affiliations", ns::PUBSUB_OWNER) {
        read_affiliations(import, user, element)
    } else if element.is("subscriptions", ns::PUBSUB_OWNER) {
        read_subscriptions(import, user, element)
    } else {
        import.leave_out(element);
        Ok(())
    }
}

fn read_configuration(
    import: &mut Import<'_>,
    user: &mut User,
    configure: &Element,
) -> Result<(), String> {
    let name = node_name(configure)?;
    let mut form = configure.child("x", ns::DATA).cloned();
    let form = form.as_mut().ok_or("a configuration without a form")?;
    // Whatever type it has (§4.10.1 does not say one): it is filled in.
    form.set_attr("type", "submit");
    let Ok(Submission::Submit(form)) = Submission::read(form, ns::PUBSUB_NODE_CONFIG) else {
        return Err(format!("the configuration of the node {name:?} makes no sense"));
    };
    let config = config(import, &form);
    let created = form.text(CREATED).ok().flatten().and_then(parse_utc);
    let (storage, account) = (&mut import.storage, &user.account);
    match storage.pep_node(account, name).map_err(text)? {
        Some(node) => storage.pep_node_configure(&node, &config).map_err(text)?,
        None => {
            let created = created.unwrap_or(import.unix_ms);
            storage.pep_node_create(account, name, &config, created).map_err(text)?;
        }
    }
    user.unconfigured.retain(|unconfigured| unconfigured != name);
    Ok(())
}

/// What a form says, field by field.
fn config(import: &mut Import<'_>, form: &Submitted) -> PepConfig {
    let mut config = PepConfig::default();
    for field in form.names().filter(|field| *field != CREATED) {
        if !node_config::is_known(field) {
            import.leave_out(&Element::new(field.to_owned(), ns::PUBSUB_NODE_CONFIG));
            continue;
        }
        match node_config::with(&config, &form.only(field), &import.config.limits) {
            Ok(with) => config = with,
            Err(_) => {
                import.leave_out(&Element::new(field.to_owned(), ns::PUBSUB_NODE_CONFIG));
                match field {
                    "pubsub#access_model" => config.access = PepAccess::Whitelist,
                    "pubsub#publish_model" => config.publishers = PepPublishers::Publishers,
                    // Nothing that was kept is to be lost.
                    "pubsub#max_items" => config.items_max = u32::MAX,
                    _ => {}
                }
            }
        }
    }
    config
}

fn read_affiliations(
    import: &mut Import<'_>,
    user: &mut User,
    list: &Element,
) -> Result<(), String> {
    let node = node(import, user, list)?;
    for entry in list.elements() {
        let jid = subject(entry)?.to_bare();
        match (entry.attr("affiliation"), jid == user.account) {
            (Some("none"), _) | (Some("owner"), true) => {}
            (Some(text), false) if PepAffiliation::parse(text).is_some() => {
                let affiliation = PepAffiliation::parse(text);
                let done = import.storage.pep_affiliate(&node, &jid, affiliation);
                done.map_err(self::text)?;
            }
            _ => import.leave_out(entry),
        }
    }
    Ok(())
}

fn read_subscriptions(
    import: &mut Import<'_>,
    user: &mut User,
    list: &Element,
) -> Result<(), String> {
    let node = node(import, user, list)?;
    for entry in list.elements() {
        let jid = subject(entry)?;
        match entry.attr("subscription") {
            Some("subscribed") => import.storage.pep_subscribe(&node, &jid).map_err(text)?,
            Some("none") => {}
            _ => import.leave_out(entry),
        }
    }
    Ok(())
}

/// Whom an entry of a list is about.
fn subject(entry: &Element) -> Result<Jid, String> {
    let jid = entry.attr("jid").unwrap_or_default();
    Jid::parse(jid).map_err(|_| format!("not an address: {jid:?}"))
}

/// What stands in `<items/>`, or in its place.
pub(super) fn read_item(
    import: &mut Import<'_>,
    user: &mut User,
    parent: &Element,
    element: &Element,
) -> Result<(), String> {
    if element.is("published", OURS) {
        user.published_unix_ms = Some(stamp(element)?);
        return Ok(());
    }
    if !parent.is("items", ns::PUBSUB) || !element.is("item", ns::PUBSUB) {
        import.leave_out(element);
        return Ok(());
    }
    let node = node(import, user, parent)?;
    let id = element.attr("id").filter(|id| !id.is_empty() && id.len() <= NAME_BYTES_MAX);
    let publisher = match element.attr("publisher") {
        None => user.account.as_jid().clone(),
        Some(jid) => Jid::parse(jid).map_err(|_| format!("not a publisher: {jid:?}"))?,
    };
    let mut payloads = element.elements();
    let xml = payloads.next().map(|payload| to_text(payload, "")).unwrap_or_default();
    if payloads.next().is_some() {
        return Err("an item with two payloads".to_owned());
    }
    let bytes_max = import.config.limits.pep_item_bytes;
    if bytes_max > 0 && xml.len() > bytes_max {
        return Err(format!("an item is larger than limits.pep_item_bytes ({bytes_max})"));
    }
    let item = PepItem {
        uid: id.ok_or("an item without a possible id")?.to_owned(),
        publisher: publisher.to_string(),
        unix_ms: user.published_unix_ms.take().unwrap_or(import.unix_ms),
        xml,
    };
    import.storage.pep_item_put(&node, &item).map_err(text)
}

/// The node that an element is about; one that is not there yet is closed.
fn node(import: &mut Import<'_>, user: &mut User, element: &Element) -> Result<PepNode, String> {
    let name = node_name(element)?;
    let account = &user.account;
    if let Some(node) = import.storage.pep_node(account, name).map_err(text)? {
        return Ok(node);
    }
    user.unconfigured.push(name.to_owned());
    let config = PepConfig { access: PepAccess::Whitelist, ..PepConfig::default() };
    import.storage.pep_node_create(account, name, &config, import.unix_ms).map_err(text)
}

/// Bookmarks that are in old lists alone (XEP-0048), in private XML or in a node, become items, as
/// they are kept here (XEP-0402): what a client would do by setting such a list.
pub(super) fn convert_bookmarks(import: &mut Import<'_>, account: &BareJid) -> Result<(), String> {
    let (list_ns, unix_ms) = (ns::BOOKMARKS_STORAGE, import.unix_ms);
    let storage = &mut *import.storage;
    if storage.pep_node(account, ns::BOOKMARKS).map_err(text)?.is_some() {
        return Ok(());
    }
    let mut rooms: Vec<(String, Element)> = Vec::new();
    if let Some(node) = storage.pep_node(account, list_ns).map_err(text)? {
        let item = storage.pep_last_item(&node).map_err(text)?;
        let list = item.and_then(|item| read_fragment(item.xml.as_bytes(), "").pop());
        rooms = list.as_ref().map(|list| bookmarks::split(list).0).unwrap_or_default();
    }
    let kept = storage.private_xml(account, list_ns, "storage").map_err(text)?;
    let lists = read_fragment(kept.unwrap_or_default().as_bytes(), "");
    let (more, rest): (Vec<_>, Vec<_>) = lists.iter().map(bookmarks::split).unzip();
    if more.iter().any(|rooms| !rooms.is_empty()) {
        let rest = rest.iter().filter(|list| !list.children.is_empty());
        let xml: String = rest.map(|list| to_text(list, "")).collect();
        let done = match &*xml {
            "" => storage.private_xml_remove(account, list_ns, "storage"),
            _ => storage.private_xml_put(account, list_ns, "storage", &xml),
        };
        done.map_err(text)?;
    }
    rooms.extend(more.into_iter().flatten());
    if rooms.is_empty() {
        return Ok(());
    }
    let config = PepConfig::private(u32::MAX);
    let node = storage.pep_node_create(account, ns::BOOKMARKS, &config, unix_ms).map_err(text)?;
    for (uid, conference) in rooms {
        let (publisher, xml) = (account.as_str().to_owned(), to_text(&conference, ""));
        let item = PepItem { uid, publisher, unix_ms, xml };
        storage.pep_item_put(&node, &item).map_err(text)?;
    }
    Ok(())
}

fn node_name(element: &Element) -> Result<&str, String> {
    let name = element.attr("node").filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| format!("{} without a node", element.name))?;
    match name.len() > NAME_BYTES_MAX {
        true => Err(format!("the name of a node is longer than {NAME_BYTES_MAX} bytes")),
        false => Ok(name),
    }
}
