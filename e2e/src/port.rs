//! Ports for servers that a test may start again on the same one.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the range that Linux gives to outgoing connections, above those of well-known servers, below those of a mesh (15012 and up), and beside those of
/// `cargo xtask cluster`.
const RANGE: std::ops::Range<u16> = 11_000..15_000;

/// An address on loopback that nobody listens on, and that no other test of this process is given.
///
/// # Panics
/// Where there is none.
pub fn free() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Another place in the range than that of another process, such as another checkout's tests.
    let width = RANGE.end - RANGE.start;
    let start = u16::try_from(std::process::id().wrapping_mul(61) % u32::from(width)).expect("smaller than the range");
    for _ in RANGE {
        let port = RANGE.start + (start + NEXT.fetch_add(1, Ordering::Relaxed) % width) % width;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no free port in {RANGE:?}");
}
