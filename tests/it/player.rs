//! Plays a script against a driver: does what each step says, and checks what came. Order is that
//! of the script; a stanza that comes meanwhile waits in its client's inbox.

use std::fmt::Write as _;

use tercet::ids::Door;
use tercet::xml::Element;
use tercet::xml::writer::escape_attr;
use tercet::xmpp::ns;

use crate::client::{Client, Identity, Item};
use crate::driver::{Driver, Event, Link};
use crate::matcher::{self, Captures, matches, to_text};
use crate::sasl::Mechanism;
use crate::scenario::{Act, Role, Scenario, Step};
use crate::template::{interpolate, raw_bytes};

/// How everybody logs in, where the script does not say.
#[derive(Clone, Copy)]
pub struct Manner {
    pub mechanism: Mechanism,
    pub with_tls: bool,
}

/// Somebody in the script.
struct Actor {
    role: Role,
    client: Option<Client>,
    link: Option<Link>,
    /// All bytes of the server, over all connections.
    transcript: Vec<u8>,
    /// Bytes of an unfinished stanza may have been sent: no fence can go here.
    is_amid_raw: bool,
}

pub struct Player<'a, D> {
    pub driver: D,
    scenario: &'a Scenario,
    manner: Manner,
    actors: Vec<Actor>,
    captures: Captures,
    fences: usize,
    exit_code: Option<i32>,
}

impl<'a, D: Driver> Player<'a, D> {
    pub fn new(scenario: &'a Scenario, manner: Manner, driver: D) -> Self {
        let actors = scenario.roles.iter().map(|role| Actor {
            role: role.clone(),
            client: None,
            link: None,
            transcript: Vec::new(),
            is_amid_raw: false,
        });
        let actors = actors.collect();
        let captures = Captures::new();
        Self { driver, scenario, manner, actors, captures, fences: 0, exit_code: None }
    }

    /// Plays it all. `Err` names the line, what was expected, and what was seen.
    pub fn play(&mut self) -> Result<(), String> {
        for (line, text, step) in &self.scenario.steps {
            self.driver.begin_wait();
            self.step(step).map_err(|why| {
                let path = self.scenario.path.display();
                format!("{path}:{line}: {text}\n{why}")
            })?;
        }
        Ok(())
    }

