//! Joining rooms, and the check that at the end each occupant has seen each occupant, itself
//! included, once, and one subject.

use crate::client::{Client, Load, Sends};
use crate::messages::refuse_errors;
use crate::scan::attribute;
use std::time::Duration;

/// Joins that are under way at once when nobody measures them.
const AT_ONCE: usize = 50;
/// Seconds without any presence after which a server has failed. Prosody writes nothing before it
/// has handled all that it read, which takes long when hundreds join at once.
const SILENCE_SECONDS_MAX: u64 = 60;

/// The occupants of rooms of one size: connection `c` is number `c % size` of room `c / size`.
pub struct Joins {
    rooms: Vec<String>,
    size: usize,
    /// Per connection: who was seen, a bit for each.
    seen: Vec<Vec<u64>>,
    /// Per connection: when it asked to join.
    asked: Vec<u64>,
    subjects: Vec<u32>,
    configured: usize,
    /// Connections that have seen themselves.
    pub joined: usize,
    /// Presences that arrived.
    pub delivered: u64,
    /// From the asking to the own presence, in units of 100 ns.
    pub latencies: Vec<u32>,
}

impl Joins {
    /// Nobody is in yet.
    pub fn new(rooms: Vec<String>, size: usize) -> Self {
        let conns = rooms.len() * size;
        Self {
            rooms,
            size,
            seen: vec![vec![0; size.div_ceil(64)]; conns],
            asked: vec![0; conns],
            subjects: vec![0; conns],
            configured: 0,
            joined: 0,
            delivered: 0,
            latencies: Vec::new(),
        }
    }

    /// The first of each room joins, which creates it, and accepts the default configuration.
    pub fn create(&mut self, client: &mut Client) -> Result<(), String> {
        let rooms = self.rooms.len();
        for room in 0..rooms {
            self.ask(client, room * self.size);
        }
        self.wait(client, |joins| joins.joined == rooms, "creation")?;
        for room in 0..rooms {
            let iq = format!(
                "<iq type='set' id='configure' to='{}'>\
                 <query xmlns='http://jabber.org/protocol/muc#owner'>\
                 <x xmlns='jabber:x:data' type='submit'/></query></iq>",
                self.rooms[room]
            );
            client.send(room * self.size, iq.as_bytes());
        }
        self.wait(client, |joins| joins.configured == rooms, "configuration")
    }

    /// All others join, `at_once` at a time (`None`: few enough to be quick).
    pub fn join_all(&mut self, client: &mut Client, at_once: Option<usize>) -> Result<(), String> {
        let at_once = at_once.unwrap_or(AT_ONCE);
        let first = self.joined;
        let mut asked = 0;
        for conn in 0..self.asked.len() {
            if conn % self.size == 0 {
                continue;
            }
            self.ask(client, conn);
            asked += 1;
            if self.joined - first + at_once <= asked {
                let wanted = first + asked - at_once + 1;
                self.wait(client, |joins| joins.joined >= wanted, "joins")?;
            }
        }
        let wanted = (self.rooms.len() * self.size * self.size) as u64;
        self.wait(client, |joins| joins.delivered >= wanted, "presences")?;
        self.wait(client, |joins| !joins.subjects.contains(&0), "subjects")?;
        match self.subjects.iter().position(|&count| count != 1) {
            Some(conn) => Err(format!("connection {conn} has {} subjects", self.subjects[conn])),
            None => Ok(()),
        }
    }

    fn ask(&mut self, client: &mut Client, conn: usize) {
        let (room, nick) = (&self.rooms[conn / self.size], conn % self.size);
        let presence = format!(
            "<presence to='{room}/n{nick:05}'><x xmlns='http://jabber.org/protocol/muc'>\
             <history maxstanzas='0'/></x></presence>"
        );
        self.asked[conn] = client.now();
        client.send(conn, presence.as_bytes());
    }

    fn wait(
        &mut self,
        client: &mut Client,
        mut is_done: impl FnMut(&Self) -> bool,
        what: &str,
    ) -> Result<(), String> {
        let silence = Duration::from_secs(SILENCE_SECONDS_MAX);
        loop {
            let before = self.delivered;
            if client.run(silence, self, |joins| is_done(joins))? {
                return Ok(());
            }
            if self.delivered == before {
                let joined = self.joined;
                return Err(format!("{what}: {joined} joined, {before} presences, and no more"));
            }
        }
    }

    fn presence(&mut self, conn: usize, stanza: &[u8], now: u64) -> Result<(), String> {
        let bad = || format!("connection {conn}: {}", String::from_utf8_lossy(stanza));
        refuse_errors(stanza)?;
        let from = attribute(stanza, " from=").ok_or_else(bad)?;
        let room = &self.rooms[conn / self.size];
        let Some(rest) = from.strip_prefix(room.as_str()) else { return Ok(()) };
        // Some servers send a presence of the room itself.
        let Some(nick) = rest.strip_prefix("/n") else { return Ok(()) };
        let nick = nick.parse::<usize>().ok().filter(|&nick| nick < self.size).ok_or_else(bad)?;
        let word = &mut self.seen[conn][nick / 64];
        if *word >> (nick % 64) & 1 == 1 {
            return Err(format!("twice: {}", bad()));
        }
        *word |= 1 << (nick % 64);
        self.delivered += 1;
        if nick == conn % self.size {
            self.joined += 1;
            self.latencies.push((now.saturating_sub(self.asked[conn]) / 100) as u32);
        }
        Ok(())
    }
}

impl Load for Joins {
    fn stanza(
        &mut self,
        conn: usize,
        stanza: &[u8],
        now: u64,
        _sends: &mut Sends,
    ) -> Result<(), String> {
        if stanza.starts_with(b"<presence") {
            return self.presence(conn, stanza, now);
        }
        refuse_errors(stanza)?;
        if memchr::memmem::find(stanza, b"<subject").is_some() {
            self.subjects[conn] += 1;
        }
        if attribute(stanza, " id=") == Some("configure") {
            self.configured += 1;
        }
        Ok(())
    }
}
