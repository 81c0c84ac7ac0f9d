//! RFC 6121 §8.5, by what arrives. The table itself is tested beside it.

use super::*;

const BALCONY: &str = "juliet@localhost/balcony";
const CHAMBER: &str = "juliet@localhost/chamber";

#[test]
fn bare_address_reaches_all_ready_resources() {
    let mut world = World::new();
    let balcony = world.available(BALCONY, 0);
    let chamber = world.available(CHAMBER, 7);
    let negative = world.available("juliet@localhost/tomb", -1);
    let connected = world.bind("juliet@localhost/mute");
    for (kind, type_attr) in [
        (MessageType::Normal, ""),
        (MessageType::Chat, " type='chat'"),
        (MessageType::Headline, " type='headline'"),
    ] {
        let body = Element::new("body", ns::CLIENT).with_text("a < b");
        let sent = message("juliet@localhost", kind).with_child(body);
        assert_eq!(world.deliver(&sent), Ok(()));
        let want = format!(
            "<message from='nurse@localhost/house'{type_attr} to='juliet@localhost'>\
             <body>a &lt; b</body></message>"
        );
        assert_eq!(world.read(balcony), want);
        assert_eq!(world.read(chamber), want);
        assert_eq!(world.read(negative) + &world.read(connected), "");
    }
}

/// §8.5.2.2.1; an account that does not exist answers alike.
#[test]
fn nobody_ready() {
    let mut world = World::new();
    let negative = world.available("juliet@localhost/tomb", -1);
    let refused = Err(Condition::ServiceUnavailable);
    for to in ["juliet@localhost", "juliet@localhost/nowhere", "nobody@localhost"] {
        assert_eq!(world.deliver(&message(to, MessageType::Chat)), refused);
        assert_eq!(world.deliver(&message(to, MessageType::Normal)), refused);
        assert_eq!(world.deliver(&message(to, MessageType::Groupchat)), refused);
        assert_eq!(world.deliver(&message(to, MessageType::Headline)), Ok(()));
        assert_eq!(world.deliver(&message(to, MessageType::Error)), Ok(()));
    }
    assert_eq!(world.read(negative), "");
}

#[test]
fn full_address_reaches_that_session_alone() {
    let mut world = World::new();
    let balcony = world.available(BALCONY, 0);
    let connected = world.bind(CHAMBER);
    for kind in [MessageType::Chat, MessageType::Groupchat, MessageType::Error] {
        assert_eq!(world.deliver(&message(CHAMBER, kind)), Ok(()));
        assert!(world.read(connected).contains(&format!("to='{CHAMBER}'")));
    }
    assert_eq!(world.read(balcony), "");
    // §8.5.3.2.1: a chat message for a resource that has gone reaches the others.
    world.end(connected);
    assert_eq!(world.deliver(&message(CHAMBER, MessageType::Chat)), Ok(()));
    assert!(world.read(balcony).contains(&format!("to='{CHAMBER}'")));
    assert_eq!(world.deliver(&message(CHAMBER, MessageType::Headline)), Ok(()));
    assert_eq!(world.read(balcony), "");
}

#[test]
fn iqs_between_sessions() {
    let mut world = World::new();
    let balcony = world.available(BALCONY, 0);
    let iq = |to: &str, kind| {
        let from = jid("nurse@localhost/house");
        Stanza::new(StanzaKind::Iq(kind), from, Some(jid(to))).with_id(Some("1".to_owned()))
    };
    for (kind, text) in [
        (IqType::Get, "get"),
        (IqType::Set, "set"),
        (IqType::Result, "result"),
        (IqType::Error, "error"),
    ] {
        assert_eq!(world.deliver(&iq(BALCONY, kind)), Ok(()));
        let want =
            format!("<iq from='nurse@localhost/house' type='{text}' id='1' to='{BALCONY}'/>");
        assert_eq!(world.read(balcony), want);
    }
    let refused = Err(Condition::ServiceUnavailable);
    assert_eq!(world.deliver(&iq(CHAMBER, IqType::Get)), refused);
    assert_eq!(world.deliver(&iq(CHAMBER, IqType::Set)), refused);
    assert_eq!(world.deliver(&iq(CHAMBER, IqType::Result)), Ok(()));
    assert_eq!(world.deliver(&iq(CHAMBER, IqType::Error)), Ok(()));
    // The answer to a roster push is swallowed.
    assert_eq!(world.deliver(&iq("juliet@localhost", IqType::Result)), Ok(()));
    assert_eq!(world.read(balcony), "");
}

/// An account that does not exist hears nothing of subscriptions, keeps nothing and says nothing,
/// except that a probe is refused as that of a stranger is.
#[test]
fn subscriptions_to_nobody() {
    use PresenceType as P;
    let mut world = World::new();
    let balcony = world.available(BALCONY, 0);
    for to in ["juliet@localhost", BALCONY, CHAMBER, "nobody@localhost"] {
        let send = |kind| presence_to("nurse@localhost", to, kind);
        for kind in [P::Subscribe, P::Subscribed, P::Unsubscribe, P::Unsubscribed] {
            assert_eq!(world.deliver(&send(kind)), Ok(()), "{to} {kind:?}");
            assert_eq!(world.cx.poll_routed(), None, "{to} {kind:?}");
        }
        assert_eq!(world.deliver(&send(P::Probe)), Ok(()));
        let answer = world.cx.poll_routed().expect("an answer");
        assert_eq!(answer.kind, StanzaKind::Presence(P::Unsubscribed));
        assert_eq!(answer.from, jid(to).to_bare().into());
        assert_eq!(world.cx.poll_routed(), None);
    }
    assert_eq!(world.read(balcony), "");
}

#[test]
fn sessions_are_limited_and_ordered() {
    let mut config = Config::default();
    config.limits.sessions_per_account = 2;
    let mut world = World::with(config);
    let (balcony, chamber) = (world.bind(BALCONY), world.bind(CHAMBER));
    let third = world.cx.out.open();
    let error = world.im.bind(&mut world.cx, third, &jid("juliet@localhost/tomb"));
    assert_eq!(error, Err(Condition::ResourceConstraint.into()));
    assert_eq!(world.im.session_at(&jid("juliet@localhost/tomb")), None);
    let account = jid("juliet@localhost").to_bare();
    assert_eq!(world.im.sessions_of(&account), [balcony, chamber]);
    assert_eq!(world.im.sessions_count(), 2);
    world.end(balcony);
    assert_eq!(world.im.sessions_of(&account), [chamber]);
    let again = world.bind(BALCONY);
    assert_eq!(world.im.sessions_of(&account), [chamber, again]);
}
