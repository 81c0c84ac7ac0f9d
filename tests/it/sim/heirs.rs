//! Accounts that are removed, and registered anew by somebody else (XEP-0077 §3.1, §3.2): they are
//! out of all rooms at once, and rooms forget what they were to them, in memory and in storage. The
//! next of the name inherits nothing: no affiliation, no reserved nick, no hat, nothing that was
//! said. A ban alone stays.

use tercet::xml::Element;
use tercet::xmpp::ns;

use super::archive::ARCHIVE;
use super::aside::{admin_query, is_unavailable, item_of};
use super::deeds::{MEMBERS_ONLY, MODERATED, PERSISTENT};
use super::graves::is_done;
use super::ledger::Key;
use super::novelties::PUBLIC;
use super::person::account;
use super::{MORTAL_ACCOUNT, OBSERVER, Sim};
use crate::client::{Client, Identity};
use crate::matcher::to_text;
use crate::sasl::Mechanism;

const NICK: &str = "Mortal";
const HAT: &str = "urn:example:crown";
const HEADER: &str = "<?xml version='1.0'?><stream:stream to='localhost' version='1.0' \
    xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

/// A room that has to do with the account.
struct Estate {
    jid: String,
    is_closed: bool,
    is_moderated: bool,
    is_archived: bool,
    is_banned: bool,
    /// The stanza id of what was said.
    said: String,
}

impl Estate {
    /// What is left of it.
    fn left(&self) -> &'static str {
        if self.is_banned { "outcast" } else { "none" }
    }

    fn seat(&self) -> String {
        format!("{}/{NICK}", self.jid)
    }
}

impl Sim {
    /// An account gets something in a room, is removed, and somebody else has its name.
    pub(super) fn inherit(&mut self) -> Result<(), String> {
        let jid = format!("estate{}@conference.localhost", self.next_number());
        let [is_closed, is_moderated, is_archived] = [3, 2, 2].map(|n| self.rng.one_in(n));
        let (is_banned, said) = (self.rng.one_in(4), String::new());
        let mut estate =
            Estate { jid: jid.clone(), is_closed, is_moderated, is_archived, is_banned, said };
        self.live_and_let_die(&mut estate).map_err(|why| format!("{jid}: {why}"))?;
        let mortal = self.mortal();
        self.leave_aside(&jid)?;
        self.cut(mortal);
        self.settle()
    }

    fn mortal(&self) -> usize {
        let mortal = self.people.iter().position(|p| p.account_number == MORTAL_ACCOUNT);
        mortal.expect("one of the guests")
    }

    fn live_and_let_die(&mut self, estate: &mut Estate) -> Result<(), String> {
        let is_there = self.ledger.cells[&Key::Password(MORTAL_ACCOUNT)].known() != Some("");
        if !is_there && !self.register_account()? {
            return Ok(());
        }
        let Some(mortal) = self.log_in_guest(MORTAL_ACCOUNT)? else { return Ok(()) };
        if !self.endow(estate, mortal)? {
            return Ok(());
        }
        self.stop_hearing();
        if !self.remove_account(mortal)? {
            return Ok(());
        }
        let told = self.people[OBSERVER].presences(&estate.seat());
        let is_right = match told.as_slice() {
            [] => estate.is_banned,
            [one] => is_unavailable(one) && !estate.is_banned,
            _ => false,
        };
        if !is_right && self.people[OBSERVER].is_ready() {
            return Err(format!("the observer is told {told:?}"));
        }
        self.bequests.push((estate.jid.clone(), estate.left()));
        self.check_estate(OBSERVER, &estate.jid, estate.left())?;
        if !self.register_account()? {
            return Ok(());
        }
        match self.log_in_guest(MORTAL_ACCOUNT)? {
            Some(heir) => self.claim(estate, heir),
            None => Ok(()),
        }
    }

