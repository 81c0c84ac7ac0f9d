//! The parser from outside: whatever the chunks, the same events; whatever the bytes, a bounded
//! answer.

use super::*;

pub(super) const LIMITS: XmlLimits =
    XmlLimits { stanza_bytes_max: 4096, depth_max: 10, attributes_max: 20, nodes_max: 200 };
pub(super) const HEADER: &str = "<stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams' to='a.b' version='1.0'>";

pub(super) type Outcome = (Vec<StreamEvent>, Option<XmlError>);

/// What the parser makes of the chunks.
pub(super) fn parse_chunks<'a>(
    limits: XmlLimits,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> Outcome {
    let mut parser = StreamParser::new(limits);
    let mut events = Vec::new();
    for chunk in chunks {
        parser.feed(chunk);
        loop {
            match parser.next_event() {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(parser.next_event(), Err(error), "the first error is final");
                    parser.feed(b"<a/>");
                    assert_eq!(parser.next_event(), Err(error), "the first error is final");
                    return (events, Some(error));
                }
            }
        }
    }
    (events, None)
}

fn parse(bytes: &[u8]) -> Outcome {
    parse_chunks(LIMITS, [bytes])
}

/// Parses whole, byte by byte, and split at every place; all must agree.
#[track_caller]
fn parse_every_way(bytes: &[u8]) -> Outcome {
    let whole = parse(bytes);
    assert_eq!(parse_chunks(LIMITS, bytes.chunks(1)), whole, "byte by byte");
    // A long document is long by repetition: not every place of it needs a split.
    for at in (0..=bytes.len()).step_by(1 + bytes.len() / 700) {
        let (head, tail) = bytes.split_at(at);
        assert_eq!(parse_chunks(LIMITS, [head, tail]), whole, "split at {at}");
    }
    whole
}

/// The elements under a stream header; nothing may be wrong.
#[track_caller]
fn stanzas(text: &str) -> Vec<Element> {
    let (events, error) = parse_every_way(format!("{HEADER}{text}").as_bytes());
    assert_eq!(error, None, "{text}");
    let stanza = |event| match event {
        StreamEvent::Stanza(element) => Some(element),
        _ => None,
    };
    events.into_iter().filter_map(stanza).collect()
}

/// The error that `bytes` end in, directly under a stream header.
#[track_caller]
fn check_error_bytes(bytes: &[u8], want: XmlError) {
    let mut all = HEADER.as_bytes().to_vec();
    all.extend_from_slice(bytes);
    let (_, error) = parse_every_way(&all);
    assert_eq!(error, Some(want), "{}", String::from_utf8_lossy(bytes));
}

#[track_caller]
fn check_error(text: &str, want: XmlError) {
    check_error_bytes(text.as_bytes(), want);
}

/// The error that a whole document ends in.
#[track_caller]
fn check_document(bytes: &[u8], want: Option<XmlError>) {
    let (_, error) = parse_every_way(bytes);
    assert_eq!(error, want, "{}", String::from_utf8_lossy(bytes));
}

