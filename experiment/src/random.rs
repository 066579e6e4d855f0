//! Seeded randomness that the tasks of one process share: service times and jitter are drawn alike in every run.

use std::sync::{Mutex, PoisonError};

/// One generator for all tasks.
#[derive(Debug)]
pub struct SharedRandom(Mutex<unchain_measure::random::Random>);

impl SharedRandom {
    pub fn of(seed: u64) -> SharedRandom {
        SharedRandom(Mutex::new(unchain_measure::random::Random::of(seed)))
    }

    /// From 0 to below 1.
    pub fn fraction(&self) -> f64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).unit()
    }
}
