//! IP addresses in networks: `ipMatch`, `ipMatchFromFile`. No IO.

use std::net::IpAddr;

use coraza_seclang::rules::Network;

use super::list;

/// Networks as ranges that don't overlap, so that a look-up is a binary search however many there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    ipv4: Ranges,
    ipv6: Ranges,
}

/// First and last addresses, ascending.
type Ranges = Vec<(u128, u128)>;

impl Networks {
    /// The networks of a data file: one a line, white space around it; empty lines and those that begin with `#` are skipped, and
    /// so is what is no network, as the compiler has reported it.
    pub fn from_file(text: &[u8]) -> Self {
        list::lines(text).filter_map(Network::parse).collect()
    }

    /// Whether the text is an IP address in one of the networks.
    pub fn contains(&self, address: &[u8]) -> bool {
        let address = std::str::from_utf8(address).ok().and_then(|text| text.parse().ok());
        address.is_some_and(|address| match address {
            IpAddr::V4(address) => holds(&self.ipv4, u128::from(address.to_bits())),
            IpAddr::V6(address) => holds(&self.ipv6, address.to_bits()),
        })
    }
}

impl FromIterator<Network> for Networks {
    fn from_iter<T: IntoIterator<Item = Network>>(networks: T) -> Self {
        let mut all = Self::default();
        for network in networks {
            match network.address {
                IpAddr::V4(address) => all.ipv4.push(range(u128::from(address.to_bits()), 32, network.prefix)),
                IpAddr::V6(address) => all.ipv6.push(range(address.to_bits(), 128, network.prefix)),
            }
        }
        all.ipv4 = disjoint(all.ipv4);
        all.ipv6 = disjoint(all.ipv6);
        all
    }
}

/// The range of an address of `bits` bits whose first `prefix` bits count.
fn range(address: u128, bits: u32, prefix: u8) -> (u128, u128) {
    let host_bits = bits.saturating_sub(u32::from(prefix));
    let hosts = match host_bits {
        0 => 0,
        bits => u128::MAX >> (u128::BITS - bits),
    };
    (address & !hosts, address | hosts)
}

fn disjoint(mut ranges: Ranges) -> Ranges {
    ranges.sort_unstable();
    let mut merged = Ranges::with_capacity(ranges.len());
    for (first, last) in ranges {
        match merged.last_mut() {
            Some((_, end)) if first <= *end => *end = last.max(*end),
            _ => merged.push((first, last)),
        }
    }
    merged
}

fn holds(ranges: &[(u128, u128)], address: u128) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= address);
    let candidate = after.checked_sub(1).and_then(|at| ranges.get(at));
    candidate.is_some_and(|(_, last)| address <= *last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(texts: &[&str]) -> Networks {
        texts
            .iter()
            .map(|text| Network::parse(text.as_bytes()).unwrap())
            .collect()
    }

    #[test]
    fn addresses_are_found_in_their_networks() {
        let networks = networks(&[
            "10.10.10.0/21",
            "10.10.9.1",
            "192.0.2.7",
            "2001:db8::/32",
            "::1",
            "10.0.0.0/32",
        ]);
        for (address, expected) in [
            ("10.10.8.0", true),
            ("10.10.15.255", true),
            ("10.10.16.0", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("2001:db8:ffff::1", true),
            ("2001:db9::", false),
            ("::1", true),
            ("::ffff:192.0.2.7", false),
            ("10.0.0.0", true),
            ("10.0.0.1", false),
            ("", false),
            ("x", false),
            ("\u{ff}", false),
        ] {
            assert_eq!(networks.contains(address.as_bytes()), expected, "{address}");
        }
    }

    #[test]
    fn everything_and_nothing() {
        assert!(networks(&["0.0.0.0/0"]).contains(b"255.255.255.255"));
        assert!(networks(&["::/0"]).contains(b"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"));
        assert!(!networks(&["::/0"]).contains(b"10.0.0.1"));
        assert!(!Networks::default().contains(b"10.0.0.1"));
    }

    #[test]
    fn files_hold_one_network_a_line() {
        let file = Networks::from_file(b"# comment\r\n 10.0.0.0/8 \r\n\n::1\nx");
        assert_eq!(file, networks(&["10.0.0.0/8", "::1"]));
    }
}
