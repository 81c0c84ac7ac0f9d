//! How name servers are asked, and whose answers count.

use simple_dns::{CLASS, Packet, PacketFlag, QTYPE, TYPE};

use super::super::Transmit;
use super::super::packet::Kind;
use super::world::{Mood, Record, Seeded, World, question, server};
use crate::cx::Entropy;

/// A world whose only domain has an address and no service.
fn world(moods: &[Mood]) -> World {
    let mut world = World::new(moods);
    world.address("chat.example", &["192.0.2.1"]);
    world
}

const FOUND: &str = "192.0.2.1:5269";

#[test]
fn who_is_silent_is_asked_twice_with_the_others_in_between() {
    let mut one = world(&[Mood::Silent, Mood::Fine]);
    assert_eq!(one.find("chat.example"), FOUND);
    assert_eq!(one.now.mono_ms, 1_000 + 2 * 2_000, "two seconds, for services and for addresses");
    let mut none = world(&[Mood::Silent, Mood::Silent]);
    assert_eq!(none.find("chat.example"), "NoAnswer");
    assert_eq!(none.now.mono_ms, 1_000 + 2 * 4 * 2_000);
    let servers = none.seen.iter().filter_map(|seen| seen.strip_prefix("chat.example A "));
    assert_eq!(servers.collect::<Vec<_>>(), ["0", "1", "0", "1"]);
    // That nobody has answered is not kept.
    none.moods = vec![Mood::Fine, Mood::Fine];
    assert_eq!(none.find("chat.example"), FOUND);
}

#[test]
fn who_cannot_tell_is_not_waited_for() {
    let mut world = world(&[Mood::Helpless, Mood::Fine]);
    assert_eq!(world.find("chat.example"), FOUND);
    assert_eq!(world.now.mono_ms, 1_000);
    world.moods = vec![Mood::Helpless; 2];
    assert_eq!(world.find("other.example"), "NoAnswer");
    assert_eq!(world.now.mono_ms, 1_000);
}

#[test]
fn a_server_that_cannot_be_reached() {
    let mut world = world(&[Mood::Fine, Mood::Fine]);
    world.look_up("chat.example");
    while world.resolver.poll_transmit().is_some() {}
    let now = world.now;
    world.resolver.handle_packet(now, &mut world.entropy, server(0), Err(()));
    let next: Vec<_> = std::iter::from_fn(|| world.resolver.poll_transmit()).collect();
    assert_eq!(next.iter().map(|own| own.server).collect::<Vec<_>>(), [server(1); 2]);
    // It is known to be gone by then: nobody waits for it.
    world.resolver.handle_packet(now, &mut world.entropy, server(0), Err(()));
    assert_eq!(world.resolver.poll_transmit(), None);
}

#[test]
fn long_answers_come_over_tcp() {
    let mut world = world(&[Mood::Verbose]);
    assert_eq!(world.find("chat.example"), FOUND);
    assert!(world.seen.contains(&"chat.example A 0 tcp".to_owned()), "{:?}", world.seen);
    // Too long for that as well, or cut within a record.
    world.look_up("other.example");
    while let Some(transmit) = world.resolver.poll_transmit() {
        let mut packet = world.packet(&transmit, |packet| {
            packet.set_flags(PacketFlag::TRUNCATION);
        });
        packet.truncate(packet.len() - 3);
        let from = transmit.server;
        world.hear(from, &packet);
    }
    assert!(matches!(world.found(), Some((_, Err(_)))));
}

#[test]
fn a_late_answer_is_an_answer() {
    let mut world = world(&[Mood::Fine, Mood::Fine]);
    world.look_up("chat.example");
    let first: Vec<Transmit> = std::iter::from_fn(|| world.resolver.poll_transmit()).collect();
    world.now.mono_ms += 2_000;
    let now = world.now;
    world.resolver.handle_timeout(now, &mut world.entropy);
    while world.resolver.poll_transmit().is_some() {}
    for transmit in &first {
        let packet = world.packet(transmit, |_| {});
        world.hear(transmit.server, &packet);
    }
    let next = world.resolver.poll_transmit().expect("addresses are asked for");
    assert_ne!(question(&next.packet).0.kind, Kind::Srv);
}

