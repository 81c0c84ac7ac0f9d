//! Limits per address and per client: how many connections, failed logins, registrations and
//! handshakes an address may have, and how fast a client may send. The numbers come from
//! `[limits]`; 0 switches one off. What happens when a limit is reached is the caller's doing.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use crate::config::Limits;

/// Addresses remembered without a connection before the old ones are swept.
const ADDRESSES_SWEEP_MIN: usize = 1024;
const MINUTE_MS: u64 = 60_000;

/// What is counted per address and minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Failed logins.
    LoginFailures,
    /// Accounts registered in band.
    Registrations,
    /// TLS handshakes begun.
    Handshakes,
}

#[derive(Default)]
struct AddressState {
    connections: usize,
    /// The minute that `counts` are of.
    minute: u64,
    counts: [u32; 3],
}

/// Everything that is known of addresses.
#[derive(Default)]
pub struct AddressLimits {
    addresses: HashMap<IpAddr, AddressState>,
    connections: usize,
    /// Addresses at which the next sweep is due: twice those that the last one left, so that the
    /// work of sweeping is constant for each new address.
    sweep_at: usize,
}

/// An IPv6 /64 counts as one address: a single host can use all of it.
fn group(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => {
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)))
        }
        other => other,
    }
}

/// True when `count` has reached a limit that is switched on.
fn reached(count: usize, limit: usize) -> bool {
    limit != 0 && count >= limit
}

impl AddressLimits {
    /// Counts a new connection; `false`: too many, it is not counted.
    pub fn connect(&mut self, limits: &Limits, now_ms: u64, address: IpAddr) -> bool {
        self.sweep(now_ms);
        let state = self.addresses.entry(group(address)).or_default();
        if reached(self.connections, limits.connections)
            || reached(state.connections, limits.connections_per_address)
        {
            return false;
        }
        state.connections += 1;
        self.connections += 1;
        true
    }

    /// A counted connection is gone.
    pub fn disconnect(&mut self, address: IpAddr) {
        if let Some(state) = self.addresses.get_mut(&group(address)) {
            state.connections = state.connections.saturating_sub(1);
            self.connections = self.connections.saturating_sub(1);
        }
    }

    /// True when the address has reached its limit of `what` in this minute.
    pub fn is_exhausted(
        &self,
        limits: &Limits,
        now_ms: u64,
        address: IpAddr,
        what: Counted,
    ) -> bool {
        let limit = match what {
            Counted::LoginFailures => limits.login_failures_per_address_per_minute,
            Counted::Registrations => limits.registrations_per_address_per_minute,
            Counted::Handshakes => limits.handshakes_per_address_per_minute,
        };
        let count = match self.addresses.get(&group(address)) {
            Some(state) if state.minute == now_ms / MINUTE_MS => state.counts[what as usize],
            _ => 0,
        };
        reached(count as usize, limit as usize)
    }

    /// Counts one `what` of the address; returns how many there are in this minute.
    pub fn count(&mut self, now_ms: u64, address: IpAddr, what: Counted) -> u32 {
        let state = self.addresses.entry(group(address)).or_default();
        let minute = now_ms / MINUTE_MS;
        if state.minute != minute {
            state.minute = minute;
            state.counts = [0; 3];
        }
        let count = &mut state.counts[what as usize];
        *count = count.saturating_add(1);
        *count
    }

    /// Connections in all.
    pub fn connections(&self) -> usize {
        self.connections
    }

    /// Forgets addresses without connections whose counts are of an earlier minute.
    fn sweep(&mut self, now_ms: u64) {
        if self.addresses.len() >= self.sweep_at.max(ADDRESSES_SWEEP_MIN) {
            let minute = now_ms / MINUTE_MS;
            self.addresses.retain(|_, state| state.connections > 0 || state.minute == minute);
            self.sweep_at = 2 * self.addresses.len();
        }
    }
}

/// How fast one client may send: a bucket of bytes that fills at `bytes_per_second` up to
/// `burst_bytes`. A read may overdraw it; the client is then not read until it is even again.
#[derive(Clone, Copy, Debug)]
pub struct ByteBucket {
    /// Bytes that may be read at once; negative: overdrawn.
    level: i64,
    filled_ms: u64,
}

impl ByteBucket {
    /// A full bucket.
    pub fn new(limits: &Limits, now_ms: u64) -> Self {
        Self { level: limits.burst_bytes.min(i64::MAX as u64) as i64, filled_ms: now_ms }
    }

