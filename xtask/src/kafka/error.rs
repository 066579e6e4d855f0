//! What can go wrong with a cluster for tests, in words that say what to do.

use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

#[derive(Debug, Error)]
pub enum KafkaError {
    #[error("`{program}` is missing: Apache Kafka needs {what} (Debian's package {package})")]
    Missing { program: &'static str, what: &'static str, package: &'static str },
    #[error("java {found} is too old: Apache Kafka 4 needs Java 17 or newer")]
    OldJava { found: String },
    #[error("Maven did not fetch Apache Kafka into {}: exit {code:?}", folder.display())]
    Fetch { folder: PathBuf, code: Option<i32> },
    #[error("brokers already run from {}: end them with `cargo xtask kafka stop --dir {}`", dir.display(), dir.display())]
    Running { dir: PathBuf },
    #[error("nothing to start again in {}: `cargo xtask kafka start` first", dir.display())]
    NothingKept { dir: PathBuf },
    #[error("{} is not a folder of `cargo xtask kafka`: it is neither empty nor has it the file `1.properties`", dir.display())]
    ForeignFolder { dir: PathBuf },
    #[error("port {port} of 127.0.0.1 is taken: choose another with --port, or --port 0")]
    PortTaken { port: u16 },
    #[error("no free ports found on 127.0.0.1")]
    NoPorts,
    #[error("formatting broker {node}'s data failed: see {}", log.display())]
    Format { node: u16, log: PathBuf },
    #[error("broker {node} ended while it started: see {}", log.display())]
    Ended { node: u16, log: PathBuf },
    #[error("broker {node} did not answer within {patience:?}: see {}", log.display())]
    Silent { node: u16, patience: Duration, log: PathBuf },
    #[error("process {pid} did not end within {patience:?}, not even killed")]
    Unending { pid: u32, patience: Duration },
    #[error("{class} ended with exit {code:?}")]
    Tool { class: String, code: Option<i32> },
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
}

impl KafkaError {
    /// For `map_err`: an input or output error with the path that it happened on.
    pub fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}
