//! Other servers, by domain: the attempts to reach them. An attempt looks for the places of the
//! domain (`[s2s.hosts]`, or the name service), and tries them in turn until one stream is good
//! for something: a pair of domains is proved, or, where only a key is to be verified, the
//! question can be asked. One attempt per domain at a time; so many in all, the others stand in
//! line.
//!
//! After an attempt that failed there is none for a while, twice as long each time; what is sent
//! to that domain meanwhile comes back at once. Only a question about a key does not wait: whoever
//! asks for it has just come from there.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::certs::trust::Side;
use crate::config::Verify;
use crate::cx::Action;
use crate::dns::{Nowhere, Place};
use crate::ids::SessionId;
use crate::peers::Pair;

use super::super::Server;
use super::acks::Lost;
use super::asking::Question;
use super::bounce::Failure;
use super::outgoing::Outgoing;
use super::{Hold, Part};

/// Attempts under way at once.
const ATTEMPTS_MAX: usize = 64;
/// Places of one domain that are tried.
const PLACES_MAX: usize = 8;
/// The first pause after a failed attempt.
const PAUSE_MS_MIN: u64 = 10_000;
/// The longest one.
const PAUSE_MS_MAX: u64 = 300_000;
/// Domains that are remembered; above it those that nothing is known of but a failure go.
const REMOTES_COUNT_MAX: usize = 20_000;

/// What is known of another server.
#[derive(Default)]
pub(super) struct Remote {
    attempt: Option<Attempt>,
    /// Streams on which more can be asked for.
    pub links: Vec<SessionId>,
    /// Questions about keys that wait for a stream.
    pub questions: Vec<Question>,
    /// What a stream with stream management has lost.
    pub lost: Option<Box<Lost>>,
    /// Attempts that failed since the last that did not, and how the last one did.
    failures_count: u32,
    failure: Failure,
    /// No attempt before this monotonic millisecond.
    pause_until_ms: u64,
    /// The server shuts down, and the attempt has been made that no later one can make up for.
    had_last_chance: bool,
}

enum Attempt {
    /// Others come first.
    InLine,
    LookingUp,
    Trying(Trying),
}

#[derive(Default)]
struct Trying {
    /// Not tried yet.
    places: VecDeque<Place>,
    link: Option<SessionId>,
    failure: Failure,
    /// EXTERNAL was refused at a place: the same one is tried without it.
    avoids_external: bool,
}

impl Server {
    /// Finds a way for everything that waits for a domain: a stream that is there, or an attempt.
    pub(super) fn wake(&mut self, theirs: &Rc<str>) {
        let mut needs_attempt = self.ask_waiting_questions(theirs);
        let is_asked_for = needs_attempt;
        for ours in self.waiting_for(theirs) {
            let pair = Pair { ours, theirs: Rc::clone(theirs) };
            match self.link_to_ask(&pair) {
                Some(link) => self.ask_for(link, &pair),
                None => needs_attempt = true,
            }
        }
        let Some(remote) = self.queues.remotes.get(theirs) else {
            if needs_attempt {
                self.begin_attempt(theirs);
            }
            return;
        };
        if remote.attempt.is_some() || !needs_attempt {
            return;
        }
        let (failure, is_paused) = (remote.failure, self.cx.now.mono_ms < remote.pause_until_ms);
        let has_to_wait = is_paused && !is_asked_for && !self.takes_last_chance(theirs);
        if self.cx.peers.is_closed() || has_to_wait {
            self.fail_waiting(theirs, failure);
        } else {
            self.begin_attempt(theirs);
        }
    }

