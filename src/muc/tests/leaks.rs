//! What clients forge is not passed on, and real addresses reach only those who may see them.

use super::*;

#[test]
fn advisory_a15_every_forged_copy_is_taken_out() {
    let mut world = World::new();
    let (owner, guest) = (world.user("romeo@localhost/a"), world.user("juliet@localhost/b"));
    world.room(&[(&owner, "R"), (&guest, "J")]);
    let forged = format!(
        "<stanza-id xmlns='urn:xmpp:sid:0' by='{ROOM}' id='forged'/>\
         <body>x</body>\
         <stanza-id xmlns='urn:xmpp:sid:0' by='ROOM@conference.localhost' id='forged'/>\
         <occupant-id xmlns='urn:xmpp:occupant-id:0' id='forged'/>\
         <occupant-id xmlns='urn:xmpp:occupant-id:0' id='forged'/>\
         <x xmlns='http://jabber.org/protocol/muc#user'><status code='forged'/></x>\
         <x xmlns='http://jabber.org/protocol/muc'><password>forged</password></x>\
         <hats xmlns='urn:xmpp:hats:0'><hat title='forged'/></hats>\
         <delay xmlns='urn:xmpp:delay' from='{ROOM}' stamp='forged'/>\
         <stanza-id xmlns='urn:xmpp:sid:0' by='other@localhost' id='kept'/>"
    );
    world.say(&guest, &forged).expect("voice");
    let received = world.received(&owner);
    assert_eq!(received.len(), 1);
    let of = |name: &str| received[0].elements().filter(|e| e.name == name).count();
    assert_eq!((of("stanza-id"), of("occupant-id"), of("x"), of("hats")), (2, 1, 0, 0));
    world.say(&guest, &forged).expect("voice");
    let bytes = world.bytes(&owner);
    assert!(!bytes.contains("forged") && bytes.contains("kept"), "{bytes}");
    world.presence(&guest, &format!("{ROOM}/J"), &forged).expect("news, and a resync");
    assert!(!world.bytes(&owner).contains("forged"));
    let chat = StanzaKind::Message(MessageType::Chat);
    world.send(&guest, chat, &format!("{ROOM}/R"), &forged).expect("allowed");
    assert!(!world.bytes(&owner).contains("forged"));
}

#[test]
fn reflection_keeps_the_id_and_goes_to_the_sender() {
    let mut world = World::new();
    let owner = world.user("romeo@localhost/a");
    world.room(&[(&owner, "R")]);
    world.say(&owner, "<body>x</body>").expect("voice");
    let received = world.received(&owner);
    assert_eq!(received[0].attr("id"), Some("id"));
    let stanza_id = received[0].child("stanza-id", ns::SID).expect("XEP-0359");
    assert_eq!(stanza_id.attr("by"), Some(ROOM));
}

/// Everything that may happen to a mere participant, with its whole output searched.
#[test]
fn advisory_a17_no_address_reaches_a_participant() {
    let mut world = World::new();
    let owner = world.user("romeo@localhost/secret1");
    let (juliet, tybalt) =
        (world.user("juliet@localhost/b"), world.user("tybalt@localhost/secret2"));
    world.room(&[(&owner, "R"), (&juliet, "J")]);
    world.join(&tybalt, "T").expect("open");
    world.say(&tybalt, "<body>x</body>").expect("voice");
    world.presence(&tybalt, &format!("{ROOM}/Ty"), "").expect("free");
    for items in [
        "<item role='visitor' nick='Ty'/>",
        "<item role='moderator' nick='Ty'/>",
        "<item affiliation='member' jid='tybalt@localhost'/>",
        "<item affiliation='admin' jid='tybalt@localhost'/>",
        "<item affiliation='none' jid='tybalt@localhost'/>",
        "<item affiliation='outcast' jid='secret3@localhost'/>",
        "<item role='none' nick='Ty'><reason>r</reason></item>",
    ] {
        world.admin(&owner, items).expect("an owner may");
    }
    world.join(&juliet, "J").expect("a resync");
    world.get(&juliet, "<query xmlns='http://jabber.org/protocol/disco#info'/>").expect("open");
    for list in ["affiliation='member'", "affiliation='owner'", "role='moderator'"] {
        let query = "<query xmlns='http://jabber.org/protocol/muc#admin'><item LIST/></query>";
        refused(world.get(&juliet, &query.replace("LIST", list)), Condition::Forbidden);
    }
    world.admin(&owner, "<item role='none' nick='J'/>").expect("an owner may");
    let bytes = world.bytes(&juliet);
    assert!(bytes.contains("307"));
    for secret in ["romeo@", "tybalt@", "secret"] {
        assert!(!bytes.contains(secret), "{secret} in {bytes}");
    }
    assert!(world.bytes(&owner).contains("tybalt@localhost/secret2"));
}

#[test]
fn invitations_name_the_seat_and_the_password() {
    let mut world = World::new();
    let (owner, guest) = (world.user("romeo@localhost/a"), world.user("juliet@localhost/b"));
    world.room(&[(&owner, "R"), (&guest, "J")]);
    world.configure(&owner, &[("roomconfig_roomsecret", &["s"])]).expect("sound");
    let invite = |to: &str| {
        format!(
            "<x xmlns='http://jabber.org/protocol/muc#user'>\
             <invite to='{to}'><reason>come</reason></invite></x>"
        )
    };
    let normal = StanzaKind::Message(MessageType::Normal);
    world.send(&guest, normal, ROOM, &invite("nurse@elsewhere")).expect("open");
    let invitation = world.cx.poll_routed().expect("it is routed");
    assert_eq!(invitation.from, jid(ROOM));
    let x = invitation.child("x", ns::MUC_USER).expect("muc#user");
    let element = x.child("invite", ns::MUC_USER).expect("invite");
    assert_eq!(element.attr("from"), Some(format!("{ROOM}/J").as_str()));
    assert_eq!(x.child("password", ns::MUC_USER).map(Element::text).as_deref(), Some("s"));
    // Nobody of that name lives here; a ban is not lifted; both or none.
    refused(world.send(&guest, normal, ROOM, &invite("ghost@localhost")), Condition::ItemNotFound);
    world.admin(&owner, "<item affiliation='outcast' jid='evil@elsewhere'/>").expect("sound");
    refused(world.send(&guest, normal, ROOM, &invite("evil@elsewhere")), Condition::NotAllowed);
    refused(world.send(&guest, normal, ROOM, "<body>x</body>"), Condition::BadRequest);
    assert!(world.cx.poll_routed().is_none());
    // Declined: only the one who invited hears of it.
    let nurse = world.user("nurse@elsewhere/n");
    let decline =
        format!("<x xmlns='http://jabber.org/protocol/muc#user'><decline to='{ROOM}/J'/></x>");
    world.bytes(&owner);
    world.bytes(&guest);
    world.send(&nurse, normal, ROOM, &decline).expect("polite");
    assert_eq!(world.heard(&guest), ["message decline"]);
    assert_eq!(world.heard(&owner), [""; 0]);
}
