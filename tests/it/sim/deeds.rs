//! What is done in a quiet moment, so that what must come of it is known; and what is done in a
//! race on purpose.

use tercet::xmpp::ns;

use super::acts::{NICKS, escape};
use super::archive::ARCHIVE;
use super::ledger::Key;
use super::novelties::PUBLIC;
use super::oracle::Invitation;
use super::person::account;
use super::privileges::ALLOW_INVITES;
use super::rules::{self, AFFILIATIONS, Item, Standing};
use super::{OBSERVER, ROOMS, Sim};

pub const PERSISTENT: &str = "muc#roomconfig_persistentroom";
pub const MODERATED: &str = "muc#roomconfig_moderatedroom";
pub const MEMBERS_ONLY: &str = "muc#roomconfig_membersonly";
pub const SECRET: &str = "muc#roomconfig_roomsecret";
pub const WHOIS: &str = "muc#roomconfig_whois";

pub const BROADCAST: &str = "muc#roomconfig_presencebroadcast";
/// Its values, sorted.
pub const EVERYBODY: &str = "moderator participant visitor";

pub const FORM_TYPE: &str = "<field var='FORM_TYPE'>\
    <value>http://jabber.org/protocol/muc#roomconfig</value></field>";
const ROLES: [&str; 4] = ["none", "visitor", "participant", "moderator"];

/// An item, as it is sent and as the rules see it, and what it is about.
pub struct Asked {
    pub xml: String,
    pub item: Item,
    /// The nick, or the account.
    pub target: String,
}

impl Sim {
    /// True while the observer is in the room, has missed nothing and owns it.
    pub(super) fn is_known(&mut self, room: usize) -> bool {
        let is_in = self.people[OBSERVER].stays.contains_key(ROOMS[room]);
        let book = self.ledger.room(ROOMS[room]);
        let is_sound = book.is_configured && book.is_certain && !book.is_abandoned;
        // Of those who are not shown nothing is known.
        is_in && is_sound && self.ledger.option(ROOMS[room], BROADCAST) == Some(EVERYBODY)
    }

    /// True while the observer is in the room and owns it.
    pub(super) fn is_observed(&mut self, room: usize) -> bool {
        let is_in = self.people[OBSERVER].stays.contains_key(ROOMS[room]);
        is_in && !self.ledger.room(ROOMS[room]).is_abandoned
    }

    /// Who asks, as XEP-0045 §8 and §9 see it: by the account.
    pub(super) fn standing(&mut self, who: usize, room: usize) -> Standing {
        let account = self.people[who].account();
        let book = self.ledger.room(ROOMS[room]);
        let (role, affiliation) = (book.role_of(&account), book.affiliation(&account));
        Standing { role: role.to_owned(), affiliation: affiliation.to_owned() }
    }

