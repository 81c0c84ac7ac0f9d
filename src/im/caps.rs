//! What clients want to hear of (XEP-0115, XEP-0060 §9.2): the nodes that a session's client names
//! with `+notify` among its features.
//!
//! A client says in its presence by which hash its features go. The first that comes with an
//! unknown hash is asked, from the address of its own account; only its own answer to that very
//! question counts, and only if its features do have that hash (§5.4). Then the hash is known for
//! all, one entry for thousands of sessions. Features under a hash that we cannot compute, or that
//! do not match it, are nobody else's: the former are taken for that session alone (§5.4 step 2),
//! the latter not at all.
//!
//! What is hashed does not tell features from other parts of an answer (XEP-0390 §8.2): somebody
//! could give features the look of a form, and so take them from all who have that hash. So the
//! nodes are read from what is hashed, whatever each part was called: the same hash always means
//! the same.

use std::collections::HashMap;
use std::rc::Rc;

use crate::cx::Cx;
use crate::ids::{SessionId, Target};
use crate::xml::Element;
use crate::xmpp::{BareJid, IqType, Jid, Stanza, StanzaKind, disco, ns};

use super::{Im, Session};

/// Hashes that are known, at most; the one not used for longest goes.
const KNOWN_ENTRIES_MAX: usize = 1000;
/// Bytes of the nodes that one client may name; the others are as if it had not.
const NODES_BYTES_MAX: usize = 8 * 1024;
/// Bytes of an attribute of `<c/>`; a longer one is no capability.
const ATTRIBUTE_BYTES_MAX: usize = 1023;
/// Bytes of chance in the id of a question: nobody guesses it.
pub(super) const QUESTION_ID_BYTES: usize = 16;
/// What a feature ends with that asks for the events of a node.
const NOTIFY: &str = "+notify";
/// The one hash function that is computed.
const SHA_1: &str = "sha-1";

/// What a client has said by which its features go: the function and the hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hash {
    function: String,
    ver: String,
}

/// The nodes that a client wants to hear of.
#[derive(Debug)]
pub(super) struct Interests {
    hash: Hash,
    /// Sorted.
    nodes: Vec<String>,
}

/// A question that a session has not answered yet.
#[derive(Debug)]
struct Question {
    id: String,
    hash: Hash,
}

/// What is known, and what has been asked.
#[derive(Default)]
pub(super) struct Caps {
    /// By the hash (SHA-1), with when it was used last.
    known: HashMap<String, (Rc<Interests>, u64)>,
    /// Counts the uses.
    uses: u64,
    /// One for each session at most.
    asked: HashMap<SessionId, Question>,
}

impl Interests {
    /// The names of the nodes.
    pub(super) fn nodes(&self) -> Vec<&str> {
        self.nodes.iter().map(String::as_str).collect()
    }

    /// By which they are known.
    pub(super) fn hash(&self) -> &Hash {
        &self.hash
    }

    pub(super) fn has(&self, node: &str) -> bool {
        self.nodes.binary_search_by(|own| own.as_str().cmp(node)).is_ok()
    }
}

impl Session {
    /// Its client wants to hear of a node.
    pub(super) fn wants(&self, node: &str) -> bool {
        self.interests.as_ref().is_some_and(|interests| interests.has(node))
    }
}

impl Caps {
    pub(super) fn find(&mut self, hash: &Hash) -> Option<Rc<Interests>> {
        if hash.function != SHA_1 {
            return None;
        }
        let (interests, used) = self.known.get_mut(&hash.ver)?;
        self.uses += 1;
        *used = self.uses;
        Some(Rc::clone(interests))
    }

    /// What the answer to a question says of a hash, and whether that is known for all now.
    pub(super) fn learn(&mut self, hash: Hash, answer: &Stanza) -> (Rc<Interests>, bool) {
        let result = (answer.kind == StanzaKind::Iq(IqType::Result)).then_some(answer);
        let query = result.and_then(|answer| answer.child("query", ns::DISCO_INFO));
        let computes = hash.function == SHA_1;
        // An answer that cannot be trusted is kept as one without wishes, so that nobody is asked
        // again with every presence.
        let trusted = match query {
            Some(query) if computes => {
                let text = disco::caps_text_of(query);
                let text = text.filter(|text| disco::caps_ver(text) == hash.ver);
                text.map(|text| nodes(text.split('<')))
            }
            Some(query) => Some(nodes(features(query))),
            None => None,
        };
        let is_known = computes && trusted.is_some();
        let interests = Rc::new(Interests { hash, nodes: trusted.unwrap_or_default() });
        if is_known {
            self.keep(&interests);
        }
        (interests, is_known)
    }

    fn keep(&mut self, interests: &Rc<Interests>) {
        if self.known.len() >= KNOWN_ENTRIES_MAX {
            // Each use has a number of its own, so which goes does not depend on the map.
            let oldest = self.known.iter().min_by_key(|(_, (_, used))| *used);
            if let Some(ver) = oldest.map(|(ver, _)| ver.clone()) {
                self.known.remove(&ver);
            }
        }
        self.uses += 1;
        self.known.insert(interests.hash.ver.clone(), (Rc::clone(interests), self.uses));
    }

