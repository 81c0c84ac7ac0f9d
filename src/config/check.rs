//! From the shape of the file to a configuration that works: addresses parsed and prepared, paths
//! made relative to the file, numbers held to what the server can stand. The first value that
//! would not work is named, with its line.

mod federation;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::error::ConfigError;
use super::file::{self, File};
use super::read::Places;
use super::{
    Accounts, Admin, C2s, Component, Config, Contact, Limits, MESSAGE_BYTES_MAX,
    MESSAGES_PER_MINUTE_MAX, Registration, RoomOptions, Rooms, SLOW_MODE_SECONDS_MAX, Sasl,
    Shutdown, StorageOptions, Tls,
};
use crate::xmpp::{BareJid, Role};

/// PBKDF2 iterations: RFC 5802 §5.1 sets the least, patience the most.
const ITERATIONS: std::ops::RangeInclusive<u32> = 4_096..=10_000_000;

/// No server may refuse stanzas that are shorter (RFC 6120 §13.12).
const STANZA_BYTES_MIN: usize = 10_000;

/// A login does not fit into less.
const STANZA_BYTES_UNAUTHENTICATED_MIN: usize = 4_096;

/// What an outbox must hold beside the largest stanza.
const OUTBOX_SPARE_BYTES: usize = 65_536;

/// Seconds in a year: no deadline is longer.
const SECONDS_MAX: u64 = 31_536_000;

/// Seconds that a lost session may wait: a day.
const RESUME_SECONDS_MAX: u64 = 86_400;

/// Days in a century: nothing is kept for a fixed time that is longer.
const DAYS_MAX: u64 = 36_525;

/// Milliseconds that a failed login may be held back, and that a shutdown may take.
const DELAY_MS_MAX: u64 = 60_000;
const SHUTDOWN_MS_MAX: u64 = 600_000;

/// The largest number of bytes in a limit (1 TiB), so that sums and products of limits fit.
const BYTES_MAX: u64 = 1 << 40;

/// Messages that one account may send to a room per second.
const MESSAGES_PER_SECOND_MAX: u64 = 1_000_000;

/// Messages of history that a room may keep by default.
const HISTORY_MESSAGES_MAX: u32 = 10_000;

/// Turns the file into a configuration. Relative paths are taken from `folder`.
pub(super) fn check(file: File, places: &Places, folder: &Path) -> Result<Config, ConfigError> {
    let at = Checker { places };
    let domains = at.domains("domains", &file.domains)?;
    let component = at.component(&file.component)?;
    let room_domains = at.room_domains(&file.rooms.domains, &domains, component.as_ref())?;
    at.log(&file.log)?;
    at.sasl(file.sasl.iterations, file.sasl.failure_delay_ms)?;
    at.limits(&file.limits)?;
    at.within("rooms.archive_days", u64::from(file.rooms.archive_days), 0, DAYS_MAX)?;
    at.within("rooms.tombstone_days", u64::from(file.rooms.tombstone_days), 0, DAYS_MAX)?;
    at.within("c2s.resume_seconds", file.c2s.resume_seconds, 0, RESUME_SECONDS_MAX)?;
    at.shutdown(&file.shutdown)?;
    at.room_defaults(&file.rooms.defaults, &file.limits)?;
    if file.data.is_empty() {
        return Err(at.wrong(&["data"], "expected the path of a folder, found an empty text"));
    }
    let mut listeners = BTreeSet::new();
    let mut listen = |key: &str, texts: &[String]| at.listen(key, texts, &mut listeners);
    let clients = listen("c2s.listen", &file.c2s.listen)?;
    let clients_tls = listen("c2s.listen_tls", &file.c2s.listen_tls)?;
    let servers = listen("s2s.listen", &file.s2s.listen)?;
    let servers_tls = listen("s2s.listen_tls", &file.s2s.listen_tls)?;
    if component.is_none() && clients.is_empty() && clients_tls.is_empty() {
        let message = "expected at least one address here or in c2s.listen_tls";
        return Err(at.wrong(&["c2s.listen", "c2s.listen_tls"], message));
    }
    let components = at.components(&file.components, &domains, &room_domains)?;
    Ok(Config {
        domains,
        data: folder.join(&file.data),
        log: file.log,
        c2s: C2s {
            listen: clients,
            listen_tls: clients_tls,
            require_tls: file.c2s.require_tls,
            resume_seconds: file.c2s.resume_seconds,
        },
        s2s: at.s2s(file.s2s, servers, servers_tls, folder)?,
        component,
        components,
        tls: at.tls(&file.tls.certificate, &file.tls.key, folder)?,
        rooms: Rooms {
            domains: room_domains,
            create: file.rooms.create,
            archive_days: file.rooms.archive_days,
            tombstone_days: file.rooms.tombstone_days,
            defaults: file.rooms.defaults,
        },
        accounts: at.accounts(&file.accounts)?,
        registration: at.registration(&file.registration)?,
        sasl: Sasl {
            iterations: file.sasl.iterations,
            failure_delay_ms: file.sasl.failure_delay_ms,
        },
        limits: file.limits,
        shutdown: file.shutdown,
        storage: StorageOptions { synchronous: file.storage.synchronous },
        admin: Admin { jids: at.admins(&file.admin.jids)? },
        contact: at.contact(file.contact)?,
    })
}

