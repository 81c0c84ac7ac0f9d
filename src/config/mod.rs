//! The configuration: every key with its default and its meaning. What the keys do belongs to the
//! parts that use them.
//!
//! This file is the data, and its defaults are the only ones. `file` is the shape of the TOML
//! text; `read` turns a text into that shape and knows on which line each key stands; `check`
//! turns the shape into a `Config`, or says which value would not work; `error` words it all.
//! `conf/tercet.toml` shows every key; a test holds it to this file.

mod check;
mod error;
mod federation;
mod file;
mod limits;
mod read;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use crate::xmpp::{BareJid, Role};

pub use error::ConfigError;
pub use federation::{Attached, Component, S2s, Verify};
pub use limits::Limits;

/// Everything that can be configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Domains with accounts; the first is the default. Those of a component are the other
    /// server's.
    pub domains: Vec<BareJid>,
    /// The folder with everything the server keeps.
    pub data: PathBuf,
    /// Log level, or a filter as in `RUST_LOG`.
    pub log: String,
    /// Client streams.
    pub c2s: C2s,
    /// Server streams.
    pub s2s: S2s,
    /// The server that this one is a component of; its rooms are all that there is then.
    pub component: Option<Component>,
    /// Components that may attach to this server.
    pub components: Vec<Attached>,
    /// Certificates.
    pub tls: Tls,
    /// The room service.
    pub rooms: Rooms,
    /// What is kept for accounts.
    pub accounts: Accounts,
    /// In-band registration.
    pub registration: Registration,
    /// Passwords and logins.
    pub sasl: Sasl,
    /// Limits; 0 switches one off.
    pub limits: Limits,
    /// Deadlines of the shutdown.
    pub shutdown: Shutdown,
    /// The database.
    pub storage: StorageOptions,
    /// Administration.
    pub admin: Admin,
    /// Where those who run the server are found.
    pub contact: Contact,
}

/// `[c2s]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct C2s {
    /// Addresses for clients, STARTTLS.
    pub listen: Vec<SocketAddr>,
    /// Addresses for clients, direct TLS (XEP-0368).
    pub listen_tls: Vec<SocketAddr>,
    /// No login without TLS.
    pub require_tls: bool,
    /// A session whose connection is lost waits for so long to be resumed (XEP-0198); 0: not at
    /// all.
    pub resume_seconds: u64,
}

/// `[tls]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// PEM chain; `None`: the self-signed one in the data folder.
    pub certificate: Option<PathBuf>,
    /// PEM key.
    pub key: Option<PathBuf>,
}

/// Who may create rooms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RoomCreators {
    /// Whoever can reach the service.
    Anyone,
    /// Accounts of this server.
    Local,
    /// `admin.jids`.
    Admins,
}

/// `[rooms]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rooms {
    /// Domains of the room service.
    pub domains: Vec<BareJid>,
    /// Who may create rooms.
    pub create: RoomCreators,
    /// Days that archived messages are kept; 0: as long as the limits allow.
    pub archive_days: u32,
    /// Days that a destroyed persistent room is remembered as gone; 0: not at all.
    pub tombstone_days: u32,
    /// Options of a new room.
    pub defaults: RoomOptions,
}

/// Who may send private messages (`muc#roomconfig_allowpm`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AllowPm {
    /// Every occupant.
    Anyone,
    /// Participants and moderators.
    Participants,
    /// Moderators.
    Moderators,
    /// Nobody.
    None,
}

/// Who sees real addresses (`muc#roomconfig_whois`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Whois {
    /// Every occupant: a non-anonymous room.
    Anyone,
    /// Moderators: a semi-anonymous room.
    Moderators,
}

/// Seconds of slow mode at most: a day.
pub const SLOW_MODE_SECONDS_MAX: u32 = 86_400;
/// The largest limit of messages per minute that a room may have.
pub const MESSAGES_PER_MINUTE_MAX: u32 = 60_000;
/// The largest limit of bytes of a message that a room may have.
pub const MESSAGE_BYTES_MAX: u32 = 16 * 1024 * 1024;
/// Who becomes a member by registering with a room (XEP-0045 §7.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RoomRegistration {
    /// Everybody, at once; in a members-only room with the approval of an admin.
    Open,
    /// Everybody, with the approval of an admin.
    Approval,
    /// Nobody: admins add members.
    Closed,
}

