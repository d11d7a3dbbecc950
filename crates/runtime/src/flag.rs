//! What both processes take on their command lines: addresses and durations, as Go programs write them. Pure.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

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

/// A duration as Go programs write it, as far as flags need it: `1h30m`, `90s`, `500ms`, `0`.
///
/// # Errors
/// [`InvalidDuration`] if it is none, or more than 2^64 milliseconds.
pub fn duration(text: &str) -> Result<Duration, InvalidDuration> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest
            .find(|character: char| !character.is_ascii_digit())
            .ok_or(InvalidDuration)?;
        let (number, unit) = rest.split_at(digits);
        let number: u64 = number.parse().map_err(|_| InvalidDuration)?;
        let units = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
        let (unit, millis) = units
            .into_iter()
            .find(|(name, _)| unit.starts_with(name))
            .ok_or(InvalidDuration)?;
        let millis = number.checked_mul(millis).ok_or(InvalidDuration)?;
        total = total
            .checked_add(Duration::from_millis(millis))
            .ok_or(InvalidDuration)?;
        rest = rest.get(digits.saturating_add(unit.len())..).unwrap_or_default();
    }
    if text.is_empty() {
        Err(InvalidDuration)
    } else {
        Ok(total)
    }
}

/// A text that is no duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a duration is a number with a unit (ms, s, m, h), as in 15s or 1h30m")]
pub struct InvalidDuration;

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

    #[test]
    fn durations_as_go_writes_them() {
        for (text, millis) in [
            ("0", 0),
            ("15s", 15_000),
            ("500ms", 500),
            ("1h30m", 5_400_000),
            ("1m0s", 60_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in [
            "",
            "s",
            "15",
            "15x",
            "-1s",
            "1.5s",
            "99999999999999999999s",
            "18446744073709551615h",
        ] {
            assert_eq!(duration(text), Err(InvalidDuration), "{text:?}");
        }
    }
}
