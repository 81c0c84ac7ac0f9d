//! Arguments to a [`Command`]: a pure function, and the help texts beside it. Options may stand
//! before or after the words.

use std::ffi::OsString;
use std::path::PathBuf;

use getopts::{Matches, Options};

/// The first and the last part of `tercet --help`; the options stand between them.
const HELP: &str = "\
Tercet, an XMPP chat server for rooms.

Usage: tercet [serve] [-c FILE] [-d DATADIR] [--check]
       tercet user add|passwd|del|disable|enable|end JID
       tercet user list
       tercet invite [JID]
       tercet announce TEXT
       tercet status
       tercet export [-o FILE] [JID...]
       tercet import FILE
       tercet room list
       tercet room info|destroy|forget ROOM

The first minute:
    tercet                           serves localhost, for clients on this machine
    tercet user add you@localhost    in a second terminal, in the same folder
Then log in with any XMPP client as you@localhost and join tea@conference.localhost:
a room is made when somebody joins it. Ctrl-C ends the server in order.";

const HELP_END: &str = "
Without -c the built-in defaults are used; conf/tercet.toml shows every key.
Everything that the server keeps is in its data folder: back up that.

The server runs in the foreground until TERM or INT (a second one hurries it).
HUP reads the configuration and the certificates again; sessions stay.
RUST_LOG, when set, goes before the key log of the configuration.

Exit codes: 0 fine, 1 could not (it says why), 2 usage, 3 something was dropped
at shutdown.
";

const USER_HELP: &str = "\
Accounts, whether the server is running or not.

Usage: tercet user add JID       makes an account, such as you@localhost
       tercet user passwd JID    changes its password
       tercet user del JID       removes it, its roster, its rights in rooms
       tercet user disable JID   logs it out and in no more; all it has is kept
       tercet user enable JID    lets it log in again
       tercet user end JID       logs it out; with a /resource, that client only
       tercet user list          shows all, one a line

To let people choose a password themselves, send them what tercet invite prints.
The password is asked on a terminal; otherwise it is one line of standard input:
    tercet user add you@localhost < file-with-the-password
Give the same -c and -d as to the server: they say where the data folder is.
An account that is removed, or whose password changes, is logged out.";

const INVITE_HELP: &str = "\
Invitations, whether the server is running or not.

Usage: tercet invite         prints an address that is good for one new account
       tercet invite JID     the same for this account: its name is kept free

Send it to a person: opened with an XMPP client it makes an account, with a
password that only they know. It is good for registration.invite_days, whatever
registration.in_band says.";

const TRANSFER_HELP: &str = "\
Accounts in the portable format of XMPP servers (XEP-0227), while no server runs.

Usage: tercet export              writes all accounts to standard output
       tercet export -o FILE      to a new file, which nobody else may read
       tercet export JID...       these accounts only
       tercet import FILE         reads accounts, all or none; - is standard input

What goes along: the keys of the password (the password itself is known to
nobody), contacts with their subscriptions and what others have asked for, whom
an account blocks, its card, private XML and nodes (avatar, bookmarks, ...), its
archive and what it wants archived, messages that wait, whether it is disabled,
when it was last here. What stays: rooms, and login tokens, so that each client
logs in by password once more.
Whoever has such a file can try passwords against it: keep it as safe as the
data folder.

An import makes accounts and changes none: one that is there already is an error,
remove it first (tercet user del). So is an account without a password or keys
for both SCRAM-SHA-1 and SCRAM-SHA-256, one at a domain that is not served here,
what makes no sense and what is over a limit of the configuration; the file and
the line are named, and nothing is imported. What is not understood is left out,
and each kind of it named once. The file may include others by XInclude.";

const ROOM_HELP: &str = "\
Rooms, whether the server is running or not.

Usage: tercet room list            shows all, hidden ones too, one a line:
                                   address, occupants, kind, listed or not, name
       tercet room info ROOM       what there is to know of it: owners, who is in
       tercet room destroy ROOM    removes it with all that belongs to it; those who
                                   are in are told, with the reason if one is given
       tercet room forget ROOM     frees the name of a destroyed room, which is kept
                                   for its owners for rooms.tombstone_days

