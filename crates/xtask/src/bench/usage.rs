//! What a process uses of memory and CPU, as the kernel counts it (proc(5)).

use std::fs;

use anyhow::{Context, Result};

use crate::program::Running;

/// Memory of a cache beyond twice its bodies that the design allows.
pub(super) const ALLOWANCE_MIB: f64 = 20.0;

pub(super) fn mebibytes(bytes: usize) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// The memory that a process has now.
pub(super) fn resident_mebibytes(process: &Running) -> Result<f64> {
    let pid = process.pid().context("a server has ended")?;
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let resident = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("no VmRSS")?;
    let kibibytes: f64 = resident.trim().trim_end_matches(" kB").parse()?;
    Ok(kibibytes / 1024.0)
}

/// What a process has used of the CPU, in its own code and in the kernel on its behalf (proc(5); Linux counts 100 ticks a second for everybody).
pub(super) fn cpu_seconds(process: &Running) -> Result<f64> {
    let pid = process.pid().context("a server has ended")?;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(") ").context("no name in a process's stat")?;
    let ticks: Result<Vec<f64>, _> = fields.split(' ').skip(11).take(2).map(str::parse).collect();
    Ok(ticks?.iter().sum::<f64>() / 100.0)
}
