//! `cargo xtask demo`, as a person runs it. *Faults*: it starts a cluster and processes of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use coraza_e2e::{Process, environment, until, until_within};
use tokio::sync::Mutex;

/// The demo builds what isn't built, on a machine that may be busy.
const PATIENCE: Duration = Duration::from_secs(300);

/// Its folder, ports and namespace are the same each time.
static ONE: Mutex<()> = Mutex::const_new(());

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn it_ends_well_and_leaves_no_process() {
    let _one = ONE.lock().await;
    let demo = start();
    let status = until_within(PATIENCE, "the demo's end", async || {
        demo.ended().ok_or_else(|| last_line(&demo))
    })
    .await;
    let text = demo.log();
    assert!(status.success(), "{text}");
    assert!(text.contains("== It works"), "{text}");
    let with_istio = !text.contains("Without Istio");
    assert_eq!(
        pids(&text).len(),
        if with_istio { 6 } else { 4 },
        "a controller, two caches, the controller again, a web server and a Gateway's proxy: {text}"
    );
    for shown in [
        "attack was answered with 403 and a normal request with 200",
        "turned the Gateway's verdict",
        "condition=Enforced engine/web",
    ] {
        assert_eq!(text.contains(shown), with_istio, "{shown}: {text}");
    }
    gone(&text).await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn it_fails_when_a_cache_is_killed_midway_and_leaves_no_process() {
    let _one = ONE.lock().await;
    let demo = start();
    let pid = until_within(PATIENCE, "the second cache", async || {
        pid_of(&demo.log(), "coraza-cache-1").ok_or_else(|| last_line(&demo))
    })
    .await;
    // As far as a caller's token: the rules are served by then.
    until("the rules to be served", async || {
        if demo.log().contains("export TOKEN=") {
            Ok(())
        } else {
            Err(last_line(&demo))
        }
    })
    .await;
    assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    let status = demo.end().await;
    let text = demo.log();
    assert_eq!(status.code(), Some(1), "{text}");
    assert!(
        text.contains("coraza-cache-1 ended") && !text.contains("== It works"),
        "{text}"
    );
    gone(&text).await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn it_leaves_no_process_when_it_is_interrupted() {
    let _one = ONE.lock().await;
    let demo = start();
    until_within(PATIENCE, "the second cache", async || {
        pid_of(&demo.log(), "coraza-cache-1").ok_or_else(|| last_line(&demo))
    })
    .await;
    // Ctrl-C is SIGINT; SIGTERM is what a CI that gives up sends, and takes the same way.
    demo.terminate();
    assert_eq!(demo.end().await.code(), Some(130));
    gone(&demo.log()).await;
}

fn start() -> Process {
    Process::start("demo", {
        let mut command = Process::command(&environment().xtask);
        command.arg("demo");
        command
    })
}

fn last_line(demo: &Process) -> String {
    demo.log().lines().last().unwrap_or_default().to_owned()
}

/// The process id that the demo printed for one of its processes.
fn pid_of(text: &str, name: &str) -> Option<String> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": pid "))?;
    Some(line.to_owned())
}

fn pids(text: &str) -> Vec<&str> {
    text.lines()
        .filter_map(|line| Some(line.split_once(": pid ")?.1))
        .collect()
}

/// Waits until none of the processes that it started is left: its own, and those of its cluster, which all have the cluster's folder in their command line.
async fn gone(text: &str) {
    let cluster = text
        .lines()
        .find_map(|line| line.strip_prefix("$ export KUBECONFIG="))
        .expect("it says where its cluster is");
    let folder = Path::new(cluster).parent().unwrap().to_str().unwrap();
    until("every process to be gone", async || {
        let left: Vec<String> = fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| command_line(&entry.unwrap().path()))
            .filter(|line| line.contains(folder))
            .collect();
        let ours = pids(text)
            .into_iter()
            .filter(|pid| command_line(&Path::new("/proc").join(pid)).is_some_and(|line| line.contains("coraza-")));
        let left: Vec<String> = left.into_iter().chain(ours.map(str::to_owned)).collect();
        if left.is_empty() { Ok(()) } else { Err(left.join("\n")) }
    })
    .await;
}

fn command_line(process: &Path) -> Option<String> {
    let bytes = fs::read(process.join("cmdline")).ok()?;
    Some(String::from_utf8_lossy(&bytes).replace('\0', " "))
}