Give the same -c and -d as to the server: they say where the data folder is.
An account in admin.jids may do all this, and more, with any client: it is an
owner of every room.";

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// Print this.
    Print(String),
    /// Serve.
    Serve(Files),
    /// Check the configuration.
    Check(Files),
    /// Change or list accounts.
    User(Files, Action),
    /// List, show or destroy rooms: the request that a running server understands.
    Room(Files, String),
    /// What a running server is to do or to say: the request.
    Ask(Files, String),
    /// Invite somebody to an account, perhaps a certain one.
    Invite(Files, Option<String>),
    /// Write accounts, all or these, to a file or to standard output.
    Export(Files, Option<String>, Vec<String>),
    /// Read accounts from a file.
    Import(Files, String),
}

/// What the options say of files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Files {
    /// `-c`
    pub(super) config: Option<PathBuf>,
    /// `-d`
    pub(super) data: Option<PathBuf>,
}

/// What to do with accounts; addresses as they were typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Add(String),
    Passwd(String),
    Del(String),
    Disable(String),
    Enable(String),
    End(String),
    List,
}

/// Parses the arguments after the program's name.
pub(super) fn parse(args: &[OsString]) -> Result<Command, String> {
    let options = options();
    let matches = options.parse(args).map_err(|error| error.to_string())?;
    let words: Vec<&str> = matches.free.iter().map(String::as_str).collect();
    if matches.opt_present("version") {
        return Ok(Command::Print(format!("tercet {}\n", env!("CARGO_PKG_VERSION"))));
    }
    if matches.opt_present("help") {
        return Ok(Command::Print(match words.first() {
            Some(&"user") => common_options().usage(USER_HELP),
            Some(&"room") => room_options().usage(ROOM_HELP),
            Some(&"invite") => common_options().usage(INVITE_HELP),
            Some(&("export" | "import")) => export_options().usage(TRANSFER_HELP),
            _ => options.usage(HELP) + HELP_END,
        }));
    }
    let files = files(&matches)?;
    let is_check = matches.opt_present("check");
    let (reason, output) = (matches.opt_str("reason"), matches.opt_str("output"));
    if reason.is_some() && !words.starts_with(&["room", "destroy"]) {
        return Err("--reason goes with room destroy".to_owned());
    }
    match words.as_slice() {
        [] | ["serve"] if is_check => Ok(Command::Check(files)),
        [] | ["serve"] => Ok(Command::Serve(files)),
        [word, ..] if is_check && *word != "serve" => {
            Err(format!("--check goes with serve, not with {word}"))
        }
        ["room", words @ ..] => Ok(Command::Room(files, room_request(words, reason)?)),
        ["user", words @ ..] => Ok(Command::User(files, action(words)?)),
        [word, ..] if output.is_some() && *word != "export" => {
            Err(format!("--output goes with export, not with {word}"))
        }
        ["export", names @ ..] => {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            Ok(Command::Export(files, output, names))
        }
        ["import", path] => Ok(Command::Import(files, (*path).to_owned())),
        ["import", ..] => Err("import takes one file, or - for standard input".to_owned()),
        ["invite"] => Ok(Command::Invite(files, None)),
        ["invite", jid] => Ok(Command::Invite(files, Some((*jid).to_owned()))),
        ["invite", ..] => Err("invite takes one address".to_owned()),
        ["announce"] => Err("announce needs a text".to_owned()),
        ["announce", words @ ..] => {
            Ok(Command::Ask(files, format!("announce {}", words.join(" "))))
        }
        ["status"] => Ok(Command::Ask(files, "status".to_owned())),
        [name @ ("serve" | "status"), word, ..] => Err(format!("{name} takes no {word:?}")),
        [word, ..] => Err(format!(
            "no such command: {word:?}; there are serve, user, room, invite, announce, status, \
             export, import"
        )),
    }
}

