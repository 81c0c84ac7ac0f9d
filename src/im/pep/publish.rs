//! Items come and go (XEP-0060 §7.1, §7.2).

use crate::cx::Cx;
use crate::im::Im;
use crate::storage::{PepConfig, PepItem, PepNode};
use crate::xml::Element;
use crate::xml::writer::write_element;
use crate::xmpp::{BareJid, Condition, Jid, StanzaError, ns};

use super::requests::Asked;
use super::{NAME_BYTES_MAX, PepChange, config, node, node_name, refused, unsupported};

/// Bytes of chance in the id of an item that came without one.
const ITEM_ID_BYTES: usize = 16;

/// What is to be published.
pub(super) struct Publication {
    /// The id of the item.
    pub(super) id: String,
    /// Who publishes.
    pub(super) publisher: Jid,
    /// What it says; may be nothing where events carry no payload.
    pub(super) payload: Option<Element>,
}

/// §7.1
pub(super) fn handle_publish(
    im: &mut Im,
    cx: &mut Cx,
    asked: &Asked<'_>,
) -> Result<Option<Element>, StanzaError> {
    let name = node_name(asked.action)?;
    let node = node_to_publish(im, cx, asked, name)?;
    let item = read_item(asked.action, &node.config)?;
    let id = match item.and_then(|item| item.attr("id")).filter(|id| !id.is_empty()) {
        Some(id) if id.len() > NAME_BYTES_MAX => {
            let error = StanzaError::new(Condition::NotAcceptable);
            return Err(error.with_text("The id of the item is too long"));
        }
        Some(id) => id.to_owned(),
        None => cx.random_hex(ITEM_ID_BYTES),
    };
    let payload = item.and_then(|item| item.elements().next()).cloned();
    let publication = Publication { id: id.clone(), publisher: asked.from.clone(), payload };
    im.pep_put(cx, asked.account, &node, publication)?;
    let item = Element::new("item", ns::PUBSUB).with_attr("id", id);
    let publish = Element::new("publish", ns::PUBSUB).with_attr("node", name).with_child(item);
    Ok(Some(Element::new("pubsub", ns::PUBSUB).with_child(publish)))
}

/// The node, made when its owner publishes to it first (§7.1.4), once the options of the
/// publication are met (§7.1.5).
fn node_to_publish(
    im: &mut Im,
    cx: &mut Cx,
    asked: &Asked<'_>,
    name: &str,
) -> Result<PepNode, StanzaError> {
    let mut rest = asked.pubsub.elements().skip(1);
    let options = match rest.next() {
        None => None,
        Some(options) if options.is("publish-options", ns::PUBSUB) && rest.next().is_none() => {
            config::read(options, ns::PUBSUB_PUBLISH_OPTIONS)?
        }
        Some(_) => return Err(Condition::BadRequest.into()),
    };
    if let Some(node) = cx.storage.pep_node(asked.account, name)? {
        im.pep_check_publisher(cx, asked, &node)?;
        if let Some(options) = &options {
            config::check_preconditions(&node.config, options, &cx.config.limits)?;
        }
        return Ok(node);
    }
    if !asked.is_owner {
        return Err(Condition::Forbidden.into());
    }
    let mut config = PepConfig::default();
    if let Some(options) = &options {
        config::check_known(options)?;
        config = config::with(&config, options, &cx.config.limits)?;
    }
    node::create(cx, asked.account, name, &config)
}

/// The item of a publication, as its node wants it (§7.1.3.6, §7.1.3.7). `pubsub#type` says what
/// payloads are about, not their namespace (§5.4), so that is not compared.
fn read_item<'a>(
    publish: &'a Element,
    config: &PepConfig,
) -> Result<Option<&'a Element>, StanzaError> {
    let bad = |application| refused(Condition::BadRequest, application);
    let mut items = publish.elements();
    let item = items.next();
    if items.next().is_some() || item.is_some_and(|item| !item.is("item", ns::PUBSUB)) {
        return Err(Condition::BadRequest.into());
    }
    let payloads_count = item.map_or(0, |item| item.elements().count());
    match (config.persist, config.notify_payload) {
        (true, _) if item.is_none() => Err(bad("item-required")),
        (false, false) if item.is_some() => Err(bad("item-forbidden")),
        (_, true) if payloads_count == 0 => Err(bad("payload-required")),
        _ if payloads_count > 1 => Err(bad("invalid-payload")),
        _ => Ok(item),
    }
}

