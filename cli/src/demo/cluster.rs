//! Where the demo runs: on a development broker of its own, or on a Kafka that the user names and gets back clean.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use unchain::app::{BROKER_DEADLINE, Options};
use unchain::contract::SCHEMAS_TOPIC;
use unchain::kafka::{Admin, ClientError, Connection, OffsetsClient};
use unchain_broker::{Broker, BrokerConfig};
use unchain_processors::Config;

use super::DemoArguments;
use crate::{CliError, pipeline};

/// How long the broker may take to let go of the demo's groups.
const CLOSE_DEADLINE: Duration = Duration::from_secs(30);

/// The cluster of one demo.
pub(super) struct Cluster {
    connection: Connection,
    broker: Option<Broker>,
    /// Where mails go, and the development broker's data below it.
    folder: PathBuf,
    /// The broker's data, to be removed at the end.
    scratch: Option<PathBuf>,
    keep: bool,
    created: Mutex<Vec<String>>,
}

impl Cluster {
    /// Starts the development broker, or looks at the Kafka that was named.
    ///
    /// # Errors
    /// [`CliError::TopicInUse`] where a topic of the pipeline holds records already.
    pub fn open(options: &Options, arguments: &DemoArguments) -> Result<Cluster, CliError> {
        if options.bootstrap_servers.is_some() && arguments.data_dir.is_some() {
            return Err(CliError::DataDirOfAnotherBroker);
        }
        let cluster = match options.bootstrap_servers {
            Some(_) => Cluster::named(options, arguments)?,
            None => Cluster::embedded(options, arguments)?,
        };
        cluster.refuse_used_topics()?;
        Ok(cluster)
    }

    fn named(options: &Options, arguments: &DemoArguments) -> Result<Cluster, CliError> {
        let (connection, keep) = (options.connection()?, arguments.keep);
        let existing = connection.topics(BROKER_DEADLINE)?;
        let schemas_exist = existing.iter().any(|topic| topic.name == SCHEMAS_TOPIC);
        let created = if schemas_exist { Vec::new() } else { vec![SCHEMAS_TOPIC.to_owned()] };
        let folder = scratch_folder()?;
        Ok(Cluster { connection, broker: None, folder, scratch: None, keep, created: Mutex::new(created) })
    }

    fn embedded(options: &Options, arguments: &DemoArguments) -> Result<Cluster, CliError> {
        let (folder, scratch) = match &arguments.data_dir {
            Some(folder) => {
                std::fs::create_dir_all(folder).map_err(|source| in_folder(folder, source))?;
                (folder.clone(), None)
            }
            None => {
                let folder = scratch_folder()?;
                let scratch = (!arguments.keep).then(|| folder.join("broker"));
                (folder, scratch)
            }
        };
        let config = BrokerConfig { data_dir: Some(folder.join("broker")), ..BrokerConfig::default() };
        let broker = Broker::start(config)?;
        // The properties of `[kafka]` hold for the demo's own broker as well; its address does not.
        let options = Options { bootstrap_servers: Some(broker.bootstrap_servers()), ..options.clone() };
        let connection = options.connection()?;
        let created = Mutex::default();
        Ok(Cluster { connection, broker: Some(broker), folder, scratch, keep: true, created })
    }

    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Remembers topics that the demo created.
    pub fn created(&self, topics: &[String]) {
        self.created.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(topics);
    }

    fn refuse_used_topics(&self) -> Result<(), CliError> {
        let ours = pipeline(&Config::default()).all_topics();
        let existing = self.connection.topics(BROKER_DEADLINE)?;
        let offsets = OffsetsClient::new(&self.connection)?;
        for topic in existing.iter().filter(|topic| ours.iter().any(|our| our.name == topic.name)) {
            for partition in 0..topic.partitions {
                let found = offsets.watermarks(&topic.name, partition, BROKER_DEADLINE)?;
                if found.end > found.start {
                    let bootstrap_servers = self.connection.bootstrap_servers().to_owned();
                    return Err(CliError::TopicInUse { topic: topic.name.clone(), bootstrap_servers });
                }
            }
        }
        Ok(())
    }

    /// Deletes what the demo created, unless it is to be kept, and stops the broker.
    pub fn close(self) -> Result<(), CliError> {
        let deleted = if self.keep { Ok(()) } else { self.delete_created() };
        if let Some(broker) = self.broker {
            broker.stop();
        }
        if let Some(scratch) = &self.scratch {
            std::fs::remove_dir_all(scratch).map_err(|source| in_folder(scratch, source))?;
        }
        deleted
    }

    fn delete_created(&self) -> Result<(), CliError> {
        // Without a broker nothing can be deleted, and librdkafka's deletion of groups does not survive it (its #5397).
        self.connection.topics(BROKER_DEADLINE)?;
        let admin = Admin::new(&self.connection, BROKER_DEADLINE)?;
        let created = self.created.lock().unwrap_or_else(PoisonError::into_inner);
        let topics: Vec<_> = created.iter().map(String::as_str).collect();
        if !topics.is_empty() {
            let processors = unchain_processors::processors(&Config::default());
            let groups: Vec<_> = processors.iter().map(|processor| processor.name()).collect();
            delete_groups(&admin, &groups)?;
        }
        Ok(admin.delete_topics(&topics)?)
    }
}

/// A group can be deleted once the broker has seen its last member go.
fn delete_groups(admin: &Admin, groups: &[&str]) -> Result<(), ClientError> {
    let started = Instant::now();
    loop {
        match admin.delete_groups(groups) {
            #[allow(clippy::disallowed_methods, reason = "the back-off between two attempts")]
            Err(_) if started.elapsed() < CLOSE_DEADLINE => std::thread::sleep(Duration::from_millis(200)),
            result => return result,
        }
    }
}

/// A folder of its own below the system's for temporary files; the mails stay there for whoever wants to read them.
fn scratch_folder() -> Result<PathBuf, CliError> {
    let folder = tempfile::Builder::new().prefix("unchain-demo-").tempdir();
    folder.map(tempfile::TempDir::keep).map_err(|source| in_folder(&std::env::temp_dir(), source))
}

fn in_folder(folder: &Path, source: std::io::Error) -> CliError {
    CliError::Folder { folder: folder.to_owned(), source }
}
