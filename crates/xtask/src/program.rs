//! Running other programs so that none outlives us: each in its own process group, killed when its handle is dropped and, whatever happens to us, by the
//! kernel when we are gone.

use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

/// How often a process that was told to end is looked at: short beside the ~10 ms that ending takes.
const POLL: Duration = Duration::from_millis(5);

/// How long a process that has others to end may take for it: it kills them, which takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a program ends when its handle is dropped or we are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// At once.
    Kill,
    /// In order, since it has processes of its own to end.
    Terminate,
    /// In order with its handle, but not with us: it may be left running.
    TerminateUnlessDetached,
}

impl End {
    /// What the kernel is to do when we are gone, as setpriv names it.
    fn name(self) -> &'static str {
        match self {
            Self::Kill => "KILL",
            Self::Terminate => "TERM",
            Self::TerminateUnlessDetached => "clear",
        }
    }
}

/// A program to run, and the line that shows it as a person would type it.
pub(crate) struct Program {
    command: Command,
    line: String,
    end_by: End,
}

impl Program {
    /// A program that is killed when its handle is dropped or we are gone.
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        Self::ended_by(End::Kill, program)
    }

    /// A program that is ended so when its handle is dropped or we are gone.
    ///
    /// The kernel's part is `PR_SET_PDEATHSIG`. setpriv (util-linux) sets it and then becomes the program; doing so between fork and exec ourselves would be
    /// this workspace's only unsafe code.
    pub(crate) fn ended_by(end_by: End, program: impl AsRef<OsStr>) -> Self {
        let program = program.as_ref();
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", end_by.name(), "--"]).arg(program);
        command.process_group(0).stdin(Stdio::null());
        Self {
            command,
            line: quoted(program),
            end_by,
        }
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.line.push(' ');
        self.line.push_str(&quoted(arg.as_ref()));
        self.command.arg(arg);
        self
    }

    pub(crate) fn args(self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        args.into_iter().fold(self, Self::arg)
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Takes all variables from it but the path, and gives it a home: as a container's program starts.
    pub(crate) fn clean(mut self, home: &Path) -> Self {
        self.command.env_clear().env("HOME", home);
        match std::env::var_os("PATH") {
            Some(path) => self.env("PATH", path),
            None => self,
        }
    }

    pub(crate) fn without_env(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    pub(crate) fn dir(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// Runs it to its end on our terminal; an exit status other than 0 is an error.
    pub(crate) async fn run(self) -> Result<()> {
        let line = self.line.clone();
        eprintln!("$ {line}");
        let status = self.start()?.wait().await?;
        if !status.success() {
            bail!("`{line}` failed: {status}");
        }
        Ok(())
    }

    /// Runs it to its end and returns what it wrote to its standard output; what it wrote to its standard error is part of the error.
    pub(crate) async fn stdout(mut self) -> Result<String> {
        self.command.stderr(Stdio::piped());
        self.stdout_with_stderr_shown().await
    }

    /// As [`stdout`](Self::stdout), with its standard error on our terminal.
    pub(crate) async fn stdout_with_stderr_shown(mut self) -> Result<String> {
        self.command.stdout(Stdio::piped());
        let mut running = self.start()?;
        let (stdout, stderr) = (running.child.stdout.take(), running.child.stderr.take());
        let (stdout, stderr) = tokio::try_join!(read(stdout), read(stderr))?;
        let status = running.wait().await?;
        if !status.success() {
            bail!(
                "`{}` failed: {status}\n{}",
                running.line,
                String::from_utf8_lossy(&stderr).trim_end()
            );
        }
        String::from_utf8(stdout).with_context(|| format!("`{}` wrote text that isn't UTF-8", running.line))
    }

    /// Starts it with both its outputs in a file.
    pub(crate) fn start_logged(mut self, log: &Path) -> Result<Running> {
        let file = File::create(log).with_context(|| format!("failed to create {}", log.display()))?;
        self.command.stdout(file.try_clone()?).stderr(file);
        self.start()
    }

    /// Starts it with its standard output and standard error as pipes, to be taken from [`Running::child`].
    pub(crate) fn start_piped(mut self) -> Result<Running> {
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        self.start()
    }

    fn start(mut self) -> Result<Running> {
        let child = self
            .command
            .spawn()
            .with_context(|| format!("failed to start `{}` by setpriv (util-linux)", self.line))?;
        Ok(Running {
            child,
            line: self.line,
            end_by: self.end_by,
        })
    }
}

/// A running program; dropping it ends it, with its process group.
pub(crate) struct Running {
    pub(crate) child: Child,
    line: String,
    end_by: End,
}

impl Running {
    pub(crate) fn line(&self) -> &str {
        &self.line
    }

    /// Its process id while it hasn't been waited for.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    pub(crate) async fn wait(&mut self) -> Result<ExitStatus> {
        self.child
            .wait()
            .await
            .with_context(|| format!("failed to wait for `{}`", self.line))
    }

    /// Whether it has ended, and how.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Asks it to end, kills it if it takes its time, and waits until it is gone.
    pub(crate) async fn stop(mut self, patience: Duration) -> Result<()> {
        if let Some(pid) = self.leader() {
            kill_process(pid, Signal::TERM).with_context(|| format!("failed to signal `{}`", self.line))?;
            // Dropping it kills it.
            let _ = tokio::time::timeout(patience, self.wait()).await;
        }
        Ok(())
    }

    /// Leaves it running. Only what was started [to be left](End::TerminateUnlessDetached) survives us.
    pub(crate) fn detach(self) {
        std::mem::forget(self);
    }

    /// The leader of its process group, which is the program itself.
    fn leader(&self) -> Option<Pid> {
        self.child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(pid) = self.leader() else { return };
        if self.end_by != End::Kill {
            let _ = kill_process(pid, Signal::TERM);
            let deadline = Instant::now() + PATIENCE;
            while self.ended().is_none() && Instant::now() < deadline {
                std::thread::sleep(POLL);
            }
        }
        // Also after an orderly end: what it left in its group goes with it.
        let _ = kill_process_group(pid, Signal::KILL);
        while self.child.try_wait().is_ok_and(|status| status.is_none()) {
            std::thread::sleep(POLL);
        }
    }
}

/// All that a pipe gives, if it is one.
async fn read(pipe: Option<impl AsyncRead + Unpin>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        pipe.read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

/// An argument as a shell wants it.
fn quoted(arg: &OsStr) -> String {
    let arg = arg.to_string_lossy();
    let plain = |c: char| c.is_alphanumeric() || "-_./:=,@%+".contains(c);
    if !arg.is_empty() && arg.chars().all(plain) {
        arg.into_owned()
    } else {
        format!("'{}'", arg.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_can_be_pasted_into_a_shell() {
        let program = Program::new("echo").args(["plain-word", "two words", "it's", ""]);
        assert_eq!(program.line, r"echo plain-word 'two words' 'it'\''s' ''");
    }

    #[tokio::test]
    async fn a_failed_command_shows_its_line_and_what_it_said() {
        let error = Program::new("sh")
            .args(["-c", "echo no good >&2; exit 3"])
            .stdout()
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("sh -c 'echo no good >&2; exit 3'") && error.contains("no good"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn dropping_ends_the_whole_group() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let running = Program::new("sh")
            .args(["-c", "sleep 600 & echo $!; wait"])
            .start_logged(&log)
            .unwrap();
        let grandchild = loop {
            let text = std::fs::read_to_string(&log).unwrap();
            if let Ok(pid) = text.trim().parse::<u32>() {
                break pid;
            }
            tokio::task::yield_now().await;
        };
        drop(running);
        // Gone, or dead and not yet waited for by init. It was killed when the drop returned, but only its parent was waited for.
        let ended = || {
            let stat = std::fs::read_to_string(format!("/proc/{grandchild}/stat"));
            stat.map_or(true, |stat| stat.contains(") Z ") || stat.contains(") X "))
        };
        let deadline = Instant::now() + PATIENCE;
        while !ended() {
            assert!(Instant::now() < deadline, "{grandchild} outlived its group");
            tokio::task::yield_now().await;
        }
    }
}
