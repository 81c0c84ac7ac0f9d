//! What this machine says of names: `/etc/resolv.conf` and `/etc/hosts`. Of the first only the name
//! servers are taken: domains of XMPP are whole, so nothing is ever appended to them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The port of name servers.
const DNS_PORT: u16 = 53;
/// Name servers that are asked; more are not taken by other programs either.
const SERVERS_MAX: usize = 3;
/// Names of hosts that are kept.
const HOSTS_MAX: usize = 20_000;
/// Addresses of one of them.
const ADDRESSES_MAX: usize = 16;

/// Name servers and hosts.
#[derive(Debug, Default)]
pub struct System {
    servers: Vec<SocketAddr>,
    /// By their names in lower case.
    hosts: BTreeMap<String, Vec<IpAddr>>,
}

impl System {
    /// Of the texts of the two files.
    pub fn read(resolv_conf: &str, hosts: &str) -> Self {
        let mut servers: Vec<SocketAddr> = words_of(resolv_conf)
            .filter(|words| words.first() == Some(&"nameserver"))
            .filter_map(|words| server(words.get(1)?))
            .take(SERVERS_MAX)
            .collect();
        if servers.is_empty() {
            // As resolv.conf(5) has it.
            servers.push(SocketAddr::from((Ipv4Addr::LOCALHOST, DNS_PORT)));
        }
        let mut system = Self { servers, hosts: BTreeMap::new() };
        for words in words_of(hosts) {
            if let [address, names @ ..] = &words[..]
                && let Ok(address) = address.parse()
            {
                names.iter().for_each(|name| system.add_host(name, address));
            }
        }
        system
    }

    fn add_host(&mut self, name: &str, address: IpAddr) {
        let name = name.to_ascii_lowercase();
        if self.hosts.len() >= HOSTS_MAX && !self.hosts.contains_key(&name) {
            return;
        }
        let addresses = self.hosts.entry(name).or_default();
        if addresses.len() < ADDRESSES_MAX && !addresses.contains(&address) {
            addresses.push(address);
        }
    }

    /// The name servers, in the order to be asked; none before the files were read.
    pub fn servers(&self) -> &[SocketAddr] {
        &self.servers
    }

    /// The addresses of a host that this machine knows itself.
    pub fn host(&self, name: &str) -> Option<&[IpAddr]> {
        self.hosts.get(name).map(Vec::as_slice)
    }
}

/// The words of each line, without comments.
fn words_of(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().map(|line| {
        let line = line.split(['#', ';']).next().unwrap_or_default();
        line.split_whitespace().collect()
    })
}

/// An address, or (OpenBSD's resolv.conf) an address in brackets and a port.
fn server(text: &str) -> Option<SocketAddr> {
    if let Ok(address) = text.parse() {
        return Some(SocketAddr::new(address, DNS_PORT));
    }
    let (address, port) = text.strip_prefix('[')?.split_once("]:")?;
    Some(SocketAddr::new(address.parse().ok()?, port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_servers(resolv_conf: &str, want: &[&str]) {
        let want: Vec<SocketAddr> =
            want.iter().map(|address| address.parse().expect("an address")).collect();
        assert_eq!(System::read(resolv_conf, "").servers(), want);
    }

    #[test]
    fn name_servers() {
        check_servers("", &["127.0.0.1:53"]);
        check_servers("search example.org\noptions rotate\n", &["127.0.0.1:53"]);
        check_servers(
            "# first\nnameserver 192.0.2.1\n nameserver\t2001:db8::1 ; second\nnameserver x\n",
            &["192.0.2.1:53", "[2001:db8::1]:53"],
        );
        check_servers("nameserver [127.0.0.1]:5353\nnameserver", &["127.0.0.1:5353"]);
        check_servers(
            &"nameserver 192.0.2.1\n".repeat(4),
            &["192.0.2.1:53", "192.0.2.1:53", "192.0.2.1:53"],
        );
        assert!(System::default().servers().is_empty());
    }

    #[test]
    fn hosts() {
        let text = "127.0.0.1 localhost Chat.Example # both\n::1\tlocalhost\nx y\n\n192.0.2.1\n";
        let system = System::read("", text);
        let host = |name| system.host(name).map(|own| format!("{own:?}"));
        assert_eq!(host("localhost").as_deref(), Some("[127.0.0.1, ::1]"));
        assert_eq!(host("chat.example").as_deref(), Some("[127.0.0.1]"));
        assert_eq!(host("both"), None);
        assert_eq!(host("y"), None);
    }
}
