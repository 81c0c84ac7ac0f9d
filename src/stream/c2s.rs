//! Negotiation of a client stream (RFC 6120 §4–§7), sans-IO: headers and elements in, bytes into
//! the outbox and a [`Step`] for the server out.
//!
//! The order is fixed: STARTTLS, login, resource. Each restart of the stream brings a new header
//! and new features, and keeps what was agreed before it: domain, TLS, failures (advisory a06).
//! A login by XEP-0388 restarts nothing, and may bring its resource with it. `login` and `bind` are
//! the steps of their names. Stream errors are returned; the server sends them and ends the stream.

mod bind;
mod login;

use super::features;
use super::header;
use super::sasl::ChannelBindings;
use super::sasl::login::{Granted, Login};
use super::sasl::profile::Profile;
use crate::config::InBand;
use crate::cx::Cx;
use crate::ids::SessionId;
use crate::xml::writer::write_element;
use crate::xml::{Element, StreamHeader};
use crate::xmpp::{BareJid, StreamCondition, StreamError, ns};

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
    /// The certificates of a server, its own first (DER): looked at by the core, not by the
    /// handshake.
    pub peer_chain: Vec<Vec<u8>>,
}

impl TlsInfo {
    /// What a login can be bound to. Nothing before TLS 1.3: there a binding is only as good as
    /// the handshake's extended master secret (RFC 9266 §4.2).
    fn into_bindings(self) -> ChannelBindings {
        if !self.is_tls13 {
            return ChannelBindings::default();
        }
        let types = [("tls-exporter", self.exporter), ("tls-server-end-point", self.end_point)];
        ChannelBindings(types.into_iter().filter_map(|(kind, data)| Some((kind, data?))).collect())
    }
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
    /// Logged in by XEP-0388: the stream goes on as it is. Do what came along with the login, then
    /// call [`Negotiation::send_success`], unless an earlier session was resumed.
    Granted(Box<Granted>),
    /// A resource is asked for: bind it, then call [`Negotiation::bound`], or
    /// [`Negotiation::refuse_bind`].
    Bind {
        /// Id of the request.
        id: String,
        /// The resource that the client wishes, prepared; `None`: the server makes one.
        resource: Option<String>,
    },
    /// `<enable/>` or `<resume/>` of XEP-0198 before a resource is bound.
    Management(Element),
    /// An element that is for the server after all: an iq of in-band registration before login,
    /// or any stanza once bound.
    Stanza(Element),
}

/// How far a stream has come.
enum Stage {
    /// STARTTLS, in-band registration or a login is due.
    Login(Box<Login>),
    /// Logged in: a resource is due.
    Bind(BareJid),
    /// Negotiated.
    Bound(BareJid),
}

/// The negotiation of one client stream.
pub struct Negotiation {
    is_loopback: bool,
    is_secure: bool,
    /// `<proceed/>` is queued, the handshake is not done.
    is_in_handshake: bool,
    stage: Stage,
    /// What the features offered to bind a login to; empty after it.
    bindings: ChannelBindings,
    /// The domain, from the first header on.
    host: Option<BareJid>,
    lang: Option<Box<str>>,
    /// Our header of the current stream is sent.
    is_open: bool,
    /// It has shown an invitation to register an account (XEP-0445 §4).
    is_invited: bool,
}

impl Negotiation {
    /// A new connection. `tls` is there from the start with direct TLS.
    pub fn new(is_loopback: bool, tls: Option<TlsInfo>) -> Self {
        let login = Login::new(|cx, account| cx.storage.account(account));
        Self {
            is_loopback,
            is_secure: tls.is_some(),
            is_in_handshake: false,
            stage: Stage::Login(Box::new(login)),
            bindings: tls.map(TlsInfo::into_bindings).unwrap_or_default(),
            host: None,
            lang: None,
            is_open: false,
            is_invited: false,
        }
    }

    /// An invitation was shown on this stream, or is used up.
    pub fn set_invited(&mut self, is_invited: bool) {
        self.is_invited = is_invited;
    }

    /// The TLS handshake is done after STARTTLS.
    pub fn handle_tls(&mut self, tls: TlsInfo) {
        self.is_secure = true;
        self.bindings = tls.into_bindings();
        self.is_in_handshake = false;
        self.is_open = false;
    }

    /// A stream header came: queues ours and the features. Ours is sent before any error, too
    /// (RFC 6120 §4.9.1.2).
    pub fn handle_open(
        &mut self,
        cx: &mut Cx,
        session: SessionId,
        header: &StreamHeader,
    ) -> Result<(), StreamError> {
        if self.is_open || self.is_in_handshake {
            return Err(StreamCondition::BadFormat.into());
        }
        self.lang = header::lang(header).map(Box::from);
        let form = header::check_form(header, ns::CLIENT);
        let form = form.and_then(|()| header::check_version(header));
        let host = header::host(&cx.config, header.to.as_deref(), self.host.as_ref());
        let from = header::check_from(header.from.as_deref(), self.account());
        if let Ok(host) = &host {
            self.host = Some(host.clone());
        }
        self.send_header(cx, session, from.as_ref().ok().and_then(Option::as_ref));
        form?;
        let (host, from) = (host?, from?);
        header::check_domain(from.as_ref(), &host)?;
        if let Stage::Login(login) = &mut self.stage {
            login.set_claimed(from);
        }
        let bytes = match self.stage {
            Stage::Login(_) => features::Before {
                starttls: (!self.is_secure).then_some(self.needs_tls(cx)),
                has_registration: self.has_registration(cx),
                takes_invitations: !self.needs_tls(cx),
                bindings: &self.bindings,
            }
            .write(&cx.config),
            Stage::Bind(_) => features::write_after_login(cx, false),
            Stage::Bound(_) => features::write_after_login(cx, true),
        };
        cx.out.push_raw(session, &bytes);
        Ok(())
    }

