//! The state machine of a client stream, driven element by element over a real outbox.

use std::io::IoSlice;
use std::rc::Rc;

use super::*;
use crate::config::Config;
use crate::credentials::{Credentials, ScramHash};
use crate::cx::{Entropy, Now};
use crate::storage::{Storage, StorageError};
use crate::stream::tests::{Client, Dice};
use crate::xmpp::base64;

mod login;
mod order;
mod sasl2;
mod tokens;

const EXPORTED: &[u8] = b"exported keying material";
const REGISTER: &str = "register xmlns='http://jabber.org/features/iq-register'";

struct Seeded(Dice);

impl Entropy for Seeded {
    fn fill(&mut self, bytes: &mut [u8]) {
        bytes.fill_with(|| self.0.roll(256) as u8);
    }
}

/// The accounts of these tests: alice has a password, carol changes hers every millisecond, the
/// record of broken cannot be read, nobody else exists.
fn accounts(cx: &mut Cx, account: &BareJid) -> Result<Option<Credentials>, StorageError> {
    let derive = |seed| {
        let seeded = &mut Seeded(Dice(seed));
        Ok(Some(Credentials::derive("pencil", 16, seeded).expect("a good password")))
    };
    match account.as_str() {
        "alice@localhost" => derive(7),
        "carol@localhost" => derive(cx.now.mono_ms),
        "broken@localhost" => Err(StorageError::Failed),
        _ => Ok(None),
    }
}

fn config() -> Config {
    let domain = |text: &str| BareJid::parse(text).unwrap();
    let domains = vec![domain("localhost"), domain("example.org")];
    let mut config = Config { domains, ..Config::default() };
    config.sasl.iterations = 16;
    config
}

fn tls13() -> TlsInfo {
    TlsInfo {
        exporter: Some(EXPORTED.to_vec()),
        end_point: Some(b"hash".to_vec()),
        is_tls13: true,
        ..TlsInfo::default()
    }
}

fn header(to: Option<&str>) -> StreamHeader {
    StreamHeader {
        ns: ns::STREAMS.to_owned(),
        name: "stream".to_owned(),
        content_ns: ns::CLIENT.to_owned(),
        to: to.map(str::to_owned),
        version: Some("1.0".to_owned()),
        ..StreamHeader::default()
    }
}

fn sasl(name: &'static str, text: &str) -> Element {
    Element::new(name, ns::SASL).with_text(text)
}

fn auth(mechanism: &str, message: &str) -> Element {
    let text = if message.is_empty() { String::new() } else { base64::encode(message.as_bytes()) };
    sasl("auth", &text).with_attr("mechanism", mechanism)
}

fn response(message: &str) -> Element {
    sasl("response", &base64::encode(message.as_bytes()))
}

fn iq(kind: &str, payload: Element) -> Element {
    Element::new("iq", ns::CLIENT).with_attr("type", kind).with_attr("id", "i1").with_child(payload)
}

fn bind(resource: Option<&str>) -> Element {
    let resource = resource.map(|r| Element::new("resource", ns::BIND).with_text(r));
    iq("set", Element::new("bind", ns::BIND).with_child_opt(resource))
}

fn starttls() -> Element {
    Element::new("starttls", ns::TLS)
}

/// A connection, seen from the server.
struct Peer {
    cx: Cx,
    session: SessionId,
    negotiation: Negotiation,
}

impl Peer {
    fn new(config: Config, is_loopback: bool, tls: Option<TlsInfo>) -> Self {
        let entropy = Box::new(Seeded(Dice(42)));
        let mut cx = Cx::new(Rc::new(config), Storage::memory(), entropy, Now::default());
        cx.now.mono_ms = 1;
        cx.caps_ver = Rc::from("ver=");
        let session = cx.out.open();
        let mut negotiation = Negotiation::new(is_loopback, tls);
        negotiation.stage = Stage::Login(Box::new(Login::new(accounts)));
        Self { cx, session, negotiation }
    }

    /// Over TLS 1.3, with the header exchanged.
    fn secure() -> Self {
        let mut peer = Self::new(config(), false, Some(tls13()));
        peer.open(Some("localhost")).unwrap();
        peer.output();
        peer
    }

    /// Logged in, with the new header exchanged.
    fn logged_in() -> Self {
        let mut peer = Self::secure();
        peer.send(auth("PLAIN", "\0alice\0pencil")).unwrap();
        let step = peer.negotiation.check_password(&mut peer.cx, peer.session);
        assert!(matches!(step, Ok(Step::Authenticated)));
        peer.open(Some("localhost")).unwrap();
        peer.output();
        peer
    }

    fn open(&mut self, to: Option<&str>) -> Result<(), StreamCondition> {
        self.open_with(&header(to))
    }

    fn open_with(&mut self, header: &StreamHeader) -> Result<(), StreamCondition> {
        self.negotiation
            .handle_open(&mut self.cx, self.session, header)
            .map_err(|error| error.condition)
    }

    fn send(&mut self, element: Element) -> Result<Step, StreamCondition> {
        self.negotiation
            .handle_element(&mut self.cx, self.session, element)
            .map_err(|error| error.condition)
    }

    fn check_password(&mut self) -> Result<Step, StreamCondition> {
        self.negotiation.check_password(&mut self.cx, self.session).map_err(|error| error.condition)
    }

    fn send_failure(&mut self) -> Result<String, StreamCondition> {
        let sent = self.negotiation.send_failure(&mut self.cx, self.session);
        sent.map(|()| self.output()).map_err(|error| error.condition)
    }

    /// What was queued since the last call.
    fn output(&mut self) -> String {
        let outbox = self.cx.out.get_mut(self.session).expect("a session");
        let mut slices = [IoSlice::new(&[]); 16];
        let used = outbox.slices(&mut slices);
        let bytes: Vec<u8> = slices[..used].iter().flat_map(|s| s.to_vec()).collect();
        outbox.consume(bytes.len());
        String::from_utf8(bytes).expect("UTF-8")
    }

    /// Sends the first message and returns the server's.
    fn challenge(&mut self, mechanism: &str, message: &str) -> String {
        assert!(matches!(self.send(auth(mechanism, message)), Ok(Step::Continue)));
        let output = self.output();
        let text = output
            .strip_prefix("<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>")
            .and_then(|rest| rest.strip_suffix("</challenge>"))
            .unwrap_or_else(|| panic!("no challenge: {output}"));
        String::from_utf8(base64::decode(text).unwrap()).unwrap()
    }

    /// Sends no first message and returns what asks for it.
    fn challenge_empty(&mut self, mechanism: &str) -> String {
        assert!(matches!(self.send(auth(mechanism, "")), Ok(Step::Continue)));
        self.output()
    }

    /// A whole SCRAM login; the step that the last message leads to.
    fn scram(&mut self, mechanism: &str, client: &Client) -> Result<Step, StreamCondition> {
        let server_first = self.challenge(mechanism, &client.first());
        let (last, verifier) = client.last(&server_first);
        let step = self.send(response(&last));
        if let Ok(Step::Authenticated) = step {
            let output = self.output();
            assert!(output.contains(&base64::encode(verifier.as_bytes())), "{output}");
            assert!(output.starts_with("<success "), "{output}");
        }
        step
    }
}

fn failure(condition: &str) -> String {
    format!("<failure xmlns='{}'><{condition}/></failure>", ns::SASL)
}
