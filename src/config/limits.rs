//! `[limits]`: what one peer, one account, one room may take of the server.

use serde::{Deserialize, Serialize};

/// `[limits]`: 0 switches one off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Connections in all.
    pub connections: usize,
    /// Connections of one address (an IPv6 /64 counts as one).
    pub connections_per_address: usize,
    /// Connections before login, in all.
    pub connections_unauthenticated: usize,
    /// Time to log in.
    pub unauthenticated_seconds: u64,
    /// A client that is silent for so long is pinged by white space, and closed when gone.
    pub idle_seconds: u64,
    /// Bytes of a stanza before login.
    pub stanza_bytes_unauthenticated: usize,
    /// Bytes of a stanza.
    pub stanza_bytes: usize,
    /// Depth of elements in a stanza.
    pub stanza_depth: usize,
    /// Attributes of an element.
    pub element_attributes: usize,
    /// Elements, texts and attributes of a stanza.
    pub stanza_nodes: usize,
    /// Bytes per second per client; reading is paused above it.
    pub bytes_per_second: u64,
    /// Bytes that a client may send at once.
    pub burst_bytes: u64,
    /// Failed logins per address.
    pub login_failures_per_address_per_minute: u32,
    /// Registrations per address.
    pub registrations_per_address_per_minute: u32,
    /// TLS handshakes begun per address.
    pub handshakes_per_address_per_minute: u32,
    /// Output that may wait for one client.
    pub outbox_bytes: usize,
    /// Output that may wait for all clients together. Above half of it what can wait does
    /// (`Cx::is_crowded`).
    pub outbox_bytes_total: usize,
    /// Sessions of one account.
    pub sessions_per_account: usize,
    /// Contacts in one roster.
    pub roster_items: usize,
    /// Subscription requests that wait for the answer of one account.
    pub subscription_requests: usize,
    /// Rooms that are live or stored.
    pub rooms: usize,
    /// Occupants of one room.
    pub room_occupants: usize,
    /// Rooms that one session may be in.
    pub rooms_per_session: usize,
    /// Affiliations of one room.
    pub room_affiliations: usize,
    /// Bytes of history kept per room.
    pub room_history_bytes: usize,
    /// Stanzas of one account that a room passes on per second in the long run (messages to all
    /// or to one, joins, changes of nick or presence); five seconds' worth may come at once.
    pub room_messages_per_second: u32,
    /// Messages kept in the archive of one room.
    pub room_archive_messages: usize,
    /// Bytes kept in the archive of one room.
    pub room_archive_bytes: u64,
    /// Bytes of a room's card, its avatar included.
    pub room_vcard_bytes: usize,
    /// Hats that one room may have.
    pub room_hats: usize,
    /// Bytes of a room's name, description, subject, password, a reason, a nick, each.
    pub room_text_bytes: usize,
    /// Addresses that one session may have sent directed presence to.
    pub directed_presences: usize,
    /// Bytes that wait for the acknowledgement of one session with stream management.
    pub resume_bytes: usize,
    /// Messages kept for one account while it is away.
    pub offline_messages: usize,
    /// Bytes of them.
    pub offline_bytes: usize,
    /// Messages kept in the archive of one account.
    pub account_archive_messages: usize,
    /// Bytes kept in the archive of one account.
    pub account_archive_bytes: u64,
    /// Bytes of an account's card, its picture included.
    pub account_vcard_bytes: usize,
    /// Bytes that one account may keep as private XML.
    pub private_bytes: usize,
    /// Addresses that one account may block.
    pub blocked_addresses: usize,
    /// Nodes of one account (PEP).
    pub pep_nodes: usize,
    /// Items of one node.
    pub pep_items: usize,
    /// Bytes of one item.
    pub pep_item_bytes: usize,
    /// Bytes of all items of one account.
    pub pep_bytes: usize,
    /// Login tokens of one account.
    pub login_tokens: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            connections_per_address: 256,
            connections_unauthenticated: 1_000,
            unauthenticated_seconds: 30,
            idle_seconds: 300,
            stanza_bytes_unauthenticated: 10_240,
            stanza_bytes: 262_144,
            stanza_depth: 64,
            element_attributes: 64,
            stanza_nodes: 4096,
            bytes_per_second: 65_536,
            burst_bytes: 1_048_576,
            login_failures_per_address_per_minute: 10,
            registrations_per_address_per_minute: 5,
            handshakes_per_address_per_minute: 600,
            outbox_bytes: 4_194_304,
            outbox_bytes_total: 33_554_432,
            sessions_per_account: 32,
            roster_items: 2_000,
            subscription_requests: 100,
            rooms: 10_000,
            room_occupants: 5_000,
            rooms_per_session: 200,
            room_affiliations: 10_000,
            room_history_bytes: 262_144,
            room_messages_per_second: 20,
            room_archive_messages: 100_000,
            room_archive_bytes: 67_108_864,
            room_vcard_bytes: 65_536,
            room_hats: 50,
            room_text_bytes: 4_096,
            directed_presences: 500,
            resume_bytes: 262_144,
            offline_messages: 500,
            offline_bytes: 2_097_152,
            account_archive_messages: 100_000,
            account_archive_bytes: 67_108_864,
            account_vcard_bytes: 131_072,
            private_bytes: 262_144,
            blocked_addresses: 1_000,
            pep_nodes: 100,
            pep_items: 1_000,
            pep_item_bytes: 131_072,
            pep_bytes: 2_097_152,
            login_tokens: 32,
        }
    }
}