    /// Our domains from which something waits for a domain, and that no stream carries or has been
    /// asked to.
    pub(super) fn waiting_for(&self, theirs: &Rc<str>) -> Vec<Rc<str>> {
        let mut waiting = Vec::new();
        let remote = self.queues.remotes.get(theirs);
        let lost = remote.and_then(|remote| remote.lost.as_ref());
        lost.into_iter().for_each(|lost| waiting.extend(lost.ours()));
        for (ours, queue) in self.cx.peers.queues_of(theirs) {
            let has_failed = self.queues.get(queue).is_some_and(|queue| queue.failure.is_some());
            if self.is_waiting(queue) && !has_failed && !waiting.contains(&ours) {
                waiting.push(ours);
            }
        }
        waiting.retain(|ours| {
            let pair = Pair { ours: Rc::clone(ours), theirs: Rc::clone(theirs) };
            self.queues.carrier(&pair).is_none() && !self.is_asked_for(&pair)
        });
        waiting
    }

    /// Whether a stream has been asked to carry a pair, or is about to.
    fn is_asked_for(&self, pair: &Pair) -> bool {
        let remote = self.queues.remotes.get(&pair.theirs);
        remote.is_some_and(|remote| {
            remote
                .links
                .iter()
                .any(|link| self.outgoing(*link).is_some_and(|outgoing| outgoing.knows_of(pair)))
        })
    }

    fn begin_attempt(&mut self, theirs: &Rc<str>) {
        self.sweep_remotes();
        let is_free = self.queues.attempts_count < ATTEMPTS_MAX && self.queues.line.is_empty();
        let remote = self.queues.remotes.entry(Rc::clone(theirs)).or_default();
        remote.attempt = Some(Attempt::InLine);
        if is_free {
            self.look_for_places(theirs);
        } else {
            self.queues.line.push_back(Rc::clone(theirs));
        }
    }

    /// Forgets servers of which nothing is known but a failure.
    fn sweep_remotes(&mut self) {
        if self.queues.remotes.len() >= REMOTES_COUNT_MAX {
            let now_ms = self.cx.now.mono_ms;
            self.queues.remotes.retain(|_, remote| {
                remote.attempt.is_some()
                    || !remote.links.is_empty()
                    || !remote.questions.is_empty()
                    || remote.lost.is_some()
                    || remote.pause_until_ms > now_ms
            });
        }
    }

    /// An attempt of the line may begin.
    pub(super) fn attempt_may_begin(&self) -> bool {
        self.queues.attempts_count < ATTEMPTS_MAX && !self.queues.line.is_empty()
    }

    /// Begins the attempts that stand in line, as many as may be under way.
    pub(super) fn begin_attempts_in_line(&mut self) {
        while self.attempt_may_begin() {
            let Some(theirs) = self.queues.line.pop_front() else { return };
            self.look_for_places(&theirs);
        }
    }

    fn look_for_places(&mut self, theirs: &Rc<str>) {
        let Some(remote) = self.queues.remotes.get_mut(theirs) else { return };
        remote.attempt = Some(Attempt::LookingUp);
        self.queues.attempts_count += 1;
        match self.cx.config.s2s.hosts.get(&**theirs) {
            Some(address) => {
                let place = Place { address: *address, is_direct_tls: false };
                self.places_found(theirs, Ok(vec![place]));
            }
            None => self.look_up(theirs),
        }
    }

    /// What the name service knows of a domain.
    pub(super) fn places_found(&mut self, domain: &str, places: Result<Vec<Place>, Nowhere>) {
        let Some((theirs, remote)) = self.queues.remotes.get_key_value(domain) else { return };
        if !matches!(remote.attempt, Some(Attempt::LookingUp)) {
            return;
        }
        let theirs = Rc::clone(theirs);
        let mut places = VecDeque::from(places.unwrap_or_default());
        places.truncate(PLACES_MAX);
        let shared = places.front().and_then(|place| self.link_to_share(place, &theirs));
        let Some(remote) = self.queues.remotes.get_mut(&theirs) else { return };
        remote.attempt =
            Some(Attempt::Trying(Trying { places, link: shared, ..Trying::default() }));
        match shared {
            Some(link) => {
                remote.links.push(link);
                if let Some(outgoing) = self.outgoing_mut(link) {
                    outgoing.serves.push(Rc::clone(&theirs));
                }
                self.stream_is_open(link, &theirs);
            }
            None => self.next_place(&theirs),
        }
    }

