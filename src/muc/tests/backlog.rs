//! What is told over many turns, checked by clients that believe what they are told: each keeps
//! the room as it sees it, and in the end everybody must see what is there. Nobody hears of the
//! going of somebody of whose coming it has not heard, and nobody is shown an address who may not
//! see it. Turns are made short by hand, so that nearly everything has to wait.

use std::collections::BTreeMap;

use super::*;
use crate::muc::room::Room;
use crate::storage::Fault;

const ACCOUNTS: usize = 7;
const USERS: usize = 10;
/// The owner, who alone is never touched.
const OWNER: usize = 0;

/// How somebody looks.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Look {
    affiliation: String,
    role: String,
    jid: Option<String>,
}

/// A client that believes what it is told.
struct Client {
    user: User,
    /// Its nick, while it believes to be in the room.
    nick: Option<String>,
    others: BTreeMap<String, Look>,
    /// The affiliation list as it knows it.
    version: Option<String>,
    list: BTreeMap<String, String>,
}

/// Numbers from a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

impl Client {
    /// `may_see`: it sees real addresses. Returns what is wrong.
    fn hear(&mut self, stanza: &Element, may_see: bool) -> Result<(), String> {
        let Some(x) = stanza.child("x", ns::MUC_USER) else { return Ok(()) };
        let items: Vec<_> = x.elements().filter(|e| e.is("item", ns::MUC_USER)).collect();
        self.count_version(x, &items)?;
        if &*stanza.name != "presence" {
            return Ok(());
        }
        let nick = stanza.attr("from").and_then(|from| from.split_once('/')).expect("a seat").1;
        let has = |code| x.elements().any(|e| &*e.name == "status" && e.attr("code") == Some(code));
        let value = |name| items.first().and_then(|item| item.attr(name)).map(str::to_owned);
        let is_gone = stanza.attr("type") == Some("unavailable");
        if has("110") {
            self.nick = (!is_gone || has("303")).then(|| nick.to_owned());
            if self.nick.is_none() {
                self.others.clear();
            }
        } else if is_gone {
            self.others.remove(nick).ok_or(format!("{nick} goes who was not there"))?;
        } else {
            let text = |name| value(name).unwrap_or_default();
            let (affiliation, role, jid) = (text("affiliation"), text("role"), value("jid"));
            if jid.is_some() && !may_see {
                return Err(format!("the address of {nick} is shown"));
            }
            self.others.insert(nick.to_owned(), Look { affiliation, role, jid });
        }
        Ok(())
    }

    fn count_version(&mut self, x: &Element, items: &[&Element]) -> Result<(), String> {
        let Some(mav) = x.child("mav", ns::MUC_AFFILIATIONS) else { return Ok(()) };
        let is_own = x.elements().any(|e| e.attr("code") == Some("110"));
        let (since, until) = (mav.attr("since"), mav.attr("until").ok_or("no until")?);
        match since {
            Some(since) if self.version.as_deref() != Some(since) => {
                let version = &self.version;
                return Err(format!("from {since} to {until}, but here is {version:?}"));
            }
            // The full list, or the mere statement of the version at the end of a join.
            None if !is_own => self.list.clear(),
            _ => {}
        }
        self.version = Some(until.to_owned());
        for item in items.iter().filter(|_| since.is_some() || !is_own) {
            let Some(jid) = item.attr("jid") else { continue };
            let jid = jid.split('/').next().unwrap_or_default().to_owned();
            match item.attr("affiliation") {
                Some("none") => drop(self.list.remove(&jid)),
                affiliation => {
                    self.list.insert(jid, affiliation.unwrap_or_default().to_owned());
                }
            }
        }
        Ok(())
    }
}

struct Play {
    world: World,
    clients: Vec<Client>,
    dice: Dice,
    log: Vec<String>,
}

impl Play {
    fn new(seed: u64) -> Self {
        let mut world = World::new();
        let client = |number| {
            // The last ones are second sessions of others.
            let resource = if number < ACCOUNTS { "r" } else { "s" };
            let user = world.user(&format!("u{}@localhost/{resource}", number % ACCOUNTS));
            let (others, list) = (BTreeMap::new(), BTreeMap::new());
            Client { user, nick: None, others, version: None, list }
        };
        let clients = (0..USERS).map(client).collect();
        let dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let mut play = Self { world, clients, dice, log: Vec::new() };
        play.join(OWNER, "N0");
        let owner = play.clients[OWNER].user.clone();
        play.world.configure(&owner, &[]).expect("the defaults are sound");
        play.listen();
        play
    }

