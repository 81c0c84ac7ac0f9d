//! Questions that name servers are being asked. Each has a few tries: the servers in turn, all of
//! them twice, two seconds each; an answer that was too long comes again over TCP. An answer counts
//! when it comes from a server that was asked, with the number that it was asked with, about the
//! name and the kind that it was asked for; late ones too. Everything else is as if nothing had
//! come.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;

use crate::cx::{Entropy, Now};

use super::Transmit;
use super::packet::{self, ALIASES_MAX, Answer, Question, Reply};

/// Questions that are asked at a time; others wait.
const QUESTIONS_MAX: usize = 64;
/// How often each server is asked.
const ROUNDS_MAX: usize = 2;
/// How long an answer may take, over UDP and over TCP.
const UDP_MS: u64 = 2_000;
const TCP_MS: u64 = 5_000;

/// All questions.
#[derive(Default)]
pub struct Inquiries {
    asked: BTreeMap<Question, Inquiry>,
    /// In the order they came. Invariant: `waits` holds the same.
    waiting: VecDeque<Question>,
    waits: BTreeSet<Question>,
    transmits: VecDeque<Transmit>,
    settled: VecDeque<(Question, Rc<Answer>, u32)>,
}

struct Inquiry {
    /// What is asked for now: the name of the question, or what it is an alias of.
    name: Rc<str>,
    aliases: usize,
    /// How long those aliases are good.
    seconds: u32,
    tries: usize,
    /// Who was asked, and with which number; the last one is being waited for.
    sent: Vec<(SocketAddr, u16)>,
    is_tcp: bool,
    due_ms: u64,
}

impl Inquiry {
    /// An inquiry that nobody was asked yet.
    fn new(name: Rc<str>, aliases: usize, seconds: u32) -> Self {
        let (tries, sent, is_tcp, due_ms) = (0, Vec::new(), false, 0);
        Self { name, aliases, seconds, tries, sent, is_tcp, due_ms }
    }
}

impl Inquiries {
    /// Asks a question, once for all who ask it. `Some`: it is answered already, for there is
    /// nobody to be asked.
    pub fn ask(
        &mut self,
        now: Now,
        entropy: &mut dyn Entropy,
        servers: &[SocketAddr],
        question: &Question,
    ) -> Option<Rc<Answer>> {
        if servers.is_empty() {
            return Some(Rc::new(Answer::Failed));
        }
        if packet::encode(0, &question.name, question.kind).is_none() {
            return Some(Rc::new(Answer::Nothing));
        }
        if !self.asked.contains_key(question) && self.waits.insert(question.clone()) {
            self.waiting.push_back(question.clone());
            self.begin_waiting(now, entropy, servers);
        }
        None
    }

    /// Asks those questions for which there is room.
    pub fn begin_waiting(&mut self, now: Now, entropy: &mut dyn Entropy, servers: &[SocketAddr]) {
        while self.asked.len() < QUESTIONS_MAX {
            let Some(question) = self.waiting.pop_front() else { return };
            self.waits.remove(&question);
            let inquiry = Inquiry::new(Rc::clone(&question.name), 0, u32::MAX);
            self.asked.insert(question.clone(), inquiry);
            self.try_next(now, entropy, servers, &question);
        }
    }

    /// Asks the next server, or gives up.
    fn try_next(
        &mut self,
        now: Now,
        entropy: &mut dyn Entropy,
        servers: &[SocketAddr],
        question: &Question,
    ) {
        let Some(inquiry) = self.asked.get_mut(question) else { return };
        if inquiry.tries >= ROUNDS_MAX * servers.len() {
            self.settle(question, Answer::Failed, 0);
            return;
        }
        let server = servers[inquiry.tries % servers.len()];
        inquiry.tries += 1;
        self.send(now, entropy, server, question, false);
    }

