//! One domain that is looked for. First its services: `_xmpps-server` and `_xmpp-server` together
//! (XEP-0368 §3); then the addresses of their hosts. Without services the domain itself is the host
//! (RFC 6120 §3.2.2).

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use crate::cx::Entropy;

use super::order::{Service, in_order};
use super::packet::{Answer, Kind, Question};
use super::system::System;
use super::{Nowhere, PLACES_MAX, PORT, Place};

/// Services of a domain that are tried.
const SERVICES_MAX: usize = 16;

/// A domain that is looked for.
pub struct LookUp {
    /// The domain, as DNS knows it.
    name: Rc<str>,
    /// What must be known; `None`: it is not yet.
    needed: BTreeMap<Question, Option<Rc<Answer>>>,
    /// The services in the order to be tried, once they are known.
    services: Option<Vec<Service>>,
}

/// What comes next.
pub enum Step {
    /// These questions must be answered.
    Ask(Vec<Question>),
    /// It is over.
    Found(Result<Vec<Place>, Nowhere>),
}

impl LookUp {
    /// A domain, in its ASCII form.
    pub fn new(name: &str) -> Self {
        let name = name.to_ascii_lowercase().into();
        Self { name, needed: BTreeMap::new(), services: None }
    }

    /// True when it needs the answer to a question.
    pub fn waits_for(&self, question: &Question) -> bool {
        matches!(self.needed.get(question), Some(None))
    }

    /// True when it needs any.
    pub fn is_waiting(&self) -> bool {
        self.needed.values().any(Option::is_none)
    }

    /// The answer to a question that it needs.
    pub fn learn(&mut self, question: Question, answer: Rc<Answer>) {
        self.needed.insert(question, Some(answer));
    }

    /// Goes on, when nothing is being waited for.
    pub fn step(&mut self, system: &System, entropy: &mut dyn Entropy) -> Step {
        let [direct, starttls] = ["_xmpps-server", "_xmpp-server"]
            .map(|service| Question::new(&format!("{service}._tcp.{}", self.name), Kind::Srv));
        let missing = self.missing(vec![direct.clone(), starttls.clone()]);
        if !missing.is_empty() {
            return Step::Ask(missing);
        }
        if self.services.is_none() {
            match self.services_of(&direct, &starttls) {
                Some(services) => {
                    let mut services = in_order(services, entropy);
                    services.truncate(SERVICES_MAX);
                    self.services = Some(services);
                }
                None => return Step::Found(Err(Nowhere::NoServer)),
            }
        }
        let hosts = self.services.iter().flatten().map(|service| &service.host);
        let hosts = hosts.filter(|host| system.host(host).is_none());
        let questions = hosts.flat_map(|host| addresses_of(host)).collect();
        let missing = self.missing(questions);
        if !missing.is_empty() {
            return Step::Ask(missing);
        }
        Step::Found(self.places(system))
    }

    /// Those of `questions` that are not needed yet; from now on they are.
    fn missing(&mut self, questions: Vec<Question>) -> Vec<Question> {
        let mut missing = Vec::new();
        for question in questions {
            if !self.needed.contains_key(&question) {
                self.needed.insert(question.clone(), None);
                missing.push(question);
            }
        }
        missing
    }

    fn answer(&self, question: &Question) -> &Answer {
        self.needed.get(question).and_then(Option::as_deref).unwrap_or(&Answer::Failed)
    }

    /// The services of both kinds; `None`: the domain says that it has no server.
    fn services_of(&self, direct: &Question, starttls: &Question) -> Option<Vec<Service>> {
        let mut services = Vec::new();
        for (question, is_direct_tls) in [(direct, true), (starttls, false)] {
            if let Answer::Services(own) = self.answer(question) {
                let own = own.iter().cloned();
                services.extend(own.map(|service| Service { is_direct_tls, ..service }));
            }
        }
        services.retain(|service| service.port != 0);
        if !services.is_empty() {
            return Some(services);
        }
        // Direct TLS may be what there is none of; without STARTTLS there is no server.
        if matches!(self.answer(starttls), Answer::Services(_)) {
            return None;
        }
        // RFC 6120 §3.2.1: also when nobody has answered.
        let (host, port) = (self.name.to_string(), PORT);
        Some(vec![Service { priority: 0, weight: 0, is_direct_tls: false, host, port }])
    }

    /// The addresses of all hosts, those of IPv6 and of IPv4 in turn.
    fn places(&self, system: &System) -> Result<Vec<Place>, Nowhere> {
        let mut places = Vec::new();
        for service in self.services.iter().flatten() {
            let known = match system.host(&service.host) {
                Some(known) => known.to_vec(),
                None => {
                    addresses_of(&service.host).iter().flat_map(|it| self.addresses(it)).collect()
                }
            };
            let (v6, v4): (Vec<_>, Vec<_>) = known.into_iter().partition(IpAddr::is_ipv6);
            let turns = v6.len().max(v4.len());
            let in_turn = (0..turns).flat_map(|turn| [v6.get(turn), v4.get(turn)]).flatten();
            for &address in in_turn {
                let address = SocketAddr::new(address, service.port);
                let place = Place { address, is_direct_tls: service.is_direct_tls };
                if places.len() < PLACES_MAX && !places.contains(&place) {
                    places.push(place);
                }
            }
        }
        let has_failed =
            self.needed.keys().any(|question| *self.answer(question) == Answer::Failed);
        match () {
            () if !places.is_empty() => Ok(places),
            () if has_failed => Err(Nowhere::NoAnswer),
            () => Err(Nowhere::NoServer),
        }
    }

    fn addresses(&self, question: &Question) -> Vec<IpAddr> {
        match self.answer(question) {
            Answer::Addresses(addresses) => addresses.clone(),
            _ => Vec::new(),
        }
    }
}

fn addresses_of(host: &str) -> [Question; 2] {
    [Kind::Aaaa, Kind::A].map(|kind| Question::new(host, kind))
}
