//! Rosters (RFC 6121 §2): a user's contacts, read, changed, and pushed to those of its sessions
//! that have asked for them.
//!
//! The roster is in storage alone; presence keeps in memory what it needs of it (`contacts`).
//! Storage is written first, then the pushes are made. Subscriptions are not changed here, except
//! that a contact that is removed is broken off with: what a client claims of them is ignored.
//!
//! Versions (§2.6): a client that tells which one it has gets nothing when it is the current one,
//! the contacts that have changed since when they are few and known, else the whole roster.

use crate::cx::Cx;
use crate::ids::Target;
use crate::outbound::Envelope;
use crate::storage::{RosterChange, RosterItem, RosterVersion, Subscription};
use crate::xml::Element;
use crate::xmpp::{BareJid, Condition, IqType, Jid, Stanza, StanzaError, StanzaKind, ns};

use super::subscription::Contact;
use super::{Im, Request};

/// Bytes of a contact's name, and of the name of a group.
const NAME_BYTES_MAX: usize = 1023;
/// Groups of one contact.
const GROUPS_MAX: usize = 64;
/// What an item costs on the wire besides its texts, and what a group costs.
const ITEM_FRAME_BYTES: usize = 96;
const GROUP_FRAME_BYTES: usize = 16;
/// A roster may take this part of an outbox: escaping makes six bytes of one at worst.
const OUTBOX_SHARE: usize = 8;
/// Changes that are pushed one by one; where there are more the whole roster is shorter.
const CHANGES_MAX: usize = 100;

/// What a roster set asks for (§2.3, §2.4, §2.5).
#[derive(Debug, PartialEq, Eq)]
enum Change {
    Put { jid: BareJid, name: Option<String>, groups: Vec<String> },
    Remove(BareJid),
}

/// What a client lacks of a roster (§2.6.2).
#[derive(Debug, PartialEq, Eq)]
enum Lack {
    /// Nothing.
    Nothing,
    /// What came after this change.
    Since(i64),
    /// Everything, or it does not say what it has.
    Everything,
}

/// Roster get (§2.1.3, §2.2): the session is interested from now on.
pub(super) fn handle_get(
    im: &mut Im,
    cx: &mut Cx,
    request: &Request<'_>,
) -> Result<Option<Element>, StanzaError> {
    let account = owner(request)?;
    let known = request.payload.attr("ver");
    let version = cx.storage.roster_version(&account)?;
    let changes = match lack(known, &version) {
        Lack::Nothing => Some(Vec::new()),
        Lack::Since(number) => Some(cx.storage.roster_changes(&account, number)?),
        Lack::Everything => None,
    };
    let changes = changes.filter(|changes| changes.len() <= CHANGES_MAX);
    let query = match &changes {
        Some(_) => None,
        None => {
            let mut query = Element::new("query", ns::ROSTER)
                .with_attr_opt("ver", known.map(|_| version.to_string()));
            for item in cx.storage.roster(&account)? {
                query.push(item_element(&item));
            }
            Some(query)
        }
    };
    if let Target::Local(session) = request.origin
        && let Some(session) = im.sessions.get_mut(session)
    {
        session.wants_roster = true;
    }
    // Routed, so that they come after the result (§2.6.3).
    for (number, change) in changes.into_iter().flatten() {
        let item = match change {
            RosterChange::Put(item) => item_element(&item),
            RosterChange::Remove(jid) => removed_element(&jid),
        };
        let at = RosterVersion { number, ..version };
        let mut push = roster_push(cx, &account, item, &at.to_string());
        push.to = Some(request.stanza.from.clone());
        cx.route(push);
    }
    Ok(query)
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
    fn roster_put(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        jid: BareJid,
        name: Option<String>,
        groups: Vec<String>,
    ) -> Result<(), StanzaError> {
        let previous = cx.storage.roster_item(account, &jid)?;
        let kept = previous.clone().unwrap_or_else(|| new_item(jid));
        let item = RosterItem { name, groups, ..kept };
        check_room(cx, account, previous.as_ref(), &item)?;
        let version = cx.storage.roster_put(account, &item)?;
        self.pep_recheck(cx, account, &item.jid)?;
        self.push_item(cx, account, item_element(&item), &version.to_string());
        Ok(())
    }

    /// §2.5.2: removes a contact, and with it all subscriptions.
    fn roster_remove(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        jid: &BareJid,
    ) -> Result<(), StanzaError> {
        let contact = Contact::read(cx, account, jid)?;
        if contact.standing.pending_in && contact.item.is_some() {
            cx.storage.request_remove(account, jid)?;
        }
        let version = cx.storage.roster_remove(account, jid)?;
        // §2.5.3
        let version = version.ok_or(Condition::ItemNotFound)?;
        self.note_subscription(account, jid, Subscription::None);
        self.push_item(cx, account, removed_element(jid), &version.to_string());
        self.break_off(cx, &contact);
        Ok(())
    }

    /// A roster push (§2.1.6) to all interested sessions; nobody waits for their answers.
    pub(super) fn push_item(&self, cx: &mut Cx, account: &BareJid, item: Element, version: &str) {
        let push = roster_push(cx, account, item, version);
        let mut interested = self.sessions_in(account).filter(|(_, s)| s.wants_roster).peekable();
        if interested.peek().is_none() {
            return;
        }
        let envelope = Envelope::new(&push);
        for (id, session) in interested {
            cx.out.push_envelope(id, &envelope, &session.to);
        }
    }
}

