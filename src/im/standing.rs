//! Where an account and a contact stand with each other, and what the four words about
//! subscriptions change of it: RFC 6121 Appendix A, both halves, as pure functions.
//!
//! The nine states of A.1 are four facts of which two pairs exclude each other. A state says
//! nothing of the other side, which keeps its own; the two need not agree, since a word may be lost
//! between servers, and the tables are made so that they find together again.

use crate::storage::{RosterItem, Subscription};
use crate::xmpp::PresenceType;

/// A state of Appendix A.1, and what §3.4 adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Standing {
    /// The account sees the contact.
    pub to: bool,
    /// The contact sees the account.
    pub from: bool,
    /// "Pending Out": the account has asked for `to`. Not together with `to`.
    pub pending_out: bool,
    /// "Pending In": the contact has asked for `from`. Not together with `from`.
    pub pending_in: bool,
    /// §3.4: the account will approve what the contact has not asked for. Not together with `from`
    /// or `pending_in`.
    pub approved: bool,
}

/// The types of presence that are about a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Subscribe,
    Subscribed,
    Unsubscribe,
    Unsubscribed,
}

/// What the server of the one addressed does with a word (A.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    /// Nothing.
    Ignore,
    /// The account's sessions get it.
    Deliver,
    /// They do not: the server answers `subscribed` on behalf of the account.
    Approve,
}

impl Word {
    /// The word that a presence of this type is.
    pub(super) fn of(kind: PresenceType) -> Option<Self> {
        match kind {
            PresenceType::Subscribe => Some(Self::Subscribe),
            PresenceType::Subscribed => Some(Self::Subscribed),
            PresenceType::Unsubscribe => Some(Self::Unsubscribe),
            PresenceType::Unsubscribed => Some(Self::Unsubscribed),
            _ => None,
        }
    }
}

impl Standing {
    /// From what is stored of a contact.
    pub(super) fn new(item: Option<&RosterItem>, is_requested: bool) -> Self {
        let subscription = item.map_or(Subscription::None, |item| item.subscription);
        let (to, from) = (subscription.is_to(), subscription.is_from());
        Self {
            to,
            from,
            pending_out: !to && item.is_some_and(|item| item.ask),
            pending_in: !from && is_requested,
            approved: !from && !is_requested && item.is_some_and(|item| item.approved),
        }
    }

    /// `subscription` of the roster item.
    pub(super) fn subscription(self) -> Subscription {
        Subscription::new(self.to, self.from)
    }

    /// The account sends a word to the contact (A.2): the state afterwards, and whether the word is
    /// routed.
    pub(super) fn sent(mut self, word: Word) -> (Self, bool) {
        match word {
            Word::Subscribe => {
                self.pending_out = !self.to;
                (self, true)
            }
            Word::Unsubscribe => {
                (self.to, self.pending_out) = (false, false);
                (self, true)
            }
            Word::Subscribed => {
                let is_asked = std::mem::take(&mut self.pending_in);
                self.from |= is_asked;
                self.approved = !self.from;
                (self, is_asked)
            }
            Word::Unsubscribed => {
                let is_heard = self.from || self.pending_in;
                (self.from, self.pending_in, self.approved) = (false, false, false);
                (self, is_heard)
            }
        }
    }

