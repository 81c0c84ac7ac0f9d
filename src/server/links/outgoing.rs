//! A server that we have connected to (RFC 6120 §4, XEP-0220 §2.1): negotiation until stanzas may
//! go. TLS where it is offered, and nothing without it where it is required; then EXTERNAL
//! (XEP-0178) where it is offered, else dialback; where they are offered, a stream both ways
//! (`reverse`) and acknowledgements (`acks`). A server that sends no version (§4.7.5) knows
//! dialback alone.
//!
//! The stream is opened in the name of one pair of domains. Once it is open, others of ours may be
//! asked to be carried too, and questions about keys are put on it (`asking`).

use std::rc::Rc;

use crate::config::Verify;
use crate::cx::Action;
use crate::dns::Place;
use crate::ids::SessionId;
use crate::peers::Pair;
use crate::stream::c2s::TlsInfo;
use crate::stream::s2s;
use crate::xml::writer::write_element;
use crate::xml::{Element, StreamEvent, StreamHeader};
use crate::xmpp::{Jid, StreamCondition, StreamError, base64, ns};

use super::super::Server;
use super::acks::Acks;
use super::asking::Question;
use super::bounce::Failure;
use super::reverse::Reverse;
use super::{Hold, Part};

/// Domains of theirs that share a stream.
const DOMAINS_COUNT_MAX: usize = 100;

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Stage {
    /// The connection, or the header after it.
    Header,
    Features,
    /// `<proceed/>`
    Proceed,
    /// `<success/>`
    Success,
    /// Anything: pairs are asked for, stanzas go.
    Open,
}

/// What the other side offers.
#[derive(Clone, Copy, Debug, Default)]
struct Offers {
    starttls: bool,
    external: bool,
    dialback: bool,
    /// A refused pair does not end the stream (XEP-0220 §2.4.2).
    errors: bool,
    bidi: bool,
    acks: bool,
}

/// What is known of it.
pub(in crate::server) struct Outgoing {
    /// In whose name the stream is opened.
    pub pair: Pair,
    /// Where.
    pub place: Place,
    /// The domains of theirs that may use it.
    pub serves: Vec<Rc<str>>,
    /// The id that the other side has given to the stream.
    pub stream_id: Option<String>,
    /// The other side's certificates.
    pub chain: Vec<Vec<u8>>,
    /// Pairs that it was asked to carry, and when.
    pub asked: Vec<(Pair, u64)>,
    /// Pairs that it may carry.
    pub proved: Vec<Pair>,
    /// Questions about keys.
    pub questions: Vec<Question>,
    /// It takes no more pairs.
    pub is_full: bool,
    /// Acknowledgements (XEP-0198).
    pub acks: Acks,
    /// Further pairs that the other side wants to send from.
    pub reverse: Vec<Reverse>,
    /// It carries stanzas both ways (XEP-0288).
    pub is_bidi: bool,
    pub stage: Stage,
    offers: Offers,
    declares_dialback: bool,
    is_secure: bool,
    is_external: bool,
    avoids_external: bool,
    /// What to say when it ends before it is good for anything.
    failure: Failure,
    /// When something was last given to it.
    pub given_ms: u64,
}

impl Outgoing {
    /// Before the connection.
    pub(super) fn new(pair: Pair, place: Place, avoids_external: bool, now_ms: u64) -> Self {
        Self {
            serves: vec![Rc::clone(&pair.theirs)],
            pair,
            place,
            stream_id: None,
            chain: Vec::new(),
            asked: Vec::new(),
            proved: Vec::new(),
            questions: Vec::new(),
            is_full: false,
            acks: Acks::default(),
            reverse: Vec::new(),
            stage: Stage::Header,
            offers: Offers::default(),
            declares_dialback: false,
            is_secure: false,
            is_external: false,
            avoids_external,
            is_bidi: false,
            failure: Failure::Unreachable,
            given_ms: now_ms,
        }
    }

    /// It carries a pair, or was asked to.
    pub(super) fn knows_of(&self, pair: &Pair) -> bool {
        self.proved.contains(pair) || self.asked.iter().any(|(asked, _)| asked == pair)
    }

    pub(super) fn pairs_count(&self) -> usize {
        self.proved.len() + self.asked.len()
    }

    /// It may be asked to carry another pair.
    pub(super) fn may_be_asked(&self) -> bool {
        self.stage == Stage::Open && self.offers.dialback && !self.is_full
    }