    /// What each client was sent, in the order of the script's roles.
    pub fn transcripts(&self) -> Vec<(String, String)> {
        let text = |actor: &Actor| String::from_utf8_lossy(&actor.transcript).into_owned();
        self.actors.iter().map(|actor| (actor.role.name.clone(), text(actor))).collect()
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Act(who, act) => self.act(*who, act),
            Step::TimePasses(ms) => {
                self.driver.pass_time(*ms);
                Ok(())
            }
            Step::ShutsDown => {
                self.driver.shut_down();
                Ok(())
            }
            Step::Exits(code) => match self.wait_for_exit()? {
                got if got == *code => Ok(()),
                got => Err(format!("it exits with {got}")),
            },
            Step::Restarts => {
                if self.exit_code.is_none() {
                    self.driver.shut_down();
                    self.wait_for_exit()?;
                }
                self.exit_code = None;
                self.driver.restart()
            }
        }
    }

    fn act(&mut self, who: usize, act: &Act) -> Result<(), String> {
        match act {
            Act::LogsIn => self.log_in_unbound(who),
            Act::Connects => self.connect(who, None),
            Act::ConnectsWith(inline) => {
                let inline = self.interpolate(inline)?;
                self.connect(who, Some(inline))
            }
            Act::CannotConnect(condition) => {
                let Err(why) = self.connect(who, None) else { return Err("it can".to_owned()) };
                let failure = self.client(who)?.failure.take().ok_or(why)?;
                match failure.elements().any(|child| child.name == *condition) {
                    true => Ok(()),
                    false => Err(to_text(&failure)),
                }
            }
            Act::Opens => {
                self.actors[who].client = Some(Client::raw(self.identity(who)));
                self.open_link(who)
            }
            Act::OpensSecureStream => self.open_secure_stream(who),
            Act::Sends(text) => {
                let text = self.interpolate(text)?;
                self.write(who, text.as_bytes())
            }
            Act::SendsRaw(text) => {
                let bytes = raw_bytes(&self.interpolate(text)?)?;
                self.actors[who].is_amid_raw = bytes.last() != Some(&b'>');
                self.write(who, &bytes)
            }
            Act::StartsTls => {
                let link = self.link(who)?;
                self.driver.start_tls(link)?;
                self.client(who)?.tls_is_up();
                Ok(())
            }
            Act::Receives(text) => self.receive(who, text, false),
            Act::ReceivesNext(text) => self.receive(who, text, true),
            Act::ReceivesNothing => self.receive_nothing(who),
            Act::CatchesUp => {
                self.fence_all(who)?;
                self.client(who)?.inbox.clear();
                Ok(())
            }
            Act::DoesNotReceive(text) => self.receive_not(who, text),
            Act::StreamEnds(condition) => self.stream_end(who, condition.as_deref()),
            Act::IsDisconnected => {
                let passed = self.transport_end(who)?;
                self.client(who)?.inbox.extend(passed);
                Ok(())
            }
            Act::Disconnects => {
                self.client(who)?.close();
                self.flush(who)?;
                let passed = self.transport_end(who)?;
                match passed.iter().any(|item| matches!(item, Item::Close)) {
                    true => Ok(()),
                    false => Err("the server has not ended its stream".to_owned()),
                }
            }
            Act::Drops => self.drop_connection(who),
        }
    }

    fn drop_connection(&mut self, who: usize) -> Result<(), String> {
        let link = self.link(who)?;
        self.driver.cut(link);
        self.client(who)?.end();
        Ok(())
    }

    /// Logs in on a new connection, and leaves it to the script to bind a resource or to resume.
    fn log_in_unbound(&mut self, who: usize) -> Result<(), String> {
        let full_jid = self.actors[who].client.as_ref().and_then(|client| client.full_jid.clone());
        self.log_in(who, Client::unbound(self.identity(who), full_jid), Client::is_logged_in)
    }

    fn open_link(&mut self, who: usize) -> Result<(), String> {
        let door = match self.actors[who].role.is_component {
            true => Door::Components,
            false => Door::Clients,
        };
        self.actors[who].link = Some(self.driver.open(door)?);
        Ok(())
    }

    fn open_secure_stream(&mut self, who: usize) -> Result<(), String> {
        let client = Client::raw_over_tls(self.identity(who));
        self.log_in(who, client, Client::is_raw)
    }

    fn connect(&mut self, who: usize, inline: Option<String>) -> Result<(), String> {
        let mut identity = self.identity(who);
        identity.with_tls |= inline.is_some();
        let client = match inline {
            None if self.actors[who].role.is_component => Client::component(identity),
            Some(inline) => Client::login_with(identity, inline),
            None if self.actors[who].role.is_sasl2 => Client::login_at_once(identity),
            None => Client::login(identity),
        };
        self.log_in(who, client, Client::is_ready)
    }

    /// Lets a client negotiate by itself.
    fn log_in(
        &mut self,
        who: usize,
        client: Client,
        is_done: fn(&Client) -> bool,
    ) -> Result<(), String> {
        self.actors[who].client = Some(client);
        self.actors[who].is_amid_raw = false;
        self.open_link(who)?;
        self.flush(who)?;
        loop {
            let client = self.client(who)?;
            if is_done(client) {
                return Ok(());
            }
            if let Some(trouble) = &client.trouble {
                return Err(trouble.clone());
            }
            if let Some(failure) = &client.failure {
                return Err(to_text(failure));
            }
            if !client.is_open() {
                return Err(format!("the stream ended: {}", self.describe(who)));
            }
            if !self.wait()? {
                return Err("the login does not come to an end".to_owned());
            }
        }
    }

    fn receive(&mut self, who: usize, text: &str, is_next: bool) -> Result<(), String> {
        let text = self.interpolate(text)?;
        let expected = one(&text)?;
        let mut passed = Vec::new();
        loop {
            while let Some(item) = self.client(who)?.inbox.pop_front() {
                if let Item::Element(element) = &item
                    && matches(&expected, element, &mut self.captures)
                {
                    return Ok(());
                }
                passed.push(item);
                if is_next {
                    return Err(report(&text, &passed));
                }
            }
            if !self.wait()? {
                return Err(report(&text, &passed));
            }
        }
    }

    fn receive_nothing(&mut self, who: usize) -> Result<(), String> {
        self.fence_all(who)?;
        let items: Vec<Item> = self.client(who)?.inbox.drain(..).collect();
        let is_news = |item: &Item| !matches!(item, Item::Close | Item::End);
        if items.iter().any(is_news) { Err(report("nothing", &items)) } else { Ok(()) }
    }

    fn receive_not(&mut self, who: usize, text: &str) -> Result<(), String> {
        let text = self.interpolate(text)?;
        let unwanted = one(&text)?;
        self.fence_all(who)?;
        let captures = self.captures.clone();
        for item in &self.client(who)?.inbox {
            if let Item::Element(element) = item
                && matches(&unwanted, element, &mut captures.clone())
            {
                return Err(format!("received: {}", to_text(element)));
            }
        }
        Ok(())
    }

    fn stream_end(&mut self, who: usize, condition: Option<&str>) -> Result<(), String> {
        let passed = self.transport_end(who)?;
        let is_error = |element: &&Element| element.is("error", ns::STREAMS);
        let elements = passed.iter().filter_map(|item| match item {
            Item::Element(element) => Some(element),
            _ => None,
        });
        let error = elements.clone().find(is_error);
        let is_right = match (condition, error) {
            (None, None) => true,
            (Some(name), Some(error)) => error.child(name, ns::STREAM_ERRORS).is_some(),
            _ => false,
        };
        let is_closed = passed.iter().any(|item| matches!(item, Item::Close));
        let want = condition.unwrap_or("no error");
        if is_right && is_closed { Ok(()) } else { Err(report(want, &passed)) }
    }

    /// Waits until the server has ended the connection; returns what came before that.
    fn transport_end(&mut self, who: usize) -> Result<Vec<Item>, String> {
        let mut passed = Vec::new();
        loop {
            while let Some(item) = self.client(who)?.inbox.pop_front() {
                if matches!(item, Item::End) {
                    return Ok(passed);
                }
                passed.push(item);
            }
            if !self.wait()? {
                return Err(report("the end of the connection", &passed));
            }
        }
    }

    /// A ping and its reply on every session, `who` last: what was sent so far has been handled,
    /// and what it caused has arrived.
    fn fence_all(&mut self, who: usize) -> Result<(), String> {
        let others = (0..self.actors.len()).filter(|&other| other != who);
        for actor in others.chain([who]).collect::<Vec<_>>() {
            self.fence(actor)?;
        }
        Ok(())
    }

    fn fence(&mut self, who: usize) -> Result<(), String> {
        let actor = &self.actors[who];
        let Some(client) = &actor.client else { return Ok(()) };
        if !client.is_ready() || !client.is_open() || actor.is_amid_raw {
            return Ok(());
        }
        self.fences += 1;
        let id = format!("fence-{}", self.fences);
        let domain = &client.identity.domain;
        let addresses = match actor.role.is_component {
            true => format!("from='{domain}' to='localhost'"),
            false => format!("to='{domain}'"),
        };
        let ping =
            format!("<iq type='get' id='{id}' {addresses}><ping xmlns='urn:xmpp:ping'/></iq>");
        self.write(who, ping.as_bytes())?;
        loop {
            let client = self.client(who)?;
            let is_reply =
                |item: &Item| matches!(item, Item::Element(e) if e.attr("id") == Some(&id));
            if let Some(index) = client.inbox.iter().position(is_reply) {
                client.inbox.remove(index);
                return Ok(());
            }
            if !client.is_open() {
                return Ok(());
            }
            if !self.wait()? {
                return Err("no reply to a ping of the fence".to_owned());
            }
        }
    }

    fn wait_for_exit(&mut self) -> Result<i32, String> {
        while self.wait()? {}
        let code = self.driver.exit_code()?;
        self.exit_code = Some(code);
        Ok(code)
    }

    /// Takes one event; false when there are none left to wait for.
    fn wait(&mut self) -> Result<bool, String> {
        let Some(event) = self.driver.wait()? else { return Ok(false) };
        let (Event::Bytes(link, _) | Event::End(link)) = &event;
        let Some(who) = self.actors.iter().position(|actor| actor.link == Some(*link)) else {
            return Ok(true);
        };
        let actor = &mut self.actors[who];
        let Some(client) = &mut actor.client else { return Ok(true) };
        match event {
            Event::Bytes(link, bytes) => {
                actor.transcript.extend_from_slice(&bytes);
                client.feed(&bytes);
                if client.wants_tls {
                    self.driver.start_tls(link)?;
                    client.tls_is_up();
                }
                if let Some(trouble) = &client.trouble {
                    return Err(trouble.clone());
                }
                self.flush(who)?;
            }
            Event::End(link) => {
                client.end();
                self.driver.close(link);
            }
        }
        Ok(true)
    }

    fn write(&mut self, who: usize, bytes: &[u8]) -> Result<(), String> {
        let link = self.link(who)?;
        self.driver.write(link, bytes);
        Ok(())
    }

    fn flush(&mut self, who: usize) -> Result<(), String> {
        let bytes = std::mem::take(&mut self.client(who)?.out);
        if bytes.is_empty() { Ok(()) } else { self.write(who, &bytes) }
    }

    fn client(&mut self, who: usize) -> Result<&mut Client, String> {
        self.actors[who].client.as_mut().ok_or_else(|| "not connected".to_owned())
    }

    fn link(&self, who: usize) -> Result<Link, String> {
        self.actors[who].link.ok_or_else(|| "not connected".to_owned())
    }

    fn identity(&self, who: usize) -> Identity {
        let role = &self.actors[who].role;
        let (bare, resource) = match role.jid.split_once('/') {
            Some((bare, resource)) => (bare, Some(resource.to_owned())),
            None => (role.jid.as_str(), None),
        };
        let (user, domain) = bare.split_once('@').unwrap_or(("", bare));
        Identity {
            user: user.to_owned(),
            domain: domain.to_owned(),
            resource,
            password: role.password.clone(),
            mechanism: role.mechanism.unwrap_or(self.manner.mechanism),
            with_tls: self.manner.with_tls || role.is_sasl2,
        }
    }

    fn interpolate(&self, text: &str) -> Result<String, String> {
        interpolate(text, |name| self.look_up(name).map(|value| escape(&value)))
    }

    /// What stands behind `${name}`.
    fn look_up(&self, name: &str) -> Option<String> {
        if let Some((who, what)) = name.split_once("'s ") {
            let actor = self.actors.iter().find(|actor| actor.role.name == who)?;
            let client = actor.client.as_ref()?;
            return match what {
                "full JID" => client.full_jid.clone(),
                "JID" => Some(client.identity.bare_jid()),
                _ => None,
            };
        }
        self.captures.get(name).cloned()
    }

    fn describe(&self, who: usize) -> String {
        let client = self.actors[who].client.as_ref();
        let items: Vec<Item> = client.iter().flat_map(|c| c.inbox.iter().cloned()).collect();
        report("a login", &items)
    }
}

fn escape(text: &str) -> String {
    let mut bytes = Vec::new();
    escape_attr(&mut bytes, text);
    String::from_utf8_lossy(&bytes).into_owned()
}

fn one(text: &str) -> Result<Element, String> {
    let mut elements = matcher::parse(text)?;
    match (elements.pop(), elements.is_empty()) {
        (Some(element), true) => Ok(element),
        _ => Err("exactly one stanza is to be expected".to_owned()),
    }
}

fn report(expected: &str, seen: &[Item]) -> String {
    let mut text = format!("  expected: {}\n", expected.replace('\n', "\n            "));
    if seen.is_empty() {
        text.push_str("  seen: nothing\n");
    }
    for item in seen {
        let line = match item {
            Item::Element(element) => to_text(element),
            Item::Close => "</stream:stream>".to_owned(),
            Item::End => "the end of the connection".to_owned(),
        };
        writeln!(text, "  seen: {line}").expect("a String takes everything");
    }
    text
}
