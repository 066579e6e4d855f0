//! What tests stand on: clusters to run against, emptied before use, and contracts to run with.

mod cluster;

pub use cluster::{TestCluster, kafka_from_environment};

/// Contracts of tests: keyed numbers and a table.
pub mod contracts {
    unchain::contracts!();
}