/// Only the address of the domain is still missing when `forge` has its try.
#[track_caller]
fn check_ignored(what: &str, forge: impl Fn(&World, &Transmit) -> (usize, Vec<u8>)) {
    let mut world = world(&[Mood::Fine, Mood::Fine]);
    world.look_up("chat.example");
    let mut last = None;
    while let Some(transmit) = world.resolver.poll_transmit() {
        if question(&transmit.packet).0.kind == Kind::A {
            last = Some(transmit);
        } else {
            let packet = world.packet(&transmit, |_| {});
            world.hear(transmit.server, &packet);
        }
    }
    let last = last.expect("addresses are asked for");
    let mut liar = World::new(&[Mood::Fine]);
    liar.address("chat.example", &["203.0.113.66"]);
    liar.address("other.example", &["203.0.113.66"]);
    let (from, lie) = forge(&liar, &last);
    world.hear(server(from), &lie);
    assert_eq!(world.found(), None, "{what}");
    let truth = world.packet(&last, |_| {});
    world.hear(last.server, &truth);
    let (_, found) = world.found().expect("an answer");
    let places = found.expect("found");
    assert_eq!(places[0].address.to_string(), FOUND, "{what}");
}

#[test]
fn whose_answers_do_not_count() {
    check_ignored("another server", |liar, own| (1, liar.packet(own, |_| {})));
    check_ignored("another number", |liar, own| {
        (0, liar.packet(own, |packet| packet.set_id(packet.id() ^ 1)))
    });
    check_ignored("no response", |liar, own| {
        (0, liar.packet(own, |packet| packet.remove_flags(PacketFlag::RESPONSE)))
    });
    check_ignored("no question", |liar, own| {
        (0, liar.packet(own, |packet| packet.questions.clear()))
    });
    check_ignored("another name", |liar, own| {
        let other = simple_dns::Name::new_unchecked("other.example");
        (0, liar.packet(own, |packet| packet.questions[0].qname = other))
    });
    check_ignored("another kind", |liar, own| {
        (0, liar.packet(own, |packet| packet.questions[0].qtype = QTYPE::TYPE(TYPE::AAAA)))
    });
    check_ignored("another class", |liar, own| {
        (0, liar.packet(own, |packet| packet.questions[0].qclass = CLASS::CH.into()))
    });
    check_ignored("more records than bytes", |liar, own| {
        let mut packet = liar.packet(own, |_| {});
        packet[6] = 0xff;
        (0, packet)
    });
    for len in 0..12 {
        check_ignored("a stump", |liar, own| (0, liar.packet(own, |_| {})[..len].to_vec()));
    }
}

/// Records that are about something else are not looked at.
#[test]
fn records_of_other_names_do_not_count() {
    let mut world = world(&[Mood::Fine]);
    world.look_up("chat.example");
    while let Some(transmit) = world.resolver.poll_transmit() {
        let packet = world.packet(&transmit, |packet| {
            for record in &mut packet.answers {
                record.name = simple_dns::Name::new_unchecked("other.example");
            }
            packet.additional_records = packet.answers.clone();
        });
        world.hear(transmit.server, &packet);
    }
    let (_, found) = world.found().expect("an end");
    assert!(found.is_err(), "{found:?}");
}

