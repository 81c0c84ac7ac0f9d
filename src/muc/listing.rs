//! The list of rooms (XEP-0045 §6.3) and its pages (XEP-0059), in the order of the addresses. A
//! page is read from the index of the database, with the temporary rooms between; a list that is
//! short needs no pages. The address of a room says where a page begins, whether the room is still
//! there or not (XEP-0059 §2.4).

use std::collections::BTreeMap;
use std::ops::Bound;

use super::Muc;
use crate::allowance::DEAR_ROW;
use crate::cx::Cx;
use crate::storage::StorageError;
use crate::xml::Element;
use crate::xmpp::rsm::{From, Page, Set};
use crate::xmpp::{BareJid, Condition, Jid, StanzaError, ns};

/// Items of a page that was asked for, at most.
pub const PAGE_ITEMS_MAX: usize = 100;
/// Items of a list when no page was asked for, at most; then it is the first page.
pub const LIST_ITEMS_MAX: usize = 500;
/// Bytes of a list, whatever was asked for: names are long where somebody wants to do harm, and a
/// stanza beyond what clients take would cut off whoever looks.
const LIST_BYTES_MAX: usize = 128 * 1024;
/// Rows that are merely counted, for what one costs that is read.
const COUNTED_PER_ROW: usize = 50;
/// Sorts after every local part.
const LAST_LOCAL: &str = "\u{10ffff}";

/// The rooms of a domain that somebody may know of.
struct Listing<'a> {
    domain: &'a str,
    /// For a server admin: hidden ones too.
    with_hidden: bool,
    /// Local parts and names of those that are not in the database.
    temporary: BTreeMap<&'a str, &'a str>,
}

impl Listing<'_> {
    /// How many come before a local part.
    fn count_before(&self, cx: &mut Cx, local: &str) -> Result<usize, StorageError> {
        let stored = cx.storage.rooms_count_before(self.domain, local, self.with_hidden)?;
        let before = (Bound::Unbounded, Bound::Excluded(local));
        Ok(stored + self.temporary.range::<str, _>(before).count())
    }

    /// Local parts and names of those that come after a local part.
    fn after(
        &self,
        cx: &mut Cx,
        local: &str,
        items_max: usize,
    ) -> Result<Vec<(String, String)>, StorageError> {
        let mut rooms = cx.storage.rooms_after(self.domain, local, self.with_hidden, items_max)?;
        let after = (Bound::Excluded(local), Bound::Unbounded);
        let temporary = self.temporary.range::<str, _>(after).take(items_max);
        rooms.extend(temporary.map(|(local, name)| ((*local).to_owned(), (*name).to_owned())));
        rooms.sort_unstable();
        rooms.truncate(items_max);
        Ok(rooms)
    }

    /// The same for those that come before it; the nearest ones, in the same order.
    fn before(
        &self,
        cx: &mut Cx,
        local: &str,
        items_max: usize,
    ) -> Result<Vec<(String, String)>, StorageError> {
        let mut rooms = cx.storage.rooms_before(self.domain, local, self.with_hidden, items_max)?;
        let before = (Bound::Unbounded, Bound::Excluded(local));
        let temporary = self.temporary.range::<str, _>(before).rev().take(items_max);
        rooms.extend(temporary.map(|(local, name)| ((*local).to_owned(), (*name).to_owned())));
        rooms.sort_unstable();
        rooms.drain(..rooms.len().saturating_sub(items_max));
        Ok(rooms)
    }

    /// The page that is asked for.
    fn page(
        &self,
        cx: &mut Cx,
        from: &From,
        items_max: usize,
    ) -> Result<Vec<(String, String)>, StanzaError> {
        if items_max == 0 {
            return Ok(Vec::new()); // XEP-0059 §2.7: only the count is wanted.
        }
        Ok(match from {
            From::Start => self.after(cx, "", items_max)?,
            From::After(uid) => self.after(cx, &self.local_of(uid)?, items_max)?,
            From::Before(uid) => self.before(cx, &self.local_of(uid)?, items_max)?,
            From::End => self.before(cx, LAST_LOCAL, items_max)?,
            From::Index(index) => {
                let mut rooms = self.after(cx, "", index.saturating_add(items_max))?;
                rooms.drain(..rooms.len().min(*index));
                rooms
            }
        })
    }

    /// The place in the list that an address stands for (XEP-0059 §2.4).
    fn local_of(&self, uid: &str) -> Result<String, Condition> {
        let room = Jid::parse(uid).ok().filter(|jid| jid.is_bare() && jid.domain() == self.domain);
        let local = room.as_ref().and_then(Jid::local).map(str::to_owned);
        local.ok_or(Condition::ItemNotFound)
    }

    fn address(&self, local: &str) -> String {
        format!("{local}@{}", self.domain)
    }

    fn item(&self, local: &str, name: &str) -> Element {
        let title = if name.is_empty() { local } else { name };
        let item = Element::new("item", ns::DISCO_ITEMS);
        item.with_attr("jid", self.address(local)).with_attr("name", title)
    }
}

