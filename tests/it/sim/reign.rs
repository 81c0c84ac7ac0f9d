//! An admin of the whole server (conf/tercet.toml, `admin`): it enters any room, be it hidden,
//! locked, closed or behind a password, as an owner that nobody of the room can turn out; it finds
//! every room and destroys it, as the command line does. Nobody else can.

use tercet::xmpp::ns;

use super::aside::{admin_query, has_status, is_unavailable, item_of, options};
use super::deeds::{MEMBERS_ONLY, PERSISTENT, SECRET};
use super::novelties::PUBLIC;
use super::{ADMIN_ACCOUNT, Sim};
use crate::matcher::to_text;

/// A room, and those who have to do with it.
struct Realm {
    jid: String,
    owner: usize,
    other: usize,
    admin: usize,
    /// Nobody has configured it: all that follows is not so.
    is_locked: bool,
    is_closed: bool,
    has_secret: bool,
    is_hidden: bool,
    is_stored: bool,
}

impl Realm {
    /// What comes of it when somebody else would enter (XEP-0045 §7.2).
    fn obstacle(&self) -> &'static str {
        match self {
            Self { is_locked: true, .. } => "item-not-found", // §7.2.10
            Self { is_closed: true, .. } => "registration-required", // §7.2.6
            Self { has_secret: true, .. } => "not-authorized", // §7.2.5
            _ => "result",
        }
    }

    fn seat(&self, nick: &str) -> String {
        format!("{}/{nick}", self.jid)
    }
}

impl Sim {
    /// Somebody makes a room; the admin of the server comes and ends it.
    pub(super) fn reign(&mut self) -> Result<(), String> {
        let [owner, other] = self.choose(2)[..] else { return Ok(()) };
        let Some(admin) = self.log_in_guest(ADMIN_ACCOUNT)? else { return Ok(()) };
        let jid = format!("realm{}@conference.localhost", self.next_number());
        let mut bit = || self.rng.one_in(2);
        let is_locked = bit() && bit();
        let [is_closed, has_secret, is_hidden, is_stored] = [bit(), bit(), bit(), bit()];
        let is_stored = is_stored && !is_locked;
        let realm = Realm {
            jid: jid.clone(),
            owner,
            other,
            admin,
            is_locked,
            is_closed,
            has_secret,
            is_hidden,
            is_stored,
        };
        self.reign_over(&realm).map_err(|why| format!("{jid}: {why}"))?;
        self.leave_aside(&jid)?;
        self.cut(admin);
        self.settle()
    }

    fn reign_over(&mut self, realm: &Realm) -> Result<(), String> {
        if !self.enter_aside(realm.owner, &realm.seat("Owner"), "", &["result"])? {
            return Ok(());
        }
        let bit = |is: bool| if is { "1" } else { "0" };
        let form = options(&[
            (MEMBERS_ONLY, bit(realm.is_closed)),
            (SECRET, if realm.has_secret { "pw" } else { "" }),
            (PUBLIC, bit(!realm.is_hidden)),
            (PERSISTENT, bit(realm.is_stored)),
        ]);
        if !realm.is_locked && !self.is_granted(realm.owner, "set", &realm.jid, &form)? {
            return Ok(());
        }
        let is_in = self.enter_aside(realm.other, &realm.seat("Other"), "", &[realm.obstacle()])?;
        let is_open = realm.obstacle() == "result";
        if is_in != is_open && is_open {
            return Ok(());
        }
        self.find(realm)?;
        if self.come_by_right(realm)? {
            self.end_realm(realm)?;
        }
        Ok(())
    }

    /// The admin sees every room in the list (§6.3), and so does the command line.
    fn find(&mut self, realm: &Realm) -> Result<(), String> {
        if realm.is_locked {
            return Ok(());
        }
        for (who, is_due) in [(realm.admin, true), (realm.other, !realm.is_hidden)] {
            let Some((rooms, _)) = self.rooms_listed(who, "")? else { return Ok(()) };
            if rooms.contains(&realm.jid) != is_due {
                return Err(format!("{} sees {rooms:?}", self.people[who].jid()));
            }
        }
        let now = self.world.now;
        let answer = self.world.server.handle_control(now, "room list");
        let occupants = 1 + usize::from(realm.obstacle() == "result");
        let kept = if realm.is_stored { "persistent" } else { "temporary" };
        let listed = if realm.is_hidden { "hidden" } else { "public" };
        let line = format!("{}\t{occupants}\t{kept}\t{listed}\t", realm.jid);
        match answer.lines().any(|other| other.trim_start_matches("ok ").starts_with(&line)) {
            true => Ok(()),
            false => Err(format!("the command line has no {line:?}: {answer}")),
        }
    }

