//! Items are read (XEP-0060 §6.5): all, some by their ids, the last few, or a page (XEP-0059). The
//! order is that of publication. An answer has a bound; what is left out of it can be asked for
//! with the page behind it (§6.5.4).

use crate::cx::Cx;
use crate::im::Im;
use crate::storage::{PepItem, PepNode};
use crate::xml::Element;
use crate::xmpp::rsm::{From, Page, Set};
use crate::xmpp::{Condition, StanzaError, ns};

use super::requests::Asked;
use super::{node_name, payload, refused};

/// Items of an answer.
const ANSWER_ITEMS_MAX: usize = 1000;
/// Bytes of the items of an answer; a single item may be larger.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// What an item costs besides its id and its payload.
const ITEM_FRAME_BYTES: usize = 32;

/// §6.5
pub(super) fn handle_items(
    im: &mut Im,
    cx: &mut Cx,
    asked: &Asked<'_>,
) -> Result<Option<Element>, StanzaError> {
    let name = node_name(asked.action)?;
    let node = im.pep_readable_node(cx, asked.account, name, &asked.asker)?;
    im.pep_expire(cx, &node)?;
    let wanted = read_ids(asked.action)?;
    let (ids, set) = if wanted.is_empty() {
        let index = cx.storage.pep_index(&node)?;
        choose(asked, &index)?
    } else {
        (wanted.into_iter().map(str::to_owned).collect(), None)
    };
    let mut items = Element::new("items", ns::PUBSUB).with_attr("node", name);
    let mut bytes = 0;
    for id in ids {
        // §6.5.9.12: what is not there is left out.
        let Some(item) = cx.storage.pep_item(&node, &id)? else { continue };
        bytes += cost(item.uid.len() + item.xml.len());
        if set.is_none()
            && bytes > ANSWER_BYTES_MAX
            && bytes > cost(item.uid.len() + item.xml.len())
        {
            break;
        }
        items.push(element(&node, &item));
    }
    let set = set.map(|set| set.to_element());
    Ok(Some(Element::new("pubsub", ns::PUBSUB).with_child(items).with_child_opt(set)))
}

/// The ids that are asked for, each once (§6.5.6, §6.5.8).
fn read_ids(action: &Element) -> Result<Vec<&str>, StanzaError> {
    let mut ids = Vec::new();
    for item in action.elements() {
        let id = Some(item).filter(|item| item.is("item", ns::PUBSUB)).and_then(|i| i.attr("id"));
        let id = id.ok_or_else(|| refused(Condition::BadRequest, "item-required"))?;
        if !ids.contains(&id) {
            ids.push(id);
        }
        if ids.len() > ANSWER_ITEMS_MAX {
            return Err(Condition::PolicyViolation.into());
        }
    }
    Ok(ids)
}

/// Which items are given, and what is said of the page: `None` where nobody has asked for one and
/// all are given.
fn choose(
    asked: &Asked<'_>,
    index: &[(String, usize)],
) -> Result<(Vec<String>, Option<Set>), StanzaError> {
    let recent = match asked.action.attr("max_items") {
        Some(text) => Some(text.trim().parse::<usize>().map_err(|_| Condition::BadRequest)?),
        None => None,
    };
    let page = Page::read(asked.pubsub)?;
    // §6.5.7: the most recent; a page is one of them.
    let list = match recent {
        Some(count) => &index[index.len().saturating_sub(count)..],
        None => index,
    };
    let request = page.clone().unwrap_or_default();
    // Without a page it is the most recent ones that are given when there are too many.
    let from_end = matches!(request.from, From::Before(_) | From::End) || page.is_none();
    let request = match page {
        None => Page { max: None, from: From::End },
        Some(_) => request,
    };
    let (chosen, set) = request.cut(list, |(id, _)| id, ANSWER_ITEMS_MAX, |_| true)?;
    let fitting = fit(chosen, from_end);
    let ids: Vec<_> = fitting.iter().map(|(id, _)| id.clone()).collect();
    if page.is_none() && fitting.len() == list.len() {
        return Ok((ids, None));
    }
    let skipped = if from_end { chosen.len() - fitting.len() } else { 0 };
    let place = set.first.and_then(|(_, place)| place).map(|place| place + skipped);
    let first = ids.first().map(|id| (id.clone(), place));
    let last = ids.last().cloned();
    Ok((ids, Some(Set { first, last, count: set.count })))
}

/// As many of the items as an answer holds, at least one: the first or the last ones.
fn fit(chosen: &[(String, usize)], from_end: bool) -> &[(String, usize)] {
    let mut left = ANSWER_BYTES_MAX;
    let mut fits = |(_, bytes): &&(String, usize)| {
        let before = left;
        left = left.saturating_sub(cost(*bytes));
        before == ANSWER_BYTES_MAX || left > 0
    };
    if from_end {
        let count = chosen.iter().rev().take_while(&mut fits).count();
        &chosen[chosen.len() - count..]
    } else {
        let count = chosen.iter().take_while(&mut fits).count();
        &chosen[..count]
    }
}

fn cost(bytes: usize) -> usize {
    bytes + ITEM_FRAME_BYTES
}

fn element(_: &PepNode, item: &PepItem) -> Element {
    Element::new("item", ns::PUBSUB)
        .with_attr("id", item.uid.as_str())
        .with_child_opt(payload(item))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_have_a_bound() {
        let items = |bytes: &[usize]| -> Vec<(String, usize)> {
            bytes.iter().enumerate().map(|(n, &bytes)| (n.to_string(), bytes)).collect()
        };
        let names = |fitting: &[(String, usize)]| -> String {
            fitting.iter().map(|(name, _)| name.as_str()).collect()
        };
        let half = ANSWER_BYTES_MAX / 2;
        for (bytes, first, last) in [
            (&[][..], "", ""),
            (&[1, 1, 1], "012", "012"),
            (&[half, half - 100, 1], "01", "12"),
            (&[half, half, half], "0", "2"),
            (&[ANSWER_BYTES_MAX * 2, 1], "0", "1"),
            (&[1, ANSWER_BYTES_MAX * 2], "0", "1"),
        ] {
            let items = items(bytes);
            assert_eq!(names(fit(&items, false)), first, "{bytes:?}");
            assert_eq!(names(fit(&items, true)), last, "{bytes:?}");
        }
    }
}
