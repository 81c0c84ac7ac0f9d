//! The log: `env_logger` to standard error, with times of our own, behind a lock that lets a
//! reload replace the filter (the `log` crate takes a logger once and for all). `RUST_LOG` goes
//! before the configuration. Messages may hold what a peer sent: control characters are escaped,
//! so that nobody writes lines of their own into the log.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::{Arc, PoisonError, RwLock};

use env_logger::{Builder, Logger};
use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::net::clock::Clock;
use crate::xmpp::datetime;

/// The variable that goes before the configuration.
const VARIABLE: &str = "RUST_LOG";

/// The logger that was installed.
pub(super) struct Logging {
    current: Arc<RwLock<Logger>>,
}

impl Logging {
    /// Installs the logger with a filter. `Err` when there is one already.
    pub(super) fn install(filter: &str) -> Result<Self, String> {
        let logger = build(filter);
        log::set_max_level(logger.filter());
        let current = Arc::new(RwLock::new(logger));
        log::set_boxed_logger(Box::new(Replaceable(Arc::clone(&current))))
            .map_err(|error| error.to_string())?;
        Ok(Self { current })
    }

    /// Takes another filter from now on.
    pub(super) fn set_filter(&self, filter: &str) {
        let logger = build(filter);
        let level = logger.filter();
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = logger;
        log::set_max_level(level);
    }
}

/// What the `log` crate holds.
struct Replaceable(Arc<RwLock<Logger>>);

impl Log for Replaceable {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        self.0.read().unwrap_or_else(PoisonError::into_inner).log(record);
    }

    fn flush(&self) {}
}

/// A logger by `RUST_LOG`, else by this filter.
fn build(filter: &str) -> Logger {
    let variable = std::env::var(VARIABLE).ok().filter(|value| !value.trim().is_empty());
    // What it warns of is what peers do, as often as they like; a filter that names it hears all.
    Builder::new()
        .filter_module("rustls", LevelFilter::Error)
        .parse_filters(variable.as_deref().unwrap_or(filter))
        .format(|out, record| {
            let message = record.args().to_string();
            let unix_ms = Clock::new().begin_turn().unix_ms;
            writeln!(out, "{}", line(unix_ms, record.level(), record.target(), &message))
        })
        .build()
}

/// One line of the log.
fn line(unix_ms: i64, level: Level, target: &str, message: &str) -> String {
    // Always with milliseconds, so that columns stand below each other.
    let time = datetime::format_utc(unix_ms.div_euclid(1000) * 1000);
    let seconds = time.trim_end_matches('Z');
    let mut line = format!("{seconds}.{:03}Z {level:<5} {target}: ", unix_ms.rem_euclid(1000));
    for c in message.chars() {
        if c.is_control() {
            let _ = write!(line, "{}", c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line() {
        let log = |ms, message| line(ms, Level::Info, "tercet::net", message);
        assert_eq!(log(7, "up"), "1970-01-01T00:00:00.007Z INFO  tercet::net: up");
        assert_eq!(
            log(1_795_352_493_120, "grüße\n2026 ERROR\u{1b}[0m"),
            "2026-11-22T13:01:33.120Z INFO  tercet::net: grüße\\n2026 ERROR\\u{1b}[0m"
        );
    }
}
