//! What the format has no place for: that an account is disabled (XEP-0133 §4.3), and when its
//! owner was there last (XEP-0012). Both are in a namespace of our own.

use super::OURS;
use super::export::{Writer, text};
use super::import::{Import, User};
use crate::storage::{LastSeen, Storage};
use crate::xml::Element;
use crate::xmpp::BareJid;
use crate::xmpp::datetime::{format_utc, parse_utc};

/// Bytes of what somebody said when it left, as where that is noted.
const STATUS_BYTES_MAX: usize = 1_024;

pub(super) fn write(
    storage: &mut Storage,
    account: &BareJid,
    writer: &mut Writer<'_>,
) -> Result<(), String> {
    if storage.account_is_disabled(account).map_err(text)? {
        writer.element(&Element::new("disabled", OURS))?;
    }
    if let Some(last) = storage.last_seen(account).map_err(text)? {
        let element = Element::new("last", OURS).with_attr("stamp", format_utc(last.unix_ms));
        writer.element(&element.with_text(last.status.unwrap_or_default()))?;
    }
    Ok(())
}

/// `<disabled/>`
pub(super) fn read_disabled(
    import: &mut Import<'_>,
    user: &mut User,
    _: &Element,
    _: &Element,
) -> Result<(), String> {
    import.storage.account_disable(&user.account, true).map(|_| ()).map_err(text)
}

/// `<last/>`
pub(super) fn read_last(
    import: &mut Import<'_>,
    user: &mut User,
    _: &Element,
    element: &Element,
) -> Result<(), String> {
    let unix_ms = stamp(element)?;
    let status = Some(element.text()).filter(|status| !status.is_empty());
    if status.as_ref().is_some_and(|status| status.len() > STATUS_BYTES_MAX) {
        return Err(format!("a status is longer than {STATUS_BYTES_MAX} bytes"));
    }
    let last = LastSeen { unix_ms, status };
    import.storage.last_seen_put(&user.account, &last, false).map_err(text)
}

/// `stamp` of an element (XEP-0082), in milliseconds since 1970.
pub(super) fn stamp(element: &Element) -> Result<i64, String> {
    let name = &element.name;
    let stamp = element.attr("stamp").ok_or_else(|| format!("a {name} without a stamp"))?;
    parse_utc(stamp).ok_or_else(|| format!("not a time: {stamp:?}"))
}
