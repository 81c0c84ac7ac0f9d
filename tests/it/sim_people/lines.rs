//! Connections: logins, cuts anywhere, windows that are shut, sessions that are resumed or not.

use tercet::xmpp::ns;

use super::Sim;
use super::truth::account_jid;
use crate::client::{Client, Identity, Item};
use crate::driver::{Event, Link};
use crate::matcher::to_text;
use crate::sasl::Mechanism;

/// Longer than a session waits to be resumed.
const RESUMPTION_MS: u64 = 310_000;

impl Sim {
    fn identity(&self, who: usize) -> Identity {
        let seat = &self.truth.seats[who];
        let jid = account_jid(seat.account);
        let (user, domain) = jid.split_once('@').expect("an address of an account");
        Identity {
            user: user.to_owned(),
            domain: domain.to_owned(),
            resource: Some(seat.resource.clone()),
            password: "secret".to_owned(),
            mechanism: Mechanism::Plain,
            with_tls: false,
        }
    }

    /// A new session; what is left of an older one ends.
    pub(super) fn connect(&mut self, who: usize) -> Result<(), String> {
        let Some(link) = self.world.open() else { return Err("a connection is refused".into()) };
        if self.truth.seats[who].is_bound {
            self.truth.count("resources taken over");
        }
        self.waiting.retain(|waiting| *waiting != who);
        let client = Client::login(self.identity(who));
        self.trace(who, "--", "connects");
        self.people[who].begin(client, link);
        self.flush(who);
        self.settle()?;
        if !self.people[who].is_open() {
            return Err(format!("{} cannot log in", self.truth.seats[who].jid()));
        }
        self.truth.bind(who);
        self.truth.count("logins");
        if self.rng.one_in(2) {
            self.send(who, &format!("<enable xmlns='{}' resume='true'/>", ns::SM));
            self.settle()?;
            if self.people[who].resumption.is_none() {
                return Err("stream management is refused".to_owned());
            }
        }
        Ok(())
    }

    /// The connection is cut, or its window shut, or the client does not acknowledge any more.
    pub(super) fn trouble_line(&mut self, who: usize) {
        let Some(link) = self.people[who].link else { return };
        match self.rng.below(5) {
            0 => {
                self.truth.count("windows shut");
                self.people[who].is_lagging = true;
                self.world.pace.shut.push(link);
            }
            1 => {
                self.truth.count("clients that do not acknowledge");
                self.people[who].is_mute = self.people[who].is_counting;
            }
            2 => {
                // Part of a stanza.
                let text = "<message to='u0@localhost' type='chat'><body>never</body></message>";
                let bytes = 1 + self.rng.below(text.len() - 1);
                self.send(who, &text[..bytes]);
                self.cuts.push(link);
            }
            _ => self.cut(link),
        }
    }

    /// A window is open again.
    pub(super) fn open_window(&mut self, link: Link) {
        self.world.pace.shut.retain(|shut| *shut != link);
    }

    pub(super) fn is_shut(&self, who: usize) -> bool {
        self.people[who].link.is_some_and(|link| self.world.pace.shut.contains(&link))
    }

    /// The connection breaks: the session waits, or is over.
    pub(super) fn cut(&mut self, link: Link) {
        self.world.pace.shut.retain(|shut| *shut != link);
        self.world.cut(link);
        if let Some(who) = self.people.iter().position(|p| p.link == Some(link)) {
            self.trace(who, "--", "cut");
            self.lose(who);
        }
    }

    fn lose(&mut self, who: usize) {
        self.people[who].link = None;
        if self.people[who].resumption.is_some() {
            self.truth.count("connections lost, sessions kept");
            self.people[who].is_lagging = true;
            self.waiting.push(who);
        } else {
            self.truth.count("connections lost");
            self.truth.note_repeatable(who);
            self.truth.unbind(who);
        }
    }