    /// XEP-0220 §2.6.2: a stream with the same place, whose other side can refuse a pair without
    /// ending it, may be asked to carry what is for another domain there.
    fn link_to_share(&self, place: &Place, theirs: &str) -> Option<SessionId> {
        let s2s = &self.cx.config.s2s;
        let links = self.links.ids();
        links.into_iter().find(|&id| {
            let is_up = self.links.get(id).is_some_and(|link| link.hold == Hold::None);
            is_up
                && self.outgoing(id).is_some_and(|outgoing| {
                    outgoing.takes_other_domains(place)
                        && (s2s.verify == Verify::Dialback
                            || self.check_certificate(&outgoing.chain, theirs).is_ok())
                })
        })
    }

    /// Whether a certificate is good for a domain that we have connected to.
    pub(super) fn check_certificate(&self, chain: &[Vec<u8>], theirs: &str) -> Result<(), String> {
        self.cx.trust.check(chain, theirs, Side::Server, self.cx.now.unix_ms)
    }

    /// Tries the next place of an attempt, or gives it up.
    fn next_place(&mut self, theirs: &Rc<str>) {
        let is_closed = self.cx.peers.is_closed();
        let Some(trying) = self.trying_mut(theirs) else { return };
        let (failure, avoids_external) = (trying.failure, trying.avoids_external);
        if is_closed {
            trying.places.clear();
        }
        let Some(place) = trying.places.pop_front() else {
            self.attempt_has_failed(theirs, failure);
            return;
        };
        let ours = self.first_of_ours(theirs);
        let Some(ours) = ours else {
            // Nobody waits any more.
            self.attempt_is_over(theirs);
            return;
        };
        let pair = Pair { ours, theirs: Rc::clone(theirs) };
        let address = place.address;
        let outgoing = Outgoing::new(pair, place, avoids_external, self.cx.now.mono_ms);
        let link =
            self.open_link(address.ip(), Part::Outgoing(Box::new(outgoing)), Hold::Connecting);
        if let Some(trying) = self.trying_mut(theirs) {
            trying.link = Some(link);
        }
        log::debug!("connecting to a server: domain={theirs} address={address}");
        self.cx.actions.push_back(Action::Connect { link, address });
        self.set_link_timer(link);
    }

    /// The domain of ours in whose name a stream is opened.
    fn first_of_ours(&self, theirs: &Rc<str>) -> Option<Rc<str>> {
        let questions = self.queues.remotes.get(theirs).map(|remote| &remote.questions);
        let asking = || Some(Rc::clone(&questions?.first()?.pair.ours));
        self.waiting_for(theirs).into_iter().next().or_else(asking)
    }

    fn trying_mut(&mut self, theirs: &str) -> Option<&mut Trying> {
        match self.queues.remotes.get_mut(theirs)?.attempt.as_mut()? {
            Attempt::Trying(trying) => Some(trying),
            Attempt::InLine | Attempt::LookingUp => None,
        }
    }

    /// Whether the attempt to reach a domain has got as far as this link, and is not over.
    pub(super) fn is_tried(&self, theirs: &str, link: SessionId) -> bool {
        let attempt = self.queues.remotes.get(theirs).and_then(|remote| remote.attempt.as_ref());
        matches!(attempt, Some(Attempt::Trying(trying)) if trying.link == Some(link))
    }

    /// A link is no way to a domain any more. Called once or more.
    pub(super) fn place_has_failed(&mut self, theirs: &Rc<str>, link: SessionId, why: Failure) {
        if let Some(remote) = self.queues.remotes.get_mut(theirs) {
            remote.links.retain(|other| *other != link);
        }
        if !self.is_tried(theirs, link) {
            return;
        }
        if let Some(trying) = self.trying_mut(theirs) {
            trying.link = None;
            trying.failure = trying.failure.max(why);
        }
        self.next_place(theirs);
    }

