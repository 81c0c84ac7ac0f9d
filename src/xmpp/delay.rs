//! Delayed delivery (XEP-0203): who has kept a stanza, and since when.

use super::datetime::format_utc;
use super::ns;
use crate::xml::{Element, Node};

/// `<delay/>` by `from`, for what it was given at `unix_ms`.
pub fn delay(from: &str, unix_ms: i64) -> Element {
    Element::new("delay", ns::DELAY).with_attr("from", from).with_attr("stamp", format_utc(unix_ms))
}

/// True for a `<delay/>` that says it is by `from`.
pub fn is_delay_by(node: &Node, from: &str) -> bool {
    let is_by = |child: &Element| child.is("delay", ns::DELAY) && child.attr("from") == Some(from);
    matches!(node, Node::Element(child) if is_by(child))
}
