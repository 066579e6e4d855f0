//! A cluster for one test: the development broker in the process, or an Apache Kafka that was started for tests.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use unchain::kafka::{Admin, ClientError, Connection};
use unchain_broker::{Broker, BrokerConfig};

/// One test at a time uses the Kafka that the environment names.
static KAFKA: Mutex<()> = Mutex::new(());

const DEADLINE: Duration = Duration::from_secs(30);

/// The address in `UNCHAIN_TEST_KAFKA`; prints that the test is skipped where there is none.
pub fn kafka_from_environment() -> Option<String> {
    let servers = std::env::var("UNCHAIN_TEST_KAFKA").ok();
    if servers.is_none() {
        println!("skipped: UNCHAIN_TEST_KAFKA is not set");
    }
    servers
}

/// A cluster without topics and groups of earlier tests.
pub struct TestCluster {
    bootstrap_servers: String,
    broker: Option<Broker>,
    _alone: Option<MutexGuard<'static, ()>>,
}

impl TestCluster {
    /// A development broker of its own, in memory.
    ///
    /// # Panics
    /// Where the broker does not start: the test cannot go on.
    pub fn embedded() -> TestCluster {
        let broker = Broker::start(BrokerConfig::default()).expect("the development broker starts on a free port");
        TestCluster { bootstrap_servers: broker.bootstrap_servers(), broker: Some(broker), _alone: None }
    }

    /// The Kafka of the environment, emptied, for this test alone; `None` where there is none.
    ///
    /// # Panics
    /// Where it cannot be emptied.
    pub fn kafka() -> Option<TestCluster> {
        let bootstrap_servers = kafka_from_environment()?;
        let alone = KAFKA.lock().unwrap_or_else(PoisonError::into_inner);
        empty(&Connection::new(&bootstrap_servers)).expect("the test cluster can be emptied");
        Some(TestCluster { bootstrap_servers, broker: None, _alone: Some(alone) })
    }

    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    pub fn connection(&self) -> Connection {
        Connection::new(&self.bootstrap_servers)
    }

    /// Whether this is the development broker.
    pub fn is_embedded(&self) -> bool {
        self.broker.is_some()
    }
}

/// Deletes every topic that is not internal, and every group, and waits until they are gone.
fn empty(connection: &Connection) -> Result<(), ClientError> {
    let admin = Admin::new(connection, DEADLINE)?;
    let started = Instant::now();
    loop {
        let groups = admin.groups()?;
        // A group whose members were killed can be deleted once their sessions have expired.
        let deleted = admin.delete_groups(&groups.iter().map(String::as_str).collect::<Vec<_>>());
        let topics = connection.topics(DEADLINE)?;
        let left: Vec<_> =
            topics.iter().map(|topic| topic.name.as_str()).filter(|name| !name.starts_with("__")).collect();
        admin.delete_topics(&left)?;
        if left.is_empty() && deleted.is_ok() {
            return Ok(());
        }
        if started.elapsed() > DEADLINE {
            deleted?;
            return Err(ClientError::TimedOut { operation: "emptying the test cluster", waited: started.elapsed() });
        }
        // Deletion is asynchronous and nothing announces its end.
        #[allow(clippy::disallowed_methods, reason = "a back-off between two questions to the broker")]
        std::thread::sleep(Duration::from_millis(50));
    }
}
