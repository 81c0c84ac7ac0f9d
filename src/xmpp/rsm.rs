//! Result set management (XEP-0059) as values: which page of a list is asked for, and what is said
//! of the page that is given. How a list is read is the business of who owns it; lists that are in
//! memory can be cut by [`Page::cut`].

use std::ops::Range;

use super::{Condition, ns};
use crate::xml::Element;

/// From where a page is taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum From {
    /// The first page.
    #[default]
    Start,
    /// What follows this item (§2.2).
    After(String),
    /// What precedes this item (§2.3).
    Before(String),
    /// The last page (§2.5): an empty `<before/>`.
    End,
    /// From this place in the list (§2.6).
    Index(usize),
}

impl From {
    /// Which of the items of a page there is room for, as `fits` says of one after the other: the
    /// first ones, or the last ones of a page that is read backwards. One is always given, so that
    /// whoever pages gets on.
    pub fn fitting<T>(&self, items: &[T], mut fits: impl FnMut(&T) -> bool) -> Range<usize> {
        let is_backwards = matches!(self, Self::Before(_) | Self::End);
        let count = match is_backwards {
            true => items.iter().rev().take_while(|item| fits(item)).count(),
            false => items.iter().take_while(|item| fits(item)).count(),
        };
        let count = count.max(1).min(items.len());
        if is_backwards { items.len() - count..items.len() } else { 0..count }
    }
}

/// Which page is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Items at most; `None`: as the server likes.
    pub max: Option<usize>,
    /// From where.
    pub from: From,
}

/// What is said of a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set {
    /// The first item and its place in the whole list, if that is known.
    pub first: Option<(String, Option<usize>)>,
    /// The last item.
    pub last: Option<String>,
    /// Items of the whole list, if known.
    pub count: Option<usize>,
}

impl Page {
    /// Reads the `<set/>` among the children of a query; `None` when there is none. `Err`
    /// (`bad-request`) when it makes no sense.
    pub fn read(query: &Element) -> Result<Option<Self>, Condition> {
        let mut sets = query.elements().filter(|element| element.is("set", ns::RSM));
        let Some(set) = sets.next() else { return Ok(None) };
        if sets.next().is_some() {
            return Err(Condition::BadRequest);
        }
        let text = |name| set.child(name, ns::RSM).map(Element::text);
        let number = |name| -> Result<Option<usize>, Condition> {
            let parse = |text: String| text.trim().parse().map_err(|_| Condition::BadRequest);
            text(name).map(parse).transpose()
        };
        let from = match (text("after"), text("before"), number("index")?) {
            (None, None, None) => From::Start,
            (Some(after), None, None) if after.is_empty() => From::Start,
            (Some(after), None, None) => From::After(after),
            (None, Some(before), None) if before.is_empty() => From::End,
            (None, Some(before), None) => From::Before(before),
            (None, None, Some(index)) => From::Index(index),
            _ => return Err(Condition::BadRequest),
        };
        Ok(Some(Self { max: number("max")?, from }))
    }

    /// Cuts the page out of a whole list in memory, `items_max` at most and as many as `fits` has
    /// room for. `Err` (`item-not-found`) when the item is not there from which the page is asked
    /// for (§2.4); a place behind the end is an empty page (§2.6).
    pub fn cut<'a, T>(
        &self,
        list: &'a [T],
        id: impl Fn(&T) -> &str,
        items_max: usize,
        fits: impl FnMut(&T) -> bool,
    ) -> Result<(&'a [T], Set), Condition> {
        let size = self.max.unwrap_or(items_max).min(items_max);
        let place = |wanted: &str| {
            let place = list.iter().position(|item| id(item) == wanted);
            place.ok_or(Condition::ItemNotFound)
        };
        let (start, end) = match &self.from {
            From::Start => (0, size),
            From::After(item) => {
                let start = place(item)? + 1;
                (start, start + size)
            }
            From::Before(item) => {
                let end = place(item)?;
                (end.saturating_sub(size), end)
            }
            From::End => (list.len().saturating_sub(size), list.len()),
            From::Index(index) => {
                let start = (*index).min(list.len());
                (start, start.saturating_add(size))
            }
        };
        let page = &list[start..end.min(list.len())];
        let shown = self.from.fitting(page, fits);
        let (page, start) = (&page[shown.clone()], start + shown.start);
        let first = page.first().map(|item| (id(item).to_owned(), Some(start)));
        let last = page.last().map(|item| id(item).to_owned());
        Ok((page, Set { first, last, count: Some(list.len()) }))
    }
}

