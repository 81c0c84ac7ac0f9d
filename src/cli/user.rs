//! `tercet user …`: accounts. A running server is asked first, so that it can end the sessions of
//! an account; without one the database is opened, under the same lock that a server takes.

use super::args::{Action, Files};
use super::control::{self, Answer};
use super::logging::Logging;
use super::password;
use crate::accounts::{self, AccountError};
use crate::config::Config;
use crate::cx::Entropy;
use crate::net::entropy::SystemEntropy;
use crate::storage::{DataFolder, FolderError, Storage};

/// Does it; the text is the result.
pub(super) fn run(files: &Files, action: &Action) -> Result<String, String> {
    let config = super::load(files)?;
    Logging::install("warn")?;
    // Before a password is asked for nothing.
    if let Action::Add(jid) | Action::Passwd(jid) | Action::Del(jid) = action {
        accounts::parse_address(&config, jid).map_err(|error| error.to_string())?;
    }
    let data = config.data.display();
    if !matches!(action, Action::Add(_)) && !config.data.exists() {
        return Err(format!("{data}: there is no data folder here; see -c and -d"));
    }
    let password = match action {
        Action::Add(jid) | Action::Passwd(jid) => password::read_new(jid)?,
        Action::Del(_) | Action::List => String::new(),
    };
    match control::ask(&config.data, &request(action, &password)) {
        Answer::Done(text) => Ok(text),
        Answer::Refused(text) => Err(text),
        Answer::NoServer => on_folder(&config, action, &password, None),
        Answer::Silent(why) => on_folder(&config, action, &password, Some(&why)),
    }
}

/// The request for a running server.
fn request(action: &Action, password: &str) -> String {
    match action {
        Action::Add(jid) => format!("user add {jid}\n{password}"),
        Action::Passwd(jid) => format!("user passwd {jid}\n{password}"),
        Action::Del(jid) => format!("user del {jid}"),
        Action::List => "user list".to_owned(),
    }
}

/// Without a server: on the data folder itself. `silent` is why a server may be there after all.
fn on_folder(
    config: &Config,
    action: &Action,
    password: &str,
    silent: Option<&str>,
) -> Result<String, String> {
    let is_new = !config.data.exists();
    let folder = DataFolder::hold(&config.data).map_err(|error| match error {
        FolderError::Held(_) => {
            let why = silent.unwrap_or("its control socket is not there");
            format!("{error}, but it does not answer: {why}")
        }
        FolderError::Unusable(text) => text,
    })?;
    let mut storage = Storage::open(folder.path(), config.storage.synchronous)?;
    let mut text = on_storage(&mut storage, config, &mut SystemEntropy::new(), action, password)
        .map_err(|error| error.to_string())?;
    storage.close()?;
    if is_new {
        text.push_str(&format!(" (in a new data folder, {})", config.data.display()));
    }
    Ok(text)
}

/// One turn on the database.
fn on_storage(
    storage: &mut Storage,
    config: &Config,
    entropy: &mut dyn Entropy,
    action: &Action,
    password: &str,
) -> Result<String, AccountError> {
    storage.begin_handler();
    let address = |jid: &str| accounts::parse_address(config, jid);
    let text = match action {
        Action::Add(jid) => {
            let account = address(jid)?;
            accounts::add(storage, config, entropy, &account, password)?;
            format!("account {account} added")
        }
        Action::Passwd(jid) => {
            let account = address(jid)?;
            accounts::change_password(storage, config, entropy, &account, password)?;
            format!("password of {account} changed")
        }
        Action::Del(jid) => {
            let account = address(jid)?;
            accounts::remove(storage, &account)?;
            format!("account {account} removed")
        }
        Action::List => {
            let accounts = storage.accounts()?;
            accounts.iter().map(|account| format!("{account}\n")).collect()
        }
    };
    storage.commit()?;
    Ok(text)
}
