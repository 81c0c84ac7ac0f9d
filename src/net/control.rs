//! The control socket in the data folder: by it the command line reaches a server that runs. A
//! request is all the bytes until the client ends its direction; the reply is written after the
//! commit of the turn, then the connection is closed. What a request says is the core's business.
//!
//! Only the owner of the data folder can reach it: the folder is 0700, the socket 0600. Everything
//! is bounded: connections, bytes, time.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use mio::net::{UnixListener, UnixStream};
use mio::{Interest, Registry, Token};
use slab::Slab;

use super::listener::is_exhaustion;

/// The socket's name in the data folder.
pub const SOCKET_FILE: &str = "control.sock";
/// Where it is made.
const NURSERY_FOLDER: &str = ".control";
/// Connections at a time; further ones wait.
const CLIENTS_MAX: usize = 8;
/// Bytes of a request.
const REQUEST_BYTES_MAX: usize = 8 * 1024;
/// Bytes that are read of a request that is too long, before its sender is cut off.
const EXCESS_BYTES_MAX: usize = 64 * 1024;
/// From the connection to the end of the reply.
const CLIENT_MS_MAX: u64 = 10_000;

struct Client {
    stream: UnixStream,
    request: Vec<u8>,
    /// Bytes that did not fit into `request`.
    excess_bytes: usize,
    /// The reply, once there is one, and how much of it is written.
    reply: Option<(Vec<u8>, usize)>,
    deadline_ms: u64,
}

/// The socket and its clients.
pub struct Control {
    path: PathBuf,
    listener: UnixListener,
    /// There may be clients to accept: an edge came, and `WouldBlock` has not.
    is_ready: bool,
    clients: Slab<Client>,
    /// A descriptor to give up when there are none left, so that the operator still gets in.
    reserve: Option<File>,
}

impl Control {
    /// Binds the socket in `folder`; what a dead server left there is replaced.
    pub fn bind(folder: &Path, registry: &Registry, token: Token) -> Result<Self, String> {
        let path = folder.join(SOCKET_FILE);
        let bound = Self::bind_at(&path, registry, token);
        bound.map_err(|error| match error.kind() {
            // The system keeps a hundred bytes or so for the path of a socket.
            io::ErrorKind::InvalidInput => format!(
                "the control socket {}: the path is too long, choose a data folder nearer to the \
                 root",
                path.display()
            ),
            _ => format!("the control socket {}: {error}", path.display()),
        })
    }

