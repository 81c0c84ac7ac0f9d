//! Every row of the tables of privileges (XEP-0045 §5), through the protocol: each standing that
//! somebody can have against each standing of somebody else, and every role and affiliation that
//! can be asked for. What must come of it says rules.rs. No chance is in it.

use tercet::xmpp::ns;

use super::deeds::Asked;
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
    fn ordain(&mut self, item: &str) -> Result<(), String> {
        let query = format!("<query xmlns='{}'>{item}</query>", ns::MUC_ADMIN);
        self.request(OBSERVER, "set", ROOMS[ROOM], &query, &["result"]);
        self.settle()
    }

    /// Brings somebody into a state, out of any other.
    fn bring(&mut self, who: usize, (affiliation, role): State) -> Result<(), String> {
        let (account, nick) = (self.people[who].account(), self.people[who].resource.clone());
        let book = self.ledger.room(ROOMS[ROOM]);
        let seen = book.occupants.get(&nick).map(|seen| seen.role.clone());
        if book.affiliation(&account) == affiliation && seen.as_deref().unwrap_or("none") == role {
            return Ok(());
        }
        // Out, and in again with the role that the affiliation gives.
        self.leave(who, ROOM);
        self.settle()?;
        self.ordain(&format!("<item jid='{account}' affiliation='{affiliation}'/>"))?;
        if role == "none" {
            return Ok(());
        }
        let id = self.note_join(who, ROOM);
        let seat = format!("{}/{nick}", ROOMS[ROOM]);
        self.send(
            who,
            &format!("<presence to='{seat}' id='{id}'><x xmlns='{}'/></presence>", ns::MUC),
        );
        self.settle()?;
        self.ordain(&format!("<item nick='{nick}' role='{role}'/>"))
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
            self.bring(ACTOR, actor)?;
            self.bring(TARGET, target)?;
            let (affiliation, old) = (target.0.to_owned(), target.1.to_owned());
            let seen = (old != "none").then_some(Standing { role: old, affiliation });
            let item = Item::Role { target: seen, is_self: false, role };
            let xml = format!("<item nick='{nick}' role='{role}'/>");
            self.try_case(actor, target, Asked { xml, item, target: nick.clone() })?;
            cases += 1;
        }
        for affiliation in AFFILIATIONS {
            self.bring(ACTOR, actor)?;
            self.bring(TARGET, target)?;
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
            self.bring(ACTOR, actor)?;
            let item = Item::Role { target: seen.clone(), is_self: seen.is_some(), role };
            let xml = format!("<item nick='{nick}' role='{role}'/>");
            self.try_case(actor, actor, Asked { xml, item, target: nick.clone() })?;
        }
        for affiliation in AFFILIATIONS {
            self.bring(ACTOR, actor)?;
            let item = Item::Affiliation { old: actor.0.to_owned(), is_self: true, affiliation };
            let xml = format!("<item jid='{account}' affiliation='{affiliation}'/>");
            self.try_case(actor, actor, Asked { xml, item, target: account.clone() })?;
        }
        Ok(())
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
