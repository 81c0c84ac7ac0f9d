//! What one stanza may be.

use crate::party::{HEADER, in_process};

/// A message to oneself of exactly `bytes` bytes.
fn message(bytes: usize) -> String {
    let frame = "<message to='romeo@localhost'><body></body></message>".len();
    let body = "x".repeat(bytes - frame);
    format!("<message to='romeo@localhost'><body>{body}</body></message>")
}

#[test]
fn a_huge_stanza_before_login() {
    let toml = "[limits]\nstanza_bytes_unauthenticated = 10240";
    let mut party = in_process(toml, &[]);
    let who = party.open_stream();
    party.send(who, &format!("<iq type='get' id='1'>{}", "<a/>".repeat(2_000)));
    party.settle();
    assert!(!party.has_ended(who), "8 KB are fine");
    party.send(who, &" ".repeat(2_300));
    party.end_with(who, "policy-violation");
}

#[test]
fn a_header_counts_as_well() {
    let mut party = in_process("[limits]\nstanza_bytes_unauthenticated = 10240", &[]);
    for endless in ["<stream:stream ".to_owned() + &"a".repeat(11_000), "x".repeat(11_000)] {
        let who = party.open();
        party.send(who, &endless);
        let end = party.end(who);
        assert!(!end.is_empty(), "a stream error at least");
    }
    party.check_residue();
}

#[test]
fn white_space_between_stanzas_does_not_count() {
    let mut party = in_process("[limits]\nstanza_bytes_unauthenticated = 10240", &["romeo"]);
    let who = party.open_stream();
    party.send(who, &" \n".repeat(50_000));
    party.settle();
    assert!(!party.has_ended(who));
    let romeo = party.login("romeo");
    party.send(romeo, &" \n".repeat(500_000));
    party.fence(romeo);
}

#[test]
fn a_huge_stanza_after_login() {
    let mut party = in_process("[limits]\nstanza_bytes = 20000", &["romeo", "juliet"]);
    let (romeo, juliet) = (party.login("romeo"), party.login("juliet"));
    party.send(romeo, "<presence/>");
    party.send(romeo, &message(20_000));
    party.receive(romeo, "<message><body/></message>");
    party.send(romeo, &message(20_001));
    party.end_with(romeo, "policy-violation");
    // One that never ends is not waited for.
    let again = party.login("romeo");
    party.send(again, &message(40_000)[..30_000]);
    party.end_with(again, "policy-violation");
    party.fence(juliet);
    party.check_residue();
}

#[test]
fn deep_xml() {
    let mut party = in_process("[limits]\nstanza_depth = 64", &["romeo"]);
    let deep = |depth: usize| {
        let (open, close) = ("<a xmlns='urn:x'>".repeat(depth - 1), "</a>".repeat(depth - 1));
        format!("<message to='romeo@localhost'>{open}{close}</message>")
    };
    let romeo = party.login("romeo");
    party.send(romeo, "<presence/>");
    party.send(romeo, &deep(64));
    party.receive(romeo, "<message from='{any}'/>");
    party.send(romeo, &deep(65));
    party.end_with(romeo, "policy-violation");
    let stranger = party.open_stream();
    party.send(stranger, &"<a>".repeat(100));
    party.end_with(stranger, "policy-violation");
}

#[test]
fn many_attributes() {
    let mut party = in_process("[limits]\nelement_attributes = 64", &["romeo"]);
    let wide = |count: usize| {
        let attributes: String = (0..count).map(|n| format!(" a{n}=''")).collect();
        format!("<message to='romeo@localhost'><x xmlns='urn:x'{attributes}/></message>")
    };
    let romeo = party.login("romeo");
    party.send(romeo, "<presence/>");
    party.send(romeo, &wide(60));
    party.receive(romeo, "<message from='{any}'/>");
    party.send(romeo, &wide(65));
    party.end_with(romeo, "policy-violation");
    let stranger = party.open();
    let attributes: String = (0..100).map(|n| format!(" a{n}=''")).collect();
    party.send(stranger, &HEADER.replace('>', &format!("{attributes}>")));
    party.end_with(stranger, "policy-violation");
}

#[test]
fn many_namespaces() {
    let mut party = in_process("[limits]\nelement_attributes = 64", &["romeo"]);
    let romeo = party.login("romeo");
    let declarations: String = (0..100).map(|n| format!(" xmlns:a{n}='urn:x'")).collect();
    party.send(romeo, &format!("<message><x xmlns='urn:x'{declarations}/></message>"));
    party.end_with(romeo, "policy-violation");
}

#[test]
fn many_nodes() {
    let mut party = in_process("[limits]\nstanza_nodes = 1000", &["romeo"]);
    let full = |count: usize| {
        format!("<message to='romeo@localhost'>{}</message>", "<a xmlns='urn:x'/>".repeat(count))
    };
    let romeo = party.login("romeo");
    party.send(romeo, "<presence/>");
    party.send(romeo, &full(300));
    party.receive(romeo, "<message from='{any}'/>");
    party.send(romeo, &full(1_001));
    party.end_with(romeo, "policy-violation");
}

#[test]
fn zero_switches_the_limits_of_stanzas_off() {
    let toml = "[limits]\nstanza_bytes = 0\nstanza_nodes = 0\nstanza_depth = 0\n\
                element_attributes = 0";
    let mut party = in_process(toml, &["romeo"]);
    let romeo = party.login("romeo");
    party.send(romeo, "<presence/>");
    party.send(romeo, &message(1_000_000));
    party.receive(romeo, "<message><body/></message>");
    let attributes: String = (0..200).map(|n| format!(" a{n}=''")).collect();
    let wide = format!("<x xmlns='urn:x'{attributes}/>");
    let many = "<y xmlns='urn:y'/>".repeat(9_000);
    party.send(romeo, &format!("<message to='romeo@localhost'>{wide}{many}</message>"));
    party.receive(romeo, "<message from='{any}'/>");
    party.fence(romeo);
}
