//! The crowd's connections: how they begin and end, what is written to them and what comes back.

use super::ledger::Key;
use super::{OBSERVER, ROOMS, Sim};
use crate::client::{Client, Identity, Item};
use crate::driver::{Event, Link};
use crate::matcher::to_text;
use crate::sasl::Mechanism;

impl Sim {
    pub(super) fn connect(&mut self, who: usize) {
        let key = Key::Password(self.people[who].account_number);
        let passwords = self.ledger.cells[&key].values();
        let password = passwords[self.rng.below(passwords.len())].clone();
        self.connect_with(who, password);
    }

    pub(super) fn connect_with(&mut self, who: usize, password: String) {
        let Some(link) = self.world.open() else { return };
        if who == OBSERVER {
            self.world.pace.prompt = Some(link);
        }
        self.end(who);
        self.trace(who, "--", &format!("logs in with {password}"));
        let person = &mut self.people[who];
        let key = Key::Password(person.account_number);
        let is_sure = self.ledger.cells[&key].known() == Some(password.as_str());
        let client = Client::login(Identity {
            user: person.user(),
            domain: "localhost".to_owned(),
            resource: Some(person.resource.clone()),
            password,
            mechanism: [Mechanism::Plain, Mechanism::ScramSha1][self.rng.below(2)],
            with_tls: self.rng.one_in(4),
        });
        person.begin(client, link, is_sure);
        self.flush(who);
    }

    /// Somebody's connection is over.
    pub(super) fn end(&mut self, who: usize) {
        let person = &mut self.people[who];
        person.end();
        if person.is_observer() {
            for room in ROOMS {
                self.oracle.leave_off(&mut self.ledger, room);
            }
        }
    }

    pub(super) fn trace(&self, who: usize, direction: &str, text: &str) {
        if self.is_traced {
            println!("{direction} {} {text}", self.people[who].resource);
        }
    }

    pub(super) fn send(&mut self, who: usize, text: &str) {
        self.trace(who, ">>", text);
        if let Some(link) = self.people[who].link {
            self.world.write(link, text.as_bytes());
        }
    }

    pub(super) fn flush(&mut self, who: usize) {
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
                continue;
            };
            match event {
                Event::Bytes(link, bytes) => self.receive(who, link, &bytes)?,
                Event::End(link) => {
                    self.world.end(link);
                    let is_open = self.people[who].is_ready();
                    if is_open && self.world.pace.slow.contains(&link) {
                        self.oracle.count("clients cut that do not read");
                    }
                    self.end(who);
                }
            }
        }
        Ok(())
    }

    pub(super) fn receive(&mut self, who: usize, link: Link, bytes: &[u8]) -> Result<(), String> {
        let Some(client) = &mut self.people[who].client else { return Ok(()) };
        client.feed(bytes);
        if client.wants_tls {
            self.world.start_tls(link)?;
            client.tls_is_up();
        }
        let trouble = client.trouble.take();
        let has_failed = client.failure.take().is_some();
        let items: Vec<Item> = client.inbox.drain(..).collect();
        if trouble.is_some() || has_failed {
            client.close();
            self.check_login(who, trouble.as_deref())?;
        }
        for item in items {
            if let Item::Element(element) = item {
                self.trace(who, "<<", &to_text(&element));
                self.oracle.observe(&mut self.people[who], &mut self.ledger, &element)?;
                match element.attr("id").filter(|id| id.starts_with("audit-")) {
                    Some(id) => drop(self.answers.insert(id.to_owned(), element)),
                    None => self.answer(who, &element),
                }
            }
        }
        self.flush(who);
        Ok(())
    }

    pub(super) fn is_logged_in(&self, who: usize) -> bool {
        self.people[who].client.as_ref().is_some_and(Client::is_ready)
    }

    /// A login may fail when storage fails, at a shutdown, and while the password changes.
    pub(super) fn check_login(&mut self, who: usize, trouble: Option<&str>) -> Result<(), String> {
        let person = &self.people[who];
        let cell = &self.ledger.cells[&Key::Password(person.account_number)];
        let is_excused = match trouble {
            Some(trouble) => {
                let is_login = trouble.contains("during the login");
                let changed = trouble.contains("not-authorized");
                // This client takes what comes right after `<success/>` for the old stream.
                let is_early = self.oracle.is_ending && !self.is_logged_in(who);
                is_early || is_login && (self.is_faulty || self.oracle.is_ending || changed)
            }
            // Who begins to log in before the change is answered may have come too early.
            None => !person.is_sure || cell.known() != Some(person.password.as_str()),
        };
        if is_excused {
            return Ok(());
        }
        let why = trouble.unwrap_or("the login failed");
        Err(format!("{}: {why} ({cell:?})", person.jid()))
    }
}
