//! The only folder that knows mio, sockets, TLS records, clocks and signals. [`serve`] binds what
//! the configuration names, makes the core and runs the reactor until the core says that it is
//! done. Everything that is protocol happens in the core (`server/`), which sees bytes and times.

mod certificate;
pub mod clock;
mod connection;
mod control;
mod core;
mod dial;
pub mod entropy;
mod listener;
mod names;
mod notify;
mod reactor;
mod resolver;
mod signals;
mod steps;
#[cfg(test)]
mod tests;
mod tls;
mod transport;
mod verify;

use std::fmt;
use std::path::Path;
use std::rc::Rc;

use mio::{Poll, Token};

use self::clock::Clock;
use self::control::Control;
use self::core::Core;
use self::entropy::SystemEntropy;
use self::listener::Listener;
use self::reactor::{Reactor, Reload, Source};
use self::signals::SignalSource;
use crate::config::Config;
use crate::ids::Door;
use crate::server::Server;
use crate::storage::Storage;

pub use self::control::SOCKET_FILE as CONTROL_SOCKET_FILE;

/// Whether the authorities that `s2s.authorities` names can be read. `Err`: why not.
pub fn check_authorities(file: &Path) -> Result<(), String> {
    names::configured(file).map(|_| ())
}

/// The addresses that are listened on, for people.
#[derive(Debug, Default)]
pub struct Addresses {
    /// Those for clients, with a comma in between.
    pub clients: String,
    /// Those for other servers.
    pub servers: String,
    /// Those for components.
    pub components: String,
}

/// Serves until the shutdown is complete; returns the exit code. `greet` is called once, when
/// clients can connect, with the addresses that they can connect to; `reload` reads the
/// configuration again. `Err`: why the server could not start, in words for the operator.
pub fn serve(
    config: Rc<Config>,
    storage: Storage,
    greet: &dyn Fn(&Addresses),
    reload: Reload,
) -> Result<u8, String> {
    let mut clock = Clock::new();
    let now = clock.begin_turn();
    let identities = certificate::load(&config, now)?;
    let poll = Poll::new().map_err(|error| format!("no event queue: {error}"))?;
    // Both before anybody can connect: a signal is never anything but the ordered end, and whoever
    // finds the server serving finds the control socket too.
    let signals = SignalSource::new(poll.registry(), Source::Signals.token())
        .map_err(|error| format!("signals cannot be caught: {error}"))?;
    let control = Control::bind(&config.data, poll.registry(), Source::Control.token())?;
    let listeners = Listener::bind_all(&config)?;
    let trust = names::authorities(&config)?;
    let server = Server::new(Rc::clone(&config), storage, Box::new(SystemEntropy::new()), now)?;
    let mut reactor = Reactor::new(server, poll, clock, config, identities);
    reactor.core.handle_trust(now, trust);
    names::tell_resolver(&mut reactor.core, now, &reactor.config);
    reactor.control = Some(control);
    reactor.signals = Some(signals);
    let addresses = listen(&mut reactor, listeners)?;
    log::info!("ready: {addresses}");
    greet(&addresses);
    notify::ready();
    reactor.run(reload).map_err(|error| format!("the event queue is broken: {error}"))
}

/// Hands the listeners to the reactor; returns their addresses, for people.
fn listen<C: Core>(
    reactor: &mut Reactor<C>,
    listeners: Vec<Listener>,
) -> Result<Addresses, String> {
    let mut addresses = Addresses::default();
    for (index, mut listener) in listeners.into_iter().enumerate() {
        let watched = listener
            .register(reactor.poll.registry(), Source::Listener(index).token())
            .and_then(|()| listener.address());
        let address = watched.map_err(|error| format!("a listener cannot be watched: {error}"))?;
        let tls = if listener.direct_tls { " (direct TLS)" } else { "" };
        let list = match listener.door {
            Door::Clients => &mut addresses.clients,
            Door::Servers => &mut addresses.servers,
            Door::Components => &mut addresses.components,
        };
        let comma = if list.is_empty() { "" } else { ", " };
        list.push_str(&format!("{comma}{address}{tls}"));
        reactor.listeners.push(Some(listener));
    }
    Ok(addresses)
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lists = [
            ("clients on ", &self.clients),
            ("other servers on ", &self.servers),
            ("components on ", &self.components),
        ];
        let mut comma = "";
        for (whom, list) in lists.iter().filter(|(_, list)| !list.is_empty()) {
            write!(f, "{comma}{whom}{list}")?;
            comma = "; ";
        }
        if comma.is_empty() { f.write_str("nobody connects to us") } else { Ok(()) }
    }
}

/// The token of a client of the control socket.
fn control_token(index: usize) -> Token {
    Source::ControlClient(index).token()
}
