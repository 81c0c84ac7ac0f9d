//! Secrets: how they are compared, where they are kept, and where they never show.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::client::Client;
use crate::party::{Party, setup_on_disk};
use crate::sasl::{Mechanism, base64};
use crate::socket::Sockets;

/// The body of a function of the source.
fn body_of(file: &str, function: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    let start =
        text.find(&format!("fn {function}(")).unwrap_or_else(|| panic!("{file}: {function}"));
    let rest = &text[start..];
    let indent = rest.find("\n}").min(rest.find("\n    }")).unwrap_or(rest.len());
    let end = rest.find("\n    }\n").into_iter().chain(rest.find("\n}\n")).min();
    rest[..end.unwrap_or(indent)].to_owned()
}

/// Time cannot be asserted; how the comparison is made can.
#[test]
fn advisory_a12_secrets_are_compared_in_constant_time() {
    // The one comparison is ring's.
    assert!(body_of("credentials.rs", "is_same_secret").contains("hmac::verify("));
    // Whoever decides about a secret decides by it.
    let deciders = [
        ("credentials.rs", "verify", "is_same_secret("),
        ("stream/sasl/scram.rs", "is_proof", "is_same_secret("),
        ("muc/join.rs", "check_password", "is_same_secret("),
        ("muc/ids.rs", "decode", "is_same_secret("),
    ];
    for (file, function, comparison) in deciders {
        let body = body_of(file, function);
        assert!(body.contains(comparison), "{file}: {function}: {body}");
        for words in
            ["proof ==", "proof !=", "stored_key ==", "password ==", "password !=", "claimed =="]
        {
            assert!(!body.contains(words), "{file}: {function}: {words}");
        }
    }
}

const PASSWORD: &str = "Unmistakable-Passw0rd";
const WRONG: &str = "Unmistakable-Wr0ng";
const CHANGED: &str = "Unmistakable-Chang3d";
const ROOM_PASSWORD: &str = "Unmistakable-R00m";

/// One request over the control socket.
fn control(data: &Path, request: &str) -> String {
    let mut stream = UnixStream::connect(data.join("control.sock")).expect("the server runs");
    stream.write_all(request.as_bytes()).expect("it reads");
    stream.shutdown(Shutdown::Write).expect("open");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).expect("a reply");
    reply
}

/// The ways in which bytes may show in a log.
fn spellings(bytes: &[u8]) -> Vec<String> {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let list: Vec<String> = bytes.iter().map(u8::to_string).collect();
    vec![base64(bytes), hex.to_uppercase(), hex, list.join(", ")]
}

fn login(party: &mut Party<Sockets>, user: &str, password: &str) {
    for mechanism in [Mechanism::Plain, Mechanism::ScramSha1, Mechanism::ScramSha256] {
        for with_tls in [false, true] {
            let mut identity = party.identity(user);
            identity.password = password.to_owned();
            (identity.mechanism, identity.with_tls) = (mechanism, with_tls);
            let who = party.connect(Client::login(identity)).expect("accepted");
            party.wait_until("a login", |party| party.is_decided(who));
        }
    }
}

/// Everything that is done with passwords, rightly and wrongly.
fn use_passwords(party: &mut Party<Sockets>, data: &Path) {
    let added = control(data, &format!("user add romeo@localhost\n{PASSWORD}\n"));
    assert_eq!(added, "ok added romeo@localhost");
    login(party, "romeo", PASSWORD);
    login(party, "romeo", WRONG);
    login(party, "nobody", WRONG);
    let nonsense = control(data, &format!("user nonsense romeo@localhost\n{PASSWORD}\n"));
    assert!(nonsense.starts_with("error "));
    let who = party.open_stream();
    let register = |name: &str, password: &str| {
        format!(
            "<iq type='set' id='r'><query xmlns='jabber:iq:register'>\
             <username>{name}</username><password>{password}</password></query></iq>"
        )
    };
    party.send(who, &register("juliet", PASSWORD));
    party.receive(who, "<iq type='result' id='r'/>");
    party.send(who, &register("juliet", PASSWORD));
    party.receive(who, "<iq type='error' id='r'/>");
    let mut identity = party.identity("juliet");
    identity.password = PASSWORD.to_owned();
    let juliet = party.connect(Client::login(identity)).expect("accepted");
    party.wait_until("a login", |party| party.is_decided(juliet));
    party.enter(juliet, "room", "juliet");
    let value = format!("<value>{ROOM_PASSWORD}</value>");
    let field = format!("<field var='muc#roomconfig_roomsecret'>{value}</field>");
    party.configure(juliet, "room", &field);
    party.send(juliet, &register("juliet", CHANGED));
    party.end_with(juliet, "not-authorized");
    let changed = control(data, &format!("user passwd juliet@localhost\n{PASSWORD}\n"));
    assert!(changed.starts_with("ok "), "{changed}");
}

