//! Negotiation of a client stream (RFC 6120 §4–§7), sans-IO. (Owned by the stream work package;
//! this is the interface.)

use crate::cx::Cx;
use crate::ids::SessionId;
use crate::xml::{Element, StreamHeader};
use crate::xmpp::{BareJid, StreamError};

/// What the core knows of the TLS of a connection.
#[derive(Clone, Debug, Default)]
pub struct TlsInfo {
    /// 32 bytes of keying material for tls-exporter (RFC 9266); TLS 1.3 only.
    pub exporter: Option<Vec<u8>>,
    /// Hash of the certificate for tls-server-end-point; `None` where it is undefined.
    pub end_point: Option<Vec<u8>>,
    /// The name the client asked for.
    pub sni: Option<String>,
    /// The application protocol that was agreed.
    pub alpn: Option<Vec<u8>>,
    /// True for TLS 1.3.
    pub is_tls13: bool,
}

/// What the server is to do after an input of the negotiation.
#[derive(Debug)]
pub enum Step {
    /// Nothing: everything needed is in the outbox.
    Continue,
    /// `<proceed/>` is queued and marked: no more input until TLS is up, then a new stream.
    StartTls,
    /// A PLAIN password is to be checked (milliseconds): call [`Negotiation::check_password`] when
    /// its turn has come; no more input until then.
    CheckPassword,
    /// A login failed: after a delay call [`Negotiation::send_failure`]; no more input until then.
    LoginFailed {
        /// The account that was tried, where it could be parsed.
        account: Option<BareJid>,
    },
    /// Logged in: `<success/>` is queued; a new stream header follows, with a new parser.
    Authenticated,
    /// A resource is asked for: bind it, then call [`Negotiation::bound`].
    Bind {
        /// Id of the request.
        id: String,
        /// The resource that the client wishes, prepared; `None`: the server makes one.
        resource: Option<String>,
    },
    /// An element that is for the server after all: an iq of in-band registration before login,
    /// or any stanza once bound.
    Stanza(Element),
}

/// The negotiation of one client stream.
pub struct Negotiation {}

impl Negotiation {
    /// A new connection. `tls` is there from the start with direct TLS.
    pub fn new(is_loopback: bool, tls: Option<TlsInfo>) -> Self {
        let _ = (is_loopback, tls);
        Self {}
    }

    /// The TLS handshake is done after STARTTLS.
    pub fn handle_tls(&mut self, tls: TlsInfo) {
        let _ = tls;
    }

    /// A stream header came: queues ours and the features.
    pub fn handle_open(
        &mut self,
        cx: &mut Cx,
        session: SessionId,
        header: &StreamHeader,
    ) -> Result<(), StreamError> {
        let _ = (cx, session, header);
        Ok(())
    }

    /// A first-level element came.
    pub fn handle_element(
        &mut self,
        cx: &mut Cx,
        session: SessionId,
        element: Element,
    ) -> Result<Step, StreamError> {
        let _ = (cx, session);
        Ok(Step::Stanza(element))
    }

    /// Does the check that [`Step::CheckPassword`] announced.
    pub fn check_password(&mut self, cx: &mut Cx, session: SessionId) -> Result<Step, StreamError> {
        let _ = (cx, session);
        Ok(Step::Continue)
    }

    /// Queues the `<failure/>` that [`Step::LoginFailed`] held back; `policy-violation` ends the
    /// stream after too many.
    pub fn send_failure(&mut self, cx: &mut Cx, session: SessionId) -> Result<(), StreamError> {
        let _ = (cx, session);
        Ok(())
    }

    /// Refuses `<auth/>` because of too many failures of this address, before looking at it
    /// (`temporary-auth-failure`); also held back, until [`Self::send_failure`].
    pub fn refuse_login(&mut self) {}

    /// The resource is bound: queues the iq result, and the negotiation is over.
    pub fn bound(
        &mut self,
        cx: &mut Cx,
        session: SessionId,
        id: &str,
        full_jid: &crate::xmpp::Jid,
    ) {
        let _ = (cx, session, id, full_jid);
    }

    /// The account, once authenticated.
    pub fn account(&self) -> Option<&BareJid> {
        None
    }

    /// True once the header of the current stream has been sent (for `</stream:stream>`).
    pub fn is_open(&self) -> bool {
        false
    }
}
