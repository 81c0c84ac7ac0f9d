//! The shape of the TOML text: the configuration before its addresses and paths are parsed.
//! Its defaults are made from `Config::default()`, so that they are written once.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    ArchiveDefault, Config, Contact, InBand, Inviters, Limits, RoomCreators, RoomOptions, Shutdown,
    StorageOptions, Synchronous, Verify,
};

/// The whole file.
#[derive(Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct File {
    pub(super) domains: Vec<String>,
    pub(super) data: String,
    pub(super) log: String,
    pub(super) c2s: C2s,
    pub(super) s2s: S2s,
    pub(super) component: Component,
    pub(super) components: Vec<Attached>,
    pub(super) tls: Tls,
    pub(super) rooms: Rooms,
    pub(super) accounts: Accounts,
    pub(super) registration: Registration,
    pub(super) sasl: Sasl,
    pub(super) limits: Limits,
    pub(super) shutdown: Shutdown,
    pub(super) storage: Storage,
    pub(super) admin: Admin,
    pub(super) contact: Contact,
}

/// `[c2s]`
#[derive(Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct C2s {
    pub(super) listen: Vec<String>,
    pub(super) listen_tls: Vec<String>,
    pub(super) require_tls: bool,
    pub(super) resume_seconds: u64,
}

/// `[s2s]`
#[derive(Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct S2s {
    pub(super) listen: Vec<String>,
    pub(super) listen_tls: Vec<String>,
    pub(super) require_tls: bool,
    pub(super) verify: Verify,
    pub(super) authorities: String,
    pub(super) idle_seconds: u64,
    pub(super) queue_bytes: usize,
    pub(super) queue_stanzas: usize,
    pub(super) hosts: BTreeMap<String, String>,
}

/// `[component]`: without a server it is none.
#[derive(Serialize, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Component {
    pub(super) server: String,
    pub(super) domain: String,
    pub(super) secret: String,
}

/// `[[components]]`
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Attached {
    pub(super) domain: String,
    pub(super) secret: String,
    #[serde(default = "attached_listen")]
    pub(super) listen: String,
}

/// Where components connect when nothing is said.
fn attached_listen() -> String {
    "127.0.0.1:5347".to_owned()
}

/// `[tls]`: an empty text is none.
#[derive(Serialize, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Tls {
    pub(super) certificate: String,
    pub(super) key: String,
}

/// `[rooms]`
#[derive(Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Rooms {
    pub(super) domains: Vec<String>,
    pub(super) create: RoomCreators,
    pub(super) archive_days: u32,
    pub(super) tombstone_days: u32,
    pub(super) defaults: RoomOptions,
}

/// `[accounts]`
#[derive(Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Accounts {
    pub(super) archive: ArchiveDefault,
    pub(super) archive_days: u32,
    pub(super) offline_days: u32,
    pub(super) token_days: u32,
}

/// `[registration]`
#[derive(Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Registration {
    pub(super) in_band: InBand,
    pub(super) invite: Inviters,
    pub(super) invite_days: u32,
}

/// `[sasl]`
#[derive(Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Sasl {
    pub(super) iterations: u32,
    pub(super) failure_delay_ms: u64,
}

/// `[storage]`
#[derive(Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Storage {
    pub(super) synchronous: Synchronous,
}

/// `[admin]`
#[derive(Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Admin {
    pub(super) jids: Vec<String>,
}

impl Default for File {
    fn default() -> Self {
        let config = Config::default();
        let texts = |jids: &[crate::xmpp::BareJid]| jids.iter().map(ToString::to_string).collect();
        let path = |path: Option<std::path::PathBuf>| {
            path.map(|path| path.display().to_string()).unwrap_or_default()
        };
        let StorageOptions { synchronous } = config.storage;
        Self {
            domains: texts(&config.domains),
            data: path(Some(config.data)),
            log: config.log,
            c2s: C2s {
                listen: config.c2s.listen.iter().map(ToString::to_string).collect(),
                listen_tls: config.c2s.listen_tls.iter().map(ToString::to_string).collect(),
                require_tls: config.c2s.require_tls,
                resume_seconds: config.c2s.resume_seconds,
            },
            s2s: S2s {
                listen: config.s2s.listen.iter().map(ToString::to_string).collect(),
                listen_tls: config.s2s.listen_tls.iter().map(ToString::to_string).collect(),
                require_tls: config.s2s.require_tls,
                verify: config.s2s.verify,
                authorities: path(config.s2s.authorities),
                idle_seconds: config.s2s.idle_seconds,
                queue_bytes: config.s2s.queue_bytes,
                queue_stanzas: config.s2s.queue_stanzas,
                hosts: BTreeMap::new(),
            },
            component: Component::default(),
            components: Vec::new(),
            tls: Tls { certificate: path(config.tls.certificate), key: path(config.tls.key) },
            rooms: Rooms {
                domains: texts(&config.rooms.domains),
                create: config.rooms.create,
                archive_days: config.rooms.archive_days,
                tombstone_days: config.rooms.tombstone_days,
                defaults: config.rooms.defaults,
            },
            accounts: Accounts {
                archive: config.accounts.archive,
                archive_days: config.accounts.archive_days,
                offline_days: config.accounts.offline_days,
                token_days: config.accounts.token_days,
            },
            registration: Registration {
                in_band: config.registration.in_band,
                invite: config.registration.invite,
                invite_days: config.registration.invite_days,
            },
            sasl: Sasl {
                iterations: config.sasl.iterations,
                failure_delay_ms: config.sasl.failure_delay_ms,
            },
            limits: config.limits,
            shutdown: config.shutdown,
            storage: Storage { synchronous },
            admin: Admin { jids: texts(&config.admin.jids) },
            contact: config.contact,
        }
    }
}

/// A section that is there in part takes the rest from the whole default.
macro_rules! default_section {
    ($($section:ident $field:ident),*) => {$(
        impl Default for $section {
            fn default() -> Self {
                File::default().$field
            }
        }
    )*};
}

default_section!(C2s c2s, S2s s2s, Rooms rooms, Accounts accounts, Registration registration,
    Sasl sasl, Storage storage, Admin admin);
