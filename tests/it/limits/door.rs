//! Joins into a large room wait while much waits to be written, but not for clients that do not
//! read; nothing else does, and what one session sends keeps its order.

use crate::client::{Client, Item};
use crate::inproc::InProcess;
use crate::party::{Party, Who, Windows, describe, in_process};

type Local = Party<InProcess<Windows>>;

/// Occupants of a room that is large enough for joins to wait.
const CROWD: usize = 50;
/// How long clients that do not read hold the others up (`server::door`).
const PATIENCE_MS: u64 = 5_000;
/// Joins wait while half of the last of these waits in all outboxes.
const LIMITS: &str = "[limits]\nstanza_bytes = 20000\noutbox_bytes = 100000\n\
                      outbox_bytes_total = 100000\nroom_messages_per_second = 0\n\
                      unauthenticated_seconds = 0";

fn talk(body: &str) -> String {
    let to = "room@conference.localhost";
    format!("<message type='groupchat' id='talk' to='{to}'><body>{body}</body></message>")
}

/// A full room, and clients that are not in it.
struct Scene {
    party: Local,
    /// They speak, and read all there is.
    speakers: Vec<Who>,
    /// Does not read what they have said.
    slow: Who,
    late: Vec<Who>,
}

impl Scene {
    fn new(late: usize) -> Self {
        let users: Vec<String> = (0..CROWD + late).map(|number| format!("u{number}")).collect();
        let users: Vec<&str> = users.iter().map(String::as_str).collect();
        let mut party = in_process(LIMITS, &users);
        let mut all = Vec::new();
        for (number, user) in users.iter().enumerate() {
            party.move_to(&format!("10.0.0.{number}"));
            let is_in = number < CROWD;
            all.push(if is_in { party.join(user, "room") } else { party.login(user) });
        }
        party.settle();
        all.iter().for_each(|who| drop(party.take(*who)));
        let (late, speakers) = (all.split_off(CROWD), all[..7].to_vec());
        let mut scene = Self { party, speakers, slow: all[7], late };
        scene.fill();
        scene
    }

    /// In one turn more than half of what may wait comes to wait, all of it for one client.
    fn fill(&mut self) {
        self.party.shut_window(self.slow);
        let message = talk(&"x".repeat(10_000));
        for speaker in &self.speakers {
            self.party.post(*speaker, &message);
        }
        self.party.settle();
        self.speakers.iter().for_each(|speaker| drop(self.party.take(*speaker)));
        assert!(self.party.server().residue().outbox_bytes > 50_000);
    }

    /// Asks to join, and sends something after it.
    fn knock(&mut self, who: Who) {
        let x = "<x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='0'/></x>";
        let to = format!("room@conference.localhost/late{who}");
        self.party.send(who, &format!("<presence to='{to}'>{x}</presence>"));
        self.party.send(who, &talk(&format!("from {who}")));
        self.party.settle();
    }

    fn waiting(&mut self) -> usize {
        self.party.server().residue().joins_waiting
    }

    fn all_that_came(&mut self, who: Who) -> String {
        self.party.take(who).iter().map(describe).collect()
    }

    /// It is in, and what it sent after the join came after that.
    #[track_caller]
    fn check_is_in(&mut self, who: Who) {
        let all = self.all_that_came(who);
        let place = |what: &str| all.find(what).unwrap_or_else(|| panic!("no {what}: {all}"));
        let own = place("code='110'");
        assert!(own < place("<subject"), "{all}");
        assert!(place("<subject") < place(&format!("from {who}<")), "{all}");
        assert_eq!(all[..own].matches("<presence").count(), self.occupants_before(who) + 1);
    }

    /// Who waits is let in in the order of asking.
    fn occupants_before(&self, who: Who) -> usize {
        CROWD + self.late.iter().position(|late| *late == who).expect("a late one")
    }
}

#[test]
fn a_join_waits_until_there_is_room() {
    let mut scene = Scene::new(3);
    for who in scene.late.clone() {
        scene.knock(who);
    }
    assert_eq!(scene.waiting(), 3);
    for who in scene.late.clone() {
        assert_eq!(scene.all_that_came(who), "", "its join waits, and what came after");
    }
    // Others talk, and go where there is no crowd.
    let speaker = scene.speakers[0];
    scene.party.enter(speaker, "small", "u0");
    scene.party.send(speaker, &talk("!"));
    scene.party.receive(speaker, "<message id='talk'/>");
    assert_eq!(scene.waiting(), 3);
    // The slow one reads; no time passes.
    scene.party.open_window(scene.slow);
    scene.party.settle();
    assert_eq!(scene.waiting(), 0);
    for who in scene.late.clone() {
        scene.check_is_in(who);
    }
    scene.party.fence(scene.slow);
    scene.party.check_residue();
}

