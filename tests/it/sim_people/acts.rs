//! What the people do, at random; the truth is told at once.

use super::Sim;
use super::bonds::WORDS;
use super::truth::{Kind, Letter, To, account_jid};

const PRIORITIES: [i8; 7] = [-128, -1, 0, 0, 1, 5, 127];

impl Sim {
    pub(super) fn act(&mut self, who: usize) -> Result<(), String> {
        if !self.truth.seats[who].is_bound {
            return self.connect(who);
        }
        if !self.people[who].is_open() {
            return match self.rng.below(4) {
                0 => self.connect(who),
                1 => self.expire(),
                _ => self.resume(who),
            };
        }
        if self.is_shut(who) {
            match (self.rng.below(6), self.people[who].link) {
                (0, Some(link)) => self.cut(link),
                (1, Some(link)) => self.open_window(link),
                _ => self.send_message(who),
            }
            return Ok(());
        }
        if !self.people[who].questions.is_empty() && self.rng.one_in(4) {
            self.answer(who);
            return Ok(());
        }
        match self.rng.below(100) {
            0..32 => self.send_message(who),
            32..46 => self.announce(who),
            46..50 => self.retire(who),
            50..54 => self.direct(who),
            54..67 => self.say_word(who),
            67..71 => self.change_roster(who),
            71..75 => self.change_blocks(who),
            75..77 => self.ask_for_roster(who),
            77..79 => self.ask_for_blocks(who),
            79..81 => self.switch_carbons(who),
            81..86 => self.ask(who),
            86..89 => self.answer(who),
            89 => self.prefer(who),
            90 => self.publish(who),
            91 => self.read_items(who),
            92..94 => self.read_some_archive(who)?,
            94..96 => self.leave(who),
            _ => self.trouble_line(who),
        }
        Ok(())
    }

    pub(super) fn id(&mut self, prefix: &str) -> String {
        self.count += 1;
        format!("{prefix}{}", self.count)
    }

    pub(super) fn other_account(&mut self, who: usize) -> usize {
        let own = self.truth.seats[who].account;
        let other = self.rng.below(self.truth.accounts.len() - 1);
        if other >= own { other + 1 } else { other }
    }

    pub(super) fn send_message(&mut self, who: usize) {
        let count = if self.rng.one_in(6) && !self.is_terse { 4 } else { 1 };
        let mut text = String::new();
        for _ in 0..count {
            text += &self.one_message(who);
        }
        self.send(who, &text);
    }

    fn one_message(&mut self, who: usize) -> String {
        let kinds = [Kind::Chat, Kind::Chat, Kind::Chat, Kind::Normal, Kind::Normal];
        let kind = match self.rng.below(10) {
            at @ 0..5 => kinds[at],
            5 => Kind::Headline,
            6 => Kind::Groupchat,
            7 => Kind::Error,
            _ => Kind::Chat,
        };
        let (to, jid) = self.somebody(who);
        let id = self.id(if kind == Kind::Error { "e" } else { "m" });
        let hints = ["", "", "", "no-store", "no-copy"][self.rng.below(5)];
        let hint = match hints {
            "" => String::new(),
            hint => format!("<{hint} xmlns='urn:xmpp:hints'/>"),
        };
        let name = match kind {
            Kind::Normal => "normal",
            Kind::Chat => "chat",
            Kind::Headline => "headline",
            Kind::Groupchat => "groupchat",
            Kind::Error => "error",
        };
        let is_error = kind == Kind::Error;
        let error = "<error type='cancel'>\
            <gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
        let error = if is_error { error } else { "" };
        let letter = Letter {
            id: id.clone(),
            from: who,
            to,
            jid: jid.clone(),
            kind,
            is_private: hints == "no-copy" || is_error,
            is_storable: hints != "no-store",
        };
        self.truth.send(letter);
        format!("<message to='{jid}' type='{name}' id='{id}'><body>b</body>{hint}{error}</message>")
    }

    /// Whom somebody writes to.
    pub(super) fn somebody(&mut self, who: usize) -> (To, String) {
        let mut account = self.rng.below(self.truth.accounts.len());
        if self.rng.one_in(8) {
            // Somebody who is away, and has blocked who writes.
            let is_deaf = |&at: &usize| {
                self.truth.bound(at).is_empty() && self.truth.has_blocked_seat(at, who)
            };
            account = (0..self.truth.accounts.len()).find(is_deaf).unwrap_or(account);
        }
        let mut seat = self.rng.below(self.truth.seats.len());
        if self.rng.one_in(5) {
            // Somebody who does not hear it, or does not say so.
            let is_silent = |&at: &usize| {
                let is_away = !self.people[at].is_open() || self.people[at].is_mute;
                self.truth.seats[at].is_bound && (is_away || self.is_shut(at))
            };
            seat = (0..self.people.len()).find(is_silent).unwrap_or(seat);
        }
        match self.rng.below(20) {
            0..9 => (To::Account(account), account_jid(account)),
            9..16 => (To::Seat(seat), self.truth.seats[seat].jid()),
            16..18 => (To::Absent(account), format!("{}/absent", account_jid(account))),
            18 => (To::Ghost, "ghost@localhost".to_owned()),
            _ => (To::Elsewhere, "somebody@remote.example".to_owned()),
        }
    }

