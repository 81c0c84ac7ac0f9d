//! Dialogues with a server that has connected to us: what it sends, and all that it is answered.
//! Keys are verified by whoever writes the test. Each dialogue is held twice: in whole chunks, and
//! byte by byte.

mod dialback;
mod external;
mod headers;
mod limits;
mod management;
mod stanzas;

use std::io::IoSlice;
use std::rc::Rc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use super::super::queues::Verdict;
use crate::certs::trust::Trust;
use crate::config::{Config, Verify};
use crate::cx::{Action, Entropy, Now};
use crate::ids::{ConnId, Door, SessionId};
use crate::peers::Pair;
use crate::server::Server;
use crate::storage::Storage;
use crate::stream::c2s::TlsInfo;
use crate::xmpp::BareJid;

const OPEN: &str = "<stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' \
                    xmlns:stream='http://etherx.jabber.org/streams' from='remote.example' \
                    to='localhost' version='1.0'>";
const STARTTLS: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
const KEY: &str = "<db:result from='remote.example' to='localhost'>key</db:result>";
const KEY_ROOMS: &str =
    "<db:result from='remote.example' to='conference.localhost'>key</db:result>";
const VALID: &str = "<db:result from='localhost' to='remote.example' type='valid'/>";
const AUTH: &str = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>";
const PING: &str = "<iq type='get' id='p' from='juliet@remote.example/x' to='localhost'>\
                    <ping xmlns='urn:xmpp:ping'/></iq>";
const BIDI: &str = "<bidi xmlns='urn:xmpp:bidi'/>";
/// The time of all tests, in the years that their certificates are for.
const UNIX_MS: i64 = 1_795_352_493_120;

struct Counter(u64);

impl Entropy for Counter {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = self.0.to_be_bytes()[0];
        }
    }
}

/// Our server, and those that connect to it.
struct World {
    server: Server,
    now: Now,
    is_bytewise: bool,
    connections: u32,
}

/// A connection of another server.
#[derive(Clone, Copy, PartialEq)]
struct Peer {
    conn: ConnId,
    id: SessionId,
}

/// Holds a dialogue twice.
fn twice(change: impl Fn(&mut Config), dialogue: impl Fn(&mut World)) {
    for is_bytewise in [false, true] {
        dialogue(&mut World::new(&change, is_bytewise));
    }
}

/// Dialback without TLS is enough.
fn plain(config: &mut Config) {
    config.s2s.require_tls = false;
}

fn policy(verify: Verify) -> impl Fn(&mut Config) {
    move |config| config.s2s.verify = verify
}

fn pair(theirs: &str, ours: &str) -> Pair {
    Pair { ours: ours.into(), theirs: theirs.into() }
}

/// The authority, and a certificate by it for these names.
fn certificate(names: &[&str]) -> (String, Vec<u8>) {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let authority = params.self_signed(&key).expect("a certificate").pem();
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let own = CertificateParams::new(names).expect("names");
    let own = own.signed_by(&KeyPair::generate().expect("a key"), &Issuer::new(params, key));
    (authority, own.expect("a certificate").der().to_vec())
}

impl World {
    fn new(change: impl Fn(&mut Config), is_bytewise: bool) -> Self {
        let domain = |text| BareJid::parse(text).expect("a domain");
        let mut config = Config { domains: vec![domain("localhost")], ..Config::default() };
        config.rooms.domains = vec![domain("conference.localhost")];
        let many = (0..100).map(|n| format!("r{n}.example"));
        let few = ["remote.example", "rooms.remote.example", "other.example", "bücher.example"];
        for theirs in few.map(str::to_owned).into_iter().chain(many) {
            // Nobody is there: nobody but the test verifies a key.
            let nowhere = "192.0.2.1:5269".parse().expect("an address");
            config.s2s.hosts.insert(theirs, nowhere);
        }
        change(&mut config);
        let now = Now { mono_ms: 1_000, unix_ms: UNIX_MS };
        let (storage, entropy) = (Storage::memory(), Box::new(Counter(1)));
        let mut server = Server::new(Rc::new(config), storage, entropy, now).expect("a server");
        // One that does not answer.
        server.handle_resolver(now, "nameserver 192.0.2.53\n", "");
        Self { server, now, is_bytewise, connections: 0 }
    }

    /// A server connects.
    fn accept(&mut self) -> Peer {
        self.try_accept(false).expect("not refused")
    }

    fn try_accept(&mut self, direct_tls: bool) -> Option<Peer> {
        self.connections += 1;
        let conn = ConnId { index: self.connections, generation: 1 };
        let address = std::net::Ipv4Addr::LOCALHOST.into();
        let is_taken =
            self.server.handle_accept_link(self.now, conn, Door::Servers, address, direct_tls);
        let id = is_taken.then(|| self.server.links.at(conn).expect("a link"))?;
        Some(Peer { conn, id })
    }

