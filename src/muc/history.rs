//! The latest messages of a room, for those who come (XEP-0045 §7.2.13, §7.2.14): bounded in
//! number by the room's configuration and in bytes by `limits.room_history_bytes`.
//!
//! Each message is kept as it was serialised for all, with its delay added; a join only copies
//! bytes. The subject is no part of it (§7.2.13).
//!
//! What is not to be kept (XEP-0334 §4.1) is no part of it either, but for a while the room knows
//! that it was said and by whom: the hint is no way past moderators.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::cx::Now;
use crate::outbound::Envelope;
use crate::xml::Element;
use crate::xmpp::datetime::parse_utc;
use crate::xmpp::delay::delay;
use crate::xmpp::{BareJid, Jid};

/// What the room knows of a message besides the message.
#[derive(Clone, Debug)]
pub struct Said {
    /// The room, or the occupant, that it is from.
    pub from: Jid,
    /// The id that the room gave it.
    pub id: String,
    /// The occupant id of who said it; `None` for the room itself, and for an account that is gone.
    pub author: Option<Rc<str>>,
    /// When.
    pub unix_ms: i64,
}

struct Entry {
    said: Said,
    envelope: Envelope,
    /// Characters without the `to`.
    chars: usize,
}

/// Messages that are not kept, of which there is something known.
const PASSED_MESSAGES_MAX: usize = 100;

/// The messages, oldest first.
#[derive(Default)]
pub struct History {
    entries: VecDeque<Entry>,
    /// Invariant: the lengths of all envelopes together.
    bytes: usize,
    /// The latest ones that are not kept, without what they say.
    passed: VecDeque<Entry>,
}

/// What a newcomer asks for (§7.2.14); all of it holds at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    chars_max: Option<usize>,
    stanzas_max: Option<usize>,
    since_ms: Option<i64>,
}

impl Wish {
    /// Reads `<history/>`. A value that is none is as if it were not there.
    pub fn read(history: Option<&Element>, now: Now) -> Self {
        let Some(history) = history else { return Self::default() };
        let number = |name| history.attr(name).and_then(|text| text.trim().parse::<u64>().ok());
        let count = |name| number(name).map(|count| usize::try_from(count).unwrap_or(usize::MAX));
        let ago = number("seconds").map(|seconds| {
            let ms = i64::try_from(seconds.saturating_mul(1000)).unwrap_or(i64::MAX);
            now.unix_ms.saturating_sub(ms)
        });
        let since = history.attr("since").and_then(|text| parse_utc(text.trim()));
        Self {
            chars_max: count("maxchars"),
            stanzas_max: count("maxstanzas"),
            // The later of the two leaves the least traffic; `None` is less than any time.
            since_ms: ago.max(since),
        }
    }
}

impl History {
    /// Keeps a message that has just been sent to all.
    pub fn push(
        &mut self,
        room: &BareJid,
        said: Said,
        message: &Envelope,
        messages_max: usize,
        bytes_max: usize,
    ) {
        if messages_max > 0 {
            let envelope = message.with_last_child("message", &delay(room.as_str(), said.unix_ms));
            self.bytes += envelope.len();
            let chars = envelope.chars_count();
            self.entries.push_back(Entry { said, envelope, chars });
        }
        self.trim(messages_max, bytes_max);
    }

    /// Remembers that there was a message which is not kept; `emptied` says nothing any more.
    pub fn pass(&mut self, said: Said, emptied: Envelope) {
        if self.passed.len() >= PASSED_MESSAGES_MAX {
            self.passed.pop_front();
        }
        self.passed.push_back(Entry { said, envelope: emptied, chars: 0 });
    }

    /// The message with this id: the occupant id of its author, and how it is sent.
    pub fn find(&self, id: &str) -> Option<(Option<&str>, &Envelope)> {
        let mut all = self.entries.iter().chain(&self.passed);
        let entry = all.find(|entry| entry.said.id == id)?;
        Some((entry.said.author.as_deref(), &entry.envelope))
    }

    /// What an occupant has said is nobody's: its account is gone.
    pub fn forget_author(&mut self, occupant_id: &str) {
        for entry in self.entries.iter_mut().chain(&mut self.passed) {
            if entry.said.author.as_deref() == Some(occupant_id) {
                entry.said.author = None;
            }
        }
    }

    /// Puts another message in the place of the one with this id, if it is here.
    pub fn replace(&mut self, room: &BareJid, id: &str, message: &Envelope) {
        let has_id = |entry: &&mut Entry| entry.said.id == id;
        if let Some(passed) = self.passed.iter_mut().find(has_id) {
            passed.envelope = message.clone();
        }
        let Some(entry) = self.entries.iter_mut().find(has_id) else { return };
        self.bytes -= entry.envelope.len();
        entry.envelope =
            message.with_last_child("message", &delay(room.as_str(), entry.said.unix_ms));
        entry.chars = entry.envelope.chars_count();
        self.bytes += entry.envelope.len();
    }

    /// Drops the oldest messages over the limits; no bytes are no limit.
    pub fn trim(&mut self, messages_max: usize, bytes_max: usize) {
        let bytes_max = if bytes_max == 0 { usize::MAX } else { bytes_max };
        while self.entries.len() > messages_max || self.bytes > bytes_max {
            let Some(entry) = self.entries.pop_front() else { return };
            self.bytes -= entry.envelope.len();
        }
    }

