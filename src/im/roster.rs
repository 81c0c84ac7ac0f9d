//! Rosters (RFC 6121 §2): a user's contacts, read, changed, and pushed to those of its sessions
//! that have asked for them.
//!
//! A roster is read from storage when a session of its account first needs it and kept while the
//! account has sessions; storage is written first, then what is kept, then the pushes. Versioning
//! (§2.6) is not offered. Subscriptions are not changed here: what a client claims is ignored.

use std::collections::BTreeMap;

use crate::cx::Cx;
use crate::ids::Target;
use crate::outbound::Envelope;
use crate::storage::{RosterItem, Subscription};
use crate::xml::Element;
use crate::xmpp::{BareJid, Condition, IqType, Jid, Stanza, StanzaError, StanzaKind, ns};

use super::{Im, Request};

/// Bytes of a contact's name, and of the name of a group.
const NAME_BYTES_MAX: usize = 1023;
/// Groups of one contact.
const GROUPS_MAX: usize = 64;
/// What an item costs on the wire besides its texts, and what a group costs.
const ITEM_FRAME_BYTES: usize = 64;
const GROUP_FRAME_BYTES: usize = 16;
/// A roster may take this part of an outbox: escaping makes six bytes of one at worst.
const OUTBOX_SHARE: usize = 8;

/// The roster of a connected account, as storage has it.
#[derive(Default)]
pub(super) struct Roster {
    items: BTreeMap<BareJid, RosterItem>,
    /// Invariant: the sum of `item_bytes` of `items`.
    bytes: usize,
}

/// What a roster set asks for (§2.3, §2.4, §2.5).
#[derive(Debug, PartialEq, Eq)]
enum Change {
    Put { jid: BareJid, name: Option<String>, groups: Vec<String> },
    Remove(BareJid),
}

impl Roster {
    fn put(&mut self, item: RosterItem) {
        self.bytes += item_bytes(&item);
        if let Some(previous) = self.items.insert(item.jid.clone(), item) {
            self.bytes -= item_bytes(&previous);
        }
    }

    fn remove(&mut self, jid: &BareJid) {
        if let Some(previous) = self.items.remove(jid) {
            self.bytes -= item_bytes(&previous);
        }
    }
}

/// Roster get (§2.1.3, §2.2): the session is interested from now on.
pub(super) fn handle_get(
    im: &mut Im,
    cx: &mut Cx,
    request: &Request<'_>,
) -> Result<Option<Element>, StanzaError> {
    let account = owner(request)?;
    let roster = im.roster(cx, &account)?;
    let mut query = Element::new("query", ns::ROSTER);
    for item in roster.items.values() {
        query.push(item_element(item));
    }
    if let Target::Local(session) = request.origin
        && let Some(session) = im.sessions.get_mut(&session)
    {
        session.wants_roster = true;
    }
    Ok(Some(query))
}

/// Roster set (§2.1.5): adds, changes or removes one contact.
pub(super) fn handle_set(
    im: &mut Im,
    cx: &mut Cx,
    request: &Request<'_>,
) -> Result<Option<Element>, StanzaError> {
    let account = owner(request)?;
    match parse_change(request.payload, &account)? {
        Change::Put { jid, name, groups } => im.roster_put(cx, &account, jid, name, groups)?,
        Change::Remove(jid) => im.roster_remove(cx, &account, &jid)?,
    }
    Ok(None)
}

/// Whose roster is meant: only the sender's own (§2.3.3, §2.5.3).
fn owner(request: &Request<'_>) -> Result<BareJid, StanzaError> {
    let account = request.stanza.from.to_bare();
    match &request.stanza.to {
        Some(to) if to != account.as_jid() => Err(Condition::Forbidden.into()),
        _ => Ok(account),
    }
}

