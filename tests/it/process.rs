//! The built binary as a process: started on an address of its own, watched through its standard
//! error, ended by TERM.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use tercet::ids::Door;

use crate::driver::PATIENCE_MS;
use crate::setup::Setup;

/// Where components connect, on the server's address.
const COMPONENTS_PORT: u16 = 5347;

pub struct Process {
    child: Child,
    pub address: SocketAddr,
    /// Lines of standard error; the sender is gone when the process has closed it.
    lines: Receiver<String>,
    log: Vec<String>,
}

/// A loopback address that no other server of this machine has: no port can be taken away
/// between the choice and the bind. Two that are the same would be answered by one server.
fn fresh_address() -> SocketAddr {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let pid = std::process::id();
    // 127.0.0.0/16 holds what others use. 4,064 runs of as many servers each are apart.
    let b = 1 + pid % 254;
    let c = (pid / 254) % 16 * 16 + (count / 254) % 16;
    let d = 1 + count % 254;
    let octets = [b, c, d].map(|part| u8::try_from(part).expect("less than 256"));
    SocketAddr::from((Ipv4Addr::new(127, octets[0], octets[1], octets[2]), 5222))
}

impl Process {
    /// Starts the server on the setup's folder and waits until it accepts.
    pub fn start(setup: &Setup) -> Result<Self, String> {
        let folder = setup.folder.as_ref().ok_or("a process needs a folder")?;
        let address = fresh_address();
        let mut table = setup.toml.clone();
        let c2s = table.entry("c2s").or_insert_with(|| toml::Table::new().into());
        if let toml::Value::Table(c2s) = c2s {
            c2s.insert("listen".to_owned(), vec![address.to_string()].into());
        }
        for component in
            table.get_mut("components").and_then(toml::Value::as_array_mut).into_iter().flatten()
        {
            if let toml::Value::Table(component) = component {
                let listen = SocketAddr::from((address.ip(), COMPONENTS_PORT));
                component.insert("listen".to_owned(), listen.to_string().into());
            }
        }
        let file = folder.path().join("tercet.toml");
        std::fs::write(&file, table.to_string()).map_err(|e| e.to_string())?;
        let mut child = Command::new(env!("CARGO_BIN_EXE_tercet"))
            .arg("-c")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| e.to_string())?;
        let stderr = child.stderr.take().ok_or("no standard error")?;
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut process = Self { child, address, lines, log: Vec::new() };
        process.wait_until_ready()?;
        Ok(process)
    }

    /// Each line on standard error is a reason to try whether the server accepts.
    fn wait_until_ready(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + Duration::from_millis(PATIENCE_MS);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.log.push(line),
                Err(_) => return Err(format!("the server does not start:\n{}", self.log())),
            }
            if TcpStream::connect(self.address).is_ok() {
                return Ok(());
            }
        }
    }

    /// Where it takes connections at a door.
    pub fn address_of(&self, door: Door) -> SocketAddr {
        match door {
            Door::Components => SocketAddr::from((self.address.ip(), COMPONENTS_PORT)),
            Door::Clients | Door::Servers => self.address,
        }
    }

    /// What the server has logged so far.
    pub fn log(&mut self) -> String {
        self.log.extend(self.lines.try_iter());
        self.log.join("\n")
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Bytes of memory that it holds.
    #[cfg(target_os = "linux")]
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()));
        let status = status.expect("it runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
        let kilobytes = line.split_ascii_whitespace().nth(1).expect("a number");
        kilobytes.parse::<u64>().expect("a number") * 1024
    }

    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            // An error means that it is gone already.
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    /// Ends it without a word, and waits until it is gone.
    pub fn kill(&mut self) -> Result<(), String> {
        self.child.kill().and_then(|()| self.child.wait()).map_err(|e| e.to_string())?;
        Ok(())
    }

    /// Waits until the server has logged so many lines with these words.
    pub fn wait_for_log(&mut self, words: &str, times: usize) -> Result<(), String> {
        let deadline = Instant::now() + Duration::from_millis(PATIENCE_MS);
        while self.log.iter().filter(|line| line.contains(words)).count() < times {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.log.push(line),
                Err(_) => return Err(format!("it never says {words:?}:\n{}", self.log())),
            }
        }
        Ok(())
    }

    /// Waits for the end of standard error, then for the exit code.
    pub fn exit_code(&mut self) -> Result<i32, String> {
        let deadline = Instant::now() + Duration::from_millis(2 * PATIENCE_MS);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.log.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    return Err(format!("the server does not exit:\n{}", self.log()));
                }
            }
        }
        let status = self.child.wait().map_err(|e| e.to_string())?;
        status.code().ok_or_else(|| format!("{status}\n{}", self.log()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Errors mean that it has ended, and was waited for, already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
