//! What compiling the Core Rule Set costs, as the compiler's example `crs` counts it: in a process of its own, with nothing in its memory.

use anyhow::{Context, Result};
use serde::Deserialize;

use super::figure::{Figure, Target};
use crate::program::Program;
use crate::{tools, workspace};

/// Processes that are asked: the fastest counts, since what others do on the machine can only add to it.
const ROUNDS: usize = 9;

/// The last line of the example.
#[derive(Deserialize)]
struct Times {
    cold_ms: f64,
    /// Of the edits of each source in turn.
    edit_median_ms: f64,
    edit_slowest_ms: f64,
}

pub(super) async fn measure() -> Result<()> {
    let rules = tools::core_rule_set().await?.join("rules/@owasp_crs");
    let build = ["build", "--release", "--package", "coraza-compiler", "--example", "crs"];
    workspace::cargo().args(build).run().await?;
    let example = workspace::target_dir().join("release/examples/crs");
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let output = Program::new(&example).arg(&rules).arg("0").stdout().await?;
        let last = output.lines().last().context("the example printed nothing")?;
        rounds.push(serde_json::from_str::<Times>(last).context("the example's last line")?);
    }
    let best = |time: fn(&Times) -> f64| rounds.iter().map(time).fold(f64::INFINITY, f64::min);
    for (name, time, most) in [
        ("compile/crs-cold", best(|times| times.cold_ms), 150.0),
        ("compile/crs-edit-median", best(|times| times.edit_median_ms), 15.0),
        ("compile/crs-edit-slowest", best(|times| times.edit_slowest_ms), 15.0),
    ] {
        println!("{}", Figure::alone(name, time, "ms", Target::AtMost(most)));
    }
    Ok(())
}
