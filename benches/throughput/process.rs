//! The server under test as the operating system sees it: CPU time, memory, cores; and Tercet's
//! own start and end, with accounts made through its library and all limits off.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal};
use rustix::thread::CpuSet;
use tercet::config::{Limits, Synchronous};
use tercet::credentials::Credentials;
use tercet::cx::Entropy;
use tercet::storage::Storage;
use tercet::xmpp::BareJid;

/// Everybody's password.
pub const PASSWORD: &str = "bench";
/// PBKDF2 iterations of the accounts.
const ITERATIONS: u32 = 4096;

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// The name of account `index`.
pub fn user(index: usize) -> String {
    format!("b{index:05}")
}

/// Allows as many open files as the system lets us.
pub fn raise_open_files() -> Result<(), String> {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    rustix::process::setrlimit(Resource::Nofile, raised).map_err(told)
}

/// Keeps every thread of process `pid` (0: this one) on one core, when there are two.
pub fn pin(pid: u32, core: usize) -> Result<(), String> {
    if std::thread::available_parallelism().map_err(told)?.get() < 2 && core > 0 {
        return Ok(());
    }
    let mut cores = CpuSet::new();
    cores.set(core);
    for task in tasks(if pid == 0 { std::process::id() } else { pid })? {
        let task = Pid::from_raw(task as i32);
        rustix::thread::sched_setaffinity(task, &cores).map_err(told)?;
    }
    Ok(())
}

fn tasks(pid: u32) -> Result<Vec<u32>, String> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/task"))
        .map_err(|error| format!("process {pid}: {error}"))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    Ok(names.collect())
}

/// A server under test.
pub struct Process {
    /// What the table calls it.
    pub label: String,
    /// Where it listens.
    pub address: SocketAddr,
    pid: u32,
    /// Present when it is ours to end.
    child: Option<Child>,
    /// Tercet's log; its exit code is looked at, too.
    log: Option<PathBuf>,
}

impl Process {
    /// A server that somebody else started.
    pub fn foreign(label: &str, address: SocketAddr, pid: u32) -> Result<Self, String> {
        pin(pid, 0)?;
        Ok(Self { label: label.to_owned(), address, pid, child: None, log: None })
    }

    /// This process, for its CPU time.
    pub fn myself() -> Self {
        Self {
            label: String::new(),
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            pid: std::process::id(),
            child: None,
            log: None,
        }
    }

    /// The bare loop, in a process of its own.
    pub fn bare(write_each: bool, tls: bool) -> Result<Self, String> {
        let mode = if write_each { "each" } else { "turn" };
        let transport = if tls { "tls" } else { "plain" };
        let mut child = Command::new(std::env::current_exe().map_err(told)?)
            .args(["--bare", mode, transport])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(told)?;
        let pid = child.id();
        let mut line = String::new();
        let output = child.stdout.take().ok_or("no standard output")?;
        let mut process = Self {
            label: format!("bare loop, one write per {mode}").replace("each", "stanza"),
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            pid,
            child: Some(child),
            log: None,
        };
        pin(pid, 0)?;
        BufReader::new(output).read_line(&mut line).map_err(told)?;
        process.address = line.trim().parse().map_err(|_| "the bare loop did not start")?;
        Ok(process)
    }

    /// Tercet, as built, on a data folder of [`make_data`]; with `archive` its rooms are
    /// persistent, and what is said is archived, in rooms and between accounts; `has_limits`: its
    /// limits are the default ones, but for those on one address.
    pub fn tercet(data: &Path, archive: bool, has_limits: bool) -> Result<Self, String> {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(told)?;
        let address = free.local_addr().map_err(told)?;
        drop(free);
        let file = data.join("bench.toml");
        std::fs::write(&file, configuration(address, data, archive, has_limits)?).map_err(told)?;
        let log = data.join("bench.log");
        let log_file = std::fs::File::create(&log).map_err(told)?;
        let child = Command::new(env!("CARGO_BIN_EXE_tercet"))
            .args(["serve".as_ref(), "-c".as_ref(), file.as_os_str()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log_file)
            .spawn()
            .map_err(told)?;
        let pid = child.id();
        let label = concat!("Tercet ", env!("CARGO_PKG_VERSION"));
        let label = if archive { format!("{label}, archiving") } else { label.to_owned() };
        let mut process = Self { label, address, pid, child: Some(child), log: Some(log) };
        let started = Instant::now();
        while TcpStream::connect(address).is_err() {
            let exited = match &mut process.child {
                Some(child) => child.try_wait().map_err(told)?,
                None => None,
            };
            if exited.is_some() || started.elapsed() > Duration::from_secs(10) {
                let log = std::fs::read_to_string(data.join("bench.log")).unwrap_or_default();
                return Err(format!("Tercet does not start: {exited:?}\n{log}"));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        pin(pid, 0)?;
        Ok(process)
    }

    /// CPU time of all its threads, in nanoseconds.
    pub fn cpu_ns(&self) -> Result<u64, String> {
        let mut sum = 0;
        for task in tasks(self.pid)? {
            let file = format!("/proc/{}/task/{task}/schedstat", self.pid);
            let text = std::fs::read_to_string(file).unwrap_or_default();
            sum += text.split(' ').next().and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0);
        }
        Ok(sum)
    }

    /// Its anonymous memory, in bytes.
    pub fn memory_bytes(&self) -> Result<u64, String> {
        self.status_bytes("RssAnon:")
    }

    fn status_bytes(&self, name: &str) -> Result<u64, String> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).map_err(told)?;
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kib.map(|kib| kib * 1024).ok_or_else(|| format!("no {name}"))
    }

