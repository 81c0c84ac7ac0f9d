//! The ordered shutdown: one state machine, polled once per turn. Each phase has a deadline; a
//! second signal goes straight to the end.
//!
//! What was read before the signal is handled, then rooms say 332 to each seat, then sessions
//! tell whom they had told of themselves, then every stream gets `<system-shutdown/>` and its end,
//! all in parallel, then storage is closed. Nobody waits for a client that does not read.

use crate::cx::{Action, Now};
use crate::ids::SessionId;
use crate::outbound::Outbox;
use crate::timers::TimerKey;
use crate::xmpp::StreamCondition;

use super::Server;
use super::session::Hold;

/// Nothing was lost.
const EXIT_FINE: u8 = 0;
/// Something was dropped.
const EXIT_DROPPED: u8 = 3;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// No shutdown.
    #[default]
    Serving,
    /// The doors are closed; what was read before the signal is handled in this turn.
    FinishReading,
    /// Every client has its farewell; until all are closed, or this monotonic millisecond.
    Clients(u64),
    /// What servers and components are still to get, connecting to them included; until then.
    Servers(u64),
    /// Their streams have their farewell; until all are closed, or then.
    ServersClose(u64),
    /// Over.
    Done,
}

/// The state of the shutdown, and what it has to report.
#[derive(Default)]
pub(super) struct Drain {
    phase: Phase,
    began_ms: u64,
    ended_ms: u64,
    clients_closed: u64,
    clients_cut: u64,
    servers_closed: usize,
    /// Stanzas that had gone to servers and components before the shutdown began.
    sent_before: u64,
    /// What had been dropped before the shutdown began.
    dropped_before: u64,
}

impl Drain {
    /// True from the first signal on.
    pub(super) fn has_begun(&self) -> bool {
        self.phase != Phase::Serving
    }

    /// True once what was read before the signal is handled: from here on stanzas of servers are
    /// not what they were (phase 2).
    pub(super) fn is_past_reading(&self) -> bool {
        !matches!(self.phase, Phase::Serving | Phase::FinishReading)
    }

    /// True once nothing new goes to servers any more.
    pub(super) fn is_past_servers(&self) -> bool {
        matches!(self.phase, Phase::ServersClose(_) | Phase::Done)
    }

    /// True when everything is counted: connections that close now were counted at the end.
    pub(super) fn is_over(&self) -> bool {
        self.phase == Phase::Done
    }

    /// A connection closed; `cut`: not everything for it was written.
    pub(super) fn count_closed(&mut self, cut: bool) {
        if self.has_begun() {
            self.clients_closed += 1;
            self.clients_cut += u64::from(cut);
        }
    }
}

impl Server {
    /// TERM or INT: the ordered shutdown; a second one goes straight to its end.
    pub fn handle_shutdown(&mut self, now: Now, reason: &str) {
        self.cx.now = now;
        match self.drain.phase {
            Phase::Serving => {
                log::info!("shutting down: {reason}");
                self.drain.phase = Phase::FinishReading;
                self.drain.began_ms = now.mono_ms;
                self.drain.dropped_before = self.cx.out.stanzas_dropped;
                self.drain.sent_before = self.cx.out.stanzas_forwarded;
                self.cx.actions.push_back(Action::CloseListeners);
            }
            Phase::FinishReading
            | Phase::Clients(_)
            | Phase::Servers(_)
            | Phase::ServersClose(_) => {
                log::warn!("shutting down at once: {reason}");
                self.finish_drain();
            }
            Phase::Done => {}
        }
    }

    /// Goes on with the shutdown.
    pub(super) fn poll_drain(&mut self) {
        match self.drain.phase {
            Phase::FinishReading => {
                self.clear_door();
                if self.finish_reading() {
                    self.say_farewell();
                }
            }
            Phase::Clients(deadline_ms) => {
                if self.sessions.is_empty() || self.cx.now.mono_ms >= deadline_ms {
                    let patience_ms = self.cx.config.shutdown.servers_ms;
                    self.drain.phase = Phase::Servers(self.set_drain_timer(patience_ms));
                    self.poll_drain();
                }
            }
            Phase::Servers(deadline_ms) => {
                if !self.servers_wait() || self.cx.now.mono_ms >= deadline_ms {
                    self.close_servers();
                    self.poll_drain();
                }
            }
            Phase::ServersClose(deadline_ms) => {
                if self.links.len() == 0 || self.cx.now.mono_ms >= deadline_ms {
                    self.finish_drain();
                }
            }
            Phase::Serving | Phase::Done => {}
        }
    }

    /// True when the next step of the shutdown must not wait for an event.
    pub(super) fn drain_wants_turn(&self) -> bool {
        match self.drain.phase {
            Phase::FinishReading => true,
            Phase::Clients(_) => self.sessions.is_empty(),
            Phase::Servers(_) => !self.servers_wait(),
            Phase::ServersClose(_) => self.links.len() == 0,
            Phase::Serving | Phase::Done => false,
        }
    }

