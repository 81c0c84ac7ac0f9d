//! What a server of the tests starts with: configuration, accounts, data folder, chance.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

use tercet::accounts;
use tercet::config::Config;
use tercet::cx::{Entropy, Now};
use tercet::server::Server;
use tercet::storage::Storage;

use crate::scenario::Scenario;

/// The configuration of all tests; `# config:` lines of a script go on top. What is slow or would
/// depend on real time is switched off: the limits have tests of their own.
const CONFIG: &str = "
    log = 'debug'
    [c2s]
    require_tls = false
    [s2s]
    listen = []
    [sasl]
    iterations = 4096
    failure_delay_ms = 10
    [limits]
    bytes_per_second = 0
    idle_seconds = 0
    login_failures_per_address_per_minute = 0
    registrations_per_address_per_minute = 0
    handshakes_per_address_per_minute = 0
    room_messages_per_second = 0
";

/// A pseudo-random source: the same seed, the same bytes (SplitMix64).
#[derive(Clone)]
pub struct Seeded(pub u64);

impl Seeded {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// True once in `times`.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

impl Entropy for Seeded {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }
}

/// A folder that is gone when this is.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Result<Self, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("it-{}-{count}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is left: the folder is below target/.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Everything about a server but its sockets.
pub struct Setup {
    pub toml: toml::Table,
    pub config: Rc<Config>,
    /// `name@domain` and password.
    pub accounts: Vec<(String, String)>,
    /// Where data are kept that outlive the server; `None`: in memory.
    pub folder: Option<Folder>,
    /// How often a server was started: no two of them draw the same ids.
    starts: Cell<u64>,
}

impl Setup {
    /// What a script asks for. `on_disk`: the built binary is to read it.
    pub fn of(scenario: &Scenario, on_disk: bool) -> Result<Self, String> {
        let mut accounts = Vec::new();
        for role in scenario.roles.iter().filter(|role| role.has_account && !role.is_component) {
            let bare = role.jid.split('/').next().unwrap_or_default().to_owned();
            if !accounts.iter().any(|(known, _)| *known == bare) {
                accounts.push((bare, role.password.clone()));
            }
        }
        let on_disk = on_disk || scenario.restarts();
        let folder = if on_disk { Some(Folder::new()?) } else { None };
        let mut config = scenario.config.clone();
        let components = scenario.roles.iter().filter(|r| r.is_component && r.has_account);
        let components = components.map(|role| (&role.jid, &role.password));
        for (domain, secret) in components.collect::<BTreeSet<_>>() {
            // The port is the driver's choice.
            config.push_str(&format!(
                "[[components]]\ndomain='{domain}'\nsecret='{secret}'\nlisten='127.0.0.1:0'\n"
            ));
        }
        Self::new(&config, accounts, folder)
    }

    pub fn new(
        overrides: &str,
        accounts: Vec<(String, String)>,
        folder: Option<Folder>,
    ) -> Result<Self, String> {
        let mut table = parse_toml(CONFIG)?;
        merge(&mut table, parse_toml(overrides)?);
        if let Some(folder) = &folder {
            let data = folder.path().join("data").display().to_string();
            table.insert("data".to_owned(), data.into());
        }
        let config = Config::parse(&table.to_string(), Path::new("."));
        let config = Rc::new(config.map_err(|e| e.to_string())?);
        let setup = Self { toml: table, config, accounts, folder, starts: Cell::new(0) };
        if setup.folder.is_some() {
            let mut storage = setup.open_storage()?;
            setup.add_accounts(&mut storage)?;
            storage.close()?;
        }
        Ok(setup)
    }

    /// A setup on data that are there already.
    pub fn reopen(toml: &str) -> Result<Self, String> {
        let mut table = parse_toml(CONFIG)?;
        merge(&mut table, parse_toml(toml)?);
        let config = Config::parse(&table.to_string(), Path::new("."));
        let config = Rc::new(config.map_err(|e| e.to_string())?);
        let (accounts, starts) = (Vec::new(), Cell::new(0));
        Ok(Self { toml: table, config, accounts, folder: None, starts })
    }

    /// Servers of this setup draw other ids than those of another one with another number.
    pub fn set_number(&self, number: u64) {
        self.starts.set(number << 32);
    }

    /// A server in this process.
    pub fn server(&self, now: Now) -> Result<Server, String> {
        let mut storage = self.open_storage()?;
        if self.folder.is_none() {
            self.add_accounts(&mut storage)?;
        }
        self.starts.set(self.starts.get() + 1);
        let entropy = Seeded(self.starts.get());
        Server::new(self.config.clone(), storage, Box::new(entropy), now)
    }

    fn open_storage(&self) -> Result<Storage, String> {
        match &self.folder {
            None => Ok(Storage::memory()),
            Some(_) => {
                let data = &self.config.data;
                std::fs::create_dir_all(data).map_err(|e| format!("{}: {e}", data.display()))?;
                Storage::open(data, self.config.storage.synchronous)
            }
        }
    }

    fn add_accounts(&self, storage: &mut Storage) -> Result<(), String> {
        let mut entropy = Seeded(2);
        for (jid, password) in &self.accounts {
            let account = accounts::parse_address(&self.config, jid);
            let account = account.map_err(|e| format!("{jid}: {e:?}"))?;
            accounts::add(storage, &self.config, &mut entropy, &account, password)
                .map_err(|e| format!("{jid}: {e:?}"))?;
        }
        storage.commit().map_err(|e| format!("{e:?}"))
    }
}

fn parse_toml(text: &str) -> Result<toml::Table, String> {
    text.parse().map_err(|e: toml::de::Error| e.to_string())
}

fn merge(into: &mut toml::Table, from: toml::Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(toml::Value::Table(old)), toml::Value::Table(new)) => merge(old, new),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}
