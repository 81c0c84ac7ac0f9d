//! Server Dialback at the receiving end (XEP-0220 §2.2): keys that another server shows are
//! verified, by asking who should have made them or by its certificate, and requests whether a key
//! is ours are answered. An error concerns one pair of domains; the stream goes on.

use std::rc::Rc;

use crate::certs::trust::Side;
use crate::config::Verify;
use crate::credentials::is_same_secret;
use crate::ids::SessionId;
use crate::peers::Pair;
use crate::stream::s2s;
use crate::xml::Element;
use crate::xmpp::{Condition, Jid, StreamCondition, StreamError};

use super::super::super::Server;
use super::super::Hold;
use super::super::queues::Verdict;
use super::Incoming;
use super::guests::STREAMS_PER_DOMAIN_MAX;

/// Pairs that one stream may carry.
const PAIRS_MAX: usize = 100;
/// Keys of one stream that may be verified at a time.
const PENDING_PAIRS_MAX: usize = 16;

/// A key that is being verified.
pub(super) struct Pending {
    pair: Pair,
    /// `from` and `to` as they came: the answer repeats them.
    names: Names,
}

/// The addresses of a request, as they came.
#[derive(Clone)]
struct Names {
    from: String,
    to: String,
}

/// What a key is worth before anybody is asked.
enum Worth {
    /// The pair is proved.
    Valid,
    /// The other side is to be asked.
    Unknown,
    /// The pair cannot be proved here.
    Refused(Condition),
}

impl Server {
    /// `<db:result/>` or `<db:verify/>`.
    pub(in crate::server::links) fn handle_dialback_request(
        &mut self,
        id: SessionId,
        element: &Element,
    ) -> Result<(), StreamError> {
        let (Some(from), Some(to)) = (element.attr("from"), element.attr("to")) else {
            return Err(StreamCondition::ImproperAddressing.into());
        };
        let pair = Pair { ours: domain(to)?, theirs: domain(from)? };
        if element.attr("type").is_some() {
            return self.refuse_unsolicited(id, &pair);
        }
        let names = Names { from: from.to_owned(), to: to.to_owned() };
        let key = element.text();
        match &*element.name {
            "verify" => self.answer_verify(id, &pair, &names, element.attr("id"), key.trim()),
            _ => self.take_key(id, pair, names, key.trim()),
        }
        Ok(())
    }

    /// An answer to what was never asked here: questions of ours go over streams of ours, and the
    /// answers come there (XEP-0220 §3.1, XEP-0288 §4, advisory a08).
    fn refuse_unsolicited(&mut self, id: SessionId, pair: &Pair) -> Result<(), StreamError> {
        log::warn!("unsolicited dialback: from={} to={}", pair.theirs, pair.ours);
        if self.incoming(id).is_some_and(|part| part.is_bidi) {
            return Err(StreamError::new(StreamCondition::PolicyViolation)
                .with_text("nobody has asked for this dialback result"));
        }
        Ok(())
    }

    /// §2.2.2: whether a key is ours. `from` has got it, on its stream `stream_id`, from who says
    /// that it is `to`.
    fn answer_verify(
        &mut self,
        id: SessionId,
        pair: &Pair,
        names: &Names,
        stream_id: Option<&str>,
        key: &str,
    ) {
        let secret = self.cx.storage.secret(s2s::DIALBACK_SECRET, &mut *self.cx.entropy);
        let verdict = match (self.is_served(&pair.ours), secret) {
            (false, _) => Err(Condition::ItemNotFound),
            (true, Err(_)) => Err(Condition::InternalServerError),
            (true, Ok(secret)) => Ok(stream_id.is_some_and(|stream_id| {
                let own = s2s::dialback_key(&secret, &pair.theirs, &pair.ours, stream_id);
                is_same_secret(own.as_bytes(), key.as_bytes())
            })),
        };
        let mut attributes = vec![("from", &*names.to), ("to", &*names.from)];
        attributes.extend(stream_id.map(|stream_id| ("id", stream_id)));
        let bytes = match verdict {
            Ok(is_valid) => {
                attributes.push(("type", if is_valid { "valid" } else { "invalid" }));
                s2s::dialback("verify", &attributes, None)
            }
            Err(condition) => s2s::dialback_error("verify", &attributes, condition),
        };
        self.cx.out.push_raw(id, &bytes);
    }

    /// §2.2.1: a key by which `from` wants to prove that it may send to `to`.
    fn take_key(&mut self, id: SessionId, pair: Pair, names: Names, key: &str) {
        let Some(part) = self.incoming(id) else { return };
        if part.pending.iter().any(|pending| pending.pair == pair) {
            return; // One answer is for both.
        }
        match self.worth(part, &pair) {
            Worth::Valid => self.accept_key(id, &pair, &names),
            Worth::Refused(condition) => self.refuse_key(id, &pair, &names, condition),
            Worth::Unknown => {
                let Some(part) = self.incoming_mut(id) else { return };
                let stream_id = part.stream_id.clone();
                part.pending.push(Pending { pair: pair.clone(), names });
                self.verify_key(id, &pair, &stream_id, key);
            }
        }
    }