    /// The room is made; the account is a member with a nick and a hat and says something.
    fn endow(&mut self, estate: &mut Estate, mortal: usize) -> Result<bool, String> {
        let jid = estate.jid.as_str();
        let bit = |is: bool| if is { "1" } else { "0" };
        let fields = [
            (PERSISTENT, "1"),
            (PUBLIC, "0"),
            (MEMBERS_ONLY, bit(estate.is_closed)),
            (MODERATED, bit(estate.is_moderated)),
            (ARCHIVE, bit(estate.is_archived)),
        ];
        if !self.make_aside(OBSERVER, jid, &fields)? {
            return Ok(false);
        }
        let name = ["member", "admin"][self.rng.below(2)];
        let own = account(MORTAL_ACCOUNT);
        let item = |name: &str| admin_query(&format!("<item jid='{own}' affiliation='{name}'/>"));
        let field =
            |var: &str, value: &str| format!("<field var='{var}'><value>{value}</value></field>");
        let hat = field("hats#uri", HAT) + &field("hats#title", "Crown");
        let both = field("hats#jid", &own) + &field("hats#uri", HAT);
        let register = format!(
            "<query xmlns='{}'><x xmlns='{}' type='submit'>{}{}</x></query>",
            ns::REGISTER,
            ns::DATA,
            field("FORM_TYPE", ns::MUC_REGISTER),
            field("muc#register_roomnick", NICK)
        );
        let is_endowed = self.is_granted(OBSERVER, "set", jid, &item(name))?
            && self.is_granted(mortal, "set", jid, &register)?
            && self.command(jid, "create", &hat)?.as_deref() == Some("result")
            && self.command(jid, "assign", &both)?.as_deref() == Some("result")
            && self.enter_aside(mortal, &estate.seat(), "", &["result"])?;
        if !is_endowed {
            return Ok(false);
        }
        let seen = self.people[OBSERVER].presences(&estate.seat());
        if !matches!(seen.as_slice(), [one] if to_text(one).contains(HAT)) {
            return Err(format!("no crown: {seen:?}"));
        }
        let make = |id: &str| {
            format!("<message type='groupchat' id='{id}' to='{jid}'><body>mine</body></message>")
        };
        let Some((_, Some(said))) = self.attempt_expecting(mortal, make, &["result"])? else {
            return Ok(false);
        };
        let stanza_id = said.child("stanza-id", ns::SID).and_then(|id| id.attr("id"));
        estate.said = stanza_id.unwrap_or_default().to_owned();
        Ok(!estate.is_banned || self.is_granted(OBSERVER, "set", jid, &item("outcast"))?)
    }

    /// XEP-0077 §3.2. False when it may not have been.
    fn remove_account(&mut self, mortal: usize) -> Result<bool, String> {
        let remove = format!("<query xmlns='{}'><remove/></query>", ns::REGISTER);
        let number = self.request(mortal, "set", "", &remove, &["result"]);
        self.ledger.ask(number, Key::Password(MORTAL_ACCOUNT), "");
        self.settle()?;
        let is_done = self.people[mortal].answered == (format!("once-{number}"), "result".into());
        if is_done && self.people[mortal].link.is_some() {
            return Err("the stream of a removed account goes on".to_owned());
        }
        if is_done {
            self.oracle.count("accounts removed");
        }
        Ok(is_done)
    }

