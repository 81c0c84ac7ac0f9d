//! What the other side sends over a stream that we have opened, where both have agreed that it
//! goes both ways (XEP-0288): stanzas from what the stream has proved, the other way round, and
//! keys by which it proves further domains of its own. Such a key is verified over another
//! connection than this one (§2.2).

use crate::config::Verify;
use crate::ids::SessionId;
use crate::peers::Pair;
use crate::stream::s2s;
use crate::xml::Element;
use crate::xmpp::{Condition, StreamCondition, StreamError};

use super::super::Server;
use super::incoming::dialback::domain;
use super::queues::Verdict;

/// Pairs that the other side proves on one stream, and keys of it that are being verified.
const REVERSE_PAIRS_MAX: usize = 100;

/// A pair that the other side wants to send from.
pub(in crate::server) struct Reverse {
    pair: Pair,
    is_proved: bool,
}

impl Server {
    /// A stanza over a stream of ours.
    pub(super) fn handle_reverse_stanza(
        &mut self,
        id: SessionId,
        stanza: Element,
    ) -> Result<(), StreamError> {
        let Some(outgoing) = self.outgoing_mut(id) else { return Ok(()) };
        if !outgoing.is_bidi {
            return Err(StreamCondition::NotAuthorized.into());
        }
        outgoing.acks.handled = outgoing.acks.handled.wrapping_add(1);
        let reverse = outgoing.reverse.iter().filter(|one| one.is_proved).map(|one| &one.pair);
        let pairs: Vec<_> = outgoing.proved.iter().chain(reverse).cloned().collect();
        self.handle_link_stanza(stanza, |from, to| {
            let is_it = |pair: &Pair| from.domain() == &*pair.theirs && to.domain() == &*pair.ours;
            // Advisory a11.
            pairs.iter().any(is_it).then_some(()).ok_or(StreamCondition::InvalidFrom.into())
        })
    }

    /// `<db:result/>` or `<db:verify/>` with a key.
    pub(super) fn handle_reverse_dialback(
        &mut self,
        id: SessionId,
        element: &Element,
    ) -> Result<(), StreamError> {
        if element.name == "verify" {
            return self.handle_dialback_request(id, element);
        }
        let (Some(from), Some(to)) = (element.attr("from"), element.attr("to")) else {
            return Err(StreamCondition::ImproperAddressing.into());
        };
        let pair = Pair { ours: domain(to)?, theirs: domain(from)? };
        match self.worth_of_reverse(id, &pair) {
            Err(condition) => self.answer_reverse(id, &pair, Err(condition)),
            Ok(true) => self.answer_reverse(id, &pair, Ok("valid")),
            Ok(false) => {
                let Some(outgoing) = self.outgoing_mut(id) else { return Ok(()) };
                if outgoing.reverse.iter().any(|one| one.pair == pair) {
                    return Ok(()); // One answer is for both.
                }
                outgoing.reverse.push(Reverse { pair: pair.clone(), is_proved: false });
                let stream_id = outgoing.stream_id.clone().unwrap_or_default();
                self.verify_key(id, &pair, &stream_id, element.text().trim());
            }
        }
        Ok(())
    }

    /// Whether a pair is proved already, or has to be. `Err`: it cannot be, here.
    fn worth_of_reverse(&self, id: SessionId, pair: &Pair) -> Result<bool, Condition> {
        let Some(outgoing) = self.outgoing(id) else { return Err(Condition::ItemNotFound) };
        let verify = self.cx.config.s2s.verify;
        let is_certified = verify == Verify::Dialback
            || self.check_certificate(&outgoing.chain, &pair.theirs).is_ok();
        if !outgoing.is_bidi || self.is_served(&pair.theirs) {
            return Err(Condition::NotAcceptable);
        }
        if !self.is_served(&pair.ours) {
            return Err(Condition::ItemNotFound);
        }
        if self.drain.has_begun() {
            return Err(Condition::ServiceUnavailable);
        }
        if !is_certified {
            return Err(Condition::NotAuthorized);
        }
        let known = outgoing.reverse.iter().find(|one| one.pair == *pair);
        if known.is_none() && outgoing.reverse.len() >= REVERSE_PAIRS_MAX {
            return Err(Condition::ResourceConstraint);
        }
        Ok(outgoing.proved.contains(pair) || known.is_some_and(|one| one.is_proved))
    }

    /// The answer to [`Server::verify_key`], about a key that came over a stream of ours.
    pub(super) fn reverse_is_verified(&mut self, id: SessionId, pair: &Pair, verdict: Verdict) {
        let Some(outgoing) = self.outgoing_mut(id) else { return };
        let known = outgoing.reverse.iter_mut().find(|one| one.pair == *pair && !one.is_proved);
        let Some(known) = known else { return };
        known.is_proved = verdict == Verdict::Valid;
        outgoing.reverse.retain(|one| one.pair != *pair || one.is_proved);
        let answer = match verdict {
            Verdict::Valid => Ok("valid"),
            // XEP-0220 §2.2.1, §2.5: the stream carries other pairs, and goes on.
            Verdict::Invalid => Err(Condition::Forbidden),
            Verdict::Unknown => Err(Condition::RemoteServerNotFound),
        };
        self.answer_reverse(id, pair, answer);
        self.end_if_useless(id);
    }

    fn answer_reverse(
        &mut self,
        id: SessionId,
        pair: &Pair,
        answer: Result<&'static str, Condition>,
    ) {
        let mut attributes = vec![("from", &*pair.ours), ("to", &*pair.theirs)];
        let bytes = match answer {
            Ok(kind) => {
                attributes.push(("type", kind));
                s2s::dialback("result", &attributes, None)
            }
            Err(condition) => s2s::dialback_error("result", &attributes, condition),
        };
        self.cx.out.push_raw(id, &bytes);
    }
}
