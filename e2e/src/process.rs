//! A process of ours: its log in a file, its signals, and its end with the test's.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError, mpsc};

use rustix::process::{Pid, Signal, kill_process};

use crate::environment;
use crate::wait::until;

/// How many lines of its log are shown when a test fails.
const SHOWN: usize = 60;

/// A running program. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    child: Mutex<Child>,
}

impl Process {
    /// Starts a program with both its outputs in a log file of its own.
    ///
    /// # Panics
    /// If it can't be started.
    pub fn start(name: &str, mut command: Command) -> Self {
        let log = log_file(name);
        let file = File::create(&log).unwrap_or_else(|error| panic!("failed to create {}: {error}", log.display()));
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a file handle can be copied"))
            .stderr(file);
        Self {
            name: name.to_owned(),
            log,
            child: Mutex::new(spawn(command)),
        }
    }

    /// A command that is killed by the kernel when this test binary is gone, however it ends.
    #[must_use]
    pub fn command(program: &Path) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program);
        command
    }

    /// What it is called in logs and messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All that it has written.
    pub fn log(&self) -> String {
        std::fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Its exit status if it has ended.
    pub fn ended(&self) -> Option<ExitStatus> {
        self.child().try_wait().expect("a child can be waited for")
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child().id()
    }

    /// The most memory that it has had at a time, in bytes.
    ///
    /// # Panics
    /// If it has ended.
    #[must_use]
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).expect("it runs");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes: u64 = peak
            .and_then(|peak| peak.trim().strip_suffix(" kB")?.parse().ok())
            .expect("a number");
        kibibytes * 1024
    }

    /// SIGKILL: gone at once, with nothing said to its peers but what the kernel says.
    pub fn kill(&self) {
        let mut child = self.child();
        // It may have ended.
        let _ = child.kill();
        let _ = child.wait();
    }

    /// SIGSTOP: alive to the kernel and its connections, dead to everybody else.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// SIGTERM, without waiting for what comes of it.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Waits for its end.
    pub async fn end(&self) -> ExitStatus {
        until(&format!("the end of {}", self.name), async || {
            self.ended().ok_or("it runs")
        })
        .await
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.id())
            .ok()
            .and_then(Pid::from_raw)
            .expect("a child has a process id");
        // A child that has ended keeps its id until it was waited for, so this can't hit another.
        if self.ended().is_none() {
            kill_process(pid, signal)
                .unwrap_or_else(|error| panic!("failed to send {signal:?} to {}: {error}", self.name));
        }
    }

    fn child(&self) -> std::sync::MutexGuard<'_, Child> {
        // A test that panicked while it looked has left nothing half done.
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows the end of its log, for a test that failed.
    pub fn show_log(&self) {
        self.show(|_| true);
    }

    /// Shows the last lines of its log that have a word in them.
    pub(crate) fn show_log_about(&self, word: &str) {
        self.show(|line| line.contains(word));
    }

    fn show(&self, wanted: impl Fn(&str) -> bool) {
        let log = self.log();
        let lines: Vec<&str> = log.lines().filter(|line| wanted(line)).collect();
        eprintln!(
            "--- {} ({}), the last of {} lines:",
            self.name,
            self.log.display(),
            lines.len()
        );
        for line in lines.iter().skip(lines.len().saturating_sub(SHOWN)) {
            eprintln!("{line}");
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.show_log();
        }
        self.kill();
    }
}

/// A log file that nobody else writes: processes of one name follow each other.
fn log_file(name: &str) -> PathBuf {
    numbered(&format!("{name}.log"))
}

/// A new folder beside the logs, for a process's files.
///
/// # Panics
/// If it can't be made.
pub(crate) fn folder(name: &str) -> PathBuf {
    let folder = numbered(name);
    // A run before this one may have left files here.
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("failed to create {}: {error}", folder.display()));
    folder
}

/// A path in the folder of logs, by test binary and order.
fn numbered(name: &str) -> PathBuf {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    environment().logs.join(format!(
        "{}-{:03}-{name}",
        suite(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    ))
}

/// The name of this test binary, without the digest that cargo adds.
pub(crate) fn suite() -> String {
    let binary = std::env::current_exe().ok();
    let stem = binary
        .as_deref()
        .and_then(Path::file_stem)
        .and_then(|stem| stem.to_str())
        .unwrap_or("test");
    stem.rsplit_once('-').map_or(stem, |(suite, _)| suite).to_owned()
}

/// Starts a child from a thread that lives as long as this process: the kernel kills it when the *thread* that started it ends, and a test's thread ends with
/// its test, while others still use what it started.
fn spawn(command: Command) -> Child {
    type Request = (Command, mpsc::SyncSender<std::io::Result<Child>>);
    static STARTER: OnceLock<mpsc::Sender<Request>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (requests, received) = mpsc::channel::<Request>();
        std::thread::spawn(move || {
            for (mut command, reply) in received {
                // Who asked may have panicked.
                let _ = reply.send(command.spawn());
            }
        });
        requests
    });
    let (reply, child) = mpsc::sync_channel(1);
    let line = format!("{command:?}");
    starter
        .send((command, reply))
        .expect("the starter lives as long as the process");
    child
        .recv()
        .expect("the starter answers")
        .unwrap_or_else(|error| panic!("failed to start {line}: {error}"))
}
