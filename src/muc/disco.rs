//! What a room tells of itself (XEP-0045 §6.4 to §6.6, §7.12, §18.1.1): generated from its options
//! and from what is implemented.

use super::dispatch::ROUTES;
use super::room::Room;
use crate::config::Whois;
use crate::xml::Element;
use crate::xmpp::dataform::Form;
use crate::xmpp::disco::{DiscoInfo, Identity};
use crate::xmpp::{Condition, ns};

/// Reserved nicks (§7.12).
const NODE_RESERVED_NICK: &str = "x-roomuser-item";
/// What is let through (§18.1.1).
const NODE_TRAFFIC: &str = "http://jabber.org/protocol/muc#traffic";

/// What a node of a room answers: only the room itself is there yet.
fn check_node(query: &Element) -> Result<(), Condition> {
    match query.attr("node") {
        None | Some("") => Ok(()),
        Some(NODE_RESERVED_NICK) => Err(Condition::FeatureNotImplemented), // §7.12
        Some(NODE_TRAFFIC) => Err(Condition::ServiceUnavailable),          // §18.1.1
        Some(_) => Err(Condition::ItemNotFound),                           // XEP-0030 §7
    }
}

impl Room {
    /// disco#info (§6.4).
    pub fn disco_info(&self, query: &Element) -> Result<Element, Condition> {
        check_node(query)?;
        let options = &self.options;
        let pair =
            |is_set: bool, yes: &'static str, no: &'static str| if is_set { yes } else { no };
        let identity =
            Identity { category: "conference", kind: "text", name: self.title().to_owned() };
        let of_routes = ROUTES.iter().filter_map(|route| route.feature);
        let info = DiscoInfo {
            identities: vec![identity],
            features: of_routes
                .chain([
                    ns::MUC,
                    ns::MUC_STABLE_ID,
                    ns::MUC_SELF_PING,
                    ns::OCCUPANT_ID,
                    ns::SID,
                    ns::MUC_AFFILIATIONS,
                    pair(!options.password.is_empty(), "muc_passwordprotected", "muc_unsecured"),
                    pair(options.public, "muc_public", "muc_hidden"),
                    pair(options.persistent, "muc_persistent", "muc_temporary"),
                    pair(options.members_only, "muc_membersonly", "muc_open"),
                    pair(options.moderated, "muc_moderated", "muc_unmoderated"),
                    pair(options.whois == Whois::Anyone, "muc_nonanonymous", "muc_semianonymous"),
                ])
                .collect(),
            forms: vec![self.room_info()],
        };
        Ok(info.to_element(query.attr("node")))
    }

    /// The `muc#roominfo` form (§16.5.4). What is said inside is told only where anybody could
    /// come and read it.
    fn room_info(&self) -> Element {
        let options = &self.options;
        let may_enter = options.public && !options.members_only && options.password.is_empty();
        let flag = |is_set: bool| if is_set { "1" } else { "0" };
        let mut form = Form::result(ns::MUC_ROOMINFO)
            .text("muc#roominfo_description", "Description", &options.description)
            .text("muc#roominfo_lang", "Language of the discussion", &options.lang);
        if may_enter && let Some(subject) = &self.subject {
            form = form.text("muc#roominfo_subject", "Subject", &subject.text());
        }
        let subject_mod = flag(options.change_subject);
        form.text("muc#roominfo_subjectmod", "Participants may change the subject", subject_mod)
            .text("muc#roominfo_occupants", "Occupants", &self.occupants_count().to_string())
            .text(
                "muc#maxhistoryfetch",
                "Messages of history",
                &options.history_messages.to_string(),
            )
            .into_element()
    }

    /// disco#items (§6.5): the occupants where that is allowed, else nothing.
    pub fn disco_items(&self, query: &Element) -> Result<Element, Condition> {
        check_node(query)?;
        let items = Element::new("query", ns::DISCO_ITEMS);
        if !self.options.occupants_in_disco {
            return Ok(items);
        }
        let shown = self.occupants().filter(|occupant| occupant.is_shown);
        let item = |jid: &str| Element::new("item", ns::DISCO_ITEMS).with_attr("jid", jid);
        Ok(shown.map(|occupant| item(occupant.jid.as_str())).fold(items, Element::with_child))
    }
}
