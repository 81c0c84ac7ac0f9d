//! `tercet user …`: accounts. A running server is asked first, so that it can end the sessions of
//! an account; without one the database is opened, under the same lock that a server takes.

use super::args::{Action, Files};
use super::control::{self, Answer};
use super::logging::Logging;
use super::password;
use crate::accounts::{self, orders::Order};
use crate::config::Config;
use crate::cx::Entropy;
use crate::net::clock::Clock;
use crate::net::entropy::SystemEntropy;
use crate::storage::Storage;

/// Does it; the text is the result.
pub(super) fn run(files: &Files, action: &Action) -> Result<String, String> {
    let config = super::load(files)?;
    Logging::install("warn")?;
    // Before a password is asked for nothing.
    if let Action::Add(jid) | Action::Passwd(jid) = action {
        accounts::parse_address(&config, jid).map_err(|error| error.to_string())?;
    }
    if !matches!(action, Action::Add(_)) {
        super::check_data(&config)?;
    }
    let password = match action {
        Action::Add(jid) | Action::Passwd(jid) => password::read_new(jid)?,
        _ => String::new(),
    };
    match control::ask(&config.data, &request(action, &password)) {
        Answer::Done(text) => Ok(text),
        Answer::Refused(text) => Err(text),
        Answer::NoServer if matches!(action, Action::End(_)) => {
            Err("no server is running here: nobody is connected".to_owned())
        }
        Answer::NoServer => on_folder(&config, action, &password, None),
        Answer::Silent(why) => on_folder(&config, action, &password, Some(&why)),
    }
}

/// The request for a running server.
fn request(action: &Action, password: &str) -> String {
    format!("user {}", words(action, password))
}

/// The same as [`Order::parse`] reads it.
fn words(action: &Action, password: &str) -> String {
    match action {
        Action::Add(jid) => format!("add {jid}\n{password}"),
        Action::Passwd(jid) => format!("passwd {jid}\n{password}"),
        Action::Del(jid) => format!("del {jid}"),
        Action::Disable(jid) => format!("disable {jid}"),
        Action::Enable(jid) => format!("enable {jid}"),
        Action::End(jid) => format!("end {jid}"),
        Action::List => "list".to_owned(),
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
    let folder = super::hold(config, silent)?;
    let mut storage = Storage::open(folder.path(), config.storage.synchronous)?;
    let mut text = on_storage(&mut storage, config, &mut SystemEntropy::new(), action, password)?;
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
) -> Result<String, String> {
    let order = Order::parse(config, &words(action, password))?;
    let unix_ms = Clock::new().begin_turn().unix_ms;
    storage.begin_handler();
    let done = order.carry_out(storage, config, entropy, unix_ms);
    let done = done.map_err(|error| error.to_string())?;
    storage.commit().map_err(|error| error.to_string())?;
    Ok(done.text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::DataFolder;
    use crate::storage::tests::TempFolder;
    use std::path::Path;

    /// Without a server, on this data folder.
    fn offline(data: &Path, action: &Action, password: &str) -> Result<String, String> {
        let mut config = Config { data: data.to_owned(), ..Config::default() };
        config.sasl.iterations = 4096;
        on_folder(&config, action, password, None)
    }

    #[test]
    fn accounts_without_a_server() {
        let folder = TempFolder::new("user");
        let data = folder.path().join("data");
        let jid = || "You@localhost".to_owned();
        let done = |action: &Action, password: &str| offline(&data, action, password);
        let added = done(&Action::Add(jid()), "secret").expect("added");
        let place = format!("added you@localhost (in a new data folder, {})", data.display());
        assert_eq!(added, place);
        assert_eq!(done(&Action::List, "").as_deref(), Ok("you@localhost\n"));
        let changed = done(&Action::Passwd(jid()), "other");
        assert_eq!(changed.as_deref(), Ok("changed the password of you@localhost"));
        for (action, password, want) in [
            (Action::Add(jid()), "secret", "exists already"),
            (Action::Add("me@localhost".to_owned()), "", "password is empty"),
            (Action::Add("me@elsewhere".to_owned()), "secret", "elsewhere"),
            (Action::Passwd("me@localhost".to_owned()), "secret", "no account me@localhost"),
            (Action::Del("me@localhost".to_owned()), "", "no account me@localhost"),
            (Action::Disable("me@localhost".to_owned()), "", "no account me@localhost"),
            (Action::Enable("me@elsewhere".to_owned()), "", "elsewhere"),
            (Action::Del("localhost".to_owned()), "", "not an address"),
        ] {
            let error = done(&action, password).expect_err("refused");
            assert!(error.contains(want), "{action:?}: {error}");
        }
        assert_eq!(done(&Action::Disable(jid()), "").as_deref(), Ok("disabled you@localhost"));
        assert_eq!(done(&Action::List, "").as_deref(), Ok("you@localhost\tdisabled\n"));
        assert_eq!(done(&Action::Enable(jid()), "").as_deref(), Ok("enabled you@localhost"));
        let removed = done(&Action::Del(jid()), "");
        assert_eq!(removed.as_deref(), Ok("removed you@localhost"));
        assert_eq!(done(&Action::List, "").as_deref(), Ok(""));
    }

    #[test]
    fn a_server_that_does_not_answer_is_not_worked_around() {
        let folder = TempFolder::new("held");
        let held = DataFolder::hold(folder.path()).expect("free");
        let error = offline(folder.path(), &Action::List, "").expect_err("held");
        assert!(error.contains("holds the data folder"), "{error}");
        assert!(error.contains("does not answer"), "{error}");
        drop(held);
        assert!(offline(folder.path(), &Action::List, "").is_ok());
    }
}
