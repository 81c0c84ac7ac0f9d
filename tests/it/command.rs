//! The `tercet` command, run to its end beside a server or on the data of one that does not run.

use std::path::Path;
use std::process::Command;

use crate::setup::Setup;

/// Runs the command; exit code, standard output, standard error.
pub fn tercet(setup: &Setup, args: &[&str]) -> (i32, String, String) {
    let folder: &Path = setup.folder.as_ref().expect("on disk").path();
    let ended = Command::new(env!("CARGO_BIN_EXE_tercet"))
        .arg("-c")
        .arg(folder.join("tercet.toml"))
        .args(args)
        .output()
        .expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (ended.status.code().expect("an exit code"), text(&ended.stdout), text(&ended.stderr))
}

/// Runs the command, which must succeed and complain of nothing; what it printed.
#[track_caller]
pub fn done(setup: &Setup, args: &[&str]) -> String {
    let (code, out, err) = tercet(setup, args);
    assert_eq!((code, err.as_str()), (0, ""), "{args:?}");
    out
}

/// Runs the command, which must fail with one line that has these words.
#[track_caller]
pub fn refused(setup: &Setup, args: &[&str], words: &str) {
    let (code, out, err) = tercet(setup, args);
    assert_eq!((code, out.as_str()), (1, ""), "{args:?}");
    assert!(err.starts_with("tercet: ") && err.contains(words), "{args:?}: {err}");
    assert_eq!(err.lines().count(), 1, "{err}");
}
