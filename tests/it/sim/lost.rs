//! A turn whose commit is lost, with handlers that read what an earlier one of that turn wrote:
//! nobody may see it, for it never was.

use tercet::storage::Fault;
use tercet::xmpp::ns;

use super::{AN_HOUR_MS, OBSERVER, ROOMS, Sim};

const NEWCOMER: usize = 1;
/// Asks for nothing that is stored.
const STRANGER: usize = 2;

#[test]
fn what_a_lost_commit_made_is_seen_by_nobody() -> Result<(), String> {
    let mut sim = Sim::calm(3, true)?;
    sim.begin()?;
    sim.connect(NEWCOMER);
    sim.connect(STRANGER);
    sim.pass_time(1_000)?;
    sim.world.server.storage().inject(Fault::LoseCommit(1));
    // All within one turn.
    let room = ROOMS[0];
    let subject = "<subject>never set</subject>";
    sim.send(OBSERVER, &format!("<message type='groupchat' to='{room}'>{subject}</message>"));
    let id = sim.note_join(NEWCOMER, 0);
    let x = format!("<x xmlns='{}'/>", ns::MUC);
    sim.send(NEWCOMER, &format!("<presence to='{room}/New' id='{id}'>{x}</presence>"));
    let ping = format!("<ping xmlns='{}'/>", ns::PING);
    sim.request(STRANGER, "get", "localhost", &ping, &["result"]);
    sim.settle()?;
    assert_eq!(sim.people[STRANGER].answered.1, "result");
    assert_eq!(sim.oracle.tally.get("streams ended by a lost commit"), Some(&2));
    let person = &sim.people[NEWCOMER];
    let stays = person.past.iter().map(|(_, stay)| stay).chain(person.stays.values());
    assert!(stays.into_iter().all(|stay| stay.subject.is_none()), "it saw the subject");
    sim.check_durable()
}

/// Seed 780: the streams that a lost commit ends left one by one, and the later ones were told of
/// the earlier ones by what they had been in that turn.
#[test]
fn a_lost_grant_shows_no_address() -> Result<(), String> {
    let mut sim = Sim::calm(2, true)?;
    sim.begin()?;
    sim.connect(NEWCOMER);
    sim.pass_time(1_000)?;
    let (room, id) = (ROOMS[1], sim.note_join(NEWCOMER, 1));
    let x = format!("<x xmlns='{}'/>", ns::MUC);
    sim.send(NEWCOMER, &format!("<presence to='{room}/New' id='{id}'>{x}</presence>"));
    sim.settle()?;
    sim.world.server.storage().inject(Fault::LoseCommit(1));
    let item = format!("<item jid='{}' affiliation='admin'/>", sim.people[NEWCOMER].account());
    let query = format!("<query xmlns='{}'>{item}</query>", ns::MUC_ADMIN);
    sim.request(OBSERVER, "set", room, &query, &[]);
    // The oracle looks at every presence.
    sim.settle()?;
    assert_eq!(sim.oracle.tally.get("streams ended by a lost commit"), Some(&2));
    sim.check_durable()
}

/// Seed 656: a stream header that was taken back left an error outside of any stream.
#[test]
fn a_login_survives_the_lost_commit_of_another() -> Result<(), String> {
    let mut sim = Sim::calm(2, true)?;
    sim.begin()?;
    sim.world.server.storage().inject(Fault::LoseCommit(1));
    let subject = "<subject>never set</subject>";
    sim.send(OBSERVER, &format!("<message type='groupchat' to='{}'>{subject}</message>", ROOMS[0]));
    sim.connect(NEWCOMER);
    sim.pass_time(1_000)?;
    assert!(sim.people[OBSERVER].link.is_none() && sim.people[NEWCOMER].is_ready());
    Ok(())
}

/// Seed 143: a message was archived, and then the count of the hour before it (XEP-0502) took the
/// transaction with it. A room does not fail over its counts, and the message was heard all the
/// same.
#[test]
fn a_message_is_lost_with_the_count_of_its_hour() -> Result<(), String> {
    // One of these writes is that of the count.
    for nth in 1..6 {
        let mut sim = Sim::calm(1, true)?;
        sim.begin()?;
        sim.pass_time(AN_HOUR_MS)?;
        sim.world.server.storage().inject(Fault::LoseWrite(nth));
        sim.speak(OBSERVER, 0);
        sim.settle()?;
        sim.check_durable().map_err(|why| format!("write {nth}: {why}"))?;
    }
    Ok(())
}
