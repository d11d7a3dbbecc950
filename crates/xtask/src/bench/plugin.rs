//! The plugin in Envoy: what it adds to a request, what a reload adds to that, what it takes of memory, and how soon an edit is enforced.
//!
//! What is added is told by two listeners of one Envoy, one with the plugin and one without, which take turns; libmodsecurity's time for the
//! same rules and requests, in a process of its own, stands beside it. Requests and rules are those of `cargo xtask bench engine`.

mod edit;
mod load;
mod memory;
mod proxy;
mod reload;
mod requests;
mod rules;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use self::load::{Request, Wrk};
use self::rules::Rules;
use super::figure::{Figure, Target};
use super::fleet::Profile;
use super::http::{get, until};
use super::usage::mebibytes;
use crate::cluster::port;
use crate::program::{Program, Running};
use crate::tools::{self, debian};
use crate::{plugin, workspace};

/// Of one run.
const SECONDS: u64 = 1;
/// Connections of who asks for as much as there is.
const BUSY: usize = 8;
/// What serves has one core, what asks and what answers it another.
const SERVER_CORE: usize = 0;
const CLIENT_CORE: usize = 1;
const LEVELS: [u8; 2] = [1, 4];
const PATIENCE: Duration = Duration::from_secs(30);

/// What to measure of the plugin.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Only these parts: requests, reload, memory, edit
    #[arg(value_name = "PART")]
    parts: Vec<Part>,
    /// Of the requests only the scenarios whose names contain this
    #[arg(long, default_value = "")]
    only: String,
    /// 1,000 reloads and 1,000,000 requests for the figures of memory: about half an hour more
    #[arg(long)]
    soak: bool,
    /// Edits, one after another
    #[arg(long, default_value_t = EDITS)]
    edits: usize,
    /// Edits with programs built as for tests: to see that it works, not how fast
    #[arg(long)]
    dev: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    Requests,
    Reload,
    Memory,
    Edit,
}

/// Edits unless the command line says.
const EDITS: usize = 100;

impl Default for Args {
    fn default() -> Self {
        Self {
            parts: Vec::new(),
            only: String::new(),
            soak: false,
            edits: EDITS,
            dev: false,
        }
    }
}

/// What all parts need.
pub(super) struct Tools {
    envoy: PathBuf,
    module: PathBuf,
}

/// What the engine's example is asked to write.
#[derive(Deserialize)]
struct Export {
    #[serde(flatten)]
    rules: Rules,
    requests: Vec<Request>,
}

pub(super) async fn measure(args: &Args) -> Result<()> {
    let cores = std::thread::available_parallelism()?.get();
    ensure!(
        cores > CLIENT_CORE,
        "the bench needs two cores, one for Envoy and one for the load"
    );
    let peers = debian::peers().await?;
    let tools = Tools {
        envoy: tools::envoy::provide().await?,
        module: plugin::build(plugin::Kind::Shipped).await?,
    };
    let build = ["build", "--release", "--package", "coraza-engine", "--example", "bench"];
    workspace::cargo().args(build).run().await?;
    let folder = tempfile::Builder::new().prefix("coraza-bench-").tempdir()?;
    let dir = folder.path();
    let [upstream] = port::free()?;
    let _nginx = start_upstream(&peers.nginx, dir, upstream)?;
    until(PATIENCE, || get(upstream, "/", "")).await?;
    let wrk = Wrk::new(&peers, CLIENT_CORE, dir);
    let wants = |part| args.parts.is_empty() || args.parts.contains(&part);
    let size = mebibytes(usize::try_from(tools.module.metadata()?.len())?);
    println!("{}", Figure::alone("plugin/module", size, "MiB", Target::AtMost(3.0)));
    if wants(Part::Requests) {
        for level in LEVELS {
            requests::measure(&tools, &wrk, upstream, dir, (level, &args.only)).await?;
        }
    }
    if wants(Part::Reload) {
        reload::measure(&tools, upstream, dir).await?;
    }
    if wants(Part::Memory) {
        memory::measure(&tools, &wrk, upstream, dir, args.soak).await?;
    }
    if wants(Part::Edit) {
        let profile = if args.dev { Profile::Dev } else { Profile::Release };
        edit::measure(&tools, upstream, dir, profile, args.edits).await?;
    }
    Ok(())
}

/// The engine's example: what it measures with.
async fn export(level: u8) -> Result<Export> {
    let json = example(level).await?.arg("--export").stdout().await?;
    serde_json::from_str(&json).context("what the engine's example exports")
}

async fn example(level: u8) -> Result<Program> {
    let rules = tools::core_rule_set().await?;
    let program = Program::new(workspace::target_dir().join("release/examples/bench"));
    Ok(program.arg("--crs").arg(rules).args(["--level", &level.to_string()]))
}

/// What answers behind Envoy: nginx, with a small page for everybody.
fn start_upstream(nginx: &Path, dir: &Path, port: u16) -> Result<Running> {
    let config = dir.join("nginx.conf");
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path tmp/{kind};\n"))
        .concat();
    let text = format!(
        "daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log nginx.log;\nuser root;\nevents {{ worker_connections 1024; }}\n\
         http {{\naccess_log off;\nkeepalive_requests 100000000;\nclient_max_body_size 8m;\ndefault_type text/html;\n{temporary}\
         server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ return 200 '<p>Thank you</p>'; }} }}\n}}\n"
    );
    std::fs::create_dir_all(dir.join("tmp"))?;
    std::fs::write(&config, text)?;
    let program = Program::new("taskset")
        .args(["-c", &CLIENT_CORE.to_string()])
        .arg(nginx);
    program
        .arg("-p")
        .arg(dir)
        .arg("-e")
        .arg(dir.join("nginx.log"))
        .arg("-c")
        .arg(&config)
        .start_logged(&dir.join("nginx.out"))
}
