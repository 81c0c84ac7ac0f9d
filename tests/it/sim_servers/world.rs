//! The servers, their network and their people, set up and driven.

use std::rc::Rc;

use tercet::cx::Now;

use super::certificates;
use super::net::{Host, Net, Weather};
use super::people::{Person, take_events};
use super::roads::address_of;
use crate::setup::{Seeded, Setup};

/// Where all meet; the first server has it.
pub const ROOM: &str = "room@conference.a.example";
const DOMAINS: [&str; 3] = ["a.example", "b.example", "c.example"];
const NAMES: [&str; 3] = ["ann", "bob", "cat"];
/// Turns without rest after which servers are said to spin.
const TURNS_MAX: usize = 100_000;

/// What servers offer each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manners {
    /// Acknowledgements and resumption, one stream for each direction.
    Managed,
    /// One stream for both directions, without acknowledgements.
    BothWays,
    /// Neither.
    Plain,
    /// All that they can: one stream for both directions, and acknowledgements without resumption.
    /// What is not acknowledged is sent once more.
    Own,
}

impl Manners {
    pub fn of(rng: &mut Seeded) -> Self {
        match rng.below(5) {
            0 => Self::Plain,
            2 => Self::Own,
            1 => Self::BothWays,
            _ => Self::Managed,
        }
    }

    fn hides(self, has_tls: bool) -> Vec<&'static str> {
        let sm = "<sm xmlns='urn:xmpp:sm:3'/>";
        let bidi = "<bidi xmlns='urn:xmpp:features:bidi'/>";
        let mut hides = match self {
            Self::Managed => vec![bidi],
            Self::BothWays => vec![sm],
            Self::Plain => vec![sm, bidi],
            Self::Own => Vec::new(),
        };
        if !has_tls {
            hides.push("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
        }
        hides
    }
}

pub struct World {
    pub net: Net,
    pub manners: Manners,
    pub people: Vec<Person>,
    /// They show who they are by EXTERNAL (XEP-0178).
    pub has_certificates: bool,
    people_count: usize,
    is_traced: bool,
}

impl World {
    /// So many servers with so many people each.
    pub fn new(
        seed: u64,
        manners: Manners,
        hosts_count: usize,
        people_count: usize,
    ) -> Result<Self, String> {
        let mut rng = Seeded(seed);
        let now = Now { mono_ms: 1_000, unix_ms: 1_767_225_600_000 };
        let has_certificates = rng.one_in(2);
        let requires_tls = has_certificates || rng.one_in(2);
        let mut hosts = Vec::new();
        for (at, domain) in DOMAINS.iter().enumerate().take(hosts_count) {
            let config = config(domain, requires_tls);
            let names = &NAMES[..people_count];
            let accounts =
                names.iter().map(|name| (format!("{name}@{domain}"), "secret".to_owned()));
            let setup = Setup::new(&config, accounts.collect(), None)?;
            setup.set_number(at as u64);
            let mut server = setup.server(now)?;
            server.handle_resolver(now, "nameserver 192.0.2.53\n", "");
            let chain = match has_certificates {
                true => {
                    server.handle_trust(now, Rc::new(certificates::trust()?));
                    certificates::chain(at)
                }
                false => Vec::new(),
            };
            hosts.push(Host::new(domain, server, chain));
        }
        let weather = Weather {
            is_chunked: rng.one_in(2),
            latency_ms: [0, 10, 100][rng.below(3)],
            failures: 0,
            hides: manners.hides(requires_tls),
            rng,
        };
        let is_traced = std::env::var_os("TERCET_SIM_TRACE").is_some();
        let net = Net::new(hosts, now, weather);
        Ok(Self { net, manners, people: Vec::new(), has_certificates, people_count, is_traced })
    }

    /// All log in, subscribe to all others, and sit down in the room.
    pub fn begin(&mut self) -> Result<(), String> {
        for host in 0..self.net.hosts.len() {
            for name in &NAMES[..self.people_count] {
                let person = Person::enter(&mut self.net, host, name)?;
                self.people.push(person);
            }
        }
        self.settle()?;
        if let Some(person) = self.people.iter().find(|person| !person.is_ready()) {
            return Err(format!("{} cannot log in", person.jid));
        }
        let contacts: Vec<String> = self.people.iter().map(|p| p.bare().to_owned()).collect();
        for who in 0..self.people.len() {
            self.send(who, "<presence/>");
            for contact in contacts.iter().filter(|contact| **contact != contacts[who]) {
                self.send(who, &format!("<presence to='{contact}' type='subscribe'/>"));
            }
        }
        self.pass_time(20_000)?;
        for who in 0..self.people.len() {
            self.join(who);
            self.pass_time(if who == 0 { 1 } else { 0 })?;
        }
        self.pass_time(20_000)?;
        match self.people.iter().find(|person| !person.is_seated) {
            Some(person) => Err(format!("{} cannot join", person.jid)),
            None => self.check_subscriptions(),
        }
    }

