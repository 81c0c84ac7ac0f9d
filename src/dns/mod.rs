//! Where the server of a domain is (RFC 6120 §3.2, XEP-0368): questions to name servers, what they
//! answer, and the order in which the places found are to be tried. Sans-IO: no socket, no clock;
//! `net/resolver` carries the packets.
//!
//! A look-up (`lookup`) says which questions it still needs answers to, and in the end what it has
//! found. Each question is answered by the cache (`cache`), or by name servers (`inquiry`); two
//! look-ups that need the same share it. `packet` is the glue to the codec, `order` the rule by
//! which services are tried (RFC 2782), `system` what this machine says of name servers and hosts.
//!
//! Nothing that a name server sends is trusted further than it must be: an answer counts when it
//! comes from the server that was asked, with the number and the question that were sent. Whoever
//! forges one all the same leads us to a wrong place, and there the certificate or dialback fails.

mod cache;
mod inquiry;
mod lookup;
mod order;
mod packet;
mod system;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use crate::cx::{Entropy, Now};
use crate::xmpp::domain;

use cache::Cache;
use inquiry::Inquiries;
use lookup::{LookUp, Step};
use packet::{Answer, Question};
use system::System;

/// Where servers listen for servers when nothing says otherwise (RFC 6120 §14.7).
const PORT: u16 = 5269;
/// Domains that are looked up at a time; what one more asks for has no answer.
const LOOKUPS_MAX: usize = 1000;
/// Places of one domain.
const PLACES_MAX: usize = 16;

/// A packet for a name server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// The name server.
    pub server: SocketAddr,
    /// The question; over TCP without the length before it.
    pub packet: Vec<u8>,
    /// Over TCP: the answer was too long for UDP.
    pub is_tcp: bool,
}

/// A place where the server of a domain may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its address.
    pub address: SocketAddr,
    /// TLS from the first byte (`_xmpps-server`).
    pub is_direct_tls: bool,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nowhere {
    /// The domain says that it has no XMPP server, or there is no such domain.
    NoServer,
    /// The name servers did not answer in time, or not usefully.
    NoAnswer,
}

/// What finds places.
#[derive(Default)]
pub struct Resolver {
    system: System,
    cache: Cache,
    inquiries: Inquiries,
    /// By the domain that was asked for.
    lookups: BTreeMap<String, LookUp>,
    found: VecDeque<(String, Result<Vec<Place>, Nowhere>)>,
    /// The deadline that was told last, until it has come.
    told_ms: Option<u64>,
}

impl Resolver {
    /// The text of `/etc/resolv.conf` and of `/etc/hosts`. What was known before is forgotten.
    pub fn configure(&mut self, resolv_conf: &str, hosts: &str) {
        self.system = System::read(resolv_conf, hosts);
        self.cache = Cache::default();
    }

    /// Looks for the places of a domain; the answer comes by [`Self::poll_found`], maybe at once.
    /// One that is being looked for already has one answer for all who ask.
    pub fn look_up(&mut self, now: Now, entropy: &mut dyn Entropy, domain: &str) {
        if self.lookups.contains_key(domain) {
            return;
        }
        match self.begin(domain) {
            Ok(look_up) => self.advance(now, entropy, domain.to_owned(), look_up),
            Err(found) => self.found.push_back((domain.to_owned(), found)),
        }
    }

    /// `Err`: no name server has to be asked, or none is.
    fn begin(&self, text: &str) -> Result<LookUp, Result<Vec<Place>, Nowhere>> {
        if let Some(address) = domain::to_ip(text) {
            return Err(Ok(vec![Place::of(address)]));
        }
        let name = domain::to_ascii(text).ok_or(Err(Nowhere::NoServer))?;
        if let Some(addresses) = self.system.host(&name) {
            return Err(Ok(addresses.iter().copied().map(Place::of).collect()));
        }
        if self.lookups.len() >= LOOKUPS_MAX {
            return Err(Err(Nowhere::NoAnswer));
        }
        Ok(LookUp::new(&name))
    }

