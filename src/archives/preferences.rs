//! What an account wants archived (XEP-0441) as `<prefs/>`: for its owner, and for whoever brings
//! an account along (`portable`).

use crate::config::ArchiveDefault;
use crate::storage::ArchivePreferences;
use crate::xml::Element;
use crate::xmpp::{Condition, Jid, StanzaError, ns};

/// Addresses in both lists together.
const ADDRESSES_MAX: usize = 500;

/// Reads `<prefs/>` of a set (§2.1).
pub fn parse(prefs: &Element) -> Result<ArchivePreferences, StanzaError> {
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

/// `<prefs/>`, as a result has it.
pub fn to_element(preferences: &ArchivePreferences) -> Element {
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
