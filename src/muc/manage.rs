//! What operators ask for from the command line (`tercet room …`): a list of rooms, what there is
//! to know of one, its end, and that the name of a destroyed one be free. A running server does it
//! with its live rooms; without one the same is done on the database, by a service nobody is in.
//!
//! Answers are lines for people and for `grep`: what users have chosen (names, reasons) comes last,
//! and cannot move the cursor of a terminal.

use std::collections::BTreeMap;

use super::Muc;
use super::graves;
use super::room::{self, Room};
use crate::cx::Cx;
use crate::storage::{Grave, StorageError};
use crate::xml::Element;
use crate::xmpp::datetime::format_utc;
use crate::xmpp::{Affiliation, BareJid, ns};

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// All rooms, live and stored, hidden ones too.
    List,
    /// What there is to know of one.
    Info(BareJid),
    /// Its end, with a reason.
    Destroy(BareJid, Option<String>),
    /// A destroyed room is no longer remembered.
    Forget(BareJid),
}

impl Order {
    /// Reads `list`, `info ROOM`, `destroy ROOM` with the reason on the next lines, `forget ROOM`.
    pub fn parse(request: &str) -> Result<Self, String> {
        let (command, reason) = request.split_once('\n').unwrap_or((request, ""));
        let mut words = command.split_ascii_whitespace();
        let order = match (words.next(), words.next(), words.next()) {
            (Some("list"), None, _) => Self::List,
            (Some("info"), Some(room), None) => Self::Info(address(room)?),
            (Some("destroy"), Some(room), None) => {
                let reason = Some(reason.trim()).filter(|reason| !reason.is_empty());
                // Stanzas cannot carry them.
                let is_bad = |c: char| {
                    c.is_control() && !"\n\t".contains(c) || ('\u{fffe}'..='\u{ffff}').contains(&c)
                };
                if reason.is_some_and(|reason| reason.contains(is_bad)) {
                    return Err("the reason has a control character".to_owned());
                }
                Self::Destroy(address(room)?, reason.map(str::to_owned))
            }
            (Some("forget"), Some(room), None) => Self::Forget(address(room)?),
            _ => return Err("unknown request".to_owned()),
        };
        Ok(order)
    }
}

fn address(text: &str) -> Result<BareJid, String> {
    let jid = BareJid::parse(text).ok().filter(|jid| jid.local().is_some());
    jid.ok_or_else(|| format!("{text:?} is not an address of a room, such as tea@chat.example"))
}

impl Muc {
    /// Does it; the text is the answer, or says for a person why not.
    pub fn carry_out(&mut self, cx: &mut Cx, order: Order) -> Result<String, String> {
        let in_words = |error: StorageError| error.to_string();
        match order {
            Order::List => self.report_all(cx).map_err(in_words),
            Order::Info(jid) => {
                let report = self.report(cx, &jid).map_err(in_words)?;
                report.ok_or_else(|| format!("there is no room {jid}"))
            }
            Order::Destroy(jid, reason) => {
                let max = cx.config.limits.room_text_bytes;
                if max > 0 && reason.as_ref().is_some_and(|reason| reason.len() > max) {
                    return Err("the reason is too long".to_owned());
                }
                if self.destroy(cx, &jid, reason).map_err(in_words)? {
                    return Ok(format!("destroyed {jid}"));
                }
                Err(match graves::grave_of(cx, &jid).map_err(in_words)? {
                    Some(_) => format!("{jid} was destroyed before"),
                    None => format!("there is no room {jid}"),
                })
            }
            Order::Forget(jid) => {
                if cx.storage.grave_remove(&jid).map_err(in_words)? {
                    return Ok(format!("forgot {jid}: anybody may make it again"));
                }
                Err(format!("no destroyed room {jid} is remembered"))
            }
        }
    }

    /// A line for each room: address, occupants, what it is, and its name.
    fn report_all(&mut self, cx: &mut Cx) -> Result<String, StorageError> {
        let mut lines = BTreeMap::new();
        for (jid, name, is_public) in cx.storage.rooms()? {
            let line = line(&jid, 0, true, is_public, room::title(&name, &jid));
            lines.insert(jid, line);
        }
        for (_, room) in &self.rooms {
            let (occupants, is_public) = (room.occupants_count(), room.options.public);
            let line = line(&room.jid, occupants, room.is_stored, is_public, room.title());
            lines.insert(room.jid.clone(), line);
        }
        Ok(lines.into_values().collect())
    }

    /// What there is to know of a room, or of one that was destroyed.
    fn report(&mut self, cx: &mut Cx, jid: &BareJid) -> Result<Option<String>, StorageError> {
        if let Some(index) = self.by_jid.get(jid.as_str()) {
            return Ok(Some(describe(&self.rooms[*index])));
        }
        if let Some(stored) = cx.storage.room(jid)? {
            return Ok(Some(describe(&Room::load(cx, stored)?)));
        }
        Ok(graves::grave_of(cx, jid)?.map(|grave| describe_grave(&grave)))
    }