    /// XEP-0077 §3.1, on a stream of its own. False when it may not have been.
    fn register_account(&mut self) -> Result<bool, String> {
        let mortal = self.mortal();
        let Some(link) = self.world.open() else { return Ok(false) };
        let (user, password) = (self.people[mortal].user(), format!("p{}", self.next_number()));
        self.people[mortal].begin(
            Client::raw(Identity {
                user: user.clone(),
                domain: "localhost".to_owned(),
                resource: None,
                password: password.clone(),
                mechanism: Mechanism::Plain,
                with_tls: false,
            }),
            link,
            false,
        );
        self.send(mortal, HEADER);
        let fields = format!("<username>{user}</username><password>{password}</password>");
        let query = format!("<query xmlns='{}'>{fields}</query>", ns::REGISTER);
        let is_free = self.ledger.cells[&Key::Password(MORTAL_ACCOUNT)].known() == Some("");
        let due: &[&'static str] = if is_free { &["result"] } else { &["result", "conflict"] };
        let number = self.request(mortal, "set", "", &query, due);
        self.ledger.ask(number, Key::Password(MORTAL_ACCOUNT), &password);
        self.settle()?;
        let is_done = self.people[mortal].answered == (format!("once-{number}"), "result".into());
        self.cut(mortal);
        self.settle()?;
        Ok(is_done)
    }

    /// The lists of a room say what is left of the account, and nobody else wears its hat.
    fn check_estate(&mut self, owner: usize, jid: &str, left: &str) -> Result<(), String> {
        let Some(entries) = self.entries(owner, jid)? else { return Ok(()) };
        let own = account(MORTAL_ACCOUNT);
        let entry = entries.iter().find(|(jid, _)| *jid == own);
        let is_right = entry.map_or("none", |(_, name)| name) == left;
        let query = format!(
            "<command xmlns='{}' action='execute' node='urn:xmpp:hats:commands:list-assigned'/>",
            ns::COMMANDS
        );
        let hats = self.ask_aside(owner, "set", jid, &query, &["result"])?;
        let Some((_, Some(hats))) = hats else { return Ok(()) };
        let wears = to_text(&hats).contains(&own) && left == "none";
        if is_right && !wears {
            return Ok(());
        }
        Err(format!("of a removed account there are {entry:?} and {}", to_text(&hats)))
    }

    /// The heir tries everything that was the other's.
    fn claim(&mut self, estate: &Estate, heir: usize) -> Result<(), String> {
        self.stop_hearing();
        let query = format!("<query xmlns='{}'/>", ns::REGISTER);
        let due = if estate.is_banned { "not-allowed" } else { "result" };
        let tried = self.ask_aside(heir, "get", &estate.jid, &query, &[due])?;
        let Some((_, Some(answer))) = &tried else { return Ok(()) };
        if to_text(answer).contains("<registered") || to_text(answer).contains(NICK) {
            return Err(format!("registered: {}", to_text(answer)));
        }
        let due = match (estate.is_banned, estate.is_closed) {
            (true, _) => "forbidden",
            (_, true) => "registration-required",
            _ => "result",
        };
        let is_in = self.enter_aside(heir, &estate.seat(), "", &[due])?;
        if estate.is_banned {
            self.oracle.count("bans that outlive an account");
        }
        if !is_in {
            return Ok(());
        }
        self.check_heir(estate, self.people[OBSERVER].presences(&estate.seat()))?;
        let retract = format!("<retract xmlns='{}' id='{}'/>", ns::RETRACT, estate.said);
        let make = |id: &str| {
            format!("<message type='groupchat' id='{id}' to='{}'>{retract}</message>", estate.jid)
        };
        let tried = self.attempt_expecting(heir, make, &["forbidden"])?;
        if !is_done(&tried) {
            self.oracle.count("heirs of nothing");
        }
        Ok(())
    }

    fn check_heir(&self, estate: &Estate, seen: Vec<&Element>) -> Result<(), String> {
        let role = if estate.is_moderated { "visitor" } else { "participant" };
        let is_right = |one: &&Element| {
            let is = (item_of(one, "affiliation"), item_of(one, "role"));
            is == ("none", role) && !to_text(one).contains(HAT)
        };
        match seen.as_slice() {
            [one] if is_right(one) => Ok(()),
            _ if !self.people[OBSERVER].is_ready() => Ok(()),
            _ => Err(format!("an heir is {seen:?}")),
        }
    }

    /// After a restart nothing has come back.
    pub(super) fn check_bequests(&mut self) -> Result<(), String> {
        for (jid, left) in std::mem::take(&mut self.bequests) {
            self.check_estate(OBSERVER, &jid, left)
                .map_err(|why| format!("after the end, {jid}: {why}"))?;
            self.oracle.count("removals found again");
        }
        Ok(())
    }
}
