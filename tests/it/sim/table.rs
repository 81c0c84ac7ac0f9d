//! Every row of the tables of privileges (XEP-0045 §5), through the protocol: each standing that
//! somebody can have against each standing of somebody else, and every role and affiliation that
//! can be asked for (rules.rs); every request from each standing, in rooms of each kind, and every
//! reason to refuse a join against every other (privileges.rs). No chance is in it.

use tercet::xmpp::ns;

use super::archive::ARCHIVE;
use super::deeds::{Asked, MEMBERS_ONLY, SECRET, WHOIS};
use super::privileges::{ALLOW_INVITES, ALLOW_PM, CHANGE_SUBJECT, ROWS, Request, Row};
use super::requests::MAX_USERS;
use super::rules::{AFFILIATIONS, Item, Standing, outcomes_of};
use super::{OBSERVER, ROOMS, Sim};

const ACTOR: usize = 1;
const TARGET: usize = 2;
/// The room in which visitors are.
const ROOM: usize = 2;
const ROLES: [&str; 4] = ["none", "visitor", "participant", "moderator"];

/// Affiliation and role; the role `none` is for those who are not there.
type State = (&'static str, &'static str);

/// Admins and owners are moderators when they are there, outcasts are not.
const STATES: [State; 13] = [
    ("outcast", "none"),
    ("none", "none"),
    ("none", "visitor"),
    ("none", "participant"),
    ("none", "moderator"),
    ("member", "none"),
    ("member", "visitor"),
    ("member", "participant"),
    ("member", "moderator"),
    ("admin", "none"),
    ("admin", "moderator"),
    ("owner", "none"),
    ("owner", "moderator"),
];

impl Sim {
    /// The owner says so.
    fn ordain(&mut self, room: usize, item: &str) -> Result<(), String> {
        let query = format!("<query xmlns='{}'>{item}</query>", ns::MUC_ADMIN);
        self.request(OBSERVER, "set", ROOMS[room], &query, &["result"]);
        self.settle()
    }

    /// Brings somebody into a state, out of any other.
    fn bring(&mut self, room: usize, who: usize, (affiliation, role): State) -> Result<(), String> {
        let (account, nick) = (self.people[who].account(), self.people[who].resource.clone());
        let book = self.ledger.room(ROOMS[room]);
        let seen = book.occupants.get(&nick).map(|seen| seen.role.clone());
        if book.affiliation(&account) == affiliation && seen.as_deref().unwrap_or("none") == role {
            return Ok(());
        }
        // Out, and in again with the role that the affiliation gives.
        self.leave(who, room);
        self.settle()?;
        self.ordain(room, &format!("<item jid='{account}' affiliation='{affiliation}'/>"))?;
        if role == "none" {
            return Ok(());
        }
        let id = self.note_join(who, room);
        let seat = format!("{}/{nick}", ROOMS[room]);
        self.send(
            who,
            &format!("<presence to='{seat}' id='{id}'><x xmlns='{}'/></presence>", ns::MUC),
        );
        self.settle()?;
        self.ordain(room, &format!("<item nick='{nick}' role='{role}'/>"))
    }

    /// One case: the answer is one of those that are allowed, and its effect is seen.
    fn try_case(&mut self, actor: State, target: State, asked: Asked) -> Result<(), String> {
        let standing = Standing { role: actor.1.to_owned(), affiliation: actor.0.to_owned() };
        let expected = outcomes_of(&standing, std::slice::from_ref(&asked.item), true);
        let query = format!("<query xmlns='{}'>{}</query>", ns::MUC_ADMIN, asked.xml);
        let wrong = |why| format!("{actor:?} to {target:?} with {}: {why}", asked.xml);
        self.request(ACTOR, "set", ROOMS[ROOM], &query, &expected);
        self.settle().map_err(wrong)?;
        if self.people[ACTOR].answered.1 == "result" {
            self.check_effect(ROOM, &asked).map_err(wrong)?;
        }
        Ok(())
    }