    /// A session is gone, or not available any more.
    pub(super) fn forget(&mut self, session: SessionId) {
        self.asked.remove(&session);
    }
}

impl Im {
    /// An available session has sent presence: what does its client want to hear of? Presence
    /// without capabilities changes nothing, clients may leave them out of updates (§8.4).
    pub(super) fn note_caps(&mut self, cx: &mut Cx, id: SessionId, presence: &Stanza) {
        let Some((hash, node)) = hash_in(presence) else { return };
        let Some(session) = self.sessions.get(id) else { return };
        let is_same = session.interests.as_ref().is_some_and(|own| own.hash == hash);
        if is_same || self.caps.asked.get(&id).is_some_and(|asked| asked.hash == hash) {
            return;
        }
        self.caps.asked.remove(&id);
        if let Some(interests) = self.caps.find(&hash) {
            return self.take_interests(cx, id, interests);
        }
        let question_id = cx.random_hex(QUESTION_ID_BYTES);
        let question = question(&question_id, &session.account, &session.full_jid, node, &hash);
        cx.out.push_stanza(id, &question);
        self.caps.asked.insert(id, Question { id: question_id, hash });
    }

    /// A session answers an iq of its own account: what it was asked, or nothing.
    pub fn handle_answer(&mut self, cx: &mut Cx, origin: Target, answer: &Stanza) {
        let Target::Local(id) = origin else { return };
        let asked = self.caps.asked.get(&id);
        if asked.is_none_or(|asked| Some(&asked.id) != answer.id.as_ref()) {
            return;
        }
        let Some(Question { hash, .. }) = self.caps.asked.remove(&id) else { return };
        let (interests, is_known) = self.caps.learn(hash, answer);
        if !is_known {
            return self.take_interests(cx, id, interests);
        }
        // Whoever else was asked for the same need not answer any more.
        let others = self.caps.asked.iter().filter(|(_, asked)| asked.hash == interests.hash);
        let mut sessions: Vec<_> = others.map(|(&other, _)| other).collect();
        sessions.sort_unstable();
        for other in sessions {
            self.caps.asked.remove(&other);
            self.take_interests(cx, other, Rc::clone(&interests));
        }
        self.take_interests(cx, id, interests);
    }

    /// From now on a session listens to these nodes; it is sent the last items of those that it
    /// has not listened to before.
    fn take_interests(&mut self, cx: &mut Cx, id: SessionId, interests: Rc<Interests>) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        let previous = session.interests.replace(Rc::clone(&interests));
        let is_new = |node: &&str| previous.as_ref().is_none_or(|previous| !previous.has(node));
        let nodes: Vec<_> = interests.nodes().into_iter().filter(is_new).collect();
        if !nodes.is_empty() && self.pep_greet(cx, id, &nodes).is_err() {
            // Storage has said why. The session can still ask.
            log::warn!("the last items are not sent to {id:?}");
        }
    }
}

/// The hash that a presence names, and whose it is. §5.4 step 1: without a function it means
/// nothing.
pub(super) fn hash_in(presence: &Stanza) -> Option<(Hash, &str)> {
    let caps = presence.child("c", ns::CAPS)?;
    let attribute = |name| caps.attr(name).filter(|value| value.len() <= ATTRIBUTE_BYTES_MAX);
    let hash = Hash { function: attribute("hash")?.to_owned(), ver: attribute("ver")?.to_owned() };
    Some((hash, attribute("node")?))
}

/// §5.4 step 3: asks a client for what has a hash, in the name of an account.
pub(super) fn question(
    id: &str,
    account: &BareJid,
    client: &Jid,
    node: &str,
    hash: &Hash,
) -> Stanza {
    let node = format!("{node}#{}", hash.ver);
    let query = Element::new("query", ns::DISCO_INFO).with_attr("node", node);
    let from = account.as_jid().clone();
    Stanza::new(StanzaKind::Iq(IqType::Get), from, Some(client.clone()))
        .with_id(Some(id.to_owned()))
        .with_child(query)
}

/// The features of an answer.
fn features(query: &Element) -> impl Iterator<Item = &str> {
    let features = query.elements().filter(|child| child.is("feature", ns::DISCO_INFO));
    features.filter_map(|feature| feature.attr("var"))
}

/// The nodes that are named among these, sorted.
fn nodes<'a>(parts: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut bytes_left = NODES_BYTES_MAX;
    let mut nodes = Vec::new();
    for node in parts.filter_map(|part| part.strip_suffix(NOTIFY)) {
        let Some(left) = bytes_left.checked_sub(node.len() + size_of::<String>()) else { break };
        bytes_left = left;
        nodes.push(node.to_owned());
    }
    nodes.sort_unstable();
    nodes.dedup();
    nodes
}
