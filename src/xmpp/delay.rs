//! Delayed delivery (XEP-0203): who has kept a stanza, and since when.

use super::datetime::format_utc;
use super::{Jid, ns};
use crate::xml::{Element, Node};

/// `<delay/>` by `from`, for what it was given at `unix_ms`.
pub fn delay(from: &str, unix_ms: i64) -> Element {
    Element::new("delay", ns::DELAY).with_attr("from", from).with_attr("stamp", format_utc(unix_ms))
}

/// True for a `<delay/>` that says it is by `from`.
pub fn is_delay_by(node: &Node, from: &str) -> bool {
    let Node::Element(child) = node else { return false };
    let by = child.attr("from").filter(|_| child.is("delay", ns::DELAY));
    by.and_then(|by| Jid::parse(by).ok()).is_some_and(|by| by.as_str() == from)
}