#[test]
fn every_split_of_a_stream_gives_the_same_events() {
    let stream = format!(
        "<?xml version='1.0' encoding='UTF-8'?>\n{HEADER} \r\n\
        <message id='é😀&amp;&#x1F600;'\r\n\tto = \"a&apos;b\"><body>x &lt;é😀\r\n&gt; ]] ] > \
        <![CDATA[<&]]]]><![CDATA[>é]]> tail</body>\
        <x xmlns='u:x' xmlns:p='u:p' p:q='1' q='2'><p:y xml:lang='de'/></x></message >\n\n\
        <presence/><iq  /></stream:stream\n> ignored"
    );
    let (events, error) = parse_every_way(stream.as_bytes());
    assert_eq!(error, None);
    let StreamEvent::Open(header) = &events[0] else { panic!("{:?}", events[0]) };
    assert_eq!(header.ns, "http://etherx.jabber.org/streams");
    assert_eq!(header.name, "stream");
    assert_eq!(header.content_ns, "jabber:client");
    assert_eq!(header.to.as_deref(), Some("a.b"));
    assert_eq!(header.version.as_deref(), Some("1.0"));
    assert_eq!(
        (header.from.as_ref(), header.id.as_ref(), header.lang.as_ref()),
        (None, None, None)
    );
    assert_eq!(
        header.prefixes,
        [("stream".to_owned(), "http://etherx.jabber.org/streams".to_owned())]
    );
    let StreamEvent::Stanza(message) = &events[1] else { panic!("{:?}", events[1]) };
    assert_eq!(message.attr("id"), Some("é😀&😀"));
    assert_eq!(message.attr("to"), Some("a'b"));
    let body = message.child("body", "jabber:client").expect("body");
    assert_eq!(body.text(), "x <é😀\n> ]] ] > <&]]>é tail");
    assert_eq!(body.children.len(), 1, "adjacent texts are one");
    let x = message.child("x", "u:x").expect("x");
    assert_eq!((x.attr_ns("q", "u:p"), x.attr("q")), (Some("1"), Some("2")));
    assert_eq!(x.attributes.len(), 2);
    assert_eq!(x.child("y", "u:p").and_then(Element::lang), Some("de"));
    assert_eq!(events[2], StreamEvent::Stanza(Element::new("presence", "jabber:client")));
    assert_eq!(events[3], StreamEvent::Stanza(Element::new("iq", "jabber:client")));
    assert_eq!(events[4], StreamEvent::Close);
    assert_eq!(events.len(), 5);
}

#[test]
fn header_attributes_and_the_empty_stream() {
    let (events, error) = parse_every_way(
        b"<s:stream xmlns:s='u:s' xmlns:db='u:db' from='f' id='i' xml:lang='en' x:to='no' \
        xmlns:x='u:x'/>",
    );
    assert_eq!(error, None);
    let bound = |prefix: &str, ns: &str| (prefix.to_owned(), ns.to_owned());
    let header = StreamHeader {
        ns: "u:s".to_owned(),
        name: "stream".to_owned(),
        from: Some("f".to_owned()),
        id: Some("i".to_owned()),
        lang: Some("en".to_owned()),
        prefixes: vec![bound("db", "u:db"), bound("s", "u:s"), bound("x", "u:x")],
        ..StreamHeader::default()
    };
    assert_eq!(events, [StreamEvent::Open(Box::new(header)), StreamEvent::Close]);
}

#[test]
fn prologs() {
    use XmlError::{NotWellFormed, Restricted, TooLarge, UnsupportedEncoding};
    let table: &[(&[u8], Option<XmlError>)] = &[
        (b"", None),
        (b" \r\n\t<a>", None),
        (b"<?xml version='1.0'?><a>", None),
        (b"<?xml version='1.0'?> \n<a>", None),
        (b"<?xml", None),
        (b"<?xml?>", Some(NotWellFormed)),
        (b"<?xml version='1.1'?><a>", Some(NotWellFormed)),
        (b" <?xml version='1.0'?><a>", Some(NotWellFormed)),
        (b"<?xml version='1.0'?><?xml version='1.0'?><a>", Some(NotWellFormed)),
        (b"<?xml version='1.0' encoding='latin1'?><a>", Some(UnsupportedEncoding)),
        (b"<?xml-stylesheet href='x'?><a>", Some(Restricted)),
        (b"<?php ?>", Some(Restricted)),
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", Some(Restricted)),
        (b"<?xml version='1.0'?><!DOCTYPE a>", Some(Restricted)),
        (b"<!-- x --><a>", Some(Restricted)),
        (b"<![CDATA[x]]><a>", Some(NotWellFormed)),
        (b"GET / HTTP/1.1\r\n", Some(NotWellFormed)),
        (b"</a>", Some(NotWellFormed)),
        (b"<>", Some(NotWellFormed)),
        (b"< a>", Some(NotWellFormed)),
        // RFC 6120 §11.6: U+FEFF is a character even here, and text before the header is none.
        (b"\xEF\xBB\xBF<a>", Some(NotWellFormed)),
        (b"\xFF\xFE<\0a\0", Some(UnsupportedEncoding)),
        (b"\xFE\xFF\0<", Some(UnsupportedEncoding)),
        (b"\0<\0a", Some(NotWellFormed)),
        (b"\x16\x03\x01", Some(NotWellFormed)),
        (b"<a \xC0\x80", Some(UnsupportedEncoding)),
    ];
    for (bytes, want) in table {
        check_document(bytes, *want);
    }
    let long = format!("<?xml version='1.0'{}?><a>", " ".repeat(300));
    check_document(long.as_bytes(), Some(NotWellFormed));
    let long = format!("<a b='{}'>", "x".repeat(5000));
    check_document(long.as_bytes(), Some(TooLarge));
}

