//! The glue to the codec: questions as packets, and what a packet says in answer to one.
//!
//! A packet is read as a claim about one name: aliases (CNAME) are followed within it, and only
//! records that belong to the name, or to what it is an alias of, count. What else is in it, such
//! as addresses that nobody has asked for, is not looked at. Names are kept in lower case, and one
//! with characters that no host has is no name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::rc::Rc;

use simple_dns::rdata::RData;
use simple_dns::{
    CLASS, Name, OPCODE, Packet, PacketFlag, QCLASS, QTYPE, RCODE, ResourceRecord, TYPE,
};

use super::order::Service;

/// Aliases of aliases that are followed.
pub const ALIASES_MAX: usize = 8;
/// Records of one answer that are kept.
const RECORDS_MAX: usize = 64;
/// Bytes of a packet's header (RFC 1035 §4.1.1), and of the smallest record.
const HEADER_BYTES: usize = 12;
const RECORD_BYTES_MIN: usize = 11;
/// Where the header says that the packet was cut, and how many records follow the question.
const TRUNCATED_AT: usize = 2;
const TRUNCATED: u8 = 0x02;
const COUNTS_AT: usize = 6;
/// How long it is believed that there is nothing, when the answer does not say (RFC 2308 §5).
const NOTHING_SECONDS: u32 = 60;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Services (RFC 2782).
    Srv,
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Question {
    /// In lower case and ASCII, without the dot at its end.
    pub name: Rc<str>,
    /// What is asked for.
    pub kind: Kind,
}

/// What is known for sure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Its addresses, of the kind that was asked for.
    Addresses(Vec<IpAddr>),
    /// Its services; none when the domain says that it has none, by a target of "." (RFC 2782).
    Services(Vec<Service>),
    /// There is nothing of this kind.
    Nothing,
    /// No name server has told.
    Failed,
}

/// What a packet says.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    /// The answer, and for how many seconds it is good.
    Answer(Answer, u32),
    /// The name is an alias of another, which this server has not looked up; good for so many
    /// seconds, and so many aliases have been followed.
    Alias(Rc<str>, u32, usize),
    /// It was too long for UDP.
    Truncated,
    /// The name server cannot tell.
    Refused,
}

impl Question {
    /// A question about a name.
    pub fn new(name: &str, kind: Kind) -> Self {
        Self { name: name.into(), kind }
    }
}

impl Kind {
    fn code(self) -> TYPE {
        match self {
            Self::A => TYPE::A,
            Self::Aaaa => TYPE::AAAA,
            Self::Srv => TYPE::SRV,
        }
    }
}

/// The packet of a question; `None` when there cannot be such a name in the DNS.
pub fn encode(id: u16, name: &str, kind: Kind) -> Option<Vec<u8>> {
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let name = Name::new(name).ok()?;
    let question =
        simple_dns::Question::new(name, QTYPE::TYPE(kind.code()), CLASS::IN.into(), false);
    packet.questions.push(question);
    packet.build_bytes_vec().ok()
}

/// The number of a packet.
pub fn id(packet: &[u8]) -> Option<u16> {
    packet.first_chunk().map(|id| u16::from_be_bytes(*id))
}

/// What a packet says in answer to a question; `None` when it is no answer to it.
pub fn decode(packet: &[u8], name: &str, kind: Kind) -> Option<Reply> {
    let (header, body) = packet.split_at_checked(HEADER_BYTES)?;
    if header[TRUNCATED_AT] & TRUNCATED != 0 {
        // It may be cut anywhere: only the question is read.
        let question = [&header[..COUNTS_AT], &[0; HEADER_BYTES - COUNTS_AT], body].concat();
        let packet = Packet::parse(&question).ok()?;
        return is_answer_to(&packet, name, kind).then_some(Reply::Truncated);
    }
    // The codec makes room for as many records as the packet says that it has.
    let counts = header[COUNTS_AT..]
        .chunks(2)
        .map(|count| usize::from(count[0]) << 8 | usize::from(count[1]));
    if counts.sum::<usize>() > body.len() / RECORD_BYTES_MIN {
        return None;
    }
    let packet = Packet::parse(packet).ok()?;
    if !is_answer_to(&packet, name, kind) {
        return None;
    }
    Some(match packet.rcode() {
        RCODE::NoError | RCODE::NameError => follow(&packet, name, kind),
        _ => Reply::Refused,
    })
}

