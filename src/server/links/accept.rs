//! Who connects to us: other servers and components, as far as the limits let them. There are
//! those of all connections, of an address, of handshakes (as for clients), and of servers that
//! have not shown who they are.

use std::net::IpAddr;

use crate::cx::Now;
use crate::ids::{ConnId, Door};

use super::super::Server;
use super::super::limits::Counted;
use super::{Hold, Part};

impl Server {
    /// A server or a component has connected; `false`: refuse it (limits), close it at once and do
    /// not name it again. With `direct_tls` the server waits for [`Self::handle_tls`] first.
    pub fn handle_accept_link(
        &mut self,
        now: Now,
        conn: ConnId,
        door: Door,
        address: IpAddr,
        direct_tls: bool,
    ) -> bool {
        self.cx.now = now;
        let part = match door {
            // Phase 1: the doors are closed, but for servers.
            Door::Components if self.drain.has_begun() => return false,
            Door::Components => Part::Attached(Box::default()),
            Door::Clients | Door::Servers => Part::Incoming(Box::default()),
        };
        // DESIGN.md §8, phase 1: a server that is shutting down is still asked to verify keys.
        let is_counted = !self.drain.has_begun();
        let limits = &self.cx.config.limits;
        let handshakes = Counted::Handshakes;
        let is_busy =
            direct_tls && self.addresses.is_exhausted(limits, now.mono_ms, address, handshakes);
        if is_busy || self.has_strangers_enough() {
            log::debug!("connection refused: address={address} reason=limit");
            return false;
        }
        if is_counted && !self.addresses.connect(limits, now.mono_ms, address) {
            log::debug!("connection refused: address={address} reason=limit");
            return false;
        }
        if direct_tls {
            self.addresses.count(now.mono_ms, address, handshakes);
        }
        let hold = if direct_tls { Hold::Tls } else { Hold::None };
        let id = self.open_link(address, part, hold);
        if let Some(mut link) = self.links.remove(id) {
            link.conn = Some(conn);
            link.is_counted = is_counted;
            self.links.insert(link);
        }
        self.count_in_stranger(id);
        self.set_link_timer(id);
        true
    }
}