fn roster_push(cx: &mut Cx, account: &BareJid, item: Element, version: &str) -> Stanza {
    let id = cx.random_hex(8);
    let query = Element::new("query", ns::ROSTER).with_attr("ver", version);
    Stanza::new(StanzaKind::Iq(IqType::Set), account.as_jid().clone(), None)
        .with_id(Some(id))
        .with_child(query.with_child(item))
}

/// What a client lacks that says that it has `known`.
fn lack(known: Option<&str>, current: &RosterVersion) -> Lack {
    let parse = |text: &str| {
        let (epoch, number) = text.split_once('.')?;
        Some((epoch.parse::<i64>().ok()?, number.parse::<i64>().ok()?))
    };
    match known.and_then(parse) {
        Some((epoch, _)) if epoch != current.epoch => Lack::Everything,
        Some((_, number)) if number == current.number => Lack::Nothing,
        Some((_, number)) if (current.oldest..current.number).contains(&number) => {
            Lack::Since(number)
        }
        _ => Lack::Everything,
    }
}

/// Refuses an item that the roster has no room for.
pub(super) fn check_room(
    cx: &mut Cx,
    account: &BareJid,
    previous: Option<&RosterItem>,
    item: &RosterItem,
) -> Result<(), StanzaError> {
    let (items, text_bytes) = cx.storage.roster_size(account, GROUP_FRAME_BYTES)?;
    let items_max = cx.config.limits.roster_items;
    if previous.is_none() && items_max > 0 && items >= items_max {
        return Err(Condition::ResourceConstraint.into());
    }
    // The whole roster has to fit into an outbox, or its owner could never read it again.
    let bytes_before = text_bytes + items * ITEM_FRAME_BYTES;
    let bytes = bytes_before + item_bytes(item) - previous.map_or(0, item_bytes);
    let bytes_max = cx.config.limits.outbox_bytes / OUTBOX_SHARE;
    if bytes_max > 0 && bytes > bytes_max && bytes > bytes_before {
        return Err(Condition::ResourceConstraint.into());
    }
    Ok(())
}

/// A contact of which nothing is known but its address.
pub(super) fn new_item(jid: BareJid) -> RosterItem {
    RosterItem {
        jid,
        name: None,
        groups: Vec::new(),
        subscription: Subscription::None,
        ask: false,
        approved: false,
    }
}

/// `<item/>` (§2.1.2), its attributes as in the examples there.
pub(super) fn item_element(item: &RosterItem) -> Element {
    let mut element = Element::new("item", ns::ROSTER)
        .with_attr("jid", item.jid.as_str())
        .with_attr_opt("name", item.name.as_deref())
        .with_attr("subscription", item.subscription.as_str())
        .with_attr_opt("ask", item.ask.then_some("subscribe"))
        .with_attr_opt("approved", item.approved.then_some("true"));
    for group in &item.groups {
        element.push(Element::new("group", ns::ROSTER).with_text(group));
    }
    element
}

fn removed_element(jid: &BareJid) -> Element {
    Element::new("item", ns::ROSTER)
        .with_attr("jid", jid.as_str())
        .with_attr("subscription", "remove")
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

    #[test]
    fn versions_that_clients_name() {
        let current = RosterVersion { epoch: 7, number: 20, oldest: 10 };
        let never = RosterVersion::default();
        for (known, version, want) in [
            (None, &current, Lack::Everything),
            (Some(""), &current, Lack::Everything),
            (Some("7.20"), &current, Lack::Nothing),
            (Some("7.19"), &current, Lack::Since(19)),
            (Some("7.10"), &current, Lack::Since(10)),
            (Some("7.9"), &current, Lack::Everything),
            (Some("7.21"), &current, Lack::Everything),
            (Some("7.-1"), &current, Lack::Everything),
            (Some("6.20"), &current, Lack::Everything),
            (Some("0.0"), &current, Lack::Everything),
            (Some("7.20.1"), &current, Lack::Everything),
            (Some("other"), &current, Lack::Everything),
            (Some("0.0"), &never, Lack::Nothing),
            (Some("7.20"), &never, Lack::Everything),
        ] {
            assert_eq!(lack(known, version), want, "{known:?}");
        }
    }
}
