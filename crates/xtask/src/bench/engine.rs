//! What the rules cost a request: the engine's example `bench`, which runs libmodsecurity beside the engine in one process.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::figure::{Figure, Target};
use crate::program::Program;
use crate::{tools, workspace};

/// The paranoia levels that are measured, each with what a request may cost beside libmodsecurity.
const LEVELS: [(u8, f64); 2] = [(1, 0.3), (4, 0.5)];

/// Bodies from this size on are judged by their own time too: libmodsecurity's is quadratic in theirs, so that a ratio proves little.
const LARGE_BODY: usize = 10_000;

/// What each byte of a large and harmless body may cost, in microseconds.
const PER_BYTE: f64 = 2.0;

/// A line of the example.
#[derive(Deserialize)]
struct Line {
    scenario: String,
    level: u8,
    body: usize,
    ours_us: f64,
    libmodsecurity_us: Option<f64>,
}

/// A line of what has no peer.
#[derive(Deserialize)]
struct Own {
    figure: String,
    value: f64,
    unit: String,
    most: Option<f64>,
    least: Option<f64>,
}

/// What to measure of the engine.
#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// Only the scenarios whose names contain this
    #[arg(long, default_value = "")]
    only: String,
}

pub(super) async fn measure(args: &Args) -> Result<()> {
    let rules = tools::core_rule_set().await?;
    let peer = tools::libmodsecurity::provide().await?;
    let build = ["build", "--release", "--package", "coraza-engine", "--example", "bench"];
    workspace::cargo().args(build).run().await?;
    let example = workspace::target_dir().join("release/examples/bench");
    if args.only.is_empty() {
        own(&example, &rules).await?;
    }
    for (level, most) in LEVELS {
        let output = Program::new(&example)
            .arg("--crs")
            .arg(&rules)
            .arg("--libmodsecurity")
            .arg(&peer)
            .args(["--only", &args.only, "--level", &level.to_string()])
            .stdout_with_stderr_shown()
            .await?;
        for line in output.lines() {
            let line: Line = serde_json::from_str(line).context("a line of the example")?;
            for figure in figures(&line, most)? {
                println!("{figure}");
            }
        }
    }
    Ok(())
}

/// Prints what there is no peer for.
async fn own(example: &Path, rules: &Path) -> Result<()> {
    let program = Program::new(example).arg("--own").arg("--crs").arg(rules);
    for line in program.stdout_with_stderr_shown().await?.lines() {
        let own: Own = serde_json::from_str(line).context("a line of the example")?;
        let target = match (own.most, own.least) {
            (Some(most), _) => Target::AtMost(most),
            (None, Some(least)) => Target::AtLeast(least),
            (None, None) => Target::None,
        };
        let name = format!("engine/{}", own.figure);
        println!("{}", Figure::alone(&name, own.value, &own.unit, target));
    }
    Ok(())
}

fn figures(line: &Line, most: f64) -> Result<Vec<Figure>> {
    let peer = line.libmodsecurity_us.context("the peer didn't run")?;
    let name = format!("engine/pl{}-{}", line.level, line.scenario);
    let peer = ("libmodsecurity", peer);
    let mut figures = vec![Figure::beside(
        &name,
        line.ours_us,
        "us",
        peer,
        Target::RatioAtMost(most),
    )];
    if line.body >= LARGE_BODY {
        #[allow(clippy::cast_precision_loss, reason = "of a number of bytes")]
        let per_byte = line.ours_us / line.body as f64;
        figures.push(Figure::alone(
            &format!("{name}-per-byte"),
            per_byte,
            "us/byte",
            Target::AtMost(PER_BYTE),
        ));
    }
    Ok(figures)
}
