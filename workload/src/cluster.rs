//! Where a benchmark runs: on a development broker that is its own child process, or on a Kafka that it leaves as it was.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use unchain::app::{BROKER_DEADLINE, Options};
use unchain::kafka::{Admin, ClientError, Connection, NewTopic};

use crate::BenchError;

/// The names of all topics and groups of benchmarks begin with this.
pub const PREFIX: &str = "unchain-bench-";
/// How long the brokers may take to let go of a group or to show a new topic.
const CLOSE_DEADLINE: Duration = Duration::from_secs(15);
const BROKER_START_DEADLINE: Duration = Duration::from_secs(10);
const ADMIN_DEADLINE: Duration = Duration::from_secs(30);

/// A number nobody can foretell, for seeds and names.
pub(crate) fn by_chance() -> u64 {
    // The standard library's own source of randomness: each state has new keys.
    RandomState::new().build_hasher().finish() >> 16
}

/// The cluster that a benchmark runs on.
pub(crate) struct Cluster {
    pub(crate) connection: Connection,
    /// Processes whose CPU and memory are noted, by name.
    pub(crate) processes: Vec<(String, u32)>,
    broker: Option<OwnBroker>,
    created: Mutex<Created>,
}

/// What is to be removed.
#[derive(Default)]
struct Created {
    topics: Vec<String>,
    groups: Vec<String>,
}

impl Cluster {
    /// The Kafka that the options name, else a development broker.
    pub(crate) fn open(options: &Options, broker_pids: &[u32]) -> Result<Cluster, BenchError> {
        let mut processes = vec![("client".to_owned(), std::process::id())];
        if options.bootstrap_servers.is_some() {
            let connection = options.connection()?;
            connection.topics(BROKER_DEADLINE)?;
            for (index, pid) in broker_pids.iter().enumerate() {
                let name = if broker_pids.len() == 1 { "broker".to_owned() } else { format!("broker {}", index + 1) };
                processes.push((name, *pid));
            }
            return Ok(Cluster { connection, processes, broker: None, created: Mutex::default() });
        }
        let broker = OwnBroker::start()?;
        processes.push(("broker".to_owned(), broker.child.id()));
        // The properties of `[kafka]` hold for this broker as well; its address does not.
        let options = Options { bootstrap_servers: Some(broker.address.clone()), ..options.clone() };
        Ok(Cluster { connection: options.connection()?, processes, broker: Some(broker), created: Mutex::default() })
    }

    pub(crate) fn is_own(&self) -> bool {
        self.broker.is_some()
    }

    fn created(&self) -> std::sync::MutexGuard<'_, Created> {
        self.created.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Creates topics of new names and waits until the brokers show them.
    pub(crate) fn create_topics(&self, count: u32, partitions: i32) -> Result<Vec<String>, BenchError> {
        let run = by_chance();
        let names: Vec<String> = (0..count).map(|index| format!("{PREFIX}{run:012x}-{index}")).collect();
        let new = |name: &String| NewTopic { name: name.clone(), partitions, configs: Vec::new() };
        // Noted before they exist: an interrupted creation is cleaned up as well.
        self.created().topics.extend_from_slice(&names);
        Admin::new(&self.connection, ADMIN_DEADLINE)?.create_topics(&names.iter().map(new).collect::<Vec<_>>())?;
        let started = Instant::now();
        loop {
            let existing = self.connection.topics(BROKER_DEADLINE)?;
            let shows = |name: &String| existing.iter().any(|it| it.name == *name && it.partitions == partitions);
            if names.iter().all(shows) {
                return Ok(names);
            }
            if started.elapsed() > CLOSE_DEADLINE {
                let state = format!("topics of the run are missing: {}", names.join(", "));
                return Err(BenchError::TooLong { what: "creation of topics", waited: started.elapsed(), state });
            }
            pause();
        }
    }

    /// A new name for a consumer group, which goes with the benchmark.
    pub(crate) fn new_group(&self) -> String {
        let name = format!("{PREFIX}{:012x}", by_chance());
        self.created().groups.push(name.clone());
        name
    }

