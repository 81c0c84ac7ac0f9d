//! The configuration as people write it, rightly and wrongly.

use std::path::{Path, PathBuf};

use super::*;

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new("")).map_err(|error| error.to_string())
}

#[test]
fn the_commented_file_has_every_key_with_its_default() {
    let text = include_str!("../../conf/tercet.toml");
    let (_, places) = read::read(text).expect("it is valid");
    assert_eq!(parse(text), Ok(Config::default()));
    let shown = places.keys();
    for key in read::key_names("", &read::template()) {
        assert!(shown.contains(&key.as_str()), "conf/tercet.toml does not show {key}");
    }
    for line in text.lines() {
        assert!(line.chars().count() <= 100, "too long: {line}");
    }
}

#[test]
fn an_empty_file_is_the_default() {
    assert_eq!(parse(""), Ok(Config::default()));
}

#[test]
fn values_arrive() {
    let text = "
        domains = ['Chat.Example', 'b.example']
        data = 'here'
        log = 'warn, tercet::net = debug'
        c2s = { listen = ['0.0.0.0:5222', '0.0.0.0:0', '0.0.0.0:0'], require_tls = false }
        tls.certificate = '/etc/cert.pem'
        tls.key = 'key.pem'
        [rooms.defaults]
        name = 'Room'
        presence_broadcast = ['moderator']
        whois = 'anyone'
        slow_mode_seconds = 86400
        messages_per_minute = 10
        message_bytes = 1000
        [limits]
        room_messages_per_second = 5
        rooms = 0
        outbox_bytes = 0
        [storage]
        synchronous = 'full'
        [admin]
        jids = ['Boss@chat.example']
        ";
    let config = Config::parse(text, Path::new("/etc/tercet")).expect("valid");
    assert_eq!(config.domains[0].as_str(), "chat.example");
    assert_eq!(config.rooms.domains.len(), 1);
    assert_eq!(config.rooms.domains[0].as_str(), "conference.chat.example");
    assert_eq!(config.data, PathBuf::from("/etc/tercet/here"));
    assert_eq!(config.tls.certificate, Some(PathBuf::from("/etc/cert.pem")));
    assert_eq!(config.tls.key, Some(PathBuf::from("/etc/tercet/key.pem")));
    assert_eq!(config.c2s.listen.len(), 3);
    assert!(!config.c2s.require_tls);
    assert_eq!(config.rooms.defaults.name, "Room");
    assert_eq!(config.rooms.defaults.presence_broadcast, [Role::Moderator]);
    assert_eq!(config.rooms.defaults.whois, Whois::Anyone);
    assert_eq!(config.rooms.defaults.history_messages, 20);
    let defaults = &config.rooms.defaults;
    assert_eq!((defaults.slow_mode_seconds, defaults.message_bytes), (86_400, 1000));
    assert_eq!((defaults.messages_per_minute, config.limits.room_messages_per_second), (10, 5));
    assert_eq!((config.limits.rooms, config.limits.connections), (0, 10_000));
    assert_eq!(config.storage.synchronous, Synchronous::Full);
    assert_eq!(config.admin.jids[0].as_str(), "boss@chat.example");
}

#[test]
fn bad_texts_are_refused_with_line_and_key() {
    for (text, want) in [
        // Syntax.
        ("domains = [", ":1: "),
        ("\nlog = 'a'\nlog = 'b'", ":3: duplicate key"),
        // Unknown keys.
        ("\ndomain = []", ":2: domain: unknown key; did you mean domains?"),
        ("[limits]\nroms = 1", ":2: limits.roms: unknown key; did you mean limits.rooms?"),
        (
            "[limits]\nlog = 'info'",
            ":2: limits.log: unknown key; did you mean log, above the first section?",
        ),
        ("require_tls = true", ":1: require_tls: unknown key; did you mean c2s.require_tls?"),
        ("[c2s]\n\nport = 5222", ":3: c2s.port: unknown key"),
        ("[s3s]\nlisten = []", ":1: s3s: unknown key; did you mean s2s?"),
        (
            "[rooms.defaults]\npersistant = true",
            ":2: rooms.defaults.persistant: unknown key; did you mean rooms.defaults.persistent?",
        ),
        // Wrong types.
        ("[limits]\nrooms = 'many'", ":2: limits.rooms: expected a whole number, found a text"),
        (
            "[limits]\nrooms = 1.5",
            ":2: limits.rooms: expected a whole number, found a number with a fraction",
        ),
        ("[limits]\nrooms = -1", ":2: limits.rooms: expected 0 or more, found -1"),
        ("limits = 5", ":1: limits: expected a section, found a whole number"),
        ("log = true", ":1: log: expected a text in quotes, found true or false"),
        ("[c2s]\nrequire_tls = 1", ":2: c2s.require_tls: expected true or false, found"),
        ("domains = 'a'", ":1: domains: expected a list of texts, found a text"),
        ("domains = ['a',\n 5]", ":2: domains[1]: expected a text in quotes, found"),
        ("[limits]\nrooms = 99999999999999999999", ":2: limits.rooms: this number is too large"),
        ("[sasl]\niterations = 4294967296", ":2: sasl.iterations: this number is too large"),
        // Words of a choice.
        (
            "[rooms]\ncreate = 'me'",
            ":2: rooms.create: expected one of `anyone`, `local`, `admins`, found `me`",
        ),
        (
            "[storage]\n#\nsynchronous = 'off'",
            ":3: storage.synchronous: expected `full` or `normal`, found `off`",
        ),
    ] {
        refused(text, want);
    }
}

