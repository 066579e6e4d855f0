//! unchain turns chains of synchronous service calls into event streams on Apache Kafka.
//!
//! The rooms, lowest first; a room uses only rooms listed before it (`testkit/tests/structure.rs` holds this).

extern crate self as unchain;

pub mod kafka;

pub mod contract;

pub mod envelope;

pub mod produce;

pub mod table;

pub mod process;

pub mod engine;

pub mod recovery;

pub mod recording;

pub mod app;
