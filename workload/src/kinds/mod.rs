//! The kinds of benchmark, one a file: each runs its workload once and says what it found.

mod avro;
mod consume;
mod end_to_end;
mod process;
mod produce;
mod request;

use std::thread::ScopedJoinHandle;

use crate::BenchError;
use crate::result::Run;
use crate::stage::Stage;
use crate::workload::Kind;

pub(crate) use avro::run_without_broker;

pub(crate) fn run(stage: &Stage<'_>) -> Result<Run, BenchError> {
    match stage.workload.kind {
        Kind::Produce => produce::run(stage),
        Kind::Consume => consume::run(stage),
        Kind::EndToEnd => end_to_end::run(stage),
        Kind::Process => process::run(stage),
        Kind::Request => request::run(stage),
        Kind::Avro => run_without_broker(stage.workload, stage.signals),
    }
}

/// The results of threads, or the first error among them.
fn join_all<T>(threads: Vec<ScopedJoinHandle<'_, Result<T, BenchError>>>) -> Result<Vec<T>, BenchError> {
    // All are waited for before the first error is returned.
    let joined: Vec<_> = threads.into_iter().map(ScopedJoinHandle::join).collect();
    joined.into_iter().map(|result| result.unwrap_or(Err(BenchError::Thread { what: "load" }))).collect()
}