fn action(words: &[&str]) -> Result<Action, String> {
    const VERBS: &str = "add, passwd, del, disable, enable, end, list";
    let jid = |jid: &str| jid.to_owned();
    match *words {
        ["add", address] => Ok(Action::Add(jid(address))),
        ["passwd", address] => Ok(Action::Passwd(jid(address))),
        ["del", address] => Ok(Action::Del(jid(address))),
        ["disable", address] => Ok(Action::Disable(jid(address))),
        ["enable", address] => Ok(Action::Enable(jid(address))),
        ["end", address] => Ok(Action::End(jid(address))),
        ["list"] => Ok(Action::List),
        [word @ ("add" | "passwd" | "del" | "disable" | "enable" | "end")] => {
            Err(format!("user {word} needs an address, such as you@localhost"))
        }
        [word @ ("add" | "passwd"), ..] => {
            Err(format!("user {word} takes one address; the password is asked, or read"))
        }
        [word @ ("del" | "disable" | "enable" | "end"), ..] => {
            Err(format!("user {word} takes one address"))
        }
        ["list", word, ..] => Err(format!("user list takes no {word:?}")),
        [] => Err(format!("user needs one of {VERBS}")),
        [word, ..] => Err(format!("no such command: user {word:?}; there are {VERBS}")),
    }
}

fn room_request(words: &[&str], reason: Option<String>) -> Result<String, String> {
    match *words {
        ["list"] => Ok("list".to_owned()),
        ["destroy", room] => Ok(format!("destroy {room}\n{}", reason.unwrap_or_default())),
        [word @ ("info" | "forget"), room] => Ok(format!("{word} {room}")),
        [word @ ("info" | "destroy" | "forget")] => {
            Err(format!("room {word} needs an address, such as tea@conference.localhost"))
        }
        [word @ ("info" | "destroy" | "forget"), ..] => {
            Err(format!("room {word} takes one address"))
        }
        ["list", word, ..] => Err(format!("room list takes no {word:?}")),
        [] => Err("room needs one of list, info, destroy, forget".to_owned()),
        [word, ..] => {
            Err(format!("no such command: room {word:?}; there are list, info, destroy, forget"))
        }
    }
}

fn files(matches: &Matches) -> Result<Files, String> {
    let path = |name: &str| match matches.opt_str(name) {
        Some(path) if path.is_empty() => Err(format!("--{name} needs a path, not an empty text")),
        path => Ok(path.map(PathBuf::from)),
    };
    Ok(Files { config: path("config")?, data: path("data")? })
}

/// All options that there are.
fn options() -> Options {
    let mut options = room_options();
    options.optopt("o", "output", "with export: the file to write", "FILE");
    options.optflag("", "check", "check the configuration, then exit with 0 or 1");
    options
}

/// The options of `room`.
fn room_options() -> Options {
    let mut options = common_options();
    options.optopt("", "reason", "with room destroy: why, for those who are in", "TEXT");
    options
}

/// The options of `export`.
fn export_options() -> Options {
    let mut options = common_options();
    options.optopt("o", "output", "the file to write", "FILE");
    options
}