    fn bind_at(path: &Path, registry: &Registry, token: Token) -> io::Result<Self> {
        // Not one that the server could bind (a shorter one first) and nobody connect to.
        std::os::unix::net::SocketAddr::from_pathname(path)?;
        if fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                let what = "another server is running on this data folder";
                return Err(io::Error::new(io::ErrorKind::AddrInUse, what));
            }
        } else if path.exists() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "it is no socket"));
        }
        let mut listener = bind_private(path)?;
        registry.register(&mut listener, token, Interest::READABLE)?;
        let path = path.to_owned();
        let reserve = reserve();
        Ok(Self { path, listener, is_ready: false, clients: Slab::new(), reserve })
    }

    /// Somebody may want to connect.
    pub fn handle_ready(&mut self) {
        self.is_ready = true;
    }

    /// Accepts whoever waits and finds room.
    pub fn accept(&mut self, now_ms: u64, registry: &Registry, token: impl Fn(usize) -> Token) {
        while self.is_ready && self.clients.len() < CLIENTS_MAX {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error)
                    if is_exhaustion(&error) && error.kind() != io::ErrorKind::WouldBlock =>
                {
                    if self.reserve.take().is_none() {
                        // The next edge, or a client that leaves, tries again.
                        log::debug!("the control socket cannot accept: {error}");
                        self.is_ready = false;
                    }
                    continue;
                }
                Err(_) => {
                    self.is_ready = false;
                    break;
                }
            };
            let entry = self.clients.vacant_entry();
            let interest = Interest::READABLE | Interest::WRITABLE;
            match registry.register(&mut stream, token(entry.key()), interest) {
                Ok(()) => {
                    let deadline_ms = now_ms + CLIENT_MS_MAX;
                    let (request, excess_bytes, reply) = (Vec::new(), 0, None);
                    entry.insert(Client { stream, request, excess_bytes, reply, deadline_ms });
                }
                Err(error) => log::debug!("a control connection cannot be watched: {error}"),
            }
        }
    }

    /// Reads what a client sent. `Some`: its request is complete; call [`Self::reply`].
    pub fn read(&mut self, index: usize) -> Option<Result<String, &'static str>> {
        let client = self.clients.get_mut(index)?;
        if client.reply.is_some() {
            return None;
        }
        match client.read() {
            Ok(true) => {}
            Ok(false) => return None,
            Err(error) => {
                log::debug!("a control connection is gone: {error}");
                self.close(index);
                return None;
            }
        }
        if client.excess_bytes > 0 {
            return Some(Err("the request is too long"));
        }
        let request = String::from_utf8(std::mem::take(&mut client.request));
        Some(request.map_err(|_| "the request is not UTF-8"))
    }

    /// Keeps the reply until [`Self::flush`].
    pub fn reply(&mut self, index: usize, reply: String) {
        if let Some(client) = self.clients.get_mut(index) {
            client.reply = Some((reply.into_bytes(), 0));
        }
    }

    /// Writes replies, and closes those who have theirs, or whose time is over.
    pub fn flush(&mut self, now_ms: u64) {
        for index in 0..self.clients.capacity() {
            let Some(client) = self.clients.get_mut(index) else { continue };
            match client.write() {
                Ok(false) if client.deadline_ms > now_ms => {}
                Ok(_) => self.close(index),
                Err(error) => {
                    log::debug!("a control connection is gone: {error}");
                    self.close(index);
                }
            }
        }
    }

    /// The next deadline; `Some(0)` when somebody waits to be accepted and could be.
    pub fn next_due_ms(&self) -> Option<u64> {
        if self.is_ready && self.clients.len() < CLIENTS_MAX {
            return Some(0);
        }
        self.clients.iter().map(|(_, client)| client.deadline_ms).min()
    }

    fn close(&mut self, index: usize) {
        self.clients.try_remove(index);
        if self.reserve.is_none() {
            self.reserve = reserve();
        }
        // There may be somebody who found no room.
        self.is_ready = true;
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            log::debug!("the control socket {} stays: {error}", self.path.display());
        }
    }
}

impl Client {
    /// True when the whole request is there.
    fn read(&mut self) -> io::Result<bool> {
        let mut bytes = [0; 4096];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => return Ok(true),
                Ok(count) => {
                    let room = REQUEST_BYTES_MAX - self.request.len();
                    let kept = count.min(room);
                    self.request.extend_from_slice(&bytes[..kept]);
                    self.excess_bytes += count - kept;
                    if self.excess_bytes > EXCESS_BYTES_MAX {
                        return Err(io::Error::other("the request does not end"));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// True when the reply is written.
    fn write(&mut self) -> io::Result<bool> {
        let Some((reply, written)) = &mut self.reply else { return Ok(false) };
        while *written < reply.len() {
            match self.stream.write(&reply[*written..]) {
                Ok(count) => *written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

/// Binds a socket that nobody else could reach at any instant, whatever the umask and the mode of
/// its folder are: it is born in a folder of its own.
fn bind_private(path: &Path) -> io::Result<UnixListener> {
    // Not longer than the final path: the system allows a hundred bytes or so.
    let nursery = path.with_file_name(NURSERY_FOLDER);
    let newborn = nursery.join("s");
    match DirBuilder::new().mode(0o700).create(&nursery) {
        // Left by a server that died here.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::set_permissions(&nursery, Permissions::from_mode(0o700))?;
            if newborn.exists() {
                fs::remove_file(&newborn)?;
            }
        }
        made => made?,
    }
    let listener = UnixListener::bind(&newborn)?;
    fs::set_permissions(&newborn, Permissions::from_mode(0o600))?;
    fs::rename(&newborn, path)?;
    fs::remove_dir(&nursery)?;
    Ok(listener)
}

/// A descriptor that means nothing.
fn reserve() -> Option<File> {
    File::open("/dev/null").ok()
}
