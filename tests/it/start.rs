//! What the built binary says at its start, and what it must not say.

use std::net::TcpListener;
use std::process::{Command, Stdio};

use crate::setup::Folder;

#[test]
fn a_server_that_cannot_start_greets_nobody() {
    let folder = Folder::new().expect("a folder");
    let taken = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = taken.local_addr().expect("bound");
    let file = folder.path().join("tercet.toml");
    let text = format!("log = 'warn'\n[c2s]\nlisten = ['{address}']\n[s2s]\nlisten = []\n");
    std::fs::write(&file, text).expect("written");
    let ended = Command::new(env!("CARGO_BIN_EXE_tercet"))
        .arg("-c")
        .arg(&file)
        .arg("-d")
        .arg(folder.path().join("data"))
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    assert_eq!(ended.status.code(), Some(1));
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.starts_with("tercet: cannot listen on "), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}
