//! The synchronous side: services that call each other over HTTP, set up as a careful team would.

mod circuit_breaker;
mod client;
mod downstream;
mod remembered;
mod retry_budget;
mod service;

pub use client::{HttpClient, SendError};
pub use service::{HopSpec, serve};

/// The moment, in microseconds since the Unix epoch, at which the caller stops waiting.
pub const DEADLINE_HEADER: &str = "x-deadline-us";
/// The order's id: a service does its own work once for each.
pub const KEY_HEADER: &str = "idempotency-key";
