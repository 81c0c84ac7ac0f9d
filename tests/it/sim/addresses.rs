//! Real addresses and who may see them (ADVISORIES a17, XEP-0045 §7.2.4, §14.5), stanza by stanza.

use tercet::xml::Element;
use tercet::xmpp::ns;

use super::ROOMS;
use super::identity::archived;
use super::ledger::{Ledger, bare};
use super::oracle::Oracle;
use super::person::{Person, account};

impl Oracle {
    /// True for what shows addresses to admins and owners, wherever they are: the archive
    /// (XEP-0313 §5.1.2), forms to be approved (XEP-0045 §9.9), lists of hats (XEP-0317 §3.7).
    pub(super) fn is_for_admin(
        &self,
        person: &mut Person,
        ledger: &mut Ledger,
        room: &str,
        element: &Element,
    ) -> bool {
        let had_right = person.asked_by_right.iter().any(|(other, _)| other == room);
        if let Some(id) = element.attr("id").filter(|_| element.name == "iq") {
            person.asked_by_right.retain(|(_, other)| other != id);
        }
        let account = person.account();
        let is_admin = matches!(ledger.room(room).affiliation(&account), "admin" | "owner");
        let is_form = element.name == "message" && element.child("x", ns::DATA).is_some();
        let is_command = element.child("command", ns::COMMANDS).is_some();
        // A moderator's other sessions ask by the account as well.
        let is_moderator = ledger.room(room).role_of(&account) == "moderator";
        let is_answer = archived(element).is_some() || is_command;
        is_answer && (is_admin || is_moderator || had_right) || is_form && is_admin
    }

    /// ADVISORIES a17.
    pub(super) fn check_addresses(
        &mut self,
        person: &mut Person,
        room: &str,
        element: &Element,
        text: &str,
    ) -> Result<(), String> {
        let mut text = self.check_invitation(person, room, element, text)?;
        if element.attr("type") == Some("error")
            && let Some(x) = element.child("x", ns::MUC_USER)
        {
            // What it has sent itself comes back.
            let own: Vec<&str> = x.elements().filter_map(|part| part.attr("to")).collect();
            own.iter().for_each(|to| text = text.replace(&format!("to='{to}'"), ""));
        }
        let role = person.stays.get(room).map_or("", |stay| &stay.role);
        if room == ROOMS[0] || role == "moderator" {
            return Ok(());
        }
        let is_foreign = |number: &usize| *number != person.account_number;
        let numbers = (0..100).filter(is_foreign);
        let Some(shown) = numbers.map(account).find(|jid| text.contains(jid.as_str())) else {
            return Ok(());
        };
        if person.is_joining(room) && role.is_empty() {
            person.suspicions.insert(room.to_owned(), text);
            return Ok(());
        }
        Err(format!("{} ({role}): shown {shown}: {text}", person.jid()))
    }

    /// XEP-0045 §7.8.2: who gets an invitation or a refusal, and whom it names. Returns the rest
    /// of the text, in which no address may stand.
    fn check_invitation(
        &mut self,
        person: &Person,
        room: &str,
        element: &Element,
        text: &str,
    ) -> Result<String, String> {
        let x = element.child("x", ns::MUC_USER).filter(|_| element.attr("type") != Some("error"));
        let part = |name| x.and_then(|x| x.child(name, ns::MUC_USER));
        let Some(part) = part("invite").or(part("decline")) else { return Ok(text.to_owned()) };
        let wrong = |why: &str| Err(format!("{}: {why}: {text}", person.jid()));
        let Some(from) = part.attr("from") else { return wrong("nobody invites") };
        self.count(if part.name == "invite" { "invitations" } else { "refusals" });
        match self.invitations.get(element.attr("id").unwrap_or_default()) {
            Some(known) if known.to != person.account() => return wrong("is for another"),
            Some(known) if !known.from.iter().any(|allowed| allowed == from) => {
                return wrong(&format!("names another than {:?}", known.from));
            }
            Some(_) => {}
            // §9.5: the room itself invites a new member for an admin, who may be absent.
            None if part.name == "invite" && (from == bare(from) || bare(from) == room) => {}
            None => return wrong("nobody sent this"),
        }
        Ok(text.replacen(&format!("from='{from}'"), "", 1))
    }
}
