//! The pipeline's cluster: a Kafka that was named, or a development broker of its own; what the runs made goes with them.

use std::time::{Duration, Instant};

use unchain::app::BROKER_DEADLINE;
use unchain::contract::apply_topics;
use unchain::kafka::{Admin, ClientError, Connection};

use super::topics::{RunName, registry};
use crate::child::{Child, Program};
use crate::error::ExperimentError;

/// How long the broker may take to let go of the runs' groups: longer than a killed member's session.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(40);
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// The development broker in a process of its own, so that its CPU time can be told from the rest.
pub struct Broker {
    child: Child,
    address: String,
}

impl Broker {
    pub fn start(program: &Program, folder: &std::path::Path) -> Result<Broker, ExperimentError> {
        let data = folder.join("broker");
        let arguments =
            ["broker", "--end-with-stdin", "--listen", "127.0.0.1:0", "--data-dir"].map(std::ffi::OsString::from);
        let arguments: Vec<_> = arguments.into_iter().chain([data.into_os_string()]).collect();
        let mut child = program.start("broker", &arguments, &folder.join("broker.log"))?;
        let address = child.first_line(START_TIMEOUT)?;
        Ok(Broker { child, address })
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

/// Topics and groups that were made and are to be deleted, however the experiment ends.
pub struct Cleanup<'a> {
    connection: &'a Connection,
    topics: Vec<String>,
    groups: Vec<String>,
}

impl<'a> Cleanup<'a> {
    pub fn of(connection: &'a Connection) -> Cleanup<'a> {
        Cleanup { connection, topics: Vec::new(), groups: Vec::new() }
    }

    /// Creates a run's topics.
    pub fn create(&mut self, run: &RunName) -> Result<(), ExperimentError> {
        // Remembered first: a creation whose answer was lost is undone as well.
        self.topics.extend(run.topics().into_iter().map(|(_, name)| name));
        self.groups.extend(run.groups());
        apply_topics(self.connection, &*registry()?, &run.declared_topics(), BROKER_DEADLINE)?;
        Ok(())
    }

    /// Deletes the topics of the runs so far. Groups follow at the end: their static members do not take leave.
    pub fn delete_topics(&mut self) -> Result<(), ExperimentError> {
        let names: Vec<_> = self.topics.iter().map(String::as_str).collect();
        if !names.is_empty() {
            Admin::new(self.connection, BROKER_DEADLINE)?.delete_topics(&names)?;
        }
        self.topics.clear();
        Ok(())
    }

    /// Deletes everything that is left.
    pub fn close(mut self) -> Result<(), ExperimentError> {
        let deleted = self.delete_topics();
        let groups = std::mem::take(&mut self.groups);
        let groups = delete_groups(self.connection, &groups);
        deleted.and(groups)
    }
}

impl Drop for Cleanup<'_> {
    /// After an error there is nobody to tell of another one; the groups expire by themselves.
    fn drop(&mut self) {
        if let Err(error) = self.delete_topics() {
            tracing::warn!(%error, "topics of the experiment may be left");
        }
    }
}

/// A group can be deleted once the sessions of its members are over.
fn delete_groups(connection: &Connection, groups: &[String]) -> Result<(), ExperimentError> {
    if groups.is_empty() {
        return Ok(());
    }
    // Without a broker nothing can be deleted, and librdkafka's deletion of groups does not survive it (its #5397).
    connection.topics(BROKER_DEADLINE)?;
    let admin = Admin::new(connection, BROKER_DEADLINE)?;
    let (started, names) = (Instant::now(), groups.iter().map(String::as_str).collect::<Vec<_>>());
    loop {
        match admin.delete_groups(&names) {
            #[allow(clippy::disallowed_methods, reason = "the back-off between two attempts")]
            Err(ClientError::Operation { .. }) if started.elapsed() < CLOSE_TIMEOUT => {
                std::thread::sleep(Duration::from_millis(200));
            }
            result => return Ok(result?),
        }
    }
}