/// The rules, and where the keys stand that break them.
struct Checker<'a> {
    places: &'a Places,
}

impl Checker<'_> {
    /// An error about keys that do not go together: named after the first that is in the file.
    fn wrong(&self, keys: &[&str], message: impl Into<String>) -> ConfigError {
        let key = keys.iter().find(|key| self.places.line(key).is_some()).unwrap_or(&keys[0]);
        ConfigError::at(self.places.line(key), key, message)
    }

    /// An error about one item of a list.
    fn wrong_item(&self, key: &str, index: usize, message: String) -> ConfigError {
        let line = self.places.line(&format!("{key}[{index}]")).or(self.places.line(key));
        ConfigError::at(line, key, message)
    }

    fn domains(&self, key: &str, texts: &[String]) -> Result<Vec<BareJid>, ConfigError> {
        let mut domains: Vec<BareJid> = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            let domain = BareJid::parse(text).ok().filter(|jid| jid.local().is_none());
            let Some(domain) = domain else {
                let message = format!("expected a domain such as chat.example, found {text:?}");
                return Err(self.wrong_item(key, index, message));
            };
            if domains.contains(&domain) {
                return Err(self.wrong_item(key, index, format!("{domain} is there twice")));
            }
            domains.push(domain);
        }
        if domains.is_empty() {
            return Err(self.wrong(&[key], "expected at least one domain"));
        }
        Ok(domains)
    }

    /// The domains of the room service: its own, those of a component, or one that follows from the
    /// first of the accounts.
    fn room_domains(
        &self,
        texts: &[String],
        domains: &[BareJid],
        component: Option<&Component>,
    ) -> Result<Vec<BareJid>, ConfigError> {
        let room_domains = match (component, self.places.line("rooms.domains")) {
            (Some(component), None) => vec![component.domain.clone()],
            (Some(_), Some(_)) => {
                let message = "a component has one domain, component.domain: leave this out";
                return Err(self.wrong(&["rooms.domains"], message));
            }
            (None, Some(_)) => self.domains("rooms.domains", texts)?,
            (None, None) => self.domains("domains", &[format!("conference.{}", domains[0])])?,
        };
        if let Some(shared) = room_domains.iter().find(|domain| domains.contains(domain)) {
            let message = format!("{shared} is one of domains already: rooms need a domain apart");
            return Err(self.wrong(&["rooms.domains", "domains"], message));
        }
        Ok(room_domains)
    }

    fn listen(
        &self,
        key: &str,
        texts: &[String],
        seen: &mut BTreeSet<SocketAddr>,
    ) -> Result<Vec<SocketAddr>, ConfigError> {
        let mut addresses = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            let Ok(address) = text.parse::<SocketAddr>() else {
                let message = format!(
                    "expected an IP address and a port, such as 0.0.0.0:5222 or [::]:5222, found \
                     {text:?}"
                );
                return Err(self.wrong_item(key, index, message));
            };
            // Port 0 is whichever is free: no two of them are the same.
            if address.port() != 0 && !seen.insert(address) {
                return Err(self.wrong_item(key, index, format!("{address} is there twice")));
            }
            addresses.push(address);
        }
        Ok(addresses)
    }

    fn tls(&self, certificate: &str, key: &str, folder: &Path) -> Result<Tls, ConfigError> {
        let path =
            |text: &str| -> Option<PathBuf> { (!text.is_empty()).then(|| folder.join(text)) };
        match (path(certificate), path(key)) {
            (Some(_), None) => {
                let message = "a certificate needs its key: set tls.key as well";
                Err(self.wrong(&["tls.certificate"], message))
            }
            (None, Some(_)) => {
                let message = "a key needs its certificate: set tls.certificate as well";
                Err(self.wrong(&["tls.key"], message))
            }
            (certificate, key) => Ok(Tls { certificate, key }),
        }
    }

    /// A level, or a filter as in `RUST_LOG`. That one takes any word for the name of a module;
    /// here a word alone must be a level, since a mistyped level would log everything.
    fn log(&self, log: &str) -> Result<(), ConfigError> {
        for directive in log.split(',').map(str::trim) {
            let level = match directive.split_once('=') {
                Some((module, level)) if !module.trim().is_empty() => level.trim(),
                _ => directive,
            };
            if level.parse::<log::LevelFilter>().is_err() {
                let message = format!(
                    "expected off, error, warn, info, debug or trace, or a filter such as \
                     info,tercet::net=debug, found {directive:?}"
                );
                return Err(self.wrong(&["log"], message));
            }
        }
        Ok(())
    }

    fn sasl(&self, iterations: u32, failure_delay_ms: u64) -> Result<(), ConfigError> {
        let (least, most) = (u64::from(*ITERATIONS.start()), u64::from(*ITERATIONS.end()));
        self.within("sasl.iterations", u64::from(iterations), least, most)?;
        self.within("sasl.failure_delay_ms", failure_delay_ms, 0, DELAY_MS_MAX)
    }

    fn limits(&self, limits: &Limits) -> Result<(), ConfigError> {
        let Limits { stanza_bytes, stanza_bytes_unauthenticated, .. } = *limits;
        let least_or_off = [
            ("stanza_bytes", stanza_bytes, STANZA_BYTES_MIN),
            (
                "stanza_bytes_unauthenticated",
                stanza_bytes_unauthenticated,
                STANZA_BYTES_UNAUTHENTICATED_MIN,
            ),
            ("stanza_depth", limits.stanza_depth, 8),
            ("element_attributes", limits.element_attributes, 8),
            ("stanza_nodes", limits.stanza_nodes, 64),
            ("outbox_bytes", limits.outbox_bytes, OUTBOX_SPARE_BYTES),
            ("room_text_bytes", limits.room_text_bytes, 64),
        ];
        for (name, value, least) in least_or_off {
            if value > 0 && value < least {
                let key = format!("limits.{name}");
                let message = format!("expected {least} or more, or 0 for no limit, found {value}");
                return Err(self.wrong(&[&key], message));
            }
        }
        self.within(
            "limits.unauthenticated_seconds",
            limits.unauthenticated_seconds,
            0,
            SECONDS_MAX,
        )?;
        self.within("limits.idle_seconds", limits.idle_seconds, 0, SECONDS_MAX)?;
        let bytes = [
            ("stanza_bytes", stanza_bytes as u64),
            ("stanza_bytes_unauthenticated", stanza_bytes_unauthenticated as u64),
            ("bytes_per_second", limits.bytes_per_second),
            ("burst_bytes", limits.burst_bytes),
            ("outbox_bytes", limits.outbox_bytes as u64),
            ("outbox_bytes_total", limits.outbox_bytes_total as u64),
            ("room_history_bytes", limits.room_history_bytes as u64),
            ("room_text_bytes", limits.room_text_bytes as u64),
            ("room_archive_bytes", limits.room_archive_bytes),
            ("room_vcard_bytes", limits.room_vcard_bytes as u64),
            ("resume_bytes", limits.resume_bytes as u64),
            ("offline_bytes", limits.offline_bytes as u64),
            ("account_archive_bytes", limits.account_archive_bytes),
            ("account_vcard_bytes", limits.account_vcard_bytes as u64),
            ("private_bytes", limits.private_bytes as u64),
            ("pep_item_bytes", limits.pep_item_bytes as u64),
            ("pep_bytes", limits.pep_bytes as u64),
        ];
        for (name, value) in bytes {
            self.within(&format!("limits.{name}"), value, 0, BYTES_MAX)?;
        }
        let messages = u64::from(limits.room_messages_per_second);
        self.within("limits.room_messages_per_second", messages, 0, MESSAGES_PER_SECOND_MAX)?;
        self.limits_together(limits)
    }

    /// Limits that must fit each other. One that is off asks nothing of the others.
    fn limits_together(&self, limits: &Limits) -> Result<(), ConfigError> {
        let Limits { stanza_bytes, outbox_bytes, outbox_bytes_total, .. } = *limits;
        let before = limits.stanza_bytes_unauthenticated;
        if stanza_bytes > 0 && before > stanza_bytes {
            let message =
                format!("{before} before login is more than stanza_bytes ({stanza_bytes})");
            return Err(self
                .wrong(&["limits.stanza_bytes_unauthenticated", "limits.stanza_bytes"], message));
        }
        if outbox_bytes > 0 && outbox_bytes < stanza_bytes + OUTBOX_SPARE_BYTES {
            let message = format!(
                "an outbox of {outbox_bytes} bytes does not hold the largest stanza: \
                 outbox_bytes must be stanza_bytes + {OUTBOX_SPARE_BYTES} or more"
            );
            return Err(self.wrong(&["limits.outbox_bytes", "limits.stanza_bytes"], message));
        }
        if outbox_bytes_total > 0 && outbox_bytes_total < outbox_bytes {
            let message = format!(
                "{outbox_bytes_total} for all outboxes together is less than outbox_bytes \
                 ({outbox_bytes}) for one"
            );
            return Err(self.wrong(&["limits.outbox_bytes_total", "limits.outbox_bytes"], message));
        }
        Ok(())
    }

    fn shutdown(&self, shutdown: &Shutdown) -> Result<(), ConfigError> {
        let Shutdown { total_ms, clients_ms, servers_ms, servers_close_ms, storage_ms } = *shutdown;
        self.within("shutdown.total_ms", total_ms, 100, SHUTDOWN_MS_MAX)?;
        for (key, part) in [
            ("shutdown.clients_ms", clients_ms),
            ("shutdown.servers_ms", servers_ms),
            ("shutdown.servers_close_ms", servers_close_ms),
            ("shutdown.storage_ms", storage_ms),
        ] {
            if part > total_ms {
                let message = format!("{part} is more than shutdown.total_ms ({total_ms})");
                return Err(self.wrong(&[key, "shutdown.total_ms"], message));
            }
        }
        Ok(())
    }

    fn room_defaults(&self, options: &RoomOptions, limits: &Limits) -> Result<(), ConfigError> {
        let key = |name: &str| format!("rooms.defaults.{name}");
        for (name, roles) in [
            ("presence_broadcast", &options.presence_broadcast),
            ("get_member_list", &options.get_member_list),
        ] {
            for (index, role) in roles.iter().enumerate() {
                if *role == Role::None || roles[..index].contains(role) {
                    let message = format!(
                        "expected visitor, participant, moderator, each once at most, found {role}"
                    );
                    return Err(self.wrong_item(&key(name), index, message));
                }
            }
        }
        for (name, text) in [
            ("name", &options.name),
            ("description", &options.description),
            ("lang", &options.lang),
            ("password", &options.password),
        ] {
            let most = limits.room_text_bytes;
            if most > 0 && text.len() > most {
                let message = format!("longer than limits.room_text_bytes ({most})");
                return Err(self.wrong(&[&key(name), "limits.room_text_bytes"], message));
            }
        }
        if !options.password.is_empty() && options.password.trim().is_empty() {
            return Err(self.wrong(&[&key("password")], "a password of white space only"));
        }
        let (occupants, most) = (options.occupants_max as usize, limits.room_occupants);
        if most > 0 && occupants > most {
            let message = format!("more than limits.room_occupants ({most})");
            return Err(self.wrong(&[&key("occupants_max"), "limits.room_occupants"], message));
        }
        let bounded = [
            ("slow_mode_seconds", options.slow_mode_seconds, SLOW_MODE_SECONDS_MAX),
            ("messages_per_minute", options.messages_per_minute, MESSAGES_PER_MINUTE_MAX),
            ("message_bytes", options.message_bytes, MESSAGE_BYTES_MAX),
        ];
        for (name, value, most) in bounded {
            self.within(&key(name), u64::from(value), 0, u64::from(most))?;
        }
        let messages = u64::from(options.history_messages);
        self.within(&key("history_messages"), messages, 0, u64::from(HISTORY_MESSAGES_MAX))
    }

    fn accounts(&self, accounts: &file::Accounts) -> Result<Accounts, ConfigError> {
        let file::Accounts { archive, archive_days, offline_days, token_days } = *accounts;
        self.within("accounts.archive_days", u64::from(archive_days), 0, DAYS_MAX)?;
        self.within("accounts.offline_days", u64::from(offline_days), 0, DAYS_MAX)?;
        self.within("accounts.token_days", u64::from(token_days), 1, DAYS_MAX)?;
        Ok(Accounts { archive, archive_days, offline_days, token_days })
    }

    fn registration(&self, file: &file::Registration) -> Result<Registration, ConfigError> {
        let file::Registration { in_band, invite, invite_days } = *file;
        self.within("registration.invite_days", u64::from(invite_days), 1, DAYS_MAX)?;
        Ok(Registration { in_band, invite, invite_days })
    }

    /// XEP-0157 §3: addresses are URIs.
    fn contact(&self, contact: Contact) -> Result<Contact, ConfigError> {
        let Contact { abuse, admin, feedback, sales, security, status, support } = &contact;
        for (name, uris) in [
            ("abuse", abuse),
            ("admin", admin),
            ("feedback", feedback),
            ("sales", sales),
            ("security", security),
            ("status", status),
            ("support", support),
        ] {
            for (index, uri) in uris.iter().enumerate() {
                let is_uri = uri.split_once(':').is_some_and(|(scheme, rest)| {
                    !scheme.is_empty() && !rest.is_empty() && !uri.contains(char::is_whitespace)
                });
                if !is_uri {
                    let message =
                        format!("expected a URI such as mailto:admin@chat.example, found {uri:?}");
                    return Err(self.wrong_item(&format!("contact.{name}"), index, message));
                }
            }
        }
        Ok(contact)
    }

    fn admins(&self, texts: &[String]) -> Result<Rc<[BareJid]>, ConfigError> {
        let parse = |(index, text): (usize, &String)| {
            let jid = BareJid::parse(text).ok().filter(|jid| jid.local().is_some());
            jid.ok_or_else(|| {
                let message =
                    format!("expected an account such as you@chat.example, found {text:?}");
                self.wrong_item("admin.jids", index, message)
            })
        };
        texts.iter().enumerate().map(parse).collect()
    }

    fn within(&self, key: &str, value: u64, least: u64, most: u64) -> Result<(), ConfigError> {
        if (least..=most).contains(&value) {
            return Ok(());
        }
        let message = format!("expected a number from {least} to {most}, found {value}");
        Err(self.wrong(&[key], message))
    }
}