    /// A set of `muc#admin` whose outcome is known (rules.rs), and its effects.
    pub(super) fn administer_quietly(&mut self, who: usize, room: usize) -> Result<(), String> {
        self.settle()?;
        if !self.people[who].is_ready() || !self.is_known(room) {
            return Ok(());
        }
        let actor = self.standing(who, room);
        // Who is no admin can change roles alone.
        let is_admin = matches!(actor.affiliation.as_str(), "admin" | "owner");
        let roles = if is_admin { 10 } else { 15 };
        if actor.role == "moderator" && !is_admin {
            self.oracle.count("sets by mere moderators");
        }
        let mut asked = Vec::new();
        for _ in 0..if self.rng.one_in(5) { 2 } else { 1 } {
            asked.push(match self.rng.below(20) {
                0 => self.ask_nonsense(),
                chance if chance < roles => self.ask_role(who, room),
                _ => self.ask_affiliation(who, room),
            });
        }
        let owners = self.ledger.room(ROOMS[room]).affiliations.values();
        let is_last_owner = owners.filter(|name| *name == "owner").count() == 1;
        let mut leaves_owner = true;
        if who == OBSERVER && is_last_owner && self.rng.one_in(10) {
            // The last owner (§10.4).
            let target = account(0);
            let affiliation = AFFILIATIONS[1 + self.rng.below(3)];
            let xml = format!("<item jid='{target}' affiliation='{affiliation}'/>");
            let item = Item::Affiliation { old: "owner".to_owned(), is_self: true, affiliation };
            asked = vec![Asked { xml, item, target }];
            leaves_owner = false;
        }
        if asked.len() == 2 && asked[0].target == asked[1].target {
            asked.pop();
        }
        let items: Vec<Item> = asked.iter().map(|asked| asked.item.clone()).collect();
        let expected = rules::outcomes_of(&actor, &items, leaves_owner);
        let hits_observer = asked.iter().any(|asked| asked.target == "Observer");
        if hits_observer && expected.contains(&"result") {
            return Ok(());
        }
        let xml: String = asked.iter().map(|asked| asked.xml.as_str()).collect();
        let query = format!("<query xmlns='{}'>{xml}</query>", ns::MUC_ADMIN);
        let number = self.request(who, "set", ROOMS[room], &query, &expected);
        let book = self.ledger.room(ROOMS[room]);
        let target = book.occupants.get(&asked[0].target).cloned();
        for asked in &asked {
            if let Item::Affiliation { affiliation, .. } = asked.item {
                book.asked.push((asked.target.clone(), affiliation.to_owned()));
            }
        }
        self.settle()?;
        let is_done = self.people[who].answered == (format!("once-{number}"), "result".to_owned());
        // Who does not read may be cut by what it gets, and be gone.
        let is_cut = target.is_some_and(|seen| {
            self.people.iter().any(|p| p.link.is_none() && seen.jids.contains(&p.jid()))
        });
        if is_done && asked.len() == 1 && self.is_known(room) && !is_cut {
            let effect = self.check_effect(room, &asked[0]);
            return effect.map_err(|why| format!("{}: {why} after {xml}", ROOMS[room]));
        }
        Ok(())
    }

    /// The same by somebody who may do more than most, if there is one.
    pub(super) fn administer_as_somebody_above(
        &mut self,
        who: usize,
        room: usize,
    ) -> Result<(), String> {
        let is_above = |sim: &mut Self, who: usize| {
            let standing = sim.standing(who, room);
            let is_admin = matches!(standing.affiliation.as_str(), "admin" | "owner");
            is_admin || standing.role == "moderator"
        };
        let crowd = (who..self.people.len()).chain(1..who);
        let able: Vec<usize> = crowd.filter(|other| is_above(self, *other)).collect();
        let is_mere = |sim: &mut Self, who: usize| {
            !matches!(sim.standing(who, room).affiliation.as_str(), "admin" | "owner")
        };
        let mere = able.iter().copied().find(|other| is_mere(self, *other));
        if mere.is_none() && self.rng.one_in(2) {
            // Then somebody is to become one.
            let nick = self.people[who].stays.get(ROOMS[room]).map(|stay| escape(&stay.nick));
            if let Some(nick) = nick.filter(|_| self.people[OBSERVER].is_ready()) {
                let item = format!("<item nick='{nick}' role='moderator'/>");
                let query = format!("<query xmlns='{}'>{item}</query>", ns::MUC_ADMIN);
                self.request(OBSERVER, "set", ROOMS[room], &query, &[]);
            }
        }
        let actor = mere.filter(|_| self.rng.one_in(2)).or(able.first().copied());
        self.administer_quietly(actor.unwrap_or(OBSERVER), room)
    }

    fn ask_nonsense(&mut self) -> Asked {
        let xml = match self.rng.below(4) {
            0 => "<item nick='Romeo' role='visitor' affiliation='none'/>",
            1 => "<item nick='Romeo'/>",
            2 => "<item role='visitor'/>",
            _ => "<item nick='Romeo' role='king'/>",
        };
        Asked { xml: xml.to_owned(), item: Item::Senseless, target: String::new() }
    }

    fn ask_role(&mut self, who: usize, room: usize) -> Asked {
        let own_jid = self.people[who].jid();
        let chance = self.rng.below(NICKS.len() + 20);
        let book = self.ledger.room(ROOMS[room]);
        let nick = match NICKS.get(chance) {
            Some(nick) => (*nick).to_owned(),
            None => {
                let names: Vec<_> = book.occupants.keys().collect();
                names[chance % names.len()].clone()
            }
        };
        // Nicks are compared as they are prepared: by NFKC (RFC 6122, appendix B).
        let target = nick.replace('Ｒ', "R");
        // Voice is what a mere moderator has to do with.
        let role = if self.rng.one_in(4) { "visitor" } else { ROLES[self.rng.below(4)] };
        let book = self.ledger.room(ROOMS[room]);
        let is_self = book.nick_of(&own_jid) == Some(target.as_str());
        let seen = book.occupants.get(&target).map(|seen| Standing {
            role: seen.role.clone(),
            affiliation: seen.affiliation.clone(),
        });
        let xml = format!("<item nick='{}' role='{role}'/>", escape(&nick));
        Asked { xml, item: Item::Role { target: seen, is_self, role }, target }
    }