#[test]
fn advisory_a01_what_xmpp_forbids_is_refused_before_it_does_anything() {
    use XmlError::Restricted;
    let laughs = "<!DOCTYPE lolz [<!ENTITY lol 'lol'><!ENTITY lol2 '&lol;&lol;&lol;'>]>";
    for text in [
        laughs,
        "<a><!DOCTYPE x></a>",
        "<a><!-- c --></a>",
        "<a><!-",
        "<!-- c -->",
        "<a><?pi x?></a>",
        "<?pi?>",
        "<a><?p",
        "<a>&lol;</a>",
        "<a>&nbsp;</a>",
        "<a>&unknown",
        "<a b='&lol;'/>",
        "<a>&ltt;</a>",
        "<a>&LT;</a>",
    ] {
        check_error(text, Restricted);
    }
    check_document(format!("{laughs}{HEADER}").as_bytes(), Some(Restricted));
}

#[test]
fn what_is_not_well_formed() {
    use XmlError::{NotWellFormed, UnboundPrefix};
    for text in [
        "<a></b>",
        "<a><b></a></b>",
        "<a b/>",
        "<a b=c/>",
        "<a b='c'd='e'/>",
        "<a b='1' b='2'/>",
        "<a xmlns:p='u' xmlns:q='u' p:b='1' q:b='2'/>",
        "<a xmlns:p='u' xmlns:p='v'/>",
        "<a xmlns='u' xmlns='v'/>",
        "<a xmlns:p=''/>",
        "<a xmlns:xmlns='u'/>",
        "<a xmlns:xml='u'/>",
        "<a xmlns:p='http://www.w3.org/XML/1998/namespace'/>",
        "<a xmlns='http://www.w3.org/XML/1998/namespace'/>",
        "<a xmlns:p='http://www.w3.org/2000/xmlns/'/>",
        "<xmlns:a/>",
        "<a b='<'/>",
        "<a b='<!--'/>",
        "<a b='</a>'/>",
        "<a b='<![CDATA['/>",
        "<a><![CDAT[x]]></a>",
        "<a>]]></a>",
        "<a>& </a>",
        "<a>&;</a>",
        "<a>&#;</a>",
        "<a>&#x;</a>",
        "<a>&#<b/>;</a>",
        "<a>&#xZ;</a>",
        "<a>&#X41;</a>",
        "<a>&#+65;</a>",
        "<a>&lt</a>",
        "<a:b:c/>",
        "<:a/>",
        "<a:/>",
        "<1/>",
        "<-a/>",
        "<a xmlns:p='u'><p:1/></a>",
        "<a xmlns:p='u' p:-='1'/>",
        "<a :b='1'/>",
        "<a / >",
        "<a></a b='1'>",
        "<a <b/>",
        "<!ELEMENT a>",
        "<a><?xml version='1.0'?></a>",
        "</stream>",
        "</stream:other>",
    ] {
        check_error(text, NotWellFormed);
    }
    for text in ["<p:a/>", "<a p:b='1'/>", "<a><x xmlns:p='u'/><p:y/></a>"] {
        check_error(text, UnboundPrefix);
    }
    check_document(b"<stream:stream xmlns='jabber:client'>", Some(UnboundPrefix));
    assert_eq!(stanzas("<a xmlns:xml='http://www.w3.org/XML/1998/namespace'/>").len(), 1);
    let fine = stanzas("<a b=\"'\" c='\"' >/></a>");
    assert_eq!((fine[0].attr("b"), fine[0].text()), (Some("'"), "/>".to_owned()));
}