    fn room(&self) -> &Room {
        self.world.muc.rooms.iter().next().expect("the owner is in it").1
    }

    fn join(&mut self, who: usize, nick: &str) {
        let user = self.clients[who].user.clone();
        let since = self.clients[who].version.as_ref();
        let since = since.map(|since| format!(" since='{since}'")).unwrap_or_default();
        let mav = format!("<mav xmlns='{}'{since}/>", ns::MUC_AFFILIATIONS);
        let mav = if who == OWNER { mav } else { String::new() };
        let x = format!("<x xmlns='{}'>{mav}</x>", ns::MUC);
        // What cannot be is refused.
        let _ = self.world.presence(&user, &format!("{ROOM}/{nick}"), &x);
    }

    /// Everybody reads what came.
    fn listen(&mut self) {
        for client in &mut self.clients {
            let stanzas = self.world.received(&client.user);
            let room = self.world.muc.rooms.iter().next().map(|(_, room)| room);
            let viewer = room.and_then(|room| room.occupant_at(&client.user.jid));
            let may_see = viewer.is_some_and(|viewer| room.is_some_and(|r| r.sees_jids(viewer)));
            for stanza in stanzas {
                self.log.push(format!("    {} < {}", client.user.jid, short(&stanza)));
                if let Err(wrong) = client.hear(&stanza, may_see) {
                    let jid = &client.user.jid;
                    panic!("{jid}: {wrong}: {stanza:?}\n{}", self.log.join("\n"));
                }
            }
        }
    }

