//! How a broker is set up, and why it could not start.

use std::path::PathBuf;
use std::time::Duration;

/// What a broker is started with. Every limit says its unit.
#[derive(Debug, Clone)]
pub struct BrokerConfig {
    /// Address to listen on; port 0 lets the system choose one.
    pub listen: String,
    /// Host that clients are told to connect to; by default the address listened on (127.0.0.1 for a wildcard).
    pub advertised_host: Option<String>,
    /// Where records and metadata are kept. `None`: in memory, lost on stop, bounded by `max_memory_bytes`.
    pub data_dir: Option<PathBuf>,
    /// Partitions of a topic that is created without a number (or automatically).
    pub default_partitions: i32,
    /// Whether a client that asks for an unknown topic creates it.
    pub auto_create_topics: bool,
    /// Bytes of records kept when there is no data directory; beyond it produce requests are refused.
    pub max_memory_bytes: u64,
    /// Longest request; a connection that announces more is closed.
    pub max_request_bytes: usize,
    /// Most bytes of records in one fetch response, whatever the client asks for (one batch may exceed it).
    pub max_fetch_bytes: usize,
    /// Connections beyond this number are closed at once.
    pub max_connections: usize,
    /// Partitions of all topics together.
    pub max_partitions: usize,
    /// A connection without a request for this long is closed, as by `connections.max.idle.ms`.
    pub idle_timeout: Duration,
    /// How long a client may take to read its response before the connection is closed.
    pub write_timeout: Duration,
    /// How often retention and compaction look at the logs (Kafka: 5 minutes and 15 seconds).
    pub cleanup_interval: Duration,
    /// Longest `transaction.timeout.ms` that a producer may ask for.
    pub max_transaction_timeout: Duration,
    /// How long `stop` waits for the broker's thread.
    pub stop_timeout: Duration,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        BrokerConfig {
            listen: "127.0.0.1:0".to_owned(),
            advertised_host: None,
            data_dir: None,
            default_partitions: 6,
            auto_create_topics: false,
            max_memory_bytes: 1024 * 1024 * 1024,
            max_request_bytes: 100 * 1024 * 1024,
            max_fetch_bytes: 8 * 1024 * 1024,
            max_connections: 1_000,
            max_partitions: 10_000,
            idle_timeout: Duration::from_secs(600),
            write_timeout: Duration::from_secs(30),
            cleanup_interval: Duration::from_secs(5),
            max_transaction_timeout: Duration::from_secs(15 * 60),
            stop_timeout: Duration::from_secs(5),
        }
    }
}

/// Why a broker did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot listen on {listen}: {source}")]
    Listen { listen: String, source: std::io::Error },
    #[error("cannot use the data directory {}: {source}", data_dir.display())]
    DataDir { data_dir: PathBuf, source: std::io::Error },
    #[error("the data directory {} is in use by another broker", data_dir.display())]
    Locked { data_dir: PathBuf },
    #[error("cannot recover the log of a partition under {}: {reason}", data_dir.display())]
    Recover { data_dir: PathBuf, reason: String },
    #[error("invalid configuration: {0}")]
    Config(&'static str),
    #[error("cannot start the broker's thread: {0}")]
    Thread(std::io::Error),
}
