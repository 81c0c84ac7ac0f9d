//! The sockets that clients, servers and components connect to, and when to accept: not while the
//! process has no file descriptors left, and never more than a budget per turn.

use std::io;
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, Socket, Type};

use crate::config::Config;
use crate::ids::Door;

/// Connections that the kernel queues while we do not accept.
const BACKLOG: i32 = 1024;
/// How long accepting pauses when there are no file descriptors left, unless one becomes free.
const PAUSE_MS: u64 = 1000;

/// An address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    address: SocketAddr,
    door: Door,
    direct_tls: bool,
    /// Where the configuration says so.
    key: &'static str,
}

/// The addresses to listen on. A component of another server has none for clients and servers: they
/// connect to that one.
pub fn doors(config: &Config) -> Vec<Wanted> {
    let lists: [(&[SocketAddr], _, _, _); 4] = [
        (&config.c2s.listen, Door::Clients, false, "c2s.listen"),
        (&config.c2s.listen_tls, Door::Clients, true, "c2s.listen_tls"),
        (&config.s2s.listen, Door::Servers, false, "s2s.listen"),
        (&config.s2s.listen_tls, Door::Servers, true, "s2s.listen_tls"),
    ];
    let mut doors = Vec::new();
    for (addresses, door, direct_tls, key) in lists {
        if config.component.is_none() {
            let wanted = |&address| Wanted { address, door, direct_tls, key };
            doors.extend(addresses.iter().map(wanted));
        }
    }
    for component in &config.components {
        let (address, door, key) = (component.listen, Door::Components, "components[].listen");
        let wanted = Wanted { address, door, direct_tls: false, key };
        // Components may share an address.
        if !doors.contains(&wanted) {
            doors.push(wanted);
        }
    }
    doors
}

/// One bound address.
pub struct Listener {
    socket: TcpListener,
    /// Whom it is for.
    pub door: Door,
    /// They begin with TLS (XEP-0368).
    pub direct_tls: bool,
    /// Sticky: set by an edge, cleared by `WouldBlock`.
    pub is_ready: bool,
}

/// What an accept brought.
pub enum Accepted {
    /// A connection.
    Peer(TcpStream, SocketAddr),
    /// The queue is empty: wait for an edge.
    Nobody,
    /// One that was gone before it was accepted: the next one, please.
    Gone,
    /// No file descriptors are left, or something as bad.
    Exhausted(io::Error),
}

impl Listener {
    /// Binds all configured addresses. `Err` names the one that cannot be bound, and what to do.
    pub fn bind_all(config: &Config) -> Result<Vec<Self>, String> {
        let mut listeners = Vec::new();
        let mut missing = Vec::new();
        for wanted in doors(config) {
            let Wanted { address, door, direct_tls, .. } = wanted;
            match bind(address) {
                Ok(socket) => listeners.push(Self { socket, door, direct_tls, is_ready: false }),
                Err(error) if is_no_ipv6(address, &error) => missing.push((wanted, error)),
                Err(error) => return Err(complaint(wanted, &error)),
            }
        }
        if listeners.is_empty() && config.component.is_none() {
            return Err(match missing.first() {
                Some((wanted, error)) => complaint(*wanted, error),
                None => "there is nothing to listen on: set c2s.listen".to_owned(),
            });
        }
        for (Wanted { address, .. }, error) in missing {
            log::warn!("not listening on {address}: this machine has no IPv6 ({error})");
        }
        Ok(listeners)
    }

    /// Watches the socket from now on.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.socket, token, Interest::READABLE)
    }

    /// The bound address, with the port that the system chose when it was given as 0.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Accepts one connection.
    pub fn accept(&mut self) -> Accepted {
        match self.socket.accept() {
            Ok((stream, address)) => Accepted::Peer(stream, address),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.is_ready = false;
                Accepted::Nobody
            }
            Err(error) if is_exhaustion(&error) => Accepted::Exhausted(error),
            Err(_) => Accepted::Gone,
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

/// The machine has no IPv6 at all.
fn is_no_ipv6(address: SocketAddr, error: &io::Error) -> bool {
    use rustix::io::Errno;
    let code = error.raw_os_error();
    let codes = [Errno::ADDRNOTAVAIL, Errno::AFNOSUPPORT].map(Errno::raw_os_error);
    address.ip() == std::net::Ipv6Addr::LOCALHOST && code.is_some_and(|code| codes.contains(&code))
}

/// No file descriptors, no memory, or an error that accept(2) does not know. The others are about
/// one peer that is gone, or whose network is ("Error handling" there).
pub fn is_exhaustion(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    !matches!(
        error.kind(),
        Kind::ConnectionAborted
            | Kind::ConnectionReset
            | Kind::Interrupted
            | Kind::PermissionDenied
            | Kind::HostUnreachable
            | Kind::NetworkUnreachable
            | Kind::NetworkDown
    )
}

fn complaint(Wanted { address, key, .. }: Wanted, error: &io::Error) -> String {
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => "another program listens there: stop it, or change",
        io::ErrorKind::PermissionDenied => "not allowed: use a port above 1023 in",
        io::ErrorKind::AddrNotAvailable => "not an address of this machine: change",
        _ => "see",
    };
    format!("cannot listen on {address} ({error}): {advice} {key}")
}

