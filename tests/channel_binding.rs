//! SCRAM and login tokens with channel binding against the built server, by a client of our own on
//! rustls: XMPP client libraries in packages do not speak tls-exporter. RFC 5802 §6, RFC 5929 §4,
//! RFC 9266, XEP-0440, XEP-0484. The client shares no code of the mechanisms with the server.

#![forbid(unsafe_code)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};

#[path = "../benches/throughput/scram.rs"]
mod scram;

use scram::{Exchange, Hash, SaltCache, base64_encode};

const HEADER: &str = "<?xml version='1.0'?><stream:stream to='localhost' version='1.0' \
    xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";

/// The built server with one account, `user`, password `password`.
struct Server {
    child: Child,
    address: SocketAddr,
    folder: PathBuf,
}

impl Server {
    fn start(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("channel-binding-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a folder in target/");
        // A port that was free a moment ago.
        let address = TcpListener::bind("127.0.0.5:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port");
        let file = folder.join("tercet.toml");
        let data = folder.join("data");
        let text = format!(
            "data = {data:?}\nlog = \"warn\"\n[c2s]\nlisten = [\"{address}\"]\n\
             [s2s]\nlisten = []\n[sasl]\niterations = 4096\nfailure_delay_ms = 0\n\
             [limits]\nlogin_failures_per_address_per_minute = 0\n"
        );
        std::fs::write(&file, text).expect("the configuration is written");

        let program = env!("CARGO_BIN_EXE_tercet");
        let mut add = Command::new(program)
            .args(["user", "add", "user@localhost", "-c"])
            .arg(&file)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the command line starts");
        let mut stdin = add.stdin.take().expect("a pipe");
        stdin.write_all(b"password\n").expect("the password is read");
        drop(stdin);
        assert!(add.wait().expect("it ends").success(), "user add");

        let mut child = Command::new(program)
            .args(["serve", "-c"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut told = BufReader::new(child.stderr.take().expect("a pipe"));
        let server = Self { child, address, folder };
        // The greeting comes when the server serves; the end of the pipe when it cannot.
        let mut line = String::new();
        while !line.contains(&address.to_string()) {
            line.clear();
            assert_ne!(told.read_line(&mut line).expect("text"), 0, "the server serves");
        }
        std::thread::spawn(move || std::io::copy(&mut told, &mut std::io::sink()));
        server
    }

    fn certificate(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.folder.join("data/certificate.pem"))
            .expect("the certificate of the first start")
    }

    /// Connects, with TLS of this version begun, up to the features.
    fn connect(&self, version: &'static SupportedProtocolVersion) -> Client {
        let mut socket = TcpStream::connect(self.address).expect("connects");
        socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        socket.write_all(HEADER.as_bytes()).expect("writes");
        read_until(&mut socket, &["</stream:features>"]);
        let starttls = b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
        socket.write_all(starttls).expect("writes");
        read_until(&mut socket, &["<proceed"]);
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate()).expect("a certificate that can be a root");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .expect("a version")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").expect("a name");
        let tls = ClientConnection::new(Arc::new(config), name).expect("a client");
        let mut stream = StreamOwned::new(tls, socket);
        stream.write_all(HEADER.as_bytes()).expect("the handshake is done");
        let features = read_until(&mut stream, &["</stream:features>"]);
        Client { stream, features }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Reads until one of the texts came, and a little more perhaps.
fn read_until(stream: &mut impl Read, ends: &[&str]) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    while !ends.iter().any(|end| text.contains(end) && text.ends_with('>')) {
        let count = stream.read(&mut buffer).unwrap_or_else(|error| panic!("{error} after {text}"));
        assert!(count > 0, "the end came after {text}");
        text.push_str(std::str::from_utf8(&buffer[..count]).expect("UTF-8"));
    }
    text
}

struct Client {
    stream: StreamOwned<ClientConnection, TcpStream>,
    features: String,
}

/// What a login came to: bound to both keys, or the failure's condition.
type Outcome = Result<(), String>;

impl Client {
    fn offers(&self, mechanism: &str) -> bool {
        self.features.contains(&format!("<mechanism>{mechanism}</mechanism>"))
    }

    fn exporter(&self) -> Vec<u8> {
        let label = b"EXPORTER-Channel-Binding";
        let output = self.stream.conn.export_keying_material([0; 32], label, Some(b""));
        output.expect("the handshake is done").to_vec()
    }

    fn end_point(&self) -> Vec<u8> {
        let chain = self.stream.conn.peer_certificates().expect("the server's certificate");
        ring::digest::digest(&ring::digest::SHA256, &chain[0]).as_ref().to_vec()
    }

