//! HUP: sessions stay, new handshakes show the new certificate, and what is wrong changes nothing.

use std::path::Path;

use rustix::process::Signal;

use crate::party::{Party, setup_on_disk};
use crate::socket::Sockets;

/// Writes a certificate and its key; returns the certificate.
fn write_pair(folder: &Path) -> Vec<u8> {
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a name");
    std::fs::write(folder.join("chain.pem"), pair.cert.pem()).expect("a folder");
    std::fs::write(folder.join("key.pem"), pair.signing_key.serialize_pem()).expect("a folder");
    pair.cert.der().to_vec()
}

#[test]
fn a_new_certificate_for_new_handshakes() {
    let setup = setup_on_disk("", &["romeo", "juliet"]);
    let folder = setup.folder.as_ref().expect("on disk").path().to_owned();
    let mut setup = setup;
    let mut tls = toml::Table::new();
    for (key, file) in [("certificate", "chain.pem"), ("key", "key.pem")] {
        tls.insert(key.to_owned(), folder.join(file).display().to_string().into());
    }
    setup.toml.insert("tls".to_owned(), tls.into());
    let first = write_pair(&folder);
    let mut party = Party::new(Sockets::new(setup).unwrap_or_else(|why| panic!("{why}")));
    party.with_tls = true;
    let romeo = party.join("romeo", "room");
    let shown = |party: &Party<Sockets>, who: usize| {
        party.driver.certificate(party.guests[who].link).expect("a handshake")
    };
    assert_eq!(shown(&party, romeo), first);

    let second = write_pair(&folder);
    assert_ne!(first, second);
    hup(&mut party, "the configuration was read again", 1);
    party.fence(romeo);
    let juliet = party.join("juliet", "room");
    assert_eq!(shown(&party, juliet), second);
    party.receive(romeo, "<presence from='room@conference.localhost/juliet'/>");

    // A key of another certificate: refused, the old pair stays.
    let third = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a name");
    std::fs::write(folder.join("chain.pem"), third.cert.pem()).expect("a folder");
    hup(&mut party, "the old certificate stays in force", 1);
    party.fence(romeo);
    let again = party.join("juliet/again", "room");
    assert_eq!(shown(&party, again), second);

    // No certificate at all.
    std::fs::write(folder.join("chain.pem"), "nonsense").expect("a folder");
    hup(&mut party, "the old certificate stays in force", 2);
    let again = party.join("juliet/third", "room");
    assert_eq!(shown(&party, again), second);

    // No configuration at all.
    std::fs::write(folder.join("tercet.toml"), "domains = 7").expect("a folder");
    hup(&mut party, "the old configuration stays in force", 1);
    party.fence(romeo);
    let again = party.join("juliet/fourth", "room");
    assert_eq!(shown(&party, again), second);
}

#[test]
fn limits_change_without_a_restart() {
    let setup = setup_on_disk("limits.stanza_bytes = 20000", &["romeo"]);
    let file = setup.folder.as_ref().expect("on disk").path().join("tercet.toml");
    let mut party = Party::new(Sockets::new(setup).unwrap_or_else(|why| panic!("{why}")));
    let message = |bytes| {
        let body = "x".repeat(bytes);
        format!("<message to='romeo@localhost' type='headline'><body>{body}</body></message>")
    };
    let old = party.login("romeo/old");
    party.send(old, &message(15_000));
    party.fence(old);
    let text = std::fs::read_to_string(&file).expect("its configuration");
    let changed = text.replace("stanza_bytes = 20000", "stanza_bytes = 12000");
    assert_ne!(text, changed);
    std::fs::write(&file, changed).expect("a folder");
    hup(&mut party, "the configuration was read again", 1);
    let new = party.login("romeo/new");
    party.send(new, &message(15_000));
    party.end_with(new, "policy-violation");
    party.fence(old);
}

fn hup(party: &mut Party<Sockets>, words: &str, times: usize) {
    party.driver.process.signal(Signal::HUP);
    let waited = party.driver.process.wait_for_log(words, times);
    waited.unwrap_or_else(|why| panic!("{why}"));
}
