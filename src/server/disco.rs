//! What the server says of itself (XEP-0030, XEP-0115): made of the tables that dispatch, so that
//! nothing is advertised that is not answered, and the same for every client.

use crate::config::Contact;
use crate::cx::Cx;
use crate::im;
use crate::iq::{self, Scope};
use crate::muc;
use crate::xml::Element;
use crate::xmpp::dataform::Form;
use crate::xmpp::disco::{DiscoInfo, Identity};
use crate::xmpp::ns;
use crate::xmpp::{Condition, IqType, Stanza, StanzaError, StanzaKind};

use super::admin;

/// The identity and features of the domains with accounts, and whom to write to.
pub fn server_info(contact: &Contact) -> DiscoInfo {
    let mut features = vec![ns::DISCO_INFO, ns::DISCO_ITEMS, ns::CAPS, ns::COMMANDS];
    let of_accounts = im::ROUTES.iter().filter_map(|route| route.feature);
    features.extend(iq::features(Scope::Server).chain(of_accounts));
    features.extend(im::FEATURES);
    let identity = Identity { category: "server", kind: "im", name: "Tercet".to_owned() };
    let mut info = DiscoInfo { identities: vec![identity], ..DiscoInfo::default() };
    info.add_features(features);
    info.forms.extend(contact_form(contact));
    info
}

/// Where people find those who run the server (XEP-0157 §3): what is set of it.
fn contact_form(contact: &Contact) -> Option<Element> {
    let Contact { abuse, admin, feedback, sales, security, status, support } = contact;
    let fields = [
        ("abuse-addresses", "Reports of abuse", abuse),
        ("admin-addresses", "Administration", admin),
        ("feedback-addresses", "Feedback", feedback),
        ("sales-addresses", "Sales", sales),
        ("security-addresses", "Security", security),
        ("status-addresses", "Whether the service runs", status),
        ("support-addresses", "Help", support),
    ];
    let mut form = None;
    for (var, label, uris) in fields.into_iter().filter(|(.., uris)| !uris.is_empty()) {
        let uris: Vec<_> = uris.iter().map(String::as_str).collect();
        let so_far = form.unwrap_or_else(|| Form::result(ns::SERVER_INFO));
        form = Some(so_far.lists(var, label, &uris, &[]));
    }
    form.map(Form::into_element)
}

/// The answer to a disco request in this scope; `None`: somebody else answers (the room service
/// its own disco#items, accounts through their table), or it is not disco.
pub fn answer(cx: &Cx, scope: Scope, stanza: &Stanza) -> Result<Option<Element>, StanzaError> {
    let is_get = stanza.kind == StanzaKind::Iq(IqType::Get);
    let Some(payload) = stanza.iq_payload().filter(|_| is_get) else { return Ok(None) };
    match scope {
        Scope::Server => answer_server(cx, stanza, payload),
        Scope::RoomService if payload.is("query", ns::DISCO_INFO) => {
            check_no_node(payload)?;
            let mut info = muc::service_disco_info();
            info.add_features(iq::features(Scope::RoomService));
            Ok(Some(info.to_element(None)))
        }
        Scope::RoomService | Scope::Account => Ok(None),
    }
}

fn check_no_node(payload: &Element) -> Result<(), StanzaError> {
    match payload.attr("node") {
        Some(_) => Err(Condition::ItemNotFound.into()),
        None => Ok(()),
    }
}

/// A disco request to a domain with accounts.
fn answer_server(
    cx: &Cx,
    stanza: &Stanza,
    payload: &Element,
) -> Result<Option<Element>, StanzaError> {
    if payload.is("query", ns::DISCO_INFO) {
        let node = payload.attr("node");
        if let Some(info) = node.and_then(|node| admin::command_info(cx, &stanza.from, node)) {
            return Ok(Some(info?.to_element(node)));
        }
        let own_caps = format!("{}#{}", ns::CAPS_NODE, cx.caps_ver);
        return match node {
            Some(node) if node != own_caps => Err(Condition::ItemNotFound.into()),
            node => Ok(Some(server_info(&cx.config.contact).to_element(node))),
        };
    }
    if payload.is("query", ns::DISCO_ITEMS) {
        if let Some(node) = payload.attr("node") {
            let items = admin::command_items(cx, stanza, node).ok_or(Condition::ItemNotFound)?;
            let query = Element::new("query", ns::DISCO_ITEMS).with_attr("node", node);
            return Ok(Some(items.into_iter().fold(query, Element::with_child)));
        }
        let mut query = Element::new("query", ns::DISCO_ITEMS);
        for domain in &cx.config.rooms.domains {
            query.push(
                Element::new("item", ns::DISCO_ITEMS)
                    .with_attr("jid", domain.as_str())
                    .with_attr("name", "Rooms"),
            );
        }
        for domain in cx.peers.component_domains() {
            query.push(Element::new("item", ns::DISCO_ITEMS).with_attr("jid", domain));
        }
        return Ok(Some(query));
    }
    Ok(None)
}
