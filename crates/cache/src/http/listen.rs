//! Listening sockets: one for each thread that serves, all on the same port, between which the kernel spreads connections.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that the kernel holds until they are accepted. It cuts this to `net.core.somaxconn`, 4,096 by default.
const BACKLOG: i32 = 4_096;

/// A port could not be listened on.
#[derive(Debug, thiserror::Error)]
#[error("failed to listen on {address}")]
pub struct BindError {
    address: SocketAddr,
    #[source]
    source: io::Error,
}

/// `count` sockets that listen on `address`, and the address with its port if that was 0.
///
/// # Errors
/// [`BindError`], also if another process listens there: sharing a port is for our own threads.
pub fn listen(address: SocketAddr, count: usize) -> Result<(SocketAddr, Vec<TcpListener>), BindError> {
    try_listen(address, count)
        .or_else(|error| {
            let without_ipv6 = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port());
            let every_address = address.is_ipv6() && address.ip().is_unspecified();
            if every_address && error.kind() == io::ErrorKind::Unsupported {
                try_listen(without_ipv6, count)
            } else {
                Err(error)
            }
        })
        .map_err(|source| BindError { address, source })
}

fn try_listen(address: SocketAddr, count: usize) -> io::Result<(SocketAddr, Vec<TcpListener>)> {
    // A socket that doesn't share the port finds out whether another process has it.
    let bound = socket(address, false)?.local_addr()?;
    let address = SocketAddr::new(address.ip(), bound.port());
    let listeners: io::Result<_> = (0..count).map(|_| socket(address, true)).collect();
    Ok((address, listeners?))
}

fn socket(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_share_a_port_and_processes_do_not() {
        let (address, listeners) = listen("127.0.0.1:0".parse().expect("address"), 3).expect("listening");
        assert_eq!(listeners.len(), 3);
        for listener in &listeners {
            assert_eq!(listener.local_addr().expect("address"), address);
        }
        let error = listen(address, 1).expect_err("taken");
        assert_eq!(error.to_string(), format!("failed to listen on {address}"));
        drop(listeners);
        assert!(listen(address, 1).is_ok());
    }
}
