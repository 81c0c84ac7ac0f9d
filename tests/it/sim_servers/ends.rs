//! The ends of connections: what is on its way to each, and what was lost when one broke.

use std::collections::VecDeque;

use tercet::ids::ConnId;
use tercet::outbound::Outbox;

use crate::driver::Link;

/// What travels.
pub enum Piece {
    Bytes(VecDeque<u8>),
    /// A TLS handshake, with the certificates of who sends it.
    Hello(Vec<Vec<u8>>),
    /// The end of a direction.
    Fin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Not expected.
    None,
    /// The other end is to begin.
    Accepting,
    /// The other end is to answer.
    Connecting,
}

/// One end of a connection, at a server, until that was told that it is gone.
pub struct End {
    pub host: usize,
    pub id: ConnId,
    /// The other end, while there is one; a client has none.
    pub far: Option<Link>,
    pub is_of_servers: bool,
    /// On the way here, and when it is here.
    pub coming: VecDeque<(u64, Piece)>,
    pub tls: Tls,
    /// Something waits in the outbox.
    pub is_dirty: bool,
    /// `CloseAfterFlush`, and until when.
    pub closing: Option<u64>,
    /// Its direction has ended.
    pub fin_sent: bool,
    /// The other direction has.
    pub is_ended: bool,
    /// The connection is broken; it hears of that then.
    pub broken_ms: Option<u64>,
    /// All that it has written.
    written: Vec<u8>,
    /// How much of that the server at the other end has read.
    arrived_count: usize,
}

impl End {
    pub fn new(host: usize, id: ConnId, far: Option<Link>) -> Self {
        Self {
            host,
            id,
            far,
            is_of_servers: far.is_some(),
            coming: VecDeque::new(),
            tls: Tls::None,
            is_dirty: true,
            closing: None,
            fin_sent: false,
            is_ended: false,
            broken_ms: None,
            written: Vec::new(),
            arrived_count: 0,
        }
    }

    /// Where the message begins that the other end was reading.
    fn begin_of_unread(&self) -> usize {
        let read = &self.written[..self.arrived_count.min(self.written.len())];
        read.windows(8).rposition(|at| at == b"<message").unwrap_or(0)
    }

    /// Something is here.
    pub fn has_come(&self, now_ms: u64) -> bool {
        self.coming.front().is_some_and(|(due_ms, _)| *due_ms <= now_ms)
    }

    /// Takes what has come, of bytes at most so many.
    pub fn take(&mut self, bytes_max: usize) -> Option<Piece> {
        if let Some((_, Piece::Bytes(bytes))) = self.coming.front_mut()
            && bytes.len() > bytes_max
        {
            return Some(Piece::Bytes(bytes.drain(..bytes_max).collect()));
        }
        self.coming.pop_front().map(|(_, piece)| piece)
    }
}

/// All ends.
#[derive(Default)]
pub struct Ends {
    all: Vec<Option<End>>,
    /// Stanzas that were written, at least in part, and not read whole when a connection broke.
    lost: String,
    /// All that was written on connections that broke.
    risked: String,
}

impl Ends {
    pub fn next_id(&self) -> ConnId {
        ConnId { index: self.all.len() as u32, generation: 1 }
    }

    pub fn id_after_next(&self) -> ConnId {
        ConnId { index: self.all.len() as u32 + 1, generation: 1 }
    }

    pub fn add(&mut self, end: End) -> Link {
        self.all.push(Some(end));
        self.all.len() - 1
    }

    pub fn join(&mut self, near: Link, far: Link) {
        if let Some(end) = &mut self.all[near] {
            (end.far, end.is_of_servers) = (Some(far), true);
        }
    }

    pub fn link_of(&self, id: ConnId) -> Link {
        id.index as usize
    }

    pub fn get(&self, link: Link) -> Option<&End> {
        self.all.get(link)?.as_ref()
    }

    pub fn get_mut(&mut self, link: Link) -> Option<&mut End> {
        self.all.get_mut(link)?.as_mut()
    }

    pub fn all(&self) -> impl Iterator<Item = (Link, &End)> {
        self.all.iter().enumerate().filter_map(|(link, end)| Some((link, end.as_ref()?)))
    }

    /// The ends at a server.
    pub fn of(&self, host: usize) -> Vec<Link> {
        self.all().filter(|(_, end)| end.host == host).map(|(link, _)| link).collect()
    }

    pub fn remove(&mut self, link: Link) {
        self.all[link] = None;
    }

    /// A piece leaves an end; it overtakes none. What is written to nobody is lost.
    pub fn send(&mut self, link: Link, piece: Piece, now_ms: u64, delay_ms: u64) {
        let Some(end) = self.get_mut(link) else { return };
        let (far, is_broken) = (end.far, end.broken_ms.is_some());
        if let Piece::Bytes(bytes) = &piece {
            end.written.extend(bytes);
        }
        let Some(far) = far else { return };
        let far_end = self.get_mut(far).filter(|far| far.broken_ms.is_none() && !is_broken);
        match far_end {
            Some(far) => {
                let last_ms = far.coming.back().map_or(0, |(due_ms, _)| *due_ms);
                far.coming.push_back(((now_ms + delay_ms).max(last_ms), piece));
            }
            None => {
                if let Some(end) = self.get_mut(link) {
                    end.broken_ms.get_or_insert(now_ms + delay_ms);
                }
            }
        }
    }

    /// The connection of this end is broken: what was on its way here is lost.
    pub fn note_lost(&mut self, link: Link) {
        let Some(end) = self.get_mut(link) else { return };
        end.coming.clear();
    }

    /// The server of this end has read so many bytes.
    pub fn note_read(&mut self, link: Link, count: usize) {
        let far = self.get(link).and_then(|end| end.far);
        if let Some(far) = far.and_then(|far| self.get_mut(far)) {
            far.arrived_count += count;
        }
    }

    /// An end is about to go: what it has written and the other end has not read whole is lost,
    /// and the rest of what is half written.
    pub fn note_outbox(&mut self, link: Link, outbox: Option<&mut Outbox>) {
        let Some(end) = self.get(link).filter(|end| end.is_of_servers) else { return };
        let text = String::from_utf8_lossy(&end.written[end.begin_of_unread()..]);
        let mut text = text.into_owned();
        if let Some(outbox) = outbox.filter(|outbox| outbox.is_amid_stanza()) {
            let rest: Vec<u8> = outbox.chunks().flatten().copied().collect();
            let rest = String::from_utf8_lossy(&rest).into_owned();
            let stop = rest.find("</message>").unwrap_or(rest.len());
            text.push_str(&rest[..stop]);
        }
        let written = String::from_utf8_lossy(&end.written).into_owned();
        self.lost.push_str(&text);
        self.lost.push('\n');
        self.risked.push_str(&written);
        self.risked.push('\n');
    }

    /// Whether this text was in something that was lost on its way.
    pub fn has_lost(&self, text: &str) -> bool {
        self.lost.contains(text)
    }

    /// Whether this text was written on a connection that broke.
    pub fn has_risked(&self, text: &str) -> bool {
        self.risked.contains(text)
    }
}
