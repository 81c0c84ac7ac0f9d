//! Messages with a sequence number and a time in their body, to groups of receivers, and the
//! check that each arrived at each receiver, in one order for all, once.

use memchr::memmem;

use crate::client::{Load, Sends};
use crate::scan::attribute;

/// Bytes of a body; the sizes of chat are about these.
const BODY_BYTES: usize = 100;

/// Receivers that get the same messages in the same order: a room, or one end of a chat.
pub struct Group {
    /// Connections that receive.
    pub receivers: Vec<usize>,
    /// Connections that send; in rooms they are receivers too.
    pub senders: Vec<usize>,
    /// The address written to.
    pub to: String,
    /// `groupchat` or `chat`.
    pub kind: &'static str,
}

/// When the next message is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// So many messages of each sender are under way: one returns, the next goes.
    Window(usize),
    /// One message at a time in each group: all have it, the next goes.
    OneInFlight,
}

/// A message that came where it should.
struct Arrival {
    group: usize,
    sender: usize,
    /// When it was sent.
    time: u64,
}

struct State {
    group: Group,
    /// What each sender has sent.
    sent: Vec<u32>,
    /// What has arrived somewhere, in the order of arrival: the order for everybody.
    order: Vec<(u32, u32)>,
    /// What the first to see it has seen of each sender.
    seen: Vec<u32>,
    /// How often the newest message has arrived, for [`Pace::OneInFlight`].
    arrived: usize,
}

/// The load.
pub struct Messages {
    groups: Vec<State>,
    /// Per connection: its group, and how much of the group's order it has received.
    places: Vec<Option<(usize, usize)>>,
    pace: Pace,
    bare: bool,
    is_sending: bool,
    delivered: u64,
    expected: u64,
    /// When something last arrived.
    pub last_arrival: u64,
    /// Latencies in units of 100 ns.
    pub latencies: Vec<u32>,
    body: memmem::Finder<'static>,
}

impl Messages {
    /// A load for `conns` connections.
    pub fn new(groups: Vec<Group>, conns: usize, pace: Pace, bare: bool) -> Self {
        let mut places = vec![None; conns];
        for (index, group) in groups.iter().enumerate() {
            for &receiver in &group.receivers {
                places[receiver] = Some((index, 0));
            }
        }
        let state = |group: Group| State {
            sent: vec![0; group.senders.len()],
            order: Vec::new(),
            seen: vec![0; group.senders.len()],
            arrived: 0,
            group,
        };
        Self {
            groups: groups.into_iter().map(state).collect(),
            places,
            pace,
            bare,
            is_sending: true,
            delivered: 0,
            expected: 0,
            last_arrival: 0,
            latencies: Vec::with_capacity(1 << 20),
            body: memmem::Finder::new(b"<body>"),
        }
    }

    /// Sends the first messages.
    pub fn start(&mut self, now: u64, sends: &mut Sends) {
        for group in 0..self.groups.len() {
            match self.pace {
                Pace::OneInFlight => self.send(group, 0, now, sends),
                Pace::Window(count) => {
                    for sender in 0..self.groups[group].group.senders.len() {
                        for _ in 0..count {
                            self.send(group, sender, now, sends);
                        }
                    }
                }
            }
        }
    }

    /// Sends no more.
    pub fn stop(&mut self) {
        self.is_sending = false;
    }

    /// All that was sent has arrived everywhere.
    pub fn is_complete(&self) -> bool {
        self.delivered == self.expected
    }

    /// Messages that arrived.
    pub fn delivered(&self) -> u64 {
        self.delivered
    }

    /// The verdict at the end: what was sent has arrived at each receiver, once.
    pub fn check(&self) -> Result<(), String> {
        for (conn, place) in self.places.iter().enumerate() {
            let Some((group, received)) = *place else { continue };
            let sent: u32 = self.groups[group].sent.iter().sum();
            if received != sent as usize {
                let to = &self.groups[group].group.to;
                return Err(format!("{to}: connection {conn} has {received} of {sent} messages"));
            }
        }
        if self.delivered == 0 {
            return Err("nothing was delivered".to_owned());
        }
        Ok(())
    }

    fn send(&mut self, group: usize, sender: usize, now: u64, sends: &mut Sends) {
        let state = &mut self.groups[group];
        let number = state.sent[sender];
        state.sent[sender] += 1;
        self.expected += state.group.receivers.len() as u64;
        let conn = state.group.senders[sender];
        let (to, kind) = (&state.group.to, state.group.kind);
        sends.push(conn, |out| write_message(out, to, kind, (sender, number, now), self.bare));
    }