    fn send(
        &mut self,
        now: Now,
        entropy: &mut dyn Entropy,
        server: SocketAddr,
        question: &Question,
        is_tcp: bool,
    ) {
        let Some(inquiry) = self.asked.get_mut(question) else { return };
        let mut id = [0; 2];
        entropy.fill(&mut id);
        let id = u16::from_be_bytes(id);
        let Some(packet) = packet::encode(id, &inquiry.name, question.kind) else {
            self.settle(question, Answer::Nothing, 0);
            return;
        };
        inquiry.sent.push((server, id));
        inquiry.is_tcp = is_tcp;
        inquiry.due_ms = now.mono_ms + if is_tcp { TCP_MS } else { UDP_MS };
        self.transmits.push_back(Transmit { server, packet, is_tcp });
    }

    fn settle(&mut self, question: &Question, answer: Answer, seconds: u32) {
        self.asked.remove(question);
        self.settled.push_back((question.clone(), Rc::new(answer), seconds));
    }

    /// A packet came from `server`.
    pub fn handle_packet(
        &mut self,
        now: Now,
        entropy: &mut dyn Entropy,
        servers: &[SocketAddr],
        server: SocketAddr,
        packet: &[u8],
    ) {
        let Some(id) = packet::id(packet) else { return };
        let heard = self.asked.iter().find_map(|(question, inquiry)| {
            if !inquiry.sent.contains(&(server, id)) {
                return None;
            }
            Some((question.clone(), packet::decode(packet, &inquiry.name, question.kind)?))
        });
        let Some((question, reply)) = heard else { return };
        let Some(inquiry) = self.asked.get_mut(&question) else { return };
        let is_current = inquiry.sent.last() == Some(&(server, id));
        match reply {
            Reply::Answer(answer, seconds) => {
                let seconds = seconds.min(inquiry.seconds);
                self.settle(&question, answer, seconds);
            }
            Reply::Alias(name, seconds, aliases) => {
                let aliases = inquiry.aliases + aliases;
                let seconds = seconds.min(inquiry.seconds);
                if aliases > ALIASES_MAX {
                    self.settle(&question, Answer::Nothing, seconds);
                } else {
                    *inquiry = Inquiry::new(name, aliases, seconds);
                    self.try_next(now, entropy, servers, &question);
                }
            }
            Reply::Truncated if !inquiry.is_tcp => {
                self.send(now, entropy, server, &question, true);
            }
            Reply::Truncated | Reply::Refused if is_current => {
                self.try_next(now, entropy, servers, &question);
            }
            Reply::Truncated | Reply::Refused => {}
        }
    }

    /// `server` cannot be reached: whoever waits for it asks the next one.
    pub fn handle_unreachable(
        &mut self,
        now: Now,
        entropy: &mut dyn Entropy,
        servers: &[SocketAddr],
        server: SocketAddr,
    ) {
        self.try_next_where(now, entropy, servers, |inquiry| {
            inquiry.sent.last().is_some_and(|(asked, _)| *asked == server)
        });
    }

    /// Who has waited long enough for a server asks the next one.
    pub fn handle_timeout(&mut self, now: Now, entropy: &mut dyn Entropy, servers: &[SocketAddr]) {
        self.try_next_where(now, entropy, servers, |inquiry| inquiry.due_ms <= now.mono_ms);
    }

    fn try_next_where(
        &mut self,
        now: Now,
        entropy: &mut dyn Entropy,
        servers: &[SocketAddr],
        is_due: impl Fn(&Inquiry) -> bool,
    ) {
        let due = self.asked.iter().filter(|(_, inquiry)| is_due(inquiry));
        let questions: Vec<Question> = due.map(|(question, _)| question.clone()).collect();
        for question in questions {
            self.try_next(now, entropy, servers, &question);
        }
    }

    /// When somebody has waited long enough.
    pub fn next_due_ms(&self) -> Option<u64> {
        self.asked.values().map(|inquiry| inquiry.due_ms).min()
    }

    /// The next packet to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// The next question that is answered, or that nobody answers; with the seconds that the answer
    /// is good for.
    pub fn poll_settled(&mut self) -> Option<(Question, Rc<Answer>, u32)> {
        self.settled.pop_front()
    }
}
