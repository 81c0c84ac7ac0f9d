//! A crowd of idle TLS sessions: all of them get their farewell, and the process ends in time.

use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{check_farewell, exit};
use crate::party::over_sockets;

/// Sessions, unless `TERCET_CROWD` says otherwise.
const SESSIONS: usize = 2_000;
/// Logins at a time.
const WINDOW: usize = 64;
/// Sessions in each room; every other session is in one.
const OCCUPANTS: usize = 10;

#[test]
fn two_thousand_idle_tls_sessions() {
    let count = std::env::var("TERCET_CROWD").ok().and_then(|text| text.parse().ok());
    let count = count.unwrap_or(SESSIONS);
    let limit = getrlimit(Resource::Nofile);
    // Where it is not allowed, connecting fails, and says so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    let toml = "[limits]\nconnections_per_address = 0\nsessions_per_account = 0";
    let users: Vec<String> = (0..OCCUPANTS).map(|n| format!("user{n}")).collect();
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    let mut party = over_sockets(toml, &users);
    party.with_tls = true;
    party.keeps_transcripts = false;
    let mut crowd = Vec::new();
    while crowd.len() < count {
        let begun: Vec<_> = (crowd.len()..count.min(crowd.len() + WINDOW))
            .map(|n| party.begin_login(users[n % OCCUPANTS]))
            .collect();
        for &who in &begun {
            party.wait_until("a login", |party| party.is_decided(who));
            assert!(party.guests[who].client.is_ready(), "{}", party.seen(who));
        }
        crowd.extend(begun);
    }
    // Each ten neighbours of every other ten share a room.
    let room_of =
        |n: usize| (n / OCCUPANTS).is_multiple_of(2).then(|| format!("room{}", n / OCCUPANTS));
    for (n, &who) in crowd.iter().enumerate() {
        if let Some(room) = room_of(n) {
            party.enter(who, &room, users[n % OCCUPANTS]);
        }
    }
    for &who in &crowd {
        party.take(who);
    }
    let began = Instant::now();
    party.driver.process.terminate();
    for (n, &who) in crowd.iter().enumerate() {
        let room = room_of(n);
        check_farewell(&mut party, who, &room.as_deref().into_iter().collect::<Vec<_>>());
    }
    let (code, summary) = exit(&mut party);
    println!("{count} sessions: {summary}");
    assert_eq!(code, 0, "{summary}");
    assert!(summary.contains(&format!("{count} clients closed (0 cut)")), "{summary}");
    assert!(began.elapsed() < Duration::from_secs(17), "{summary}");
}
