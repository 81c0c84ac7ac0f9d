//! What the crowd does: mostly what clients do, sometimes what they should not.

use tercet::xml::Element;
use tercet::xml::writer::escape_attr;
use tercet::xmpp::ns;

use super::ledger::{Cell, Key};
use super::person::account;
use super::{OBSERVER, ROOMS, Sim};

/// Several of them look alike.
pub const NICKS: [&str; 10] =
    ["Romeo", "romeo", "Ｒomeo", "Juliet", "a/b", "'\"<&>", "é", "🫨", " ", "Nurse"];

/// Bytes that end a stream, one way or the other.
const GARBAGE: [&str; 8] = [
    "<message",
    "</presence>",
    "<!-- -->",
    "<?pi?>",
    "<iq><a></iq>",
    "<x:y/>",
    "&lol;",
    "<message to='a@b'><body>\u{1}</body></message>",
];

impl Sim {
    /// Somebody does something.
    pub(super) fn act(&mut self, who: usize) -> Result<(), String> {
        let person = &self.people[who];
        if person.link.is_none() {
            self.connect(who);
            return Ok(());
        }
        if !person.is_ready() {
            return Ok(());
        }
        if who == OBSERVER {
            return self.observer_acts();
        }
        if !self.people[who].is_available && self.rng.one_in(2) {
            self.turn_available(who);
        }
        let room = self.rng.below(ROOMS.len());
        let is_in = self.people[who].stays.contains_key(ROOMS[room]);
        // While the observer is away nobody comes: whoever came first would own the room.
        let is_open = self.is_observed(room);
        match self.rng.below(139) {
            0..40 if is_in => self.speak(who, room),
            0..30 if is_open => self.join(who, room),
            40..44 => self.leave(who, room),
            44..50 => self.change_nick(who, room),
            50..52 => self.administer(who, room),
            52..55 => return self.administer_quietly(who, room),
            55..58 => return self.administer_as_somebody_above(who, room),
            58..62 => self.set_subject(who, room),
            62..67 => self.whisper(who, room),
            67..71 => self.ask(who, room),
            71..76 => self.ask_occupant(who, room),
            76..79 if is_open => self.join(who, room),
            79..83 => self.say_presence(who, room),
            83..86 => return self.invite_quietly(who, room),
            86..89 => self.write_to_account(who),
            89..92 => return self.configure_quietly(who, room),
            92..94 => self.bounce(who, room),
            94..99 => self.turn_slow(who),
            99..101 => self.sin(who),
            101..104 => self.cut(who),
            104..106 => self.part(who),
            106..110 => self.set_roster(who),
            110 => self.change_password(who),
            111..114 => self.kick_in_a_race(who, room),
            114..116 => return self.read_list_quietly(who, room),
            116 => return self.destroy_in_a_race(room),
            117..123 => return self.request_quietly(who, room),
            123..126 if is_open => return self.join_quietly(who, room),
            126..135 => return self.try_novelty(who, room),
            135 => return self.try_aside(),
            _ => self.flood(who, room),
        }
        Ok(())
    }

    /// A request from another occupant is answered, refused or ignored.
    pub(super) fn answer(&mut self, who: usize, element: &Element) {
        let is_request = matches!(element.attr("type"), Some("get" | "set"));
        if !element.is("iq", ns::CLIENT) || !is_request {
            return;
        }
        let (Some(id), Some(from)) = (element.attr("id"), element.attr("from")) else { return };
        let (id, from) = (escape(id), escape(from));
        let (kind, payload) = match self.rng.below(4) {
            0 => return,
            1 => {
                let condition = format!("<service-unavailable xmlns='{}'/>", ns::STANZA_ERRORS);
                ("error", format!("<error type='cancel'>{condition}</error>"))
            }
            _ if element.child("query", ns::VERSION).is_some() => {
                let version = "<name>crowd</name><version>1</version>";
                ("result", format!("<query xmlns='{}'>{version}</query>", ns::VERSION))
            }
            _ => ("result", String::new()),
        };
        self.send(who, &format!("<iq type='{kind}' id='{id}' to='{from}'>{payload}</iq>"));
    }

