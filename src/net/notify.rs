//! Words to the service manager that started us, when it asks for them (`NOTIFY_SOCKET`, systemd's
//! sd_notify protocol). Nobody there, or an error: nothing happens.

use std::ffi::OsStr;
use std::io;
use std::os::unix::net::UnixDatagram;

/// The server serves.
pub fn ready() {
    send("READY=1");
}

/// The configuration is being read again; [`ready`] follows.
pub fn reloading() {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let usec = time.tv_sec * 1_000_000 + time.tv_nsec / 1000;
    send(&format!("RELOADING=1\nMONOTONIC_USEC={usec}"));
}

/// The shutdown has begun.
pub fn stopping() {
    send("STOPPING=1");
}

fn send(state: &str) {
    let Some(address) = std::env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(error) = send_to(&address, state) {
        log::debug!("the service manager was not told {state:?}: {error}");
    }
}

fn send_to(address: &OsStr, state: &str) -> io::Result<usize> {
    let socket = UnixDatagram::unbound()?;
    #[cfg(target_os = "linux")]
    if let Some(name) = address.as_encoded_bytes().strip_prefix(b"@") {
        use std::os::linux::net::SocketAddrExt;
        let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
        return socket.send_to_addr(state.as_bytes(), &address);
    }
    socket.send_to(state.as_bytes(), address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_address() {
        let name = format!("tercet-notify-{}", std::process::id());
        let path = std::env::temp_dir().join(&name);
        let mut kinds = vec![(UnixDatagram::bind(&path).expect("a socket"), path.clone().into())];
        #[cfg(target_os = "linux")]
        {
            use std::os::linux::net::SocketAddrExt;
            let address = std::os::unix::net::SocketAddr::from_abstract_name(&name);
            let address = address.expect("short");
            let socket = UnixDatagram::bind_addr(&address).expect("a socket");
            kinds.push((socket, std::ffi::OsString::from(format!("@{name}"))));
        }
        for (manager, address) in kinds {
            send_to(&address, "READY=1").expect("sent");
            let mut text = [0; 32];
            let len = manager.recv(&mut text).expect("received");
            assert_eq!(&text[..len], b"READY=1");
        }
        std::fs::remove_file(path).expect("removed");
    }
}
