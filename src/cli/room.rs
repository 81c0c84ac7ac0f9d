//! `tercet room …`: rooms. A running server is asked first, so that those who are in a room hear of
//! its end; without one the database is opened, under the same lock that a server takes, and a
//! service that nobody is in does the same.

use std::rc::Rc;

use super::args::Files;
use super::control::{self, Answer};
use super::logging::Logging;
use crate::config::Config;
use crate::cx::Cx;
use crate::muc::{Muc, Order};
use crate::net::clock::Clock;
use crate::net::entropy::SystemEntropy;
use crate::storage::Storage;

/// Does what `request` says; the text is the result.
pub(super) fn run(files: &Files, request: &str) -> Result<String, String> {
    let config = super::load(files)?;
    Logging::install("warn")?;
    let order = Order::parse(request)?;
    super::check_data(&config)?;
    match control::ask(&config.data, &format!("room {request}")) {
        Answer::Done(text) => Ok(text),
        Answer::Refused(text) => Err(text),
        Answer::NoServer => on_folder(config, order, None),
        Answer::Silent(why) => on_folder(config, order, Some(&why)),
    }
}

/// Without a server: on the data folder itself. `silent` is why a server may be there after all.
fn on_folder(config: Config, order: Order, silent: Option<&str>) -> Result<String, String> {
    let folder = super::hold(&config, silent)?;
    let storage = Storage::open(folder.path(), config.storage.synchronous)?;
    let now = Clock::new().begin_turn();
    let mut cx = Cx::new(Rc::new(config), storage, Box::new(SystemEntropy::new()), now);
    cx.storage.begin_handler();
    let text = Muc::new().carry_out(&mut cx, order)?;
    cx.storage.commit().map_err(|error| error.to_string())?;
    cx.storage.close()?;
    Ok(text)
}