#[test]
fn bad_values_are_refused_with_line_and_key() {
    for (text, want) in [
        ("domains = []", ":1: domains: expected at least one domain"),
        ("domains = [\n'a',\n'b@c']", ":3: domains: expected a domain such as"),
        ("domains = ['a', 'A']", ":1: domains: a is there twice"),
        ("domains = ['a']\n[rooms]\ndomains = ['a']", ":3: rooms.domains: a is one of domains"),
        ("domains = ['a', 'conference.a']", ":1: domains: conference.a is one of domains"),
        ("data = ''", ":1: data: expected the path"),
        ("log = 'inof'", ":1: log: expected off, error"),
        ("[c2s]\nlisten = ['localhost:5222']", ":2: c2s.listen: expected an IP address"),
        ("[c2s]\nlisten = ['1.1.1.1:1', '1.1.1.1:1']", ":2: c2s.listen: 1.1.1.1:1 is there"),
        ("[c2s]\nlisten_tls = ['127.0.0.1:5222']", ":2: c2s.listen_tls: 127.0.0.1:5222 is"),
        ("[c2s]\nlisten = []", ":2: c2s.listen: expected at least one"),
        ("[tls]\ncertificate = 'x'", ":2: tls.certificate: a certificate needs its key"),
        ("[tls]\nkey = 'x'", ":2: tls.key: a key needs its certificate"),
        ("[sasl]\niterations = 1000", ":2: sasl.iterations: expected a number from 4096"),
        ("[sasl]\nfailure_delay_ms = 60001", ":2: sasl.failure_delay_ms: expected a number"),
        ("[limits]\nstanza_bytes = 9999", ":2: limits.stanza_bytes: expected 10000 or more"),
        ("[limits]\nstanza_bytes = 4200000", ":2: limits.stanza_bytes: an outbox of 4194304"),
        ("[limits]\noutbox_bytes = 262144", ":2: limits.outbox_bytes: an outbox of 262144"),
        ("[limits]\noutbox_bytes_total = 9", ":2: limits.outbox_bytes_total: 9 for all"),
        ("[limits]\nstanza_bytes_unauthenticated = 500000", ":2: limits.stanza_bytes_una"),
        ("[limits]\nidle_seconds = 99999999", ":2: limits.idle_seconds: expected a number"),
        ("[shutdown]\ntotal_ms = 0", ":2: shutdown.total_ms: expected a number from 100"),
        ("[shutdown]\nclients_ms = 20000", ":2: shutdown.clients_ms: 20000 is more"),
        ("[shutdown]\ntotal_ms = 1500", ":2: shutdown.total_ms: 2000 is more"),
        ("[admin]\njids = ['a@b/c']", ":2: admin.jids: expected an account"),
        ("[admin]\njids = ['b']", ":2: admin.jids: expected an account"),
        ("[rooms.defaults]\npresence_broadcast = ['none']", ":2: rooms.defaults.presence_b"),
        ("[rooms.defaults]\npassword = ' '", ":2: rooms.defaults.password: a password of"),
        ("[rooms.defaults]\noccupants_max = 9999", ":2: rooms.defaults.occupants_max: more"),
        (
            "[rooms.defaults]\nslow_mode_seconds = 86401",
            ":2: rooms.defaults.slow_mode_seconds: expected a number from 0 to 86400, found 86401",
        ),
        (
            "[rooms.defaults]\nmessages_per_minute = 60001",
            ":2: rooms.defaults.messages_per_minute: expected a number from 0 to 60000",
        ),
        (
            "[rooms.defaults]\nmessage_bytes = 16777217",
            ":2: rooms.defaults.message_bytes: expected a number from 0 to 16777216",
        ),
        ("[rooms.defaults]\nslow_mode_seconds = -1", ":2: rooms.defaults.slow_mode_seconds: exp"),
        (
            "[limits]\nroom_messages_per_second = 1000001",
            ":2: limits.room_messages_per_second: expected a number from 0 to 1000000",
        ),
    ] {
        refused(text, want);
    }
}

#[track_caller]
fn refused(text: &str, want: &str) {
    let error = Config::parse(text, Path::new("")).err().map(|error| error.to_string());
    let error = error.unwrap_or_else(|| panic!("{text:?} is taken"));
    assert!(error.starts_with(&format!("configuration{want}")), "{text:?} gives {error:?}");
}

#[test]
fn no_value_of_a_secret_is_in_an_error() {
    for text in
        ["[rooms.defaults]\npassword = ['hunter2']", "[rooms.defaults]\npasword = 'hunter2'"]
    {
        let error = parse(text).expect_err("wrong");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn a_missing_file_is_named() {
    let error = Config::load(Path::new("/nowhere/tercet.toml")).expect_err("not there");
    assert!(error.to_string().starts_with("/nowhere/tercet.toml: No such file"), "{error}");
}