    pub(super) fn announce(&mut self, who: usize) {
        let priority = PRIORITIES[self.rng.below(PRIORITIES.len())];
        self.announce_with(who, priority);
    }

    pub(super) fn announce_with(&mut self, who: usize, priority: i8) {
        let tag = self.id("p");
        if self.truth.seats[who].priority.is_none() {
            self.people[who].seen.clear();
            self.truth.shown.retain(|(reader, _), _| *reader != who);
        }
        self.truth.count(if priority < 0 { "negative priorities" } else { "priorities" });
        self.send(
            who,
            &format!("<presence><status>{tag}</status><priority>{priority}</priority></presence>"),
        );
        self.truth.announce(who, priority, &tag);
    }

    fn retire(&mut self, who: usize) {
        self.send(who, "<presence type='unavailable'/>");
        self.truth.retire(who);
        self.truth.count("sessions unavailable");
    }

    fn direct(&mut self, who: usize) {
        let account = self.other_account(who);
        let seat = self.rng.below(self.truth.seats.len());
        let target = match self.rng.below(2) {
            0 => account_jid(account),
            _ => self.truth.seats[seat].jid(),
        };
        if self.truth.seats[who].jid() == target {
            return;
        }
        let own = self.truth.seats[who].account;
        let id = self.id("d");
        let is_available = !self.rng.one_in(3);
        let kind = if is_available { "" } else { " type='unavailable'" };
        self.send(
            who,
            &format!("<presence to='{target}' id='{id}'{kind}><status>{id}</status></presence>"),
        );
        if self.truth.blocks(own, &target) {
            self.truth.owe(who, format!("error {id} not-acceptable"));
        } else {
            self.truth.direct(who, &target, is_available.then_some(&*id));
        }
    }

    pub(super) fn say_word(&mut self, who: usize) {
        let (own, mut other) = (self.truth.seats[who].account, self.other_account(who));
        let mut word = WORDS[[0, 0, 0, 1, 1, 1, 2, 3][self.rng.below(8)]];
        if self.rng.one_in(5) {
            // One that is not heard.
            let is_deaf = |&at: &usize| {
                let bond = self.truth.accounts[own].bonds.get(&at);
                self.truth.has_blocked(at, own) && bond.is_some_and(|bond| bond.from)
            };
            if let Some(deaf) = (0..self.truth.accounts.len()).find(is_deaf) {
                (other, word) = (deaf, "unsubscribed");
            }
        }
        let id = self.id("w");
        let to = account_jid(other);
        self.send(who, &format!("<presence to='{to}' type='{word}' id='{id}'/>"));
        if self.truth.has_blocked(own, other) {
            self.truth.owe(who, format!("error {id} not-acceptable"));
        } else {
            self.truth.say(own, other, word);
        }
    }

    pub(super) fn change_roster(&mut self, who: usize) {
        let (own, other) = (self.truth.seats[who].account, self.other_account(who));
        let (id, jid) = (self.id("s"), account_jid(other));
        let attributes = if self.rng.one_in(2) {
            let name = self.id("name");
            self.truth.name(own, other, &name);
            self.truth.owe(who, format!("result {id}"));
            self.truth.count("roster sets");
            format!("name='{name}'")
        } else {
            let is_there = self.truth.remove(own, other);
            self.truth.owe(
                who,
                match is_there {
                    true => format!("result {id}"),
                    false => format!("error {id} item-not-found"),
                },
            );
            self.truth.count(if is_there { "roster removes" } else { "roster removes refused" });
            "subscription='remove'".to_owned()
        };
        self.send(
            who,
            &format!(
                "<iq type='set' id='{id}'><query xmlns='jabber:iq:roster'>\
                 <item jid='{jid}' {attributes}/></query></iq>"
            ),
        );
    }

    pub(super) fn ask_for_roster(&mut self, who: usize) {
        let id = self.id("r");
        self.send(who, &format!("<iq type='get' id='{id}'><query xmlns='jabber:iq:roster'/></iq>"));
        self.truth.owe(who, format!("result {id}"));
        self.truth.seats[who].wants_roster = true;
        self.truth.count("rosters");
    }

    fn switch_carbons(&mut self, who: usize) {
        let id = self.id("c");
        let is_on = !self.rng.one_in(3);
        let name = if is_on { "enable" } else { "disable" };
        let switch = format!("<{name} xmlns='urn:xmpp:carbons:2'/>");
        self.send(who, &format!("<iq type='set' id='{id}'>{switch}</iq>"));
        self.truth.owe(who, format!("result {id}"));
        self.truth.seats[who].has_carbons = is_on;
    }

    /// It ends its stream, and so its session.
    fn leave(&mut self, who: usize) {
        self.send(who, "</stream:stream>");
        self.truth.count("streams closed");
        self.people[who].link = None;
        self.truth.unbind(who);
    }
}
