//! Archives of messages (XEP-0313), whosever they are: which messages a query means, which page of
//! them, and how they are sent. Who may ask, and what `with` means, is said by whose archive it is:
//! a room's in `muc`, an account's in `im`.
//!
//! A page ends at its number of messages or of bytes. Ids of `before`, `after`, `before-id`,
//! `after-id` and `ids` that are not there are `item-not-found` (§4.1.3, §4.3.2). What is too old
//! is found by nobody, whether it could be removed or not.

pub mod chats;
pub mod preferences;

use crate::allowance::DEAR_ROW;
use crate::cx::{Cx, Now};
use crate::ids::Target;
use crate::storage::{
    ArchiveFilter, ArchiveOwner, ArchivePage, ArchiveSlice, ArchivedMessage, Retention,
    StorageError,
};
use crate::xml::{Element, read_fragment};
use crate::xmpp::mam::{self, Query};
use crate::xmpp::rsm::{From, Set};
use crate::xmpp::{BareJid, Condition, Jid, MessageType, Stanza, StanzaError, StanzaKind, ns};

/// What says that an address has an archive with all that a query may ask for (§7).
pub const EXTENDED: &str = "urn:xmpp:mam:2#extended";

/// Messages of a page when nothing is said.
const PAGE_MESSAGES_DEFAULT: usize = 50;
/// Messages of a page.
const PAGE_MESSAGES_MAX: usize = 100;
/// Bytes of a page's messages; a single one may have more.
const PAGE_BYTES_MAX: usize = 256 * 1024;
/// Rows that a search may look at for the price of one that is read.
const SEARCHED_ROWS_PER_ROW: usize = 10;
/// Bytes that are read, understood and sent for the price of one row.
const BYTES_PER_ROW: usize = 256;
/// A day.
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// An archive that is read.
pub struct Archive<'a> {
    owner: ArchiveOwner<'a>,
    keep: Retention,
    /// Rows that have been read so far, for the allowance of who asks.
    pub rows_read: usize,
}

/// Who has asked for a page, and gets it.
#[derive(Clone, Copy)]
pub struct Asker<'a> {
    /// How to reach it.
    pub origin: Target,
    /// Its address.
    pub jid: &'a Jid,
}

/// What an archive keeps now: up to `days` old, or of any age (0).
pub fn retention(now: Now, days: u32, messages_max: usize, bytes_max: u64) -> Retention {
    let oldest_ms = match i64::from(days) {
        0 => i64::MIN,
        days => now.unix_ms.saturating_sub(days * DAY_MS),
    };
    Retention { messages_max, bytes_max, oldest_ms }
}

/// `<stanza-id/>` (XEP-0359) with a new id: unpredictable, so that none can be made in advance.
pub fn stanza_id_element(cx: &mut Cx, by: &BareJid) -> Element {
    Element::new("stanza-id", ns::SID)
        .with_attr("by", by.as_str())
        .with_attr("id", cx.random_hex(16))
}

/// A stored message.
pub fn read_message(xml: &[u8]) -> Option<Element> {
    read_fragment(xml, ns::CLIENT).into_iter().next()
}

impl<'a> Archive<'a> {
    /// The archive of `owner`, which keeps so much.
    pub fn new(owner: ArchiveOwner<'a>, keep: Retention) -> Self {
        Self { owner, keep, rows_read: 0 }
    }

    /// Removes what is too old. While nothing can be written it is hidden all the same; but a
    /// statement that fails may leave a half behind it: `Err` takes that back.
    pub fn expire(&self, cx: &mut Cx) -> Result<(), StorageError> {
        match cx.storage.archive_trim(self.owner, self.keep) {
            Err(StorageError::Unavailable) => Ok(()),
            result => result,
        }
    }

    /// The first and the last message (§5).
    pub fn metadata(&mut self, cx: &mut Cx) -> Result<Element, StorageError> {
        self.rows_read += DEAR_ROW;
        self.expire(cx)?;
        let filter = self.unfiltered();
        let mut ends = Vec::new();
        for (name, from_end) in [("start", false), ("end", true)] {
            let bytes_max = PAGE_BYTES_MAX;
            let slice = ArchiveSlice { from_end, skipped: 0, messages_max: 1, bytes_max };
            let page = cx.storage.archive_page(self.owner, &filter, slice)?;
            ends.extend(page.messages.into_iter().map(|end| (name, end.uid, end.unix_ms)));
        }
        Ok(mam::metadata(&ends))
    }