    /// It may be asked to carry what is for another domain at this place (XEP-0220 §2.6.2). Not
    /// when it may have to go on as another stream: that one is found by its domain.
    pub(super) fn takes_other_domains(&self, place: &Place) -> bool {
        self.may_be_asked()
            && self.offers.errors
            && !self.offers.acks
            && self.serves.len() < DOMAINS_COUNT_MAX
            && self.place.address == place.address
    }

    /// It carries nothing, and nothing was asked.
    pub(super) fn is_useless(&self) -> bool {
        self.stage == Stage::Open
            && self.pairs_count() == 0
            && self.questions.is_empty()
            && self.reverse.is_empty()
    }

    /// The other side does count stanzas.
    pub(super) fn offers_acks(&self) -> bool {
        self.offers.acks
    }
}

impl Server {
    /// The outgoing part of a link.
    pub(super) fn outgoing(&self, id: SessionId) -> Option<&Outgoing> {
        match &self.links.get(id)?.part {
            Part::Outgoing(outgoing) => Some(outgoing),
            _ => None,
        }
    }

    /// The outgoing part of a link.
    pub(super) fn outgoing_mut(&mut self, id: SessionId) -> Option<&mut Outgoing> {
        match &mut self.links.get_mut(id)?.part {
            Part::Outgoing(outgoing) => Some(outgoing),
            _ => None,
        }
    }

    /// The connection is made.
    pub(super) fn outgoing_is_up(&mut self, id: SessionId) {
        let Some(outgoing) = self.outgoing_mut(id) else { return };
        outgoing.failure = Failure::Timeout;
        if outgoing.place.is_direct_tls {
            self.begin_tls(id, true);
        } else {
            self.send_outgoing_header(id);
        }
    }

    fn begin_tls(&mut self, id: SessionId, is_direct: bool) {
        let Some(outgoing) = self.outgoing(id) else { return };
        let (ours, domain) = (outgoing.pair.ours.to_string(), outgoing.pair.theirs.to_string());
        let Some(link) = self.links.get_mut(id) else { return };
        link.hold = Hold::Tls;
        let action = link.conn.map(|conn| Action::StartTls { conn, ours, domain, is_direct });
        self.cx.actions.extend(action);
    }

    fn send_outgoing_header(&mut self, id: SessionId) {
        let Some(outgoing) = self.outgoing_mut(id) else { return };
        outgoing.stage = Stage::Header;
        let bytes = s2s::header(&outgoing.pair.ours, Some(&outgoing.pair.theirs), None);
        self.cx.out.push_raw(id, &bytes);
        if let Some(link) = self.links.get_mut(id) {
            link.is_open = true;
        }
    }

    /// The TLS handshake is done.
    pub(super) fn outgoing_is_secure(&mut self, id: SessionId, tls: TlsInfo) {
        let verify = self.cx.config.s2s.verify;
        let Some(outgoing) = self.outgoing_mut(id) else { return };
        outgoing.is_secure = true;
        let theirs = Rc::clone(&outgoing.pair.theirs);
        if verify != Verify::Dialback {
            if let Err(reason) = self.check_certificate(&tls.peer_chain, &theirs) {
                log::info!("server not trusted: domain={theirs} reason={reason}");
                self.refuse_place(id);
                return;
            }
            if let Some(outgoing) = self.outgoing_mut(id) {
                outgoing.chain = tls.peer_chain;
            }
        }
        self.send_outgoing_header(id);
    }

    /// The other side is not as safe as we want it.
    fn refuse_place(&mut self, id: SessionId) {
        if let Some(outgoing) = self.outgoing_mut(id) {
            outgoing.failure = Failure::Policy;
        }
        self.end_link(id, None);
    }

    /// What the other side sends.
    pub(super) fn handle_outgoing(
        &mut self,
        id: SessionId,
        event: StreamEvent,
    ) -> Result<(), StreamError> {
        let element = match event {
            StreamEvent::Open(header) => return self.handle_outgoing_header(id, &header),
            StreamEvent::Stanza(element) => element,
            StreamEvent::Close => return Ok(()),
        };
        // Nothing but stanzas is about what is stored.
        self.chain.is_free = element.ns != ns::CLIENT;
        let Some(outgoing) = self.outgoing(id) else { return Ok(()) };
        match (outgoing.stage, &*element.name, &*element.ns) {
            (Stage::Features, "features", ns::STREAMS) => self.handle_features(id, &element),
            (Stage::Proceed, "proceed", ns::TLS) => self.handle_proceed(id),
            (Stage::Proceed, "failure", ns::TLS) => {
                self.refuse_place(id);
                Ok(())
            }
            (Stage::Success, "success", ns::SASL) => {
                self.handle_success(id);
                Ok(())
            }
            (Stage::Success, "failure", ns::SASL) => self.handle_sasl_failure(id),
            (Stage::Open, _, ns::DIALBACK) => self.handle_outgoing_dialback(id, &element),
            (Stage::Open, _, ns::SM) => self.handle_acks(id, &element),
            (Stage::Open, _, ns::CLIENT) => self.handle_reverse_stanza(id, element),
            _ => Err(StreamCondition::UnsupportedStanzaType.into()),
        }
    }

