//! Free ports for servers that have to be told theirs before they start.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context, Result, ensure};

/// Below the range that Linux gives to outgoing connections (32768 and up): a port from there could be taken while an API server that is to come back on it is
/// away.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

const NONE_LEFT: &str = "no free ports between 20000 and 32000 on loopback";

/// `N` ports that nobody listens on, from a place in the range that differs between processes.
pub(crate) fn free<const N: usize>() -> Result<[u16; N]> {
    find(N)?.try_into().ok().context(NONE_LEFT)
}

/// As [`free`], for a number that isn't known beforehand.
pub(crate) fn find(count: usize) -> Result<Vec<u16>> {
    let width = u32::from(RANGE.end - RANGE.start);
    let offset = u16::try_from(std::process::id().wrapping_mul(97) % width)?;
    let candidates = (RANGE.start + offset..RANGE.end).chain(RANGE.start..RANGE.start + offset);
    let found: Vec<u16> = candidates
        .filter(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .take(count)
        .collect();
    ensure!(found.len() == count, NONE_LEFT);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_free_and_different() {
        let [one, two] = free().unwrap();
        assert_ne!(one, two);
        TcpListener::bind((Ipv4Addr::LOCALHOST, one)).unwrap();
    }
}