/// Says of one item after the other whether there is room for it in a list.
pub fn room_for_items() -> impl FnMut(&Element) -> bool {
    let mut bytes = 0;
    move |item| {
        bytes += super::written_bytes(item);
        bytes <= LIST_BYTES_MAX
    }
}

impl Muc {
    /// The list of rooms of a service for `account`, or the page that it asks for.
    pub(super) fn list_rooms(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        domain: &str,
        query: &Element,
    ) -> Result<Element, StanzaError> {
        let wanted = Page::read(query)?;
        self.allowances.check(account, cx.now)?;
        let with_hidden = cx.config.is_admin(account.as_str());
        let listing = self.listing(domain, with_hidden);
        let items_max = match &wanted {
            Some(page) => page.max.unwrap_or(PAGE_ITEMS_MAX).min(PAGE_ITEMS_MAX),
            None => LIST_ITEMS_MAX,
        };
        let from = wanted.as_ref().map_or(From::Start, |page| page.from.clone());
        let count = listing.count_before(cx, LAST_LOCAL)?;
        let is_behind = matches!(from, From::Index(index) if index >= count);
        let items_max = if is_behind { 0 } else { items_max };
        let rooms = listing.page(cx, &from, items_max)?;

        let read_count = rooms.len();
        let items: Vec<_> = rooms.iter().map(|(local, name)| listing.item(local, name)).collect();
        let shown = from.fitting(&items, room_for_items());
        let rooms = &rooms[shown.clone()];
        let items = items.into_iter().skip(shown.start).take(shown.len());
        let mut list = items.fold(Element::new("query", ns::DISCO_ITEMS), Element::with_child);
        // XEP-0059 §2.2: of an empty list there are no pages; XEP-0045 §6.3: a part of a list says
        // that it is one.
        if count > 0 && (wanted.is_some() || count > rooms.len()) {
            let first = match rooms.first() {
                None => None,
                Some((local, _)) => {
                    Some((listing.address(local), Some(listing.count_before(cx, local)?)))
                }
            };
            let last = rooms.last().map(|(local, _)| listing.address(local));
            list.push(Set { first, last, count: Some(count) }.to_element());
        }
        let skipped = if let From::Index(index) = from { index.min(count) } else { 0 };
        let rows = (skipped + read_count) * DEAR_ROW + (count + self.rooms.len()) / COUNTED_PER_ROW;
        self.allowances.charge(account, rows, cx.now);
        Ok(list)
    }

    fn listing<'a>(&'a self, domain: &'a str, with_hidden: bool) -> Listing<'a> {
        let rooms = self.rooms.iter().map(|(_, room)| room);
        let temporary = rooms.filter(|room| {
            let is_listed = room.options.public || with_hidden;
            !room.is_stored && is_listed && room.lock.is_none() && room.jid.domain() == domain
        });
        let named = temporary.filter_map(|room| Some((room.jid.local()?, room.title())));
        Listing { domain, with_hidden, temporary: named.collect() }
    }
}
