//! Stream management (XEP-0198) on streams that we have opened, where the other side has it: what
//! was written is kept until the other side has said that it has it. When the connection is lost,
//! the stream goes on over a new one, and what the other side has not got is written again: in
//! order, nothing lost, nothing twice. Where it cannot go on, all of that is sent once more.
//!
//! Stanzas go only after `<enabled/>`: both sides begin to count at nought. A stream that goes on
//! does so when all pairs of domains that something was lost of are proved again.

use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;

use bytes::Bytes;

use crate::cx::Action;
use crate::ids::SessionId;
use crate::outbound::Undelivered;
use crate::peers::Pair;
use crate::xml::Element;
use crate::xmpp::{StreamCondition, StreamError, ns};

use super::super::Server;
use super::super::management::{answer, count_of, count_too_high};
use super::Hold;
use super::bounce::read_back;
use super::outgoing::Outgoing;

/// How long an answer is waited for.
const ANSWER_MS: u64 = 30_000;
/// How long a stream can go on later, where the other side does not say.
const RESUMPTION_MS: u64 = 300_000;
/// Times that a stream goes on without a word about what has arrived.
const ROUNDS_MAX: u32 = 3;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Not asked for.
    #[default]
    Off,
    /// `<enable/>` is sent, since then.
    Enabling(u64),
    /// `<resume/>` is sent, since then.
    Resuming(u64),
    On,
    /// The other side would not.
    Refused,
}

/// The state of one stream.
#[derive(Default)]
pub(in crate::server) struct Acks {
    state: State,
    /// Stanzas of the other side that were handled, modulo 2^32.
    pub handled: u32,
    /// When the other side was asked, while the answer is due.
    asked_ms: Option<u64>,
    /// What it had acknowledged when the stream ended.
    acknowledged: u32,
    /// The id that the stream goes on by, and for how long.
    resumption: Option<(String, u64)>,
    rounds_count: u32,
}

impl Acks {
    /// When the answer is too late.
    pub(super) fn deadline_ms(&self) -> Option<u64> {
        let since_ms = match self.state {
            State::Enabling(since_ms) | State::Resuming(since_ms) => Some(since_ms),
            State::On => self.asked_ms,
            State::Off | State::Refused => None,
        };
        since_ms.map(|since_ms| since_ms + ANSWER_MS)
    }
}

/// What a stream has lost.
pub(super) struct Lost {
    /// The id that it goes on by, and until when.
    resumption: Option<(String, u64)>,
    handled: u32,
    acknowledged: u32,
    /// Stanzas that the other side has not acknowledged, and our domains that they are from.
    pub stanzas: VecDeque<(Rc<str>, Bytes)>,
    rounds_count: u32,
}

impl Lost {
    /// Our domains that something was lost of.
    pub(super) fn ours(&self) -> BTreeSet<Rc<str>> {
        self.stanzas.iter().map(|(ours, _)| Rc::clone(ours)).collect()
    }

    /// The other side has `h` stanzas after all. False: that cannot be.
    fn settle(&mut self, h: u32) -> bool {
        let news = h.wrapping_sub(self.acknowledged) as usize;
        let is_possible = news <= self.stanzas.len();
        if is_possible {
            self.stanzas.drain(..news);
        }
        is_possible
    }
}

impl Server {
    /// The other side takes stanzas of a pair. They go at once, or when it is known how they are
    /// counted.
    pub(super) fn pair_is_proved(&mut self, id: SessionId, pair: Pair) {
        self.link_is_authenticated(id);
        let Some(outgoing) = self.outgoing_mut(id) else { return };
        if !outgoing.proved.contains(&pair) {
            outgoing.proved.push(pair.clone());
        }
        match outgoing.acks.state {
            State::Off if outgoing.offers_acks() => self.begin_acks(id),
            State::Off => {
                let theirs = Rc::clone(&outgoing.pair.theirs);
                self.put_back_lost(&theirs);
                self.carry(id, &pair);
            }
            State::On | State::Refused => self.carry(id, &pair),
            State::Enabling(_) | State::Resuming(_) => {}
        }
    }

    fn carry(&mut self, id: SessionId, pair: &Pair) {
        self.link_takes(id, pair);
        if self.is_tried(&pair.theirs, id) {
            self.attempt_has_succeeded(&pair.theirs);
        }
        self.set_link_timer(id);
    }

    fn carry_all(&mut self, id: SessionId) {
        let proved = self.outgoing(id).map(|outgoing| outgoing.proved.clone());
        proved.unwrap_or_default().iter().for_each(|pair| self.carry(id, pair));
    }

