//! The other server: what it offers, how it answers, and what it has got.

use std::collections::BTreeMap;

use crate::ids::ConnId;
use crate::xml::{Element, StreamEvent, StreamParser, XmlLimits};
use crate::xmpp::ns;

/// What it is like.
#[derive(Clone, Copy, Default)]
pub struct Manners {
    pub starttls: bool,
    pub external: bool,
    /// EXTERNAL is offered and refused.
    pub refuses_external: bool,
    pub dialback: bool,
    pub errors: bool,
    pub bidi: bool,
    pub acks: bool,
    /// It sends no version, and no features.
    pub is_old: bool,
    /// What it says of keys; nothing: it does not answer.
    pub result: &'static str,
    /// What it says of keys that it is asked about.
    pub verdict: &'static str,
    /// It answers nothing at all.
    pub is_mute: bool,
}

impl Manners {
    /// Dialback, and that is all.
    pub fn plain() -> Self {
        Self { dialback: true, result: "valid", verdict: "valid", ..Self::default() }
    }
}

#[derive(Default)]
struct Stream {
    parser: Option<StreamParser>,
    is_secure: bool,
    is_authenticated: bool,
    /// It goes on with what an earlier one has counted.
    is_counted: bool,
}

/// The other server.
pub struct Peer {
    pub manners: Manners,
    /// Ids of the stanzas that it has got.
    pub got: Vec<String>,
    /// All elements that it has got, but stanzas: name and namespace, or the text of a key.
    pub heard: Vec<String>,
    /// Pairs that it was asked for.
    pub asked: Vec<(String, String)>,
    /// What it was told about its own keys.
    pub answers: Vec<String>,
    streams: BTreeMap<ConnId, Stream>,
    /// What it has counted of the stream that can go on.
    handled: Option<u32>,
}

impl Peer {
    pub fn new(manners: Manners) -> Self {
        Self {
            manners,
            got: Vec::new(),
            heard: Vec::new(),
            asked: Vec::new(),
            answers: Vec::new(),
            streams: BTreeMap::new(),
            handled: None,
        }
    }

    pub fn accept(&mut self, conn: ConnId) {
        let stream = Stream { parser: Some(parser()), ..Stream::default() };
        self.streams.insert(conn, stream);
    }

    pub fn close(&mut self, conn: ConnId) {
        self.streams.remove(&conn);
    }

    /// It has forgotten streams that could have gone on.
    pub fn forget(&mut self) {
        self.handled = None;
    }

    pub fn is_secure(&mut self, conn: ConnId) {
        if let Some(stream) = self.streams.get_mut(&conn) {
            stream.is_secure = true;
            stream.parser = Some(parser());
        }
    }

    /// What it says to these bytes.
    pub fn handle(&mut self, conn: ConnId, bytes: &[u8]) -> Vec<u8> {
        let Some(stream) = self.streams.get_mut(&conn) else { return Vec::new() };
        if let Some(parser) = &mut stream.parser {
            parser.feed(bytes);
        }
        let mut answer = String::new();
        loop {
            let stream = self.streams.get_mut(&conn).unwrap();
            let Some(parser) = &mut stream.parser else { break };
            match parser.next_event().expect("the server writes a stream") {
                None => break,
                Some(StreamEvent::Open(header)) => {
                    let (to, from) = (header.from.unwrap(), header.to.unwrap());
                    answer.push_str(&self.header(conn, &from, &to));
                }
                Some(StreamEvent::Stanza(element)) => {
                    answer.push_str(&self.handle_element(conn, &element));
                }
                Some(StreamEvent::Close) => {
                    answer.push_str("</stream:stream>");
                    break;
                }
            }
        }
        if self.manners.is_mute { Vec::new() } else { answer.into_bytes() }
    }

    fn header(&self, conn: ConnId, from: &str, to: &str) -> String {
        let version = if self.manners.is_old { "" } else { " version='1.0'" };
        let header = format!(
            "<stream:stream xmlns='jabber:server' xmlns:stream='{}' xmlns:db='{}' id='s{}' \
             from='{from}' to='{to}'{version}>",
            ns::STREAMS,
            ns::DIALBACK,
            conn.index
        );
        if self.manners.is_old { header } else { header + &self.features(conn) }
    }

