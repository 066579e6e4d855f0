//! Examples in reading order, one idea each, every one with its tests: given these records, then those.

#[path = "01-testing/bonus.rs"]
pub mod bonus;

#[path = "02-windows/hourly.rs"]
pub mod hourly;

#[path = "03-sessions/visits.rs"]
pub mod visits;

#[path = "04-stream-table-join/enrich.rs"]
pub mod enrich;

#[path = "05-table-table-join/overview.rs"]
pub mod overview;

/// The contracts that the examples share.
pub mod contracts {
    unchain::contracts!();
}

#[cfg(test)]
mod readme;
