//! What tests stand on: a driver for processors without a broker, clusters to run against, and contracts to run with.

mod cluster;
pub mod driver;

pub use driver::Driver;

pub use cluster::{TestCluster, kafka_from_environment};

/// Contracts of tests: keyed numbers and a table.
pub mod contracts {
    unchain::contracts!();
}