    /// Gives a look-up what is known, asks for what is not, and ends it when nothing is missing.
    fn advance(
        &mut self,
        now: Now,
        entropy: &mut dyn Entropy,
        domain: String,
        mut look_up: LookUp,
    ) {
        loop {
            let questions = match look_up.step(&self.system, entropy) {
                Step::Found(found) => {
                    self.found.push_back((domain, found));
                    return;
                }
                Step::Ask(questions) => questions,
            };
            let mut is_waiting = false;
            for question in questions {
                let known = self
                    .cache
                    .get(now, &question)
                    .or_else(|| self.inquiries.ask(now, entropy, self.system.servers(), &question));
                match known {
                    Some(answer) => look_up.learn(question, answer),
                    None => is_waiting = true,
                }
            }
            if is_waiting {
                self.lookups.insert(domain, look_up);
                return;
            }
        }
    }

    /// A name server has answered (`Err`: it cannot be reached, or the connection to it is gone).
    pub fn handle_packet(
        &mut self,
        now: Now,
        entropy: &mut dyn Entropy,
        server: SocketAddr,
        packet: Result<&[u8], ()>,
    ) {
        let servers = self.system.servers();
        match packet {
            Ok(packet) => self.inquiries.handle_packet(now, entropy, servers, server, packet),
            Err(()) => self.inquiries.handle_unreachable(now, entropy, servers, server),
        }
        self.settle(now, entropy);
    }

    /// Asks again, or gives up, what is due.
    pub fn handle_timeout(&mut self, now: Now, entropy: &mut dyn Entropy) {
        self.told_ms = self.told_ms.filter(|told_ms| *told_ms > now.mono_ms);
        self.inquiries.handle_timeout(now, entropy, self.system.servers());
        self.settle(now, entropy);
    }

    /// Tells look-ups what name servers have answered.
    fn settle(&mut self, now: Now, entropy: &mut dyn Entropy) {
        while let Some((question, answer, seconds)) = self.inquiries.poll_settled() {
            if *answer != Answer::Failed {
                self.cache.put(now, question.clone(), Rc::clone(&answer), seconds);
            }
            self.tell(now, entropy, &question, &answer);
            self.inquiries.begin_waiting(now, entropy, self.system.servers());
        }
    }

    fn tell(
        &mut self,
        now: Now,
        entropy: &mut dyn Entropy,
        question: &Question,
        answer: &Rc<Answer>,
    ) {
        let waiting = self.lookups.iter().filter(|(_, look_up)| look_up.waits_for(question));
        let domains: Vec<String> = waiting.map(|(domain, _)| domain.clone()).collect();
        for domain in domains {
            let Some(mut look_up) = self.lookups.remove(&domain) else { continue };
            look_up.learn(question.clone(), Rc::clone(answer));
            if look_up.is_waiting() {
                self.lookups.insert(domain, look_up);
            } else {
                self.advance(now, entropy, domain, look_up);
            }
        }
    }

    /// Monotonic milliseconds of the next deadline; `None` when it is no earlier than the one that
    /// was told last.
    pub fn poll_timeout(&mut self) -> Option<u64> {
        let due_ms = self.inquiries.next_due_ms()?;
        if self.told_ms.is_some_and(|told_ms| told_ms <= due_ms) {
            return None;
        }
        self.told_ms = Some(due_ms);
        self.told_ms
    }

    /// The next packet to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.inquiries.poll_transmit()
    }

    /// The next domain that was found, or was not: the places in the order to be tried.
    pub fn poll_found(&mut self) -> Option<(String, Result<Vec<Place>, Nowhere>)> {
        self.found.pop_front()
    }
}

impl Place {
    /// At an address, where nothing but the address is known.
    fn of(address: IpAddr) -> Self {
        Self { address: SocketAddr::new(address, PORT), is_direct_tls: false }
    }
}