/// Whether to accept. Apart from the sockets, so that it can be tested without exhausting them.
#[derive(Debug, Default)]
pub struct Gate {
    /// Accepting pauses until then.
    closed_until_ms: Option<u64>,
    /// It was said in the log that it pauses; until the queue has been empty once.
    is_told: bool,
}

impl Gate {
    /// True when accepting is fine at `now_ms`.
    pub fn is_open(&self, now_ms: u64) -> bool {
        self.closed_until_ms.is_none_or(|until| until <= now_ms)
    }

    /// When to try again; `None` when nothing is paused.
    pub fn next_due_ms(&self) -> Option<u64> {
        self.closed_until_ms
    }

    /// There were no file descriptors: pause. True when that is to be said in the log.
    pub fn handle_exhaustion(&mut self, now_ms: u64) -> bool {
        self.closed_until_ms = Some(now_ms + PAUSE_MS);
        !std::mem::replace(&mut self.is_told, true)
    }

    /// A connection was closed: try again.
    pub fn handle_freed(&mut self) {
        self.closed_until_ms = None;
    }

    /// The time of the pause may be over.
    pub fn handle_timeout(&mut self, now_ms: u64) {
        if self.is_open(now_ms) {
            self.closed_until_ms = None;
        }
    }

    /// Everybody who waited was accepted.
    pub fn handle_empty(&mut self) {
        self.is_told = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Attached, Component, S2s};
    use crate::xmpp::BareJid;

    #[test]
    fn exhaustion_pauses_and_is_told_once() {
        let mut gate = Gate::default();
        assert!(gate.is_open(0));
        assert!(gate.handle_exhaustion(100), "told the first time");
        assert!(!gate.is_open(100));
        assert!(!gate.is_open(1099));
        assert_eq!(gate.next_due_ms(), Some(1100));
        gate.handle_timeout(1099);
        assert!(!gate.is_open(1099));
        gate.handle_timeout(1100);
        assert!(gate.is_open(1100));
        assert_eq!(gate.next_due_ms(), None);
        assert!(!gate.handle_exhaustion(1100), "the same pause, not told again");
        gate.handle_freed();
        assert!(gate.is_open(1101));
        gate.handle_empty();
        assert!(gate.handle_exhaustion(2000), "a new pause");
    }

    #[test]
    fn what_is_exhaustion() {
        use rustix::io::Errno;
        for (errno, want) in [
            (Errno::MFILE, true),
            (Errno::NFILE, true),
            (Errno::NOMEM, true),
            (Errno::INVAL, true),
            (Errno::CONNABORTED, false),
            (Errno::INTR, false),
        ] {
            assert_eq!(is_exhaustion(&io::Error::from_raw_os_error(errno.raw_os_error())), want);
        }
    }

    #[test]
    fn an_address_in_use_is_named() {
        let first = bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
        let mut config = Config::default();
        config.c2s.listen = vec![first.local_addr().expect("bound")];
        let Err(error) = Listener::bind_all(&config) else { panic!("bound twice") };
        assert!(error.contains(&config.c2s.listen[0].to_string()), "{error}");
        assert!(error.ends_with("change c2s.listen"), "{error}");
        config.s2s.listen_tls = std::mem::take(&mut config.c2s.listen);
        let Err(error) = Listener::bind_all(&config) else { panic!("bound twice") };
        assert!(error.ends_with("change s2s.listen_tls"), "{error}");
        config.s2s = S2s { listen: Vec::new(), ..S2s::default() };
        let Err(error) = Listener::bind_all(&config) else { panic!("nothing to bind") };
        assert!(error.ends_with("set c2s.listen"), "{error}");
    }

    #[test]
    fn whom_the_doors_are_for() {
        let component = |domain, listen: &str| Attached {
            domain: BareJid::parse(domain).expect("a domain"),
            secret: "known to both".to_owned(),
            listen: listen.parse().expect("an address"),
        };
        let components = vec![
            component("irc.localhost", "127.0.0.1:5347"),
            component("sms.localhost", "127.0.0.1:5347"),
            component("bot.localhost", "127.0.0.1:5348"),
        ];
        let mut config = Config { components, ..Config::default() };
        let keys = |config: &Config| doors(config).iter().map(|own| own.key).collect::<Vec<_>>();
        let shared = "components[].listen";
        assert_eq!(keys(&config), ["c2s.listen", "c2s.listen", "s2s.listen", shared, shared]);
        config.component = Some(Component {
            server: "127.0.0.1:5347".to_owned(),
            domain: BareJid::parse("rooms.localhost").expect("a domain"),
            secret: "known to both".to_owned(),
        });
        config.components.clear();
        assert_eq!(keys(&config), [""; 0]);
        assert!(Listener::bind_all(&config).is_ok_and(|listeners| listeners.is_empty()));
    }
}