/// The options of a room: the configuration form, `[rooms.defaults]`, and what is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RoomOptions {
    /// `muc#roomconfig_roomname`
    pub name: String,
    /// `muc#roomconfig_roomdesc`
    pub description: String,
    /// `muc#roomconfig_lang`
    pub lang: String,
    /// `muc#roomconfig_persistentroom`
    pub persistent: bool,
    /// `muc#roomconfig_publicroom`
    pub public: bool,
    /// `muc#roomconfig_roomsecret`; empty: no password.
    pub password: String,
    /// `muc#roomconfig_membersonly`
    pub members_only: bool,
    /// `muc#roomconfig_moderatedroom`
    pub moderated: bool,
    /// `muc#roomconfig_whois`
    pub whois: Whois,
    /// `muc#roomconfig_changesubject`: participants may change the subject.
    pub change_subject: bool,
    /// `muc#roomconfig_maxusers`; 0: none.
    pub occupants_max: u32,
    /// `muc#roomconfig_enablelogging`: occupants are told that the room is logged publicly.
    pub logged: bool,
    /// `muc#roomconfig_presencebroadcast`: roles whose presence is broadcast.
    pub presence_broadcast: Vec<Role>,
    /// `muc#roomconfig_allowpm`
    pub allow_pm: AllowPm,
    /// `muc#roomconfig_allowinvites`: participants may invite others to a members-only room.
    pub allow_invites: bool,
    /// `muc#roomconfig_getmemberlist`: roles that may read the member list.
    pub get_member_list: Vec<Role>,
    /// `muc#maxhistoryfetch`: messages of history kept and sent at most.
    pub history_messages: u32,
    /// Who becomes a member by registering.
    pub registration: RoomRegistration,
    /// Occupants are listed in disco#items (XEP-0045 §6.5).
    pub occupants_in_disco: bool,
    /// Messages are archived while the room is persistent (XEP-0313).
    pub archive: bool,
    /// Seconds between two messages of one user (XEP-0500); 0: none.
    pub slow_mode_seconds: u32,
    /// Messages of one user per minute, of which a minute's worth may come at once; 0: no limit
    /// but that of the service. Admins and owners have none.
    pub messages_per_minute: u32,
    /// Bytes of what a client puts into a message; 0: no limit but `limits.stanza_bytes`. Admins
    /// and owners have none.
    pub message_bytes: u32,
}

impl Default for RoomOptions {
    fn default() -> Self {
        Self {
            name: String::new(),
            description: String::new(),
            lang: String::new(),
            persistent: false,
            public: true,
            password: String::new(),
            members_only: false,
            moderated: false,
            whois: Whois::Moderators,
            change_subject: false,
            occupants_max: 0,
            logged: false,
            presence_broadcast: vec![Role::Moderator, Role::Participant, Role::Visitor],
            allow_pm: AllowPm::Anyone,
            allow_invites: false,
            get_member_list: vec![Role::Moderator, Role::Participant, Role::Visitor],
            history_messages: 20,
            registration: RoomRegistration::Open,
            occupants_in_disco: false,
            archive: true,
            slow_mode_seconds: 0,
            messages_per_minute: 0,
            message_bytes: 0,
        }
    }
}

/// Who may register an account in band (XEP-0077).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InBand {
    /// Nobody.
    Off,
    /// Connections from this machine.
    Loopback,
    /// Everybody, rate-limited.
    Anyone,
}

/// `[registration]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Who may register.
    pub in_band: InBand,
    /// Who may invite others to an account (XEP-0401).
    pub invite: Inviters,
    /// Days that an invitation is good for.
    pub invite_days: u32,
}

/// Who may invite others to an account of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Inviters {
    /// `admin.jids`, and the command line.
    Admins,
    /// Every account.
    Accounts,
}

/// What is archived for an account that has not said what it wants (XEP-0441).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ArchiveDefault {
    /// Everything.
    Always,
    /// What is exchanged with contacts.
    Roster,
    /// Nothing.
    Never,
}

/// `[accounts]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accounts {
    /// What is archived for an account that has not said what it wants.
    pub archive: ArchiveDefault,
    /// Days that archived messages are kept; 0: as long as the limits allow.
    pub archive_days: u32,
    /// Days that messages wait for somebody who is away; 0: as long as the limits allow.
    pub offline_days: u32,
    /// Days without use after which a login token is void (XEP-0484).
    pub token_days: u32,
}

