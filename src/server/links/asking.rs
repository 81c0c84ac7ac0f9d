//! Server dialback (XEP-0220) on streams that we have opened: asking for a pair of domains to be
//! carried (§2.1.1), and asking whether a key is the other server's (§2.1.2).
//!
//! An answer counts for what was asked on that very stream, and once; any other is ignored (§3.1,
//! CVE-2012-3525). A key is never verified on the connection that it came over (XEP-0288 §2.2).

use std::rc::Rc;

use crate::ids::SessionId;
use crate::peers::Pair;
use crate::stream::s2s::{self, DIALBACK_SECRET};
use crate::timers::TimerKey;
use crate::xml::Element;
use crate::xmpp::{StreamError, ns};

use super::super::Server;
use super::bounce::Failure;
use super::queues::Verdict;
use super::{Hold, Part};

/// How long the answer to a question about a key is waited for, a connection included.
const QUESTION_MS: u64 = 20_000;
/// Questions about keys of one server that wait for a stream, or on one for an answer.
const QUESTIONS_MAX: usize = 256;
/// Pairs that one stream carries, or is asked to.
const PAIRS_MAX: usize = 1_000;

/// Whether a key is the other server's.
#[derive(Debug)]
pub(in crate::server) struct Question {
    /// The link over which it came.
    pub asker: SessionId,
    /// Whom it is to prove something of.
    pub pair: Pair,
    /// The stream over which it came.
    stream_id: String,
    key: String,
    /// When there is no more use in an answer.
    pub due_ms: u64,
}

impl Server {
    /// Asks the server of `pair.theirs` whether it made a key that has come over the link `asker`
    /// on the stream `stream_id` (XEP-0220 §2.2): over another connection than that.
    /// [`Server::key_is_verified`] is called with the verdict.
    pub(super) fn verify_key(&mut self, asker: SessionId, pair: &Pair, stream_id: &str, key: &str) {
        let due_ms = self.cx.now.mono_ms + QUESTION_MS;
        let (stream_id, key) = (stream_id.to_owned(), key.to_owned());
        let question = Question { asker, pair: pair.clone(), stream_id, key, due_ms };
        let remote = self.queues.remotes.entry(Rc::clone(&pair.theirs)).or_default();
        if remote.questions.len() >= QUESTIONS_MAX {
            self.tell_verdict(&question, Verdict::Unknown);
            return;
        }
        remote.questions.push(question);
        self.cx.timers.set(due_ms, TimerKey::Queue(asker));
        self.wake(&pair.theirs);
    }

    fn tell_verdict(&mut self, question: &Question, verdict: Verdict) {
        let Question { asker, pair, .. } = question;
        match self.links.get(*asker).map(|link| &link.part) {
            Some(Part::Outgoing(_)) => self.reverse_is_verified(*asker, pair, verdict),
            Some(_) => self.key_is_verified(*asker, pair, verdict),
            None => {}
        }
    }

    /// Asks what waits for a stream, where there is one. True: something needs another stream.
    pub(super) fn ask_waiting_questions(&mut self, theirs: &Rc<str>) -> bool {
        let Some(remote) = self.queues.remotes.get_mut(theirs) else { return false };
        let (questions, links) = (std::mem::take(&mut remote.questions), remote.links.clone());
        let mut waiting = Vec::new();
        for question in questions {
            let may_ask = |link: &&SessionId| {
                **link != question.asker
                    && self.links.get(**link).is_some_and(|link| link.hold == Hold::None)
                    && self.outgoing(**link).is_some_and(|o| o.questions.len() < QUESTIONS_MAX)
            };
            match links.iter().find(may_ask) {
                Some(link) => self.ask_question(*link, question),
                None => waiting.push(question),
            }
        }
        // Those that are due are given up, not asked.
        let now_ms = self.cx.now.mono_ms;
        let needs_stream = waiting.iter().any(|question| question.due_ms > now_ms);
        if let Some(remote) = self.queues.remotes.get_mut(theirs) {
            remote.questions = waiting;
        }
        needs_stream
    }

    /// XEP-0220 §2.1.2, step 2
    fn ask_question(&mut self, link: SessionId, question: Question) {
        let Pair { ours, theirs } = &question.pair;
        let attributes = [("from", &**ours), ("to", theirs), ("id", &question.stream_id)];
        let bytes = s2s::dialback("verify", &attributes, Some(&question.key));
        self.cx.out.push_raw(link, &bytes);
        if let Some(outgoing) = self.outgoing_mut(link) {
            outgoing.questions.push(question);
        }
        self.set_link_timer(link);
    }

