//! The control socket.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use mio::Poll;

use super::super::control::{Control, SOCKET_FILE};
use super::super::reactor::Source;
use super::echo::{Folder, Running};

/// A request and its reply.
#[track_caller]
pub fn ask(folder: &Path, request: &[u8]) -> String {
    let mut client = UnixStream::connect(folder.join(SOCKET_FILE)).expect("a control socket");
    client.set_read_timeout(Some(std::time::Duration::from_secs(20))).expect("a timeout");
    client.write_all(request).expect("taken");
    client.shutdown(Shutdown::Write).expect("half-closed");
    let mut reply = String::new();
    client.read_to_string(&mut reply).expect("a reply and the end");
    reply
}

#[test]
fn requests_and_their_limits() {
    let running = Running::new("control");
    let folder = running.folder.0.clone();
    for (request, want) in [
        (&b""[..], "ok 0"),
        (b"user list", "ok 9"),
        (&[b'x'; 8192], "ok 8192"),
        (&[b'x'; 8193], "error the request is too long"),
        (b"\xff", "error the request is not UTF-8"),
    ] {
        assert_eq!(ask(&folder, request), want);
    }
    // More silent clients than there is room for: the next one waits until one of them goes.
    let silent: Vec<_> =
        (0..10).map(|_| UnixStream::connect(folder.join(SOCKET_FILE)).expect("queued")).collect();
    let waiting = std::thread::spawn({
        let folder = folder.clone();
        move || ask(&folder, b"patience")
    });
    drop(silent);
    assert_eq!(waiting.join().expect("served"), "ok 8");
    let mode = std::fs::metadata(folder.join(SOCKET_FILE)).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    running.finish();
}

#[test]
fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
    let folder = Folder::new("stale");
    let path = folder.0.join(SOCKET_FILE);
    drop(UnixListener::bind(&path).expect("a socket whose server is dead"));
    assert!(path.exists());
    let poll = Poll::new().expect("a poll");
    let bind = || Control::bind(&folder.0, poll.registry(), Source::Control.token());
    let control = bind().expect("the stale one is replaced");
    let Err(error) = bind() else { panic!("two servers on one folder") };
    assert!(error.contains("another server"), "{error}");
    drop(control);
    assert!(!path.exists(), "removed on exit");
    // A file that is no socket is somebody's: it is not removed.
    std::fs::write(&path, "precious").expect("written");
    assert!(bind().is_err());
    assert_eq!(std::fs::read_to_string(&path).expect("still there"), "precious");
}

#[test]
fn a_path_too_long_for_a_socket_is_told_in_words() {
    let folder = Folder::new("long");
    let poll = Poll::new().expect("a poll");
    let deep = folder.0.join("d".repeat(120));
    std::fs::create_dir(&deep).expect("a folder");
    let bound = Control::bind(&deep, poll.registry(), Source::Control.token());
    let Err(error) = bound else { panic!("nobody could connect to it") };
    assert!(error.ends_with("the path is too long, choose a data folder nearer to the root"));
    assert_eq!(std::fs::read_dir(&deep).expect("there").count(), 0, "nothing is left behind");
}