    /// A deadline of a phase that begins now: within that of the whole.
    fn set_drain_timer(&mut self, patience_ms: u64) -> u64 {
        let shutdown = &self.cx.config.shutdown;
        let whole_ms = shutdown.total_ms.saturating_sub(shutdown.storage_ms);
        let deadline_ms = (self.cx.now.mono_ms + patience_ms).min(self.drain.began_ms + whole_ms);
        self.cx.timers.set(deadline_ms, TimerKey::Drain);
        deadline_ms
    }

    /// Phase 6: what still waits for servers and components is dropped, and counted; their streams
    /// get their end.
    fn close_servers(&mut self) {
        self.begin_chain();
        self.drop_queues();
        self.cx.out.stanzas_dropped += self.upstream_waiting() as u64;
        self.cx.actions.push_back(Action::CloseServerListeners);
        self.drain.servers_closed = self.links.len();
        let patience_ms = self.cx.config.shutdown.servers_close_ms;
        self.drain.phase = Phase::ServersClose(self.set_drain_timer(patience_ms));
        for id in self.links.ids() {
            self.end_link(id, Some(StreamCondition::SystemShutdown.into()));
        }
        self.finish_chain();
    }

    /// Phase 2: handles what was read before the signal. True when all of it is; congestion may
    /// need further turns, as long as the clients have.
    fn finish_reading(&mut self) -> bool {
        let is_pending = |server: &Self, id| {
            server.sessions.get(id).is_some_and(|s| s.is_pending && s.hold == Hold::None)
        };
        for id in self.sessions.ids() {
            while is_pending(self, id) {
                if self.cx.out.is_congested() {
                    let patience_ms = self.cx.config.shutdown.clients_ms;
                    return self.cx.now.mono_ms >= self.drain.began_ms + patience_ms;
                }
                self.process(id);
            }
        }
        for id in self.links.ids() {
            self.process_link(id);
        }
        true
    }

    /// Phases 3 and 4: all their output is queued within this turn.
    fn say_farewell(&mut self) {
        let ids = self.sessions.ids();
        self.begin_chain();
        self.muc.shut_down(&mut self.cx);
        self.im.shut_down(&mut self.cx, &ids);
        self.finish_chain();
        self.begin_chain();
        for id in ids {
            self.say_last_count(id);
            self.end_stream(id, Some(StreamCondition::SystemShutdown.into()));
        }
        self.finish_chain();
        let patience_ms = self.cx.config.shutdown.total_ms;
        self.drain.phase = Phase::Clients(self.set_drain_timer(patience_ms));
    }

    /// Phases 7 and 8: the last commit, and the exit.
    fn finish_drain(&mut self) {
        self.drain.phase = Phase::Done;
        self.drain.ended_ms = self.cx.now.mono_ms;
        self.begin_chain();
        for id in self.sessions.ids() {
            self.drain.count_closed(self.misses_something(id));
            self.redeliver(id);
        }
        for id in self.links.ids() {
            // What is not acknowledged, where the other side does that, may not have arrived.
            let not_there = |out: &Outbox| out.stanzas_waiting().max(out.stanzas_unacknowledged());
            let count = self.cx.out.get(id).map_or(0, not_there);
            self.cx.out.stanzas_dropped += count as u64;
        }
        self.finish_chain();
        self.commit(self.cx.now);
        if let Err(error) = self.cx.storage.checkpoint() {
            log::error!("storage: {error}");
        }
        let lossless = self.stanzas_dropped_in_drain() == 0 && self.drain.clients_cut == 0;
        let code = if lossless { EXIT_FINE } else { EXIT_DROPPED };
        self.cx.actions.push_back(Action::Exit(code));
    }

    /// True when not everything that was said to a session is written. A connection that is to
    /// switch to TLS is closed instead, and the rest of `<proceed/>` is of no use to it.
    pub(super) fn misses_something(&self, id: SessionId) -> bool {
        let outbox = self.cx.out.get(id);
        outbox.is_some_and(|outbox| !outbox.is_empty() && !outbox.starttls_is_marked())
    }

    fn stanzas_dropped_in_drain(&self) -> u64 {
        self.cx.out.stanzas_dropped - self.drain.dropped_before
    }

    /// The last words for the log, once `Action::Exit` came.
    pub fn summary(&self) -> String {
        let ms = self.drain.ended_ms.saturating_sub(self.drain.began_ms);
        format!(
            "shutdown: {}.{} s, {} clients closed ({} cut), {} servers, {} stanzas sent to them, \
             {} stanzas dropped",
            ms / 1000,
            ms % 1000 / 100,
            self.drain.clients_closed,
            self.drain.clients_cut,
            self.drain.servers_closed,
            self.cx.out.stanzas_forwarded - self.drain.sent_before,
            self.stanzas_dropped_in_drain()
        )
    }
}
