//! Ports for servers that a test may start again on the same one.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, PoisonError};

/// Below the range that Linux gives to outgoing connections, above those of well-known servers, below those of a mesh (15012 and up), and beside those of
/// `cargo xtask cluster`.
const RANGE: std::ops::Range<u16> = 11_000..15_000;

/// The ports of this process: each is a lock on a file that all processes of tests know, since a port that nobody listens on may be another's a moment later.
static RESERVED: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// An address on loopback that nobody listens on, and that no other test is given, of this process or another, until this process ends.
///
/// # Panics
/// Where there is none.
pub fn free() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let locks = std::env::temp_dir().join("coraza-e2e-ports");
    std::fs::create_dir_all(&locks).expect("a folder for locks");
    // Another place in the range than that of another process, such as another checkout's tests.
    let width = RANGE.end - RANGE.start;
    let start = u16::try_from(std::process::id().wrapping_mul(61) % u32::from(width)).expect("smaller than the range");
    for _ in RANGE {
        let port = RANGE.start + (start + NEXT.fetch_add(1, Ordering::Relaxed) % width) % width;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let Some(lock) = reserve(&locks, port) else { continue };
        if TcpListener::bind(address).is_ok() {
            RESERVED.lock().unwrap_or_else(PoisonError::into_inner).push(lock);
            return address;
        }
    }
    panic!("no free port in {RANGE:?}");
}

/// The lock of a port, unless somebody has it.
fn reserve(locks: &Path, port: u16) -> Option<File> {
    let lock = File::create(locks.join(port.to_string())).expect("a file for a lock");
    lock.try_lock().ok().map(|()| lock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_given_once() {
        let locks = tempfile::tempdir().unwrap();
        let first = reserve(locks.path(), 11_000);
        assert!(first.is_some());
        assert!(
            reserve(locks.path(), 11_000).is_none(),
            "as another process would see it"
        );
        assert!(reserve(locks.path(), 11_001).is_some());
        drop(first);
        assert!(reserve(locks.path(), 11_000).is_some());
    }

    #[test]
    fn addresses_differ() {
        assert_ne!(free(), free());
    }
}
