//! Where controllers are: `host:port`, resolved anew for each attempt, for Pods come and go.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

/// A host, by name or by address, and a port. A name stands for all of its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControllerAddress {
    host: String,
    port: u16,
}

/// A text that is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an address has the form host:port, or [IPv6 address]:port")]
pub struct InvalidAddress;

impl FromStr for ControllerAddress {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let (host, port) = text.rsplit_once(':').ok_or(InvalidAddress)?;
        let port = port.parse().map_err(|_| InvalidAddress)?;
        let host = match host.strip_prefix('[') {
            Some(literal) => literal.strip_suffix(']').ok_or(InvalidAddress)?,
            None if host.contains(':') => return Err(InvalidAddress),
            None => host,
        };
        if host.is_empty() || port == 0 {
            return Err(InvalidAddress);
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for ControllerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') {
            write!(f, "[{host}]:{port}")
        } else {
            write!(f, "{host}:{port}")
        }
    }
}

/// All addresses of all hosts, each once, in order. A host that can't be resolved is logged and has none.
pub(super) async fn resolve(hosts: &[ControllerAddress]) -> Vec<SocketAddr> {
    let mut addresses = Vec::new();
    for ControllerAddress { host, port } in hosts {
        match tokio::net::lookup_host((host.as_str(), *port)).await {
            Ok(found) => addresses.extend(found),
            Err(error) => tracing::warn!(host, %error, "controller address not resolved"),
        }
    }
    let mut seen = std::collections::HashSet::new();
    addresses.retain(|address| seen.insert(*address));
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_host_and_a_port() {
        for text in [
            "coraza-controller:9444",
            "10.0.0.1:9444",
            "[::1]:9444",
            "a.b.svc.cluster.local:1",
        ] {
            assert_eq!(text.parse::<ControllerAddress>().expect("accepted").to_string(), text);
        }
        for text in [
            "",
            "host",
            ":9444",
            "host:",
            "host:0",
            "host:65536",
            "::1:9444",
            "[::1:9444",
            "[]:1",
        ] {
            assert_eq!(text.parse::<ControllerAddress>(), Err(InvalidAddress), "{text:?}");
        }
    }

    #[tokio::test]
    async fn every_address_is_tried_once() {
        let hosts = ["127.0.0.1:1", "[::1]:1", "127.0.0.1:1"].map(|text| text.parse().expect("an address"));
        let resolved = resolve(&hosts).await;
        assert_eq!(
            resolved,
            ["127.0.0.1:1", "[::1]:1"].map(|text| text.parse().expect("an address"))
        );
    }
}
