//! The order in which services are tried (RFC 2782): by priority, and by chance among those of one
//! priority, the heavier the likelier. Services with direct TLS and others are one set (XEP-0368
//! §3).

use crate::cx::Entropy;

/// A place where a service is said to be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Service {
    /// Lower ones are tried first.
    pub priority: u16,
    /// Among those of one priority.
    pub weight: u16,
    /// TLS from the first byte.
    pub is_direct_tls: bool,
    /// The host.
    pub host: String,
    /// The port there.
    pub port: u16,
}

/// Puts services in the order to be tried.
pub fn in_order(mut services: Vec<Service>, entropy: &mut dyn Entropy) -> Vec<Service> {
    // Those without weight come first here, "which gives them a very small chance".
    services.sort();
    let mut ordered = Vec::with_capacity(services.len());
    while let Some(first) = services.first() {
        let priority = first.priority;
        let equals = services.iter().take_while(|service| service.priority == priority);
        let sum: u64 = equals.map(|service| u64::from(service.weight)).sum();
        let chosen = chance(entropy) % (sum + 1);
        let mut running = 0;
        let index = services.iter().position(|service| {
            running += u64::from(service.weight);
            running >= chosen
        });
        ordered.push(services.remove(index.unwrap_or_default()));
    }
    ordered
}

/// Far more bits than the sum of weights has: no remainder is noticeably likelier than another.
fn chance(entropy: &mut dyn Entropy) -> u64 {
    let mut bytes = [0; 8];
    entropy.fill(&mut bytes);
    u64::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same number again and again.
    struct Fixed(u64);

    impl Entropy for Fixed {
        fn fill(&mut self, bytes: &mut [u8]) {
            let number = self.0.to_be_bytes();
            bytes.copy_from_slice(&number[number.len() - bytes.len()..]);
        }
    }

    fn service(host: &str, priority: u16, weight: u16) -> Service {
        let (host, is_direct_tls) = (host.to_owned(), host.starts_with("tls"));
        Service { priority, weight, is_direct_tls, host, port: 5269 }
    }

    #[track_caller]
    fn check(services: &[(&str, u16, u16)], chance: u64, want: &str) {
        let services =
            services.iter().map(|&(host, priority, weight)| service(host, priority, weight));
        let ordered = in_order(services.collect(), &mut Fixed(chance));
        let hosts: Vec<_> = ordered.iter().map(|service| service.host.as_str()).collect();
        assert_eq!(hosts.join(" "), want);
    }

    #[test]
    fn priorities_come_first() {
        check(&[], 0, "");
        check(&[("c", 30, 0), ("a", 10, 0), ("tls.b", 20, 60_000)], 0, "a tls.b c");
        check(&[("c", 30, 0), ("a", 10, 0), ("tls.b", 20, 60_000)], u64::MAX, "a tls.b c");
        check(&[("b", 10, 5), ("tls.a", 9, 5)], 7, "tls.a b");
    }

    #[test]
    fn then_chance_by_weight() {
        // Running sums: light 0, middle 10, heavy 40; the numbers are 0 to 40.
        let services = [("heavy", 1, 30), ("light", 1, 0), ("middle", 1, 10)];
        check(&services, 0, "light middle heavy");
        check(&services, 1, "middle heavy light");
        check(&services, 10, "middle heavy light");
        check(&services, 11, "heavy light middle");
        check(&services, 40, "heavy middle light");
    }

    #[test]
    fn the_heavier_the_likelier() {
        struct Count(u64);
        impl Entropy for Count {
            fn fill(&mut self, bytes: &mut [u8]) {
                // Steps of the golden ratio are spread evenly.
                self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
                bytes.copy_from_slice(&(self.0 >> 20).to_be_bytes());
            }
        }
        let mut entropy = Count(0);
        let mut firsts = 0;
        for _ in 0..1000 {
            let services = vec![service("one", 1, 25), service("three", 1, 75)];
            firsts += u32::from(in_order(services, &mut entropy)[0].host == "three");
        }
        assert!((700..800).contains(&firsts), "{firsts}");
    }
}
