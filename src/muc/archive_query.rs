//! The archive of a room (XEP-0313 for rooms), reading: who may ask, and what of it they may see.
//! The rest is as in all archives (`archives`).
//!
//! Whoever may enter the room now may read it, there or not (§6.1.2): no outcast; in a
//! members-only room members alone; in a room with a password those who are in or have an
//! affiliation, because a stranger cannot show here that it knows the word. Real addresses are
//! shown, and may be searched for, by the rights at the time of the query: to all in a
//! non-anonymous room, else to moderators, and to those whom their affiliation would make one.
//! Others may search for occupants (`room@service/nick`) and for themselves; else `with` would be
//! a way around (§4.1.1). Affiliation and role shown are those that the sender had then.

use super::dispatch::Request;
use super::privilege;
use super::room::Room;
use crate::archives::Asker;
use crate::cx::Cx;
use crate::storage::{ArchiveFilter, ArchivedMessage};
use crate::xml::Element;
use crate::xmpp::mam::{self, Query};
use crate::xmpp::{Affiliation, BareJid, Condition, Role, StanzaError, ns};

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
        Ok(mam::form())
    }

    /// A get: the first and the last message (§5).
    pub fn archive_metadata(
        &mut self,
        cx: &mut Cx,
        request: &Request<'_>,
    ) -> Result<Element, StanzaError> {
        self.check_archive(&request.account, None)?;
        let mut archive = self.archive_read(cx);
        let metadata = archive.metadata(cx);
        let rows_read = archive.rows_read;
        self.rows_read += rows_read;
        Ok(metadata?)
    }

    /// A set: sends a page to the asker and returns its `<fin/>` (§4).
    pub fn archive_query(
        &mut self,
        cx: &mut Cx,
        request: &Request<'_>,
    ) -> Result<Element, StanzaError> {
        let sees_jids = self.check_archive(&request.account, request.payload.attr("node"))?;
        let query = mam::read(request.payload)?;
        let matching = self.matching(request, &query, sees_jids)?;
        let asker = Asker { origin: request.origin, jid: &request.stanza.from };
        let mut archive = self.archive_read(cx);
        let fin = archive.answer(cx, asker, &query, matching, |archived, message| {
            if sees_jids {
                show_author(archived, message);
            }
        });
        let rows_read = archive.rows_read;
        self.rows_read += rows_read;
        fin
    }

    /// What `with` means here (§4.1.1).
    fn matching(
        &self,
        request: &Request<'_>,
        query: &Query,
        sees_jids: bool,
    ) -> Result<ArchiveFilter, StanzaError> {
        let mut filter = ArchiveFilter::default();
        let Some(with) = &query.with else { return Ok(filter) };
        if with.bare_str() == self.jid.as_str() {
            // The bare address of the room matches all its occupants.
            filter.nick = with.resource().map(str::to_owned);
        } else if sees_jids || with.bare_str() == request.account.as_str() {
            filter.account = Some(with.bare_str().to_owned());
            filter.resource = with.resource().map(str::to_owned);
        } else {
            return Err(Condition::Forbidden.into());
        }
        Ok(filter)
    }
}

/// Adds to a message whose it was (§6.1.2).
fn show_author(archived: &ArchivedMessage, message: &mut Element) {
    let Some(author) = &archived.author else { return };
    let item = Element::new("item", ns::MUC_USER)
        .with_attr("jid", author.jid.as_str())
        .with_attr("affiliation", author.affiliation.as_str())
        .with_attr("role", author.role.as_str());
    message.push(Element::new("x", ns::MUC_USER).with_child(item));
}
