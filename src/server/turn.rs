//! The end of a turn: the one commit, what is taken back when it fails, what is written, and who is
//! cut for reading too slowly. Storage is swept and probed here, between turns.

use crate::cx::{Action, Now};
use crate::ids::{ConnId, SessionId};
use crate::outbound::Outbox;
use crate::timers::TimerKey;
use crate::xmpp::StreamCondition;

use super::Server;
use super::session::Hold;

/// How often a storage that lost a commit is probed.
const STORAGE_PROBE_MS: u64 = 5_000;
/// Time between two slices of what storage has to sweep.
const SWEEP_PAUSE_MS: u64 = 50;

impl Server {
    /// The one storage commit of the turn, before anything of it is written. When it fails,
    /// nothing that depended on it is seen by anybody: those bytes are taken back, and the
    /// streams that they were for end.
    pub fn commit(&mut self, now: Now) {
        self.cx.now = now;
        self.turn_wrote = false;
        self.im.write_departures(&mut self.cx);
        if !self.sweeps && self.cx.storage.has_waste() {
            self.sweeps = true;
            self.cx.timers.set(now.mono_ms + SWEEP_PAUSE_MS, TimerKey::Sweep);
        }
        if self.cx.storage.commit().is_ok() {
            self.turn_redelivered.clear();
            self.ask_acknowledgements();
            self.cx.out.commit_turn();
            self.pump_queues();
            self.pump_upstream();
            return;
        }
        let lost = self.cx.out.roll_back_turn();
        self.muc.handle_storage_lost(&mut self.cx);
        self.im.handle_storage_lost(&mut self.cx);
        self.begin_chain();
        // All are told first, then they leave: none hears of another's going by what it was in
        // this turn, a moderator perhaps.
        for id in &lost {
            // The end that one had is taken back with the rest; it gets another one.
            self.say_end(*id, Some(StreamCondition::InternalServerError.into()));
            self.end_lost_link(*id);
        }
        for id in lost {
            self.leave(id);
            self.forget_if_detached(id);
        }
        self.redeliver_again();
        self.finish_chain();
        self.cx.out.commit_turn();
        self.cx.timers.set(now.mono_ms + STORAGE_PROBE_MS, TimerKey::Storage);
    }

    /// The next connection that has something to write and was not told of yet.
    pub fn poll_dirty(&mut self) -> Option<ConnId> {
        loop {
            let id = self.cx.out.poll_dirty()?;
            let of_session = self.sessions.get(id).and_then(|session| session.conn);
            let of_link = || self.links.get(id).and_then(|link| link.conn);
            if let Some(conn) = of_session.or_else(of_link) {
                return Some(conn);
            }
        }
    }

    /// The bytes that wait for a connection.
    pub fn outbox(&mut self, conn: ConnId) -> Option<&mut Outbox> {
        let id = self.sessions.at(conn).or_else(|| self.links.at(conn))?;
        self.cx.out.get_mut(id)
    }

    /// After the writes: cuts whoever reads too slowly. May yield actions.
    pub fn finish_turn(&mut self, now: Now) {
        self.cx.now = now;
        self.cut_laggards();
        self.cx.out.enforce_total(self.cx.config.limits.outbox_bytes_total);
        for id in self.cx.out.take_cut() {
            let Some(session) = self.sessions.get_mut(id) else {
                self.cut_link(id);
                continue;
            };
            log::info!("client cut: address={} reason=reads-too-slowly", session.address);
            session.hold = Hold::Ended;
            session.is_pending = false;
            self.cx.actions.extend(session.conn.map(Action::Abort));
            self.begin_chain();
            self.leave(id);
            self.forget_if_detached(id);
            self.finish_chain();
        }
    }

    /// A link or a queue is over its limit.
    fn cut_link(&mut self, id: SessionId) {
        self.begin_chain();
        match self.links.get(id).map(|link| link.conn) {
            Some(conn) => {
                self.cx.actions.extend(conn.map(Action::Abort));
                self.forget_link(id, "reads too slowly");
            }
            None => self.handle_queue_cut(id),
        }
        self.finish_chain();
    }

    /// One slice; the end of the turn sees whether there are more.
    pub(super) fn sweep_storage(&mut self) {
        self.begin_chain();
        self.sweeps = false;
        if self.cx.storage.sweep().is_err() {
            self.cx.storage.roll_back_handler();
            self.sweeps = true;
            self.cx.timers.set(self.cx.now.mono_ms + STORAGE_PROBE_MS, TimerKey::Sweep);
        }
        self.finish_chain();
    }

    pub(super) fn probe_storage(&mut self) {
        if !self.cx.storage.probe() {
            self.cx.timers.set(self.cx.now.mono_ms + STORAGE_PROBE_MS, TimerKey::Storage);
        }
    }
}