#[test]
fn who_does_not_read_holds_joins_up_for_a_while_and_is_cut() {
    let mut scene = Scene::new(3);
    for who in scene.late.clone() {
        scene.knock(who);
    }
    scene.party.pass(PATIENCE_MS - 1);
    assert_eq!(scene.waiting(), 3);
    scene.party.pass(1);
    assert_eq!(scene.waiting(), 2, "the first is let in regardless");
    assert!(!scene.party.has_ended(scene.slow), "it may have been late but this once");
    scene.party.pass(PATIENCE_MS);
    assert_eq!(scene.waiting(), 0, "there is room, for who did not read is cut");
    assert!(scene.party.has_ended(scene.slow));
    for who in scene.late.clone() {
        assert!(!scene.party.has_ended(who));
    }
    let first = scene.late[0];
    scene.check_is_in(first);
    scene.party.check_residue();
}

#[test]
fn who_has_read_what_waited_then_is_not_cut() {
    let mut scene = Scene::new(4);
    for who in scene.late.clone() {
        scene.knock(who);
    }
    for waiting in [3, 2, 1] {
        scene.party.pass(PATIENCE_MS);
        assert_eq!(scene.waiting(), waiting);
        // It reads everything, and falls behind once more.
        let slow = scene.slow;
        scene.party.open_window(slow);
        scene.party.driver.world.turn();
        scene.fill();
        assert!(!scene.party.has_ended(slow), "{}", scene.party.seen(slow));
    }
    scene.party.open_window(scene.slow);
    scene.party.settle();
    assert_eq!(scene.waiting(), 0);
    scene.party.check_residue();
}

#[test]
fn at_the_shutdown_who_waits_is_refused() {
    let mut scene = Scene::new(2);
    let (early, late) = (scene.late[0], scene.late[1]);
    scene.knock(early);
    assert_eq!(scene.waiting(), 1);
    // This one is read before the signal, and looked at after it.
    let ping = "<iq type='get' id='after' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>";
    scene.party.send(early, ping);
    let now = scene.party.driver.world.now;
    scene.party.server().handle_shutdown(now, "TERM");
    scene.party.open_window(scene.slow);
    scene.party.settle();
    let items = scene.party.take(early);
    let all: String = items.iter().map(describe).collect();
    assert!(all.starts_with("<presence"), "{all}");
    for what in
        ["type='error'", "<service-unavailable", "<x xmlns='http://jabber.org/protocol/muc'"]
    {
        assert!(all.contains(what), "{what}: {all}");
    }
    assert!(all.contains("<system-shutdown"), "{all}");
    assert!(items.iter().any(|item| matches!(item, Item::Close)), "{all}");
    assert!(scene.all_that_came(late).contains("<system-shutdown"));
    assert_eq!(scene.waiting(), 0);
}

#[test]
fn who_goes_while_its_join_waits_is_forgotten() {
    let mut scene = Scene::new(2);
    let (gone, late) = (scene.late[0], scene.late[1]);
    scene.knock(gone);
    scene.knock(late);
    scene.party.cut(gone);
    assert_eq!(scene.waiting(), 1);
    scene.party.open_window(scene.slow);
    scene.party.settle();
    assert_eq!(scene.waiting(), 0);
    let all = scene.all_that_came(late);
    assert!(all.contains("code='110'") && !all.contains(&format!("late{gone}")), "{all}");
    scene.party.check_residue();
}

/// A join is not counted before it is let in: a client that comes back sends it again (XEP-0198
/// §5), whether the server has noticed that the connection is gone or not.
#[test]
fn who_waits_and_loses_its_connection_joins_when_it_is_back() {
    for is_noticed in [true, false] {
        let mut scene = Scene::new(2);
        let (first, lost) = (scene.late[0], scene.late[1]);
        scene.party.send(lost, "<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
        let enabled = scene.party.receive(lost, "<enabled xmlns='urn:xmpp:sm:3'>{etc}</enabled>");
        let id = enabled.attr("id").expect("an id").to_owned();
        scene.knock(first);
        scene.knock(lost);
        if is_noticed {
            scene.party.cut(lost);
            assert_eq!(scene.waiting(), 1, "the session is kept, the join is not");
        }
        let user = format!("u{}", CROWD + 1);
        let client = Client::unbound(scene.party.identity(&user), None);
        let back = scene.party.connect(client).expect("the server accepts");
        scene.party.receive(back, "<stream:features/>");
        let resume = format!("<resume xmlns='urn:xmpp:sm:3' previd='{id}' h='0'/>");
        scene.party.send(back, &resume);
        let resumed = format!("<resumed xmlns='urn:xmpp:sm:3' previd='{id}' h='0'/>");
        scene.party.receive(back, &resumed);
        scene.late[1] = back;
        scene.knock(back);
        assert_eq!(scene.waiting(), 2, "once each");
        scene.party.open_window(scene.slow);
        scene.party.settle();
        scene.check_is_in(first);
        scene.party.send(back, "<r xmlns='urn:xmpp:sm:3'/>");
        scene.party.receive(back, "<a xmlns='urn:xmpp:sm:3' h='2'/>");
        scene.party.check_residue();
    }
}
