//! The broker under test: where it is, and names on it that no other run uses.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::Consumer;
use unchain_broker::{Broker, BrokerConfig, UNSUPPORTED};

/// Patience with anything that a broker should do soon; only a failing check waits this long.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Site {
    pub bootstrap: String,
}

/// One development broker for all checks of this process.
pub fn on_embedded(check: fn(&Site)) {
    static BROKER: OnceLock<Broker> = OnceLock::new();
    let broker = BROKER.get_or_init(|| {
        println!("gaps that the development broker declares: {UNSUPPORTED:#?}");
        // Housekeeping comes often, so that checks of compaction do not wait for it.
        let config = BrokerConfig { cleanup_interval: Duration::from_millis(200), ..BrokerConfig::default() };
        Broker::start(config).unwrap()
    });
    check(&Site { bootstrap: broker.bootstrap_servers().to_string() });
}

/// The Apache Kafka that the environment names, if it names one.
pub fn on_kafka(check: fn(&Site)) {
    match std::env::var("UNCHAIN_TEST_KAFKA") {
        Ok(bootstrap) => {
            let site = Site { bootstrap };
            static COORDINATES: OnceLock<()> = OnceLock::new();
            COORDINATES.get_or_init(|| site.await_coordinators());
            check(&site);
        }
        Err(_) => println!("skipped: UNCHAIN_TEST_KAFKA is not set"),
    }
}

impl Site {
    /// A Kafka just started sets its group coordinators up at the first request for one, and refuses until then.
    fn await_coordinators(&self) {
        let consumer = crate::client::consumer(self, &self.fresh("first"), &[]);
        until("the group coordinators to be up", || {
            let asked = rdkafka::TopicPartitionList::new();
            consumer.committed_offsets(asked, PATIENCE).ok()?;
            consumer.fetch_group_list(None, PATIENCE).ok()
        });
    }

    /// A name for a topic, group or transactional id that is new to this broker.
    pub fn fresh(&self, what: &str) -> String {
        static NAMED: AtomicU32 = AtomicU32::new(0);
        static RUN: OnceLock<u128> = OnceLock::new();
        let run = RUN.get_or_init(|| SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis());
        format!("{what}-{run:x}-{:x}-{}", std::process::id(), NAMED.fetch_add(1, Ordering::Relaxed))
    }

    pub fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap);
        // Deliberate faults are part of many checks: librdkafka's reports of them would drown the failures.
        config.set("log_level", "0");
        config
    }

    pub fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.config().create().unwrap()
    }

    /// Creates a topic and returns its name.
    pub fn topic(&self, partitions: i32, settings: &[(&str, &str)]) -> String {
        let name = self.fresh("conformance");
        self.create(&name, partitions, settings).unwrap();
        self.await_partitions(&name, partitions);
        name
    }

    /// # Errors
    /// The broker's refusal.
    pub fn create(
        &self,
        name: &str,
        partitions: i32,
        settings: &[(&str, &str)],
    ) -> Result<(), rdkafka::types::RDKafkaErrorCode> {
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        let topic = settings.iter().fold(topic, |topic, (key, value)| topic.set(key, value));
        let results = block_on(self.admin().create_topics([&topic], &options())).unwrap();
        results.into_iter().next().unwrap().map(drop).map_err(|(_, error)| error)
    }

    /// A created topic is known to clients a little later.
    pub fn await_partitions(&self, topic: &str, partitions: i32) {
        let admin = self.admin();
        until("the topic's partitions to be known", || {
            let metadata = admin.inner().fetch_metadata(Some(topic), PATIENCE).ok()?;
            let known = metadata.topics().first()?;
            let led = known.partitions().iter().filter(|partition| partition.leader() >= 0).count();
            (known.error().is_none() && led == partitions as usize).then_some(())
        });
    }
}

pub fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE))
}

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Asks again and again until there is an answer.
#[track_caller]
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} for {what}");
        #[allow(clippy::disallowed_methods, reason = "the back-off between two questions")]
        std::thread::sleep(Duration::from_millis(10));
    }
}
