//! `cargo xtask fuzz`: runs libFuzzer over the targets of the WAF engine (`crates/engine/tests/fuzz`), built with the stable compiler: its coverage is
//! an LLVM pass that `-C` flags ask for. What it finds is written beside the inputs that the tests run, so that it is never found twice.

use anyhow::{Context, Result, bail};

use crate::program::Program;
use crate::workspace;

/// What cargo-fuzz passes, but for the sanitizers, which need a nightly compiler.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
                     -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long, all targets together
    #[arg(long, default_value_t = 5, value_name = "N")]
    minutes: u64,
    /// Only this target
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
}

pub(crate) async fn run(args: &Args) -> Result<()> {
    let engine = workspace::root().join("crates/engine");
    let build = workspace::target_dir().join("fuzz");
    // Named, so that cargo builds what runs during the build without the flags.
    let platform = Program::new("rustc").args(["--print", "host-tuple"]).stdout().await?;
    let platform = platform.trim();
    workspace::cargo()
        .args([
            "build",
            "--release",
            "--locked",
            "--target",
            platform,
            "--manifest-path",
        ])
        .arg(engine.join("fuzz/Cargo.toml"))
        .arg("--target-dir")
        .arg(&build)
        .env("RUSTFLAGS", FLAGS)
        .run()
        .await?;
    let fuzzer = build.join(platform).join("release/coraza-engine-fuzz");
    let inputs = engine.join("tests/fuzz/inputs");
    let mut targets = Vec::new();
    for entry in std::fs::read_dir(&inputs).with_context(|| inputs.display().to_string())? {
        targets.push(entry?.file_name().to_string_lossy().into_owned());
    }
    targets.sort();
    targets.retain(|name| args.target.as_ref().is_none_or(|only| only == name));
    let count = u64::try_from(targets.len())?;
    if count == 0 {
        bail!("no such target: {} has one folder for each", inputs.display());
    }
    let seconds = (args.minutes * 60 / count).max(1);
    let mut failed = Vec::new();
    for target in &targets {
        // What covers more than what is kept, from one run to the next.
        let corpus = build.join("corpus").join(target);
        std::fs::create_dir_all(&corpus)?;
        let kept = inputs.join(target);
        let fuzzing = Program::new(&fuzzer)
            .env("FUZZ_TARGET", target)
            .args([
                "-verbosity=0",
                "-timeout=10",
                "-rss_limit_mb=2048",
                "-use_value_profile=1",
                "-print_final_stats=1",
                "-len_control=20",
            ])
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-artifact_prefix={}/found-", kept.display()))
            .arg(&corpus)
            .arg(&kept);
        if let Err(error) = fuzzing.run().await {
            failed.push(format!("{target}: {error:#}"));
        }
    }
    if failed.is_empty() {
        println!("fuzz {count} targets, {seconds} s each: nothing found");
        return Ok(());
    }
    bail!("{}\nwhat was found is in {}", failed.join("\n"), inputs.display())
}
