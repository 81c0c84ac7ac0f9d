//! The second half of a turn: what servers write comes to the other end, and connections that are
//! over leave.

use super::*;

impl Net {
    pub(super) fn flush(&mut self, host: usize) -> bool {
        while let Some(conn) = self.hosts[host].server.poll_dirty() {
            let link = self.ends.link_of(conn);
            if let Some(end) = self.ends.get_mut(link) {
                end.is_dirty = true;
            }
        }
        let mut worked = false;
        for link in self.ends.of(host) {
            if self.ends.get(link).is_some_and(|end| end.is_dirty) {
                worked |= self.flush_end(host, link);
            }
        }
        worked
    }

    pub(super) fn flush_end(&mut self, host: usize, link: Link) -> bool {
        let Some(end) = self.ends.get_mut(link) else { return false };
        if end.tls == Tls::Connecting {
            return false;
        }
        let is_of_servers = end.is_of_servers;
        let Some(outbox) = self.hosts[host].server.outbox(end.id) else { return false };
        let waiting = outbox.transport_len();
        let is_partial = self.weather.is_chunked && is_of_servers && waiting > 0;
        let is_partial = is_partial && self.weather.rng.one_in(3);
        let count = if is_partial { self.weather.rng.below(waiting) } else { waiting };
        let bytes: Vec<u8> = outbox.chunks().flatten().copied().take(waiting).collect();
        let bytes = match is_of_servers {
            true => hide(bytes, count, &self.weather.hides),
            false => bytes[..count].to_vec(),
        };
        outbox.consume(bytes.len());
        if outbox.starttls_is_due() {
            outbox.starttls_done();
            end.tls = Tls::Accepting;
        }
        end.is_dirty = !outbox.is_empty();
        let worked = !bytes.is_empty();
        if is_of_servers {
            self.note_negotiation(&bytes);
        }
        match (is_of_servers, worked) {
            (_, false) => {}
            (true, true) => self.send(link, Piece::Bytes(bytes.into())),
            (false, true) => self.events.push_back(Event::Bytes(link, bytes)),
        }
        worked
    }

    fn note_negotiation(&mut self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        for (part, what) in [
            ("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'", "servers with certificates"),
            ("<db:verify ", "keys asked about"),
            ("<bidi xmlns='urn:xmpp:bidi'", "streams both ways"),
            ("<resumed ", "streams resumed"),
        ] {
            if text.contains(part) {
                self.count(what);
            }
        }
    }

    /// Ends what is to be closed and is flushed; forgets what both sides have ended.
    pub(super) fn reap(&mut self, host: usize) -> bool {
        let mut worked = false;
        for link in self.ends.of(host) {
            let Some(end) = self.ends.get_mut(link) else { continue };
            let Some(deadline_ms) = end.closing else { continue };
            let outbox = self.hosts[host].server.outbox(end.id);
            if outbox.is_none_or(|outbox| outbox.is_empty()) && !end.fin_sent {
                end.fin_sent = true;
                // A client closes when the server does.
                end.is_ended |= !end.is_of_servers;
                worked = true;
                self.send(link, Piece::Fin);
            }
            let Some(end) = self.ends.get(link) else { continue };
            if end.fin_sent && end.is_ended {
                self.lose_end(link, "closed");
                worked = true;
            } else if deadline_ms <= self.now.mono_ms {
                self.abort(link);
                worked = true;
            }
        }
        worked
    }

    /// The process has ended: the kernel closes what it had.
    pub(super) fn die(&mut self, host: usize) {
        for link in self.ends.of(host) {
            if self.ends.get(link).is_some_and(|end| !end.fin_sent) {
                self.send(link, Piece::Fin);
            }
            if self.ends.get(link).is_some_and(|end| !end.is_of_servers) {
                self.events.push_back(Event::End(link));
            }
            self.ends.remove(link);
        }
        self.attempts.retain(|attempt| attempt.host != host);
    }
}

/// What is written when no more than `count` bytes fit and these features are hidden: one is
/// written whole.
fn hide(mut bytes: Vec<u8>, mut count: usize, hides: &[&'static str]) -> Vec<u8> {
    for feature in hides {
        let find =
            |bytes: &[u8]| bytes.windows(feature.len()).position(|at| at == feature.as_bytes());
        while let Some(start) = find(&bytes) {
            let end = start + feature.len();
            if start < count && count < end {
                count = end;
            }
            bytes[start + 1..start + 3].copy_from_slice(b"no");
        }
    }
    bytes.truncate(count);
    bytes
}
