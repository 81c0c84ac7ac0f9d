//! The archive of a room (XEP-0313 for rooms), reading: who may ask, which messages those are, and
//! how they are sent.
//!
//! Whoever may enter the room now may read it, there or not (§6.1.2): no outcast; in a
//! members-only room members alone; in a room with a password those who are in or have an
//! affiliation, because a stranger cannot show here that it knows the word. Real addresses are
//! shown, and may be searched for, by the rights at the time of the query: to all in a
//! non-anonymous room, else to moderators, and to those whom their affiliation would make one.
//! Others may search for occupants (`room@service/nick`) and for themselves; else `with` would be
//! a way around (§4.1.1). Affiliation and role shown are those that the sender had then.
//!
//! A page ends at its number of messages or of bytes. Ids of `before`, `after`, `before-id`,
//! `after-id` and `ids` that are not there are `item-not-found` (§4.1.3, §4.3.2).

use super::allowance::DEAR_ROW;
use super::archive::{read_message, retention};
use super::archive_filter::{self, Query};
use super::dispatch::Request;
use super::privilege;
use super::room::Room;
use crate::cx::Cx;
use crate::storage::{ArchiveFilter, ArchivePage, ArchiveSlice, ArchivedMessage};
use crate::xml::Element;
use crate::xmpp::datetime::format_utc;
use crate::xmpp::rsm::{From, Set};
use crate::xmpp::{
    Affiliation, BareJid, Condition, Jid, MessageType, Role, Stanza, StanzaError, ns,
};

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

impl Room {
    /// May this account read the archive? May it see real addresses there?
    fn check_archive(&self, account: &BareJid, node: Option<&str>) -> Result<bool, Condition> {
        let rank = self.rank_of(account);
        let is_listed = rank.affiliation >= Affiliation::Member;
        let is_here = rank.role > Role::None;
        let may_enter = rank.affiliation > Affiliation::Outcast
            && (is_listed || !self.options.members_only)
            && (is_listed || is_here || self.options.password.is_empty());
        if !may_enter {
            return Err(Condition::Forbidden); // §8.1
        }
        if !self.keeps_archive() {
            return Err(Condition::ServiceUnavailable);
        }
        if node.is_some_and(|node| !node.is_empty()) {
            return Err(Condition::ItemNotFound); // §6.1.3: a room has no nodes.
        }
        let role = rank.role.max(privilege::default_role(&self.options, rank.affiliation));
        Ok(privilege::sees_jids(&self.options, role))
    }

    /// A get: the form (§4.1.5).
    pub fn archive_form(&self, request: &Request<'_>) -> Result<Element, StanzaError> {
        self.check_archive(&request.account, request.payload.attr("node"))?;
        Ok(Element::new("query", ns::MAM).with_child(archive_filter::form()))
    }

    /// A get: the first and the last message (§5).
    pub fn archive_metadata(
        &mut self,
        cx: &mut Cx,
        request: &Request<'_>,
    ) -> Result<Element, StanzaError> {
        self.check_archive(&request.account, None)?;
        self.expire_archive(cx)?;
        let filter = self.unfiltered(cx);
        let mut metadata = Element::new("metadata", ns::MAM);
        for (name, from_end) in [("start", false), ("end", true)] {
            let bytes_max = PAGE_BYTES_MAX;
            let slice = ArchiveSlice { from_end, skipped: 0, messages_max: 1, bytes_max };
            let page = cx.storage.archive_page(&self.jid, &filter, slice)?;
            let end = page.messages.first().map(|message| {
                Element::new(name, ns::MAM)
                    .with_attr("id", message.uid.clone())
                    .with_attr("timestamp", format_utc(message.unix_ms))
            });
            metadata = metadata.with_child_opt(end);
        }
        self.rows_read += DEAR_ROW;
        Ok(metadata)
    }