    fn log_in(mut self, mechanism: &str, gs2_header: &str, binding: &[u8]) -> Outcome {
        let hash = if mechanism.contains("SHA-256") { Hash::Sha256 } else { Hash::Sha1 };
        let mut exchange = Exchange::new(hash, "user", "rOprNGfwEbeRWgbNEkqO", gs2_header, binding);
        let first = exchange.first();
        let auth = format!("<auth xmlns='{SASL}' mechanism='{mechanism}'>{first}</auth>");
        self.stream.write_all(auth.as_bytes()).expect("writes");
        let challenge = self.read_answer()?;
        let answer = exchange
            .answer(&challenge, "password", &mut SaltCache::default())
            .expect("a challenge of SCRAM");
        let response = format!("<response xmlns='{SASL}'>{answer}</response>");
        self.stream.write_all(response.as_bytes()).expect("writes");
        let success = self.read_answer()?;
        exchange.check(&success).expect("the server knows the password too");
        Ok(())
    }

    /// The content of a challenge or success, or the condition of a failure.
    fn read_answer(&mut self) -> Result<String, String> {
        let text = read_until(&mut self.stream, &["</challenge>", "</success>", "</failure>"]);
        let inner = text.split_once('>').map_or("", |(_, rest)| rest);
        if text.starts_with("<failure") {
            let name = inner.trim_start_matches('<');
            let end = name.find([' ', '/', '>']).unwrap_or(name.len());
            return Err(name[..end].to_owned());
        }
        Ok(inner.split('<').next().unwrap_or_default().to_owned())
    }
}

const TLS13: &SupportedProtocolVersion = &rustls::version::TLS13;
const TLS12: &SupportedProtocolVersion = &rustls::version::TLS12;

#[test]
fn bound_logins_succeed() {
    let server = Server::start("bound");
    let client = server.connect(TLS13);
    for mechanism in ["SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS"] {
        assert!(client.offers(mechanism), "{mechanism} in {}", client.features);
    }
    for kind in ["tls-exporter", "tls-server-end-point"] {
        // XEP-0440 §3
        assert!(client.features.contains(kind), "{kind} in {}", client.features);
    }
    drop(client);
    for mechanism in ["SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS"] {
        let client = server.connect(TLS13);
        let binding = client.exporter();
        let outcome = client.log_in(mechanism, "p=tls-exporter,,", &binding);
        assert_eq!(outcome, Ok(()), "{mechanism}, tls-exporter");

        let client = server.connect(TLS13);
        let binding = client.end_point();
        let outcome = client.log_in(mechanism, "p=tls-server-end-point,,", &binding);
        assert_eq!(outcome, Ok(()), "{mechanism}, tls-server-end-point");
    }
}

#[test]
fn a_man_in_the_middle_is_noticed() {
    let server = Server::start("middle");
    let refused = Err("not-authorized".to_owned());
    for mechanism in ["SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS"] {
        // The keys of another TLS connection.
        let other = server.connect(TLS13).exporter();
        let outcome = server.connect(TLS13).log_in(mechanism, "p=tls-exporter,,", &other);
        assert_eq!(outcome, refused, "{mechanism}, the exporter of another connection");

        // The hash of another certificate.
        let outcome = server.connect(TLS13).log_in(mechanism, "p=tls-server-end-point,,", &[7; 32]);
        assert_eq!(outcome, refused, "{mechanism}, another certificate");

        // The data of one kind under the name of the other.
        let client = server.connect(TLS13);
        let binding = client.end_point();
        let outcome = client.log_in(mechanism, "p=tls-exporter,,", &binding);
        assert_eq!(outcome, refused, "{mechanism}, the wrong kind of data");

        // No data at all.
        let outcome = server.connect(TLS13).log_in(mechanism, "p=tls-exporter,,", b"");
        assert_eq!(outcome, refused, "{mechanism}, no data");
    }
}

#[test]
fn downgrades_are_noticed() {
    let server = Server::start("downgrade");
    for (plain, plus) in
        [("SCRAM-SHA-1", "SCRAM-SHA-1-PLUS"), ("SCRAM-SHA-256", "SCRAM-SHA-256-PLUS")]
    {
        // "I could, but you did not offer it": it did (RFC 5802 §6).
        let outcome = server.connect(TLS13).log_in(plain, "y,,", b"");
        assert!(outcome.is_err(), "{plain} with y,, though {plus} was offered");

        // A client that knows no channel binding is fine.
        assert_eq!(server.connect(TLS13).log_in(plain, "n,,", b""), Ok(()), "{plain} with n,,");

        // Mechanism and header must agree.
        let client = server.connect(TLS13);
        let binding = client.exporter();
        let outcome = client.log_in(plain, "p=tls-exporter,,", &binding);
        assert!(outcome.is_err(), "{plain} with p=");
        for header in ["n,,", "y,,"] {
            let outcome = server.connect(TLS13).log_in(plus, header, b"");
            assert!(outcome.is_err(), "{plus} with {header}");
        }

        // tls-unique does not exist in TLS 1.3 and was not offered; nor was this one.
        for header in ["p=tls-unique,,", "p=tls-unheard-of,,"] {
            let client = server.connect(TLS13);
            let binding = client.exporter();
            let outcome = client.log_in(plus, header, &binding);
            assert!(outcome.is_err(), "{plus} with {header}");
        }
    }
}

#[test]
fn tls_12_has_no_binding() {
    let server = Server::start("tls12");
    let client = server.connect(TLS12);
    assert!(!client.features.contains("-PLUS"), "{}", client.features);
    assert!(!client.features.contains("sasl-channel-binding"), "{}", client.features);
    let binding = client.end_point();
    let outcome = client.log_in("SCRAM-SHA-1-PLUS", "p=tls-server-end-point,,", &binding);
    assert_eq!(outcome, Err("invalid-mechanism".to_owned()));
    // Nothing was offered, so "y" is the truth.
    assert_eq!(server.connect(TLS12).log_in("SCRAM-SHA-256", "y,,", b""), Ok(()));
}

const SASL2: &str = "urn:xmpp:sasl:2";
const AGENT: &str = "<user-agent id='d4565fa7-4d72-4749-b3d3-740edbf87770'/>";

impl Client {
    /// Asks for a token, by password (XEP-0484 §3.2).
    fn request_token(mut self, mechanism: &str) -> String {
        let initial = base64_encode(b"\0user\0password");
        let request = format!("<request-token xmlns='urn:xmpp:fast:0' mechanism='{mechanism}'/>");
        let answer = self.authenticate("PLAIN", &initial, &request).expect("a success");
        let (_, rest) = answer.split_once(" token='").expect("a token");
        rest.split('\'').next().expect("a value").to_owned()
    }

