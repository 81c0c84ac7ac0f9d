//! The loop. One turn is one screen, and the order of its steps is the design (DESIGN §4): what a
//! turn read is handled, committed, then written, and only then do connections leave.
//!
//! Sockets are registered once, edge-triggered; what the edges said is kept in sticky flags. Only
//! `WouldBlock` or a short write waits for an edge; what a budget left over stays in a queue here,
//! and the next turn does not sleep. Whether a connection is read is asked of the core every time
//! (`read_wish`): not reading is the backpressure. The steps themselves are in `steps`.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use mio::{Events, Poll, Token};
use slab::Slab;

use super::clock::Clock;
use super::connection::Connection;
use super::control::Control;
use super::core::Core;
use super::dial::Attempt;
use super::listener::{self, Gate, Listener};
use super::names;
use super::notify;
use super::resolver::Questions;
use super::signals::{SignalSource, Wish};
use super::tls::Identities;
use super::transport::Scratch;
use super::{certificate, control_token};
use crate::config::Config;
use crate::cx::Now;
use crate::ids::ConnId;

/// Events taken from the kernel per turn.
const EVENTS_MAX: usize = 1024;

/// Reads the configuration again, for HUP.
pub type Reload<'a> = &'a mut dyn FnMut() -> Result<Rc<Config>, String>;

/// What a token names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A place in the slab of connections.
    Connection(usize),
    /// A listener.
    Listener(usize),
    /// A client of the control socket.
    ControlClient(usize),
    /// An attempt to connect.
    Attempt(usize),
    /// A question to a name server.
    Question(usize),
    /// The control socket.
    Control,
    /// Signals.
    Signals,
}

impl Source {
    /// Its token.
    pub fn token(self) -> Token {
        Token(match self {
            Self::Connection(index) => index << 3,
            Self::Listener(index) => index << 3 | 1,
            Self::ControlClient(index) => index << 3 | 2,
            Self::Attempt(index) => index << 3 | 3,
            Self::Question(index) => index << 3 | 4,
            Self::Control => 5,
            Self::Signals => 6,
        })
    }

    fn of(token: Token) -> Self {
        let index = token.0 >> 3;
        match token.0 & 7 {
            0 => Self::Connection(index),
            1 => Self::Listener(index),
            2 => Self::ControlClient(index),
            3 => Self::Attempt(index),
            4 => Self::Question(index),
            5 => Self::Control,
            _ => Self::Signals,
        }
    }
}

/// The reactor.
pub struct Reactor<C> {
    pub core: C,
    pub poll: Poll,
    pub clock: Clock,
    /// Monotonic milliseconds of this turn.
    pub now_ms: u64,
    /// The configuration in force.
    pub config: Rc<Config>,
    /// For connections whose handshake is to come.
    pub identities: Identities,
    /// A place is not used again: an event never means another listener.
    pub listeners: Vec<Option<Listener>>,
    pub gate: Gate,
    pub control: Option<Control>,
    pub signals: Option<SignalSource>,
    pub connections: Slab<Connection>,
    pub attempts: Slab<Attempt>,
    pub questions: Questions,
    /// Of the last connection.
    pub generation: u32,
    /// Connections for step 5, in the order they came; each once (`is_runnable`).
    pub runnable: VecDeque<ConnId>,
    /// Connections for step 9; each once (`is_dirty`).
    pub dirty: VecDeque<ConnId>,
    /// Connections for step 10, and why.
    pub dead: VecDeque<(ConnId, String)>,
    /// Ends of pauses and deadlines of closing; entries of the past are ordinary.
    pub timers: BinaryHeap<Reverse<(u64, ConnId)>>,
    pub scratch: Scratch,
    /// The core did something after the commit of this turn: it wants another one.
    pub is_unfinished: bool,
    /// The last turn had no room to write all that could be written.
    pub is_writing_behind: bool,
    pub exit_code: Option<u8>,
    turns: u64,
    longest_turn: Duration,
}

impl<C: Core> Reactor<C> {
    /// A reactor without listeners.
    pub fn new(
        core: C,
        poll: Poll,
        clock: Clock,
        config: Rc<Config>,
        identities: Identities,
    ) -> Self {
        Self {
            core,
            poll,
            clock,
            now_ms: 0,
            config,
            identities,
            listeners: Vec::new(),
            gate: Gate::default(),
            control: None,
            signals: None,
            connections: Slab::new(),
            attempts: Slab::new(),
            questions: Questions::default(),
            generation: 0,
            runnable: VecDeque::new(),
            dirty: VecDeque::new(),
            dead: VecDeque::new(),
            timers: BinaryHeap::new(),
            scratch: Scratch::new(),
            is_unfinished: true,
            is_writing_behind: false,
            exit_code: None,
            turns: 0,
            longest_turn: Duration::ZERO,
        }
    }