    /// Queues our header if the current stream has none yet: a stream error follows.
    pub fn open_for_error(&mut self, cx: &mut Cx, session: SessionId) {
        if !self.is_open {
            self.send_header(cx, session, None);
        }
    }

    /// A first-level element came.
    pub fn handle_element(
        &mut self,
        cx: &mut Cx,
        session: SessionId,
        element: Element,
    ) -> Result<Step, StreamError> {
        let is_waiting = match &self.stage {
            Stage::Bound(_) => return Ok(Step::Stanza(element)),
            Stage::Bind(_) => false,
            Stage::Login(login) => login.is_waiting(),
        };
        // Cleartext after <starttls/>, or input while a check or a failure waits: the caller does
        // not read then, and what comes all the same is not looked at (advisory a07).
        if is_waiting || !self.is_open {
            return Err(StreamCondition::PolicyViolation.into());
        }
        let is_stanza = matches!(element.name.as_ref(), "iq" | "message" | "presence");
        if element.is("starttls", ns::TLS) {
            self.start_tls(cx, session)
        } else if matches!(element.name.as_ref(), "enable" | "resume") && element.ns == ns::SM {
            Ok(Step::Management(element))
        } else if let Some(profile) = Profile::of(&element) {
            self.handle_sasl(cx, session, profile, &element)
        } else if is_stanza && element.ns == ns::CLIENT {
            self.handle_early_stanza(cx, session, element)
        } else {
            Err(StreamCondition::UnsupportedStanzaType.into())
        }
    }

    /// The stream goes on with a session that was bound on an earlier one (XEP-0198 §5).
    pub fn resumed(&mut self) {
        if let Stage::Bind(account) = &self.stage {
            self.stage = Stage::Bound(account.clone());
        }
    }

    /// The account, once authenticated.
    pub fn account(&self) -> Option<&BareJid> {
        match &self.stage {
            Stage::Login(_) => None,
            Stage::Bind(account) | Stage::Bound(account) => Some(account),
        }
    }

    /// The domain of the stream, once its header has come.
    pub fn host(&self) -> Option<&BareJid> {
        self.host.as_ref()
    }

    /// `xml:lang` of the client's header: the language of stanzas that name none (§4.7.4).
    pub fn lang(&self) -> Option<&str> {
        self.lang.as_deref()
    }

    /// True once the header of the current stream has been sent (for `</stream:stream>`).
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    fn send_header(&mut self, cx: &mut Cx, session: SessionId, to: Option<&BareJid>) {
        // Unguessable (RFC 6120 §4.7.3).
        let id = cx.random_hex(16);
        let host = self.host.as_ref().unwrap_or_else(|| header::default_host(&cx.config));
        let bytes = header::response(host, &id, to);
        cx.out.push_raw(session, &bytes);
        self.is_open = true;
    }

    /// RFC 6120 §5.4.2
    fn start_tls(&mut self, cx: &mut Cx, session: SessionId) -> Result<Step, StreamError> {
        let is_time = matches!(&self.stage, Stage::Login(login) if login.is_idle());
        if self.is_secure || !is_time {
            // TLS is there already, or the login has begun without it (§5.4.2.2).
            push(cx, session, &Element::new("failure", ns::TLS));
            return Err(StreamError::new(StreamCondition::NotAuthorized)
                .with_text("no STARTTLS at this point"));
        }
        push(cx, session, &Element::new("proceed", ns::TLS));
        cx.out.mark_starttls(session);
        self.is_in_handshake = true;
        self.is_open = false;
        Ok(Step::StartTls)
    }

    /// A stanza before the resource is bound: registration and binding have their time, anything
    /// else has none yet (RFC 6120 §4.9.3.12, §7.1).
    fn handle_early_stanza(
        &mut self,
        cx: &mut Cx,
        session: SessionId,
        stanza: Element,
    ) -> Result<Step, StreamError> {
        let is_request = |kinds: &[&str], name, ns| {
            stanza.name == "iq"
                && stanza.attr("type").is_some_and(|kind| kinds.contains(&kind))
                && stanza.child(name, ns).is_some()
        };
        match &self.stage {
            Stage::Login(login)
                if login.is_idle()
                    && self.has_registration(cx)
                    && is_request(&["get", "set"], "query", ns::REGISTER) =>
            {
                Ok(Step::Stanza(stanza))
            }
            Stage::Login(login)
                if login.is_idle()
                    && !self.needs_tls(cx)
                    && is_request(&["get", "set"], "preauth", ns::PREAUTH) =>
            {
                Ok(Step::Stanza(stanza))
            }
            Stage::Bind(_) if is_request(&["set"], "bind", ns::BIND) => {
                Ok(self.bind(cx, session, &stanza))
            }
            _ => Err(StreamCondition::NotAuthorized.into()),
        }
    }

    /// No login and no registration yet: TLS first.
    fn needs_tls(&self, cx: &Cx) -> bool {
        cx.config.c2s.require_tls && !self.is_secure
    }

    /// True when accounts can be registered on this connection now.
    fn has_registration(&self, cx: &Cx) -> bool {
        !self.needs_tls(cx)
            && match cx.config.registration.in_band {
                _ if self.is_invited => true,
                InBand::Off => false,
                InBand::Loopback => self.is_loopback,
                InBand::Anyone => true,
            }
    }
}

/// Queues a first-level element of ours.
fn push(cx: &mut Cx, session: SessionId, element: &Element) {
    let mut bytes = Vec::with_capacity(256);
    write_element(&mut bytes, element, ns::CLIENT);
    cx.out.push_raw(session, &bytes);
}

#[cfg(test)]
mod tests;
