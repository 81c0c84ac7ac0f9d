//! A simulation in which nothing happens proves nothing: what the seeds of a run must have come to,
//! all together.

pub const MUST_HAPPEN: [&str; 3] = ["logins", "messages for many", "messages kept"];