    /// Takes what was read.
    pub fn take(&mut self, limits: &Limits, now_ms: u64, bytes: usize) {
        if limits.bytes_per_second == 0 {
            return;
        }
        let elapsed_ms = now_ms.saturating_sub(self.filled_ms);
        let gained = elapsed_ms.saturating_mul(limits.bytes_per_second) / 1000;
        if gained > 0 {
            let burst = limits.burst_bytes.max(1).min(i64::MAX as u64) as i64;
            self.level = self.level.saturating_add(gained.min(i64::MAX as u64) as i64).min(burst);
            self.filled_ms = now_ms;
        }
        self.level -= bytes as i64;
    }

    /// When reading may go on; `None`: now.
    pub fn paused_until_ms(&self, limits: &Limits) -> Option<u64> {
        if limits.bytes_per_second == 0 || self.level >= 0 {
            return None;
        }
        Some(self.filled_ms + (self.level.unsigned_abs() * 1000).div_ceil(limits.bytes_per_second))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits {
            connections: 4,
            connections_per_address: 2,
            login_failures_per_address_per_minute: 2,
            bytes_per_second: 1000,
            burst_bytes: 100,
            ..Limits::default()
        }
    }

    #[test]
    fn connections_are_counted_per_address_and_in_all() {
        let (limits, mut all) = (limits(), AddressLimits::default());
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(all.connect(&limits, 0, address("192.0.2.1")));
        assert!(all.connect(&limits, 0, address("::ffff:192.0.2.1")));
        assert!(!all.connect(&limits, 0, address("192.0.2.1")));
        assert!(all.connect(&limits, 0, address("2001:db8::1")));
        assert!(all.connect(&limits, 0, address("2001:db8::2")));
        assert!(!all.connect(&limits, 0, address("2001:db8::3")), "one /64 is one address");
        all.disconnect(address("192.0.2.1"));
        assert_eq!(all.connections(), 3);
        assert!(all.connect(&limits, 0, address("192.0.2.2")));
        assert!(!all.connect(&limits, 0, address("192.0.2.3")), "four in all");
    }

    #[test]
    fn a_minute_has_its_own_count() {
        let (limits, mut all) = (limits(), AddressLimits::default());
        let (address, what) = ("192.0.2.1".parse().unwrap(), Counted::LoginFailures);
        assert_eq!(all.count(1000, address, what), 1);
        assert!(!all.is_exhausted(&limits, 1000, address, what));
        all.count(2000, address, what);
        assert!(all.is_exhausted(&limits, 2000, address, what));
        assert!(!all.is_exhausted(&limits, 2000, address, Counted::Registrations));
        assert!(!all.is_exhausted(&limits, 61_000, address, what));
        let off = Limits { login_failures_per_address_per_minute: 0, ..limits };
        assert!(!all.is_exhausted(&off, 2000, address, what));
    }

    #[test]
    fn addresses_are_forgotten() {
        let (limits, mut all) = (Limits { connections: 0, ..limits() }, AddressLimits::default());
        let address = |n: u32| IpAddr::from(std::net::Ipv4Addr::from_bits(n));
        for n in 0..10_000 {
            assert!(all.connect(&limits, 0, address(n)));
        }
        assert_eq!(all.addresses.len(), 10_000, "all of them are connected");
        let sweep_at = all.sweep_at;
        assert!(sweep_at > 10_000, "not swept for each of them: {sweep_at}");
        (0..10_000).for_each(|n| all.disconnect(address(n)));
        for n in 0..100_000 {
            assert!(all.connect(&limits, 60_000, address(n)));
            all.disconnect(address(n));
        }
        assert!(all.addresses.len() <= sweep_at, "{} remain", all.addresses.len());
        assert_eq!(all.connections(), 0);
    }

    #[test]
    fn an_overdrawn_bucket_pauses_until_it_is_even() {
        let limits = limits();
        let mut bucket = ByteBucket::new(&limits, 0);
        bucket.take(&limits, 0, 100);
        assert_eq!(bucket.paused_until_ms(&limits), None);
        bucket.take(&limits, 0, 50);
        assert_eq!(bucket.paused_until_ms(&limits), Some(50));
        bucket.take(&limits, 50, 0);
        assert_eq!(bucket.paused_until_ms(&limits), None);
        bucket.take(&limits, 10_000, 101);
        assert_eq!(bucket.paused_until_ms(&limits), Some(10_001), "never more than the burst");
    }
}
