//! What the crowd does: mostly what clients do, sometimes what they should not.

use tercet::xml::Element;
use tercet::xml::writer::escape_attr;
use tercet::xmpp::ns;

use super::person::account;
use super::{OBSERVER, ROOMS, Sim};

const NICKS: [&str; 10] =
    ["Romeo", "romeo", "Ｒomeo", "Juliet", "a/b", "'\"<&>", "é", "🫨", " ", "Nurse"];

const FORM_TYPE: &str = "<field var='FORM_TYPE'>\
    <value>http://jabber.org/protocol/muc#roomconfig</value></field>";

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
            self.observer_acts();
            return Ok(());
        }
        let room = self.rng.below(ROOMS.len());
        let is_in = self.people[who].stays.contains_key(ROOMS[room]);
        match self.rng.below(100) {
            0..40 if is_in => self.speak(who, room),
            0..30 => self.join(who, room),
            40..44 => self.leave(who, room),
            44..50 => self.change_nick(who, room),
            50..54 => self.administer(who, room),
            54..58 => self.set_subject(who, room),
            58..64 => self.whisper(who, room),
            64..68 => self.ask(who, room),
            68..72 => self.ask_occupant(who, room),
            72..75 => self.join(who, room),
            75..78 => self.say_presence(who, room),
            78..80 => self.invite(who, room),
            80..84 => self.write_to_account(who),
            84..86 => self.configure(who, room),
            86..88 => self.bounce(who, room),
            88..92 => self.turn_slow(who),
            92..94 => self.sin(who),
            94..97 => self.cut(who),
            97..99 => self.part(who),
            _ => self.set_roster(who),
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
        let kind = ["result", "error"][self.rng.below(2)];
        if !self.rng.one_in(4) {
            self.send(who, &format!("<iq type='{kind}' id='{id}' to='{from}'/>"));
        }
    }

    /// The observer joins, and gives the room its shape.
    pub(super) fn make_room(&mut self, room: usize) {
        let jid = ROOMS[room];
        let id = self.note_join(OBSERVER, room);
        let whois = ["anyone", "moderators", "moderators"][room];
        let moderated = usize::from(room == 2);
        self.send(
            OBSERVER,
            &format!(
                "<presence to='{jid}/Observer' id='{id}'><x xmlns='{}'/></presence>\
                 <iq type='set' id='make' to='{jid}'><query xmlns='{}'>\
                 <x xmlns='jabber:x:data' type='submit'>{FORM_TYPE}\
                 <field var='muc#roomconfig_persistentroom'><value>1</value></field>\
                 <field var='muc#roomconfig_moderatedroom'><value>{moderated}</value></field>\
                 <field var='muc#roomconfig_whois'><value>{whois}</value></field>\
                 </x></query></iq>",
                ns::MUC,
                ns::MUC_OWNER
            ),
        );
    }

    fn observer_acts(&mut self) {
        let room = self.rng.below(ROOMS.len());
        if !self.people[OBSERVER].stays.contains_key(ROOMS[room]) {
            if !self.people[OBSERVER].is_joining(ROOMS[room]) {
                self.make_room(room);
            }
            return;
        }
        match self.rng.below(20) {
            0..8 => self.administer(OBSERVER, room),
            8..12 => self.configure(OBSERVER, room),
            12 => {
                let destroy = format!("<query xmlns='{}'><destroy/></query>", ns::MUC_OWNER);
                self.request(OBSERVER, "set", ROOMS[room], &destroy);
            }
            13 => self.set_subject(OBSERVER, room),
            _ => self.speak(OBSERVER, room),
        }
    }

    fn next_id(&mut self) -> String {
        self.count += 1;
        format!("once-{}", self.count)
    }

    fn nick(&mut self) -> String {
        escape(NICKS[self.rng.below(NICKS.len())])
    }

    /// An iq that the server itself must answer.
    fn request(&mut self, who: usize, kind: &str, to: &str, payload: &str) {
        let id = self.next_id();
        self.people[who].awaited.insert(id.clone());
        let to = if to.is_empty() { String::new() } else { format!(" to='{to}'") };
        self.send(who, &format!("<iq type='{kind}' id='{id}'{to}>{payload}</iq>"));
    }

    fn join(&mut self, who: usize, room: usize) {
        let nick = self.nick();
        let id = self.note_join(who, room);
        let inner = match self.rng.below(5) {
            0 => "<password>pw</password>",
            1 => "<history maxstanzas='3'/>",
            2 => "<history seconds='30' maxchars='2000'/>",
            _ => "",
        };
        let x = format!("<x xmlns='{}'>{inner}</x>", ns::MUC);
        self.send(who, &format!("<presence to='{}/{nick}' id='{id}'>{x}</presence>", ROOMS[room]));
    }

    fn note_join(&mut self, who: usize, room: usize) -> String {
        self.count += 1;
        let id = format!("join-{}", self.count);
        self.people[who].joins.push((ROOMS[room].to_owned(), id.clone()));
        id
    }

    fn leave(&mut self, who: usize, room: usize) {
        self.send(who, &format!("<presence type='unavailable' to='{}'/>", ROOMS[room]));
    }

    fn speak(&mut self, who: usize, room: usize) {
        self.count += 1;
        let padding = if self.rng.one_in(10) { "x".repeat(4000) } else { String::new() };
        let forged = if self.rng.one_in(5) {
            format!("<stanza-id xmlns='{}' by='{}' id='f'/>", ns::SID, ROOMS[room])
        } else {
            String::new()
        };
        let message = format!(
            "<message type='groupchat' id='m' to='{}'><body>m{}</body>{forged}\
             <pad xmlns='urn:example'>{padding}</pad></message>",
            ROOMS[room], self.count
        );
        self.send(who, &message);
    }

    fn change_nick(&mut self, who: usize, room: usize) {
        let nick = self.nick();
        self.send(who, &format!("<presence to='{}/{nick}'/>", ROOMS[room]));
    }

    fn administer(&mut self, who: usize, room: usize) {
        let nick = self.nick();
        let other = account(1 + self.rng.below(12));
        let role = ["none", "visitor", "participant", "moderator"][self.rng.below(4)];
        let affiliation = ["none", "none", "member", "admin", "outcast"][self.rng.below(5)];
        let by_role = format!("<item nick='{nick}' role='{role}'/>");
        let by_jid = format!("<item jid='{other}' affiliation='{affiliation}'/>");
        let (kind, items) = match self.rng.below(6) {
            0..2 => ("set", by_role),
            2..4 => ("set", by_jid),
            4 => ("set", by_jid + &by_role),
            _ => ("get", format!("<item affiliation='{affiliation}'/>")),
        };
        let query = format!("<query xmlns='{}'>{items}</query>", ns::MUC_ADMIN);
        self.request(who, kind, ROOMS[room], &query);
    }

    fn configure(&mut self, who: usize, room: usize) {
        let bit = self.rng.below(2);
        let (field, value) = match self.rng.below(8) {
            0 => ("muc#roomconfig_membersonly", bit.to_string()),
            1 => ("muc#roomconfig_moderatedroom", bit.to_string()),
            2 => ("muc#roomconfig_roomsecret", ["", "pw"][bit].to_owned()),
            3 => ("muc#roomconfig_persistentroom", bit.to_string()),
            4 => ("muc#roomconfig_changesubject", bit.to_string()),
            5 => ("muc#roomconfig_allowpm", ["anyone", "none"][bit].to_owned()),
            6 => ("muc#maxhistoryfetch", (5 * bit).to_string()),
            _ => ("muc#roomconfig_maxusers", ["none", "10"][bit].to_owned()),
        };
        let query = format!(
            "<query xmlns='{}'><x xmlns='jabber:x:data' type='submit'>{FORM_TYPE}\
             <field var='{field}'><value>{value}</value></field></x></query>",
            ns::MUC_OWNER
        );
        self.request(who, "set", ROOMS[room], &query);
    }

    fn set_subject(&mut self, who: usize, room: usize) {
        self.count += 1;
        let (to, count) = (ROOMS[room], self.count);
        self.send(
            who,
            &format!("<message type='groupchat' to='{to}'><subject>s{count}</subject></message>"),
        );
    }

    fn whisper(&mut self, who: usize, room: usize) {
        let nick = self.nick();
        let to = format!("{}/{nick}", ROOMS[room]);
        self.send(who, &format!("<message type='chat' to='{to}'><body>psst</body></message>"));
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
            self.request(who, "get", to, &payload);
        }
    }

    fn ask_occupant(&mut self, who: usize, room: usize) {
        let nick = self.nick();
        self.count += 1;
        let (to, count) = (ROOMS[room], self.count);
        let query = ["<ping xmlns='urn:xmpp:ping'/>", "<query xmlns='jabber:iq:version'/>"];
        let query = query[self.rng.below(2)];
        self.send(who, &format!("<iq type='get' id='seat-{count}' to='{to}/{nick}'>{query}</iq>"));
    }

    fn say_presence(&mut self, who: usize, room: usize) {
        let presence = match self.rng.below(4) {
            0 => "<presence/>".to_owned(),
            1 => "<presence type='unavailable'/>".to_owned(),
            2 => format!("<presence to='{}'/>", account(self.rng.below(12))),
            _ => match self.people[who].stays.get(ROOMS[room]) {
                Some(stay) => {
                    let nick = escape(&stay.nick);
                    format!("<presence to='{}/{nick}'><show>away</show></presence>", ROOMS[room])
                }
                None => "<presence/>".to_owned(),
            },
        };
        self.send(who, &presence);
    }

    fn invite(&mut self, who: usize, room: usize) {
        let other = account(self.rng.below(14));
        let verb = ["invite", "decline"][self.rng.below(2)];
        let x = format!("<x xmlns='{}'><{verb} to='{other}'/></x>", ns::MUC_USER);
        self.send(who, &format!("<message to='{}'>{x}</message>", ROOMS[room]));
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
            None => slow.push(link),
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

    fn cut(&mut self, who: usize) {
        if let Some(link) = self.people[who].link {
            self.world.cut(link);
            self.people[who].end();
        }
    }

    fn part(&mut self, who: usize) {
        if let Some(client) = &mut self.people[who].client {
            client.close();
        }
        self.flush(who);
    }

    fn set_roster(&mut self, who: usize) {
        let other = account(self.rng.below(14));
        let items = format!("<query xmlns='{}'><item jid='{other}'/></query>", ns::ROSTER);
        self.request(who, "set", "", &items);
    }
}

fn escape(text: &str) -> String {
    let mut bytes = Vec::new();
    escape_attr(&mut bytes, text);
    String::from_utf8_lossy(&bytes).into_owned()
}
