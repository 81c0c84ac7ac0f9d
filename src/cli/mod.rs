//! The command line: `tercet [serve]`, `tercet --check`, `tercet user …`, `tercet room …`, and some
//! more words. `args` turns arguments into a `Command` without doing anything; `serve`, `check`,
//! `user`, `room`, `talk` and `transfer` do it; `control` talks to a running server, `password` to
//! a person, `logging` writes the log.
//!
//! Results go to standard output, everything else to standard error. Exit codes: 0 fine, 1 could
//! not (it says why), 2 usage, 3 something was dropped at shutdown.
//!
//! `control` is the one place outside `net/` that opens a socket: a blocking client on the Unix
//! socket in the data folder, in a process that serves nobody.

mod args;
mod check;
mod control;
mod logging;
mod password;
mod room;
mod serve;
mod talk;
mod transfer;
mod user;

use std::ffi::OsString;
use std::io::Write;

use crate::config::Config;
use crate::storage::{DataFolder, FolderError, Storage};
use args::{Command, Files};

/// Could not start, or was refused.
const EXIT_FAILED: u8 = 1;

/// Wrong arguments.
const EXIT_USAGE: u8 = 2;

/// Runs the command that the arguments (without the program's name) ask for; returns the exit code.
pub fn run(args: impl Iterator<Item = OsString>) -> u8 {
    let args: Vec<OsString> = args.collect();
    let done = match args::parse(&args) {
        Err(error) => {
            say_error(&format!("{error}\ntercet --help says what there is"));
            return EXIT_USAGE;
        }
        Ok(Command::Serve(files)) => serve::run(&files),
        Ok(command) => carry_out(&command).map(|text| {
            print(&text);
            0
        }),
    };
    done.unwrap_or_else(|error| {
        say_error(&error);
        EXIT_FAILED
    })
}

/// A command that ends by itself; the text is its result.
fn carry_out(command: &Command) -> Result<String, String> {
    match command {
        Command::Print(text) => Ok(text.clone()),
        // Until a signal comes, with an exit code of its own: see `run`.
        Command::Serve(_) => Ok(String::new()),
        Command::Check(files) => check::run(files),
        Command::Room(files, action) => room::run(files, action),
        Command::Ask(files, request) => talk::ask(files, request),
        Command::Invite(files, address) => talk::invite(files, address.as_deref()),
        Command::Export(files, output, names) => transfer::export(files, output.as_deref(), names),
        Command::Import(files, path) => transfer::import(files, path),
        Command::User(files, action) => user::run(files, action),
    }
}

/// The configuration that the arguments name: the file, or the defaults when none is named; the
/// data folder of the arguments before that of the file.
fn load(files: &Files) -> Result<Config, String> {
    let mut config = match &files.config {
        Some(path) => Config::load(path).map_err(|error| error.to_string())?,
        None => Config::default(),
    };
    if let Some(data) = &files.data {
        config.data.clone_from(data);
    }
    Ok(config)
}

/// Refuses a folder that no server has kept its data in: a command must not make a database of
/// whatever it was pointed at by mistake, nor close it to others.
fn check_data(config: &Config) -> Result<(), String> {
    if Storage::is_in(&config.data) {
        return Ok(());
    }
    Err(format!("{}: there is no data of a server here; see -c and -d", config.data.display()))
}

/// The data folder, for a command that found no server to ask. `silent` is why there may be one
/// after all.
fn hold(config: &Config, silent: Option<&str>) -> Result<DataFolder, String> {
    DataFolder::hold(&config.data).map_err(|error| match error {
        FolderError::Held(_) => {
            let why = silent.unwrap_or("its control socket is not there");
            format!("{error}, but it does not answer: {why}")
        }
        FolderError::Unusable(text) => text,
    })
}

/// A result. Whoever reads it may have left (`| head`): that is no failure.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let newline = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    let _ = write!(out, "{text}{newline}").and_then(|()| out.flush());
}

/// Something for the person, beside the log.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// What went wrong, for the person.
fn say_error(text: &str) {
    say(&format!("tercet: {text}"));
}