/// `[contact]`: where people find those who run the server (XEP-0157), as URIs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Contact {
    /// For reports of abuse.
    pub abuse: Vec<String>,
    /// Administration.
    pub admin: Vec<String>,
    /// Praise and complaint.
    pub feedback: Vec<String>,
    /// Sales.
    pub sales: Vec<String>,
    /// Security.
    pub security: Vec<String>,
    /// Whether the service runs.
    pub status: Vec<String>,
    /// Help.
    pub support: Vec<String>,
}

/// `[sasl]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sasl {
    /// PBKDF2 iterations of newly stored keys.
    pub iterations: u32,
    /// A failed login is answered after this long.
    pub failure_delay_ms: u64,
}

/// `[shutdown]`: deadlines of the phases (DESIGN §8).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Shutdown {
    /// All phases together.
    pub total_ms: u64,
    /// Each client, all in parallel.
    pub clients_ms: u64,
    /// What other servers and components are still to get, connections to them included.
    pub servers_ms: u64,
    /// Their streams are closed.
    pub servers_close_ms: u64,
    /// The last commit and checkpoint.
    pub storage_ms: u64,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self {
            total_ms: 15_000,
            clients_ms: 2_000,
            servers_ms: 5_000,
            servers_close_ms: 1_000,
            storage_ms: 1_000,
        }
    }
}

/// How far a commit goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Synchronous {
    /// Survives a power cut.
    Full,
    /// Survives a crash of the process.
    Normal,
}

/// `[storage]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageOptions {
    /// How far a commit goes.
    pub synchronous: Synchronous,
}

/// `[admin]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admin {
    /// Administrators of the whole server.
    pub jids: Rc<[BareJid]>,
}

impl Default for Config {
    fn default() -> Self {
        let domain = |text| BareJid::parse(text).expect("a domain of our own is valid");
        let port = |text: &str| text.parse().expect("an address of our own is valid");
        Self {
            domains: vec![domain("localhost")],
            data: PathBuf::from("tercet-data"),
            log: "info".to_owned(),
            c2s: C2s {
                listen: vec![port("127.0.0.1:5222"), port("[::1]:5222")],
                listen_tls: Vec::new(),
                require_tls: true,
                resume_seconds: 300,
            },
            s2s: S2s::default(),
            component: None,
            components: Vec::new(),
            tls: Tls::default(),
            rooms: Rooms {
                domains: vec![domain("conference.localhost")],
                create: RoomCreators::Local,
                archive_days: 90,
                tombstone_days: 31,
                defaults: RoomOptions::default(),
            },
            accounts: Accounts {
                archive: ArchiveDefault::Always,
                archive_days: 90,
                offline_days: 90,
                token_days: 21,
            },
            registration: Registration {
                in_band: InBand::Loopback,
                invite: Inviters::Admins,
                invite_days: 7,
            },
            sasl: Sasl { iterations: 10_000, failure_delay_ms: 1_000 },
            limits: Limits::default(),
            shutdown: Shutdown::default(),
            storage: StorageOptions { synchronous: Synchronous::Normal },
            admin: Admin::default(),
            contact: Contact::default(),
        }
    }
}

impl Config {
    /// Reads and checks a file. Relative paths in it, the default ones too, are taken from the
    /// folder that it is in.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError::new(error.to_string()).in_file(path))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Self::parse(&text, folder).map_err(|error| error.in_file(path))
    }

    /// Reads and checks a text. Relative paths are taken from `folder`.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, ConfigError> {
        let (file, places) = read::read(text)?;
        check::check(file, &places, folder)
    }

    /// True when accounts of this server live at `domain`. A component has none.
    pub fn is_account_domain(&self, domain: &str) -> bool {
        self.component.is_none() && self.is_home_domain(domain)
    }

    /// True when accounts at `domain` are at home here: this server's, or those of the server that
    /// it is a component of.
    pub fn is_home_domain(&self, domain: &str) -> bool {
        self.domains.iter().any(|own| own.as_str() == domain)
    }

    /// True when `domain` is a room service of this server.
    pub fn is_room_domain(&self, domain: &str) -> bool {
        self.rooms.domains.iter().any(|own| own.as_str() == domain)
    }

    /// True when `domain` is one of this server, with accounts or rooms.
    pub fn is_own_domain(&self, domain: &str) -> bool {
        self.is_account_domain(domain) || self.is_room_domain(domain)
    }

    /// True for an administrator of the whole server.
    pub fn is_admin(&self, who: &str) -> bool {
        self.admin.jids.iter().any(|admin| admin.as_str() == who)
    }
}