impl Set {
    /// The `<set/>` of a result.
    pub fn to_element(&self) -> Element {
        let text = |name, text: &str| Element::new(name, ns::RSM).with_text(text);
        let mut set = Element::new("set", ns::RSM);
        if let Some((first, index)) = &self.first {
            let index = index.map(|index| index.to_string());
            set.push(text("first", first).with_attr_opt("index", index.as_deref()));
        }
        if let Some(last) = &self.last {
            set.push(text("last", last));
        }
        if let Some(count) = self.count {
            set.push(text("count", &count.to_string()));
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(children: &[(&'static str, &str)]) -> Result<Option<Page>, Condition> {
        let child =
            |(name, text): &(&'static str, &str)| Element::new(*name, ns::RSM).with_text(*text);
        let set = children
            .iter()
            .map(child)
            .fold(Element::new("set", ns::RSM), |set, child| set.with_child(child));
        Page::read(&Element::new("query", ns::DISCO_ITEMS).with_child(set))
    }

    #[test]
    fn requests() {
        let page = |max, from| Ok(Some(Page { max, from }));
        assert_eq!(Page::read(&Element::new("query", ns::MAM)), Ok(None));
        assert_eq!(read(&[]), page(None, From::Start));
        assert_eq!(read(&[("max", "10")]), page(Some(10), From::Start));
        assert_eq!(read(&[("max", "0"), ("before", "")]), page(Some(0), From::End));
        assert_eq!(read(&[("after", "x")]), page(None, From::After("x".into())));
        assert_eq!(read(&[("before", "x")]), page(None, From::Before("x".into())));
        assert_eq!(read(&[("index", "3")]), page(None, From::Index(3)));
        for bad in [&[("max", "x")][..], &[("max", "-1")], &[("after", "x"), ("before", "y")]] {
            assert_eq!(read(bad), Err(Condition::BadRequest), "{bad:?}");
        }
    }

    #[test]
    fn pages_of_a_list() {
        let list = ["a", "b", "c", "d", "e"];
        let cut = |max, from, items_max| {
            let (page, set) = Page { max, from }.cut(&list, |item| item, items_max, |_| true)?;
            assert_eq!(set.count, Some(5));
            assert_eq!(set.first.map(|(first, _)| first).as_deref(), page.first().copied());
            assert_eq!(set.last.as_deref(), page.last().copied());
            Ok::<_, Condition>(page.concat())
        };
        assert_eq!(cut(None, From::Start, 9).as_deref(), Ok("abcde"));
        assert_eq!(cut(None, From::Start, 2).as_deref(), Ok("ab"));
        assert_eq!(cut(Some(0), From::Start, 2).as_deref(), Ok(""));
        assert_eq!(cut(Some(9), From::After("b".into()), 2).as_deref(), Ok("cd"));
        assert_eq!(cut(Some(9), From::After("e".into()), 2).as_deref(), Ok(""));
        assert_eq!(cut(Some(2), From::Before("d".into()), 9).as_deref(), Ok("bc"));
        assert_eq!(cut(Some(2), From::End, 9).as_deref(), Ok("de"));
        assert_eq!(cut(Some(2), From::Index(4), 9).as_deref(), Ok("e"));
        assert_eq!(cut(Some(2), From::Index(5), 9).as_deref(), Ok(""));
        assert_eq!(cut(Some(2), From::Index(usize::MAX), 9).as_deref(), Ok(""));
        assert_eq!(cut(None, From::After("x".into()), 9), Err(Condition::ItemNotFound));
    }

    #[test]
    fn pages_that_have_no_room_for_all() {
        let list = ["a", "b", "c", "d", "e"];
        for (from, room, want, index) in [
            (From::Start, 2, "ab", 0),
            (From::Start, 0, "a", 0),
            (From::After("b".into()), 2, "cd", 2),
            (From::Before("e".into()), 2, "cd", 2),
            (From::End, 1, "e", 4),
            (From::End, 9, "abcde", 0),
        ] {
            let mut room = room;
            let fits = |_: &&str| {
                room -= 1;
                room >= 0
            };
            let page = Page { max: None, from };
            let (page, set) = page.cut(&list, |item| item, 9, fits).expect("a page");
            assert_eq!((page.concat().as_str(), set.last.as_deref()), (want, page.last().copied()));
            assert_eq!(set.first, Some((page[0].to_owned(), Some(index))));
        }
    }
}
