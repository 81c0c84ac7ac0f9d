//! `tercet [serve]`: what must be there before the loop runs. Configuration, log, descriptors, the
//! data folder and its lock, the database; then `net::serve` has it until the end.

use std::rc::Rc;

use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};

use super::args::Files;
use super::logging::Logging;
use crate::config::{Config, InBand, RoomCreators};
use crate::net::Addresses;
use crate::storage::{DataFolder, Storage};

/// Descriptors beside those of connections: database, log, listeners, control socket.
const SPARE_DESCRIPTORS: u64 = 32;

/// Serves until TERM or INT; returns the exit code.
pub(super) fn run(files: &Files) -> Result<u8, String> {
    let config = super::load(files)?;
    let logging = Logging::install(&config.log)?;
    // Whatever is made from here on is for the owner alone.
    umask(Mode::RWXG | Mode::RWXO);
    raise_descriptors(config.limits.connections);
    let folder = DataFolder::hold(&config.data).map_err(|error| error.to_string())?;
    let storage = Storage::open(folder.path(), config.storage.synchronous)?;
    warn_cleartext(&config);
    let config = Rc::new(config);
    let greet = {
        let (files, config) = (files.clone(), Rc::clone(&config));
        move |addresses: &Addresses| {
            super::say(&greeting(env!("CARGO_PKG_VERSION"), &config, addresses, &files));
        }
    };
    let mut reload = {
        let (files, started) = (files.clone(), Rc::clone(&config));
        move || reload(&files, &started, &logging).map(Rc::new)
    };
    crate::net::serve(config, storage, &greet, &mut reload)
}

/// Reads the configuration again. What cannot change while running keeps its value.
fn reload(files: &Files, started: &Config, logging: &Logging) -> Result<Config, String> {
    let mut config = super::load(files)?;
    if config.data != started.data {
        log::warn!("data takes effect at the next start");
        config.data.clone_from(&started.data);
    }
    if config.storage != started.storage {
        log::warn!("storage.synchronous takes effect at the next start");
        config.storage = started.storage.clone();
    }
    logging.set_filter(&config.log);
    warn_cleartext(&config);
    Ok(config)
}

fn warn_cleartext(config: &Config) {
    if !config.c2s.require_tls {
        log::warn!("c2s.require_tls is false: passwords may cross the network in the clear");
    }
}

/// Raises the limit of open descriptors as far as the system allows: each connection takes one.
fn raise_descriptors(connections_max: usize) {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        log::warn!("the limit of open descriptors stays as it is: {error}");
    }
    let needed = connections_max as u64 + SPARE_DESCRIPTORS;
    if let Some(got) = getrlimit(Resource::Nofile).current.filter(|&got| got < needed) {
        log::warn!(
            "the system allows {got} open descriptors; limits.connections ({connections_max}) \
             needs {needed}"
        );
    }
}

/// The lines for whoever starts it for the first time: three, or two for a component, which has no
/// accounts.
fn greeting(version: &str, config: &Config, addresses: &Addresses, files: &Files) -> String {
    let data = std::path::absolute(&config.data).unwrap_or_else(|_| config.data.clone());
    let data = data.display();
    let mut options = String::new();
    for (name, path) in [("-c", &files.config), ("-d", &files.data)] {
        if let Some(path) = path {
            options.push_str(&format!(" {name} {}", path.display()));
        }
    }
    let register = match config.registration.in_band {
        InBand::Off => "",
        InBand::Loopback => ", or register from this machine with any client",
        InBand::Anyone => ", or register with any client",
    };
    let create = match config.rooms.create {
        RoomCreators::Anyone | RoomCreators::Local => "any name makes a room",
        RoomCreators::Admins => "administrators make rooms",
    };
    if let Some(component) = &config.component {
        let (domain, server) = (&component.domain, &component.server);
        return format!(
            "Tercet {version}: {domain}, a component of the server at {server}; {addresses}; \
             data in {data}\n\
             room:    join room@{domain} ({create})"
        );
    }
    let domain = &config.domains[0];
    let domains = join(config.domains.iter());
    let rooms = config.rooms.domains.first();
    let room = rooms.map_or("none".to_owned(), |rooms| format!("join room@{rooms} ({create})"));
    format!(
        "Tercet {version}: {domains}; {addresses}; data in {data}\n\
         account: tercet user add you@{domain}{options}{register}\n\
         room:    {room}"
    )
}

fn join<T: ToString>(items: impl Iterator<Item = T>) -> String {
    items.map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Component;
    use crate::xmpp::BareJid;

    #[test]
    fn three_lines_say_how_to_begin() {
        let mut config = Config { data: "/srv/chat".into(), ..Config::default() };
        let addresses = Addresses {
            clients: "127.0.0.1:5222, [::1]:5222".to_owned(),
            servers: "127.0.0.1:5269".to_owned(),
            components: String::new(),
        };
        assert_eq!(
            greeting("0.0.0", &config, &addresses, &Files::default()),
            "Tercet 0.0.0: localhost; clients on 127.0.0.1:5222, [::1]:5222; other servers on \
             127.0.0.1:5269; data in /srv/chat\n\
             account: tercet user add you@localhost, or register from this machine with any \
             client\n\
             room:    join room@conference.localhost (any name makes a room)"
        );
        config.registration.in_band = InBand::Off;
        let files = Files { config: Some("t.toml".into()), data: None };
        let text = greeting("0.0.0", &config, &addresses, &files);
        assert!(text.contains("user add you@localhost -c t.toml\n"), "{text}");
        assert_eq!(text.lines().count(), 3);
        config.component = Some(Component {
            server: "127.0.0.1:5347".to_owned(),
            domain: BareJid::parse("rooms.localhost").expect("a domain"),
            secret: "known to both".to_owned(),
        });
        assert_eq!(
            greeting("0.0.0", &config, &Addresses::default(), &files),
            "Tercet 0.0.0: rooms.localhost, a component of the server at 127.0.0.1:5347; nobody \
             connects to us; data in /srv/chat\n\
             room:    join room@rooms.localhost (any name makes a room)"
        );
    }
}
