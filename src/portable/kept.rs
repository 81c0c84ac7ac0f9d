//! What clients keep: the card (§4.7, XEP-0054) and private XML (§4.6, XEP-0049).

use super::contacts::to_text;
use super::export::{Writer, text};
use super::import::{Import, User};
use crate::storage::{Storage, StoredVcard};
use crate::xml::{Element, read_fragment};
use crate::xmpp::vcard::Card;
use crate::xmpp::{BareJid, ns};

pub(super) fn write(
    storage: &mut Storage,
    account: &BareJid,
    writer: &mut Writer<'_>,
) -> Result<(), String> {
    let vcard = storage.account_vcard(account).map_err(text)?.unwrap_or_default();
    for vcard in read_fragment(vcard.as_bytes(), ns::CLIENT) {
        writer.element(&vcard)?;
    }
    let names = storage.private_xml_names(account).map_err(text)?;
    if names.is_empty() {
        return Ok(());
    }
    writer.open("query", ns::PRIVATE, &[]);
    for (ns, name) in names {
        let xml = storage.private_xml(account, &ns, &name).map_err(text)?;
        for element in read_fragment(xml.unwrap_or_default().as_bytes(), "") {
            writer.element(&element)?;
        }
    }
    writer.close();
    Ok(())
}

/// `<vCard/>`
pub(super) fn read_vcard(
    import: &mut Import<'_>,
    user: &mut User,
    _: &Element,
    vcard: &Element,
) -> Result<(), String> {
    let bytes_max = import.config.limits.account_vcard_bytes;
    let card = Card::read(vcard, bytes_max).map_err(|error| {
        let why = error.text.as_deref().unwrap_or("it cannot be kept");
        format!("a vCard: {why} (limits.account_vcard_bytes is {bytes_max})")
    })?;
    let card = card.map(|card| StoredVcard { photos: card.hashes(), xml: card.xml });
    import.storage.account_vcard_put(&user.account, card.as_ref()).map_err(text)
}

/// A child of private XML: with others of its name, in their order.
pub(super) fn read_private(
    import: &mut Import<'_>,
    user: &mut User,
    _: &Element,
    element: &Element,
) -> Result<(), String> {
    let (account, ns, name) = (&user.account, &*element.ns, &*element.name);
    if ns.is_empty() || ns == ns::PRIVATE {
        return Err(format!("private XML without a namespace of its own: {name}"));
    }
    let kept = import.storage.private_xml(account, ns, name).map_err(text)?;
    let xml = kept.unwrap_or_default() + &to_text(element, "");
    let bytes_max = import.config.limits.private_bytes;
    if bytes_max > 0 && xml.len() > bytes_max {
        return Err(format!("{name} is larger than limits.private_bytes ({bytes_max})"));
    }
    import.storage.private_xml_put(account, ns, name, &xml).map_err(text)
}