    /// Destroys a room (§10.9); false when there is none.
    fn destroy(
        &mut self,
        cx: &mut Cx,
        jid: &BareJid,
        reason: Option<String>,
    ) -> Result<bool, StorageError> {
        let reason = reason.map(|text| Element::new("reason", ns::MUC_USER).with_text(text));
        let destroy = Element::new("destroy", ns::MUC_USER).with_child_opt(reason);
        if let Some(index) = self.by_jid.get(jid.as_str()).copied() {
            self.rooms[index].end(cx, None, &destroy)?;
            self.settle(cx, index);
            return Ok(true);
        }
        let Some(stored) = cx.storage.room(jid)? else { return Ok(false) };
        Room::load(cx, stored)?.end(cx, None, &destroy)?;
        Ok(true)
    }
}

fn line(jid: &BareJid, occupants: usize, is_stored: bool, is_public: bool, name: &str) -> String {
    let kept = if is_stored { "persistent" } else { "temporary" };
    let listed = if is_public { "public" } else { "hidden" };
    format!("{jid}\t{occupants}\t{kept}\t{listed}\t{}\n", plain(name))
}

fn describe(room: &Room) -> String {
    let mut text = format!("room: {}\n", room.jid);
    let mut say = |what: &str, value: &str| {
        if !value.is_empty() {
            text.push_str(&format!("{what}: {}\n", plain(value)));
        }
    };
    let kinds = room.features().filter_map(|feature| feature.strip_prefix("muc_"));
    say("kind", &kinds.collect::<Vec<_>>().join(" "));
    say("locked", if room.lock.is_some() { "until it is configured" } else { "" });
    let mut owners = room.accounts_with(Affiliation::Owner).peekable();
    if owners.peek().is_none() {
        say("owner", "none; server admins manage it");
    }
    owners.for_each(|owner| say("owner", owner.as_str()));
    room.accounts_with(Affiliation::Admin).for_each(|admin| say("admin", admin.as_str()));
    for (what, affiliation) in
        [("members", Affiliation::Member), ("outcasts", Affiliation::Outcast)]
    {
        say(what, &room.accounts_with(affiliation).count().to_string());
    }
    say("occupants", &room.occupants_count().to_string());
    for occupant in room.occupants() {
        for seat in &occupant.seats {
            say("occupant", &format!("{} {} {}", seat.jid, occupant.role, occupant.nick));
        }
    }
    say("name", room.title());
    say("description", &room.options.description);
    say("subject", &room.subject.as_ref().map(|subject| subject.text()).unwrap_or_default());
    text
}

fn describe_grave(grave: &Grave) -> String {
    let Grave { room, until_unix_ms, venue, reason, owners } = grave;
    let mut text = format!("room: {room}\ndestroyed: remembered until ");
    text.push_str(&format!("{}\n", format_utc(*until_unix_ms)));
    owners.iter().for_each(|owner| text.push_str(&format!("owner: {owner}\n")));
    venue.iter().for_each(|venue| text.push_str(&format!("venue: {venue}\n")));
    reason.iter().for_each(|reason| text.push_str(&format!("reason: {}\n", plain(reason))));
    text
}

/// One line, and no sequences that a terminal would obey.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders() {
        let jid = || BareJid::parse("tea@rooms").expect("an address");
        let because = |text: &str| Order::Destroy(jid(), Some(text.to_owned()));
        for (request, want) in [
            ("list", Some(Order::List)),
            ("info Tea@rooms", Some(Order::Info(jid()))),
            ("destroy tea@rooms", Some(Order::Destroy(jid(), None))),
            ("destroy tea@rooms\n ", Some(Order::Destroy(jid(), None))),
            ("destroy tea@rooms\nCold\nby now\n", Some(because("Cold\nby now"))),
            ("destroy tea@rooms\n\u{1b}[2J", None),
            ("forget tea@rooms", Some(Order::Forget(jid()))),
            ("forget rooms", None),
            ("info tea@rooms/nick", None),
            ("info", None),
            ("list all", None),
            ("burn tea@rooms", None),
            ("", None),
        ] {
            assert_eq!(Order::parse(request).ok(), want, "{request:?}");
        }
    }

    #[test]
    fn names_cannot_write_to_the_terminal() {
        let jid = BareJid::parse("tea@rooms").expect("an address");
        let line = line(&jid, 3, true, false, "Tea\n\u{1b}[2J\u{85}time");
        assert_eq!(line, "tea@rooms\t3\tpersistent\thidden\tTea  [2J time\n");
    }
}