/// The options of every command.
fn common_options() -> Options {
    let mut options = Options::new();
    options.optopt("c", "config", "the configuration", "FILE");
    options.optopt("d", "data", "the data folder, instead of the one configured", "DATADIR");
    options.optflag("h", "help", "show this; with user or room: more about those");
    options.optflag("V", "version", "show the version");
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_text(text: &str) -> Result<Command, String> {
        let args: Vec<OsString> = text.split_whitespace().map(OsString::from).collect();
        parse(&args)
    }

    fn named(config: Option<&str>, data: Option<&str>) -> Files {
        Files { config: config.map(PathBuf::from), data: data.map(PathBuf::from) }
    }

    #[test]
    fn commands() {
        let none = || named(None, None);
        let jid = || "a@b".to_owned();
        for (text, want) in [
            ("", Command::Serve(none())),
            ("serve", Command::Serve(none())),
            ("-c f", Command::Serve(named(Some("f"), None))),
            ("serve --config=f -d x", Command::Serve(named(Some("f"), Some("x")))),
            ("-d x serve", Command::Serve(named(None, Some("x")))),
            ("--check", Command::Check(none())),
            ("serve -c f --check", Command::Check(named(Some("f"), None))),
            ("user add a@b", Command::User(none(), Action::Add(jid()))),
            ("user passwd a@b -d x", Command::User(named(None, Some("x")), Action::Passwd(jid()))),
            ("-c f user del a@b", Command::User(named(Some("f"), None), Action::Del(jid()))),
            ("user list", Command::User(none(), Action::List)),
            ("room list", Command::Room(none(), "list".to_owned())),
            ("room info r@c -d x", Command::Room(named(None, Some("x")), "info r@c".to_owned())),
            ("room destroy r@c", Command::Room(none(), "destroy r@c\n".to_owned())),
            (
                "room --reason Cold destroy r@c",
                Command::Room(none(), "destroy r@c\nCold".to_owned()),
            ),
            ("room forget r@c", Command::Room(none(), "forget r@c".to_owned())),
            ("user end a@b/c", Command::User(none(), Action::End("a@b/c".to_owned()))),
            ("user disable a@b", Command::User(none(), Action::Disable(jid()))),
            ("user enable a@b", Command::User(none(), Action::Enable(jid()))),
            ("invite -d x", Command::Invite(named(None, Some("x")), None)),
            ("invite a@b", Command::Invite(none(), Some(jid()))),
            ("announce Tea  time", Command::Ask(none(), "announce Tea time".to_owned())),
            ("status", Command::Ask(none(), "status".to_owned())),
            ("export", Command::Export(none(), None, Vec::new())),
            ("export -o f a@b", Command::Export(none(), Some("f".to_owned()), vec![jid()])),
            ("import f", Command::Import(none(), "f".to_owned())),
        ] {
            assert_eq!(parse_text(text), Ok(want), "{text}");
        }
    }

    #[test]
    fn mistakes() {
        for (text, want) in [
            ("server", "no such command: \"server\""),
            ("serve now", "serve takes no \"now\""),
            ("--port 5222", "Unrecognized option: 'port'"),
            ("-c", "Argument to option 'c' missing"),
            ("-c f -c g", "Option 'config' given more than once"),
            ("--data=", "--data needs a path"),
            ("user", "user needs one of add"),
            ("user add", "user add needs an address"),
            ("user add a@b secret", "user add takes one address"),
            ("user rename a@b", "no such command: user \"rename\""),
            ("user list a@b", "user list takes no \"a@b\""),
            ("user list --check", "--check goes with serve"),
            ("room list --check", "--check goes with serve"),
            ("status --check", "--check goes with serve"),
            ("status now", "status takes no \"now\""),
            ("announce", "announce needs a text"),
            ("import", "import takes one file"),
            ("import f -o g", "--output goes with export"),
            ("invite a@b c@d", "invite takes one address"),
            ("user disable", "user disable needs an address"),
            ("user end a@b c@d", "user end takes one address"),
            ("room", "room needs one of list"),
            ("room list r@c", "room list takes no \"r@c\""),
            ("room destroy", "room destroy needs an address"),
            ("room destroy r@c because", "room destroy takes one address"),
            ("room burn r@c", "no such command: room \"burn\""),
            ("room forget r@c --reason x", "--reason goes with room destroy"),
            ("--reason x", "--reason goes with room destroy"),
        ] {
            let error = parse_text(text).expect_err(text);
            assert!(error.contains(want), "{text}: {error}");
        }
    }

    #[test]
    fn help_and_version_everywhere() {
        for text in
            ["--help", "-h", "serve --help", "user --help", "user add -h", "--help user", "room -h"]
        {
            let Ok(Command::Print(help)) = parse_text(text) else { panic!("{text}") };
            assert!(help.contains("Usage: tercet"), "{text}");
            assert_eq!(help.contains("standard input"), text.contains("user"), "{text}");
            assert_eq!(help.contains("why, for those"), !text.contains("user"), "{text}");
            assert!(help.contains("--data DATADIR"), "{text}");
            assert!(help.lines().all(|line| line.chars().count() <= 85), "{help}");
        }
        for text in ["--version", "-V", "serve --version", "user --version"] {
            let want = Command::Print(format!("tercet {}\n", env!("CARGO_PKG_VERSION")));
            assert_eq!(parse_text(text), Ok(want), "{text}");
        }
    }
}
