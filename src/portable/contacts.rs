//! The roster (§4.4) and the requests that wait for an answer (§4.9).

use super::export::{Writer, text};
use super::import::{Import, User};
use crate::storage::{RosterItem, Storage, Subscription};
use crate::xml::writer::write_element;
use crate::xml::{Element, read_fragment};
use crate::xmpp::{BareJid, ns};

/// Bytes of a contact's name, and of the name of a group; groups of a contact: as for clients.
const NAME_BYTES_MAX: usize = 1023;
const GROUPS_MAX: usize = 64;

pub(super) fn write(
    storage: &mut Storage,
    account: &BareJid,
    writer: &mut Writer<'_>,
) -> Result<(), String> {
    writer.open("query", ns::ROSTER, &[]);
    for item in storage.roster(account).map_err(text)? {
        writer.element(&item_element(&item))?;
    }
    writer.close();
    for request in storage.requests(account).map_err(text)? {
        for stanza in read_fragment(request.as_bytes(), ns::CLIENT) {
            writer.element(&stanza)?;
        }
    }
    Ok(())
}

/// As in a roster result (RFC 6121 §2.1.2).
fn item_element(item: &RosterItem) -> Element {
    let element = Element::new("item", ns::ROSTER)
        .with_attr("jid", item.jid.as_str())
        .with_attr_opt("name", item.name.as_deref())
        .with_attr("subscription", item.subscription.as_str())
        .with_attr_opt("ask", item.ask.then_some("subscribe"))
        .with_attr_opt("approved", item.approved.then_some("true"));
    let groups = item.groups.iter().map(|group| Element::new("group", ns::ROSTER).with_text(group));
    groups.fold(element, Element::with_child)
}

/// A child of the roster. Nobody is a contact of itself here, which other servers allow.
pub(super) fn read_item(
    import: &mut Import<'_>,
    user: &mut User,
    _: &Element,
    element: &Element,
) -> Result<(), String> {
    if !element.is("item", ns::ROSTER) {
        import.leave_out(element);
        return Ok(());
    }
    let item = parse(element)?;
    if item.jid == user.account {
        import.leave_out(element);
        return Ok(());
    }
    import.storage.roster_put(&user.account, &item).map(|_| ()).map_err(text)
}

fn parse(item: &Element) -> Result<RosterItem, String> {
    let jid = item.attr("jid").unwrap_or_default();
    let jid = BareJid::parse(jid).map_err(|_| format!("not a contact: {jid:?}"))?;
    let subscription = match item.attr("subscription").unwrap_or("none") {
        "none" => Subscription::None,
        "to" => Subscription::To,
        "from" => Subscription::From,
        "both" => Subscription::Both,
        other => return Err(format!("no subscription is {other:?}")),
    };
    let groups = item.elements().filter(|group| group.is("group", ns::ROSTER));
    let mut groups: Vec<String> = groups.map(Element::text).collect();
    groups.retain(|group| !group.is_empty());
    groups.sort_unstable();
    groups.dedup();
    let name = item.attr("name").filter(|name| !name.is_empty());
    if groups.iter().map(String::as_str).chain(name).any(|name| name.len() > NAME_BYTES_MAX) {
        return Err(format!("a name at {jid} is longer than {NAME_BYTES_MAX} bytes"));
    }
    if groups.len() > GROUPS_MAX {
        return Err(format!("{jid} is in more than {GROUPS_MAX} groups"));
    }
    Ok(RosterItem {
        jid,
        name: name.map(str::to_owned),
        groups,
        subscription,
        ask: item.attr("ask") == Some("subscribe"),
        approved: matches!(item.attr("approved"), Some("true" | "1")),
    })
}

/// `<presence type='subscribe'/>`, the only one that has a place here.
pub(super) fn read_request(
    import: &mut Import<'_>,
    user: &mut User,
    _: &Element,
    element: &Element,
) -> Result<(), String> {
    if element.attr("type") != Some("subscribe") {
        import.leave_out(element);
        return Ok(());
    }
    let from = element.attr("from").and_then(|from| BareJid::parse(from).ok());
    let from = from.ok_or("a request that comes from nobody")?;
    // It is given to every session as it stands.
    let mut element = element.clone();
    element.set_attr("to", user.account.as_str());
    let xml = import.stanza_text(&element)?;
    import.storage.request_put(&user.account, &from, &xml, 0).map(|_| ()).map_err(text)
}

impl Import<'_> {
    /// A stanza as it is kept, if clients could take it: what the server adds to one is not much.
    pub(super) fn stanza_text(&self, stanza: &Element) -> Result<String, String> {
        const ADDED_BYTES_MAX: usize = 4_096;
        let xml = to_text(stanza, ns::CLIENT);
        let bytes_max = self.config.limits.stanza_bytes;
        if bytes_max > 0 && xml.len() > bytes_max.saturating_add(ADDED_BYTES_MAX) {
            let name = &stanza.name;
            return Err(format!("a {name} is larger than limits.stanza_bytes ({bytes_max})"));
        }
        Ok(xml)
    }
}

/// An element as it stands where this namespace is in force.
pub(super) fn to_text(element: &Element, ns: &str) -> String {
    let mut xml = Vec::new();
    write_element(&mut xml, element, ns);
    String::from_utf8(xml).expect("names and texts are UTF-8")
}
