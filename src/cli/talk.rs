//! `tercet announce`, `tercet status`: what only a running server can do. `tercet invite`: what an
//! idle database can do as well.

use super::args::Files;
use super::control::{self, Answer};
use super::logging::Logging;
use crate::accounts::invitations;
use crate::net::clock::Clock;
use crate::net::entropy::SystemEntropy;
use crate::storage::Storage;

/// Asks the running server; the text is its answer.
pub(super) fn ask(files: &Files, request: &str) -> Result<String, String> {
    let config = super::load(files)?;
    Logging::install("warn")?;
    super::check_data(&config)?;
    match control::ask(&config.data, request) {
        Answer::Done(text) => Ok(text),
        Answer::Refused(text) | Answer::Silent(text) => Err(text),
        Answer::NoServer => Err(format!("no server is running on {}", config.data.display())),
    }
}

/// Invites somebody to an account; the text is the URI.
pub(super) fn invite(files: &Files, address: Option<&str>) -> Result<String, String> {
    let config = super::load(files)?;
    Logging::install("warn")?;
    let wish = invitations::operators_wish(&config, address)?;
    super::check_data(&config)?;
    let silent = match control::ask(&config.data, &format!("invite {}", address.unwrap_or(""))) {
        Answer::Done(text) => return Ok(text),
        Answer::Refused(text) => return Err(text),
        Answer::NoServer => None,
        Answer::Silent(why) => Some(why),
    };
    let folder = super::hold(&config, silent.as_deref())?;
    let mut storage = Storage::open(folder.path(), config.storage.synchronous)?;
    let unix_ms = Clock::new().begin_turn().unix_ms;
    storage.begin_handler();
    let entropy = &mut SystemEntropy::new();
    let made = invitations::invite_account(&mut storage, &config, entropy, unix_ms, wish);
    let issued = made.map_err(|error| error.to_string())?;
    storage.close()?;
    Ok(issued.uri)
}
