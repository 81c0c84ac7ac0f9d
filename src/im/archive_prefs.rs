//! What an account wants archived (XEP-0441), said and asked by its owner.
//!
//! With whom a message was exchanged is looked up first by the full address, then by the bare one,
//! then the default decides (§2.3). One that is to be both, always and never, makes no sense.
//! That there is an archive of the past stays as it is: preferences are about what comes.

use crate::allowance::DEAR_ROW;
use crate::config::ArchiveDefault;
use crate::cx::Cx;
use crate::storage::ArchivePreferences;
use crate::xml::Element;
use crate::xmpp::{Condition, Jid, StanzaError, ns};

use super::archive::check_owner;
use super::{Im, Request};

/// Addresses in both lists together.
const ADDRESSES_MAX: usize = 500;

/// A get.
pub(super) fn handle_get(
    _: &mut Im,
    cx: &mut Cx,
    request: &Request<'_>,
) -> Result<Option<Element>, StanzaError> {
    check_owner(request)?;
    let stored = cx.storage.archive_preferences(&request.account)?;
    let preferences = stored.unwrap_or_else(|| ArchivePreferences {
        default: cx.config.accounts.archive,
        always: Vec::new(),
        never: Vec::new(),
    });
    Ok(Some(to_element(&preferences)))
}

/// A set: replaces all of them, and says what is in force now.
pub(super) fn handle_set(
    im: &mut Im,
    cx: &mut Cx,
    request: &Request<'_>,
) -> Result<Option<Element>, StanzaError> {
    check_owner(request)?;
    im.allowances.check(&request.account, cx.now)?;
    let preferences = parse(request.payload)?;
    let rows = preferences.always.len() + preferences.never.len();
    im.allowances.charge(&request.account, DEAR_ROW * (1 + rows), cx.now);
    cx.storage.archive_preferences_put(&request.account, &preferences)?;
    // To be read when the handler has succeeded.
    if let Some(account) = im.accounts.get_mut(&request.account) {
        account.archive_wish = None;
    }
    Ok(Some(to_element(&preferences)))
}

fn parse(prefs: &Element) -> Result<ArchivePreferences, StanzaError> {
    let default = match prefs.attr("default") {
        Some("always") => ArchiveDefault::Always,
        Some("roster") => ArchiveDefault::Roster,
        Some("never") => ArchiveDefault::Never,
        _ => return Err(Condition::BadRequest.into()),
    };
    let (always, never) = (parse_list(prefs, "always")?, parse_list(prefs, "never")?);
    if always.len() + never.len() > ADDRESSES_MAX {
        let error = StanzaError::new(Condition::NotAcceptable);
        return Err(error.with_text("these are too many addresses"));
    }
    if always.iter().any(|jid| never.binary_search(jid).is_ok()) {
        let error = StanzaError::new(Condition::BadRequest);
        return Err(error.with_text("an address is in both lists"));
    }
    Ok(ArchivePreferences { default, always, never })
}

/// A list, sorted, each address once; none is an empty one (§2.1.2, §2.1.3).
fn parse_list(prefs: &Element, name: &str) -> Result<Vec<Jid>, StanzaError> {
    let mut lists = prefs.elements().filter(|list| list.is(name, ns::MAM));
    let Some(list) = lists.next() else { return Ok(Vec::new()) };
    if lists.next().is_some() {
        return Err(Condition::BadRequest.into());
    }
    let mut jids = Vec::new();
    for jid in list.elements().filter(|jid| jid.is("jid", ns::MAM)) {
        let jid = Jid::parse(jid.text().trim());
        jids.push(jid.map_err(|_| StanzaError::new(Condition::JidMalformed))?);
    }
    jids.sort();
    jids.dedup();
    Ok(jids)
}

fn to_element(preferences: &ArchivePreferences) -> Element {
    let default = match preferences.default {
        ArchiveDefault::Always => "always",
        ArchiveDefault::Roster => "roster",
        ArchiveDefault::Never => "never",
    };
    let list = |name: &'static str, jids: &[Jid]| {
        let jid = |jid: &Jid| Element::new("jid", ns::MAM).with_text(jid.as_str());
        jids.iter().map(jid).fold(Element::new(name, ns::MAM), Element::with_child)
    };
    Element::new("prefs", ns::MAM)
        .with_attr("default", default)
        .with_child(list("always", &preferences.always))
        .with_child(list("never", &preferences.never))
}
