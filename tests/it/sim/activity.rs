//! How busy a room is, for those who are not in it (XEP-0502): the mean of the full hours in which
//! it was watched, a day of them at most; and nothing at all about rooms that not everybody may
//! find and enter (§9), or before there is something to tell (§3.1).

use tercet::xml::Element;
use tercet::xmpp::ns;

use super::AN_HOUR_MS;
use super::aside::options;
use super::deeds::{MEMBERS_ONLY, PERSISTENT, SECRET};
use super::novelties::PUBLIC;
use super::{OBSERVER, Sim};

const FIELD: &str = "{urn:xmpp:muc-activity}message-activity";
/// Options under which nothing is told, and the value that takes each back.
const SECRETIVE: [(&str, &str, &str); 4] =
    [(PUBLIC, "0", "1"), (MEMBERS_ONLY, "1", "0"), (SECRET, "pw", ""), (PERSISTENT, "0", "1")];

/// The value that an answer to disco#info has.
fn activity_of(answer: &Element) -> Option<String> {
    let form = answer.child("query", ns::DISCO_INFO)?.child("x", ns::DATA)?;
    let field = form.elements().find(|field| field.attr("var") == Some(FIELD))?;
    Some(field.child("value", ns::DATA).map(Element::text).unwrap_or_default())
}

/// What is told after these full hours.
fn mean_of(hours: &[usize]) -> Option<String> {
    let said: usize = hours.iter().sum();
    (!hours.is_empty()).then(|| format!("{:.2}", said as f64 / hours.len() as f64))
}

impl Sim {
    /// Somebody looks at a room from outside, hour by hour.
    pub(super) fn watch_activity(&mut self) -> Result<(), String> {
        let [who] = self.choose(1)[..] else { return Ok(()) };
        let jid = format!("busy{}@conference.localhost", self.next_number());
        let watched = self.watch(who, &jid);
        watched.map_err(|why| format!("{jid}: {why}"))?;
        if self.people[OBSERVER].is_ready() {
            // Not one more in the list of rooms.
            self.is_granted(OBSERVER, "set", &jid, &options(&[(PERSISTENT, "0")]))?;
        }
        self.leave_aside(&jid)
    }

    fn watch(&mut self, who: usize, jid: &str) -> Result<(), String> {
        let open = [(PERSISTENT, "1"), (PUBLIC, "1")];
        if !self.make_aside(OBSERVER, jid, &open)? {
            return Ok(());
        }
        // The hour that runs when it begins is no full one, and that which runs now is none yet.
        let mut hours: Vec<usize> = Vec::new();
        for hour in 0..2 + self.rng.below(3) {
            let said = self.rng.below(5);
            for _ in 0..said {
                let number = self.next_number();
                let body = format!("<body>a{number}</body>");
                let make = |id: &str| {
                    format!("<message type='groupchat' id='{id}' to='{jid}'>{body}</message>")
                };
                let tried = self.attempt_expecting(OBSERVER, make, &["result"])?;
                if !matches!(tried, Some((outcome, _)) if outcome == "result") {
                    return Ok(());
                }
            }
            if !self.check_activity(who, jid, mean_of(&hours))? {
                return Ok(());
            }
            if hour > 0 {
                hours.push(said);
            }
            let unix_ms = self.world.now.unix_ms.rem_euclid(AN_HOUR_MS as i64);
            self.pass_time(AN_HOUR_MS - unix_ms.unsigned_abs())?;
            self.settle()?;
            if !self.check_activity(who, jid, mean_of(&hours))? {
                return Ok(());
            }
        }
        self.oracle.count("rooms told how busy");
        let (var, hidden, open) = SECRETIVE[self.rng.below(SECRETIVE.len())];
        for (value, due) in [(hidden, None), (open, mean_of(&hours))] {
            if !self.is_granted(OBSERVER, "set", jid, &options(&[(var, value)]))?
                || !self.check_activity(who, jid, due)?
            {
                return Ok(());
            }
        }
        self.oracle.count("rooms whose pace is hidden");
        Ok(())
    }

    /// False when there was no answer.
    fn check_activity(
        &mut self,
        who: usize,
        jid: &str,
        due: Option<String>,
    ) -> Result<bool, String> {
        let query = format!("<query xmlns='{}'/>", ns::DISCO_INFO);
        for who in [who, OBSERVER] {
            let tried = self.ask_aside(who, "get", jid, &query, &["result"])?;
            let Some((_, Some(answer))) = tried.filter(|(outcome, _)| outcome == "result") else {
                return Ok(false);
            };
            if activity_of(&answer) != due {
                return Err(format!("{due:?} is due: {answer:?}"));
            }
        }
        Ok(true)
    }

    /// In one of the three rooms: nothing is told that not everybody may know.
    pub(super) fn audit_activity(&mut self, jid: &str) -> Result<(), String> {
        let query = format!("<query xmlns='{}'/>", ns::DISCO_INFO);
        let Some(answer) = self.question(OBSERVER, jid, &query)? else { return Ok(()) };
        let Some(told) = activity_of(&answer) else { return Ok(()) };
        self.oracle.count("activity of the three rooms");
        for (var, hidden, _) in SECRETIVE {
            if self.ledger.option(jid, var) == Some(hidden) {
                return Err(format!("{told} is told, but {var} is {hidden}"));
            }
        }
        Ok(())
    }
}
