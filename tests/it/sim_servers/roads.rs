//! Connections between servers before they are there: made after a while, refused, or never
//! answered.

use std::net::{Ipv4Addr, SocketAddr};

use tercet::ids::{Door, SessionId};

use super::ends::End;
use super::net::{Net, Weather};

/// What becomes of a connection that a server wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Road {
    Open,
    Refused,
    /// No answer ever comes.
    Silent,
}

/// A connection that is to be made.
pub struct Attempt {
    pub host: usize,
    pub link: SessionId,
    pub address: SocketAddr,
    pub due_ms: u64,
    pub road: Road,
}

/// Where the server of this number is.
pub fn address_of(host: usize) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1 + host as u8), 5269))
}

impl Net {
    /// Connections are made, or not.
    pub(super) fn connect(&mut self) -> bool {
        let now_ms = self.now.mono_ms;
        let is_due =
            |attempt: &mut Attempt| attempt.due_ms <= now_ms && attempt.road != Road::Silent;
        let due: Vec<_> = self.attempts.extract_if(.., is_due).collect();
        for attempt in &due {
            let target = (0..self.hosts.len()).find(|at| address_of(*at) == attempt.address);
            let road = target.map_or(Road::Refused, |target| self.hosts[target].road);
            match target {
                _ if !self.hosts[attempt.host].runs() => {}
                Some(target) if attempt.road == Road::Open && road == Road::Open => {
                    self.connect_to(attempt.host, attempt.link, target);
                }
                _ => {
                    self.count("connections refused");
                    let server = &mut self.hosts[attempt.host].server;
                    server.handle_connected(self.now, attempt.link, Err("refused".to_owned()));
                }
            }
        }
        !due.is_empty()
    }

    fn connect_to(&mut self, from: usize, link: SessionId, to: usize) {
        let is_there = self.hosts[to].exit.is_none() && self.hosts[to].takes_servers;
        let (near_id, far_id) = (self.ends.next_id(), self.ends.id_after_next());
        let source = address_of(from).ip();
        let is_let_in = is_there && {
            let server = &mut self.hosts[to].server;
            server.handle_accept_link(self.now, far_id, Door::Servers, source, false)
        };
        if !is_let_in {
            let server = &mut self.hosts[from].server;
            server.handle_connected(self.now, link, Err("refused".to_owned()));
            return;
        }
        let near = self.ends.add(End::new(from, near_id, None));
        let far = self.ends.add(End::new(to, far_id, Some(near)));
        self.ends.join(near, far);
        self.count("connections between servers");
        self.hosts[from].server.handle_connected(self.now, link, Ok(near_id));
    }

    /// A server wants to connect to another.
    pub(super) fn begin(&mut self, host: usize, link: SessionId, address: SocketAddr) {
        let Weather { rng, latency_ms, failures, .. } = &mut self.weather;
        let fails = *failures > 0 && rng.one_in(*failures);
        let mut road = match fails {
            true if rng.one_in(2) => Road::Refused,
            true => Road::Silent,
            false => Road::Open,
        };
        let target = (0..self.hosts.len()).find(|at| address_of(*at) == address);
        if target.is_some_and(|target| self.hosts[target].road == Road::Silent) {
            road = Road::Silent;
        }
        let due_ms = self.now.mono_ms + rng.below(*latency_ms as usize * 2 + 1) as u64;
        if road == Road::Silent {
            self.count("connections never answered");
        }
        self.attempts.push(Attempt { host, link, address, due_ms, road });
    }
}