    /// Begins to count, or goes on where an earlier stream has stopped.
    fn begin_acks(&mut self, id: SessionId) {
        let now_ms = self.cx.now.mono_ms;
        let Some(outgoing) = self.outgoing(id) else { return };
        let theirs = Rc::clone(&outgoing.pair.theirs);
        let remote = self.queues.remotes.get(&theirs);
        let mut element = Element::new("enable", ns::SM).with_attr("resume", "true");
        let mut state = State::Enabling(now_ms);
        if let Some(lost) = remote.and_then(|remote| remote.lost.as_deref()) {
            let pair = |ours| Pair { ours, theirs: Rc::clone(&theirs) };
            let missing: Vec<_> = lost.ours().into_iter().map(pair).collect();
            let missing: Vec<_> =
                missing.into_iter().filter(|pair| !outgoing.proved.contains(pair)).collect();
            match &lost.resumption {
                Some((previd, until_ms)) if *until_ms > now_ms && missing.is_empty() => {
                    element = Element::new("resume", ns::SM)
                        .with_attr("previd", previd.as_str())
                        .with_attr("h", lost.handled.to_string());
                    state = State::Resuming(now_ms);
                }
                Some((_, until_ms))
                    if *until_ms > now_ms && missing.iter().all(|p| outgoing.knows_of(p)) =>
                {
                    return; // The others are asked for.
                }
                _ => self.put_back_lost(&theirs),
            }
        }
        if let Some(outgoing) = self.outgoing_mut(id) {
            outgoing.acks.state = state;
        }
        self.push_nonza(id, &element);
        self.set_link_timer(id);
    }

    /// An earlier stream cannot go on: what it has lost is sent once more.
    pub(super) fn put_back_lost(&mut self, theirs: &Rc<str>) {
        let lost = self.queues.remotes.get_mut(theirs).and_then(|remote| remote.lost.take());
        if let Some(lost) = lost {
            self.put_back(lost.stanzas.into_iter().map(|(_, xml)| xml));
        }
    }

    /// A pair is refused, which an earlier stream may have carried: it cannot go on.
    pub(super) fn pair_of_lost_is_refused(&mut self, id: SessionId, pair: &Pair) {
        let remote = self.queues.remotes.get(&pair.theirs);
        let lost = remote.and_then(|remote| remote.lost.as_ref());
        if !lost.is_some_and(|lost| lost.ours().contains(&pair.ours)) {
            return;
        }
        self.put_back_lost(&pair.theirs);
        let is_waiting = self.outgoing(id).is_some_and(|outgoing| {
            outgoing.acks.state == State::Off
                && outgoing.offers_acks()
                && !outgoing.proved.is_empty()
        });
        if is_waiting {
            self.begin_acks(id);
        }
    }

    /// An element of XEP-0198.
    pub(super) fn handle_acks(
        &mut self,
        id: SessionId,
        element: &Element,
    ) -> Result<(), StreamError> {
        let Some(outgoing) = self.outgoing_mut(id) else { return Ok(()) };
        match (outgoing.acks.state, &*element.name) {
            (State::Enabling(_), "enabled") => self.acks_are_enabled(id, element),
            (State::Enabling(_), "failed") => {
                outgoing.acks.state = State::Refused;
                self.carry_all(id);
            }
            (State::Resuming(_), "resumed") => return self.stream_goes_on(id, element),
            (State::Resuming(_), "failed") => self.stream_does_not_go_on(id, element),
            (State::On, "r") => {
                let reply = answer(outgoing.acks.handled);
                self.push_nonza(id, &reply);
            }
            (State::On, "a") => return self.handle_ack(id, element),
            _ => return Err(StreamCondition::UnsupportedStanzaType.into()),
        }
        Ok(())
    }

    fn acks_are_enabled(&mut self, id: SessionId, enabled: &Element) {
        let Some(outgoing) = self.outgoing_mut(id) else { return };
        let may_resume = matches!(enabled.attr("resume"), Some("true" | "1"));
        let resumption_id = enabled.attr("id").filter(|id| may_resume && !id.is_empty());
        let max_ms = enabled.attr("max").and_then(|max| max.parse::<u64>().ok());
        let max_ms = max_ms.map_or(RESUMPTION_MS, |seconds| seconds.saturating_mul(1000));
        outgoing.acks = Acks {
            state: State::On,
            resumption: resumption_id.map(|id| (id.to_owned(), max_ms)),
            ..Acks::default()
        };
        self.cx.out.manage(id, 0);
        self.carry_all(id);
    }

    /// XEP-0198 §5: `<resumed/>`.
    fn stream_goes_on(&mut self, id: SessionId, resumed: &Element) -> Result<(), StreamError> {
        let Some(outgoing) = self.outgoing(id) else { return Ok(()) };
        let theirs = Rc::clone(&outgoing.pair.theirs);
        let remote = self.queues.remotes.get_mut(&theirs);
        let Some(lost) = remote.and_then(|remote| remote.lost.as_mut()) else { return Ok(()) };
        let Some(h) = count_of(resumed) else { return Err(StreamCondition::BadFormat.into()) };
        if !lost.settle(h) {
            return Err(StreamCondition::UndefinedCondition.into());
        }
        let remote = self.queues.remotes.get_mut(&theirs);
        let Some(lost) = remote.and_then(|remote| remote.lost.take()) else { return Ok(()) };
        if let Some(outgoing) = self.outgoing_mut(id) {
            let max_ms = RESUMPTION_MS;
            outgoing.acks = Acks {
                state: State::On,
                handled: lost.handled,
                resumption: lost.resumption.map(|(previd, _)| (previd, max_ms)),
                rounds_count: lost.rounds_count,
                ..Acks::default()
            };
        }
        self.cx.out.manage_from(id, h);
        lost.stanzas.iter().for_each(|(_, xml)| self.cx.out.push_written(id, xml));
        self.ask_for_acks(id);
        self.carry_all(id);
        Ok(())
    }

