//! The name service within the core: hands domains to the resolver, its packets to the reactor, and
//! what was found to the queues.

use std::net::SocketAddr;

use crate::cx::{Action, Now};
use crate::timers::TimerKey;

use super::super::Server;

impl Server {
    /// The text of `/etc/resolv.conf` and of `/etc/hosts`, at the start and at a reload.
    pub fn handle_resolver(&mut self, now: Now, resolv_conf: &str, hosts: &str) {
        self.cx.now = now;
        self.dns.configure(resolv_conf, hosts);
    }

    /// A name server has answered, or cannot be reached.
    pub fn handle_dns(&mut self, now: Now, server: SocketAddr, packet: Result<&[u8], ()>) {
        self.cx.now = now;
        self.dns.handle_packet(now, &mut *self.cx.entropy, server, packet);
        self.drive_dns();
    }

    /// Looks for the places of a domain; [`Self::places_found`] is called, maybe at once.
    pub(super) fn look_up(&mut self, domain: &str) {
        self.dns.look_up(self.cx.now, &mut *self.cx.entropy, domain);
        self.drive_dns();
    }

    /// A question is due again.
    pub(in crate::server) fn handle_dns_timer(&mut self) {
        self.dns.handle_timeout(self.cx.now, &mut *self.cx.entropy);
        self.drive_dns();
    }

    /// Hands out what the resolver has.
    fn drive_dns(&mut self) {
        while let Some(transmit) = self.dns.poll_transmit() {
            self.cx.actions.push_back(Action::AskDns(transmit));
        }
        if let Some(due_ms) = self.dns.poll_timeout() {
            self.cx.timers.set(due_ms, TimerKey::Dns);
        }
        while let Some((domain, places)) = self.dns.poll_found() {
            let component = self.cx.config.component.as_ref();
            if component.is_some_and(|component| component.server == domain) {
                self.upstream_found(places);
            } else {
                self.places_found(&domain, places);
            }
        }
    }
}
