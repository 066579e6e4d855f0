//! Child processes: started from this program, told things over their standard input, and certain to end with it.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use crate::error::ExperimentError;

/// How often a wait for a process's end looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);
/// What is shown of a log whose process failed.
const MAX_SHOWN_BYTES: usize = 600;

/// This program, with the options that hold for all its processes.
#[derive(Debug, Clone)]
pub struct Program {
    pub executable: PathBuf,
    /// Options before the command.
    pub options: Vec<OsString>,
}

impl Program {
    /// Starts a command of the program; its messages are appended to a file.
    pub fn start(&self, name: &str, arguments: &[OsString], log: &Path) -> Result<Child, ExperimentError> {
        let file = File::options().create(true).append(true).open(log).map_err(ExperimentError::file(log))?;
        let mut command = Command::new(&self.executable);
        command.args(&self.options).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(file);
        let failed = |source| ExperimentError::Start { name: name.to_owned(), source };
        let mut process = command.spawn().map_err(failed)?;
        let (sender, first_line) = mpsc::channel();
        let stdout = process.stdout.take().expect("the child's output is piped");
        let stdin = process.stdin.take();
        // From here on the process ends with the child.
        let child = Child { name: name.to_owned(), process, stdin, first_line, log: log.to_owned() };
        let read = move || {
            let mut lines = BufReader::new(stdout);
            let mut line = String::new();
            if lines.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
                let _ = sender.send(line.trim().to_owned());
            }
            // Whatever else it prints must not fill the pipe.
            let _ = io::copy(&mut lines, &mut io::sink());
        };
        std::thread::Builder::new().name(format!("{name}-output")).spawn(read).map_err(ExperimentError::Thread)?;
        Ok(child)
    }
}

/// A process of the experiment; killed when dropped. It ends by itself once its standard input closes, so that it does
/// not outlive a parent that was killed.
pub struct Child {
    name: String,
    process: std::process::Child,
    stdin: Option<ChildStdin>,
    first_line: Receiver<String>,
    log: PathBuf,
}

impl Child {
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits for the line that says that it is ready.
    pub fn first_line(&mut self, timeout: Duration) -> Result<String, ExperimentError> {
        let started = Instant::now();
        match self.first_line.recv_timeout(timeout) {
            Ok(line) => Ok(line),
            Err(mpsc::RecvTimeoutError::Timeout) => {
                let (name, waited, said) = (self.name.clone(), started.elapsed(), self.said());
                Err(ExperimentError::NotReady { name, waited, said })
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                Err(ExperimentError::Ended { name: self.name.clone(), said: self.said() })
            }
        }
    }

    /// Writes a line to its standard input.
    pub fn tell(&mut self, line: &str) -> Result<(), ExperimentError> {
        let told = self.stdin.as_mut().map_or(Ok(()), |stdin| writeln!(stdin, "{line}"));
        told.map_err(|_| ExperimentError::Ended { name: self.name.clone(), said: self.said() })
    }

    /// Sends SIGTERM. A child that was not waited for keeps its id, so that the signal reaches no other process.
    pub fn terminate(&self) {
        // The shell's own `kill`: a small system has no program of that name.
        let mut kill = Command::new("sh");
        kill.args(["-c", "kill -TERM \"$1\"", "sh", &self.id().to_string()]).stderr(Stdio::null());
        let _ = kill.status();
    }

    /// As `kill -9`.
    pub fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Waits for its end; tells whether it came in time.
    pub fn await_end(&mut self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        while !self.has_ended() {
            if Instant::now() >= deadline {
                return false;
            }
            #[allow(clippy::disallowed_methods, reason = "the standard library tells of a child's end to nobody")]
            std::thread::sleep(LOOK_INTERVAL);
        }
        true
    }

    pub fn has_ended(&mut self) -> bool {
        !matches!(self.process.try_wait(), Ok(None))
    }

    /// The end of its log.
    pub fn said(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let log = log.trim();
        let from = (0..=log.len().saturating_sub(MAX_SHOWN_BYTES)).rev().find(|at| log.is_char_boundary(*at));
        log[from.unwrap_or(0)..].to_owned()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}
