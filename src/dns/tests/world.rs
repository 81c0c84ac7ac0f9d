//! A resolver, its clock, and name servers that say what a test wants.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use simple_dns::rdata::{A, AAAA, CNAME, RData, SOA, SRV};
use simple_dns::{CLASS, Name, Packet, PacketFlag, RCODE, ResourceRecord};

use super::super::packet::{Kind, Question};
use super::super::{Nowhere, Place, Resolver, Transmit};
use crate::cx::{Entropy, Now};

/// Chance from a seed.
pub struct Seeded(pub u64);

impl Entropy for Seeded {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            *byte = (self.0 >> 24) as u8;
        }
    }
}

/// What a name server knows of a name.
#[derive(Clone)]
pub enum Record {
    Address(IpAddr),
    Alias(&'static str),
    /// Priority, weight, port, host.
    Service(u16, u16, u16, String),
}

/// What a name server does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Fine,
    Silent,
    /// SERVFAIL
    Helpless,
    /// Says over UDP that the answer is too long.
    Verbose,
}

pub struct World {
    pub resolver: Resolver,
    pub entropy: Seeded,
    pub now: Now,
    pub zone: BTreeMap<String, Vec<Record>>,
    pub seconds: u32,
    /// One for each server.
    pub moods: Vec<Mood>,
    /// The questions that servers have seen: "name kind server".
    pub seen: Vec<String>,
}

/// The addresses of the name servers.
pub fn server(index: usize) -> SocketAddr {
    format!("192.0.2.{}:53", index + 1).parse().expect("an address")
}

impl World {
    pub fn new(moods: &[Mood]) -> Self {
        let mut resolver = Resolver::default();
        let lines = (0..moods.len()).map(|index| format!("nameserver {}\n", server(index).ip()));
        resolver.configure(&lines.collect::<String>(), "127.0.0.1 localhost\n::1 localhost\n");
        Self {
            resolver,
            entropy: Seeded(0x2545_f491_4f6c_dd1d),
            now: Now { mono_ms: 1_000, unix_ms: 0 },
            zone: BTreeMap::new(),
            seconds: 3600,
            moods: moods.to_vec(),
            seen: Vec::new(),
        }
    }

    pub fn set(&mut self, name: &str, records: Vec<Record>) {
        self.zone.insert(name.to_owned(), records);
    }

    pub fn address(&mut self, name: &str, addresses: &[&str]) {
        let address = |text: &&str| Record::Address(text.parse().expect("an address"));
        self.set(name, addresses.iter().map(address).collect());
    }

    pub fn service(&mut self, name: &str, services: &[(u16, u16, u16, &str)]) {
        let service = |&(priority, weight, port, host): &(u16, u16, u16, &str)| {
            Record::Service(priority, weight, port, host.to_owned())
        };
        self.set(name, services.iter().map(service).collect());
    }

    pub fn look_up(&mut self, domain: &str) {
        self.resolver.look_up(self.now, &mut self.entropy, domain);
    }

    pub fn found(&mut self) -> Option<(String, Result<Vec<Place>, Nowhere>)> {
        self.resolver.poll_found()
    }

    /// Looks a domain up, and says what was found: "tls 192.0.2.1:5270 192.0.2.1:5269".
    pub fn find(&mut self, domain: &str) -> String {
        self.look_up(domain);
        self.serve();
        let (of, found) = self.found().expect("an end");
        assert_eq!(of, domain);
        match found {
            Err(nowhere) => format!("{nowhere:?}"),
            Ok(places) => {
                let place = |place: &Place| {
                    let tls = if place.is_direct_tls { "tls " } else { "" };
                    format!("{tls}{}", place.address)
                };
                places.iter().map(place).collect::<Vec<_>>().join(" ")
            }
        }
    }

    /// Lets the servers answer, and time pass where they do not, until nothing happens any more.
    pub fn serve(&mut self) {
        loop {
            while let Some(transmit) = self.resolver.poll_transmit() {
                let index = (0..self.moods.len()).find(|index| server(*index) == transmit.server);
                let index = index.expect("a server that there is");
                if let Some(packet) = self.reply(&transmit, index) {
                    self.hear(transmit.server, &packet);
                }
            }
            let Some(due_ms) = self.resolver.inquiries.next_due_ms() else { break };
            self.now.mono_ms = due_ms;
            self.resolver.handle_timeout(self.now, &mut self.entropy);
        }
    }