    fn act(&mut self) {
        let who =
            [1 + self.dice.below(ACCOUNTS - 1), 8 + self.dice.below(2)][self.dice.below(4) / 3];
        let user = self.clients[who].user.clone();
        let owner = self.clients[OWNER].user.clone();
        let nick = format!("N{}", self.dice.below(ACCOUNTS + 1));
        let pick = |dice: &mut Dice, values: &[&'static str]| values[dice.below(values.len())];
        let deed = self.dice.below(15);
        self.log.push(format!("{deed} {who} {nick}"));
        let configuration = match deed {
            0..=3 => return self.join(who, &nick),
            4 => return self.world.leave(&user),
            5 => {
                let _ = self.world.presence(&user, &format!("{ROOM}/{nick}"), "");
                return;
            }
            6 | 7 => {
                let affiliation = pick(&mut self.dice, &["none", "member", "admin", "outcast"]);
                let item = |who| {
                    format!(
                        "<item jid='u{}@localhost' affiliation='{affiliation}'>\
                         <reason>why</reason></item>",
                        who % ACCOUNTS
                    )
                };
                let other = 1 + self.dice.below(ACCOUNTS + 2);
                let items = format!("{}{}", item(who), item(other));
                let _ = self.world.admin(&owner, &items);
                return;
            }
            8 | 9 => {
                let role = pick(&mut self.dice, &["none", "visitor", "participant", "moderator"]);
                let item = format!("<item nick='{nick}' role='{role}'/>");
                let _ = self.world.admin(&owner, &item);
                return;
            }
            10 => ("roomconfig_whois", pick(&mut self.dice, &["anyone", "moderators"])),
            11 => ("roomconfig_moderatedroom", pick(&mut self.dice, &["0", "1"])),
            13 => return self.join(OWNER, "N0"),
            12 => ("roomconfig_membersonly", pick(&mut self.dice, &["0", "0", "0", "1"])),
            14 => {
                let mut config = Config::clone(&self.world.cx.config);
                let admin = jid(&format!("u{}@localhost", 1 + self.dice.below(2))).to_bare();
                let is_one = self.dice.below(2) == 0;
                config.admin.jids = if is_one { [admin].into() } else { [].into() };
                self.world.cx.config = Rc::new(config);
                return self.world.muc.handle_reload(&mut self.world.cx);
            }
            _ => {
                let all = ["moderator", "participant", "visitor"];
                let shown = all[..1 + self.dice.below(3)].to_vec();
                let fields: &[(&str, &[&str])] = &[("roomconfig_presencebroadcast", &shown)];
                return self.world.configure(&owner, fields).expect("an owner may");
            }
        };
        let (name, value) = configuration;
        self.world.configure(&owner, &[(name, &[value])]).expect("an owner may");
    }

    /// A turn that is full before the backlog has its part of it.
    fn short_turn(&mut self) {
        self.world.cx.out.end_turn_early();
        self.world.muc.tell_backlog(&mut self.world.cx);
        self.world.cx.out.commit_turn();
        self.listen();
    }

    fn check(&mut self) {
        let now_ms = self.world.cx.now.mono_ms;
        while self.world.muc.poll_timeout(now_ms).is_some() {
            self.short_turn();
        }
        let room = self.room();
        for client in &self.clients {
            let mut others = BTreeMap::new();
            if let Some(viewer) = room.occupant_at(&client.user.jid) {
                let sees_jids = room.sees_jids(viewer);
                assert_eq!(client.nick.as_ref(), Some(&viewer.nick));
                for other in room.occupants().filter(|o| o.is_shown && o.key != viewer.key) {
                    let jid = sees_jids.then(|| other.seats[0].jid.to_string());
                    let affiliation = other.affiliation.as_str().to_owned();
                    let look = Look { affiliation, role: other.role.as_str().to_owned(), jid };
                    others.insert(other.nick.clone(), look);
                }
            }
            let log = || format!("{}\n{}", client.user.jid, self.log.join("\n"));
            assert_eq!(client.others, others, "{}", log());
        }
        let list = room.affiliations.values();
        let list = list.map(|e| (e.jid.to_string(), e.affiliation.as_str().to_owned()));
        let is_here = self.clients[OWNER].nick.is_some();
        let known = &self.clients[OWNER].list;
        assert!(!is_here || *known == list.collect(), "{known:?}\n{}", self.log.join("\n"));
    }
}

#[test]
fn everybody_sees_what_is_there_in_the_end() {
    for seed in 0..100 {
        let mut play = Play::new(seed);
        for _ in 0..60 {
            if play.dice.below(3) > 0 {
                play.world.cx.out.end_turn_early();
            }
            play.act();
            play.listen();
            play.world.cx.out.commit_turn();
            for _ in 0..play.dice.below(4) {
                play.short_turn();
            }
            if play.dice.below(12) == 0 {
                play.check();
            }
        }
        play.check();
        assert!(play.room().backlog.is_empty());
    }
}

/// A room whose owner hears nothing at once: its turns are full.
fn waiting_room(users: &[(&str, &str)]) -> (World, Vec<User>) {
    let mut world = World::new();
    let here: Vec<_> =
        users.iter().map(|(name, _)| world.user(&format!("{name}@localhost/r"))).collect();
    let seats: Vec<_> = here.iter().zip(users).map(|(user, (_, nick))| (user, *nick)).collect();
    world.room(&seats);
    world.cx.out.end_turn_early();
    (world, here)
}

/// Everything that is left to tell is told.
fn tell_all(world: &mut World) {
    while world.muc.poll_timeout(world.cx.now.mono_ms).is_some() {
        world.cx.out.commit_turn();
        world.muc.tell_backlog(&mut world.cx);
    }
}

#[test]
fn who_takes_the_nick_of_one_that_is_gone_comes_after_its_farewell() {
    let (mut world, here) = waiting_room(&[("o", "O"), ("a", "A"), ("b", "B"), ("c", "C")]);
    here[1..].iter().for_each(|user| world.leave(user));
    assert!(world.heard(&here[0]).is_empty());
    // The oldest farewell is told whoever comes; that of the nick is the youngest.
    let newcomer = world.user("d@localhost/r");
    world.join(&newcomer, "C").expect("the nick is free");
    let heard = world.heard(&here[0]);
    let gone = |nick: &str| {
        format!("presence unavailable {nick} none/none {}@localhost/r", nick.to_lowercase())
    };
    let came = "presence C none/participant d@localhost/r".to_owned();
    assert_eq!(heard, [gone("C"), gone("A"), came]);
    tell_all(&mut world);
    assert_eq!(world.heard(&here[0]), [gone("B")]);
    // The same when somebody changes its nick.
    world.cx.out.end_turn_early();
    let last = world.user("e@localhost/r");
    world.join(&last, "E").expect("the nick is free");
    world.heard(&here[0]);
    world.leave(&newcomer);
    world.presence(&last, &format!("{ROOM}/C"), "").expect("the nick is free");
    let heard = world.heard(&here[0]);
    assert_eq!(heard[0], "presence unavailable C none/none d@localhost/r");
    assert_eq!(heard[2], "presence C none/participant e@localhost/r");
}

#[test]
fn advisory_a17_who_left_a_semi_anonymous_room_is_not_shown_when_it_opens() {
    let (mut world, here) = waiting_room(&[("o", "O"), ("a", "A"), ("b", "B")]);
    world.leave(&here[1]);
    world.configure(&here[0], &[("roomconfig_whois", &["anyone"])]).expect("an owner may");
    tell_all(&mut world);
    let heard = world.heard(&here[2]);
    assert!(heard.contains(&"presence unavailable A none/none".to_owned()), "{heard:?}");
    assert!(heard.contains(&"presence O owner/moderator o@localhost/r".to_owned()), "{heard:?}");
}

#[test]
fn what_was_not_committed_is_not_told_later() {
    let (mut world, here) = waiting_room(&[("o", "O"), ("a", "A"), ("b", "B")]);
    world.configure(&here[0], &[("roomconfig_persistentroom", &["1"])]).expect("an owner may");
    world.cx.storage.commit().expect("there is room");
    here.iter().for_each(|user| drop(world.bytes(user)));
    let items = "<item affiliation='outcast' jid='a@localhost'><reason>x</reason></item>\
                 <item affiliation='member' jid='paris@localhost'/>";
    world.admin(&here[0], items).expect("an owner may");
    world.cx.storage.inject(Fault::LoseCommit(1));
    world.cx.storage.commit().expect_err("it is to fail");
    world.muc.handle_storage_lost(&mut world.cx);
    world.bytes(&here[0]);
    tell_all(&mut world);
    assert_eq!(world.heard(&here[0]), ["presence unavailable A none/none a@localhost/r"]);
    assert_eq!(world.heard(&here[2]), ["presence unavailable A none/none"]);
}

#[test]
fn shutdown_and_destruction_leave_nothing_to_tell() {
    for is_shutdown in [true, false] {
        let (mut world, here) = waiting_room(&[("o", "O"), ("a", "A"), ("b", "B")]);
        world.leave(&here[1]);
        assert!(world.muc.poll_timeout(1_000).is_some());
        if is_shutdown {
            world.muc.shut_down(&mut world.cx);
        } else {
            let query = "<query xmlns='http://jabber.org/protocol/muc#owner'><destroy/></query>";
            world.set(&here[0], query).expect("an owner may");
        }
        tell_all(&mut world);
        assert_eq!(world.heard(&here[2]).len(), 1, "its own farewell");
    }
}

#[test]
fn what_waits_is_bounded() {
    let (mut world, here) = waiting_room(&[("o", "O")]);
    let items = |affiliation: &str| -> String {
        let item = |n| format!("<item affiliation='{affiliation}' jid='u{n}@localhost'/>");
        (0..2_500).map(item).collect()
    };
    for affiliation in ["member", "admin", "outcast", "member"] {
        world.admin(&here[0], &items(affiliation)).expect("there is room");
    }
    refused(
        world.admin(&here[0], "<item affiliation='none' jid='u1@localhost'/>"),
        Condition::ResourceConstraint,
    );
    refused(world.configure(&here[0], &[]), Condition::ResourceConstraint);
    for _ in 0..100 {
        // Who does not read has no more put before it.
        world.cx.out.commit_turn();
        world.muc.tell_backlog(&mut world.cx);
        assert!(world.cx.out.bytes_waiting() < 1_000_000);
        world.bytes(&here[0]);
    }
    assert_eq!(world.muc.poll_timeout(1_000), None, "all is told");
    world.cx.now.mono_ms += 60_000; // The allowance of the owner is there again.
    world.admin(&here[0], "<item affiliation='none' jid='u1@localhost'/>").expect("again");
}