    fn try_all(&mut self, actor: State, target: State) -> Result<usize, String> {
        let mut cases = 0;
        let nick = self.people[TARGET].resource.clone();
        let account = self.people[TARGET].account();
        for role in ROLES {
            self.bring(ROOM, ACTOR, actor)?;
            self.bring(ROOM, TARGET, target)?;
            let (affiliation, old) = (target.0.to_owned(), target.1.to_owned());
            let seen = (old != "none").then_some(Standing { role: old, affiliation });
            let item = Item::Role { target: seen, is_self: false, role };
            let xml = format!("<item nick='{nick}' role='{role}'/>");
            self.try_case(actor, target, Asked { xml, item, target: nick.clone() })?;
            cases += 1;
        }
        for affiliation in AFFILIATIONS {
            self.bring(ROOM, ACTOR, actor)?;
            self.bring(ROOM, TARGET, target)?;
            let old = target.0.to_owned();
            let item = Item::Affiliation { old, is_self: false, affiliation };
            let xml = format!("<item jid='{account}' affiliation='{affiliation}'/>");
            self.try_case(actor, target, Asked { xml, item, target: account.clone() })?;
            cases += 1;
        }
        Ok(cases)
    }

    /// What somebody does to itself (§8.2, §9.1, and what only others can grant).
    fn try_self(&mut self, actor: State) -> Result<(), String> {
        let nick = self.people[ACTOR].resource.clone();
        let account = self.people[ACTOR].account();
        let standing = Standing { role: actor.1.to_owned(), affiliation: actor.0.to_owned() };
        let seen = (actor.1 != "none").then_some(standing);
        for role in ROLES {
            self.bring(ROOM, ACTOR, actor)?;
            let item = Item::Role { target: seen.clone(), is_self: seen.is_some(), role };
            let xml = format!("<item nick='{nick}' role='{role}'/>");
            self.try_case(actor, actor, Asked { xml, item, target: nick.clone() })?;
        }
        for affiliation in AFFILIATIONS {
            self.bring(ROOM, ACTOR, actor)?;
            let item = Item::Affiliation { old: actor.0.to_owned(), is_self: true, affiliation };
            let xml = format!("<item jid='{account}' affiliation='{affiliation}'/>");
            self.try_case(actor, actor, Asked { xml, item, target: account.clone() })?;
        }
        Ok(())
    }

    /// The owner makes the room what it is to be.
    fn shape(
        &mut self,
        room: usize,
        values: &[(&'static str, &'static str)],
    ) -> Result<(), String> {
        let base = [
            (MEMBERS_ONLY, "0"),
            (SECRET, ""),
            (MAX_USERS, "none"),
            (ALLOW_PM, "anyone"),
            (ALLOW_INVITES, "0"),
            (CHANGE_SUBJECT, "0"),
            (ARCHIVE, "1"),
        ];
        let is_given = |var: &str| values.iter().any(|(other, _)| *other == var);
        let rest = base.into_iter().filter(|(var, _)| !is_given(var));
        let all: Vec<_> = values.iter().copied().chain(rest).collect();
        self.submit(OBSERVER, room, &all);
        self.settle()?;
        let is_so = |(var, value): &(&'static str, &'static str)| {
            self.ledger.option(ROOMS[room], var) == Some(*value)
        };
        let wrong = all.iter().find(|pair| !is_so(pair));
        wrong.map_or(Ok(()), |pair| Err(format!("{pair:?} is not accepted")))
    }