    /// All see all others.
    fn check_subscriptions(&self) -> Result<(), String> {
        for person in &self.people {
            let others = self.people.iter().filter(|other| other.jid != person.jid);
            for other in others {
                if person.seen.get(&other.jid) != Some(&true) {
                    return Err(format!("{} does not see {}", person.jid, other.jid));
                }
            }
        }
        Ok(())
    }

    pub fn send(&mut self, who: usize, text: &str) {
        if self.is_traced {
            eprintln!("{} {} -> {text}", self.net.now.mono_ms, self.people[who].jid);
        }
        self.people[who].send(text);
        self.people[who].flush(&mut self.net);
    }

    pub fn join(&mut self, who: usize) {
        let history = "<history maxstanzas='0'/>";
        let x = format!("<x xmlns='http://jabber.org/protocol/muc'>{history}</x>");
        self.send(who, &format!("<presence to='{ROOM}/n{who}'>{x}</presence>"));
        if who == 0 {
            // The room opens at once.
            let form = "<x xmlns='jabber:x:data' type='submit'/>";
            let query =
                format!("<query xmlns='http://jabber.org/protocol/muc#owner'>{form}</query>");
            self.send(who, &format!("<iq to='{ROOM}' type='set' id='o'>{query}</iq>"));
        }
    }

    pub fn turn(&mut self) -> Result<bool, String> {
        let worked = self.net.turn();
        Ok(take_events(&mut self.net, &mut self.people, self.is_traced)? || worked)
    }

    /// Turns until nothing is left to do at this moment.
    pub fn settle(&mut self) -> Result<(), String> {
        for _ in 0..TURNS_MAX {
            if !self.turn()? {
                return Ok(());
            }
        }
        Err("the servers spin".to_owned())
    }

    pub fn pass_time(&mut self, ms: u64) -> Result<(), String> {
        let end_ms = self.net.now.mono_ms + ms;
        for _ in 0..TURNS_MAX {
            self.settle()?;
            match self.net.next_deadline() {
                Some(due_ms) if due_ms <= end_ms => self.net.advance_to(due_ms),
                _ => {
                    self.net.advance_to(end_ms);
                    return self.settle();
                }
            }
        }
        Err("the clock stands still".to_owned())
    }

    /// TERM, and until its end.
    pub fn stop(&mut self, host: usize) -> Result<u8, String> {
        let began_ms = self.net.now.mono_ms;
        self.net.hosts[host].server.handle_shutdown(self.net.now, "TERM");
        self.pass_time(20_000)?;
        let Some(code) = self.net.hosts[host].exit else { return Err("no exit".to_owned()) };
        let ms = self.net.hosts[host].exit_ms - began_ms;
        if ms > 15_000 {
            return Err(format!("the exit takes {ms} ms"));
        }
        let summary = self.net.hosts[host].server.summary();
        let is_fine = summary.contains("(0 cut)") && summary.contains(" 0 stanzas dropped");
        match code {
            0 if is_fine => Ok(code),
            3 if !is_fine => Ok(code),
            _ => Err(format!("exit code {code}, and {summary}")),
        }
    }
}

fn config(domain: &str, requires_tls: bool) -> String {
    let hosts = DOMAINS.iter().enumerate().filter(|(_, other)| **other != domain);
    let hosts: Vec<String> = hosts
        .flat_map(|(at, other)| {
            ["", "conference."].map(|prefix| format!("'{prefix}{other}' = '{}'", address_of(at)))
        })
        .collect();
    format!(
        "domains = ['{domain}']
        [rooms]
        domains = ['conference.{domain}']
        [s2s]
        listen = ['127.0.0.1:5269']
        require_tls = {requires_tls}
        [s2s.hosts]
        {}",
        hosts.join("\n")
    )
}