fn parse_change(query: &Element, account: &BareJid) -> Result<Change, StanzaError> {
    // Exactly one item (§2.1.5, §2.3.3).
    let mut items = query.elements();
    let (Some(item), None) = (items.next(), items.next()) else {
        return Err(Condition::BadRequest.into());
    };
    if !item.is("item", ns::ROSTER) {
        return Err(Condition::BadRequest.into());
    }
    let jid = Jid::parse(item.attr("jid").ok_or(Condition::BadRequest)?);
    let jid = jid.map_err(|_| StanzaError::new(Condition::JidMalformed))?;
    // A contact is a bare address (§2.1.2.3), and not the user.
    if !jid.is_bare() {
        return Err(Condition::BadRequest.into());
    }
    let jid = jid.to_bare();
    if item.attr("subscription") == Some("remove") {
        return Ok(Change::Remove(jid));
    }
    if jid == *account {
        return Err(Condition::NotAllowed.into());
    }
    let name = item.attr("name").filter(|name| !name.is_empty());
    if name.is_some_and(|name| name.len() > NAME_BYTES_MAX) {
        return Err(Condition::NotAcceptable.into());
    }
    let groups = parse_groups(item)?;
    Ok(Change::Put { jid, name: name.map(str::to_owned), groups })
}

/// The groups of an item, sorted: no name empty or too long (`not-acceptable`), none twice
/// (`bad-request`) (§2.3.3).
fn parse_groups(item: &Element) -> Result<Vec<String>, StanzaError> {
    let groups = item.elements().filter(|child| child.is("group", ns::ROSTER));
    let mut groups: Vec<_> = groups.map(Element::text).collect();
    if groups.len() > GROUPS_MAX
        || groups.iter().any(|group| group.is_empty() || group.len() > NAME_BYTES_MAX)
    {
        return Err(Condition::NotAcceptable.into());
    }
    groups.sort_unstable();
    if groups.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Condition::BadRequest.into());
    }
    Ok(groups)
}

impl Im {
    /// The roster of a connected account.
    fn roster(&mut self, cx: &mut Cx, account: &BareJid) -> Result<&mut Roster, StanzaError> {
        // Only a session of the account gets here.
        let record = self.accounts.get_mut(account).ok_or(Condition::ServiceUnavailable)?;
        if record.roster.is_none() {
            let mut roster = Roster::default();
            for item in cx.storage.roster(account)? {
                roster.put(item);
            }
            record.roster = Some(roster);
        }
        Ok(record.roster.as_mut().expect("it was just read"))
    }

    fn roster_put(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        jid: BareJid,
        name: Option<String>,
        groups: Vec<String>,
    ) -> Result<(), StanzaError> {
        let roster = self.roster(cx, account)?;
        let previous = roster.items.get(&jid);
        let subscription = previous.map_or(Subscription::None, |item| item.subscription);
        let item = RosterItem { jid, name, groups, subscription };
        let items_max = cx.config.limits.roster_items;
        if previous.is_none() && items_max > 0 && roster.items.len() >= items_max {
            return Err(Condition::ResourceConstraint.into());
        }
        // The whole roster has to fit into an outbox, or its owner could never read it again.
        let bytes = roster.bytes + item_bytes(&item) - previous.map_or(0, item_bytes);
        let bytes_max = cx.config.limits.outbox_bytes / OUTBOX_SHARE;
        if bytes_max > 0 && bytes > bytes_max && bytes > roster.bytes {
            return Err(Condition::ResourceConstraint.into());
        }
        cx.storage.roster_put(account, &item)?;
        let element = item_element(&item);
        roster.put(item);
        self.push_item(cx, account, element);
        Ok(())
    }

    fn roster_remove(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        contact: &BareJid,
    ) -> Result<(), StanzaError> {
        let roster = self.roster(cx, account)?;
        if !cx.storage.roster_remove(account, contact)? {
            // §2.5.3
            return Err(Condition::ItemNotFound.into());
        }
        roster.remove(contact);
        let element = Element::new("item", ns::ROSTER)
            .with_attr("jid", contact.as_str())
            .with_attr("subscription", "remove");
        self.push_item(cx, account, element);
        Ok(())
    }

    /// A roster push (§2.1.6) to all interested sessions; nobody waits for their answers.
    fn push_item(&self, cx: &mut Cx, account: &BareJid, item: Element) {
        let id = cx.random_hex(8);
        let push = Stanza::new(StanzaKind::Iq(IqType::Set), account.as_jid().clone(), None)
            .with_id(Some(id))
            .with_child(Element::new("query", ns::ROSTER).with_child(item));
        let envelope = Envelope::new(&push);
        for (id, session) in self.sessions_in(account).filter(|(_, s)| s.wants_roster) {
            cx.out.push_envelope(id, &envelope, &session.to);
        }
    }
}

