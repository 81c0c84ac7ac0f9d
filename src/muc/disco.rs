//! What a room tells of itself (XEP-0045 §6.4 to §6.6, §7.12, §18.1.1): generated from its options
//! and from what is implemented.

use super::dispatch::ROUTES;
use super::listing::{LIST_ITEMS_MAX, PAGE_ITEMS_MAX, room_for_items};
use super::room::Room;
use crate::config::{SLOW_MODE_SECONDS_MAX, Whois};
use crate::cx::Cx;
use crate::xml::Element;
use crate::xmpp::dataform::Form;
use crate::xmpp::disco::{DiscoInfo, Identity};
use crate::xmpp::rsm::Page;
use crate::xmpp::{Affiliation, BareJid, Condition, ns};

/// Reserved nicks (§7.12).
const NODE_RESERVED_NICK: &str = "x-roomuser-item";
/// What is let through (§18.1.1).
const NODE_TRAFFIC: &str = "http://jabber.org/protocol/muc#traffic";

/// What a node of a room answers: only the room itself is there yet.
fn check_node(query: &Element) -> Result<(), Condition> {
    match query.attr("node") {
        None | Some("") => Ok(()),
        Some(NODE_TRAFFIC) => Err(Condition::ServiceUnavailable), // §18.1.1
        Some(_) => Err(Condition::ItemNotFound),                  // XEP-0030 §7
    }
}