    fn observer_acts(&mut self) -> Result<(), String> {
        let room = self.rng.below(ROOMS.len());
        if !self.people[OBSERVER].stays.contains_key(ROOMS[room]) {
            if !self.people[OBSERVER].is_joining(ROOMS[room]) {
                return self.reclaim(room);
            }
            return Ok(());
        }
        match self.rng.below(20) {
            0..2 => self.administer(OBSERVER, room),
            2..8 => return self.administer_quietly(OBSERVER, room),
            8..12 => self.configure(OBSERVER, room),
            12 => return self.destroy_in_a_race(room),
            13 => self.set_subject(OBSERVER, room),
            _ => self.speak(OBSERVER, room),
        }
        Ok(())
    }

    /// A nick: mostly one that the clients of this account share.
    fn nick(&mut self, who: usize) -> String {
        let number = self.people[who].account_number;
        let chance = self.rng.below(NICKS.len());
        let index = if self.rng.one_in(2) { number % NICKS.len() } else { chance };
        escape(NICKS[index])
    }

    /// Counts something that is sent.
    pub(super) fn next_number(&mut self) -> usize {
        self.count += 1;
        self.count
    }

    /// An iq that the server itself must answer, with one of `expected` if that is known. Returns
    /// its number.
    pub(super) fn request(
        &mut self,
        who: usize,
        kind: &str,
        to: &str,
        payload: &str,
        expected: &[&'static str],
    ) -> usize {
        let number = self.next_number();
        let id = format!("once-{number}");
        self.people[who].awaited.insert(id.clone(), expected.to_vec());
        let to = if to.is_empty() { String::new() } else { format!(" to='{to}'") };
        self.send(who, &format!("<iq type='{kind}' id='{id}'{to}>{payload}</iq>"));
        number
    }

    pub(super) fn join(&mut self, who: usize, room: usize) {
        let nick = self.nick(who);
        let id = self.note_join(who, room);
        let inner = match self.rng.below(5) {
            0 => "<password>pw</password>",
            1 => "<history maxstanzas='3'/>",
            2 => "<history seconds='30' maxchars='2000'/>",
            _ => "",
        };
        let x = format!("<x xmlns='{}'>{inner}</x>{}", ns::MUC, self.ballast());
        self.send(who, &format!("<presence to='{}/{nick}' id='{id}'>{x}</presence>", ROOMS[room]));
    }

    /// What makes a presence large, now and then.
    fn ballast(&mut self) -> String {
        if !self.rng.one_in(8) {
            return String::new();
        }
        self.oracle.count("large presences");
        let bytes = 500 + self.rng.below(6000);
        format!("<status>{}</status>", "y".repeat(bytes))
    }

    pub(super) fn note_join(&mut self, who: usize, room: usize) -> String {
        self.count += 1;
        let id = format!("join-{}", self.count);
        self.people[who].joins.push((ROOMS[room].to_owned(), id.clone()));
        id
    }

    pub(super) fn leave(&mut self, who: usize, room: usize) {
        self.send(who, &format!("<presence type='unavailable' to='{}'/>", ROOMS[room]));
    }

    pub(super) fn speak(&mut self, who: usize, room: usize) {
        self.count += 1;
        let padding = if self.rng.one_in(6) { "x".repeat(4000) } else { String::new() };
        let forged = if self.rng.one_in(5) {
            let item = "<item nick='forged' jid='forged@localhost' role='moderator'/>";
            format!(
                "<stanza-id xmlns='{}' by='{}' id='f'/><occupant-id xmlns='{}' id='f'/>\
                 <x xmlns='{}'>{item}</x>",
                ns::SID,
                ROOMS[room],
                ns::OCCUPANT_ID,
                ns::MUC_USER
            )
        } else {
            String::new()
        };
        self.oracle.spoken(&format!("m{}", self.count), ROOMS[room], self.people[who].account());
        let message = format!(
            "<message type='groupchat' id='m' to='{}'><body>m{}</body>{forged}\
             <pad xmlns='urn:example'>{padding}</pad></message>",
            ROOMS[room], self.count
        );
        self.send(who, &message);
    }

    pub(super) fn change_nick(&mut self, who: usize, room: usize) {
        let nick = self.nick(who);
        self.send(who, &format!("<presence to='{}/{nick}'/>", ROOMS[room]));
    }

    /// A set of `muc#admin` amid everything else: what it comes to depends on who was faster.
    fn administer(&mut self, who: usize, room: usize) {
        let nick = self.nick(who);
        let other = account(1 + self.rng.below(12));
        let role = ["none", "visitor", "participant", "moderator"][self.rng.below(4)];
        let affiliation = ["none", "none", "member", "admin", "outcast"][self.rng.below(5)];
        let by_role = format!("<item nick='{nick}' role='{role}'/>");
        let by_jid = format!("<item jid='{other}' affiliation='{affiliation}'/>");
        let items = match self.rng.below(5) {
            0..2 => by_role,
            2..4 => by_jid,
            _ => by_jid + &by_role,
        };
        self.ledger.room(ROOMS[room]).asked.push((other, affiliation.to_owned()));
        let query = format!("<query xmlns='{}'>{items}</query>", ns::MUC_ADMIN);
        self.request(who, "set", ROOMS[room], &query, &[]);
        self.oracle.count("admin sets in a race");
    }

    fn set_subject(&mut self, who: usize, room: usize) {
        self.count += 1;
        let (to, count) = (ROOMS[room], self.count);
        self.oracle.spoken(&format!("s{count}"), to, self.people[who].account());
        self.send(
            who,
            &format!("<message type='groupchat' to='{to}'><subject>s{count}</subject></message>"),
        );
    }

    fn whisper(&mut self, who: usize, room: usize) {
        let nick = self.nick(who);
        let to = format!("{}/{nick}", ROOMS[room]);
        let text = format!("p{}", self.next_number());
        self.oracle.spoken(&text, ROOMS[room], self.people[who].account());
        self.send(who, &format!("<message type='chat' to='{to}'><body>{text}</body></message>"));
    }

    fn ask(&mut self, who: usize, room: usize) {
        let own = self.people[who].jid();
        let (to, payload) = match self.rng.below(8) {
            0 => (ROOMS[room], format!("<query xmlns='{}'/>", ns::DISCO_INFO)),
            1 => (ROOMS[room], format!("<query xmlns='{}'/>", ns::DISCO_ITEMS)),
            2 => ("conference.localhost", format!("<query xmlns='{}'/>", ns::DISCO_ITEMS)),
            3 => ("localhost", format!("<ping xmlns='{}'/>", ns::PING)),
            4 => ("", format!("<query xmlns='{}'/>", ns::ROSTER)),
            5 => (ROOMS[room], "<unknown xmlns='urn:example'/>".to_owned()),
            6 => ("localhost", String::new()),
            _ => (own.as_str(), String::new()),
        };
        if to != own {
            self.request(who, "get", to, &payload, &[]);
        }
    }

    fn ask_occupant(&mut self, who: usize, room: usize) {
        let chance = self.rng.below(100);
        let mut nick = self.nick(who);
        let names: Vec<_> = self.ledger.room(ROOMS[room]).occupants.keys().collect();
        if !names.is_empty() && chance < 80 {
            nick = escape(names[chance % names.len()]);
        }
        let (to, id) = (ROOMS[room], format!("seat-{}", self.next_number()));
        let query = ["<ping xmlns='urn:xmpp:ping'/>", "<query xmlns='jabber:iq:version'/>"];
        let query = query[self.rng.below(2)];
        self.people[who].seats_asked.insert(id.clone());
        self.send(who, &format!("<iq type='get' id='{id}' to='{to}/{nick}'>{query}</iq>"));
    }

    fn say_presence(&mut self, who: usize, room: usize) {
        let ballast = self.ballast();
        let presence = match self.rng.below(6) {
            0 => return self.turn_available(who),
            1 => {
                self.people[who].is_available = false;
                "<presence type='unavailable'/>".to_owned()
            }
            2 => format!("<presence to='{}'/>", account(self.rng.below(12))),
            _ => match self.people[who].stays.get(ROOMS[room]) {
                Some(stay) => {
                    let nick = escape(&stay.nick);
                    format!("<presence to='{}/{nick}'>{ballast}</presence>", ROOMS[room])
                }
                None => return self.turn_available(who),
            },
        };
        self.send(who, &presence);
    }

    /// Initial presence, or once more.
    pub(super) fn turn_available(&mut self, who: usize) {
        self.people[who].is_available = true;
        self.send(who, "<presence/>");
    }

    fn write_to_account(&mut self, who: usize) {
        let other = account(self.rng.below(14));
        self.send(who, &format!("<message type='chat' to='{other}'><body>hi</body></message>"));
    }

    /// An error comes back for something that the room sent: the ghost rule, or no ghost.
    fn bounce(&mut self, who: usize, room: usize) {
        let condition = ["gone", "not-acceptable", "recipient-unavailable"][self.rng.below(3)];
        let error =
            format!("<error type='cancel'><{condition} xmlns='{}'/></error>", ns::STANZA_ERRORS);
        let kind = ["message", "presence", "iq"][self.rng.below(3)];
        self.send(
            who,
            &format!("<{kind} type='error' id='e' to='{}'>{error}</{kind}>", ROOMS[room]),
        );
    }

    fn turn_slow(&mut self, who: usize) {
        let Some(link) = self.people[who].link else { return };
        let slow = &mut self.world.pace.slow;
        match slow.iter().position(|other| *other == link) {
            Some(index) => drop(slow.remove(index)),
            None => {
                slow.push(link);
                self.oracle.count("clients that stop reading");
            }
        }
    }

    fn sin(&mut self, who: usize) {
        let garbage = GARBAGE[self.rng.below(GARBAGE.len())];
        self.people[who].has_sinned = true;
        self.send(who, garbage);
        if garbage == GARBAGE[0] {
            self.send(who, " <");
        }
    }

    pub(super) fn cut(&mut self, who: usize) {
        if let Some(link) = self.people[who].link {
            self.world.cut(link);
            self.end(who);
        }
    }

    fn part(&mut self, who: usize) {
        if let Some(client) = &mut self.people[who].client {
            client.close();
        }
        self.flush(who);
    }

    /// Each contact is written by one client alone, so that the order of its answers is that of
    /// the changes.
    fn set_roster(&mut self, who: usize) {
        let person = &self.people[who];
        let contact = format!("{}-{}@example.org", person.resource, self.rng.below(4));
        let key = Key::Roster(person.account_number, contact.clone());
        let is_removal = self.rng.one_in(4);
        let name = if is_removal { String::new() } else { format!("n{}", self.count) };
        let rest = if is_removal { "subscription='remove'" } else { &format!("name='{name}'") };
        let items = format!("<query xmlns='{}'><item jid='{contact}' {rest}/></query>", ns::ROSTER);
        let number = self.request(who, "set", "", &items, &[]);
        self.ledger.cells.entry(key.clone()).or_insert_with(|| Cell::new(""));
        self.ledger.ask(number, key, &name);
    }

    /// The first client of an account changes its password, which ends all its streams.
    fn change_password(&mut self, who: usize) {
        let account_number = self.people[who].account_number;
        let first = self.people.iter().position(|p| p.account_number == account_number);
        if first != Some(who) {
            return;
        }
        let (user, password) = (self.people[who].user(), format!("p{}", self.count));
        let fields = format!("<username>{user}</username><password>{password}</password>");
        let query = format!("<query xmlns='{}'>{fields}</query>", ns::REGISTER);
        let number = self.request(who, "set", "", &query, &[]);
        self.ledger.ask(number, Key::Password(account_number), &password);
        self.oracle.count("changes of passwords");
    }

    /// So much that whoever does not read is cut.
    fn flood(&mut self, who: usize, room: usize) {
        if self.people[who].stays.contains_key(ROOMS[room]) && self.rng.one_in(3) {
            (0..12).for_each(|_| self.speak(who, room));
        }
    }
}

pub fn escape(text: &str) -> String {
    let mut bytes = Vec::new();
    escape_attr(&mut bytes, text);
    String::from_utf8_lossy(&bytes).into_owned()
}
