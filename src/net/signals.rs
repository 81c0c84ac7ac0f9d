//! TERM, INT and HUP as events of the reactor.

use std::io;

use mio::{Interest, Registry, Token};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook_mio::v1_0::Signals;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// The ordered shutdown; a second time: straight to its end. With the signal's name.
    Shutdown(&'static str),
    /// Configuration and certificates are to be read again.
    Reload,
}

/// The signals that the process listens to.
pub struct SignalSource {
    signals: Signals,
}

impl SignalSource {
    /// Catches the signals from now on.
    pub fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
        registry.register(&mut signals, token, Interest::READABLE)?;
        Ok(Self { signals })
    }

    /// What came since the last call.
    pub fn take(&mut self) -> Vec<Wish> {
        let wishes = self.signals.pending().map(|signal| match signal {
            SIGTERM => Wish::Shutdown("SIGTERM"),
            SIGINT => Wish::Shutdown("SIGINT"),
            _ => Wish::Reload,
        });
        wishes.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_events() {
        let mut poll = mio::Poll::new().expect("a poll");
        let mut events = mio::Events::with_capacity(4);
        let mut source = SignalSource::new(poll.registry(), Token(1)).expect("caught");
        assert_eq!(source.take(), []);
        for (signal, want) in [
            (SIGHUP, Wish::Reload),
            (SIGTERM, Wish::Shutdown("SIGTERM")),
            (SIGINT, Wish::Shutdown("SIGINT")),
        ] {
            signal_hook::low_level::raise(signal).expect("raised");
            let patience = Some(std::time::Duration::from_secs(20));
            while let Err(error) = poll.poll(&mut events, patience) {
                assert_eq!(error.kind(), io::ErrorKind::Interrupted);
            }
            assert!(events.iter().any(|event| event.token() == Token(1)));
            assert_eq!(source.take(), [want]);
        }
    }
}
