//! Rooms that are destroyed for good (XEP-0045 §10.9): whoever comes is told that the room is gone,
//! and where people meet now unless it was a closed one; those who owned it may have the name
//! again; and a restart changes nothing of it.

use tercet::xml::Element;
use tercet::xmpp::ns;

use super::deeds::{FORM_TYPE, PERSISTENT, SECRET};
use super::{OBSERVER, Sim};
use crate::matcher::to_text;

/// Whom the dead point to.
const VENUE: &str = "coven@conference.localhost";

/// The outcome of an attempt, and what was answered.
pub type Tried = Option<(String, Option<Element>)>;

pub fn is_done(tried: &Tried) -> bool {
    matches!(tried, Some((outcome, _)) if outcome == "result")
}

pub fn joining<'a>(jid: &'a str, nick: &'a str) -> impl Fn(&str) -> String + 'a {
    move |id| {
        let x = format!("<x xmlns='{}'><password>pw</password></x>", ns::MUC);
        format!("<presence id='{id}' to='{jid}/{nick}'>{x}</presence>")
    }
}

pub fn asking<'a>(kind: &'a str, jid: &'a str, payload: &'a str) -> impl Fn(&str) -> String + 'a {
    move |id| format!("<iq type='{kind}' id='{id}' to='{jid}'>{payload}</iq>")
}

fn configuration(is_stored: bool, secret: &str) -> String {
    let field =
        |var: &str, value: &str| format!("<field var='{var}'><value>{value}</value></field>");
    let fields = field(PERSISTENT, if is_stored { "1" } else { "0" }) + &field(SECRET, secret);
    let (owner, data) = (ns::MUC_OWNER, ns::DATA);
    format!(
        "<query xmlns='{owner}'><x xmlns='{data}' type='submit'>{FORM_TYPE}{fields}</x></query>"
    )
}

impl Sim {
    /// The observer makes a room and destroys it; `who` comes too late.
    pub(super) fn bury_a_room(&mut self, who: usize) -> Result<(), String> {
        if who == OBSERVER || !self.people[OBSERVER].is_ready() {
            return Ok(());
        }
        let jid = format!("grave{}@conference.localhost", self.next_number());
        let secret = if self.rng.one_in(3) { "pw" } else { "" };
        let destroy = format!(
            "<query xmlns='{}'><destroy jid='{VENUE}'><reason>too late</reason></destroy></query>",
            ns::MUC_OWNER
        );
        let form = configuration(true, secret);
        let tried = self.attempt_expecting(OBSERVER, joining(&jid, "Owner"), &["result"])?;
        if !is_done(&tried) {
            return Ok(());
        }
        for payload in [&form, &destroy] {
            let make = asking("set", &jid, payload);
            if !is_done(&self.attempt_expecting(OBSERVER, make, &["result"])?) {
                return Ok(());
            }
        }
        self.mourn(who, &jid, secret.is_empty())?;
        if self.rng.one_in(2) {
            self.graves.push(jid);
            return Ok(());
        }
        // Its owner has the name again, and gives it up; a temporary room leaves nothing.
        let tried = self.attempt_expecting(OBSERVER, joining(&jid, "Owner"), &["result"])?;
        if !is_done(&tried) {
            return Ok(());
        }
        let form = configuration(false, "");
        let tried = self.attempt_expecting(OBSERVER, asking("set", &jid, &form), &["result"])?;
        self.send(OBSERVER, &format!("<presence type='unavailable' to='{jid}/Owner'/>"));
        self.settle()?;
        if !is_done(&tried) || !self.people[OBSERVER].is_ready() {
            return Ok(());
        }
        self.attempt_expecting(who, joining(&jid, "Other"), &["result"])?;
        self.send(who, &format!("<presence type='unavailable' to='{jid}/Other'/>"));
        self.oracle.count("names that came back");
        self.settle()
    }

    /// Somebody looks for a room that is gone. `is_open`: everybody may know where to go instead.
    fn mourn(&mut self, who: usize, jid: &str, is_open: bool) -> Result<(), String> {
        let query = format!("<query xmlns='{}'/>", ns::DISCO_INFO);
        for is_join in [true, false] {
            let tried = match is_join {
                true => self.attempt_expecting(who, joining(jid, "Other"), &["gone"])?,
                false => self.attempt_expecting(who, asking("get", jid, &query), &["gone"])?,
            };
            let Some((outcome, Some(answer))) = tried else { return Ok(()) };
            let text = to_text(&answer);
            let is_told = text.contains(&format!("xmpp:{VENUE}?join")) && text.contains("too late");
            let is_hinted = text.contains("coven") || text.contains("too late");
            if outcome == "gone" && (is_told != is_open || is_hinted != is_open) {
                return Err(format!("{jid}: open: {is_open}, but said is {text}"));
            }
        }
        self.oracle.count("rooms mourned");
        Ok(())
    }

    /// After a restart the dead are dead.
    pub(super) fn check_graves(&mut self) -> Result<(), String> {
        let Some(who) = (1..self.people.len()).find(|who| self.people[*who].is_ready()) else {
            return Ok(());
        };
        for jid in self.graves.clone() {
            let query = format!("<query xmlns='{}'/>", ns::DISCO_INFO);
            self.attempt_expecting(who, asking("get", &jid, &query), &["gone"])?;
            self.oracle.count("graves found again");
        }
        Ok(())
    }
}