    fn ask_affiliation(&mut self, who: usize, room: usize) -> Asked {
        let mut target = account(1 + self.rng.below(12));
        let mut affiliation = AFFILIATIONS[self.rng.below(AFFILIATIONS.len())];
        if self.rng.one_in(12) {
            // A whole domain, of which nobody is here.
            target = "example.org".to_owned();
            affiliation = AFFILIATIONS[self.rng.below(3)];
        }
        if affiliation == "owner" && self.rng.one_in(2) {
            affiliation = "admin";
        }
        // A full address stands for the bare one (§10.3).
        let is_full = self.rng.one_in(4) && target.contains('@');
        let rest = if is_full { "/home" } else { "" };
        let xml = format!("<item jid='{target}{rest}' affiliation='{affiliation}'/>");
        let old = self.ledger.room(ROOMS[room]).affiliation(&target).to_owned();
        let is_self = target == self.people[who].account();
        Asked { xml, item: Item::Affiliation { old, is_self, affiliation }, target }
    }

    /// What all have been told after a set that was granted (§5.1.3, §8, §9).
    pub(super) fn check_effect(&mut self, room: usize, asked: &Asked) -> Result<(), String> {
        let is_moderated = self.ledger.option(ROOMS[room], MODERATED).map(|value| value == "1");
        let members = self.ledger.option(ROOMS[room], MEMBERS_ONLY).map(|value| value == "1");
        let book = self.ledger.room(ROOMS[room]);
        match &asked.item {
            Item::Senseless => Ok(()),
            Item::Role { role, .. } => match (book.occupants.get(&asked.target), *role) {
                (None, "none") => Ok(()),
                (Some(seen), role) if seen.role == role => Ok(()),
                (seen, _) => Err(format!("{seen:?}")),
            },
            Item::Affiliation { affiliation, old, .. } => {
                if book.affiliation(&asked.target) != *affiliation {
                    return Err(format!("affiliations are {:?}", book.affiliations));
                }
                let own = book.occupants.values().filter(|seen| seen.account() == asked.target);
                for seen in own {
                    let role = seen.role.as_str();
                    let is_right = seen.affiliation == *affiliation
                        && match *affiliation {
                            "outcast" => false,
                            "admin" | "owner" => role == "moderator",
                            "member" if is_moderated == Some(true) && old == "none" => {
                                role != "visitor"
                            }
                            "none" => members != Some(true),
                            _ => true,
                        };
                    if !is_right {
                        return Err(format!("{seen:?}"));
                    }
                }
                Ok(())
            }
        }
    }

    /// A list is read by those who may (ADVISORIES a14).
    pub(super) fn read_list_quietly(&mut self, who: usize, room: usize) -> Result<(), String> {
        self.settle()?;
        let whois = self.ledger.option(ROOMS[room], WHOIS).map(str::to_owned);
        if !self.people[who].is_ready() || !self.is_known(room) {
            return Ok(());
        }
        let Some(whois) = whois else { return Ok(()) };
        let reader = self.standing(who, room);
        let list = AFFILIATIONS[self.rng.below(AFFILIATIONS.len())];
        let expected: &[&'static str] = match list {
            "none" => &["bad-request"],
            _ => match rules::may_read(&reader, list, whois == "anyone") {
                Some(true) => &["result"],
                Some(false) => &["forbidden"],
                None => &["result", "forbidden"],
            },
        };
        let query =
            format!("<query xmlns='{}'><item affiliation='{list}'/></query>", ns::MUC_ADMIN);
        self.request(who, "get", ROOMS[room], &query, expected);
        self.settle()
    }

    /// Somebody else than the observer tries to change the configuration, or to end the room.
    pub(super) fn configure_quietly(&mut self, who: usize, room: usize) -> Result<(), String> {
        self.settle()?;
        if self.people[who].is_ready() {
            let is_owner = self.standing(who, room).affiliation == "owner";
            if is_owner || !self.is_known(room) || self.rng.one_in(2) {
                self.configure(who, room);
            } else {
                let destroy = format!("<query xmlns='{}'><destroy/></query>", ns::MUC_OWNER);
                self.request(who, "set", ROOMS[room], &destroy, &["forbidden"]);
            }
        }
        self.settle()
    }

