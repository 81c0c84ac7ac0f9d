//! What sessions read after stanzas were handled, with the layers above played by a small harness.

mod archive;
mod blocking;
mod delivery;
mod disco;
mod presence;
mod redelivery;
mod roster;
mod subscription;

use std::io::IoSlice;
use std::rc::Rc;

use super::{Im, ROUTES, Request};
use crate::config::Config;
use crate::cx::{Cx, Entropy, Now};
use crate::ids::{SessionId, Target};
use crate::storage::Storage;
use crate::xml::Element;
use crate::xmpp::{
    Condition, IqType, Jid, MessageType, PresenceType, Stanza, StanzaError, StanzaKind, ns,
};

/// Bytes from a seed (xorshift).
struct Seed(u64);

impl Entropy for Seed {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            *byte = self.0 as u8;
        }
    }
}

/// The accounts, and the tools of a handler.
struct World {
    im: Im,
    cx: Cx,
}

fn jid(text: &str) -> Jid {
    Jid::parse(text).expect("a valid address")
}

impl World {
    fn new() -> Self {
        Self::with(Config::default())
    }

    fn with(config: Config) -> Self {
        let now = Now { mono_ms: 1_000, unix_ms: 951_782_400_000 };
        let cx = Cx::new(Rc::new(config), Storage::memory(), Box::new(Seed(42)), now);
        Self { im: Im::new(), cx }
    }

    /// Binds a session.
    fn bind(&mut self, full_jid: &str) -> SessionId {
        let session = self.cx.out.open();
        self.im.bind(&mut self.cx, session, &jid(full_jid)).expect("there is room for a session");
        session
    }

    /// Binds a session, makes it available, and forgets what everybody read of that.
    fn available(&mut self, full_jid: &str, priority: i8) -> SessionId {
        let session = self.bind(full_jid);
        let presence = available(full_jid)
            .with_child(Element::new("priority", ns::CLIENT).with_text(priority.to_string()));
        self.broadcast(session, &presence).expect("valid presence");
        self.forget();
        session
    }

    fn broadcast(&mut self, session: SessionId, presence: &Stanza) -> Result<(), StanzaError> {
        self.im.handle_broadcast(&mut self.cx, session, &mut presence.clone())
    }

    /// Sends presence to somebody, as the router does it.
    fn direct(&mut self, session: SessionId, presence: &Stanza) -> Result<(), StanzaError> {
        self.im.track_directed(&mut self.cx, session, presence)?;
        self.im.deliver(&mut self.cx, Target::Local(session), presence.clone())
    }

    fn deliver(&mut self, stanza: &Stanza) -> Result<(), Condition> {
        let delivered = self.im.deliver(&mut self.cx, Target::Routed, stanza.clone());
        delivered.map_err(|error| error.condition)
    }

    fn end(&mut self, session: SessionId) {
        self.im.handle_session_end(&mut self.cx, session);
        self.cx.out.close(session);
    }

    /// Asks the sender's own account, as the router does it: one handler, rolled back on failure.
    fn ask(
        &mut self,
        session: SessionId,
        from: &str,
        kind: IqType,
        payload: Element,
    ) -> Result<Option<Element>, Condition> {
        let stanza = Stanza::new(StanzaKind::Iq(kind), jid(from), None).with_child(payload);
        let payload = stanza.iq_payload().expect("it was just added");
        let route = ROUTES.iter().find(|r| payload.is(r.name, r.ns) && r.kind == kind);
        let route = route.expect("there is a route");
        self.cx.storage.begin_handler();
        let request = Request {
            origin: Target::Local(session),
            account: stanza.from.to_bare(),
            stanza: &stanza,
            payload,
        };
        let result = (route.handler)(&mut self.im, &mut self.cx, &request);
        if result.is_err() {
            self.cx.storage.roll_back_handler();
        }
        result.map_err(|error| error.condition)
    }

    /// What a session has been sent since the last time.
    fn read(&mut self, session: SessionId) -> String {
        let Some(outbox) = self.cx.out.get_mut(session) else { return String::new() };
        let mut slices = [IoSlice::new(&[]); 64];
        let used = outbox.slices(&mut slices);
        let bytes: Vec<u8> = slices[..used].iter().flat_map(|slice| slice.to_vec()).collect();
        outbox.consume(bytes.len());
        String::from_utf8(bytes).expect("what is sent is UTF-8")
    }

    /// Throws away what all sessions have been sent.
    fn forget(&mut self) {
        while let Some(session) = self.cx.out.poll_dirty() {
            while !self.read(session).is_empty() {}
        }
    }
}

fn available(from: &str) -> Stanza {
    presence(from, PresenceType::Available)
}

fn presence(from: &str, kind: PresenceType) -> Stanza {
    Stanza::new(StanzaKind::Presence(kind), jid(from), None)
}

fn presence_to(from: &str, to: &str, kind: PresenceType) -> Stanza {
    Stanza::new(StanzaKind::Presence(kind), jid(from), Some(jid(to)))
}

fn message(to: &str, kind: MessageType) -> Stanza {
    Stanza::new(StanzaKind::Message(kind), jid("nurse@localhost/house"), Some(jid(to)))
}