#[test]
fn aliases() {
    let mut world = world(&[Mood::Fine]);
    // The server says all at once.
    world.set("www.example", vec![Record::Alias("web.example")]);
    world.set("web.example", vec![Record::Alias("chat.example")]);
    assert_eq!(world.find("www.example"), FOUND);
    // It does not: what is elsewhere has to be asked for.
    world.set("far.example", vec![Record::Alias("elsewhere.example")]);
    world.look_up("far.example");
    while let Some(transmit) = world.resolver.poll_transmit() {
        let (asked, _) = question(&transmit.packet);
        if *asked.name == *"elsewhere.example" {
            world.address("elsewhere.example", &["192.0.2.9"]);
        }
        let packet = world.packet(&transmit, |_| {});
        world.hear(transmit.server, &packet);
        world.zone.remove("elsewhere.example");
    }
    let (_, found) = world.found().expect("an end");
    assert_eq!(found.expect("found")[0].address.to_string(), "192.0.2.9:5269");
}

#[test]
fn aliases_in_a_circle() {
    let mut world = world(&[Mood::Fine]);
    world.set("a.example", vec![Record::Alias("b.example")]);
    world.set("b.example", vec![Record::Alias("a.example")]);
    assert_eq!(world.find("a.example"), "NoServer");
    // From packet to packet.
    world.look_up("elsewhere0.example");
    let mut packets = 0;
    while let Some(transmit) = world.resolver.poll_transmit() {
        packets += 1;
        let (asked, _) = question(&transmit.packet);
        let alias = Record::Alias("elsewhere1.example");
        world.zone = [(asked.name.to_string(), vec![alias])].into();
        let packet = world.packet(&transmit, |packet| packet.answers.truncate(1));
        world.hear(transmit.server, &packet);
    }
    assert!(matches!(world.found(), Some((_, Err(_)))));
    assert!(packets <= 4 * 9, "{packets}");
}

#[test]
fn answers_are_kept_as_long_as_they_say() {
    let mut world = world(&[Mood::Fine]);
    assert_eq!(world.find("chat.example"), FOUND);
    let asked = world.seen.len();
    world.now.mono_ms += 99_000;
    assert_eq!(world.find("chat.example"), FOUND);
    assert_eq!(world.seen.len(), asked);
    // That there is no service is kept for 100 seconds here, the address for an hour.
    world.now.mono_ms += 1_000;
    world.service("_xmpp-server._tcp.chat.example", &[(0, 0, 7777, "chat.example")]);
    assert_eq!(world.find("chat.example"), "192.0.2.1:7777");
    assert!(world.seen[asked..].iter().all(|seen| !seen.contains(" A ")), "{:?}", world.seen);
    // Who runs the machine may want it all to be looked at again.
    world.resolver.configure("nameserver 192.0.2.1", "");
    let asked = world.seen.len();
    assert_eq!(world.find("chat.example"), "192.0.2.1:7777");
    assert!(world.seen.len() > asked);
}

/// Whatever comes from a name server, the resolver neither panics nor stops.
#[test]
fn packets_that_chance_has_changed() {
    let mut world = world(&[Mood::Fine]);
    let mut chance = Seeded(1);
    world.set("www.example", vec![Record::Alias("chat.example")]);
    world.service("_xmpp-server._tcp.www.example", &[(1, 2, 3, "chat.example"); 3]);
    let mut number = 0;
    while number < 100_000 {
        world.resolver.configure("nameserver 192.0.2.1", "");
        world.look_up("www.example");
        while let Some(transmit) = world.resolver.poll_transmit() {
            let good = world.packet(&transmit, |_| {});
            assert!(Packet::parse(&good).is_ok());
            for _ in 0..50 {
                number += 1;
                let mut packet = good.clone();
                let mut dice = [0; 8];
                chance.fill(&mut dice);
                for pair in dice[..2 * (1 + usize::from(dice[7] % 3))].chunks(2) {
                    // The number is right: all else is looked at.
                    let at = 2 + usize::from(pair[0]) % (packet.len() - 2);
                    packet[at] = pair[1];
                }
                packet.truncate(packet.len() - usize::from(dice[6] % 4 / 3 * dice[5] % 16));
                world.hear(transmit.server, &packet);
            }
            world.hear(transmit.server, &good);
        }
        world.serve();
        assert!(world.found().is_some(), "it comes to an end");
    }
}
