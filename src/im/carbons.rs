//! Carbon copies (XEP-0280): a user's resources see what the others of them say and hear.

use crate::cx::Cx;
use crate::ids::SessionId;
use crate::xmpp::{BareJid, Stanza};

use super::Im;

impl Im {
    /// Switches copies on or off for a session (§4, §5; inline in XEP-0386).
    pub fn set_carbons(&mut self, _: SessionId, _: bool) {}

    /// Copies a message that a session sends to the others of its user.
    pub(super) fn copy_sent(&mut self, _: &mut Cx, _: SessionId, _: &Stanza) {}

    /// Copies a message to those of a user's resources that did not get it.
    pub(super) fn copy_received(&mut self, _: &mut Cx, _: &BareJid, _: &Stanza, _: &[SessionId]) {}
}
