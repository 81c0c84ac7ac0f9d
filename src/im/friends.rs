//! Who has come by an invitation and who has invited are contacts from the start (XEP-0401 §5.5).

use crate::cx::Cx;
use crate::xmpp::{BareJid, Condition, StanzaError};

use super::Im;
use super::standing::Standing;
use super::subscription::Contact;

impl Im {
    /// Both see each other's presence from now on; the inviter's sessions are told by a roster push
    /// (XEP-0401 §5.5), the invited has none yet. An inviter whose roster is full gets no contact:
    /// that is no reason to turn the invited away.
    pub fn befriend(
        &mut self,
        cx: &mut Cx,
        inviter: &BareJid,
        invited: &BareJid,
    ) -> Result<(), StanzaError> {
        let both = Standing { to: true, from: true, ..Standing::default() };
        for (account, jid) in [(inviter, invited), (invited, inviter)] {
            let contact = Contact::read(cx, account, jid)?;
            match self.settle(cx, &contact, both) {
                Err(error) if error.condition == Condition::ResourceConstraint => {
                    log::warn!("{account} has no room for the contact {jid}");
                    return Ok(());
                }
                settled => settled?,
            }
            self.tell_of_change(cx, &contact, both);
        }
        Ok(())
    }
}