    /// Questions that wait for a stream are given up in the next turn.
    pub(super) fn end_questions_soon(&mut self, theirs: &Rc<str>) {
        let now_ms = self.cx.now.mono_ms;
        let Some(remote) = self.queues.remotes.get_mut(theirs) else { return };
        for question in &mut remote.questions {
            question.due_ms = now_ms;
            self.cx.timers.set(now_ms, TimerKey::Queue(question.asker));
        }
    }

    /// Gives up the questions that have waited for a stream for too long.
    pub(super) fn give_up_questions(&mut self) {
        let now_ms = self.cx.now.mono_ms;
        let remotes = self.queues.remotes.values_mut();
        let due: Vec<_> = remotes
            .flat_map(|remote| remote.questions.extract_if(.., |asked| asked.due_ms <= now_ms))
            .collect();
        due.iter().for_each(|question| self.tell_verdict(question, Verdict::Unknown));
    }

    /// The same of those that were asked on a link; of all, when it is gone.
    pub(super) fn give_up_asked(&mut self, link: SessionId, is_gone: bool) {
        let now_ms = self.cx.now.mono_ms;
        let Some(outgoing) = self.outgoing_mut(link) else { return };
        let is_due = |asked: &mut Question| is_gone || asked.due_ms <= now_ms;
        let due: Vec<_> = outgoing.questions.extract_if(.., is_due).collect();
        due.iter().for_each(|question| self.tell_verdict(question, Verdict::Unknown));
    }

    /// Questions that wait for a stream, or for an answer.
    #[cfg(test)]
    pub(super) fn questions_count(&self) -> usize {
        let waiting: usize =
            self.queues.remotes.values().map(|remote| remote.questions.len()).sum();
        let links = self.links.ids().into_iter().filter_map(|id| self.outgoing(id));
        waiting + links.map(|outgoing| outgoing.questions.len()).sum::<usize>()
    }

    /// A stream that can be asked to carry a pair (XEP-0220 §2.6.1).
    pub(super) fn link_to_ask(&self, pair: &Pair) -> Option<SessionId> {
        let remote = self.queues.remotes.get(&pair.theirs)?;
        remote.links.iter().copied().find(|&link| {
            self.links.get(link).is_some_and(|link| link.hold == Hold::None)
                && self.outgoing(link).is_some_and(|outgoing| {
                    outgoing.may_be_asked() && outgoing.pairs_count() < PAIRS_MAX
                })
        })
    }

    /// XEP-0220 §2.1.1, step 1
    pub(super) fn ask_for(&mut self, link: SessionId, pair: &Pair) {
        let now_ms = self.cx.now.mono_ms;
        let Ok(secret) = self.cx.storage.secret(DIALBACK_SECRET, &mut *self.cx.entropy) else {
            self.pair_is_refused(link, pair, Failure::Timeout);
            return;
        };
        let is_tried = self.is_tried(&pair.theirs, link);
        let began_ms = self.links.get(link).map_or(now_ms, |link| link.began_ms);
        let Some(outgoing) = self.outgoing_mut(link) else { return };
        // Dialback is part of what a place has its time for.
        let is_own = is_tried && outgoing.pair.theirs == pair.theirs;
        let asked_ms = if is_own { began_ms } else { now_ms };
        let stream_id = outgoing.stream_id.as_deref().unwrap_or_default();
        let key = s2s::dialback_key(&secret, &pair.theirs, &pair.ours, stream_id);
        outgoing.asked.push((pair.clone(), asked_ms));
        let attributes = [("from", &*pair.ours), ("to", &*pair.theirs)];
        self.cx.out.push_raw(link, &s2s::dialback("result", &attributes, Some(&key)));
        self.set_link_timer(link);
    }

    /// An element of dialback that came over a stream of ours.
    pub(super) fn handle_outgoing_dialback(
        &mut self,
        id: SessionId,
        element: &Element,
    ) -> Result<(), StreamError> {
        match (&*element.name, element.attr("type")) {
            ("result", Some(kind)) => self.handle_result(id, element, kind),
            ("verify", Some(kind)) => self.handle_verdict(id, element, kind),
            _ => return self.handle_reverse_dialback(id, element),
        }
        Ok(())
    }

