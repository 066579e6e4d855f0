//! What the measuring programs share: the contracts of the jobs, their schema ids, and a run's environment.

pub mod environment;
pub mod preset_registry;

/// The jobs' records.
pub mod contracts {
    unchain::contracts!();
}