/// What must not show: passwords, what clients send of them, keys of accounts and of TLS.
fn secrets_in(data: &Path) -> Vec<String> {
    let mut secrets: Vec<String> =
        [PASSWORD, WRONG, CHANGED, ROOM_PASSWORD].map(str::to_owned).to_vec();
    for (user, password) in [("romeo", PASSWORD), ("romeo", WRONG), ("juliet", PASSWORD)] {
        secrets.extend(spellings(password.as_bytes()));
        secrets.extend(spellings(format!("\0{user}\0{password}").as_bytes()));
    }
    let connection = rusqlite::Connection::open(data.join("tercet.db")).expect("a database");
    let mut keys = connection
        .prepare(
            "SELECT sha1_stored_key FROM account UNION SELECT sha1_server_key FROM account
             UNION SELECT sha256_stored_key FROM account
             UNION SELECT sha256_server_key FROM account UNION SELECT value FROM secret",
        )
        .expect("these tables");
    let keys = keys.query_map([], |row| row.get::<_, Vec<u8>>(0)).expect("an answer");
    let before = secrets.len();
    secrets.extend(keys.flat_map(|key| spellings(&key.expect("a key"))));
    assert!(secrets.len() >= before + 4 * 8, "keys of two accounts");
    let key_file = fs::read_to_string(data.join("key.pem")).expect("a key");
    secrets.extend(key_file.lines().filter(|line| !line.starts_with('-')).map(str::to_owned));
    secrets
}

#[test]
fn advisory_a28_secrets_are_never_logged() {
    let setup = setup_on_disk("log = 'trace'\nregistration.in_band = 'anyone'", &[]);
    let data = setup.config.data.clone();
    let mut party = Party::new(Sockets::new(setup).unwrap_or_else(|why| panic!("{why}")));
    use_passwords(&mut party, &data);
    party.driver.process.terminate();
    assert_eq!(party.driver.process.exit_code(), Ok(0));
    let log = party.driver.process.log();
    assert!(log.contains("login failed") && log.contains("TRACE"), "the log is on: {log}");
    for secret in secrets_in(&data) {
        assert!(!log.contains(&secret), "the log holds {secret}");
    }
    // Nor is a password in any file.
    for entry in fs::read_dir(&data).expect("a folder") {
        let path = entry.expect("an entry").path();
        let Ok(bytes) = fs::read(&path) else { continue };
        for password in [PASSWORD, WRONG, CHANGED] {
            let password = password.as_bytes();
            let holds = bytes.windows(password.len()).any(|window| window == password);
            assert!(!holds, "{} holds a password", path.display());
        }
    }
}

#[test]
fn advisory_a28_nobody_else_reads_the_data() {
    for mode_before in [None, Some(0o755), Some(0o777)] {
        let setup = setup_on_disk("", &["romeo"]);
        let data = setup.config.data.clone();
        match mode_before {
            // Made by the server, with its database.
            None => fs::remove_dir_all(&data).expect("our own"),
            Some(mode) => {
                fs::set_permissions(&data, Permissions::from_mode(mode)).expect("our own");
                for entry in fs::read_dir(&data).expect("a folder") {
                    let path = entry.expect("an entry").path();
                    fs::set_permissions(path, Permissions::from_mode(0o644)).expect("our own");
                }
            }
        }
        let mut party = Party::new(Sockets::new(setup).unwrap_or_else(|why| panic!("{why}")));
        control(&data, "user add juliet@localhost\nsecret\n");
        party.login("juliet");
        let mode =
            |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!(mode(&data), 0o700, "{mode_before:?}");
        let mut names = Vec::new();
        for entry in fs::read_dir(&data).expect("a folder") {
            let path = entry.expect("an entry").path();
            assert_eq!(mode(&path) & 0o077, 0, "{mode_before:?}: {}", path.display());
            names.push(path.file_name().expect("a name").to_string_lossy().into_owned());
        }
        for name in ["tercet.db", "key.pem", "control.sock", "tercet.lock"] {
            assert!(names.iter().any(|found| found == name), "{name}: {names:?}");
        }
    }
}
