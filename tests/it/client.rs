//! A test client without I/O: bytes of the server in, bytes for the server out. It logs in by
//! itself (STARTTLS, SASL, bind), or leaves everything to the script (`opens a connection`). All
//! drivers and the simulation share it. It never answers what a script does not tell it to, but
//! for the closing handshake.

use std::collections::VecDeque;

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use tercet::xml::writer::escape_attr;
use tercet::xml::{Attribute, Element, StreamEvent, StreamParser, XML_NS, XmlLimits};
use tercet::xmpp::{hex, ns};

use crate::sasl::{Login, Mechanism};

/// What a client has seen, in order.
#[derive(Clone, Debug)]
pub enum Item {
    /// A first-level element; a stream header counts as one, without its children.
    Element(Element),
    /// `</stream:stream>`
    Close,
    /// The transport has ended, for good or ill.
    End,
}

/// Who logs in, and how.
#[derive(Clone, Debug)]
pub struct Identity {
    pub user: String,
    pub domain: String,
    pub resource: Option<String>,
    pub password: String,
    pub mechanism: Mechanism,
    pub with_tls: bool,
}

impl Identity {
    pub fn bare_jid(&self) -> String {
        format!("{}@{}", self.user, self.domain)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The script speaks for itself.
    Raw,
    Features,
    /// The script speaks for itself once TLS is up.
    FeaturesOfRaw,
    Proceed,
    Sasl,
    FeaturesAfterLogin,
    /// Logged in; the script binds or resumes.
    Unbound,
    Bind,
    /// A component: its header is sent, or its handshake.
    Attaching,
    Ready,
}

pub struct Client {
    pub identity: Identity,
    /// Bytes for the server.
    pub out: Vec<u8>,
    /// What the server sent and nobody has looked at yet.
    pub inbox: VecDeque<Item>,
    /// The bound address.
    pub full_jid: Option<String>,
    /// The transport is to switch to TLS now; then call [`Self::tls_is_up`].
    pub wants_tls: bool,
    /// What the server said that a client cannot accept: malformed XML, a failed login.
    pub trouble: Option<String>,
    /// The `<failure/>` of SASL.
    pub failure: Option<Element>,
    is_tls: bool,
    binds: bool,
    closed: bool,
    state: State,
    parser: StreamParser,
    login: Login,
    /// What `<authenticate/>` brings with it (XEP-0388); `None`: a login by RFC 6120.
    inline: Option<String>,
    /// `<success/>` of XEP-0388 is for the script, too.
    shows_success: bool,
}

const LIMITS: XmlLimits = XmlLimits {
    stanza_bytes_max: 16 << 20,
    depth_max: 1000,
    attributes_max: 1000,
    nodes_max: 1 << 20,
};

impl Client {
    /// A client that logs in: its header is ready to be sent.
    pub fn login(identity: Identity) -> Self {
        let mut client = Self::raw(identity);
        client.state = State::Features;
        client.open_stream();
        client
    }

    /// A component: it shows that it knows the secret (XEP-0114 §3).
    pub fn component(identity: Identity) -> Self {
        let mut client = Self::raw(identity);
        client.state = State::Attaching;
        let domain = client.identity.domain.clone();
        client.send(&format!(
            "<?xml version='1.0'?><stream:stream to='{domain}' \
             xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams'>"
        ));
        client
    }

    /// A client that logs in and binds nothing: the script does, or resumes the session that had
    /// this address.
    pub fn unbound(identity: Identity, full_jid: Option<String>) -> Self {
        Self { binds: false, full_jid, ..Self::login(identity) }
    }

    /// A client that logs in by XEP-0388 and binds by XEP-0386: its resource is the tag.
    pub fn login_at_once(identity: Identity) -> Self {
        let tag = identity.resource.as_deref().map(|tag| format!("<tag>{}</tag>", escape(tag)));
        let bind = format!("<bind xmlns='{}'>{}</bind>", ns::BIND2, tag.unwrap_or_default());
        Self { inline: Some(bind), ..Self::login(identity) }
    }

    /// A client that logs in by XEP-0388 with these elements.
    pub fn login_with(identity: Identity, inline: String) -> Self {
        Self { inline: Some(inline), shows_success: true, ..Self::login(identity) }
    }

    /// A client that only does what it is told, once there are features over TLS.
    pub fn raw_over_tls(identity: Identity) -> Self {
        let mut client = Self::raw(Identity { with_tls: true, ..identity });
        client.state = State::FeaturesOfRaw;
        client.open_stream();
        client
    }

    /// A client that only does what it is told.
    pub fn raw(identity: Identity) -> Self {
        let login = Login::new(identity.mechanism, &identity.user, &identity.password);
        Self {
            identity,
            out: Vec::new(),
            inbox: VecDeque::new(),
            full_jid: None,
            wants_tls: false,
            trouble: None,
            failure: None,
            is_tls: false,
            binds: true,
            closed: false,
            state: State::Raw,
            parser: StreamParser::new(LIMITS),
            login,
            inline: None,
            shows_success: false,
        }
    }