    /// The messages for a newcomer, oldest first: the latest ones that fit all its wishes.
    /// `to_chars` are the characters that its address adds to each.
    pub fn select(&self, wish: Wish, to_chars: usize) -> impl Iterator<Item = (&Jid, &Envelope)> {
        let mut chars_left = wish.chars_max.unwrap_or(usize::MAX);
        let mut count = 0;
        for entry in self.entries.iter().rev() {
            let chars = entry.chars + to_chars;
            let is_too_old = wish.since_ms.is_some_and(|since| entry.said.unix_ms < since);
            if is_too_old || wish.stanzas_max.is_some_and(|max| count >= max) || chars > chars_left
            {
                break;
            }
            chars_left -= chars;
            count += 1;
        }
        let selected = self.entries.iter().skip(self.entries.len() - count);
        selected.map(|entry| (&entry.said.from, &entry.envelope))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xmpp::{MessageType, Stanza, StanzaKind, ns};

    fn history(count: i64, messages_max: usize, bytes_max: usize) -> History {
        let room = BareJid::parse("room@c").expect("an address");
        let mut history = History::default();
        for second in 0..count {
            let from = Jid::parse("room@c/nick").expect("an address");
            let kind = StanzaKind::Message(MessageType::Groupchat);
            let body = Element::new("body", ns::CLIENT).with_text("ä".repeat(10));
            let envelope = Envelope::new(&Stanza::new(kind, from.clone(), None).with_child(body));
            let said = Said { from, id: second.to_string(), author: None, unix_ms: second * 1000 };
            history.push(&room, said, &envelope, messages_max, bytes_max);
        }
        history
    }

    fn wish(attributes: &[(&'static str, &str)]) -> Wish {
        let element = Element::new("history", ns::MUC);
        let element = attributes.iter().fold(element, |e, (name, text)| e.with_attr(*name, *text));
        Wish::read(Some(&element), Now { mono_ms: 0, unix_ms: 10_000 })
    }

    #[test]
    fn bounded_in_number_and_bytes() {
        assert_eq!(history(30, 20, 0).entries.len(), 20);
        assert_eq!(history(30, 0, 0).entries.len(), 0);
        let one = history(1, 20, 0).bytes;
        let kept = history(30, 20, one * 3 + 1);
        assert_eq!((kept.entries.len(), kept.bytes), (3, one * 3));
        assert_eq!(history(3, 20, 1).entries.len(), 0);
    }

    #[test]
    fn what_passes_is_found_for_a_while_and_never_replayed() {
        let mut history = history(1, 20, 0);
        let room = BareJid::parse("room@c").expect("an address");
        let kind = StanzaKind::Message(MessageType::Groupchat);
        let stanza = Stanza::new(kind, room.clone().into(), None);
        let emptied = Envelope::new(&stanza.with_child(Element::new("x", ns::SID)));
        for number in 0..=PASSED_MESSAGES_MAX {
            let (from, id) = (room.clone().into(), format!("p{number}"));
            let said = Said { from, id, author: Some("o".into()), unix_ms: 0 };
            history.pass(said, emptied.clone());
        }
        assert!(history.find("p0").is_none());
        assert_eq!(history.find("p1").map(|(author, _)| author), Some(Some("o")));
        assert_eq!((history.entries.len(), history.passed.len()), (1, PASSED_MESSAGES_MAX));
        history.forget_author("o");
        history.replace(&room, "p1", &emptied.with_last_child("message", &delay(room.as_str(), 0)));
        let found = history.find("p1").map(|(author, envelope)| (author, envelope.to_vec()));
        assert!(found.is_some_and(|(author, xml)| author.is_none() && xml != emptied.to_vec()));
        assert_eq!(history.select(wish(&[]), 5).count(), 1);
    }

    #[test]
    fn large_messages_stay_within_the_bytes() {
        let room = BareJid::parse("room@c").expect("an address");
        let from = Jid::parse("room@c/nick").expect("an address");
        let body = Element::new("body", ns::CLIENT).with_text("x".repeat(200_000));
        let kind = StanzaKind::Message(MessageType::Groupchat);
        let message = Envelope::new(&Stanza::new(kind, from, None).with_child(body));
        let bytes_max = crate::config::Limits::default().room_history_bytes;
        let mut history = History::default();
        for number in 0..1_000 {
            let from = room.clone().into();
            let said = Said { from, id: number.to_string(), author: None, unix_ms: number };
            history.push(&room, said, &message, 1_000, bytes_max);
            let kept: usize = history.entries.iter().map(|entry| entry.envelope.len()).sum();
            assert!(kept == history.bytes && kept <= bytes_max, "{kept} after {number}");
        }
        assert_eq!(history.entries.len(), 1);
    }

    #[test]
    fn wishes_are_combined() {
        let history = history(10, 20, 0);
        let chars = history.entries[0].chars + 5;
        assert!(history.entries[0].chars < history.entries[0].envelope.len());
        let exact = (chars * 2).to_string();
        let less = (chars * 2 - 1).to_string();
        for (attributes, want) in [
            (&[][..], 10),
            (&[("maxstanzas", "3")], 3),
            (&[("maxstanzas", "0")], 0),
            (&[("maxchars", "0")], 0),
            (&[("maxchars", &exact)], 2),
            (&[("maxchars", &less)], 1),
            (&[("seconds", "3")], 3),
            (&[("since", "1970-01-01T00:00:08Z")], 2),
            (&[("since", "1970-01-01T00:00:08Z"), ("seconds", "9")], 2),
            (&[("since", "1970-01-01T00:00:01Z"), ("maxstanzas", "4"), ("maxchars", &exact)], 2),
            (&[("maxchars", "many"), ("since", "yesterday")], 10),
            (&[("seconds", "18446744073709551615")], 10),
        ] {
            assert_eq!(history.select(wish(attributes), 5).count(), want, "{attributes:?}");
        }
    }
}
