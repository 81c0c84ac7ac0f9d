//! Private XML (XEP-0049): what a client keeps for itself under a namespace and a name of its own.
//! The old list of bookmarks is kept here too, as far as it is not kept as items (`bookmarks`).

use crate::cx::Cx;
use crate::storage::StorageError;
use crate::xml::writer::write_element;
use crate::xml::{Element, read_fragment};
use crate::xmpp::{BareJid, Condition, StanzaError, ns};

use super::{Im, Request, bookmarks};

/// What is asked for, or to be stored: at least one element, each in a namespace of its own (§2.3).
fn elements<'a>(request: &Request<'a>) -> Result<Vec<&'a Element>, StanzaError> {
    // §2.3: "Forbidden" is the better one of two.
    if !request.is_owner() {
        return Err(Condition::Forbidden.into());
    }
    let elements: Vec<_> = request.payload.elements().collect();
    if elements.is_empty() || elements.iter().any(|element| element.ns == ns::PRIVATE) {
        let error = StanzaError::new(Condition::NotAcceptable);
        return Err(error.with_text("Expected an element in a namespace of its own"));
    }
    Ok(elements)
}

/// Gets what is stored under the names that are asked for; where there is nothing, the element is
/// empty.
pub(super) fn handle_get(
    im: &mut Im,
    cx: &mut Cx,
    request: &Request<'_>,
) -> Result<Option<Element>, StanzaError> {
    let asked = elements(request)?;
    if asked.iter().any(|element| element.ns != asked[0].ns) {
        let error = StanzaError::new(Condition::BadRequest);
        return Err(error.with_text("One namespace at a time"));
    }
    let mut query = Element::new("query", ns::PRIVATE);
    for name in names(&asked) {
        if bookmarks::is_list(name) {
            query.push(im.bookmarks_list(cx, &request.account)?);
            continue;
        }
        let kept = im.private(cx, &request.account, name)?;
        if kept.is_empty() {
            query.push(Element::new(name.name.clone(), name.ns.clone()));
        }
        for element in kept {
            query.push(element);
        }
    }
    Ok(Some(query))
}

/// Sets what comes under each of the names that come.
pub(super) fn handle_set(
    im: &mut Im,
    cx: &mut Cx,
    request: &Request<'_>,
) -> Result<Option<Element>, StanzaError> {
    let given = elements(request)?;
    for name in names(&given) {
        let same: Vec<_> = given.iter().copied().filter(|e| e.is(&name.name, &name.ns)).collect();
        match same[..] {
            [list] if bookmarks::is_list(list) => {
                im.set_bookmarks_list(cx, &request.account, list)?;
            }
            // One list says what there is.
            [list, ..] if bookmarks::is_list(list) => return Err(Condition::BadRequest.into()),
            _ => im.set_private(cx, &request.account, &same)?,
        }
    }
    Ok(None)
}

/// The first element of each name, in their order.
fn names<'a>(elements: &[&'a Element]) -> Vec<&'a Element> {
    let mut names: Vec<&Element> = Vec::new();
    for element in elements {
        if !names.iter().any(|name| name.is(&element.name, &element.ns)) {
            names.push(element);
        }
    }
    names
}

impl Im {
    /// What is kept under the name of an element.
    pub(super) fn private(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        name: &Element,
    ) -> Result<Vec<Element>, StorageError> {
        let xml = cx.storage.private_xml(account, &name.ns, &name.name)?;
        Ok(read_fragment(xml.unwrap_or_default().as_bytes(), ""))
    }

    /// Keeps elements of one name in the place of those that are kept: not more of them all than
    /// `limits.private_bytes`. A single empty one says what nothing says, and is not kept.
    pub(super) fn set_private(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        elements: &[&Element],
    ) -> Result<(), StanzaError> {
        let first = elements.first().expect("somebody names what is to be kept");
        if let [single] = elements
            && single.children.is_empty()
            && single.attributes.is_empty()
        {
            return Ok(cx.storage.private_xml_remove(account, &first.ns, &first.name)?);
        }
        let mut xml = Vec::new();
        for element in elements {
            write_element(&mut xml, element, "");
        }
        let xml = String::from_utf8(xml).expect("names and texts are UTF-8");
        cx.storage.private_xml_put(account, &first.ns, &first.name, &xml)?;
        let bytes_max = cx.config.limits.private_bytes;
        if bytes_max > 0 && cx.storage.private_xml_bytes(account)? > bytes_max {
            let error = StanzaError::new(Condition::PolicyViolation);
            return Err(error.with_text("This account keeps too much private XML"));
        }
        Ok(())
    }
}
