//! Where Kafka is and with which settings it is spoken to; every client of the process is made here.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::ClientError;
use super::client_log::ClientLog;

/// The bootstrap address and librdkafka's own settings, passed through unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    bootstrap_servers: String,
    properties: BTreeMap<String, String>,
}

/// What is set by each client for itself, because its promises need it so.
const OWN_PROPERTIES: &[&str] = &[
    "acks",
    "auto.offset.reset",
    "bootstrap.servers",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "group.instance.id",
    "group.protocol",
    "group.remote.assignor",
    "isolation.level",
    "partition.assignment.strategy",
    "partitioner",
    "request.required.acks",
    "transaction.timeout.ms",
    "transactional.id",
];

/// One topic as the cluster has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExistingTopic {
    pub name: String,
    pub partitions: i32,
}

impl Connection {
    pub fn new(bootstrap_servers: impl Into<String>) -> Connection {
        Connection { bootstrap_servers: bootstrap_servers.into(), properties: BTreeMap::new() }
    }

    /// Sets one of librdkafka's properties on every client (`[kafka]` in `unchain.toml`).
    ///
    /// # Errors
    /// [`ClientError::Settings`] for a property that exactly-once stands on.
    pub fn with_property(
        mut self,
        name: impl Into<String>,
        value: impl Into<String>,
    ) -> Result<Connection, ClientError> {
        let name = name.into();
        if OWN_PROPERTIES.contains(&name.as_str()) {
            let reason = format!("`{name}` is not to be set: unchain sets it itself, and exactly-once stands on it");
            return Err(ClientError::Settings { reason });
        }
        self.properties.insert(name, value.into());
        Ok(self)
    }

    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// The settings of a client of one kind: ours first, then the user's, so that the user's win.
    pub(crate) fn client_config(&self, ours: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap_servers).set("client.id", "unchain");
        // A broker that was away for a moment is asked again soon, not after 10 s.
        config.set("reconnect.backoff.ms", "50").set("reconnect.backoff.max.ms", "1000");
        config.set("topic.metadata.refresh.interval.ms", "30000").set("log.connection.close", "false");
        for (name, value) in ours {
            config.set(*name, *value);
        }
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        config.set_log_level(RDKafkaLogLevel::Warning);
        config
    }

    pub(crate) fn create<T: FromClientConfigAndContext<ClientLog>>(config: &ClientConfig) -> Result<T, ClientError> {
        Connection::create_with(config, ClientLog::default())
    }

    pub(super) fn create_with<C: rdkafka::ClientContext, T: FromClientConfigAndContext<C>>(
        config: &ClientConfig,
        context: C,
    ) -> Result<T, ClientError> {
        config.create_with_context(context).map_err(|error| ClientError::Settings { reason: error.to_string() })
    }

    /// The cluster's topics; waits for a broker for at most `deadline`.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`] names the address where no broker answers in time.
    pub fn topics(&self, deadline: Duration) -> Result<Vec<ExistingTopic>, ClientError> {
        let started = Instant::now();
        let client: BaseConsumer<ClientLog> = Connection::create(&self.client_config(&[]))?;
        loop {
            let left = deadline.saturating_sub(started.elapsed());
            let step = left.clamp(Duration::from_millis(1), Duration::from_secs(1));
            match client.fetch_metadata(None, step) {
                Ok(metadata) => {
                    return Ok(metadata
                        .topics()
                        .iter()
                        .filter(|topic| topic.error().is_none())
                        .map(|topic| ExistingTopic {
                            name: topic.name().to_owned(),
                            partitions: i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX),
                        })
                        .collect());
                }
                Err(_) if left.is_zero() => return Err(self.unreachable(&client, started.elapsed())),
                Err(_) => {}
            }
        }
    }

    /// Asks the client, which has no broker, for what it says about that.
    pub(super) fn unreachable(&self, client: &BaseConsumer<ClientLog>, waited: Duration) -> ClientError {
        // Its reports wait in the queue: one a poll, and there are no more than a few a second.
        for _ in 0..MAX_REPORTS {
            let _ = client.poll(Duration::ZERO);
        }
        let cause = client.client().context().cause();
        ClientError::Unreachable { bootstrap_servers: self.bootstrap_servers.clone(), waited, cause }
    }
}

const MAX_REPORTS: usize = 100;
