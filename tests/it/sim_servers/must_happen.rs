//! A simulation in which nothing happens proves nothing: what the seeds of a run must have come to,
//! all together.

pub const MUST_HAPPEN: [&str; 18] = [
    "TLS handshakes",
    "bursts",
    "connections between servers",
    "connections never answered",
    "connections refused",
    "directed presences",
    "joins again",
    "long silences",
    "messages",
    "messages arrived",
    "messages back",
    "messages in the room",
    "messages to nowhere",
    "requests",
    "requests answered",
    "rooms in order",
    "stops",
    "wires cut",
];
