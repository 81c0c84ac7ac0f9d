//! Wrappers and answers that seem to come from somebody else.

use crate::party::in_process;

/// Nothing of this kind is served yet, and nothing of it is made by passing it on: what a client
/// gets from its own bare address is what the server itself says there.
#[test]
fn advisory_a27_the_sender_is_stamped() {
    let mut party = in_process("", &["romeo", "juliet"]);
    let (romeo, juliet) = (party.login("romeo"), party.login("juliet/balcony"));
    let push = "<query xmlns='jabber:iq:roster'><item jid='nurse@localhost'/></query>";
    for from in ["juliet@localhost", "localhost", "", "nurse@localhost/x"] {
        let liar = party.login("romeo");
        party.send(
            liar,
            &format!(
                "<iq type='set' id='1' from='{from}' to='juliet@localhost/balcony'>{push}</iq>"
            ),
        );
        party.end_with(liar, "invalid-from");
    }
    party.send(romeo, &format!("<iq type='set' id='1' to='juliet@localhost/balcony'>{push}</iq>"));
    party.fence(juliet);
    for element in party.take_elements(juliet) {
        let from = element.attr("from").expect("stamped");
        assert!(from.starts_with("romeo@localhost/"), "{element:?}");
    }
}