    /// One option is changed.
    pub(super) fn configure(&mut self, who: usize, room: usize) {
        // Mostly open, so that there is somebody to look at.
        let bit = usize::from(self.rng.one_in(3));
        let number = ["0", "1"][bit];
        let (var, value) = match self.rng.below(12) {
            0 => (MEMBERS_ONLY, number),
            1 => (MODERATED, number),
            2 => (SECRET, ["", "pw"][bit]),
            3 => (PERSISTENT, ["1", "0"][bit]),
            4 => ("muc#roomconfig_changesubject", number),
            5 => ("muc#roomconfig_allowpm", ["anyone", "none"][bit]),
            6 => ("muc#maxhistoryfetch", ["0", "5"][bit]),
            7 => (PUBLIC, ["1", "0"][bit]),
            8 => (ALLOW_INVITES, number),
            9 => (ARCHIVE, ["1", "0"][bit]),
            10 => (BROADCAST, [EVERYBODY, "moderator participant"][bit]),
            _ => ("muc#roomconfig_maxusers", ["none", "10"][bit]),
        };
        self.submit(who, room, &[(var, value)]);
    }

    pub(super) fn submit(&mut self, who: usize, room: usize, values: &[(&'static str, &str)]) {
        let fields: String = values
            .iter()
            .map(|(var, value)| {
                let values: Vec<&str> = match *var {
                    BROADCAST => value.split(' ').collect(),
                    _ => vec![value],
                };
                let values: String =
                    values.iter().map(|value| format!("<value>{value}</value>")).collect();
                format!("<field var='{var}'>{values}</field>")
            })
            .collect();
        let query = format!(
            "<query xmlns='{}'><x xmlns='{}' type='submit'>{FORM_TYPE}{fields}</x></query>",
            ns::MUC_OWNER,
            ns::DATA
        );
        let expected: &[&'static str] = match self.standing(who, room).affiliation.as_str() {
            "owner" => &[],
            _ if who == OBSERVER || !self.is_known(room) => &[],
            _ => &["forbidden"],
        };
        let number = self.request(who, "set", ROOMS[room], &query, expected);
        for (var, value) in values {
            if *var == ARCHIVE && *value == "0" {
                self.oracle.count("archives switched off");
            }
            if matches!(*var, PERSISTENT | ARCHIVE) && *value == "0" {
                self.oracle.logs.entry(ROOMS[room].to_owned()).or_default().loosen();
            }
            self.ledger.ask(number, Key::Option(ROOMS[room].to_owned(), var), value);
        }
    }

    /// The observer joins, and gives the room its shape.
    pub(super) fn make_room(&mut self, room: usize) {
        let id = self.note_join(OBSERVER, room);
        let secret = self.ledger.cells.get(&Key::Option(ROOMS[room].to_owned(), SECRET));
        let secrets = secret.map(|cell| cell.values()).unwrap_or_default();
        let password = secrets.into_iter().find(|secret| !secret.is_empty()).unwrap_or_default();
        let mav = match self.has_all(Some(ns::MUC_AFFILIATIONS)) {
            true => self.ledger.room(ROOMS[room]).versions.request(),
            false => String::new(),
        };
        let x = format!("<x xmlns='{}'><password>{password}</password>{mav}</x>", ns::MUC);
        let seat = format!("{}/Observer", ROOMS[room]);
        self.send(OBSERVER, &format!("<presence to='{seat}' id='{id}'>{x}</presence>"));
        let whois = ["anyone", "moderators", "moderators"][room];
        let moderated = ["0", "0", "1"][room];
        let values = [(PERSISTENT, "1"), (ARCHIVE, "1"), (MODERATED, moderated), (WHOIS, whois)];
        self.submit(OBSERVER, room, &values);
    }

    /// The observer comes back to a room. Whoever has made it meanwhile has to give it up.
    pub(super) fn reclaim(&mut self, room: usize) -> Result<(), String> {
        for _ in 0..3 {
            self.settle()?;
            if !self.people[OBSERVER].is_ready() || self.ledger.room(ROOMS[room]).is_abandoned {
                return Ok(());
            }
            self.make_room(room);
            self.settle()?;
            let observer = self.people[OBSERVER].account();
            let is_in = self.people[OBSERVER].stays.contains_key(ROOMS[room]);
            if is_in && self.ledger.room(ROOMS[room]).affiliation(&observer) == "owner" {
                self.ledger.room(ROOMS[room]).may_be_gone = false;
                return Ok(());
            }
            for who in 0..self.people.len() {
                self.leave(who, room);
            }
            self.settle()?;
        }
        if self.people[OBSERVER].is_ready() {
            self.ledger.room(ROOMS[room]).is_abandoned = true;
            self.oracle.count("rooms given up");
        }
        Ok(())
    }

    /// The observer destroys a room while others enter it.
    pub(super) fn destroy_in_a_race(&mut self, room: usize) -> Result<(), String> {
        if !self.people[OBSERVER].is_ready() || !self.is_observed(room) {
            return Ok(());
        }
        let mut joiners = 0;
        for who in 1..self.people.len() {
            let is_out = !self.people[who].stays.contains_key(ROOMS[room]);
            if is_out && self.people[who].is_ready() && self.rng.one_in(2) {
                self.join(who, room);
                joiners += 1;
            }
        }
        self.ledger.room(ROOMS[room]).may_be_gone = true;
        let destroy = format!("<query xmlns='{}'><destroy/></query>", ns::MUC_OWNER);
        self.request(OBSERVER, "set", ROOMS[room], &destroy, &[]);
        if joiners > 0 {
            self.oracle.count("rooms destroyed amid joins");
        }
        let turns = self.rng.below(6);
        self.run(turns)?;
        self.settle()?;
        if self.people[OBSERVER].stays.contains_key(ROOMS[room]) {
            return Ok(()); // Storage did not let it go.
        }
        self.reclaim(room)
    }

    /// Somebody changes its nick while it is kicked.
    pub(super) fn kick_in_a_race(&mut self, who: usize, room: usize) {
        let Some(stay) = self.people[who].stays.get(ROOMS[room]) else { return };
        let nick = escape(&stay.nick);
        if !self.people[OBSERVER].is_ready() || who == OBSERVER {
            return;
        }
        let item = format!("<item nick='{nick}' role='none'/>");
        let query = format!("<query xmlns='{}'>{item}</query>", ns::MUC_ADMIN);
        if self.rng.one_in(2) {
            self.change_nick(who, room);
            self.request(OBSERVER, "set", ROOMS[room], &query, &[]);
        } else {
            self.request(OBSERVER, "set", ROOMS[room], &query, &[]);
            self.change_nick(who, room);
        }
        self.speak(who, room);
        self.oracle.count("kicks amid changes of nick");
    }

    /// An invitation, or the refusal of one (XEP-0045 §7.8.2).
    pub(super) fn invite_quietly(&mut self, who: usize, room: usize) -> Result<(), String> {
        self.settle()?;
        if !self.people[who].is_ready() || !self.is_known(room) {
            return Ok(());
        }
        let other = self.rng.below(self.people.len());
        let to = match self.rng.below(4) {
            0 => account(self.rng.below(14)),
            _ => self.people[other].account(),
        };
        let person = &self.people[who];
        let (own_jid, own_account) = (person.jid(), person.account());
        let book = self.ledger.room(ROOMS[room]);
        let seat = book.nick_of(&own_jid).map(|nick| format!("{}/{nick}", ROOMS[room]));
        let verb = ["invite", "decline"][self.rng.below(2)];
        let from = match (seat, verb) {
            // §7.8.2: by the address that was invited, or by the seat that it has.
            (Some(seat), "decline") => vec![seat, own_account],
            (Some(seat), _) => vec![seat],
            (None, "decline") => vec![own_account],
            (None, _) => Vec::new(),
        };
        if verb == "invite" {
            book.asked.push((to.clone(), "member".to_owned()));
        }
        let id = format!("inv-{}", self.next_number());
        let x = format!("<x xmlns='{}'><{verb} to='{to}'/></x>", ns::MUC_USER);
        self.oracle.invitations.insert(id.clone(), Invitation { to, from });
        self.send(who, &format!("<message id='{id}' to='{}'>{x}</message>", ROOMS[room]));
        self.settle()
    }
}