    /// Logs in by a token; both sides prove that they have it.
    fn log_in_by_token(mut self, mechanism: &str, token: &str, binding: &[u8]) -> Outcome {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, token.as_bytes());
        let hashed = |who: &[u8]| ring::hmac::sign(&key, &[who, binding].concat());
        let message = [b"user\0", hashed(b"Initiator").as_ref()].concat();
        let fast = "<fast xmlns='urn:xmpp:fast:0'/>";
        let answer = self.authenticate(mechanism, &base64_encode(&message), fast)?;
        let want = base64_encode(hashed(b"Responder").as_ref());
        assert!(answer.contains(&format!("<additional-data>{want}</additional-data>")), "{answer}");
        Ok(())
    }

    fn authenticate(
        &mut self,
        mechanism: &str,
        initial: &str,
        inline: &str,
    ) -> Result<String, String> {
        let authenticate = format!(
            "<authenticate xmlns='{SASL2}' mechanism='{mechanism}'>\
             <initial-response>{initial}</initial-response>{AGENT}{inline}</authenticate>"
        );
        self.stream.write_all(authenticate.as_bytes()).expect("writes");
        let text = read_until(&mut self.stream, &["</stream:features>", "</failure>"]);
        let Some(failure) = text.strip_prefix(&format!("<failure xmlns='{SASL2}'><")) else {
            return Ok(text);
        };
        Err(failure.split([' ', '/', '>']).next().unwrap_or_default().to_owned())
    }
}

/// What a client binds its login to.
type BindingOf = fn(&Client) -> Vec<u8>;

#[test]
fn tokens_are_bound_to_their_connection() {
    let server = Server::start("tokens");
    let refused = Err("not-authorized".to_owned());
    let bindings: [(&str, BindingOf); 3] = [
        ("HT-SHA-256-EXPR", Client::exporter),
        ("HT-SHA-256-ENDP", Client::end_point),
        ("HT-SHA-256-NONE", |_| Vec::new()),
    ];
    for (mechanism, binding) in bindings {
        let client = server.connect(TLS13);
        assert!(client.offers(mechanism), "{mechanism} in {}", client.features);
        let token = client.request_token(mechanism);
        let client = server.connect(TLS13);
        let data = binding(&client);
        assert_eq!(client.log_in_by_token(mechanism, &token, &data), Ok(()), "{mechanism}");

        // Whoever stands between has another connection, or another certificate.
        let outcome = server.connect(TLS13).log_in_by_token(mechanism, &token, &[7; 32]);
        assert_eq!(outcome, refused, "{mechanism}, other data");
        // A bound token does not lose its binding (XEP-0484 §3.4).
        for (other, binding) in bindings {
            if other != mechanism {
                let client = server.connect(TLS13);
                let data = binding(&client);
                let outcome = client.log_in_by_token(other, &token, &data);
                assert_eq!(outcome, refused, "{other} with a token for {mechanism}");
            }
        }
    }
    // The keys of another connection of the very same client.
    let token = server.connect(TLS13).request_token("HT-SHA-256-EXPR");
    let other = server.connect(TLS13).exporter();
    let outcome = server.connect(TLS13).log_in_by_token("HT-SHA-256-EXPR", &token, &other);
    assert_eq!(outcome, refused);
}

#[test]
fn tls_12_has_no_bound_tokens() {
    let server = Server::start("tokens12");
    let client = server.connect(TLS12);
    assert!(client.offers("HT-SHA-256-NONE"), "{}", client.features);
    assert!(!client.offers("HT-SHA-256-EXPR") && !client.offers("HT-SHA-256-ENDP"));
    let token = server.connect(TLS13).request_token("HT-SHA-256-ENDP");
    let data = client.end_point();
    let outcome = client.log_in_by_token("HT-SHA-256-ENDP", &token, &data);
    assert_eq!(outcome, Err("invalid-mechanism".to_owned()));
}
