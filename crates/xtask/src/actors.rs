//! How a controller and a cache are started as processes on loopback: the flags that the demo and the benchmarks give them.

use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context, Result};

use crate::cluster::port;
use crate::program::Program;

/// The ports of one process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    /// What it is there for: the caches' streams at the controller, HTTP at a cache.
    pub(crate) service: u16,
    pub(crate) health: u16,
    pub(crate) metrics: u16,
    /// The plugin's, at a cache that serves one.
    pub(crate) plugin: u16,
}

impl Ports {
    /// Free ones for `N` processes.
    pub(crate) fn free<const N: usize>() -> Result<[Self; N]> {
        let mut ports = port::find(4 * N)?.into_iter();
        let mut next = || ports.next().context("fewer ports than were asked for");
        let all: Result<Vec<Self>> = (0..N)
            .map(|_| {
                Ok(Self {
                    service: next()?,
                    health: next()?,
                    metrics: next()?,
                    plugin: next()?,
                })
            })
            .collect();
        all?.try_into().ok().context("another number of processes")
    }
}

/// Gives a program that is a controller its flags. `certificates` is a folder as `demo::certificates` makes it.
pub(crate) fn controller(program: Program, ports: Ports, certificates: &Path) -> Program {
    program
        .arg(format!("--grpc-bind-address=127.0.0.1:{}", ports.service))
        .arg(format!("--health-probe-bind-address=127.0.0.1:{}", ports.health))
        .arg(format!("--metrics-bind-address=127.0.0.1:{}", ports.metrics))
        .arg("--metrics-secure=false")
        .arg(format!(
            "--tls-dir={}",
            certificates.join("coraza-controller").display()
        ))
}

/// Gives a program that is a cache its flags; it subscribes at the port `grpc`, and is read at an address.
pub(crate) fn cache(program: Program, ports: Ports, grpc: u16, read_at: Ipv4Addr, certificates: &Path) -> Program {
    program
        .arg(format!("--controller-address=127.0.0.1:{grpc}"))
        .arg(format!("--cache-server-bind-address={read_at}"))
        .arg(format!("--cache-server-port={}", ports.service))
        .arg(format!("--health-probe-bind-address=127.0.0.1:{}", ports.health))
        .arg(format!("--metrics-bind-address=127.0.0.1:{}", ports.metrics))
        .arg("--metrics-secure=false")
        .arg(format!("--tls-dir={}", certificates.join("coraza-cache").display()))
}