    /// True when it only does what it is told.
    pub fn is_raw(&self) -> bool {
        self.state == State::Raw
    }

    pub fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    /// Logged in, with a resource or without.
    pub fn is_logged_in(&self) -> bool {
        matches!(self.state, State::Ready | State::Unbound)
    }

    /// Bytes of the server.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.trouble.is_some() {
            return;
        }
        self.parser.feed(bytes);
        loop {
            match self.parser.next_event() {
                Ok(None) => return,
                Ok(Some(event)) => self.handle(event),
                Err(error) => {
                    let text = String::from_utf8_lossy(bytes);
                    self.trouble = Some(format!("the server sent bad XML ({error:?}): {text}"));
                    return;
                }
            }
        }
    }

    /// The server has ended the transport.
    pub fn end(&mut self) {
        self.closed = true;
        self.inbox.push_back(Item::End);
    }

    /// A new stream, which begins with the bytes that are here already.
    fn restart(&mut self) {
        let old = std::mem::replace(&mut self.parser, StreamParser::new(LIMITS));
        self.parser = old.restart(LIMITS);
    }

    /// The transport has switched.
    pub fn tls_is_up(&mut self) {
        self.wants_tls = false;
        self.is_tls = true;
        self.parser = StreamParser::new(LIMITS);
        if matches!(self.state, State::Proceed | State::FeaturesOfRaw) {
            if self.state == State::Proceed {
                self.state = State::Features;
            }
            self.open_stream();
        }
    }

    /// Ends the stream as a client should.
    pub fn close(&mut self) {
        if !std::mem::replace(&mut self.closed, true) {
            self.out.extend_from_slice(b"</stream:stream>");
        }
    }

    /// True when neither side has ended the stream.
    pub fn is_open(&self) -> bool {
        !self.closed
    }

    fn handle(&mut self, event: StreamEvent) {
        let element = match event {
            StreamEvent::Open(header) => {
                if self.state == State::Attaching {
                    let text = header.id.unwrap_or_default() + &self.identity.password;
                    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
                    let hash = hex::encode(hash.as_ref());
                    return self.send(&format!("<handshake>{hash}</handshake>"));
                }
                let mut element = Element::new("stream", ns::STREAMS);
                let attributes = [
                    ("from", header.from),
                    ("to", header.to),
                    ("id", header.id),
                    ("version", header.version),
                ];
                for (name, value) in attributes {
                    element = element.with_attr_opt(name, value);
                }
                element.attributes.extend(header.lang.map(|value| Attribute {
                    ns: XML_NS.into(),
                    name: "lang".into(),
                    value,
                }));
                if self.state == State::Raw {
                    self.inbox.push_back(Item::Element(element));
                }
                return;
            }
            StreamEvent::Close => {
                self.close();
                self.inbox.push_back(Item::Close);
                return;
            }
            StreamEvent::Stanza(element) => element,
        };
        match self.state {
            State::Raw => {
                // What follows comes in a new stream.
                if element.is("success", ns::SASL) {
                    self.restart();
                }
                self.inbox.push_back(Item::Element(element));
            }
            State::Unbound => {
                if element.is("resumed", ns::SM) {
                    self.state = State::Ready;
                } else if let Some(bind) = element.child("bind", ns::BIND) {
                    self.full_jid = bind.child("jid", ns::BIND).map(Element::text);
                    self.state = State::Ready;
                }
                self.inbox.push_back(Item::Element(element));
            }
            State::Ready => self.inbox.push_back(Item::Element(element)),
            _ => self.negotiate(&element),
        }
    }

    /// A component waits for the answer to its handshake.
    fn attach(&mut self, element: &Element) {
        if element.is("handshake", ns::CLIENT) {
            self.state = State::Ready;
        } else if element.is("error", ns::STREAMS) {
            self.failure = Some(element.clone());
            self.close();
        } else {
            let got = crate::matcher::to_text(element);
            self.trouble = Some(format!("during the handshake came {got}"));
        }
    }

    fn negotiate(&mut self, element: &Element) {
        match self.state {
            State::Attaching => self.attach(element),
            State::FeaturesOfRaw if element.is("proceed", ns::TLS) => self.wants_tls = true,
            State::FeaturesOfRaw if self.is_tls => {
                self.inbox.push_back(Item::Element(element.clone()));
                self.state = State::Raw;
            }
            State::FeaturesOfRaw => self.send(&format!("<starttls xmlns='{}'/>", ns::TLS)),
            State::Features if element.is("features", ns::STREAMS) => {
                if self.identity.with_tls && !self.is_tls {
                    self.send(&format!("<starttls xmlns='{}'/>", ns::TLS));
                    self.state = State::Proceed;
                    return;
                }
                self.begin_sasl(element);
                self.state = State::Sasl;
            }
            State::Proceed if element.is("proceed", ns::TLS) => self.wants_tls = true,
            State::Sasl if element.is("challenge", self.sasl_ns()) => {
                match self.login.respond(element.text().trim()) {
                    Ok(response) => {
                        let sasl = self.sasl_ns();
                        self.send(&format!("<response xmlns='{sasl}'>{response}</response>"));
                    }
                    Err(why) => self.trouble = Some(why),
                }
            }
            State::Sasl if element.is("success", ns::SASL) => {
                self.trouble = self.login.check_success(&element.text()).err();
                self.restart();
                self.state = State::FeaturesAfterLogin;
                self.open_stream();
            }
            State::Sasl if element.is("success", ns::SASL2) => self.succeed_at_once(element),
            State::Sasl if element.is("failure", self.sasl_ns()) => {
                self.failure = Some(element.clone());
                self.close();
            }
            State::FeaturesAfterLogin if self.binds && self.full_jid.is_some() => {
                self.state = State::Ready;
            }
            State::FeaturesAfterLogin if element.is("features", ns::STREAMS) => {
                if !self.binds {
                    self.state = State::Unbound;
                    self.inbox.push_back(Item::Element(element.clone()));
                    return;
                }
                let resource = self.identity.resource.as_ref();
                let resource =
                    resource.map(|name| format!("<resource>{}</resource>", escape(name)));
                let resource = resource.unwrap_or_default();
                let bind = format!("<bind xmlns='{}'>{resource}</bind>", ns::BIND);
                self.send(&format!("<iq type='set' id='bind'>{bind}</iq>"));
                self.state = State::Bind;
            }
            State::Bind if element.attr("type") == Some("result") => {
                let bind = element.child("bind", ns::BIND);
                self.full_jid = bind.and_then(|b| b.child("jid", ns::BIND)).map(Element::text);
                match self.full_jid {
                    Some(_) => self.state = State::Ready,
                    None => self.trouble = Some("bind without a jid".to_owned()),
                }
            }
            state => {
                let got = crate::matcher::to_text(element);
                self.trouble = Some(format!("during the login ({state:?}) came {got}"));
            }
        }
    }

    fn begin_sasl(&mut self, features: &Element) {
        let list = match self.inline {
            Some(_) => features.child("authentication", ns::SASL2),
            None => features.child("mechanisms", ns::SASL),
        };
        let mechanisms = list.into_iter().flat_map(Element::elements);
        let mechanisms = mechanisms.filter(|child| child.name == "mechanism").map(Element::text);
        let bindings = features.child("sasl-channel-binding", ns::SASL_CHANNEL_BINDING);
        let bindings = bindings.into_iter().flat_map(Element::elements);
        let bindings = bindings.filter_map(|binding| binding.attr("type").map(str::to_owned));
        self.login.see_offer(mechanisms.collect(), bindings.collect());
        let (name, initial) = (self.identity.mechanism.name(), self.login.initial());
        let sasl = self.sasl_ns();
        let text = match &self.inline {
            None => format!("<auth xmlns='{sasl}' mechanism='{name}'>{initial}</auth>"),
            Some(inline) => format!(
                "<authenticate xmlns='{sasl}' mechanism='{name}'>\
                 <initial-response>{initial}</initial-response>{inline}</authenticate>"
            ),
        };
        self.send(&text);
    }

    /// `<success/>` of XEP-0388: with a resource or without one, with features to come or not.
    fn succeed_at_once(&mut self, success: &Element) {
        let text = |name| success.child(name, ns::SASL2).map(Element::text);
        let data = text("additional-data").unwrap_or_default();
        self.trouble = self.login.check_success(&data).err();
        self.full_jid = text("authorization-identifier").filter(|jid| jid.contains('/'));
        let is_resumed = success.child("resumed", ns::SM).is_some();
        self.state = if is_resumed { State::Ready } else { State::FeaturesAfterLogin };
        if self.shows_success {
            self.inbox.push_back(Item::Element(success.clone()));
        }
    }

    fn sasl_ns(&self) -> &'static str {
        if self.inline.is_some() { ns::SASL2 } else { ns::SASL }
    }

    fn open_stream(&mut self) {
        let to = self.identity.domain.clone();
        self.send(&format!(
            "<?xml version='1.0'?><stream:stream to='{to}' version='1.0' xml:lang='en' \
             xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
        ));
    }

    fn send(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }
}

fn escape(text: &str) -> String {
    let mut escaped = Vec::new();
    escape_attr(&mut escaped, text);
    String::from_utf8_lossy(&escaped).into_owned()
}
