//! How many connections there may be: in all, so that they fit the memory and the file descriptors that the process has, and
//! from one address, so that no pod can take them all. Pure but for a mutex.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a caller can make a connection take: a request's head may be as large as that.
const BYTES_PER_CONNECTION: u64 = 64 << 10;
/// More were not tried.
const MAX_CONNECTIONS: usize = 16_384;
/// Fewer serve nobody: then it is the memory limit that is wrong.
const MIN_CONNECTIONS: usize = 256;
/// Descriptors for all but connections: listeners, the API server, the controller, scrapers.
const OTHER_FILES: u64 = 128;
/// The part of all connections that one address may have: enough for what a node's pods look like behind a translated address.
const SHARE_PER_ADDRESS: usize = 4;

/// How many connections fit: half of the memory limit may go to them, and each needs a file descriptor.
#[must_use]
pub fn max_connections(memory: Option<u64>, files: Option<u64>) -> usize {
    let by_memory = memory.map_or(u64::MAX, |bytes| bytes / 2 / BYTES_PER_CONNECTION);
    let by_files = files.map_or(u64::MAX, |files| files.saturating_sub(OTHER_FILES));
    usize::try_from(by_memory.min(by_files))
        .unwrap_or(usize::MAX)
        .clamp(MIN_CONNECTIONS, MAX_CONNECTIONS)
}

/// The connections of a process.
#[derive(Debug)]
pub struct Connections {
    max: usize,
    max_per_address: usize,
    /// A standard mutex: held for a look-up when a connection begins and ends, never across an await.
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    addresses: HashMap<IpAddr, usize>,
    refused: u64,
}

/// The right to have a connection, as long as it lives.
#[derive(Debug)]
pub struct Permit {
    connections: Arc<Connections>,
    address: IpAddr,
}

impl Connections {
    /// Room for `max` connections, a quarter of them from one address.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self {
            max,
            max_per_address: max.div_ceil(SHARE_PER_ADDRESS),
            open: Mutex::default(),
        }
    }

    /// Lets a connection from `address` in if there is room.
    #[must_use]
    pub fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Permit> {
        let mut open = self.lock();
        let from_address = open.addresses.get(&address).copied().unwrap_or_default();
        if open.total >= self.max || from_address >= self.max_per_address {
            open.refused = open.refused.saturating_add(1);
            return None;
        }
        open.total = open.total.saturating_add(1);
        open.addresses.insert(address, from_address.saturating_add(1));
        drop(open);
        Some(Permit {
            connections: Arc::clone(self),
            address,
        })
    }

    /// How many there are now.
    #[must_use]
    pub fn open(&self) -> usize {
        self.lock().total
    }

    /// How many there may be.
    #[must_use]
    pub const fn max(&self) -> usize {
        self.max
    }

    /// How many were not let in.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.lock().refused
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.connections.lock();
        open.total = open.total.saturating_sub(1);
        let left = open
            .addresses
            .get(&self.address)
            .copied()
            .unwrap_or_default()
            .saturating_sub(1);
        if left == 0 {
            open.addresses.remove(&self.address);
        } else {
            open.addresses.insert(self.address, left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_fit_memory_and_files() {
        for (memory, files, expected) in [
            (None, None, 16_384),
            (Some(512 << 20), None, 4_096),
            (Some(128 << 20), Some(1 << 20), 1_024),
            (None, Some(1_024), 896),
            (Some(u64::MAX), Some(20_000), 16_384),
            (Some(0), Some(0), 256),
        ] {
            assert_eq!(max_connections(memory, files), expected, "{memory:?} {files:?}");
        }
    }

    #[test]
    fn one_address_has_its_share_and_all_have_theirs() {
        let connections = Arc::new(Connections::new(8));
        let address = |last: u8| IpAddr::from([10, 0, 0, last]);
        let mut permits: Vec<_> = (0..3).map_while(|_| connections.admit(address(1))).collect();
        assert_eq!(permits.len(), 2);
        permits.extend(
            (2..9)
                .flat_map(|last| [connections.admit(address(last)), connections.admit(address(last))])
                .flatten(),
        );
        assert_eq!((permits.len(), connections.open(), connections.refused()), (8, 8, 9));
        permits.remove(0);
        permits.push(connections.admit(address(9)).expect("room"));
        drop(permits);
        assert!(connections.open() == 0 && connections.lock().addresses.is_empty());
    }
}
