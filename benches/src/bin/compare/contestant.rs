//! A program that takes part, and its processes: each gets its work by the environment and ends on SIGTERM.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::{Failure, pause};

/// How long a process may take to end when asked.
const END_PATIENCE: Duration = Duration::from_secs(15);

/// A program of the comparison.
#[derive(Debug, Clone)]
pub struct Contestant {
    pub name: &'static str,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Beyond the run's own, such as the number of threads.
    pub environment: Vec<(&'static str, String)>,
}

/// A running process of a contestant; killed when dropped.
pub struct Running {
    child: Child,
    pub started: Instant,
    state: PathBuf,
    log: PathBuf,
}

impl Contestant {
    /// Starts a process; its log and its state lie in `folder`.
    pub fn start(&self, run: &[(&'static str, String)], folder: &Path, number: usize) -> Result<Running, Failure> {
        let state = folder.join(format!("state-{number}"));
        fs::create_dir_all(&state)?;
        let log = folder.join(format!("{number}.log"));
        let output = File::options().append(true).create(true).open(&log)?;
        let (program, arguments) = self.command.split_first().ok_or("a contestant without a program")?;
        let mut command = Command::new(program);
        command.args(arguments).env("STATE_DIR", &state);
        command.envs(run.iter().chain(&self.environment).map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let started = Instant::now();
        let child = command.spawn().map_err(|error| format!("{program}: {error}"))?;
        Ok(Running { child, started, state, log })
    }
}

impl Running {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Fails with the end of its log if the process has ended.
    pub fn expect_alive(&mut self) -> Result<(), Failure> {
        let Some(status) = self.child.try_wait()? else { return Ok(()) };
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let last: Vec<&str> = log.lines().rev().take(5).collect();
        let last: Vec<&str> = last.into_iter().rev().collect();
        Err(format!("the process ended ({status}): {}", last.join(" / ")).into())
    }

    /// Asks it to end, and kills it where it does not. What it keeps on disk stays until [`Running::forget_state`].
    pub fn stop(&mut self) -> Result<(), Failure> {
        if self.child.try_wait()?.is_none() {
            let pid = self.child.id().to_string();
            // The shell's own `kill`: a small system has no program of that name.
            Command::new("sh").args(["-c", "kill -TERM \"$1\"", "sh", &pid]).stderr(Stdio::null()).status()?;
            let deadline = Instant::now() + END_PATIENCE;
            while self.child.try_wait()?.is_none() {
                if Instant::now() > deadline {
                    return self.kill();
                }
                pause(Duration::from_millis(10));
            }
        }
        Ok(())
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) -> Result<(), Failure> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Deletes what the process kept on disk.
    pub fn forget_state(&self) {
        // What is not there needs no deleting; what cannot be deleted goes with the whole run's folder.
        drop(fs::remove_dir_all(&self.state));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            drop(self.kill());
        }
        self.forget_state();
    }
}
