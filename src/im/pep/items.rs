//! Items are read (XEP-0060 §6.5): all, some by their ids, the last few, or a page (XEP-0059). The
//! order is that of publication. An answer has a bound; what is left out of it can be asked for
//! with the page behind it (§6.5.4).

use crate::cx::Cx;
use crate::im::Im;
use crate::storage::PepItem;
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
    let mut room = Room::default();
    for id in ids {
        // §6.5.9.12: what is not there is left out.
        let Some(item) = cx.storage.pep_item(&node, &id)? else { continue };
        // A page has been cut to fit; of items that were named those are given that do.
        if set.is_none() && !room.has(&item.uid, item.xml.len()) {
            break;
        }
        items.push(element(&item));
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
    // Without a page it is the most recent ones that are given when there are too many.
    let request = page.clone().unwrap_or(Page { max: None, from: From::End });
    let mut room = Room::default();
    let (chosen, set) =
        request.cut(list, |(id, _)| id, ANSWER_ITEMS_MAX, |(id, bytes)| room.has(id, *bytes))?;
    let is_whole = page.is_none() && chosen.len() == list.len();
    let ids = chosen.iter().map(|(id, _)| id.clone()).collect();
    Ok((ids, Some(set).filter(|_| !is_whole)))
}

/// What an answer has room for: one item at least.
#[derive(Default)]
struct Room {
    bytes: usize,
}

impl Room {
    fn has(&mut self, id: &str, bytes: usize) -> bool {
        let is_first = self.bytes == 0;
        self.bytes += id.len() + bytes + ITEM_FRAME_BYTES;
        is_first || self.bytes <= ANSWER_BYTES_MAX
    }
}

fn element(item: &PepItem) -> Element {
    Element::new("item", ns::PUBSUB)
        .with_attr("id", item.uid.as_str())
        .with_child_opt(payload(item))
}