    fn handle_outgoing_header(
        &mut self,
        id: SessionId,
        header: &StreamHeader,
    ) -> Result<(), StreamError> {
        let has_version = s2s::check_form(header)?;
        let requires_tls = self.cx.config.s2s.require_tls;
        let verify = self.cx.config.s2s.verify;
        let Some(outgoing) = self.outgoing_mut(id) else { return Ok(()) };
        // RFC 6120 §4.7.1: whoever answers is whom we have asked for.
        let from = header.from.as_deref().map(Jid::parse);
        if from.is_some_and(|from| !from.is_ok_and(|from| from.as_str() == &*outgoing.pair.theirs))
        {
            return Err(StreamCondition::InvalidFrom.into());
        }
        // RFC 6120 §4.7.3: there is one; keys are made of it.
        let Some(stream_id) = header.id.clone().filter(|id| !id.is_empty()) else {
            return Err(StreamCondition::BadFormat.into());
        };
        outgoing.stream_id = Some(stream_id);
        outgoing.declares_dialback = header.prefixes.iter().any(|(_, ns)| ns == ns::DIALBACK);
        if has_version {
            outgoing.stage = Stage::Features;
            return Ok(());
        }
        // There are no features, so there is no TLS but what is there already.
        if !outgoing.is_secure && (requires_tls || verify != Verify::Dialback) {
            self.refuse_place(id);
            return Ok(());
        }
        outgoing.offers = Offers { dialback: outgoing.declares_dialback, ..Offers::default() };
        self.show_who_we_are(id);
        Ok(())
    }

    fn handle_features(&mut self, id: SessionId, features: &Element) -> Result<(), StreamError> {
        let s2s = &self.cx.config.s2s;
        let needs_tls = s2s.require_tls || s2s.verify != Verify::Dialback;
        let Some(outgoing) = self.outgoing_mut(id) else { return Ok(()) };
        outgoing.offers = offers(features, outgoing.is_secure && !outgoing.avoids_external);
        // XEP-0220 §2.4.1: those of old times say it in their header alone.
        outgoing.offers.dialback |= outgoing.declares_dialback;
        if !outgoing.is_secure && outgoing.offers.starttls {
            outgoing.stage = Stage::Proceed;
            self.push_nonza(id, &Element::new("starttls", ns::TLS));
        } else if !outgoing.is_secure && needs_tls {
            self.refuse_place(id);
        } else if outgoing.is_external {
            let pair = outgoing.pair.clone();
            outgoing.stage = Stage::Open;
            self.open_outgoing(id, Some(pair));
        } else {
            self.show_who_we_are(id);
        }
        Ok(())
    }

    /// TLS follows; what came with `<proceed/>` was not protected by it (CVE-2011-0411).
    fn handle_proceed(&mut self, id: SessionId) -> Result<(), StreamError> {
        if self.links.get(id).is_some_and(|link| link.parser.holds_bytes()) {
            return Err(StreamCondition::PolicyViolation.into());
        }
        self.begin_tls(id, false);
        Ok(())
    }

    /// Shows who we are, in the way that is offered.
    fn show_who_we_are(&mut self, id: SessionId) {
        let Some(outgoing) = self.outgoing(id) else { return };
        let (offers, pair) = (outgoing.offers, outgoing.pair.clone());
        let has_stanzas = !self.waiting_for(&pair.theirs).is_empty();
        // Where both proofs are needed, a stream of ours has only one of them of the other side.
        let takes_reverse = self.cx.config.s2s.verify != Verify::Both;
        if has_stanzas && takes_reverse && offers.bidi && !outgoing.is_bidi {
            // XEP-0288 §2.2: before anything else.
            self.push_nonza(id, &Element::new("bidi", ns::BIDI));
            if let Some(outgoing) = self.outgoing_mut(id) {
                outgoing.is_bidi = true;
            }
        }
        if has_stanzas && offers.external {
            if let Some(outgoing) = self.outgoing_mut(id) {
                outgoing.stage = Stage::Success;
            }
            // XEP-0178 §3: with an identity, for those who want one.
            let identity = base64::encode(pair.ours.as_bytes());
            let auth = Element::new("auth", ns::SASL).with_attr("mechanism", "EXTERNAL");
            self.push_nonza(id, &auth.with_text(identity));
        } else if offers.dialback {
            self.open_outgoing(id, None);
        } else {
            self.end_link(id, None);
        }
    }