    /// Removes what was created since the last time.
    pub(crate) fn clear(&self) -> Result<(), BenchError> {
        let Created { topics, groups } = std::mem::take(&mut *self.created());
        let removed = remove(&self.connection, &topics, &groups);
        if removed.is_err() {
            let mut created = self.created();
            created.topics.extend(topics);
            created.groups.extend(groups);
        }
        removed
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.broker.is_none()
            && let Err(error) = self.clear()
        {
            eprintln!("warning: what the benchmark created could not be removed ({error}): `unchain bench clean` does");
        }
    }
}

fn remove(connection: &Connection, topics: &[String], groups: &[String]) -> Result<(), BenchError> {
    if topics.is_empty() && groups.is_empty() {
        return Ok(());
    }
    fn borrowed(names: &[String]) -> Vec<&str> {
        names.iter().map(String::as_str).collect()
    }
    let admin = Admin::new(connection, ADMIN_DEADLINE)?;
    let deleted = delete_groups(&admin, &borrowed(groups));
    admin.delete_topics(&borrowed(topics))?;
    Ok(deleted?)
}

/// A group can be deleted once the broker has seen its last member go.
fn delete_groups(admin: &Admin, groups: &[&str]) -> Result<(), ClientError> {
    let started = Instant::now();
    loop {
        match admin.delete_groups(groups) {
            Err(_) if started.elapsed() < CLOSE_DEADLINE => pause(),
            result => return result,
        }
    }
}

fn pause() {
    #[allow(clippy::disallowed_methods, reason = "the back-off between two attempts")]
    std::thread::sleep(Duration::from_millis(50));
}

/// What a clean-up has removed.
pub(crate) struct Cleaned {
    pub(crate) topics: Vec<String>,
    pub(crate) groups: Vec<String>,
}

/// Removes what benchmarks that were killed have left.
pub(crate) fn clean(connection: &Connection) -> Result<Cleaned, BenchError> {
    let topics = connection.topics(BROKER_DEADLINE)?.into_iter().map(|topic| topic.name);
    let topics: Vec<String> = topics.filter(|name| name.starts_with(PREFIX)).collect();
    let groups = Admin::new(connection, ADMIN_DEADLINE)?.groups()?;
    let groups: Vec<String> = groups.into_iter().filter(|name| name.starts_with(PREFIX)).collect();
    remove(connection, &topics, &groups)?;
    Ok(Cleaned { topics, groups })
}

/// The development broker as a child, so that its CPU and memory are its own.
struct OwnBroker {
    child: Child,
    address: String,
    _data: TempDir,
}

impl OwnBroker {
    fn start() -> Result<OwnBroker, BenchError> {
        let failed = |reason: String| BenchError::Broker { reason };
        let data = tempfile::Builder::new().prefix("unchain-bench-").tempdir();
        let data = data.map_err(|error| failed(format!("no folder for its data: {error}")))?;
        let program = std::env::current_exe().map_err(|error| failed(error.to_string()))?;
        let mut command = Command::new(program);
        command.args(["broker", "--listen", "127.0.0.1:0", "--end-with-stdin", "--data-dir"]).arg(data.path());
        if std::env::var_os("UNCHAIN_LOG").is_none() {
            command.env("UNCHAIN_LOG", "warn");
        }
        // A group of its own: Ctrl-C is for the benchmark, which ends the broker last. Killed, it leaves a closed pipe.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
        let output = child.stdout.take();
        let (sender, address) = channel();
        let read = move || {
            let line = output.and_then(|output| BufReader::new(output).lines().next()?.ok());
            let _ = sender.send(line);
        };
        let reader = std::thread::Builder::new().name("broker-address".to_owned()).spawn(read);
        let address = reader.ok().and_then(|_| address.recv_timeout(BROKER_START_DEADLINE).ok().flatten());
        let mut broker = OwnBroker { child, address: String::new(), _data: data };
        broker.address = address.ok_or_else(|| failed("it has not said its address in time".to_owned()))?;
        Ok(broker)
    }
}

impl Drop for OwnBroker {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let started = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if started.elapsed() > CLOSE_DEADLINE {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            pause();
        }
    }
}