fn is_answer_to(packet: &Packet, name: &str, kind: Kind) -> bool {
    let [question] = &packet.questions[..] else { return false };
    packet.has_flags(PacketFlag::RESPONSE)
        && packet.opcode() == OPCODE::StandardQuery
        && question.qtype == QTYPE::TYPE(kind.code())
        && question.qclass == QCLASS::CLASS(CLASS::IN)
        && text(&question.qname).as_deref() == Some(name)
}

/// Follows the aliases of `name` within a packet to what is asked for.
fn follow(packet: &Packet, name: &str, kind: Kind) -> Reply {
    let mut name = name.to_owned();
    let mut seconds = u32::MAX;
    for aliases in 0..=ALIASES_MAX {
        let own = |record: &&ResourceRecord| {
            record.class == CLASS::IN && text(&record.name).as_ref() == Some(&name)
        };
        let own: Vec<&ResourceRecord> = packet.answers.iter().filter(own).collect();
        if let Some(answer) = answer_of(&own, kind) {
            let of_kind = own.iter().filter(|record| record.rdata.type_code() == kind.code());
            seconds = of_kind.map(|record| seconds_of(record)).fold(seconds, u32::min);
            return Reply::Answer(answer, seconds);
        }
        let alias = own.iter().find_map(|record| match &record.rdata {
            RData::CNAME(target) => Some((text(target)?, seconds_of(record))),
            _ => None,
        });
        match alias {
            Some((target, target_seconds)) => {
                seconds = seconds.min(target_seconds);
                name = target;
            }
            None => {
                let start = packet.name_servers.iter().find_map(|record| match &record.rdata {
                    RData::SOA(zone) => Some(zone.minimum.min(seconds_of(record))),
                    _ => None,
                });
                if aliases > 0 && start.is_none() && packet.rcode() == RCODE::NoError {
                    return Reply::Alias(name.into(), seconds, aliases);
                }
                return Reply::Answer(Answer::Nothing, start.unwrap_or(NOTHING_SECONDS));
            }
        }
    }
    // Aliases in a circle: nothing is at their end.
    Reply::Answer(Answer::Nothing, seconds)
}

/// The records of a name that are of a kind; `None` when there are none.
fn answer_of(own: &[&ResourceRecord], kind: Kind) -> Option<Answer> {
    let of_kind = own.iter().filter(|record| record.rdata.type_code() == kind.code());
    let records = of_kind.take(RECORDS_MAX).map(|record| &record.rdata);
    records.clone().next()?;
    Some(match kind {
        Kind::A | Kind::Aaaa => {
            let addresses = records.filter_map(|record| match record {
                RData::A(own) => Some(IpAddr::from(Ipv4Addr::from(own.address))),
                RData::AAAA(own) => Some(IpAddr::from(Ipv6Addr::from(own.address))),
                _ => None,
            });
            let is_host = |address: &IpAddr| !address.is_unspecified() && !address.is_multicast();
            Answer::Addresses(addresses.filter(is_host).collect())
        }
        Kind::Srv => {
            let services = records.filter_map(|record| match record {
                RData::SRV(own) => Some(Service {
                    priority: own.priority,
                    weight: own.weight,
                    is_direct_tls: false,
                    host: text(&own.target).filter(|host| !host.is_empty())?,
                    port: own.port,
                }),
                _ => None,
            });
            Answer::Services(services.collect())
        }
    })
}

/// RFC 2181 §8: with the highest bit it counts as 0.
fn seconds_of(record: &ResourceRecord) -> u32 {
    if record.ttl > i32::MAX as u32 { 0 } else { record.ttl }
}

/// A name in lower case, empty for the root; `None` for what is no name of hosts or services.
fn text(name: &Name) -> Option<String> {
    let mut text = String::new();
    for label in name.get_labels() {
        if !text.is_empty() {
            text.push('.');
        }
        for &byte in label.as_ref() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => {
                    text.push(char::from(byte.to_ascii_lowercase()));
                }
                _ => return None,
            }
        }
    }
    Some(text)
}
