//! Stream management (XEP-0198) of a server that has connected to us: its stanzas are counted, and
//! it may go on with the count after its connection was lost. All that is kept of a lost stream is
//! the count and the pairs that were proved on it: in this direction nothing waits.
//!
//! A stream that goes both ways (XEP-0288) is counted, and is not resumed: what waits for the peer
//! finds another way, and one that had been written would come twice.

use std::rc::Rc;

use crate::credentials::is_same_secret;
use crate::ids::SessionId;
use crate::outbound::TooHigh;
use crate::xml::Element;
use crate::xmpp::{Condition, StreamCondition, StreamError, ns};

use super::super::super::Server;
use super::super::super::management::{answer, count_of, count_too_high, failed};
use super::super::{Hold, Part};
use super::Incoming;
use super::guests::Kept;

/// Random bytes of the id that a stream is resumed by.
const RESUMPTION_ID_BYTES: usize = 20;

/// The counting of a stream.
pub(super) struct Management {
    /// Stanzas of the peer that were handled, modulo 2^32 (§4).
    handled: u32,
    /// What it is resumed by, and for how long after its connection is lost.
    resumption: Option<(String, u64)>,
}

impl Incoming {
    /// The stream goes both ways from now on.
    pub(super) fn forbid_resumption(&mut self) {
        if let Some(management) = &mut self.management {
            management.resumption = None;
        }
    }
}

impl Server {
    /// §4: a stanza was handled.
    pub(super) fn count_incoming(&mut self, id: SessionId) {
        let management = self.incoming_mut(id).and_then(|part| part.management.as_mut());
        if let Some(management) = management {
            management.handled = management.handled.wrapping_add(1);
        }
    }

    /// An element of XEP-0198.
    pub(super) fn handle_incoming_management(
        &mut self,
        id: SessionId,
        element: &Element,
    ) -> Result<(), StreamError> {
        let Some(part) = self.incoming(id) else { return Ok(()) };
        let handled = part.management.as_ref().map(|management| management.handled);
        let is_proved = !part.proved.is_empty();
        let reply = match (&*element.name, handled) {
            ("r", Some(handled)) => answer(handled),
            // Never asked for: what goes to the peer is not counted here.
            ("a", Some(_)) => return Ok(()),
            ("enable", None) if is_proved => self.enable_incoming_management(id, element),
            ("resume", None) if is_proved => self.resume_incoming(id, element),
            // §3
            ("enable", Some(_)) => {
                self.push_nonza(id, &failed(Condition::UnexpectedRequest));
                return Err(StreamError::new(StreamCondition::PolicyViolation)
                    .with_text("stream management is enabled already"));
            }
            ("enable" | "resume", _) => failed(Condition::UnexpectedRequest),
            _ => return Err(StreamCondition::UnsupportedStanzaType.into()),
        };
        self.push_nonza(id, &reply);
        Ok(())
    }

    fn enable_incoming_management(&mut self, id: SessionId, enable: &Element) -> Element {
        let limit_seconds = self.cx.config.c2s.resume_seconds;
        let wish_seconds = enable.attr("max").and_then(|max| max.parse().ok());
        let seconds = match wish_seconds {
            Some(wish) if wish > 0 => limit_seconds.min(wish),
            _ => limit_seconds,
        };
        let previd = self.cx.random_hex(RESUMPTION_ID_BYTES);
        let Some(part) = self.incoming_mut(id) else { return failed(Condition::ItemNotFound) };
        let is_wanted = matches!(enable.attr("resume"), Some("true" | "1"));
        let resumption = (is_wanted && seconds > 0 && !part.is_bidi).then_some((previd, seconds));
        let mut enabled = Element::new("enabled", ns::SM);
        if let Some((previd, seconds)) = &resumption {
            enabled = enabled
                .with_attr("id", previd.as_str())
                .with_attr("resume", "true")
                .with_attr("max", seconds.to_string());
        }
        part.management = Some(Management { handled: 0, resumption });
        enabled
    }

    /// §5: the stream goes on with the count, and the pairs, of one whose connection is lost, or is
    /// about to be.
    fn resume_incoming(&mut self, id: SessionId, resume: &Element) -> Element {
        let (Some(previd), Some(h)) = (resume.attr("previd"), count_of(resume)) else {
            return failed(Condition::BadRequest);
        };
        // The peer has the old connection for lost.
        if let Some(old) = self.incoming_resumed_by(id, previd) {
            self.keep_incoming(old);
            self.end_link(old, Some(StreamCondition::Conflict.into()));
        }
        let now_ms = self.cx.now.mono_ms;
        let proved = self.incoming(id).map(|part| Rc::clone(&part.proved)).unwrap_or_default();
        let take = |pair| self.links.guests.take_kept(now_ms, previd, pair);
        let Some(kept) = proved.iter().find_map(take) else {
            return failed(Condition::ItemNotFound);
        };
        let seconds = self.cx.config.c2s.resume_seconds;
        if let Some(part) = self.incoming_mut(id).filter(|_| h == 0) {
            let all = Rc::make_mut(&mut part.proved);
            let news = kept.proved.iter().filter(|pair| !proved.contains(pair));
            all.extend(news.cloned());
            let resumption = (!part.is_bidi).then(|| (kept.id.clone(), seconds));
            part.management = Some(Management { handled: kept.handled, resumption });
        } else {
            // §5, §6: nothing was ever sent that could have been handled.
            let count = count_too_high(h, TooHigh { sent: 0 });
            self.links.guests.keep(now_ms, kept);
            return failed(Condition::UndefinedCondition).with_child(count);
        }
        Element::new("resumed", ns::SM)
            .with_attr("h", kept.handled.to_string())
            .with_attr("previd", previd)
    }

    /// Another stream that is there, and that this resumes.
    fn incoming_resumed_by(&self, id: SessionId, previd: &str) -> Option<SessionId> {
        let proved = &self.incoming(id)?.proved;
        let is_it = |part: &Incoming| {
            let resumption = part.management.as_ref().and_then(|own| own.resumption.as_ref());
            part.proved.iter().any(|pair| proved.contains(pair))
                && resumption
                    .is_some_and(|(own, _)| is_same_secret(own.as_bytes(), previd.as_bytes()))
        };
        let links = self.links.ids().into_iter().filter(|other| *other != id);
        links.into_iter().find(|other| self.incoming(*other).is_some_and(is_it))
    }

    /// The connection is lost, and the stream has not ended: what it takes to resume it is kept.
    pub(in crate::server) fn keep_incoming(&mut self, id: SessionId) {
        let now_ms = self.cx.now.mono_ms;
        if self.drain.has_begun() {
            return;
        }
        let Some(link) = self.links.get_mut(id).filter(|link| link.hold == Hold::None) else {
            return;
        };
        let Part::Incoming(part) = &mut link.part else { return };
        let Some(management) = part.management.take() else { return };
        if let Some((previd, seconds)) = management.resumption {
            let proved = Rc::clone(&part.proved);
            let until_ms = now_ms + seconds * 1000;
            let kept = Kept { id: previd, proved, handled: management.handled, until_ms };
            self.links.guests.keep(now_ms, kept);
        }
    }
}