    /// EXTERNAL was refused at a place: should that end the stream, the place is tried once more
    /// without it.
    pub(super) fn try_again_without_external(&mut self, theirs: &Rc<str>, place: &Place) {
        if let Some(trying) = self.trying_mut(theirs)
            && !std::mem::replace(&mut trying.avoids_external, true)
        {
            trying.places.push_front(place.clone());
        }
    }

    /// A pair is proved, or there is a stream to ask questions on.
    pub(super) fn attempt_has_succeeded(&mut self, theirs: &Rc<str>) {
        if let Some(remote) = self.queues.remotes.get_mut(theirs) {
            remote.failures_count = 0;
            remote.pause_until_ms = 0;
        }
        self.attempt_is_over(theirs);
    }

    fn attempt_is_over(&mut self, theirs: &Rc<str>) {
        let Some(remote) = self.queues.remotes.get_mut(theirs) else { return };
        match remote.attempt.take() {
            Some(Attempt::LookingUp | Attempt::Trying(_)) => self.queues.attempts_count -= 1,
            Some(Attempt::InLine) => self.queues.line.retain(|other| other != theirs),
            None => return,
        }
        self.wake(theirs);
    }

    /// There is no place left, or the other side has said what cannot be said otherwise.
    pub(super) fn attempt_has_failed(&mut self, theirs: &Rc<str>, failure: Failure) {
        log::info!("no stream to a server: domain={theirs} reason={failure:?}");
        if failure != Failure::Timeout || !self.takes_last_chance(theirs) {
            self.pause(theirs, failure);
            self.fail_waiting(theirs, failure);
        }
        self.attempt_is_over(theirs);
    }

    /// True once for each server while this one shuts down: what does not go out now never will,
    /// so it does not wait for the end of a pause, and a stream that breaks is tried again.
    fn takes_last_chance(&mut self, theirs: &str) -> bool {
        let Some(remote) = self.queues.remotes.get_mut(theirs) else { return false };
        let is_it = self.drain.has_begun() && !self.drain.is_past_servers();
        let takes = is_it && !std::mem::replace(&mut remote.had_last_chance, true);
        if takes {
            remote.pause_until_ms = 0;
        }
        takes
    }

    /// No attempt for a while, longer each time, and never by the clock of somebody else.
    pub(super) fn pause(&mut self, theirs: &Rc<str>, failure: Failure) {
        let mut chance = [0; 2];
        self.cx.entropy.fill(&mut chance);
        let Some(remote) = self.queues.remotes.get_mut(theirs) else { return };
        remote.failure = failure;
        let doubled = PAUSE_MS_MIN.saturating_mul(1 << remote.failures_count.min(16));
        remote.failures_count += 1;
        let pause_ms = doubled.min(PAUSE_MS_MAX);
        // Between three quarters of it and all of it.
        let less_ms = pause_ms / 4 * u64::from(u16::from_le_bytes(chance)) / u64::from(u16::MAX);
        remote.pause_until_ms = self.cx.now.mono_ms + pause_ms - less_ms;
    }

    /// All that waits for a domain comes back, and questions that wait for a stream to it are not
    /// answered.
    fn fail_waiting(&mut self, theirs: &Rc<str>, failure: Failure) {
        let lost = self.queues.remotes.get_mut(theirs).and_then(|remote| remote.lost.take());
        if let Some(lost) = lost {
            self.put_back(lost.stanzas.into_iter().map(|(_, xml)| xml));
        }
        for ours in self.waiting_for(theirs) {
            let queues = self.cx.peers.queues_of(theirs);
            if let Some((_, queue)) = queues.iter().find(|(own, _)| *own == ours) {
                self.fail_queue(*queue, failure);
            }
        }
        self.end_questions_soon(theirs);
    }
}