    fn features(&self, conn: ConnId) -> String {
        let (stream, manners) = (&self.streams[&conn], self.manners);
        let mut features = String::from("<stream:features>");
        let mut offer = |is: bool, text: &str| features.push_str(if is { text } else { "" });
        let is_open = stream.is_secure || !manners.starttls;
        let is_new = is_open && !stream.is_authenticated;
        offer(!is_open, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
        offer(
            is_new && manners.external,
            "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
             <mechanism>EXTERNAL</mechanism></mechanisms>",
        );
        let errors = if manners.errors { "<errors/>" } else { "" };
        offer(
            is_open && manners.dialback,
            &format!("<dialback xmlns='urn:xmpp:features:dialback'>{errors}</dialback>"),
        );
        offer(is_new && manners.bidi, "<bidi xmlns='urn:xmpp:features:bidi'/>");
        offer(is_open && manners.acks, "<sm xmlns='urn:xmpp:sm:3'/>");
        features + "</stream:features>"
    }

    fn handle_element(&mut self, conn: ConnId, element: &Element) -> String {
        if element.ns == ns::CLIENT {
            self.got.push(element.attr("id").unwrap_or(&element.name).to_owned());
            if self.streams[&conn].is_counted {
                self.handled = self.handled.map(|handled| handled + 1);
            }
            return String::new();
        }
        self.heard.push(element.name.to_string());
        let stream = self.streams.get_mut(&conn).unwrap();
        match (&*element.name, &*element.ns) {
            ("starttls", ns::TLS) => {
                stream.parser = None;
                "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>".to_owned()
            }
            ("auth", ns::SASL) if self.manners.refuses_external => {
                "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>"
                    .to_owned()
            }
            ("auth", ns::SASL) => {
                stream.is_authenticated = true;
                stream.parser = Some(parser());
                "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>".to_owned()
            }
            ("result" | "verify", ns::DIALBACK) if element.attr("type").is_some() => {
                self.answers.extend(element.attr("type").map(str::to_owned));
                String::new()
            }
            ("result", ns::DIALBACK) => self.judge(element, self.manners.result),
            ("verify", ns::DIALBACK) => self.judge(element, self.manners.verdict),
            (_, ns::SM) => self.count(conn, element),
            _ => String::new(),
        }
    }

    fn judge(&mut self, element: &Element, kind: &str) -> String {
        let (from, to) = (element.attr("from").unwrap(), element.attr("to").unwrap());
        self.asked.push((from.to_owned(), to.to_owned()));
        let (kind, error) = match kind {
            "" => return String::new(),
            "valid" | "invalid" => (kind, String::new()),
            condition => (
                "error",
                format!(
                    "<error type='cancel'><{condition} xmlns='{}'/></error>",
                    ns::STANZA_ERRORS
                ),
            ),
        };
        let id = element.attr("id").map_or_else(String::new, |id| format!(" id='{id}'"));
        let name = &*element.name;
        format!("<db:{name} from='{to}' to='{from}'{id} type='{kind}'>{error}</db:{name}>")
    }

    fn count(&mut self, conn: ConnId, element: &Element) -> String {
        let stream = self.streams.get_mut(&conn).unwrap();
        match (&*element.name, self.handled) {
            ("enable", _) => {
                stream.is_counted = true;
                self.handled = Some(0);
                "<enabled xmlns='urn:xmpp:sm:3' id='one' resume='true'/>".to_owned()
            }
            ("resume", Some(handled)) => {
                assert_eq!(element.attr("previd"), Some("one"));
                stream.is_counted = true;
                format!("<resumed xmlns='urn:xmpp:sm:3' previd='one' h='{handled}'/>")
            }
            ("resume", None) => "<failed xmlns='urn:xmpp:sm:3'/>".to_owned(),
            ("r", Some(handled)) => format!("<a xmlns='urn:xmpp:sm:3' h='{handled}'/>"),
            _ => String::new(),
        }
    }
}

fn parser() -> StreamParser {
    StreamParser::new(XmlLimits {
        stanza_bytes_max: 0,
        depth_max: 0,
        attributes_max: 0,
        nodes_max: 0,
    })
}
