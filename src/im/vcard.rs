//! The card of an account (XEP-0054): its owner sets it, everybody may read it. The picture on it
//! is the account's avatar: what follows from a change of it is in `avatar`.

use crate::cx::Cx;
use crate::storage::StoredVcard;
use crate::xml::{Element, read_fragment};
use crate::xmpp::vcard::Card;
use crate::xmpp::{Condition, StanzaError, ns};

use super::{Im, Request};

/// §3.1, §3.3. Somebody else's account without a card is like one that does not exist.
pub(super) fn handle_get(
    _: &mut Im,
    cx: &mut Cx,
    request: &Request<'_>,
) -> Result<Option<Element>, StanzaError> {
    let is_owner = request.is_owner();
    let xml = cx.storage.account_vcard(&request.account)?;
    let vcard = xml.and_then(|xml| read_fragment(xml.as_bytes(), ns::CLIENT).pop());
    match vcard {
        None if is_owner => Err(Condition::ItemNotFound.into()),
        None => Err(Condition::ServiceUnavailable.into()),
        vcard => Ok(vcard),
    }
}

/// §3.2
pub(super) fn handle_set(
    im: &mut Im,
    cx: &mut Cx,
    request: &Request<'_>,
) -> Result<Option<Element>, StanzaError> {
    if !request.is_owner() {
        return Err(Condition::Forbidden.into());
    }
    let account = &request.account;
    let card = Card::read(request.payload, cx.config.limits.account_vcard_bytes)?;
    let before = cx.storage.account_vcard_photos(account)?;
    let stored =
        card.as_ref().map(|card| StoredVcard { photos: card.hashes(), xml: card.xml.clone() });
    cx.storage.account_vcard_put(account, stored.as_ref())?;
    let picture = card.as_ref().and_then(|card| card.pictures.first());
    im.publish_picture(cx, account, picture, &before)?;
    im.renew_avatar(cx, account, &before)?;
    Ok(None)
}