    /// XEP-0198 §5: `<failed/>`; with what the other side has got, perhaps.
    fn stream_does_not_go_on(&mut self, id: SessionId, failed: &Element) {
        let Some(outgoing) = self.outgoing_mut(id) else { return };
        outgoing.acks.state = State::Off;
        let theirs = Rc::clone(&outgoing.pair.theirs);
        let remote = self.queues.remotes.get_mut(&theirs);
        if let (Some(lost), Some(h)) =
            (remote.and_then(|remote| remote.lost.as_mut()), count_of(failed))
        {
            lost.settle(h);
        }
        self.put_back_lost(&theirs);
        self.begin_acks(id);
    }

    fn handle_ack(&mut self, id: SessionId, ack: &Element) -> Result<(), StreamError> {
        let Some(h) = count_of(ack) else { return Err(StreamCondition::BadFormat.into()) };
        let Some(outbox) = self.cx.out.get_mut(id) else { return Ok(()) };
        let news = outbox.acknowledge(h).map_err(|too_high| {
            StreamError::new(StreamCondition::UndefinedCondition)
                .with_application(count_too_high(h, too_high))
        })?;
        if let Some(outgoing) = self.outgoing_mut(id) {
            outgoing.acks.asked_ms = None;
            if news > 0 {
                outgoing.acks.rounds_count = 0;
                self.ask_for_acks(id);
            }
        }
        Ok(())
    }

    /// Asks what the other side has got, unless it has not answered yet.
    pub(super) fn ask_for_acks(&mut self, id: SessionId) {
        let now_ms = self.cx.now.mono_ms;
        let has_some = self.cx.out.get(id).is_some_and(|out| out.stanzas_unacknowledged() > 0);
        let Some(outgoing) = self.outgoing_mut(id) else { return };
        if has_some && outgoing.acks.state == State::On && outgoing.acks.asked_ms.is_none() {
            outgoing.acks.asked_ms = Some(now_ms);
            self.push_nonza(id, &Element::new("r", ns::SM));
            self.set_link_timer(id);
        }
    }

    /// The stream ends: remembers how far it has got. One that is closed in order does not go on.
    pub(super) fn note_acks(&mut self, id: SessionId) {
        let outbox = self.cx.out.get(id);
        let (acknowledged, is_closed) =
            outbox.map_or((0, true), |out| (out.stanzas_acknowledged(), !out.is_taking()));
        let Some(outgoing) = self.outgoing_mut(id) else { return };
        outgoing.acks.acknowledged = acknowledged;
        if is_closed {
            outgoing.acks.resumption = None;
        }
    }

    /// The other side has ended its direction without the end of the stream: one that can go on
    /// is cut here. False: it cannot.
    pub(in crate::server) fn cut_off_link(&mut self, id: SessionId) -> bool {
        let Some(outgoing) = self.outgoing(id) else { return false };
        let is_up = self.links.get(id).is_some_and(|link| link.hold == Hold::None);
        if !is_up || outgoing.acks.resumption.is_none() {
            return false;
        }
        let conn = self.links.get(id).and_then(|link| link.conn);
        self.cx.actions.extend(conn.map(Action::Abort));
        self.forget_link(id, "ended without the end of the stream");
        true
    }

    /// What a stream of ours has not written, or the other side has not acknowledged.
    pub(super) fn take_back_outgoing(&mut self, outgoing: &Outgoing, lost: Vec<Undelivered>) {
        let acks = &outgoing.acks;
        let remote = self.queues.remotes.get_mut(&outgoing.pair.theirs);
        let is_counted = acks.state == State::On && acks.rounds_count < ROUNDS_MAX;
        let now_ms = self.cx.now.mono_ms;
        match remote.filter(|remote| is_counted && remote.lost.is_none() && !lost.is_empty()) {
            Some(remote) if acks.resumption.is_some() => {
                let ours = |xml: &Bytes| read_back(xml).pop().map(|one| one.from.domain().into());
                let stanzas = lost.into_iter().map(|lost| (ours(&lost.xml), lost.xml));
                let stanzas = stanzas.map(|(own, xml)| (own.unwrap_or_default(), xml)).collect();
                let resumption = acks.resumption.clone();
                remote.lost = Some(Box::new(Lost {
                    resumption: resumption.map(|(id, max_ms)| (id, now_ms.saturating_add(max_ms))),
                    handled: acks.handled,
                    acknowledged: acks.acknowledged,
                    stanzas,
                    rounds_count: acks.rounds_count + 1,
                }));
            }
            _ => self.put_back(lost.into_iter().map(|lost| lost.xml)),
        }
    }
}