#[test]
fn characters_that_xml_does_not_have_never_get_in() {
    use XmlError::{NotWellFormed, UnsupportedEncoding};
    for reference in ["&#0;", "&#x1F;", "&#8;", "&#xB;", "&#xFFFE;", "&#xFFFF;", "&#xD800;"] {
        check_error(&format!("<a>{reference}</a>"), NotWellFormed);
        check_error(&format!("<a b='{reference}'/>"), NotWellFormed);
    }
    for reference in ["&#xDFFF;", "&#x110000;", "&#99999999999999999999;"] {
        check_error(&format!("<a>{reference}</a>"), NotWellFormed);
    }
    for raw in ["\0", "\u{1}", "\u{1F}", "\u{FFFE}", "\u{FFFF}"] {
        check_error(&format!("<a>{raw}</a>"), NotWellFormed);
        check_error(&format!("<a b='{raw}'/>"), NotWellFormed);
        check_error(&format!("<a><![CDATA[{raw}]]></a>"), NotWellFormed);
        check_error(&format!("<a{raw}/>"), NotWellFormed);
    }
    for raw in [
        &b"\x80"[..],
        b"\xC0\x80",
        b"\xE0\x80\x80",
        b"\xED\xA0\x80",
        b"\xF4\x90\x80\x80",
        b"\xF8\x88\x80\x80\x80",
        b"\xC3(",
        b"\xFF",
    ] {
        check_error_bytes(&[b"<a>", raw, b"</a>"].concat(), UnsupportedEncoding);
        check_error_bytes(&[b"<a b='", raw, b"'/>"].concat(), UnsupportedEncoding);
        check_error_bytes(raw, UnsupportedEncoding);
    }
    let kept = stanzas("<a b='&#9;&#10;&#13; \t'>&#x9;&#xA;&#xD;&#x1F600;\u{85}\u{FEFF}</a>");
    assert_eq!(kept[0].attr("b"), Some("\t\n\r  "));
    assert_eq!(kept[0].text(), "\t\n\r😀\u{85}\u{FEFF}");
}

#[test]
fn text_between_stanzas() {
    use XmlError::StrayText;
    for text in ["x", "&#32;", "<a/>x", "]]>", "<![CDATA[ ]]>", "\0", "é"] {
        check_error(text, StrayText);
    }
    assert_eq!(stanzas(" \n<a/>\r\n\t <a/> ").len(), 2);
}

#[test]
fn the_byte_limit_is_exact_whatever_the_chunks() {
    let limits = |stanza_bytes_max| XmlLimits { stanza_bytes_max, ..LIMITS };
    let stanza = "<message to='é'>é<body/>  </message>";
    let stream = format!("{HEADER} \n{stanza}\n {stanza} </stream:stream>");
    // The header is the longest unit here, so it is read under a limit of its own.
    let run = |bytes_max: usize, size: usize| {
        let mut parser = StreamParser::new(LIMITS);
        let (mut events, mut error) = (0, None);
        for chunk in stream.as_bytes().chunks(size) {
            parser.feed(chunk);
            loop {
                match parser.next_event() {
                    Ok(Some(StreamEvent::Open(_))) => parser.set_limits(limits(bytes_max)),
                    Ok(Some(_)) => events += 1,
                    Ok(None) => break,
                    Err(e) => {
                        error = Some(e);
                        break;
                    }
                }
            }
        }
        (events, error)
    };
    for size in [1, 2, 3, 7, 1000] {
        assert_eq!(run(stanza.len(), size), (3, None));
        assert_eq!(run(0, size), (3, None));
        assert_eq!(run(stanza.len() - 1, size), (0, Some(XmlError::TooLarge)));
    }
    let header = parse_chunks(limits(HEADER.len()), [HEADER.as_bytes()]);
    assert_eq!((header.0.len(), header.1), (1, None));
    let header = parse_chunks(limits(HEADER.len() - 1), HEADER.as_bytes().chunks(1));
    assert_eq!(header, (vec![], Some(XmlError::TooLarge)));
}

