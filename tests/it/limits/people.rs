//! What one user may keep: contacts, addresses that have its presence.

use crate::inproc::InProcess;
use crate::party::{Party, Who, Windows, in_process};

type Local = Party<InProcess<Windows>>;

fn put(party: &mut Local, who: Who, contact: &str) {
    party.send(
        who,
        &format!(
            "<iq type='set' id='{contact}'><query xmlns='jabber:iq:roster'>\
             <item jid='{contact}@localhost'/></query></iq>"
        ),
    );
}

#[test]
fn contacts_in_one_roster() {
    let mut party = in_process("[limits]\nroster_items = 2", &["romeo", "juliet"]);
    let romeo = party.login("romeo");
    for contact in ["a", "b"] {
        put(&mut party, romeo, contact);
        party.receive(romeo, &format!("<iq type='result' id='{contact}'/>"));
    }
    put(&mut party, romeo, "c");
    let refused = "<iq type='error' id='c'><error>\
                   <resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>";
    party.receive(romeo, refused);
    // One that is there may still be changed, and one that goes makes room.
    put(&mut party, romeo, "b");
    party.receive(romeo, "<iq type='result' id='b'/>");
    party.send(
        romeo,
        "<iq type='set' id='r'><query xmlns='jabber:iq:roster'>\
         <item jid='a@localhost' subscription='remove'/></query></iq>",
    );
    party.receive(romeo, "<iq type='result' id='r'/>");
    put(&mut party, romeo, "c");
    party.receive(romeo, "<iq type='result' id='c'/>");
    let juliet = party.login("juliet");
    put(&mut party, juliet, "a");
    party.receive(juliet, "<iq type='result' id='a'/>");
}

#[test]
fn zero_switches_the_limit_of_rosters_off() {
    let mut party = in_process("[limits]\nroster_items = 0", &["romeo"]);
    let romeo = party.login("romeo");
    for n in 0..2_100 {
        put(&mut party, romeo, &format!("contact-{n}"));
    }
    party.receive(romeo, "<iq type='result' id='contact-2099'/>");
}

#[test]
fn addresses_with_directed_presence() {
    let mut party = in_process("[limits]\ndirected_presences = 2", &["romeo", "juliet"]);
    let (romeo, juliet) = (party.login("romeo"), party.login("juliet/balcony"));
    let first = party.guests[juliet].client.full_jid.clone().expect("bound");
    party.send(romeo, &format!("<presence to='{first}'/>"));
    party.send(romeo, "<presence to='juliet@localhost/elsewhere'/>");
    party.receive(juliet, "<presence type='{absent}'/>");
    party.fence(romeo);
    party.take(romeo);
    party.send(romeo, "<presence to='juliet@localhost/third'/>");
    let refused = "<presence type='error'><error>{etc}<policy-violation \
                   xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>";
    party.receive(romeo, refused);
    // Known ones may hear news, and one that is told goodbye makes room.
    party.send(romeo, &format!("<presence to='{first}'><show>away</show></presence>"));
    party.receive(juliet, "<presence><show>away</show></presence>");
    party.send(romeo, "<presence type='unavailable' to='juliet@localhost/elsewhere'/>");
    party.send(romeo, "<presence to='juliet@localhost/third'/>");
    party.fence(romeo);
    assert!(party.take(romeo).is_empty());
    // The target of a directed presence hears of the end.
    party.cut(romeo);
    party.receive(juliet, "<presence type='unavailable'/>");
}
