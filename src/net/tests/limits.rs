//! Many connections, refused ones, and none left to accept with.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::control;
use super::echo::{Folder, Running, ask, config, connect, expect, reactor};

#[test]
fn thousands_of_connections() {
    let running = Running::new("thousands");
    // Places in the slab are used again; the echo asserts that handles are not.
    for _ in 0..6 {
        let mut clients: Vec<TcpStream> = (0..350).map(|_| running.client()).collect();
        for client in &mut clients {
            client.write_all(b"hello").expect("taken");
        }
        for client in &mut clients {
            expect(client, b"hello");
        }
        let count = clients.len();
        drop(clients);
        for _ in 0..count {
            running.closed();
        }
    }
    running.finish();
}

#[test]
fn whom_the_core_refuses_is_not_named_again() {
    let running = Running::with("refused", |core| core.refuses = true);
    let mut client = running.client();
    assert!(matches!(client.read(&mut [0; 8]), Ok(0) | Err(_)));
    running.finish();
}

#[test]
fn closed_doors() {
    let running = Running::new("doors");
    let mut client = running.client();
    ask(&mut client, b"<doors>", b"");
    ask(&mut client, b"still served", b"");
    // A child of another test may hold copies of the listeners until it has become itself.
    for address in [running.clear, running.tls] {
        assert!((0..1000).any(|_| TcpStream::connect(address).is_err()), "still open");
    }
    drop(client);
    running.closed();
    running.finish();
}

/// The folder in which [`child_with_few_descriptors`] is to run.
const CHILD_FOLDER: &str = "TERCET_TEST_CHILD_FOLDER";
/// Descriptors that the child may open after its start.
const FREE_DESCRIPTORS: usize = 10;

/// No test, but the process of the next one: the limit is one of processes.
#[test]
#[ignore = "the child of no_descriptors_left"]
fn child_with_few_descriptors() {
    let Some(folder) = std::env::var_os(CHILD_FOLDER).map(PathBuf::from) else { return };
    let (send, _seen) = std::sync::mpsc::channel();
    let (mut reactor, addresses) = reactor(config(&folder), send, |_| {});
    let open = std::fs::read_dir("/proc/self/fd").expect("Linux").count();
    let limit = (open + FREE_DESCRIPTORS) as u64;
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(limit), maximum }).expect("lowered");
    println!("\nlistening {}", addresses[0]);
    let code = reactor.run(&mut || Err("no reload here".into())).expect("a sound poll");
    assert_eq!(code, 0);
}

#[test]
#[cfg(target_os = "linux")]
fn no_descriptors_left() {
    let folder = Folder::new("descriptors");
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--ignored", "--exact", "--nocapture"])
        .arg("net::tests::limits::child_with_few_descriptors")
        .env(CHILD_FOLDER, &folder.0)
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let address: SocketAddr = lines
        .by_ref()
        .find_map(|line| line.expect("text").strip_prefix("listening ")?.parse().ok())
        .expect("it listens");

    // The kernel connects them all; the server has descriptors for some.
    let mut clients: Vec<TcpStream> = (0..4 * FREE_DESCRIPTORS).map(|_| connect(address)).collect();
    for client in &mut clients {
        client.write_all(b"hello").expect("taken");
    }
    let mut waiting = clients.split_off(FREE_DESCRIPTORS / 2);
    for client in &mut clients {
        expect(client, b"hello");
    }
    // It does not spin, and its operator gets in.
    ask(&mut clients[0], b"<wait>", b"");
    let mut text = [0; 32];
    let len = clients[0].read(&mut text).expect("the number of turns");
    let text = String::from_utf8_lossy(&text[..len]).into_owned();
    let turns = text.trim_start_matches('<').split(' ').next().and_then(|it| it.parse().ok());
    assert!(turns.is_some_and(|turns: u64| turns <= 8), "{text}");
    assert_eq!(control::ask(&folder.0, b"anybody?"), "ok 8");
    // Who leaves makes room.
    drop(clients);
    while !waiting.is_empty() {
        let rest = waiting.split_off(waiting.len().min(4));
        for client in &mut waiting {
            expect(client, b"hello");
        }
        waiting = rest;
    }
    assert_eq!(control::ask(&folder.0, b"exit"), "ok 4");
    assert!(child.wait().expect("ended").success());
}