    /// The contact sends a word to the account (A.3): the state afterwards, and what is done.
    pub(super) fn received(mut self, word: Word) -> (Self, Reaction) {
        let is_heard = match word {
            Word::Subscribe if self.from => return (self, Reaction::Approve),
            Word::Subscribe if self.approved => {
                (self.from, self.approved) = (true, false);
                return (self, Reaction::Approve);
            }
            Word::Subscribe => !std::mem::replace(&mut self.pending_in, true),
            Word::Unsubscribe => {
                let is_heard = self.from || self.pending_in;
                (self.from, self.pending_in) = (false, false);
                is_heard
            }
            Word::Subscribed => {
                let is_awaited = std::mem::take(&mut self.pending_out);
                self.to |= is_awaited;
                is_awaited
            }
            Word::Unsubscribed => {
                let is_heard = self.to || self.pending_out;
                (self.to, self.pending_out) = (false, false);
                is_heard
            }
        };
        (self, if is_heard { Reaction::Deliver } else { Reaction::Ignore })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [&str; 9] = [
        "None",
        "None + Pending Out",
        "None + Pending In",
        "None + Pending Out+In",
        "To",
        "To + Pending In",
        "From",
        "From + Pending Out",
        "Both",
    ];

    fn standing(name: &str) -> Standing {
        let (subscription, pending) = name.split_once(" + ").unwrap_or((name, ""));
        Standing {
            to: matches!(subscription, "To" | "Both"),
            from: matches!(subscription, "From" | "Both"),
            pending_out: pending.contains("Out"),
            pending_in: pending.contains("In"),
            approved: false,
        }
    }

    /// `rows`: for each of [`STATES`] whether the word passes, and the state afterwards, `-` for no
    /// change.
    #[track_caller]
    fn check_sent(word: Word, rows: [(bool, &str); 9]) {
        for (state, (is_routed, after)) in STATES.into_iter().zip(rows) {
            let want = standing(if after == "-" { state } else { after });
            let (mut got, got_routed) = standing(state).sent(word);
            // §3.4 is tested by itself.
            got.approved = false;
            assert_eq!((got, got_routed), (want, is_routed), "{word:?} in {state}");
        }
    }

    #[track_caller]
    fn check_received(word: Word, rows: [(Reaction, &str); 9]) {
        for (state, (reaction, after)) in STATES.into_iter().zip(rows) {
            let want = standing(if after == "-" { state } else { after });
            assert_eq!(standing(state).received(word), (want, reaction), "{word:?} in {state}");
        }
    }

    #[test]
    fn a_2_outbound() {
        let (yes, no) = (true, false);
        check_sent(
            Word::Subscribe,
            [
                (yes, "None + Pending Out"),
                (yes, "-"),
                (yes, "None + Pending Out+In"),
                (yes, "-"),
                (yes, "-"),
                (yes, "-"),
                (yes, "From + Pending Out"),
                (yes, "-"),
                (yes, "-"),
            ],
        );
        check_sent(
            Word::Unsubscribe,
            [
                (yes, "-"),
                (yes, "None"),
                (yes, "-"),
                (yes, "None + Pending In"),
                (yes, "None"),
                (yes, "None + Pending In"),
                (yes, "-"),
                (yes, "From"),
                (yes, "From"),
            ],
        );
        check_sent(
            Word::Subscribed,
            [
                (no, "-"),
                (no, "-"),
                (yes, "From"),
                (yes, "From + Pending Out"),
                (no, "-"),
                (yes, "Both"),
                (no, "-"),
                (no, "-"),
                (no, "-"),
            ],
        );
        check_sent(
            Word::Unsubscribed,
            [
                (no, "-"),
                (no, "-"),
                (yes, "None"),
                (yes, "None + Pending Out"),
                (no, "-"),
                (yes, "To"),
                (yes, "None"),
                (yes, "None + Pending Out"),
                (yes, "To"),
            ],
        );
    }

    #[test]
    fn a_3_inbound() {
        use Reaction::{Approve, Deliver, Ignore};
        check_received(
            Word::Subscribe,
            [
                (Deliver, "None + Pending In"),
                (Deliver, "None + Pending Out+In"),
                (Ignore, "-"),
                (Ignore, "-"),
                (Deliver, "To + Pending In"),
                (Ignore, "-"),
                (Approve, "-"),
                (Approve, "-"),
                (Approve, "-"),
            ],
        );
        check_received(
            Word::Unsubscribe,
            [
                (Ignore, "-"),
                (Ignore, "-"),
                (Deliver, "None"),
                (Deliver, "None + Pending Out"),
                (Ignore, "-"),
                (Deliver, "To"),
                (Deliver, "None"),
                (Deliver, "None + Pending Out"),
                (Deliver, "To"),
            ],
        );
        check_received(
            Word::Subscribed,
            [
                (Ignore, "-"),
                (Deliver, "To"),
                (Ignore, "-"),
                (Deliver, "To + Pending In"),
                (Ignore, "-"),
                (Ignore, "-"),
                (Ignore, "-"),
                (Deliver, "Both"),
                (Ignore, "-"),
            ],
        );
        check_received(
            Word::Unsubscribed,
            [
                (Ignore, "-"),
                (Deliver, "None"),
                (Ignore, "-"),
                (Deliver, "None + Pending In"),
                (Deliver, "None"),
                (Deliver, "None + Pending In"),
                (Ignore, "-"),
                (Deliver, "From"),
                (Deliver, "From"),
            ],
        );
    }

    /// §3.4.2: noted in the states without `from` and without a request, taken back by
    /// `unsubscribed`, used up by the request.
    #[test]
    fn pre_approval() {
        for state in STATES {
            let before = standing(state);
            let (after, _) = before.sent(Word::Subscribed);
            assert_eq!(after.approved, !before.from && !before.pending_in, "{state}");
            if !after.approved {
                continue;
            }
            assert_eq!(after.sent(Word::Unsubscribed), (before, false), "{state}");
            let used = Standing { from: true, ..before };
            assert_eq!(after.received(Word::Subscribe), (used, Reaction::Approve), "{state}");
            // What the contact says of the other direction does not touch it.
            for word in [Word::Subscribed, Word::Unsubscribed, Word::Unsubscribe] {
                assert!(after.received(word).0.approved, "{word:?} in {state}");
            }
            assert!(after.sent(Word::Subscribe).0.approved, "{state}");
        }
    }
}