    fn handle_success(&mut self, id: SessionId) {
        if let Some(outgoing) = self.outgoing_mut(id) {
            outgoing.is_external = true;
        }
        self.link_is_authenticated(id);
        self.restart_link(id);
        self.send_outgoing_header(id);
    }

    /// XEP-0178 §3: the other side ends the stream, or goes on to dialback.
    fn handle_sasl_failure(&mut self, id: SessionId) -> Result<(), StreamError> {
        let Some(outgoing) = self.outgoing_mut(id) else { return Ok(()) };
        outgoing.avoids_external = true;
        outgoing.offers.external = false;
        let (theirs, place) = (Rc::clone(&outgoing.pair.theirs), outgoing.place.clone());
        if self.is_tried(&theirs, id) {
            self.try_again_without_external(&theirs, &place);
        }
        self.show_who_we_are(id);
        Ok(())
    }

    /// Stanzas may go once a pair is proved: one is already, or is asked for now.
    fn open_outgoing(&mut self, id: SessionId, proved: Option<Pair>) {
        let Some(outgoing) = self.outgoing_mut(id) else { return };
        outgoing.stage = Stage::Open;
        let theirs = Rc::clone(&outgoing.pair.theirs);
        if let Some(remote) = self.queues.remotes.get_mut(&theirs) {
            remote.links.push(id);
        }
        // Known before the others are asked for.
        if let Some(outgoing) = self.outgoing_mut(id) {
            outgoing.proved.extend(proved.clone());
        }
        self.stream_is_open(id, &theirs);
        if let Some(pair) = proved {
            self.pair_is_proved(id, pair);
        }
    }

    /// More may be asked for on a stream, in an attempt to reach a domain.
    pub(super) fn stream_is_open(&mut self, id: SessionId, theirs: &Rc<str>) {
        self.wake(theirs);
        let Some(outgoing) = self.outgoing(id) else { return };
        let is_theirs = |pair: &Pair| pair.theirs == *theirs;
        let is_busy = outgoing.asked.iter().any(|(pair, _)| is_theirs(pair))
            || outgoing.proved.iter().any(is_theirs);
        if !is_busy && self.is_tried(theirs, id) {
            self.attempt_has_succeeded(theirs);
        }
        self.end_if_useless(id);
    }

    /// Something was moved to the outbox of a link.
    pub(super) fn link_was_given(&mut self, id: SessionId) {
        let now_ms = self.cx.now.mono_ms;
        if let Some(outgoing) = self.outgoing_mut(id) {
            outgoing.given_ms = now_ms;
            self.ask_for_acks(id);
        }
        self.incoming_was_given(id);
    }

    /// An element of the stream itself.
    pub(super) fn push_nonza(&mut self, id: SessionId, element: &Element) {
        let mut bytes = Vec::with_capacity(128);
        write_element(&mut bytes, element, ns::CLIENT);
        self.cx.out.push_raw(id, &bytes);
    }

    /// The stream is over, though the connection may still be there. Called once or more.
    pub(super) fn outgoing_has_ended(&mut self, id: SessionId) {
        self.note_acks(id);
        self.give_up_asked(id, true);
        let Some(outgoing) = self.outgoing_mut(id) else { return };
        let (serves, why) = (outgoing.serves.clone(), outgoing.failure);
        outgoing.asked.clear();
        for theirs in serves {
            self.place_has_failed(&theirs, id, why);
            self.wake(&theirs);
        }
    }
}

/// Reads `<stream:features/>`; EXTERNAL counts where it may be used.
fn offers(features: &Element, takes_external: bool) -> Offers {
    let mechanisms = features.child("mechanisms", ns::SASL);
    let has_external = mechanisms.is_some_and(|mechanisms| {
        mechanisms.elements().any(|one| one.name == "mechanism" && one.text().trim() == "EXTERNAL")
    });
    let dialback = features.child("dialback", ns::DIALBACK_FEATURE);
    Offers {
        starttls: features.child("starttls", ns::TLS).is_some(),
        external: takes_external && has_external,
        dialback: dialback.is_some(),
        errors: dialback.is_some_and(|it| it.child("errors", ns::DIALBACK_FEATURE).is_some()),
        bidi: features.child("bidi", ns::BIDI_FEATURE).is_some(),
        acks: features.child("sm", ns::SM).is_some(),
    }
}