    pub fn hear(&mut self, from: SocketAddr, packet: &[u8]) {
        self.resolver.handle_packet(self.now, &mut self.entropy, from, Ok(packet));
    }

    fn reply(&mut self, transmit: &Transmit, index: usize) -> Option<Vec<u8>> {
        let (question, _) = question(&transmit.packet);
        let way = if transmit.is_tcp { " tcp" } else { "" };
        self.seen.push(format!("{} {:?} {index}{way}", question.name, question.kind));
        match self.moods[index] {
            Mood::Silent => None,
            Mood::Helpless => Some(self.packet(transmit, |packet| {
                packet.answers.clear();
                *packet.rcode_mut() = RCODE::ServerFailure;
            })),
            Mood::Verbose if !transmit.is_tcp => Some(self.packet(transmit, |packet| {
                packet.answers.clear();
                packet.set_flags(PacketFlag::TRUNCATION);
            })),
            Mood::Fine | Mood::Verbose => Some(self.packet(transmit, |_| {})),
        }
    }

    /// The right answer to a question, after a change.
    pub fn packet(&self, transmit: &Transmit, change: impl FnOnce(&mut Packet)) -> Vec<u8> {
        let (question, id) = question(&transmit.packet);
        let asked = Packet::parse(&transmit.packet).expect("a question");
        assert!(asked.has_flags(PacketFlag::RECURSION_DESIRED));
        let mut packet = Packet::new_reply(id);
        packet.questions = asked.questions.clone();
        let mut name = question.name.to_string();
        // The server follows aliases as far as it knows the names.
        for _ in 0..20 {
            let records = self.zone.get(&name).map(Vec::as_slice).unwrap_or_default();
            let data = records.iter().filter_map(|record| data_of(record, question.kind));
            let owner = || Name::new(&name).expect("a name").into_owned();
            let record = |data| ResourceRecord::new(owner(), CLASS::IN, self.seconds, data);
            packet.answers.extend(data.map(record));
            match records.first() {
                Some(Record::Alias(target)) => name = (*target).to_owned(),
                _ => break,
            }
        }
        if !self.zone.contains_key(&name) && !name.starts_with("elsewhere") {
            *packet.rcode_mut() = RCODE::NameError;
        }
        let is_last = |record: &ResourceRecord| record.rdata.type_code() == simple_dns::TYPE::CNAME;
        if packet.answers.iter().all(is_last) && !name.starts_with("elsewhere") {
            packet.name_servers.push(start_of_zone());
        }
        change(&mut packet);
        packet.build_bytes_vec().expect("a packet")
    }
}

fn start_of_zone() -> ResourceRecord<'static> {
    let name = || Name::new_unchecked("example");
    let (serial, refresh, retry, expire) = (1, 2, 3, 4);
    let (mname, rname) = (name(), name());
    let zone = SOA { mname, rname, serial, refresh, retry, expire, minimum: 100 };
    ResourceRecord::new(name(), CLASS::IN, 200, RData::SOA(zone))
}

/// What a packet of ours asks, and its number.
pub fn question(packet: &[u8]) -> (Question, u16) {
    let packet = Packet::parse(packet).expect("a question");
    let [question] = &packet.questions[..] else { panic!("one question") };
    let kind = match u16::from(question.qtype) {
        1 => Kind::A,
        28 => Kind::Aaaa,
        33 => Kind::Srv,
        other => panic!("nobody needs {other}"),
    };
    (Question::new(&question.qname.to_string(), kind), packet.id())
}

fn data_of(record: &Record, kind: Kind) -> Option<RData<'static>> {
    let v4 = |address: Ipv4Addr| RData::A(A { address: address.into() });
    let v6 = |address: Ipv6Addr| RData::AAAA(AAAA { address: address.into() });
    match (record, kind) {
        (Record::Address(IpAddr::V4(address)), Kind::A) => Some(v4(*address)),
        (Record::Address(IpAddr::V6(address)), Kind::Aaaa) => Some(v6(*address)),
        (Record::Alias(target), _) => Some(RData::CNAME(CNAME(Name::new_unchecked(target)))),
        (Record::Service(priority, weight, port, host), Kind::Srv) => {
            let target = Name::new(host).expect("a name").into_owned();
            let (priority, weight, port) = (*priority, *weight, *port);
            Some(RData::SRV(SRV { priority, weight, port, target }))
        }
        _ => None,
    }
}