    /// The admin enters, as an owner without an entry, and stays. False when it could not.
    fn come_by_right(&mut self, realm: &Realm) -> Result<bool, String> {
        let (jid, seat) = (realm.jid.as_str(), realm.seat("Admin"));
        if !self.enter_aside(realm.admin, &seat, "", &["result"])? {
            return Ok(false);
        }
        for who in [realm.owner, realm.admin] {
            let person = &self.people[who];
            let seen = person.presences(&seat);
            let is_right = matches!(seen.as_slice(), [one]
                if (item_of(one, "affiliation"), item_of(one, "role")) == ("owner", "moderator"));
            if !is_right && person.is_ready() {
                return Err(format!("{} sees {seen:?}", person.jid()));
            }
        }
        self.oracle.count(match realm.is_locked {
            true => "locked rooms entered by right",
            false => "rooms entered by right",
        });
        if realm.is_locked {
            return Ok(true);
        }
        let account = self.people[realm.admin].account();
        for item in [
            "<item nick='Admin' role='none'/>".to_owned(),
            "<item nick='Admin' role='participant'/>".to_owned(),
            format!("<item jid='{account}' affiliation='outcast'/>"),
        ] {
            let query = admin_query(&item);
            self.ask_aside(realm.owner, "set", jid, &query, &["not-allowed"])?;
        }
        let Some(entries) = self.entries(realm.admin, jid)? else { return Ok(false) };
        let owner = self.people[realm.owner].account();
        if entries != [(owner, "owner")] {
            return Err(format!("the lists are {entries:?}"));
        }
        let form = format!("<query xmlns='{}'/>", ns::MUC_OWNER);
        self.ask_aside(realm.other, "get", jid, &form, &["forbidden"])?;
        self.is_granted(realm.admin, "get", jid, &form)
    }

    /// It is destroyed (§10.9) by the admin, or from the command line; not by others.
    fn end_realm(&mut self, realm: &Realm) -> Result<(), String> {
        let jid = realm.jid.as_str();
        let destroy = |why: &str| {
            let reason = format!("<reason>{why}</reason>");
            format!("<query xmlns='{}'><destroy>{reason}</destroy></query>", ns::MUC_OWNER)
        };
        // Of a locked room nobody else knows.
        let due: &[&str] =
            if realm.is_locked { &["item-not-found", "forbidden"] } else { &["forbidden"] };
        self.ask_aside(realm.other, "set", jid, &destroy("mine"), due)?;
        self.stop_hearing();
        let is_by_command = self.rng.one_in(2);
        let is_done = if is_by_command {
            let now = self.world.now;
            let order = format!("room destroy {jid}\nby right");
            let answer = self.world.server.handle_control(now, &order);
            self.settle()?;
            let is_done = answer == format!("ok destroyed {jid}");
            if !is_done && !self.is_faulty {
                return Err(format!("by command: {answer}"));
            }
            is_done
        } else {
            self.is_granted(realm.admin, "set", jid, &destroy("by right"))?
        };
        if !is_done {
            return Ok(());
        }
        self.oracle.count(match is_by_command {
            true => "rooms destroyed by command",
            false => "rooms destroyed by an admin of the server",
        });
        for (who, nick) in [(realm.owner, "Owner"), (realm.admin, "Admin")] {
            let person = &self.people[who];
            let told = person.presences(&realm.seat(nick));
            let is_right = matches!(told.as_slice(), [one]
                if is_unavailable(one) && has_status(one, "110")
                    && to_text(one).contains("<destroy") && to_text(one).contains("by right"));
            if person.is_ready() && (!is_right || person.aside.len() != 1) {
                return Err(format!("{} was told {:?}", person.jid(), person.aside));
            }
        }
        // A room that was kept is missed.
        let due = if realm.is_stored { "gone" } else { "item-not-found" };
        let query = format!("<query xmlns='{}'/>", ns::DISCO_INFO);
        self.ask_aside(realm.other, "get", jid, &query, &[due])?;
        Ok(())
    }
}
