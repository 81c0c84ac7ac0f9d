//! What is known of other servers beyond one stream: how many each domain has and how much it
//! sends, how many have not shown who they are, and streams that were lost and may be resumed
//! (XEP-0198 §5). All of it is bounded.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use crate::config::Limits;
use crate::credentials::is_same_secret;
use crate::peers::Pair;

use super::super::super::limits::ByteBucket;

/// Streams that one domain may have at a time.
pub(super) const STREAMS_PER_DOMAIN_MAX: usize = 32;
/// Lost streams that are remembered; the oldest go first.
const KEPT_STREAMS_MAX: usize = 256;
/// Lost streams that are remembered of one domain.
const KEPT_STREAMS_PER_DOMAIN_MAX: usize = 8;

/// What remains of a stream whose connection was lost.
pub(super) struct Kept {
    /// What it is resumed by.
    pub id: String,
    /// What it may carry; never empty.
    pub proved: Rc<Vec<Pair>>,
    /// Stanzas of the peer that were handled.
    pub handled: u32,
    /// It is forgotten then.
    pub until_ms: u64,
}

impl Kept {
    fn domain(&self) -> Option<&str> {
        self.proved.first().map(|pair| &*pair.theirs)
    }
}

/// The other servers.
#[derive(Default)]
pub(in crate::server::links) struct Guests {
    domains: HashMap<Rc<str>, Domain>,
    /// Connections of servers that have not shown who they are.
    pub(in crate::server::links) strangers: usize,
    kept: VecDeque<Kept>,
}

/// A domain that has streams.
struct Domain {
    streams: usize,
    /// How fast all of them together may send.
    bucket: ByteBucket,
}

impl Guests {
    /// Streams of a domain.
    pub(super) fn streams(&self, domain: &str) -> usize {
        self.domains.get(domain).map_or(0, |domain| domain.streams)
    }

    /// A domain has one stream more.
    pub(super) fn enter(&mut self, limits: &Limits, now_ms: u64, domain: &Rc<str>) {
        let new = || Domain { streams: 0, bucket: ByteBucket::new(limits, now_ms) };
        self.domains.entry(Rc::clone(domain)).or_insert_with(new).streams += 1;
    }

    /// A domain has sent something.
    pub(super) fn take(&mut self, limits: &Limits, now_ms: u64, domain: &str, bytes: usize) {
        if let Some(domain) = self.domains.get_mut(domain) {
            domain.bucket.take(limits, now_ms, bytes);
        }
    }

    /// When the streams of a domain may be read again; `None`: now.
    pub(super) fn paused_until_ms(&self, limits: &Limits, domain: &str) -> Option<u64> {
        self.domains.get(domain)?.bucket.paused_until_ms(limits)
    }

    /// A domain has one stream less.
    pub(super) fn leave(&mut self, domain: &str) {
        if let Some(known) = self.domains.get_mut(domain) {
            known.streams -= 1;
            if known.streams == 0 {
                self.domains.remove(domain);
            }
        }
    }

    /// Remembers a lost stream.
    pub(super) fn keep(&mut self, now_ms: u64, stream: Kept) {
        self.kept.retain(|kept| kept.until_ms > now_ms);
        let is_same = |kept: &Kept| kept.domain() == stream.domain();
        if self.kept.iter().filter(|kept| is_same(kept)).count() >= KEPT_STREAMS_PER_DOMAIN_MAX {
            let oldest = self.kept.iter().position(is_same);
            oldest.and_then(|oldest| self.kept.remove(oldest));
        }
        if self.kept.len() >= KEPT_STREAMS_MAX {
            self.kept.pop_front();
        }
        self.kept.push_back(stream);
    }

    /// The lost stream that this resumes, for who has proved this pair of it.
    pub(super) fn take_kept(&mut self, now_ms: u64, id: &str, pair: &Pair) -> Option<Kept> {
        self.kept.retain(|kept| kept.until_ms > now_ms);
        let is_it = |kept: &Kept| {
            kept.proved.contains(pair) && is_same_secret(kept.id.as_bytes(), id.as_bytes())
        };
        let at = self.kept.iter().position(is_it)?;
        self.kept.remove(at)
    }
}
