//! Small services by iq, and the table that dispatches and advertises them.
//!
//! What needs to know who is connected is not here but in `im`; service discovery itself is
//! composed by the server from this table and those of its siblings.

mod last;
mod ping;
pub mod register;
mod session;
mod time;
mod version;

use crate::cx::Cx;
use crate::ids::Target;
use crate::xml::Element;
use crate::xmpp::{IqType, Stanza, StanzaError, ns};

/// An iq get or set that is being answered.
pub struct Request<'a> {
    /// Who asks.
    pub origin: Target,
    /// The whole stanza.
    pub stanza: &'a Stanza,
    /// Its one payload element.
    pub payload: &'a Element,
}

/// A handler of [`ROUTES`]: the payload of the result, `None` for an empty result.
pub type Handler = fn(&mut Cx, &Request<'_>) -> Result<Option<Element>, StanzaError>;

/// To which of our addresses a route belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// A domain with accounts.
    Server,
    /// A room domain (the service itself, not its rooms).
    RoomService,
    /// The sender's own account (no `to`, or its own bare address), after `im::ROUTES`.
    Account,
}

/// An iq service: the table that dispatches is the table that advertises.
pub struct Route {
    /// Where it answers.
    pub scopes: &'static [Scope],
    /// Namespace of the payload.
    pub ns: &'static str,
    /// Name of the payload.
    pub name: &'static str,
    /// Get or set.
    pub kind: IqType,
    /// The disco feature (advertised once).
    pub feature: Option<&'static str>,
    /// What answers.
    pub handler: Handler,
}

/// All small services.
pub const ROUTES: &[Route] = &[
    Route {
        scopes: &[Scope::Server, Scope::RoomService, Scope::Account],
        ns: ns::PING,
        name: "ping",
        kind: IqType::Get,
        feature: Some(ns::PING),
        handler: ping::handle,
    },
    Route {
        scopes: &[Scope::Server, Scope::RoomService],
        ns: ns::VERSION,
        name: "query",
        kind: IqType::Get,
        feature: Some(ns::VERSION),
        handler: version::handle,
    },
    // Of accounts: `im::ROUTES`.
    Route {
        scopes: &[Scope::Server, Scope::RoomService],
        ns: ns::LAST,
        name: "query",
        kind: IqType::Get,
        feature: Some(ns::LAST),
        handler: last::handle,
    },
    Route {
        scopes: &[Scope::Server, Scope::RoomService],
        ns: ns::TIME,
        name: "time",
        kind: IqType::Get,
        feature: Some(ns::TIME),
        handler: time::handle,
    },
    // The session of RFC 3921 is a stream feature, not one of disco; clients send it to the
    // domain or to nobody in particular.
    Route {
        scopes: &[Scope::Server, Scope::Account],
        ns: ns::SESSION,
        name: "session",
        kind: IqType::Set,
        feature: None,
        handler: session::handle,
    },
    Route {
        scopes: &[Scope::Server, Scope::Account],
        ns: ns::REGISTER,
        name: "query",
        kind: IqType::Get,
        feature: Some(ns::REGISTER),
        handler: register::handle_get,
    },
    Route {
        scopes: &[Scope::Server, Scope::Account],
        ns: ns::REGISTER,
        name: "query",
        kind: IqType::Set,
        feature: Some(ns::REGISTER),
        handler: register::handle_set,
    },
];

/// The route of a request to an address of this scope.
pub fn route(scope: Scope, kind: IqType, payload: &Element) -> Option<&'static Route> {
    ROUTES.iter().find(|route| {
        route.kind == kind && route.scopes.contains(&scope) && payload.is(route.name, route.ns)
    })
}

/// The features that addresses of this scope have by [`ROUTES`], in its order; a namespace with
/// several routes comes several times.
pub fn features(scope: Scope) -> impl Iterator<Item = &'static str> {
    let routes = ROUTES.iter().filter(move |route| route.scopes.contains(&scope));
    routes.filter_map(|route| route.feature)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::cx::{Entropy, Now};
    use crate::storage::Storage;
    use crate::xmpp::{Jid, StanzaKind};
    use std::rc::Rc;

    /// 1, 2, 3, …: enough of chance for a test.
    struct Counter(u8);

    impl Entropy for Counter {
        fn fill(&mut self, bytes: &mut [u8]) {
            for byte in bytes {
                self.0 = self.0.wrapping_add(1);
                *byte = self.0;
            }
        }
    }

    /// The tools of a handler over an empty database.
    pub(super) fn cx(config: Config) -> Cx {
        let now = Now { mono_ms: 0, unix_ms: 951_782_400_000 };
        Cx::new(Rc::new(config), Storage::memory(), Box::new(Counter(0)), now)
    }

    /// Sends a request from `from` as the server would.
    pub(super) fn ask(
        cx: &mut Cx,
        from: &str,
        to: Option<&str>,
        kind: IqType,
        payload: Element,
    ) -> Result<Option<Element>, StanzaError> {
        let jid = |text| Jid::parse(text).expect("a valid address");
        let scope = if to.is_some() { Scope::Server } else { Scope::Account };
        let route = route(scope, kind, &payload).expect("there is a route");
        let stanza = Stanza::new(StanzaKind::Iq(kind), jid(from), to.map(jid)).with_child(payload);
        let payload = stanza.iq_payload().expect("it was just added");
        (route.handler)(cx, &Request { origin: Target::Routed, stanza: &stanza, payload })
    }

    #[test]
    fn ping_time_and_version() {
        let mut cx = cx(Config::default());
        let mut get = |name: &'static str, ns: &'static str| {
            let payload = Element::new(name, ns);
            ask(&mut cx, "r@localhost/o", Some("localhost"), IqType::Get, payload)
        };
        assert_eq!(get("ping", ns::PING), Ok(None));
        let time = get("time", ns::TIME).ok().flatten().expect("a time");
        assert_eq!(time.child("tzo", ns::TIME).map(Element::text).as_deref(), Some("Z"));
        let utc = time.child("utc", ns::TIME).map(Element::text);
        assert_eq!(utc.as_deref(), Some("2000-02-29T00:00:00Z"));
        let version = get("query", ns::VERSION).ok().flatten().expect("a version");
        let child = |name| version.child(name, ns::VERSION).map(Element::text);
        assert_eq!(child("name").as_deref(), Some("Tercet"));
        assert_eq!(child("version").as_deref(), Some(env!("CARGO_PKG_VERSION")));
        assert_eq!(child("os"), None);
    }

    #[test]
    fn the_legacy_session_is_a_no_op_with_and_without_to() {
        let mut cx = cx(Config::default());
        for to in [None, Some("localhost")] {
            let payload = Element::new("session", ns::SESSION);
            assert_eq!(ask(&mut cx, "r@localhost/o", to, IqType::Set, payload), Ok(None));
        }
    }

    #[test]
    fn routes_by_scope_kind_and_name() {
        let has = |scope, kind, name: &'static str, ns: &'static str| {
            route(scope, kind, &Element::new(name, ns)).is_some()
        };
        assert!(has(Scope::RoomService, IqType::Get, "ping", ns::PING));
        assert!(has(Scope::Account, IqType::Get, "ping", ns::PING));
        assert!(!has(Scope::Server, IqType::Set, "ping", ns::PING));
        assert!(!has(Scope::Server, IqType::Get, "query", ns::PING));
        assert!(!has(Scope::RoomService, IqType::Get, "query", ns::REGISTER));
        let rooms: Vec<_> = features(Scope::RoomService).collect();
        assert_eq!(rooms, [ns::PING, ns::VERSION, ns::LAST, ns::TIME]);
    }
}
