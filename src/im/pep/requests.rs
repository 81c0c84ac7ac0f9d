//! What can be asked of an account's nodes: one table of the children of `<pubsub/>`, by the
//! namespace, the kind and the name.

use crate::cx::Cx;
use crate::im::{Im, Request};
use crate::xml::Element;
use crate::xmpp::IqType::{Get, Set};
use crate::xmpp::{BareJid, Condition, IqType, Jid, StanzaError, ns};

use super::{affiliations, items, node, publish, subscriptions, unsupported};

/// A request, taken apart.
pub(super) struct Asked<'a> {
    /// Whose nodes.
    pub(super) account: &'a BareJid,
    /// Who asks.
    pub(super) from: &'a Jid,
    /// The same without a resource.
    pub(super) asker: BareJid,
    /// It is the owner.
    pub(super) is_owner: bool,
    /// `<pubsub/>`
    pub(super) pubsub: &'a Element,
    /// The child of it that says what is asked for.
    pub(super) action: &'a Element,
}

type Answer = Result<Option<Element>, StanzaError>;

/// What can be asked for.
struct Action {
    ns: &'static str,
    kind: IqType,
    name: &'static str,
    /// Others than the owner get `forbidden`, whatever there is or is not.
    owner_only: bool,
    handler: fn(&mut Im, &mut Cx, &Asked<'_>) -> Answer,
}

const fn anyone(
    kind: IqType,
    name: &'static str,
    handler: fn(&mut Im, &mut Cx, &Asked<'_>) -> Answer,
) -> Action {
    Action { ns: ns::PUBSUB, kind, name, owner_only: false, handler }
}

const fn owner(
    kind: IqType,
    name: &'static str,
    handler: fn(&mut Im, &mut Cx, &Asked<'_>) -> Answer,
) -> Action {
    Action { ns: ns::PUBSUB_OWNER, kind, name, owner_only: true, handler }
}

const ACTIONS: &[Action] = &[
    // XEP-0060 §5.6, §5.7
    anyone(Get, "subscriptions", subscriptions::handle_own),
    anyone(Get, "affiliations", affiliations::handle_own),
    // §6.1, §6.2, §6.3, §6.4, §6.5
    anyone(Set, "subscribe", subscriptions::handle_subscribe),
    anyone(Set, "unsubscribe", subscriptions::handle_unsubscribe),
    anyone(Get, "options", |_, _, _| Err(unsupported("subscription-options"))),
    anyone(Set, "options", |_, _, _| Err(unsupported("subscription-options"))),
    anyone(Get, "default", |_, _, _| Err(unsupported("retrieve-default-sub"))),
    anyone(Get, "items", items::handle_items),
    // §7.1, §7.2
    anyone(Set, "publish", publish::handle_publish),
    anyone(Set, "retract", publish::handle_retract),
    // §8.1 to §8.5
    Action {
        ns: ns::PUBSUB,
        kind: Set,
        name: "create",
        owner_only: true,
        handler: node::handle_create,
    },
    owner(Get, "configure", node::handle_form),
    owner(Set, "configure", node::handle_configure),
    owner(Get, "default", node::handle_default),
    owner(Set, "delete", node::handle_delete),
    owner(Set, "purge", node::handle_purge),
    // §8.8, §8.9
    owner(Get, "subscriptions", subscriptions::handle_list),
    owner(Set, "subscriptions", subscriptions::handle_change),
    owner(Get, "affiliations", affiliations::handle_list),
    owner(Set, "affiliations", affiliations::handle_change),
];

/// `<pubsub/>` in a get, of either namespace.
pub(in crate::im) fn handle_get(im: &mut Im, cx: &mut Cx, request: &Request<'_>) -> Answer {
    answer(im, cx, request, Get)
}

/// `<pubsub/>` in a set, of either namespace.
pub(in crate::im) fn handle_set(im: &mut Im, cx: &mut Cx, request: &Request<'_>) -> Answer {
    answer(im, cx, request, Set)
}

fn answer(im: &mut Im, cx: &mut Cx, request: &Request<'_>, kind: IqType) -> Answer {
    let pubsub = request.payload;
    let action = pubsub.elements().next().ok_or(Condition::BadRequest)?;
    let found =
        ACTIONS.iter().find(|a| a.kind == kind && pubsub.ns == a.ns && action.is(a.name, a.ns));
    let found = found.ok_or(Condition::FeatureNotImplemented)?;
    let asker = request.stanza.from.to_bare();
    let asked = Asked {
        account: &request.account,
        from: &request.stanza.from,
        is_owner: asker == request.account,
        asker,
        pubsub,
        action,
    };
    if found.owner_only && !asked.is_owner {
        return Err(Condition::Forbidden.into());
    }
    (found.handler)(im, cx, &asked)
}