    /// Sends a page to the asker and returns its `<fin/>` (§4). `matching` has what `with` means;
    /// `complete` adds to a message what this asker may see beside it.
    pub fn answer(
        &mut self,
        cx: &mut Cx,
        asker: Asker<'_>,
        query: &Query,
        matching: ArchiveFilter,
        complete: impl Fn(&ArchivedMessage, &mut Element),
    ) -> Result<Element, StanzaError> {
        self.expire(cx)?;
        let whole = self.narrow(cx, query, matching)?;
        let (page, set) = self.page(cx, query, &whole)?;
        let bytes: usize = page.messages.iter().map(|message| message.xml.len()).sum();
        self.rows_read += DEAR_ROW * (1 + page.messages.len()) + bytes / BYTES_PER_ROW;
        let fin = mam::fin(&set, !page.has_more);
        let mut messages = page.messages;
        if query.is_flipped {
            messages.reverse();
        }
        let (ArchiveOwner::Room(from) | ArchiveOwner::Account(from)) = self.owner;
        for archived in messages {
            let mut message = read_message(&archived.xml);
            if let Some(message) = &mut message {
                complete(&archived, message);
            }
            let result = mam::result(query, &archived.uid, archived.unix_ms, message);
            let kind = StanzaKind::Message(MessageType::Normal);
            let stanza = Stanza::new(kind, from.clone().into(), Some(asker.jid.clone()))
                .with_id(Some(cx.random_hex(16)))
                .with_child(result);
            cx.send(asker.origin, stanza);
        }
        Ok(fin)
    }

    /// Everything that is not too old.
    fn unfiltered(&self) -> ArchiveFilter {
        ArchiveFilter { start_ms: self.keep.oldest_ms, ..ArchiveFilter::default() }
    }

    /// The place of a message; `item-not-found` when it is not in the archive.
    fn place(&mut self, cx: &mut Cx, uid: &str) -> Result<i64, StanzaError> {
        self.rows_read += 1;
        let place = cx.storage.archive_place(self.owner, uid, self.keep.oldest_ms)?;
        Ok(place.ok_or(Condition::ItemNotFound)?)
    }

    /// What the form of a query asks for (§4.1) beside `with`.
    fn narrow(
        &mut self,
        cx: &mut Cx,
        query: &Query,
        mut filter: ArchiveFilter,
    ) -> Result<ArchiveFilter, StanzaError> {
        filter.start_ms = query.start_ms.unwrap_or(i64::MIN).max(self.keep.oldest_ms);
        filter.end_ms = query.end_ms.unwrap_or(i64::MAX);
        if let Some(uid) = &query.after_id {
            filter.after = self.place(cx, uid)?;
        }
        if let Some(uid) = &query.before_id {
            filter.before = self.place(cx, uid)?;
        }
        if let Some(uids) = &query.ids {
            let places: Result<Vec<_>, _> = uids.iter().map(|uid| self.place(cx, uid)).collect();
            let places = places?;
            // Nothing beyond them need be looked at.
            if let (Some(first), Some(last)) = (places.iter().min(), places.iter().max()) {
                filter.after = filter.after.max(first - 1);
                filter.before = filter.before.min(last + 1);
            }
            filter.places = Some(places);
        }
        Ok(filter)
    }

    /// The page of what matches (§4.3), and what is said of it.
    fn page(
        &mut self,
        cx: &mut Cx,
        query: &Query,
        whole: &ArchiveFilter,
    ) -> Result<(ArchivePage, Set), StanzaError> {
        let wanted = query.page.max.unwrap_or(PAGE_MESSAGES_DEFAULT).min(PAGE_MESSAGES_MAX);
        let mut filter = whole.clone();
        let (mut from_end, mut skipped) = (false, 0);
        match &query.page.from {
            From::Start => {}
            From::After(uid) => filter.after = filter.after.max(self.place(cx, uid)?),
            From::Before(uid) => {
                filter.before = filter.before.min(self.place(cx, uid)?);
                from_end = true;
            }
            From::End => from_end = true,
            From::Index(index) => skipped = *index,
        }
        let messages = cx.storage.archive_total(self.owner)?.messages;
        self.rows_read +=
            skipped.min(usize::try_from(messages).unwrap_or_default()) / SEARCHED_ROWS_PER_ROW;
        let count = self.count(cx, whole, wanted == 0)?;
        if wanted == 0 {
            // XEP-0059 §2.7: only the count.
            let page = ArchivePage { has_more: count != Some(0), ..ArchivePage::default() };
            return Ok((page, Set { count, ..Set::default() }));
        }
        let bytes_max = PAGE_BYTES_MAX;
        let slice = ArchiveSlice { from_end, skipped, messages_max: wanted, bytes_max };
        let page = cx.storage.archive_page(self.owner, &filter, slice)?;
        let index = match query.page.from {
            From::Start | From::Index(_) => Some(skipped),
            From::End => count.map(|count| count.saturating_sub(page.messages.len())),
            From::After(_) | From::Before(_) => None,
        };
        let first = page.messages.first().map(|message| (message.uid.clone(), index));
        let last = page.messages.last().map(|message| message.uid.clone());
        Ok((page, Set { first, last, count }))
    }

    /// How many messages match: where that is known, or where it is all that is asked for.
    fn count(
        &mut self,
        cx: &mut Cx,
        whole: &ArchiveFilter,
        is_asked: bool,
    ) -> Result<Option<usize>, StanzaError> {
        let total = cx.storage.archive_total(self.owner)?;
        let messages = usize::try_from(total.messages).unwrap_or_default();
        let unfiltered = self.unfiltered();
        if *whole == unfiltered && total.oldest_ms.is_none_or(|ms| ms >= unfiltered.start_ms) {
            return Ok(Some(messages));
        }
        self.rows_read += messages / SEARCHED_ROWS_PER_ROW;
        if !is_asked {
            return Ok(None);
        }
        Ok(Some(cx.storage.archive_count(self.owner, whole)?))
    }
}