    pub(super) fn resume(&mut self, who: usize) -> Result<(), String> {
        let Some(id) = self.people[who].resumption.clone() else { return Ok(()) };
        let Some(link) = self.world.open() else { return Err("a connection is refused".into()) };
        let client = Client::unbound(self.identity(who), Some(self.truth.seats[who].jid()));
        let person = &mut self.people[who];
        (person.client, person.link) = (Some(client), Some(link));
        (person.is_mute, person.is_counting) = (false, false);
        self.waiting.retain(|waiting| *waiting != who);
        self.flush(who);
        self.settle()?;
        let handled = self.people[who].handled;
        let resume = format!("<resume xmlns='{}' previd='{id}' h='{handled}'/>", ns::SM);
        self.truth.seats[who].due.push("resumed".to_owned());
        self.truth.seats[who].unacknowledged.clear();
        self.people[who].is_counting = true;
        self.send(who, &resume);
        self.truth.count("resumptions");
        self.settle()
    }

    /// So much time passes that no session waits any more.
    pub(super) fn expire(&mut self) -> Result<(), String> {
        for link in self.world.pace.shut.clone() {
            self.cut(link);
            self.settle()?;
        }
        self.settle()?;
        for who in 0..self.people.len() {
            if self.people[who].is_mute && self.people[who].is_open() {
                self.say_all_handled(who);
            }
        }
        self.settle()?;
        self.pass_time(RESUMPTION_MS)?;
        // Each goes when its time is over.
        for who in std::mem::take(&mut self.waiting) {
            self.truth.count("sessions that nobody resumed");
            self.truth.unbind(who);
        }
        self.settle()
    }

    pub(super) fn say_all_handled(&mut self, who: usize) {
        let person = &mut self.people[who];
        person.is_mute = false;
        let answer = format!("<a xmlns='{}' h='{}'/>", ns::SM, person.handled);
        self.truth.seats[who].unacknowledged.clear();
        self.send(who, &answer);
    }

    pub(super) fn send(&mut self, who: usize, text: &str) {
        self.trace(who, ">>", text);
        if let Some(link) = self.people[who].link {
            self.world.write(link, text.as_bytes());
        }
    }

    pub(super) fn trace(&self, who: usize, direction: &str, text: &str) {
        if self.is_traced {
            println!("{direction} {} {text}", self.truth.seats[who].jid());
        }
    }

    fn flush(&mut self, who: usize) {
        let person = &mut self.people[who];
        if let (Some(client), Some(link)) = (&mut person.client, person.link) {
            let bytes = std::mem::take(&mut client.out);
            self.world.write(link, &bytes);
        }
    }

    pub(super) fn take_events(&mut self) -> Result<(), String> {
        while let Some(event) = self.world.events.pop_front() {
            let (Event::Bytes(link, _) | Event::End(link)) = &event;
            let Some(who) = self.people.iter().position(|p| p.link == Some(*link)) else {
                self.world.end(*link);
                continue;
            };
            match event {
                Event::Bytes(_, bytes) => self.receive(who, &bytes)?,
                Event::End(link) => {
                    self.world.end(link);
                    if let Some(doom) = &mut self.doom
                        && self.people[who].has_stream_error
                    {
                        doom.ended.push(who);
                        self.people[who].link = None;
                    } else if !self.is_ending {
                        return Err(format!("{} is cut", self.truth.seats[who].jid()));
                    }
                }
            }
        }
        Ok(())
    }

    fn receive(&mut self, who: usize, bytes: &[u8]) -> Result<(), String> {
        let Some(client) = &mut self.people[who].client else { return Ok(()) };
        client.feed(bytes);
        if let Some(trouble) = client.trouble.take() {
            return Err(trouble);
        }
        let items: Vec<Item> = client.inbox.drain(..).collect();
        for item in items {
            let Item::Element(element) = item else { continue };
            self.trace(who, "<<", &to_text(&element));
            if let Some(answer) = self.people[who].receive(&element) {
                self.send(who, &answer);
            }
            if let Some(trouble) = self.people[who].trouble.take() {
                return Err(format!("{}: {trouble}", self.truth.seats[who].jid()));
            }
        }
        self.flush(who);
        Ok(())
    }
}
