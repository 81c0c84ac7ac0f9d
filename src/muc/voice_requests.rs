//! Voice: asked for by a visitor (XEP-0045 §7.13), granted by a moderator (§8.6). The request goes
//! to all moderators as a form; what comes back is an ordinary change of role, with its own
//! checks, so the form gives no right that its sender does not have. Nothing is remembered but when
//! somebody has asked: the form says whom it is about.
//!
//! What the text leaves open: who can speak already is told that nothing was expected of it; where
//! no moderator hears it a request is refused, to be tried again; of several approvals the first
//! counts, the others find it done.

use super::changes::{AffiliationChanges, RoleChanges};
use super::not_in_room;
use super::privilege::{self, Rank};
use super::room::Room;
use crate::cx::Cx;
use crate::outbound::Envelope;
use crate::xml::Element;
use crate::xmpp::dataform::{Form, Submission, Submitted};
use crate::xmpp::jid::prepare_resource;
use crate::xmpp::{Condition, ErrorType, Jid, MessageType, Role, Stanza, StanzaError, ns};

const ROLE: &str = "muc#role";
const JID: &str = "muc#jid";
const NICK: &str = "muc#roomnick";
const ALLOW: &str = "muc#request_allow";
const ROLES: &[(&str, &str)] = &[("participant", "Participant")];

impl Room {
    /// A submitted `muc#request` form: a request, or the answer to one.
    pub fn handle_voice(
        &mut self,
        cx: &mut Cx,
        message: &Stanza,
        x: &Element,
    ) -> Result<(), StanzaError> {
        let Submission::Submit(form) = Submission::read(x, ns::MUC_REQUEST)? else {
            return Ok(()); // §8.6: the request is skipped.
        };
        if self.occupant_at(&message.from).is_none() {
            return Err(not_in_room());
        }
        // §7.13: nothing but voice is asked for.
        if form.text(ROLE)? != Some(Role::Participant.as_str()) {
            return Err(Condition::BadRequest.into());
        }
        match form.boolean(ALLOW)? {
            None => self.request_voice(cx, &message.from),
            Some(is_allowed) => self.answer_voice(cx, &message.from, &form, is_allowed),
        }
    }

    fn request_voice(&mut self, cx: &mut Cx, from: &Jid) -> Result<(), StanzaError> {
        let asker = self.occupant_at(from).ok_or_else(not_in_room)?.identity();
        if asker.role >= Role::Participant {
            let error = StanzaError::new(Condition::UnexpectedRequest).with_type(ErrorType::Cancel);
            return Err(error.with_text("you have voice"));
        }
        self.voice_asked.check(&asker.account, cx.now)?;
        let instructions = "To approve this request for voice, select the \"Grant voice to this \
                            person?\" checkbox and click OK. To skip this request, click the \
                            cancel button.";
        let form = Form::to_fill_in(ns::MUC_REQUEST, "Voice request", instructions)
            .list(ROLE, "Requested role", Role::Participant.as_str(), ROLES)
            .jid(JID, "User ID", from.as_str())
            .text(NICK, "Room Nickname", &asker.nick)
            .boolean(ALLOW, "Grant voice to this person?", false);
        let message = self.own_message(cx, MessageType::Normal, form.into_element());
        let envelope = Envelope::new(&message);
        let mut is_heard = false;
        for moderator in self.occupants().filter(|other| other.role == Role::Moderator) {
            for seat in &moderator.seats {
                seat.push(cx, &envelope);
                is_heard = true;
            }
        }
        if !is_heard {
            let error = StanzaError::new(Condition::RecipientUnavailable);
            return Err(error.with_text("no moderator is in the room"));
        }
        self.voice_asked.note(&asker.account, cx.now);
        Ok(())
    }

    /// §8.6: the change of role that a moderator could as well have asked for (§8.3).
    fn answer_voice(
        &mut self,
        cx: &mut Cx,
        from: &Jid,
        form: &Submitted,
        is_allowed: bool,
    ) -> Result<(), StanzaError> {
        let rank = self.rank_of(&from.to_bare());
        // Before anything is told about who is here (§8).
        let nobody = Rank { role: Role::Visitor, affiliation: Default::default() };
        privilege::check_role(rank, nobody, Role::Participant)?;
        if !is_allowed {
            return Ok(());
        }
        let key = self.asker_named(form)?;
        let target = self.occupant(key).ok_or(Condition::ItemNotFound)?;
        if target.role != Role::Visitor {
            return Ok(());
        }
        let target = Rank { role: target.role, affiliation: target.affiliation };
        privilege::check_role(rank, target, Role::Participant)?;
        let roles = RoleChanges::from([(key, (Role::Participant, None))]);
        let verdicts = self.verdicts(&roles, &AffiliationChanges::new(), &[]);
        let actor = self.actor(from);
        self.execute(cx, verdicts, Some(&actor));
        Ok(())
    }

    /// The occupant that asked: the session that the form names, under whatever nick it has now;
    /// a form without a session names a nick.
    fn asker_named(&self, form: &Submitted) -> Result<u64, StanzaError> {
        let target = match (form.text(JID)?, form.text(NICK)?) {
            (Some(jid), _) if !jid.is_empty() => {
                let jid = Jid::parse(jid.trim()).map_err(|_| Condition::JidMalformed)?;
                self.occupant_at(&jid)
            }
            (_, Some(nick)) if !nick.is_empty() => {
                let nick = prepare_resource(nick).map_err(|_| Condition::ItemNotFound)?;
                self.occupant_named(&nick)
            }
            _ => return Err(Condition::BadRequest.into()),
        };
        Ok(target.ok_or(Condition::ItemNotFound)?.key)
    }
}
