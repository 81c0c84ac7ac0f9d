//! What the reactor asks of the sans-IO core. One implementation serves (`Server`), another is
//! the echo of the reactor's own tests; the dispatch is static. It is no second description of the
//! core: the meaning of each call is written at `Server`.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use crate::certs::trust::Trust;
use crate::config::Config;
use crate::cx::{Action, Now};
use crate::ids::{ConnId, Door, SessionId};
use crate::outbound::Outbox;
use crate::server::{ReadWish, Server};
use crate::stream::c2s::TlsInfo;

/// See the methods of [`Server`] by the same names.
pub trait Core {
    fn handle_accept(
        &mut self,
        now: Now,
        conn: ConnId,
        door: Door,
        from: IpAddr,
        direct_tls: bool,
    ) -> bool;
    fn handle_connected(&mut self, now: Now, link: SessionId, conn: Result<ConnId, String>);
    fn handle_dns(&mut self, now: Now, server: SocketAddr, packet: Result<&[u8], ()>);
    fn handle_tls(&mut self, now: Now, conn: ConnId, tls: TlsInfo);
    fn handle_input(&mut self, now: Now, conn: ConnId, bytes: &[u8]);
    fn handle_end(&mut self, now: Now, conn: ConnId);
    fn handle_closed(&mut self, now: Now, conn: ConnId, reason: &str);
    fn handle_timeout(&mut self, now: Now);
    fn handle_control(&mut self, now: Now, request: &str) -> String;
    fn handle_reload(&mut self, now: Now, config: Rc<Config>);
    fn handle_resolver(&mut self, now: Now, resolv_conf: &str, hosts: &str);
    fn handle_trust(&mut self, now: Now, trust: Rc<Trust>);
    fn handle_shutdown(&mut self, now: Now, reason: &str);
    fn read_wish(&self, conn: ConnId) -> ReadWish;
    fn is_congested(&self) -> bool;
    fn is_crowded(&self) -> bool;
    fn poll_timeout(&self) -> Option<u64>;
    fn poll_action(&mut self) -> Option<Action>;
    fn commit(&mut self, now: Now);
    fn poll_dirty(&mut self) -> Option<ConnId>;
    fn outbox(&mut self, conn: ConnId) -> Option<&mut Outbox>;
    fn finish_turn(&mut self, now: Now);
    fn summary(&self) -> String;
}

impl Core for Server {
    fn handle_accept(
        &mut self,
        now: Now,
        conn: ConnId,
        door: Door,
        from: IpAddr,
        direct_tls: bool,
    ) -> bool {
        match door {
            Door::Clients => self.handle_accept(now, conn, from, direct_tls),
            Door::Servers | Door::Components => {
                self.handle_accept_link(now, conn, door, from, direct_tls)
            }
        }
    }
    fn handle_connected(&mut self, now: Now, link: SessionId, conn: Result<ConnId, String>) {
        self.handle_connected(now, link, conn);
    }
    fn handle_dns(&mut self, now: Now, server: SocketAddr, packet: Result<&[u8], ()>) {
        self.handle_dns(now, server, packet);
    }
    fn handle_tls(&mut self, now: Now, conn: ConnId, tls: TlsInfo) {
        self.handle_tls(now, conn, tls);
    }
    fn handle_input(&mut self, now: Now, conn: ConnId, bytes: &[u8]) {
        self.handle_input(now, conn, bytes);
    }
    fn handle_end(&mut self, now: Now, conn: ConnId) {
        self.handle_end(now, conn);
    }
    fn handle_closed(&mut self, now: Now, conn: ConnId, reason: &str) {
        self.handle_closed(now, conn, reason);
    }
    fn handle_timeout(&mut self, now: Now) {
        self.handle_timeout(now);
    }
    fn handle_control(&mut self, now: Now, request: &str) -> String {
        self.handle_control(now, request)
    }
    fn handle_reload(&mut self, now: Now, config: Rc<Config>) {
        self.handle_reload(now, config);
    }
    fn handle_resolver(&mut self, now: Now, resolv_conf: &str, hosts: &str) {
        self.handle_resolver(now, resolv_conf, hosts);
    }
    fn handle_trust(&mut self, now: Now, trust: Rc<Trust>) {
        self.handle_trust(now, trust);
    }
    fn handle_shutdown(&mut self, now: Now, reason: &str) {
        self.handle_shutdown(now, reason);
    }
    fn read_wish(&self, conn: ConnId) -> ReadWish {
        self.read_wish(conn)
    }
    fn is_congested(&self) -> bool {
        self.is_congested()
    }
    fn is_crowded(&self) -> bool {
        self.is_crowded()
    }
    fn poll_timeout(&self) -> Option<u64> {
        self.poll_timeout()
    }
    fn poll_action(&mut self) -> Option<Action> {
        self.poll_action()
    }
    fn commit(&mut self, now: Now) {
        self.commit(now);
    }
    fn poll_dirty(&mut self) -> Option<ConnId> {
        self.poll_dirty()
    }
    fn outbox(&mut self, conn: ConnId) -> Option<&mut Outbox> {
        self.outbox(conn)
    }
    fn finish_turn(&mut self, now: Now) {
        self.finish_turn(now);
    }
    fn summary(&self) -> String {
        self.summary()
    }
}
