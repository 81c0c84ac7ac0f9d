//! The ordered shutdown: one state machine, polled once per turn. Each phase has a deadline; a
//! second signal goes straight to the end.
//!
//! What was read before the signal is handled, then rooms say 332 to each seat, then sessions
//! tell whom they had told of themselves, then every stream gets `<system-shutdown/>` and its end,
//! all in parallel, then storage is closed. Nobody waits for a client that does not read.

use crate::cx::{Action, Now};
use crate::ids::SessionId;
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
    /// Every stream has its farewell; until all are closed, or this monotonic millisecond.
    Clients(u64),
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
    /// What had been dropped before the shutdown began.
    dropped_before: u64,
}

impl Drain {
    /// True from the first signal on.
    pub(super) fn has_begun(&self) -> bool {
        self.phase != Phase::Serving
    }

    /// True when the next step must not wait for an event; `is_empty`: no session is left.
    pub(super) fn wants_turn(&self, is_empty: bool) -> bool {
        match self.phase {
            Phase::FinishReading => true,
            Phase::Clients(_) => is_empty,
            Phase::Serving | Phase::Done => false,
        }
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
                self.cx.actions.push_back(Action::CloseListeners);
            }
            Phase::FinishReading | Phase::Clients(_) => {
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
                    self.finish_drain();
                }
            }
            Phase::Serving | Phase::Done => {}
        }
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
        let shutdown = &self.cx.config.shutdown;
        let deadline_ms =
            self.drain.began_ms + shutdown.total_ms.saturating_sub(shutdown.storage_ms);
        self.drain.phase = Phase::Clients(deadline_ms);
        self.cx.timers.set(deadline_ms, TimerKey::Drain);
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
            "shutdown: {}.{} s, {} clients closed ({} cut), {} stanzas dropped",
            ms / 1000,
            ms % 1000 / 100,
            self.drain.clients_closed,
            self.drain.clients_cut,
            self.stanzas_dropped_in_drain()
        )
    }
}