fn item_element(item: &RosterItem) -> Element {
    let mut element = Element::new("item", ns::ROSTER)
        .with_attr("jid", item.jid.as_str())
        .with_attr_opt("name", item.name.as_deref())
        .with_attr("subscription", item.subscription.as_str());
    for group in &item.groups {
        element.push(Element::new("group", ns::ROSTER).with_text(group));
    }
    element
}

/// What an item takes in a roster result, before escaping.
fn item_bytes(item: &RosterItem) -> usize {
    let groups: usize = item.groups.iter().map(|group| group.len() + GROUP_FRAME_BYTES).sum();
    let name = item.name.as_ref().map_or(0, String::len);
    ITEM_FRAME_BYTES + item.jid.as_str().len() + name + groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(jid: &str) -> Element {
        Element::new("item", ns::ROSTER).with_attr("jid", jid)
    }

    fn grouped(groups: &[&str]) -> Element {
        groups.iter().fold(item("juliet@localhost"), |item, group| {
            item.with_child(Element::new("group", ns::ROSTER).with_text(*group))
        })
    }

    #[track_caller]
    fn check(items: &[Element], want: &Result<Change, Condition>) {
        let own = BareJid::parse("romeo@localhost").expect("a valid address");
        let mut query = Element::new("query", ns::ROSTER);
        for item in items {
            query.push(item.clone());
        }
        assert_eq!(&parse_change(&query, &own).map_err(|error| error.condition), want);
    }

    #[test]
    fn sets_that_are_understood() {
        let jid = BareJid::parse("juliet@localhost").expect("a valid address");
        let put = |name: Option<&str>, groups: &[&str]| {
            let groups = groups.iter().map(|&group| group.to_owned()).collect();
            Ok(Change::Put { jid: jid.clone(), name: name.map(str::to_owned), groups })
        };
        check(&[item("Juliet@localhost")], &put(None, &[]));
        check(&[item("juliet@localhost").with_attr("name", "J")], &put(Some("J"), &[]));
        check(&[item("juliet@localhost").with_attr("name", "")], &put(None, &[]));
        check(&[grouped(&["b", "a"])], &put(None, &["a", "b"]));
        let claims = item("juliet@localhost").with_attr("subscription", "both");
        check(&[claims.with_attr("ask", "subscribe")], &put(None, &[]));
        let remove = |jid: &str| item(jid).with_attr("subscription", "remove");
        check(&[remove("juliet@localhost")], &Ok(Change::Remove(jid.clone())));
    }

    #[test]
    fn sets_that_are_refused() {
        use Condition as C;
        check(&[], &Err(C::BadRequest));
        check(&[item("a@localhost"), item("b@localhost")], &Err(C::BadRequest));
        check(&[Element::new("item", "urn:x").with_attr("jid", "a@b")], &Err(C::BadRequest));
        check(&[Element::new("item", ns::ROSTER)], &Err(C::BadRequest));
        check(&[item("@localhost")], &Err(C::JidMalformed));
        check(&[item("juliet@localhost/balcony")], &Err(C::BadRequest));
        check(&[item("romeo@localhost")], &Err(C::NotAllowed));
        check(&[grouped(&["a", "b", "a"])], &Err(C::BadRequest));
        check(&[grouped(&["a", ""])], &Err(C::NotAcceptable));
        let long = "n".repeat(NAME_BYTES_MAX + 1);
        check(&[grouped(&[&long])], &Err(C::NotAcceptable));
        check(&[item("juliet@localhost").with_attr("name", long)], &Err(C::NotAcceptable));
        let names: Vec<_> = (0..=GROUPS_MAX).map(|n| n.to_string()).collect();
        let many: Vec<_> = names.iter().map(String::as_str).collect();
        check(&[grouped(&many)], &Err(C::NotAcceptable));
    }
}
