//! A simulation in which nothing happens proves nothing: what the seeds of a run must have come to,
//! all together.

use tercet::xmpp::ns;

use super::archive::ARCHIVE;
use super::novelties::SLOW_MODE;
use super::paces::{MESSAGE_BYTES, MESSAGES_PER_MINUTE};

/// What the seeds together must have come to, and the feature without which it cannot.
pub const MUST_HAPPEN_WITH: [(&str, &str); 16] = [
    (ns::HATS, "hats given"),
    (ns::MAM, "archives pried into"),
    (ns::MAM, "archives read"),
    (ns::MODERATE, "messages taken back"),
    (ns::MUC_AFFILIATIONS, "versions of affiliations"),
    (ns::MUC_REQUEST, "requests for voice answered"),
    (ns::REGISTER, "registrations"),
    (ns::REGISTER, "reserved nicks refused"),
    (ns::RSM, "lists in pages"),
    (ns::VCARD_TEMP, "cards set"),
    (ns::RETRACT, "messages taken back by who said them"),
    (ns::RETRACT, "retractions refused"),
    (MESSAGES_PER_MINUTE, "refusals of too many"),
    (MESSAGE_BYTES, "refusals of too much"),
    (ARCHIVE, "archives switched off"),
    (SLOW_MODE, "refusals in slow mode"),
];

/// What the seeds together must have come to.
pub const MUST_HAPPEN: [&str; 43] = [
    "accounts removed",
    "attempts granted",
    "attempts refused",
    "audits",
    "bans that outlive an account",
    "clients cut that do not read",
    "graves found again",
    "crashes",
    "domains banned",
    "domains no more members",
    "heirs of nothing",
    "invitations",
    "joins as predicted",
    "kicks amid changes of nick",
    "large presences",
    "lists of rooms",
    "locked rooms entered by right",
    "members by their domain",
    "names that came back",
    "nicks refused",
    "nicks seen shared",
    "own entries before those of domains",
    "predicted refusals",
    "predicted results",
    "probes",
    "refused joins as predicted",
    "registrations approved",
    "registrations denied",
    "registrations that nobody could approve",
    "removals found again",
    "requests answered through a seat",
    "requests of the tables",
    "restarts",
    "rooms destroyed amid joins",
    "rooms destroyed by an admin of the server",
    "rooms destroyed by command",
    "rooms entered by right",
    "rooms mourned",
    "rooms told how busy",
    "rooms whose pace is hidden",
    "sets by mere moderators",
    "streams ended by a lost commit",
    "voices kept",
];