/// A feature, and whether a room has it.
type Feature = (&'static str, fn(&Room) -> bool);

/// What a room can say of itself beside its [`ROUTES`] (§6.4, §16.3).
const FEATURES: &[Feature] = &[
    (ns::MUC, |_| true),
    (ns::MUC_STABLE_ID, |_| true),
    (ns::MUC_REQUEST, |_| true),
    (ns::MUC_SELF_PING, |_| true),
    (ns::OCCUPANT_ID, |_| true),
    (ns::SID, |_| true),
    (ns::HATS, |_| true),
    (ns::MUC_AFFILIATIONS, |_| true),
    (ns::MAM, Room::keeps_archive),
    (crate::archives::EXTENDED, Room::keeps_archive),
    (ns::RETRACT, Room::keeps_archive),
    ("urn:xmpp:message-retract:1#tombstone", Room::keeps_archive),
    (ns::RSM, |room| room.options.occupants_in_disco),
    ("muc_passwordprotected", |room| !room.options.password.is_empty()),
    ("muc_unsecured", |room| room.options.password.is_empty()),
    ("muc_public", |room| room.options.public),
    ("muc_hidden", |room| !room.options.public),
    ("muc_persistent", |room| room.options.persistent),
    ("muc_temporary", |room| !room.options.persistent),
    ("muc_membersonly", |room| room.options.members_only),
    ("muc_open", |room| !room.options.members_only),
    ("muc_moderated", |room| room.options.moderated),
    ("muc_unmoderated", |room| !room.options.moderated),
    ("muc_nonanonymous", |room| room.options.whois == Whois::Anyone),
    ("muc_semianonymous", |room| room.options.whois == Whois::Moderators),
];

/// A field of the `muc#roominfo` form: name, label, and what it says to `asker`, `None` when it is
/// left out.
type Field = (&'static str, &'static str, fn(&Room, asker: &BareJid) -> Option<String>);

/// The fields that there are (§16.5.4; any of `muc#roomconfig` may be among them, §6.4). Contact
/// addresses are not: they would be the real ones of the owners (§14.5).
const FIELDS: &[Field] = &[
    ("muc#roominfo_description", "Description", |room, _| Some(room.options.description.clone())),
    ("muc#roominfo_lang", "Language of the discussion", |room, _| Some(room.options.lang.clone())),
    ("muc#roominfo_subject", "Subject", |room, asker| {
        let subject = room.subject.as_ref().filter(|_| room.shows_inside_to(asker));
        subject.map(|subject| subject.text())
    }),
    ("muc#roominfo_subjectmod", "Participants may change the subject", subject_mod),
    ("muc#roomconfig_changesubject", "Participants may change the subject", subject_mod),
    ("muc#roominfo_occupants", "Occupants", |room, asker| {
        // §6.4: it may be told; admins can list occupants from outside (§9.8).
        let may_know =
            room.shows_inside_to(asker) || room.affiliation_of(asker) >= Affiliation::Admin;
        may_know.then(|| room.occupants_count().to_string())
    }),
    ("muc#maxhistoryfetch", "Messages of history", |room, _| {
        Some(room.options.history_messages.to_string())
    }),
    ("hats#hash", "Hats hash", |room, _| room.hats.hash()), // XEP-0317 §2
];

fn subject_mod(room: &Room, _: &BareJid) -> Option<String> {
    Some(if room.options.change_subject { "1" } else { "0" }.to_owned())
}

impl Room {
    /// disco#info (§6.4).
    pub fn disco_info(
        &self,
        cx: &Cx,
        asker: &BareJid,
        query: &Element,
    ) -> Result<Element, Condition> {
        if query.attr("node") == Some(NODE_RESERVED_NICK) {
            return Ok(self.reserved_nick_info(asker, NODE_RESERVED_NICK)); // §7.12
        }
        if let Some(node) = query.attr("node")
            && let Some(info) = self.command_info(asker, node)
        {
            return Ok(info?.to_element(Some(node)));
        }
        check_node(query)?;
        let identity =
            Identity { category: "conference", kind: "text", name: self.title().to_owned() };
        let mut info = DiscoInfo { identities: vec![identity], ..DiscoInfo::default() };
        info.add_features(ROUTES.iter().filter_map(|route| route.feature));
        info.add_features(self.features());
        let form = Form::result(ns::MUC_ROOMINFO);
        let form = FIELDS.iter().fold(form, |form, (var, label, value)| match value(self, asker) {
            Some(value) => form.text(var, label, &value),
            None => form,
        });
        info.forms.push(self.with_others(cx, form).into_element());
        Ok(info.to_element(query.attr("node")))
    }

    /// Adds the fields that have a shape of their own.
    fn with_others(&self, cx: &Cx, form: Form) -> Form {
        let avatars: Vec<_> = self.avatar_hashes().iter().map(String::as_str).collect();
        let form = match &avatars[..] {
            [] => form,
            some => form.lines("muc#roominfo_avatarhash", "Avatar hash", some), // XEP-0486 §3.3
        };
        let form = form.number(
            "muc#roominfo_slow_mode_duration", // XEP-0500 §5.2
            "Seconds between two messages of a user",
            self.options.slow_mode_seconds,
            ..=SLOW_MODE_SECONDS_MAX,
        );
        self.with_activity(cx.now, form)
    }

    /// The features that depend on what the room is.
    pub fn features(&self) -> impl Iterator<Item = &'static str> {
        let present = FEATURES.iter().filter(|(_, is_present)| is_present(self));
        present.map(|(feature, _)| *feature)
    }

    /// True when what is said inside, and who is there, is told to `asker`: to occupants, and to
    /// whoever could come and see for itself (§14.4).
    pub fn shows_inside_to(&self, asker: &BareJid) -> bool {
        let options = &self.options;
        let may_enter = match self.affiliation_of(asker) {
            Affiliation::Outcast => false,
            Affiliation::None => options.public && !options.members_only,
            _ => true,
        };
        may_enter && options.password.is_empty()
            || self.is_server_admin(asker)
            || self.occupants().any(|occupant| occupant.account == *asker)
    }

    /// disco#items (§6.5): the occupants where that is allowed, else nothing; in pages when they
    /// are asked for, or are too many (XEP-0059).
    pub fn disco_items(&self, asker: &BareJid, query: &Element) -> Result<Element, Condition> {
        if let Some(node) = query.attr("node")
            && let Some(items) = self.command_items(asker, node)
        {
            let list = Element::new("query", ns::DISCO_ITEMS).with_attr("node", node);
            return Ok(items.into_iter().fold(list, Element::with_child));
        }
        check_node(query)?;
        let items = Element::new("query", ns::DISCO_ITEMS);
        if !self.options.occupants_in_disco || !self.shows_inside_to(asker) {
            return Ok(items);
        }
        let shown = self.occupants().filter(|occupant| occupant.is_shown);
        let shown: Vec<&str> = shown.map(|occupant| occupant.jid.as_str()).collect();
        let wanted = Page::read(query)?;
        let items_max = if wanted.is_some() { PAGE_ITEMS_MAX } else { LIST_ITEMS_MAX };
        let item = |jid: &&str| Element::new("item", ns::DISCO_ITEMS).with_attr("jid", *jid);
        let mut has_room = room_for_items();
        let fits = |jid: &&str| has_room(&item(jid));
        let (page, set) =
            wanted.clone().unwrap_or_default().cut(&shown, |jid| jid, items_max, fits)?;
        let items = page.iter().map(item).fold(items, Element::with_child);
        // XEP-0059 §2.2: of an empty list there are no pages.
        let is_part = !shown.is_empty() && (wanted.is_some() || page.len() < shown.len());
        Ok(items.with_child_opt(is_part.then(|| set.to_element())))
    }
}
