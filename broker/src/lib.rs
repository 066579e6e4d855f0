//! A single-node Kafka-protocol broker inside the process, for development and tests.
//!
//! It serves produce, fetch, topics and their configuration, consumer groups and transactions to librdkafka and other
//! clients, starts in milliseconds and needs nothing installed. It is not a production broker: one node, no replication,
//! no authentication or encryption, no fsync (a power loss can cost recent records; a killed process loses none when a
//! data directory is set). What it does not support is listed in [`UNSUPPORTED`].
//!
//! The rooms, lowest first; a room uses only rooms before it:
//! `clock`, `ids`, `config` (seams and set-up), `topics::settings`, `log` (a partition's records), `topics::catalog`,
//! `group` (consumer groups, pure), `transaction` (transactional ids, pure), `journal` (metadata that survives), `core`
//! (the state), `api` (one file a family of requests), `server` (connections, housekeeping, the thread).
//!
//! One thread with a current-thread runtime owns everything, so there are no locks; file reads and writes happen on it and
//! go to the page cache.

mod api;
mod clock;
mod config;
mod core;
mod group;
mod ids;
mod journal;
mod log;
mod server;
mod topics;
mod transaction;
mod unsupported;

pub use config::{BrokerConfig, StartError};
pub use server::Broker;
pub use unsupported::UNSUPPORTED;
