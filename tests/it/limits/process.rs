//! The built binary at its limits, over sockets: what only the kernel can do to it.
#![cfg(target_os = "linux")]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use tercet::xml::Element;

use crate::party::{HEADER, Party, over_sockets};
use crate::process::Process;
use crate::socket::Sockets;

/// Ticks of `/proc` per second.
const TICKS_PER_SECOND: u64 = 100;

fn pid(process: &Process) -> Pid {
    Pid::from_raw(process.pid() as i32).expect("a process id")
}

/// What the process has used of the processor, in ticks.
fn cpu_ticks(process: &Process) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.pid())).expect("it runs");
    let (_, fields) = stat.rsplit_once(") ").expect("a name");
    let fields: Vec<&str> = fields.split(' ').collect();
    [11, 12].iter().map(|&n| fields[n].parse::<u64>().expect("a number")).sum()
}

/// The limit of descriptors that leaves room for so many connections.
fn limit_with_room(process: &Process, room: usize) -> u64 {
    let folder = format!("/proc/{}/fd", process.pid());
    let names = std::fs::read_dir(folder).expect("it runs").map(|entry| entry.expect("a name"));
    let used: Vec<u64> =
        names.map(|entry| entry.file_name().to_string_lossy().parse().expect("a number")).collect();
    let mut free = (0..).filter(|number| !used.contains(number));
    free.nth(room).expect("numbers do not end")
}

#[test]
fn a_reader_that_stops_costs_no_more_than_its_outbox() {
    let toml = "[limits]\noutbox_bytes = 1000000\noutbox_bytes_total = 2000000";
    let mut party = over_sockets(toml, &["romeo", "juliet", "slow"]);
    party.keeps_transcripts = false;
    let romeo = party.join("romeo", "room");
    let juliet = party.join("juliet", "room");
    let slow = party.join("slow", "room");
    party.fence(juliet);
    party.take(juliet);
    party.fence(romeo);
    party.driver.stop_reading(party.guests[slow].link);
    let before = party.driver.process.resident_bytes();
    let body = "x".repeat(50_000);
    let mut heard = Vec::new();
    let mut sent = 0;
    let is_leave = |element: &Element| element.attr("type") == Some("unavailable");
    while !heard.iter().any(is_leave) {
        // The kernel's buffers take some megabytes.
        assert!(sent < 1_000, "the slow reader is never cut");
        party.send(
            romeo,
            &format!(
                "<message type='groupchat' to='room@conference.localhost' id='m{sent}'>\
                 <body>{body}</body></message>"
            ),
        );
        party.receive(romeo, &format!("<message id='m{sent}'/>"));
        sent += 1;
        heard.extend(party.take_elements(juliet));
    }
    let grown = party.driver.process.resident_bytes().saturating_sub(before);
    assert!(grown < 16_000_000, "the server has grown by {grown} bytes");
    party.fence(juliet);
    heard.extend(party.take_elements(juliet));
    let ids = heard.iter().filter_map(|e| e.attr("id")?.strip_prefix('m')?.parse::<u32>().ok());
    assert_eq!(ids.collect::<Vec<_>>(), (0..sent).collect::<Vec<_>>());
}

#[test]
fn without_descriptors_it_serves_on_and_accepts_again() {
    let mut party = over_sockets("[limits]\nconnections_per_address = 0", &["romeo"]);
    let romeo = party.login("romeo");
    let process = &party.driver.process;
    let room = 5;
    let limit = Some(limit_with_room(process, room));
    let limit = Rlimit { current: limit, maximum: limit };
    prlimit(Some(pid(process)), Resource::Nofile, limit).expect("our own child");
    let address = process.address;
    let mut crowd: Vec<TcpStream> =
        (0..20).map(|_| TcpStream::connect(address).expect("the kernel queues it")).collect();
    for stream in &mut crowd {
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        stream.write_all(HEADER.as_bytes()).expect("the kernel takes it");
    }
    // Those who are in are served.
    let is_served = |stream: &mut TcpStream| matches!(stream.read(&mut [0; 64]), Ok(1..));
    for stream in &mut crowd[..room] {
        assert!(is_served(stream));
    }
    for _ in 0..10 {
        party.fence(romeo);
    }
    let is_told =
        |party: &mut Party<Sockets>| party.driver.process.log().contains("accepting pauses");
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_told(&mut party) {
        assert!(Instant::now() < deadline);
        party.fence(romeo);
    }
    // It does not spin: for a while nothing is done but to wait.
    let before = cpu_ticks(&party.driver.process);
    let began = Instant::now();
    let first_out = &mut crowd[room];
    first_out.set_read_timeout(Some(Duration::from_millis(1_500))).expect("a timeout");
    assert!(!is_served(first_out), "there was no descriptor for it");
    let waited_ticks = began.elapsed().as_millis() as u64 * TICKS_PER_SECOND / 1000;
    let used = cpu_ticks(&party.driver.process) - before;
    assert!(
        used * 5 < waited_ticks,
        "{used} ticks of {waited_ticks} while there was nothing to do"
    );
    // One leaves: the next is served.
    first_out.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    crowd[0].shutdown(Shutdown::Both).expect("open");
    drop(crowd.remove(0));
    assert!(is_served(&mut crowd[room - 1]));
    // All leave: everybody is served, and it is told once.
    drop(crowd);
    party.login("romeo/second");
    let told = party.driver.process.log().matches("accepting pauses").count();
    assert_eq!(told, 1);
    party.driver.process.terminate();
    assert_eq!(party.driver.process.exit_code(), Ok(0));
    let log = party.driver.process.log();
    let turns = log.lines().find_map(|line| line.strip_suffix(" turns")?.rsplit(' ').next());
    let turns: u32 = turns.and_then(|text| text.parse().ok()).expect("turns are counted");
    assert!(turns < 2_000, "{turns} turns");
}