    /// One row, from each standing that is possible in such a room.
    fn try_row(&mut self, row: &Row) -> Result<usize, String> {
        let is_open = row.given().contains(&(WHOIS, "anyone"));
        let room = if is_open { 0 } else { ROOM };
        let is_members_only = row.given().contains(&(MEMBERS_ONLY, "1"));
        self.shape(room, row.given())?;
        let mut cases = 0;
        for state in STATES {
            let is_impossible = is_members_only && state.0 == "none" && state.1 != "none";
            let is_end = row.request == Request::Destroy && state.0 == "owner";
            if is_impossible || is_end {
                continue;
            }
            self.bring(room, ACTOR, state)?;
            let standing = self.standing_for(ACTOR, room, row.request);
            let due = row.outcomes(&standing);
            let wrong = |why| format!("{state:?} in {:?}: {why}", row.given());
            self.ask_for(ACTOR, room, row.request, due).map_err(wrong)?;
            if row.request == Request::ChangeNick {
                self.leave(ACTOR, room);
                self.settle()?;
            }
            cases += 1;
        }
        Ok(cases)
    }
}
#[test]
fn every_privilege_is_that_of_the_tables() -> Result<(), String> {
    let mut sim = Sim::calm(3, false)?;
    sim.begin()?;
    for who in [ACTOR, TARGET] {
        sim.connect(who);
    }
    sim.pass_time(1_000)?;
    let mut cases = 0;
    for actor in STATES {
        sim.try_self(actor)?;
        for target in STATES {
            cases += sim.try_all(actor, target)?;
        }
    }
    assert_eq!(cases, STATES.len() * STATES.len() * 9);
    Ok(())
}

#[test]
fn every_request_is_answered_as_the_tables_say() -> Result<(), String> {
    let mut sim = Sim::calm(3, false)?;
    sim.begin()?;
    sim.connect(ACTOR);
    sim.pass_time(1_000)?;
    let mut cases = 0;
    for row in ROWS.iter() {
        if sim.has_all(row.needs) {
            cases += sim.try_row(row)?;
        }
    }
    assert!(cases > 300, "{cases}");
    Ok(())
}

/// §7.2: of several reasons to refuse a join, the first in the order of privileges.rs is told.
#[test]
fn every_join_is_refused_for_the_first_reason() -> Result<(), String> {
    let mut sim = Sim::calm(2, false)?;
    sim.begin()?;
    sim.connect(ACTOR);
    sim.pass_time(1_000)?;
    for bits in 0..8 {
        let pick = |bit: usize, values: [&'static str; 2]| values[bits >> bit & 1];
        let values = [
            (MEMBERS_ONLY, pick(0, ["0", "1"])),
            (SECRET, pick(1, ["", "pw"])),
            (MAX_USERS, pick(2, ["none", "1"])),
        ];
        sim.shape(ROOM, &values)?;
        for affiliation in AFFILIATIONS {
            for nick in ["", " ", "Observer", "oBSERVER", "Free"] {
                for password in ["pw", "", "wrong"] {
                    sim.bring(ROOM, ACTOR, (affiliation, "none"))?;
                    let joined = sim.join_as(ACTOR, ROOM, nick, password);
                    joined.map_err(|why| format!("{values:?} {affiliation} {nick:?}: {why}"))?;
                    sim.leave(ACTOR, ROOM);
                    sim.settle()?;
                }
            }
        }
    }
    let refused = sim.oracle.tally["refused joins as predicted"];
    let granted = sim.oracle.tally["joins as predicted"];
    assert_eq!(refused + granted, 8 * 5 * 5 * 3);
    Ok(())
}

/// §7.2.10, §17.2: before it is configured the room is there for its creator alone.
#[test]
fn a_locked_room_is_not_there() -> Result<(), String> {
    let mut sim = Sim::calm(2, false)?;
    sim.begin()?;
    sim.connect(ACTOR);
    sim.pass_time(1_000)?;
    let (muc, seat) = (ns::MUC, "locked@conference.localhost/Nick");
    let join = |id: &str| format!("<presence id='{id}' to='{seat}'><x xmlns='{muc}'/></presence>");
    sim.attempt_expecting(OBSERVER, join, &["result"])?;
    sim.attempt_expecting(ACTOR, join, &["item-not-found"])?;
    let query = |id: &str| {
        let query = format!("<query xmlns='{}'/>", ns::DISCO_INFO);
        format!("<iq type='get' id='{id}' to='locked@conference.localhost'>{query}</iq>")
    };
    sim.attempt_expecting(ACTOR, query, &["item-not-found"])?;
    let say = |id: &str| {
        let body = "<body>hello</body>";
        let to = "locked@conference.localhost";
        format!("<message type='groupchat' id='{id}' to='{to}'>{body}</message>")
    };
    for who in [ACTOR, OBSERVER] {
        sim.attempt_expecting(who, say, &["item-not-found"])?;
    }
    Ok(())
}
