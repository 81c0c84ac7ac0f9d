//! Whom an account blocks (XEP-0191). The format has privacy lists (§4.8), of which a block list is
//! a part: the items "jid" and "deny" of the default list (XEP-0191 §5). Nothing else of privacy
//! lists is understood here. A `<blocklist/>`, as some servers write it, is read too.

use super::export::{Writer, text};
use super::import::{Import, User};
use crate::storage::Storage;
use crate::xml::Element;
use crate::xmpp::{BareJid, Jid, ns};

/// Privacy lists (XEP-0016).
pub(super) const PRIVACY: &str = "jabber:iq:privacy";
/// The name of the list that is written.
const LIST: &str = "blocked";

pub(super) fn write(
    storage: &mut Storage,
    account: &BareJid,
    writer: &mut Writer<'_>,
) -> Result<(), String> {
    let blocked = storage.blocked(account).map_err(text)?;
    if blocked.is_empty() {
        return Ok(());
    }
    writer.open("query", PRIVACY, &[]);
    writer.element(&Element::new("default", PRIVACY).with_attr("name", LIST))?;
    writer.open("list", PRIVACY, &[("name", LIST)]);
    for (order, jid) in blocked.iter().enumerate() {
        let item = Element::new("item", PRIVACY)
            .with_attr("type", "jid")
            .with_attr("value", jid.as_str())
            .with_attr("action", "deny")
            .with_attr("order", (order + 1).to_string());
        writer.element(&item)?;
    }
    writer.close();
    writer.close();
    Ok(())
}

/// `<query/>` with all privacy lists.
pub(super) fn read_privacy(
    import: &mut Import<'_>,
    user: &mut User,
    _: &Element,
    query: &Element,
) -> Result<(), String> {
    let default = query.child("default", PRIVACY).and_then(|default| default.attr("name"));
    for list in query.elements().filter(|child| !child.is("default", PRIVACY)) {
        if !list.is("list", PRIVACY) || list.attr("name") != default {
            import.leave_out(list);
            continue;
        }
        for item in list.elements() {
            match (item.attr("type"), item.attr("action")) {
                _ if !item.is("item", PRIVACY) => import.leave_out(item),
                (Some("jid"), Some("deny")) if is_about_all(item) => {
                    block(import, user, item.attr("value"))?;
                }
                // What falls through is let through, there as here.
                (None, Some("allow")) => {}
                _ => import.leave_out(item),
            }
        }
    }
    Ok(())
}

/// XEP-0016 §2.1: an item that names no kind of stanza is about all; so is one that names each.
fn is_about_all(item: &Element) -> bool {
    let kinds = ["message", "iq", "presence-in", "presence-out"];
    let named = kinds.iter().filter(|kind| item.child(kind, PRIVACY).is_some()).count();
    named == 0 || named == kinds.len()
}

/// A child of `<blocklist/>`.
pub(super) fn read_item(
    import: &mut Import<'_>,
    user: &mut User,
    _: &Element,
    element: &Element,
) -> Result<(), String> {
    if element.is("item", ns::BLOCKING) {
        return block(import, user, element.attr("jid"));
    }
    import.leave_out(element);
    Ok(())
}

fn block(import: &mut Import<'_>, user: &User, jid: Option<&str>) -> Result<(), String> {
    let jid = jid.unwrap_or_default();
    let jid = Jid::parse(jid).map_err(|_| format!("nobody to be blocked: {jid:?}"))?;
    import.storage.block(&user.account, &jid).map_err(text)
}
