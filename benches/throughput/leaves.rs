//! Leaving a room, all at once, and the check that each occupant hears of its own going, once, as
//! the last thing of that room, and never twice of another's.

use std::time::Duration;

use crate::client::{Client, Load, Sends};
use crate::messages::refuse_errors;
use crate::scan::attribute;

/// Seconds without any presence after which a server has failed.
const SILENCE_SECONDS_MAX: u64 = 60;

/// The occupants of one room: connection `c` is number `c`.
pub struct Leaves {
    room: String,
    /// Per connection: whose going it has heard of, a bit for each.
    seen: Vec<Vec<u64>>,
    /// Connections that have heard of their own.
    left: usize,
    /// Presences that arrived.
    pub delivered: u64,
    /// From the asking to the own presence, in units of 100 ns.
    pub latencies: Vec<u32>,
    started: u64,
}

impl Leaves {
    /// All are in.
    pub fn new(room: String, size: usize) -> Self {
        let seen = vec![vec![0; size.div_ceil(64)]; size];
        Self { room, seen, left: 0, delivered: 0, latencies: Vec::new(), started: 0 }
    }

    /// All leave.
    pub fn leave_all(&mut self, client: &mut Client) -> Result<(), String> {
        self.started = client.now();
        for conn in 0..self.seen.len() {
            let presence = format!("<presence type='unavailable' to='{}/n{conn:05}'/>", self.room);
            client.send(conn, presence.as_bytes());
        }
        let silence = Duration::from_secs(SILENCE_SECONDS_MAX);
        loop {
            let before = self.delivered;
            if client.run(silence, self, |leaves| leaves.left == leaves.seen.len())? {
                return Ok(());
            }
            if self.delivered == before {
                return Err(format!("{} left, {before} presences, and no more", self.left));
            }
        }
    }

    fn has_seen(&self, conn: usize, nick: usize) -> bool {
        self.seen[conn][nick / 64] >> (nick % 64) & 1 == 1
    }
}

impl Load for Leaves {
    fn stanza(
        &mut self,
        conn: usize,
        stanza: &[u8],
        now: u64,
        _sends: &mut Sends,
    ) -> Result<(), String> {
        let bad = || format!("connection {conn}: {}", String::from_utf8_lossy(stanza));
        refuse_errors(stanza)?;
        if !stanza.starts_with(b"<presence") {
            return Ok(());
        }
        let nick = attribute(stanza, " from=").and_then(|from| from.strip_prefix(&*self.room));
        let nick = nick.and_then(|rest| rest.strip_prefix("/n")?.parse::<usize>().ok());
        let nick = nick.filter(|&nick| nick < self.seen.len()).ok_or_else(bad)?;
        if attribute(stanza, " type=") != Some("unavailable") {
            return Err(bad());
        }
        if self.has_seen(conn, nick) || self.has_seen(conn, conn) {
            return Err(format!("twice, or after its own: {}", bad()));
        }
        self.seen[conn][nick / 64] |= 1 << (nick % 64);
        self.delivered += 1;
        if nick == conn {
            self.left += 1;
            self.latencies.push((now.saturating_sub(self.started) / 100) as u32);
        }
        Ok(())
    }
}
