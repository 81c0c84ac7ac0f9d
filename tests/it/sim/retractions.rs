//! What somebody takes back that it has said itself (XEP-0424): all hear of it, the archive keeps a
//! tombstone, newcomers do not see it. What another has said is not taken back by this.

use tercet::xmpp::ns;

use super::{ROOMS, Sim};

/// Refusals of those who say too much.
pub const TOO_MUCH: [&str; 2] = ["policy-violation", "policy-violation wait"];

impl Sim {
    /// Somebody takes back what was said, mostly by itself.
    pub(super) fn take_back(&mut self, who: usize, room: usize) -> Result<(), String> {
        let jid = ROOMS[room];
        let Some(stay) = self.people[who].stays.get(jid) else { return Ok(()) };
        if !matches!(stay.role.as_str(), "participant" | "moderator") {
            return Ok(());
        }
        let account = self.people[who].account();
        let (back, is_any) = (self.rng.below(4), self.rng.one_in(3));
        let identities = &self.oracle.identities;
        let is_apt = |text: &&str| {
            let is_own = identities.account_of(text) == Some(&account);
            text.starts_with('m') && identities.stanza_id(text).is_some() && (is_any || is_own)
        };
        let log = self.oracle.logs.entry(jid.to_owned()).or_default();
        let Some(text) = log.texts().filter(is_apt).nth(back).map(str::to_owned) else {
            return Ok(());
        };
        let is_kept = log.is_due(&text);
        let is_own = identities.account_of(&text) == Some(&account);
        let stanza_id = identities.stanza_id(&text).unwrap_or_default().to_owned();
        let mut due = match (is_own, is_kept) {
            (true, _) => vec!["result"],
            (false, true) => vec!["forbidden"],
            (false, false) => vec!["forbidden", "result"],
        };
        if self.is_slowed(room) {
            due.extend(TOO_MUCH);
        }
        let number = self.next_number();
        self.oracle.spoken(&format!("m{number}"), jid, account);
        self.people.iter_mut().for_each(|person| person.retracted.clear());
        let retract = format!("<retract xmlns='{}' id='{stanza_id}'/>", ns::RETRACT);
        let make = |id: &str| {
            let body = format!("<body>m{number}</body>");
            format!("<message type='groupchat' id='{id}' to='{jid}'>{retract}{body}</message>")
        };
        let tried = self.attempt_expecting(who, make, &due)?;
        let log = self.oracle.logs.entry(jid.to_owned()).or_default();
        match tried {
            Some((outcome, _)) if outcome == "result" => {}
            Some(_) => {
                self.oracle.count(if is_own { "not taken back" } else { "retractions refused" });
                return Ok(());
            }
            None => {
                log.doubt(&text);
                self.oracle.orders.entry(jid.to_owned()).or_default().retract(&text);
                return Ok(());
            }
        }
        for person in self.people.iter().filter(|person| person.stays.contains_key(jid)) {
            let is_slow = person.link.is_some_and(|link| self.world.pace.slow.contains(&link));
            if !is_slow && person.is_ready() && !person.retracted.contains(&stanza_id) {
                return Err(format!("{}: not told of a retraction", person.jid()));
            }
        }
        if !is_own {
            return Ok(()); // The room did not know it any more; clients judge by themselves.
        }
        self.oracle.orders.entry(jid.to_owned()).or_default().retract(&text);
        if is_kept {
            log.retract(&text, number);
            log.bury(&stanza_id);
            self.oracle.count("messages taken back by who said them");
        }
        Ok(())
    }
}
