//! Ending a broker by its process id, and only if the process still is that broker.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::KafkaError;

/// Time for a controlled shutdown: the broker hands its partitions over and syncs its logs.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(30);
const KILL_PATIENCE: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Whether process `pid` runs and was started on these settings; ids are used again, so the id alone proves nothing.
pub fn is_broker(pid: u32, settings: &Path) -> bool {
    let proc = Path::new("/proc");
    let line = if proc.join("self").exists() {
        std::fs::read(proc.join(pid.to_string()).join("cmdline")).unwrap_or_default()
    } else {
        let listed = Command::new("ps").args(["-ww", "-o", "args=", "-p", &pid.to_string()]).output();
        listed.map(|output| output.stdout).unwrap_or_default()
    };
    String::from_utf8_lossy(&line).contains(&*settings.to_string_lossy())
}

/// Asks the broker to end. Several are asked before any is waited for, so that they can vote while they go.
pub fn ask_to_end(pid: u32, at_once: bool) {
    let signal = if at_once { "-KILL" } else { "-TERM" };
    // The shell's own `kill`: a small system has no program of that name.
    let mut kill = Command::new("sh");
    kill.args(["-c", "kill \"$1\" \"$2\"", "sh", signal, &pid.to_string()]).stderr(Stdio::null());
    let _ = kill.status();
}

/// Waits for the broker's end, and kills it when the time for a controlled shutdown is over.
pub fn await_end(pid: u32, settings: &Path) -> Result<(), KafkaError> {
    if ended_within(SHUTDOWN_PATIENCE, pid, settings) {
        return Ok(());
    }
    ask_to_end(pid, true);
    if ended_within(KILL_PATIENCE, pid, settings) {
        return Ok(());
    }
    Err(KafkaError::Unending { pid, patience: KILL_PATIENCE })
}

fn ended_within(patience: Duration, pid: u32, settings: &Path) -> bool {
    let deadline = Instant::now() + patience;
    while is_broker(pid, settings) {
        if Instant::now() >= deadline {
            return false;
        }
        pause(POLL_INTERVAL);
    }
    true
}

/// A pause between two looks at another process, which has no way to tell us.
#[allow(clippy::disallowed_methods, reason = "xtask only waits for other programs, each time with a deadline")]
pub fn pause(interval: Duration) {
    std::thread::sleep(interval);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_process_with_these_settings_is_the_broker() {
        let own = std::env::args().next().expect("a program's own name");
        assert!(is_broker(std::process::id(), Path::new(&own)));
        assert!(!is_broker(std::process::id(), Path::new("elsewhere/1.properties")));
    }
}