    /// Checks a message against the order; returns its group, its sender and when it was sent.
    fn arrived(&mut self, conn: usize, stanza: &[u8]) -> Result<Option<Arrival>, String> {
        let bad = || format!("connection {conn}: {}", String::from_utf8_lossy(stanza));
        let Some(at) = self.body.find(stanza) else {
            refuse_errors(stanza)?;
            return Ok(None);
        };
        let body = stanza.get(at + 6..at + 6 + 31).ok_or_else(bad)?;
        let body = std::str::from_utf8(body).map_err(|_| bad())?;
        let mut numbers = body.split(' ');
        let mut number = || numbers.next().and_then(|text| text.parse::<u64>().ok());
        let (Some(sender), Some(sequence), Some(time)) = (number(), number(), number()) else {
            return Err(bad());
        };
        let message = (sender as u32, sequence as u32);
        let (group, position) = self.places[conn].as_mut().ok_or_else(bad)?;
        let state = &mut self.groups[*group];
        if *position == state.order.len() {
            let seen = state.seen.get_mut(sender as usize).ok_or_else(bad)?;
            if *seen != message.1 {
                return Err(format!("lost, twice or out of order: {message:?} after {seen}"));
            }
            *seen += 1;
            state.order.push(message);
        } else if state.order[*position] != message {
            let want = state.order[*position];
            return Err(format!("connection {conn} gets {message:?} where others got {want:?}"));
        }
        *position += 1;
        Ok(Some(Arrival { group: *group, sender: sender as usize, time }))
    }
}

impl Load for Messages {
    fn stanza(
        &mut self,
        conn: usize,
        stanza: &[u8],
        now: u64,
        sends: &mut Sends,
    ) -> Result<(), String> {
        let Some(arrival) = self.arrived(conn, stanza)? else { return Ok(()) };
        let Arrival { group, sender, time } = arrival;
        self.delivered += 1;
        self.last_arrival = now;
        self.latencies.push((now.saturating_sub(time) / 100) as u32);
        let state = &mut self.groups[group];
        let next = match self.pace {
            Pace::OneInFlight => {
                state.arrived += 1;
                let is_last = state.arrived == state.group.receivers.len();
                if is_last {
                    state.arrived = 0;
                }
                is_last
            }
            Pace::Window(_) => {
                let is_echo = state.group.senders[sender] == conn;
                is_echo || state.group.receivers.len() == 1
            }
        };
        if next && self.is_sending {
            self.send(group, sender, now, sends);
        }
        Ok(())
    }
}

/// An error stanza fails the run.
pub fn refuse_errors(stanza: &[u8]) -> Result<(), String> {
    match attribute(stanza, " type=") {
        Some("error") => Err(String::from_utf8_lossy(stanza).into_owned()),
        _ => Ok(()),
    }
}

/// Bytes of a frame of the bare loop.
pub fn frame_bytes() -> usize {
    let mut out = Vec::new();
    write_message(&mut out, "", "groupchat", (0, 0, 0), true);
    out.len()
}

/// A message as a client sends it, or, for the bare loop, as a room would deliver it.
fn write_message(
    out: &mut Vec<u8>,
    to: &str,
    kind: &str,
    (sender, number, now): (usize, u32, u64),
    bare: bool,
) {
    use std::io::Write as _;
    // Writing to a Vec does not fail.
    let _ = if bare {
        write!(
            out,
            "<message from='r0001x000@conference.localhost/n{sender:05}' type='groupchat' \
             id='{sender:05}-{number:08}' xml:lang='en' to='b00000@localhost/bench'>"
        )
    } else {
        write!(out, "<message to='{to}' type='{kind}' id='{sender:05}-{number:08}'>")
    };
    let body = out.len();
    let _ = write!(out, "<body>{sender:05} {number:08} {now:016} ");
    out.resize(body + 6 + BODY_BYTES, b'x');
    out.extend_from_slice(b"</body>");
    if bare {
        let _ = write!(
            out,
            "<stanza-id xmlns='urn:xmpp:sid:0' by='r0001x000@conference.localhost' \
             id='0123456789abcdef'/>"
        );
    }
    out.extend_from_slice(b"</message>");
}