    /// Runs until the core says so; returns its exit code.
    pub fn run(&mut self, reload: Reload) -> io::Result<u8> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        loop {
            if let Some(code) = self.turn(&mut events, reload)? {
                log::info!("{}", self.core.summary());
                let longest_ms = self.longest_turn.as_millis();
                log::info!("longest turn {longest_ms} ms, {} turns", self.turns);
                return Ok(code);
            }
        }
    }

    /// One turn (DESIGN §4).
    fn turn(&mut self, events: &mut Events, reload: Reload) -> io::Result<Option<u8>> {
        let timeout = self.sleep(); // 1
        let is_interrupted = self.wait(events, timeout)?; // 2
        if is_interrupted {
            return Ok(None);
        }
        let now = self.clock.begin_turn(); // 3
        self.now_ms = now.mono_ms;
        self.handle_events(now, events, reload); // 4
        self.fire_timers(now);
        self.accept(now);
        self.read_runnable(now); // 5
        self.core.handle_timeout(now); // 6
        self.act(now); // 7
        self.core.commit(now); // 8
        self.write_dirty(); // 9
        self.core.finish_turn(now);
        self.reap(now); // 10
        self.turns += 1;
        self.longest_turn = self.longest_turn.max(self.clock.end_turn().0);
        Ok(self.exit_code)
    }

    /// Waits for events; true when a signal came in between: again.
    fn wait(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<bool> {
        match self.poll.poll(events, timeout) {
            Ok(()) => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.is_unfinished = true;
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    /// How long nothing is to be done; `None`: until an event.
    fn sleep(&mut self) -> Option<Duration> {
        let has_accepts = self.listeners.iter().flatten().any(|listener| listener.is_ready);
        let (_, now_ms) = self.clock.end_turn();
        if !self.runnable.is_empty()
            || !self.dirty.is_empty()
            || !self.dead.is_empty()
            || (has_accepts && self.gate.is_open(now_ms))
            || std::mem::take(&mut self.is_unfinished)
        {
            return Some(Duration::ZERO);
        }
        let due_ms = [
            self.core.poll_timeout(),
            self.timers.peek().map(|Reverse((due_ms, _))| *due_ms),
            self.gate.next_due_ms().filter(|_| has_accepts),
            self.control.as_ref().and_then(Control::next_due_ms),
            self.questions.next_due_ms(),
        ];
        let next_ms = due_ms.into_iter().flatten().min()?;
        Some(Duration::from_millis(next_ms.saturating_sub(now_ms)))
    }

    fn handle_events(&mut self, now: Now, events: &Events, reload: Reload) {
        for event in events {
            match Source::of(event.token()) {
                Source::Connection(index) => self.handle_edge(index, event),
                Source::Listener(index) => {
                    if let Some(Some(listener)) = self.listeners.get_mut(index) {
                        listener.is_ready = true;
                    }
                }
                Source::ControlClient(index) => self.handle_request(now, index),
                Source::Attempt(index) => self.handle_attempt(now, index),
                Source::Question(index) => self.handle_answer(now, index),
                Source::Control => {
                    if let Some(control) = &mut self.control {
                        control.handle_ready();
                    }
                }
                Source::Signals => self.handle_signals(now, reload),
            }
        }
        if let Some(control) = &mut self.control {
            control.accept(now.mono_ms, self.poll.registry(), control_token);
        }
    }

    /// A client of the control socket has sent something.
    fn handle_request(&mut self, now: Now, index: usize) {
        let Some(control) = &mut self.control else { return };
        match control.read(index) {
            Some(Ok(request)) => {
                let reply = self.core.handle_control(now, &request);
                control.reply(index, reply);
            }
            Some(Err(refusal)) => control.reply(index, format!("error {refusal}")),
            None => {}
        }
    }

    fn handle_signals(&mut self, now: Now, reload: Reload) {
        let wishes = self.signals.as_mut().map(SignalSource::take).unwrap_or_default();
        for wish in wishes {
            match wish {
                Wish::Shutdown(signal) => self.core.handle_shutdown(now, signal),
                Wish::Reload => {
                    notify::reloading();
                    self.reload(now, reload);
                    notify::ready();
                }
            }
        }
    }

    /// HUP: what cannot be read or is wrong leaves the old in force.
    pub fn reload(&mut self, now: Now, reload: Reload) {
        let config = match reload() {
            Ok(config) => config,
            Err(error) => {
                log::error!("the old configuration stays in force: {error}");
                return;
            }
        };
        match certificate::load(&config, now) {
            Ok(identities) => self.identities = identities,
            Err(error) => log::error!("the old certificate stays in force: {error}"),
        }
        match names::authorities(&config) {
            Ok(trust) => self.core.handle_trust(now, trust),
            Err(error) => log::error!("the old authorities stay in force: {error}"),
        }
        names::tell_resolver(&mut self.core, now, &config);
        if listener::doors(&self.config) != listener::doors(&config) {
            log::warn!("other addresses to listen on take effect at the next start");
        }
        self.config = Rc::clone(&config);
        self.core.handle_reload(now, config);
        log::info!("the configuration was read again");
    }
}