    /// Its resident memory at most since [`Self::reset_peak`], in bytes.
    pub fn peak_bytes(&self) -> Result<u64, String> {
        self.status_bytes("VmHWM:")
    }

    /// Forgets how much memory it had at most.
    pub fn reset_peak(&self) {
        // Where it cannot be done the figure is that of the whole run.
        let _ = std::fs::write(format!("/proc/{}/clear_refs", self.pid), "5");
    }

    /// Waits until it has nothing to do, but not for ever.
    pub fn settle(&self) -> Result<(), String> {
        for _ in 0..150 {
            let before = self.cpu_ns()?;
            std::thread::sleep(Duration::from_millis(100));
            if self.cpu_ns()? - before < 2_000_000 {
                break;
            }
        }
        Ok(())
    }

    /// Ends it, when it is ours. `Err` when Tercet does not end as it should.
    pub fn end(mut self) -> Result<(), String> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        let Some(log) = self.log.take() else {
            child.kill().map_err(told)?;
            child.wait().map_err(told)?;
            return Ok(());
        };
        terminate(&child);
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(20) {
            if let Some(status) = child.try_wait().map_err(told)? {
                let text = std::fs::read_to_string(log).unwrap_or_default();
                return match status.code() {
                    Some(0) => Ok(()),
                    _ => Err(format!("{} ended with {status}\n{text}", self.label)),
                };
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        child.kill().map_err(told)?;
        child.wait().map_err(told)?;
        Err(format!("{} did not end within 20 s of TERM", self.label))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn terminate(child: &Child) {
    if let Some(pid) = Pid::from_raw(child.id() as i32) {
        let _ = rustix::process::kill_process(pid, Signal::TERM);
    }
}

/// No limits, or but few of them; no need for TLS.
fn configuration(
    address: SocketAddr,
    data: &Path,
    archive: bool,
    has_limits: bool,
) -> Result<String, String> {
    let data = toml::Value::from(data.to_str().ok_or("the data folder's name is not UTF-8")?);
    let accounts = if archive { "always" } else { "never" };
    let mut text = format!(
        "data = {data}\nlog = \"warn,tercet::net::reactor=info\"\n\
         [c2s]\nlisten = [\"{address}\"]\nrequire_tls = false\n[s2s]\nlisten = []\n\
         [sasl]\niterations = {ITERATIONS}\n[rooms.defaults]\npersistent = {archive}\n\
         [accounts]\narchive = \"{accounts}\"\n[limits]\n"
    );
    let limits = toml::Table::try_from(Limits::default()).map_err(told)?;
    for key in limits.keys().filter(|key| !has_limits || key.contains("per_address")) {
        let _ = writeln!(text, "{key} = 0");
    }
    Ok(text)
}

struct Fixed;

impl Entropy for Fixed {
    fn fill(&mut self, bytes: &mut [u8]) {
        bytes.fill(0x5a);
    }
}

/// A temporary data folder that goes with this value.
pub struct Data {
    /// The folder.
    pub path: PathBuf,
}

impl Drop for Data {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// Makes a data folder with `accounts` accounts. They share one salt, so that the load client
/// derives one key; the server's work is the same.
pub fn make_data(accounts: usize) -> Result<Data, String> {
    use std::os::unix::fs::DirBuilderExt;
    let path = std::env::temp_dir().join(format!("tercet-bench-{}", std::process::id()));
    let data = Data { path };
    std::fs::DirBuilder::new().mode(0o700).create(&data.path).map_err(told)?;
    let mut storage = Storage::open(&data.path, Synchronous::Normal)?;
    let credentials = Credentials::derive(PASSWORD, ITERATIONS, &mut Fixed)
        .map_err(|error| format!("{error:?}"))?;
    storage.begin_handler();
    for index in 0..accounts {
        let account = BareJid::parse(&format!("{}@localhost", user(index)))
            .map_err(|error| format!("{error:?}"))?;
        let made = storage.account_create(&account, &credentials);
        if made != Ok(true) {
            return Err(format!("account {}: {made:?}", account.as_str()));
        }
    }
    storage.commit().map_err(|error| format!("{error:?}"))?;
    storage.close()?;
    Ok(data)
}

/// Says something on standard error about the progress of the run.
pub fn progress(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