#[test]
fn depth_attributes_and_nodes_are_bounded() {
    use XmlError::TooComplex;
    let nested = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
    assert_eq!(stanzas(&nested(10)).len(), 1);
    check_error(&"<a>".repeat(11), TooComplex);

    let attributes = |count: usize| {
        let list: String = (0..count).map(|n| format!(" a{n}=''")).collect();
        format!("<a{list}/>")
    };
    assert_eq!(stanzas(&attributes(20)).len(), 1);
    check_error(&attributes(21), TooComplex);
    let declarations = |count: usize| {
        let list: String = (0..count).map(|n| format!(" xmlns:a{n}='u'")).collect();
        format!("<a{list}/>")
    };
    assert_eq!(stanzas(&declarations(20)).len(), 1);
    check_error(&declarations(21), TooComplex);

    assert_eq!(stanzas(&format!("<a>{}</a>", "<b/>".repeat(199))).len(), 1);
    check_error(&format!("<a>{}</a>", "<b/>".repeat(200)), TooComplex);
    check_error(&format!("<a>{}</a>", "<b c=''/>".repeat(100)), TooComplex);
    check_error(&format!("<a>{}</a>", "<b/>t".repeat(100)), TooComplex);

    check_error(&format!("<{}/>", "a".repeat(1026)), TooComplex);
    check_error(&format!("<a {}=''/>", "a".repeat(1026)), TooComplex);
}

#[test]
fn zero_leaves_the_ceilings() {
    let none = XmlLimits { stanza_bytes_max: 0, depth_max: 0, attributes_max: 0, nodes_max: 0 };
    let run = |text: String| parse_chunks(none, [HEADER.as_bytes(), text.as_bytes()]).1;
    let nested = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
    assert_eq!(run(nested(limits::DEPTH_CEILING)), None);
    assert_eq!(run(nested(limits::DEPTH_CEILING + 1)), Some(XmlError::TooComplex));
    assert_eq!(run("<a>".repeat(100_000)), Some(XmlError::TooComplex));
    let attributes = |count: usize| {
        let list: String = (0..count).map(|n| format!(" a{n}=''")).collect();
        format!("<a{list}/>")
    };
    assert_eq!(run(attributes(limits::ATTRIBUTES_CEILING)), None);
    assert_eq!(run(attributes(limits::ATTRIBUTES_CEILING + 1)), Some(XmlError::TooComplex));
    assert_eq!(run(format!("<a>{}</a>", "x".repeat(3_000_000))), None);
}

#[test]
fn a_long_namespace_used_often_is_refused() {
    let limits = XmlLimits { stanza_bytes_max: 64 * 1024, nodes_max: 0, ..LIMITS };
    let run = |ns_bytes: usize, child: &str, count: usize| {
        let ns = "n".repeat(ns_bytes);
        let text = format!("<a xmlns:p='{ns}'>{}</a>", child.repeat(count));
        parse_chunks(limits, [HEADER.as_bytes(), text.as_bytes()]).1
    };
    assert_eq!(run(10, "<p:b/>", 5000), None);
    assert_eq!(run(300, "<b/>", 5000), None);
    assert_eq!(run(300, "<p:b/>", 5000), Some(XmlError::TooComplex));
    assert_eq!(run(300, "<b p:c=''/>", 5000), Some(XmlError::TooComplex));
    assert_eq!(run(20_000, "<b/>", 5000), Some(XmlError::TooComplex));
}