    /// One turn with this input; all that is written to the peer.
    fn turn(&mut self, peer: Peer, input: &str) -> String {
        let chunk_bytes = if self.is_bytewise { 1 } else { input.len().max(1) };
        for chunk in input.as_bytes().chunks(chunk_bytes) {
            self.server.handle_input(self.now, peer.conn, chunk);
        }
        self.finish_turn(peer)
    }

    fn finish_turn(&mut self, peer: Peer) -> String {
        self.server.handle_timeout(self.now);
        self.server.commit(self.now);
        self.server.finish_turn(self.now);
        self.written(peer)
    }

    fn written(&mut self, peer: Peer) -> String {
        let mut written = Vec::new();
        while let Some(outbox) = self.server.outbox(peer.conn).filter(|outbox| !outbox.is_empty()) {
            let mut slices = [IoSlice::new(&[]); 64];
            let used = outbox.slices(&mut slices);
            let bytes: Vec<u8> = slices[..used].iter().flat_map(|slice| slice.to_vec()).collect();
            outbox.consume(bytes.len());
            written.extend(bytes);
        }
        if let Some(outbox) =
            self.server.outbox(peer.conn).filter(|outbox| outbox.starttls_is_due())
        {
            outbox.starttls_done();
        }
        String::from_utf8(written).expect("XML is text")
    }

    /// The handshake is done, with these certificates of the peer.
    fn handshake(&mut self, peer: Peer, chain: &[Vec<u8>]) {
        let tls = TlsInfo { peer_chain: chain.to_vec(), is_tls13: true, ..TlsInfo::default() };
        self.server.handle_tls(self.now, peer.conn, tls);
    }

    /// A stream over TLS whose peer has shown a certificate for these names; its features.
    fn secure(&mut self, names: &[&str]) -> (Peer, String) {
        let (authority, own) = certificate(names);
        self.server.cx.trust = Rc::new(Trust::from_pem(&authority).expect("an authority"));
        let peer = self.accept();
        self.turn(peer, OPEN);
        let written = self.turn(peer, STARTTLS);
        assert_eq!(written, "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
        self.handshake(peer, &[own]);
        let features = self.turn(peer, OPEN);
        (peer, features)
    }

    /// A stream in the clear on which the pair of its header is proved.
    fn proved(&mut self) -> Peer {
        let peer = self.accept();
        self.turn(peer, OPEN);
        assert_eq!(self.turn(peer, KEY), "");
        assert_eq!(self.verified(peer, "remote.example", "localhost", Verdict::Valid), VALID);
        peer
    }

    /// The other side has said what the key is.
    fn verified(&mut self, peer: Peer, theirs: &str, ours: &str, verdict: Verdict) -> String {
        self.server.begin_chain();
        self.server.key_is_verified(peer.id, &pair(theirs, ours), verdict);
        self.server.finish_chain();
        self.finish_turn(peer)
    }

    /// Stanzas that wait for `theirs`: what ours have answered.
    fn answers(&mut self, ours: &str, theirs: &str) -> usize {
        let cx = &mut self.server.cx;
        let queue = cx.peers.queue(&mut cx.out, ours, theirs);
        cx.out.get(queue).map_or(0, |outbox| outbox.stanzas_waiting())
    }

    /// The connections that are to be closed.
    fn closed(&mut self) -> Vec<ConnId> {
        std::iter::from_fn(|| self.server.poll_action())
            .filter_map(|action| match action {
                Action::CloseAfterFlush { conn, .. } | Action::Abort(conn) => Some(conn),
                _ => None,
            })
            .collect()
    }

    #[track_caller]
    fn ends(&mut self, peer: Peer, written: &str, condition: &str) {
        let end = format!("<stream:error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'");
        assert!(written.contains(&end), "{condition}: {written}");
        assert!(written.ends_with("</stream:error></stream:stream>"), "{written}");
        assert!(self.closed().contains(&peer.conn), "not closed");
    }

    fn pass(&mut self, ms: u64) {
        self.now.mono_ms += ms;
        self.now.unix_ms += ms as i64;
    }
}

/// The id in the header of a stream.
fn stream_id(written: &str) -> &str {
    let (_, rest) = written.split_once(" id='").expect("an id");
    rest.split('\'').next().expect("its end")
}

/// An error for a key.
fn refused(from: &str, to: &str, kind: &str, condition: &str) -> String {
    format!(
        "<db:result from='{from}' to='{to}' type='error'><error type='{kind}'><{condition} \
         xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></db:result>"
    )
}
