//! Types of command line flags that both processes take. Pure.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// Where to listen, written as Go programs write it: `:8081` is every address, `127.0.0.1:8081` is one, `0` is nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BindAddress {
    /// Do not listen.
    Off,
    /// Listen here. All addresses of both families are `[::]`.
    On(SocketAddr),
}

impl BindAddress {
    /// The address to listen on, if there is one.
    #[must_use]
    pub fn socket(self) -> Option<SocketAddr> {
        match self {
            Self::Off => None,
            Self::On(address) => Some(address),
        }
    }
}

impl fmt::Display for BindAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("0"),
            Self::On(address) => write!(f, "{address}"),
        }
    }
}

impl FromStr for BindAddress {
    type Err = InvalidBindAddress;

    fn from_str(text: &str) -> Result<Self, InvalidBindAddress> {
        if text == "0" {
            return Ok(Self::Off);
        }
        let (host, port) = text.rsplit_once(':').ok_or(InvalidBindAddress)?;
        let port: u16 = port.parse().map_err(|_| InvalidBindAddress)?;
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        let host: IpAddr = if host.is_empty() {
            Ipv6Addr::UNSPECIFIED.into()
        } else {
            host.parse().map_err(|_| InvalidBindAddress)?
        };
        Ok(Self::On(SocketAddr::new(host, port)))
    }
}

/// A text that says nowhere to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an address to listen on has the form :PORT or IP:PORT; 0 turns it off")]
pub struct InvalidBindAddress;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_go_programs_write_them() {
        for (text, address) in [
            ("0", None),
            (":8081", Some("[::]:8081")),
            ("127.0.0.1:0", Some("127.0.0.1:0")),
            ("[::1]:9444", Some("[::1]:9444")),
        ] {
            let parsed: BindAddress = text.parse().expect("accepted");
            assert_eq!(parsed.socket().map(|address| address.to_string()).as_deref(), address);
        }
        for text in ["", "8081", "localhost:80", ":99999", ":-1", "[::1"] {
            assert_eq!(text.parse::<BindAddress>(), Err(InvalidBindAddress), "{text:?}");
        }
    }
}
