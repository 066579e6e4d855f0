//! Child processes: their signals by id, and their certain end.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::{Failure, pause};

/// A child of the checker; killed when dropped, however the checker ends.
pub struct Process {
    child: Child,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    Stop,
    Continue,
    Terminate,
}

impl Process {
    /// Starts a program whose messages are appended to a file; its standard input is held open for as long as the checker
    /// lives.
    pub fn start(command: &mut Command, log: &Path) -> Result<Process, Failure> {
        let file = File::options().create(true).append(true).open(log);
        let file = file.map_err(Failure::io(log.display().to_string()))?;
        let also = file.try_clone().map_err(Failure::io(log.display().to_string()))?;
        let child = command.stdin(Stdio::piped()).stdout(also).stderr(file).spawn();
        let program = command.get_program().to_string_lossy().into_owned();
        Ok(Process { child: child.map_err(Failure::io(program))? })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// A child that was not waited for keeps its id, so that the signal reaches no other process.
    pub fn signal(&self, signal: Signal) {
        let name = match signal {
            Signal::Stop => "-STOP",
            Signal::Continue => "-CONT",
            Signal::Terminate => "-TERM",
        };
        // The shell's own `kill`: a small system has no program of that name.
        let mut kill = Command::new("sh");
        kill.args(["-c", "kill \"$1\" \"$2\"", "sh", name, &self.id().to_string()]).stderr(Stdio::null());
        let _ = kill.status();
    }

    /// As `kill -9`.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits for its end; `None` where it does not come in time.
    pub fn await_end(&mut self, patience: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + patience;
        loop {
            match self.ended() {
                None if Instant::now() < deadline => pause(Duration::from_millis(20)),
                ended => return ended,
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a program to its end and returns what it printed.
pub fn output_of(command: &mut Command) -> Result<String, Failure> {
    let shown = format!("{command:?}");
    let output = command.stdin(Stdio::null()).output().map_err(Failure::io(shown.clone()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Failure::Command { command: shown, said: format!("{}: {said}", output.status) })
}
