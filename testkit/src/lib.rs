//! What tests stand on: clusters to run against, emptied before use.

mod cluster;

pub use cluster::{TestCluster, kafka_from_environment};