    /// The table at the head of `incoming`, and §2.5.
    fn worth(&self, part: &Incoming, pair: &Pair) -> Worth {
        if !self.is_served(&pair.ours) {
            return Worth::Refused(Condition::ItemNotFound);
        }
        if self.is_served(&pair.theirs) {
            return Worth::Refused(Condition::NotAcceptable);
        }
        if part.may(pair) {
            return Worth::Valid;
        }
        if self.needs_tls(part) {
            return Worth::Refused(Condition::PolicyViolation);
        }
        if part.proved.len() + part.pending.len() >= PAIRS_MAX
            || part.pending.len() >= PENDING_PAIRS_MAX
            || self.is_crowded_out(part, &pair.theirs)
        {
            return Worth::Refused(Condition::ResourceConstraint);
        }
        match (self.cx.config.s2s.verify, self.is_certified(part, &pair.theirs)) {
            (Verify::Dialback | Verify::Certificate, true) => Worth::Valid,
            (Verify::Dialback, false) | (Verify::Both, true) => Worth::Unknown,
            (Verify::Certificate | Verify::Both, false) => Worth::Refused(Condition::NotAuthorized),
        }
    }

    /// The certificate of the peer is good for the domain.
    pub(super) fn is_certified(&self, part: &Incoming, domain: &str) -> bool {
        if part.chain.is_empty() {
            return false;
        }
        let now_ms = self.cx.now.unix_ms;
        let checked = self.cx.trust.check(&part.chain, domain, Side::Client, now_ms);
        if let Err(reason) = &checked {
            log::debug!("certificate not good: domain={domain} reason={reason}");
        }
        checked.is_ok()
    }

    /// The domain has as many streams as it may, and this is not one of them.
    pub(super) fn is_crowded_out(&self, part: &Incoming, domain: &str) -> bool {
        part.guest.is_none() && self.links.guests.streams(domain) >= STREAMS_PER_DOMAIN_MAX
    }

    /// The answer to [`Server::verify_key`]: about a key that came over the link `id`. What is not
    /// waited for, any more or at all, counts for nothing (advisory a08).
    pub(in crate::server::links) fn key_is_verified(
        &mut self,
        id: SessionId,
        pair: &Pair,
        verdict: Verdict,
    ) {
        if self.links.get(id).is_none_or(|link| link.hold == Hold::Ended) {
            return;
        }
        let Some(part) = self.incoming_mut(id) else { return };
        let Some(at) = part.pending.iter().position(|pending| pending.pair == *pair) else {
            return;
        };
        let Pending { names, .. } = part.pending.remove(at);
        let is_alone = part.proved.is_empty();
        let is_crowded_out = self.incoming(id).is_some_and(|part| {
            verdict == Verdict::Valid && self.is_crowded_out(part, &pair.theirs)
        });
        match verdict {
            _ if is_crowded_out => {
                self.refuse_key(id, pair, &names, Condition::ResourceConstraint);
            }
            Verdict::Valid => self.accept_key(id, pair, &names),
            // §2.2.1: other pairs of the stream are not to suffer.
            Verdict::Invalid if !is_alone => {
                self.refuse_key(id, pair, &names, Condition::Forbidden);
            }
            Verdict::Invalid => {
                log::warn!("server not accepted: from={} reason=invalid-key", pair.theirs);
                self.push_result(id, &names, "invalid");
                self.end_link(id, None);
            }
            // §2.5: "MUST send".
            Verdict::Unknown => {
                self.refuse_key(id, pair, &names, Condition::RemoteServerNotFound);
            }
        }
    }

    fn accept_key(&mut self, id: SessionId, pair: &Pair, names: &Names) {
        self.push_result(id, names, "valid");
        self.prove(id, pair);
        if self.incoming(id).is_some_and(|part| part.is_bidi) {
            self.link_takes(id, pair);
        }
    }

    fn refuse_key(&mut self, id: SessionId, pair: &Pair, names: &Names, condition: Condition) {
        let reason = condition.as_str();
        log::warn!("server not accepted: from={} to={} reason={reason}", pair.theirs, pair.ours);
        let attributes = [("from", &*names.to), ("to", &*names.from)];
        self.cx.out.push_raw(id, &s2s::dialback_error("result", &attributes, condition));
    }

    fn push_result(&mut self, id: SessionId, names: &Names, kind: &str) {
        let attributes = [("from", &*names.to), ("to", &*names.from), ("type", kind)];
        self.cx.out.push_raw(id, &s2s::dialback("result", &attributes, None));
    }
}

/// An address that is a domain.
pub(in crate::server::links) fn domain(text: &str) -> Result<Rc<str>, StreamError> {
    match Jid::parse(text) {
        Ok(jid) if jid.local().is_none() && jid.is_bare() => Ok(jid.domain().into()),
        _ => Err(StreamCondition::ImproperAddressing.into()),
    }
}