/// §7.2
pub(super) fn handle_retract(
    im: &mut Im,
    cx: &mut Cx,
    asked: &Asked<'_>,
) -> Result<Option<Element>, StanzaError> {
    let name = node_name(asked.action)?;
    let mut items = asked.action.elements();
    let (item, None) = (items.next(), items.next()) else {
        return Err(Condition::BadRequest.into());
    };
    let id = item.filter(|item| item.is("item", ns::PUBSUB)).and_then(|item| item.attr("id"));
    let id = id.filter(|id| !id.is_empty());
    let id = id.ok_or_else(|| refused(Condition::BadRequest, "item-required"))?;
    let wants = match asked.action.attr("notify") {
        None => None,
        Some("1" | "true") => Some(true),
        Some("0" | "false") => Some(false),
        Some(_) => return Err(Condition::BadRequest.into()),
    };
    let Some(node) = cx.storage.pep_node(asked.account, name)? else {
        let condition = if asked.is_owner { Condition::ItemNotFound } else { Condition::Forbidden };
        return Err(condition.into());
    };
    im.pep_check_publisher(cx, asked, &node)?;
    if !node.config.persist {
        return Err(unsupported("persistent-items"));
    }
    let item = cx.storage.pep_item(&node, id)?.ok_or(Condition::ItemNotFound)?;
    // §7.2.3.1: a publisher who is not the owner takes back what is its own.
    let is_own = Jid::parse(&item.publisher).is_ok_and(|jid| jid.to_bare() == asked.asker);
    if !asked.is_owner && !is_own {
        return Err(Condition::Forbidden.into());
    }
    // §7.2.2.1: who retracts decides, else the node does.
    let notifies = wants.unwrap_or(node.config.notify_retract);
    im.pep_take(cx, asked.account, &node, id, notifies)?;
    Ok(None)
}

impl Im {
    /// Puts an item into a node: within the limits, with the oldest making room, and told.
    pub(super) fn pep_put(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        node: &PepNode,
        publication: Publication,
    ) -> Result<(), StanzaError> {
        let Publication { id, publisher, payload } = publication;
        let xml = payload.as_ref().map(to_xml).unwrap_or_default();
        let item =
            PepItem { uid: id, publisher: publisher.to_string(), unix_ms: cx.now.unix_ms, xml };
        let item_bytes_max = cx.config.limits.pep_item_bytes;
        if item_bytes_max > 0 && item.xml.len() > item_bytes_max {
            // §7.1.3.5
            return Err(refused(Condition::NotAcceptable, "payload-too-big"));
        }
        let mut pruned = Vec::new();
        if node.config.persist {
            self.pep_expire(cx, node)?;
            cx.storage.pep_item_put(node, &item)?;
            pruned =
                cx.storage.pep_prune(node, node::items_kept(&node.config, &cx.config.limits))?;
            let bytes_max = cx.config.limits.pep_bytes;
            if bytes_max > 0 && cx.storage.pep_usage(account)?.bytes > bytes_max {
                let error = StanzaError::new(Condition::ResourceConstraint);
                return Err(error.with_text("The nodes of this account hold too much"));
            }
        }
        let change = PepChange::Published(payload.as_ref());
        self.handle_pep_change(cx, account, &node.name, change)?;
        // The item that takes the place of the only one is not told to have gone (§7.1.2.5).
        if !pruned.is_empty() && node.config.items_max > 1 {
            self.handle_pep_change(cx, account, &node.name, PepChange::Retracted(&pruned))?;
            self.pep_tell_retracted(cx, account, node, &pruned)?;
        }
        self.pep_tell_item(cx, account, node, &item, payload)
    }

    /// Takes an item out of a node; `false` when it is not there.
    pub(super) fn pep_take(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        node: &PepNode,
        id: &str,
        notifies: bool,
    ) -> Result<bool, StanzaError> {
        if !cx.storage.pep_item_remove(node, id)? {
            return Ok(false);
        }
        let ids = [id.to_owned()];
        self.handle_pep_change(cx, account, &node.name, PepChange::Retracted(&ids))?;
        if notifies {
            self.pep_tell_ids(cx, account, node, &ids)?;
        }
        Ok(true)
    }

    /// Removes what is too old (`pubsub#item_expire`); nobody is told.
    pub(super) fn pep_expire(&mut self, cx: &mut Cx, node: &PepNode) -> Result<(), StanzaError> {
        let seconds = i64::from(node.config.expire_seconds);
        if seconds > 0 {
            cx.storage.pep_expire(node, cx.now.unix_ms - seconds * 1000)?;
        }
        Ok(())
    }
}

/// The text of a payload, as it stands where no namespace is in force.
fn to_xml(payload: &Element) -> String {
    let mut bytes = Vec::new();
    write_element(&mut bytes, payload, "");
    String::from_utf8(bytes).expect("names and texts are UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::read_fragment;

    /// What is stored comes back as it was, whatever namespace it is in.
    #[test]
    fn payloads_survive_storage() {
        for xml in [
            "<a xmlns='urn:x'/>",
            "<a xmlns=''><b xmlns='urn:x'>text</b></a>",
            "<a xmlns='http://jabber.org/protocol/pubsub' xml:lang='de' b='1'><c/></a>",
            "<a xmlns='jabber:client'>&lt;&amp;</a>",
        ] {
            let element = read_fragment(xml.as_bytes(), "urn:around").remove(0);
            let again = read_fragment(to_xml(&element).as_bytes(), "");
            assert_eq!(again, [element], "{xml}");
        }
    }
}
