//! What an account wants archived (XEP-0441), said and asked by its owner.
//!
//! With whom a message was exchanged is looked up first by the full address, then by the bare one,
//! then the default decides (§2.3). One that is to be both, always and never, makes no sense.
//! That there is an archive of the past stays as it is: preferences are about what comes.

use crate::allowance::DEAR_ROW;
use crate::archives::preferences::{parse, to_element};
use crate::cx::Cx;
use crate::storage::ArchivePreferences;
use crate::xml::Element;
use crate::xmpp::StanzaError;

use super::archive::check_owner;
use super::{Im, Request};

/// A get.
pub(super) fn handle_get(
    _: &mut Im,
    cx: &mut Cx,
    request: &Request<'_>,
) -> Result<Option<Element>, StanzaError> {
    check_owner(request)?;
    let stored = cx.storage.archive_preferences(&request.account)?;
    let preferences = stored.unwrap_or_else(|| ArchivePreferences {
        default: cx.config.accounts.archive,
        always: Vec::new(),
        never: Vec::new(),
    });
    Ok(Some(to_element(&preferences)))
}

/// A set: replaces all of them, and says what is in force now.
pub(super) fn handle_set(
    im: &mut Im,
    cx: &mut Cx,
    request: &Request<'_>,
) -> Result<Option<Element>, StanzaError> {
    check_owner(request)?;
    im.allowances.check(&request.account, cx.now)?;
    let preferences = parse(request.payload)?;
    let rows = preferences.always.len() + preferences.never.len();
    im.allowances.charge(&request.account, DEAR_ROW * (1 + rows), cx.now);
    cx.storage.archive_preferences_put(&request.account, &preferences)?;
    // To be read when the handler has succeeded.
    if let Some(account) = im.accounts.get_mut(&request.account) {
        account.archive_wish = None;
    }
    Ok(Some(to_element(&preferences)))
}
