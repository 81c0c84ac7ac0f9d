//! Who may read a node and publish to it (XEP-0060 §4.5, §6.5.1, §7.1).
//!
//! A stranger, who neither sees the owner's presence nor has been affiliated with the node, gets
//! one answer for what is closed to it and for what is not there, be it the node or the account:
//! that a subscription to the presence is needed. So nobody finds out which accounts exist by
//! asking for a node that most of them have (XEP-0030 §8, WIRE 46; XEP-0060 §6.5.1 leaves room for
//! such a policy). Who sees the presence is told exactly what is the matter.

use crate::cx::Cx;
use crate::im::Im;
use crate::storage::{PepAccess, PepAffiliation, PepNode, PepPublishers};
use crate::xmpp::{BareJid, Condition, StanzaError};

use super::refused;
use super::requests::Asked;

/// What the answer to a stranger is.
pub(super) fn presence_required() -> StanzaError {
    refused(Condition::NotAuthorized, "presence-subscription-required")
}

impl Im {
    /// A node that the asker wants to read or subscribe to.
    pub(super) fn pep_readable_node(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        name: &str,
        asker: &BareJid,
    ) -> Result<PepNode, StanzaError> {
        if let Some(node) = cx.storage.pep_node(account, name)? {
            self.pep_check_reader(cx, account, &node, asker)?;
            return Ok(node);
        }
        // XEP-0060 §6.1.3.12, §6.5.9.11
        if self.is_subscriber(cx, account, asker)? {
            return Err(Condition::ItemNotFound.into());
        }
        Err(presence_required())
    }

    /// Whether somebody may read a node and subscribe to it.
    pub(super) fn pep_check_reader(
        &mut self,
        cx: &mut Cx,
        account: &BareJid,
        node: &PepNode,
        reader: &BareJid,
    ) -> Result<(), StanzaError> {
        if reader == account {
            return Ok(());
        }
        let is_subscriber = self.is_subscriber(cx, account, reader)?;
        check_contact(cx, account, node, reader, is_subscriber)
    }

    /// Whether somebody may publish to a node (§7.1.3.1).
    pub(super) fn pep_check_publisher(
        &mut self,
        cx: &mut Cx,
        asked: &Asked<'_>,
        node: &PepNode,
    ) -> Result<(), StanzaError> {
        if asked.is_owner {
            return Ok(());
        }
        let may = match cx.storage.pep_affiliation(node, &asked.asker)? {
            Some(PepAffiliation::Publisher) => true,
            Some(PepAffiliation::Outcast) => false,
            Some(PepAffiliation::Member) | None => match node.config.publishers {
                PepPublishers::Publishers => false,
                PepPublishers::Open => true,
                PepPublishers::Subscribers => {
                    let subscribed =
                        cx.storage.pep_subscriptions_of(asked.account, &asked.asker)?;
                    let is_subscribed = subscribed.iter().any(|(name, _)| *name == node.name);
                    is_subscribed || self.is_subscriber(cx, asked.account, &asked.asker)?
                }
            },
        };
        // What is open to publishers only is no business of those who may not even read it.
        if may { Ok(()) } else { Err(Condition::Forbidden.into()) }
    }
}

/// The same as [`Im::pep_check_reader`] for somebody who is not the owner, where it is known
/// whether it sees the owner's presence.
pub(super) fn check_contact(
    cx: &mut Cx,
    account: &BareJid,
    node: &PepNode,
    reader: &BareJid,
    is_subscriber: bool,
) -> Result<(), StanzaError> {
    let affiliation = cx.storage.pep_affiliation(node, reader)?;
    match (affiliation, node.config.access, is_subscriber) {
        // §6.1.3.8, §6.5.9.10
        (Some(PepAffiliation::Outcast), ..) => Err(Condition::Forbidden.into()),
        // §12.12
        (Some(PepAffiliation::Publisher), ..) => Ok(()),
        (_, PepAccess::Open, _) => Ok(()),
        (Some(PepAffiliation::Member), PepAccess::Whitelist, _) => Ok(()),
        // §6.1.3.2, §6.5.9.6
        (_, _, false) => Err(presence_required()),
        (_, PepAccess::Presence, true) => Ok(()),
        // §6.1.3.3, §6.5.9.7
        (_, PepAccess::Roster, true) => {
            let allowed = &node.config.roster_groups;
            let item = cx.storage.roster_item(account, reader)?;
            if item.iter().flat_map(|item| &item.groups).any(|group| allowed.contains(group)) {
                return Ok(());
            }
            Err(refused(Condition::NotAuthorized, "not-in-roster-group"))
        }
        // §6.1.3.4, §6.5.9.8
        (_, PepAccess::Whitelist, true) => Err(refused(Condition::NotAllowed, "closed-node")),
    }
}