#[test]
fn advisory_a07_bytes_after_the_last_event_can_be_seen() {
    let mut parser = StreamParser::new(LIMITS);
    assert!(!parser.holds_bytes());
    parser.feed(HEADER.as_bytes());
    assert!(matches!(parser.next_event(), Ok(Some(StreamEvent::Open(_)))));
    assert!(!parser.holds_bytes());
    for tail in [" ", "\n", "<", "<a/>", "\u{E9}", "\0"] {
        let mut parser = StreamParser::new(LIMITS);
        parser.feed(HEADER.as_bytes());
        assert!(matches!(parser.next_event(), Ok(Some(_))));
        parser.feed(format!("<starttls/>{tail}").as_bytes());
        assert!(matches!(parser.next_event(), Ok(Some(StreamEvent::Stanza(_)))));
        assert!(parser.holds_bytes(), "{tail:?}");
    }
    // Fed later, and looked at after the white space was dropped: still seen.
    parser.feed(b"<starttls/>");
    assert!(matches!(parser.next_event(), Ok(Some(StreamEvent::Stanza(_)))));
    assert!(!parser.holds_bytes());
    parser.feed(b" ");
    assert!(parser.holds_bytes());
    assert_eq!(parser.next_event(), Ok(None));
    assert!(parser.holds_bytes());
    assert!(parser.is_between_stanzas());
    parser.feed(b"<a");
    assert_eq!(parser.next_event(), Ok(None));
    assert!(!parser.is_between_stanzas());
}

#[test]
fn events_before_an_error_are_delivered_and_nothing_after_the_end() {
    let (events, error) = parse_every_way(format!("{HEADER}<a/><b/>x").as_bytes());
    assert_eq!((events.len(), error), (3, Some(XmlError::StrayText)));
    let (events, error) = parse_every_way(format!("{HEADER}<a/></stream:stream>x<b").as_bytes());
    assert_eq!((events.len(), error), (3, None));
}

#[test]
fn whitespace_keepalives_are_free() {
    let mut parser = StreamParser::new(LIMITS);
    parser.feed(HEADER.as_bytes());
    assert!(matches!(parser.next_event(), Ok(Some(_))));
    for _ in 0..10_000 {
        parser.feed(&[b' '; 1000]);
        assert_eq!(parser.next_event(), Ok(None));
    }
    parser.feed(b"<a/>");
    assert!(matches!(parser.next_event(), Ok(Some(StreamEvent::Stanza(_)))));
}

#[test]
fn names_of_the_protocol_are_borrowed() {
    let element = stanzas("<message type='chat'><body/><foo xmlns='u:bar'/></message>").remove(0);
    assert!(matches!(element.name, Name::Borrowed("message")));
    assert!(matches!(element.ns, Name::Borrowed("jabber:client")));
    assert!(matches!(element.attributes[0].name, Name::Borrowed("type")));
    let foo = element.child("foo", "u:bar").expect("foo");
    assert!(matches!((&foo.name, &foo.ns), (Name::Owned(_), Name::Owned(_))));
}

#[test]
fn a_restart_reads_on_where_the_old_stream_ended() {
    let old = format!("{HEADER}<auth xmlns='u'/>");
    for between in ["", " ", "\r\n\t <?xml version='1.0'?>"] {
        let bytes = format!("{old}{between}{HEADER}<b/>");
        // What came in one piece with <auth/>, and what came later.
        for split in old.len()..=bytes.len() {
            let mut parser = StreamParser::new(LIMITS);
            parser.feed(&bytes.as_bytes()[..split]);
            assert!((0..2).all(|_| matches!(parser.next_event(), Ok(Some(_)))));
            let mut parser = parser.restart(LIMITS);
            let mut events = Vec::new();
            for piece in std::iter::once(&[][..]).chain(bytes.as_bytes()[split..].chunks(1)) {
                parser.feed(piece);
                events.extend(std::iter::from_fn(|| parser.next_event().expect("well-formed")));
            }
            assert!(
                matches!(events[..], [StreamEvent::Open(_), StreamEvent::Stanza(_)]),
                "{split}"
            );
        }
    }
}