    /// XEP-0220 §2.1.1, step 4
    fn handle_result(&mut self, id: SessionId, element: &Element, kind: &str) {
        let (from, to) = (element.attr("from"), element.attr("to"));
        let Some(outgoing) = self.outgoing_mut(id) else { return };
        let is_it =
            |(pair, _): &(Pair, u64)| from == Some(&*pair.theirs) && to == Some(&*pair.ours);
        let Some(place) = outgoing.asked.iter().position(is_it) else {
            let address = outgoing.place.address;
            log::info!("unsolicited dialback result ignored: address={address}");
            return;
        };
        let (pair, _) = outgoing.asked.remove(place);
        match kind {
            "valid" => self.pair_is_proved(id, pair),
            "invalid" => {
                self.pair_is_refused(id, &pair, Failure::Invalid);
                // The other side is about to close the stream anyhow (§2.1.1).
                self.end_link(id, None);
            }
            _ => {
                let error = element.child("error", ns::CLIENT);
                let is_full = error.is_some_and(|error| {
                    error.child("resource-constraint", ns::STANZA_ERRORS).is_some()
                });
                self.pair_is_not_carried(id, &pair, is_full);
            }
        }
    }

    /// XEP-0220 §2.5: an error ends nothing but the question. One that says that this stream has
    /// no room for the pair is no answer as long as another stream can be tried.
    fn pair_is_not_carried(&mut self, id: SessionId, pair: &Pair, is_full: bool) {
        let Some(outgoing) = self.outgoing_mut(id) else { return };
        outgoing.is_full |= is_full;
        let is_shared = outgoing.pair.theirs != pair.theirs;
        if is_shared && self.is_tried(&pair.theirs, id) {
            self.place_has_failed(&pair.theirs, id, Failure::Timeout);
        } else if is_full && self.outgoing(id).is_some_and(|o| !o.proved.is_empty()) {
            self.wake(&pair.theirs);
        } else {
            self.pair_is_refused(id, pair, Failure::Timeout);
        }
        self.end_if_useless(id);
    }

    /// A pair is not carried: what waits for it comes back.
    pub(super) fn pair_is_refused(&mut self, id: SessionId, pair: &Pair, failure: Failure) {
        self.pair_of_lost_is_refused(id, pair);
        let queues = self.cx.peers.queues_of(&pair.theirs);
        if let Some((_, queue)) = queues.iter().find(|(ours, _)| *ours == pair.ours) {
            self.fail_queue(*queue, failure);
        }
        let is_last = self.outgoing(id).is_none_or(|outgoing| {
            !outgoing.asked.iter().any(|(other, _)| other.theirs == pair.theirs)
                && outgoing.proved.is_empty()
        });
        match self.is_tried(&pair.theirs, id) {
            true if is_last || failure == Failure::Invalid => {
                self.attempt_has_failed(&pair.theirs, failure);
            }
            true => {}
            false => self.pause(&pair.theirs, failure),
        }
    }

    /// XEP-0220 §2.1.2, step 3
    fn handle_verdict(&mut self, id: SessionId, element: &Element, kind: &str) {
        let (from, to) = (element.attr("from"), element.attr("to"));
        let stream_id = element.attr("id");
        let Some(outgoing) = self.outgoing_mut(id) else { return };
        let is_it = |asked: &Question| {
            from == Some(&*asked.pair.theirs)
                && to == Some(&*asked.pair.ours)
                && stream_id == Some(&asked.stream_id)
        };
        let Some(place) = outgoing.questions.iter().position(is_it) else {
            let address = outgoing.place.address;
            log::info!("unsolicited dialback verdict ignored: address={address}");
            return;
        };
        let question = outgoing.questions.remove(place);
        let verdict = match kind {
            "valid" => Verdict::Valid,
            "invalid" => Verdict::Invalid,
            _ => Verdict::Unknown,
        };
        self.tell_verdict(&question, verdict);
        self.end_if_useless(id);
    }

    /// A stream that carries nothing and was asked nothing is closed at once (XEP-0220 §2.1.2).
    pub(super) fn end_if_useless(&mut self, id: SessionId) {
        if self.outgoing(id).is_some_and(|outgoing| outgoing.is_useless()) {
            self.end_link(id, None);
        }
    }
}