    /// A set: sends a page to the asker and returns its `<fin/>` (§4).
    pub fn archive_query(
        &mut self,
        cx: &mut Cx,
        request: &Request<'_>,
    ) -> Result<Element, StanzaError> {
        let sees_jids = self.check_archive(&request.account, request.payload.attr("node"))?;
        let query = archive_filter::read(request.payload)?;
        self.expire_archive(cx)?;
        let whole = self.filter(cx, request, &query, sees_jids)?;
        let (page, set) = self.page(cx, &query, &whole)?;
        let bytes: usize = page.messages.iter().map(|message| message.xml.len()).sum();
        self.rows_read += DEAR_ROW * (1 + page.messages.len()) + bytes / BYTES_PER_ROW;
        let fin = Element::new("fin", ns::MAM)
            .with_attr_opt("complete", (!page.has_more).then_some("true"))
            .with_child(set.to_element());
        let mut messages = page.messages;
        if query.is_flipped {
            messages.reverse();
        }
        for message in messages {
            let result = self.result(cx, &request.stanza.from, &query, message, sees_jids);
            cx.send(request.origin, result);
        }
        Ok(fin)
    }

    /// Everything that is not too old.
    fn unfiltered(&self, cx: &Cx) -> ArchiveFilter {
        let start_ms = retention(&cx.config, cx.now).oldest_ms;
        ArchiveFilter { start_ms, ..ArchiveFilter::default() }
    }

    /// The place of a message; `item-not-found` when it is not in the archive.
    fn place(&mut self, cx: &mut Cx, uid: &str) -> Result<i64, StanzaError> {
        self.rows_read += 1;
        let oldest_ms = retention(&cx.config, cx.now).oldest_ms;
        let place = cx.storage.archive_place(&self.jid, uid, oldest_ms)?;
        Ok(place.ok_or(Condition::ItemNotFound)?)
    }

    /// What the form of a query asks for (§4.1).
    fn filter(
        &mut self,
        cx: &mut Cx,
        request: &Request<'_>,
        query: &Query,
        sees_jids: bool,
    ) -> Result<ArchiveFilter, StanzaError> {
        let mut filter = self.unfiltered(cx);
        filter.start_ms = query.start_ms.unwrap_or(i64::MIN).max(filter.start_ms);
        filter.end_ms = query.end_ms.unwrap_or(i64::MAX);
        if let Some(with) = &query.with {
            if with.bare_str() == self.jid.as_str() {
                // §4.1.1: the bare address of the room matches all its occupants.
                filter.nick = with.resource().map(str::to_owned);
            } else if sees_jids || with.bare_str() == request.account.as_str() {
                filter.account = Some(with.bare_str().to_owned());
                filter.resource = with.resource().map(str::to_owned);
            } else {
                return Err(Condition::Forbidden.into()); // §4.1.1
            }
        }
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
        let messages = cx.storage.archive_total(&self.jid)?.messages;
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
        let page = cx.storage.archive_page(&self.jid, &filter, slice)?;
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
        let total = cx.storage.archive_total(&self.jid)?;
        let messages = usize::try_from(total.messages).unwrap_or_default();
        let unfiltered = self.unfiltered(cx);
        if *whole == unfiltered && total.oldest_ms.is_none_or(|ms| ms >= unfiltered.start_ms) {
            return Ok(Some(messages));
        }
        self.rows_read += messages / SEARCHED_ROWS_PER_ROW;
        if !is_asked {
            return Ok(None);
        }
        Ok(Some(cx.storage.archive_count(&self.jid, whole)?))
    }

    /// One result (§4.2). The one place that builds them.
    fn result(
        &self,
        cx: &mut Cx,
        to: &Jid,
        query: &Query,
        archived: ArchivedMessage,
        sees_jids: bool,
    ) -> Stanza {
        let delay =
            Element::new("delay", ns::DELAY).with_attr("stamp", format_utc(archived.unix_ms));
        let mut forwarded = Element::new("forwarded", ns::FORWARD).with_child(delay);
        // §3.2: what cannot be read is left out; its place is not.
        if let Some(mut message) = read_message(&archived.xml) {
            if let Some(author) = archived.author.as_ref().filter(|_| sees_jids) {
                let item = Element::new("item", ns::MUC_USER)
                    .with_attr("jid", author.jid.as_str())
                    .with_attr("affiliation", author.affiliation.as_str())
                    .with_attr("role", author.role.as_str());
                message.push(Element::new("x", ns::MUC_USER).with_child(item));
            }
            forwarded.push(message);
        }
        let result = Element::new("result", ns::MAM)
            .with_attr_opt("queryid", query.query_id.as_deref())
            .with_attr("id", archived.uid)
            .with_child(forwarded);
        Stanza { to: Some(to.clone()), ..self.own_message(cx, MessageType::Normal, result) }
    }
}
