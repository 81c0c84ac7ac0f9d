//! Words to the service manager that started us, when it asks for them (`NOTIFY_SOCKET`, systemd's
//! sd_notify protocol). Nobody there, or an error: nothing happens.

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
    let sent = UnixDatagram::unbound().and_then(|socket| {
        #[cfg(target_os = "linux")]
        if let Some(name) = address.as_encoded_bytes().strip_prefix(b"@") {
            use std::os::linux::net::SocketAddrExt;
            let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
            return socket.send_to_addr(state.as_bytes(), &address);
        }
        socket.send_to(state.as_bytes(), &address)
    });
    if let Err(error) = sent {
        log::debug!("the service manager was not told {state:?}: {error}");
    }
}
