//! The only folder that knows mio, sockets, TLS records, clocks and signals. [`serve`] binds what
//! the configuration names, makes the core and runs the reactor until the core says that it is
//! done. Everything that is protocol happens in the core (`server/`), which sees bytes and times.

mod certificate;
pub mod clock;
mod connection;
mod control;
mod core;
pub mod entropy;
mod listener;
mod notify;
mod reactor;
mod signals;
mod steps;
#[cfg(test)]
mod tests;
mod tls;
mod transport;

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
use crate::server::Server;
use crate::storage::Storage;

pub use self::control::SOCKET_FILE as CONTROL_SOCKET_FILE;

/// Serves until the shutdown is complete; returns the exit code. `greet` is called once, when
/// clients can connect, with the addresses that they can connect to; `reload` reads the
/// configuration again. `Err`: why the server could not start, in words for the operator.
pub fn serve(
    config: Rc<Config>,
    storage: Storage,
    greet: &dyn Fn(&str),
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
    let server = Server::new(Rc::clone(&config), storage, Box::new(SystemEntropy::new()), now)?;
    let mut reactor = Reactor::new(server, poll, clock, config, identities);
    reactor.control = Some(control);
    reactor.signals = Some(signals);
    let addresses = listen(&mut reactor, listeners)?;
    log::info!("ready: clients on {addresses}");
    greet(&addresses);
    notify::ready();
    reactor.run(reload).map_err(|error| format!("the event queue is broken: {error}"))
}

/// Hands the listeners to the reactor; returns their addresses, for people.
fn listen<C: Core>(reactor: &mut Reactor<C>, listeners: Vec<Listener>) -> Result<String, String> {
    let mut addresses = Vec::new();
    for (index, mut listener) in listeners.into_iter().enumerate() {
        let watched = listener
            .register(reactor.poll.registry(), Source::Listener(index).token())
            .and_then(|()| listener.address());
        let address = watched.map_err(|error| format!("a listener cannot be watched: {error}"))?;
        let tls = if listener.direct_tls { " (direct TLS)" } else { "" };
        addresses.push(format!("{address}{tls}"));
        reactor.listeners.push(listener);
    }
    Ok(addresses.join(", "))
}

/// The token of a client of the control socket.
fn control_token(index: usize) -> Token {
    Source::ControlClient(index).token()
}
