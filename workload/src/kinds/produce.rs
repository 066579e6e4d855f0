//! `produce`: records to a topic at a rate, or as fast as the broker takes them; timed from when each was due until it was
//! acknowledged.

use std::sync::Arc;

use super::join_all;
use crate::BenchError;
use crate::load::{Done, Producing};
use crate::result::{Facts, Run};
use crate::schedule::Clock;
use crate::stage::{Stage, Usage, paced_run, sum};
use crate::tally::{Tally, total};

pub(super) fn run(stage: &Stage<'_>) -> Result<Run, BenchError> {
    let topics = stage.create_topics()?;
    let clock = Clock::start();
    let usage = Usage::start(stage);
    let Loaded { done, tallies, failure } = send_all(stage, &topics, clock)?;
    let used = usage.stop();
    let counts = total(tallies.iter().map(|tally| &**tally)).ok_or(BenchError::Thread { what: "no producer" })?;
    refuse_failures(counts.failed, failure)?;
    let facts = Facts {
        sent: done.sent,
        unsent: done.unsent,
        acknowledged: counts.ended,
        failed: counts.failed,
        received: counts.ended,
        ..Facts::default()
    };
    let mut run = paced_run(stage, facts, &counts, &used);
    stage.note_megabytes(&mut run);
    Ok(run)
}

/// What all producers have sent, and what became of it.
pub(super) struct Loaded {
    pub(super) done: Done,
    pub(super) tallies: Vec<Arc<Tally>>,
    pub(super) failure: Option<String>,
}

/// Sends from all producers, each on a thread of its own, and waits for every answer.
pub(super) fn send_all(stage: &Stage<'_>, topics: &[String], clock: Clock) -> Result<Loaded, BenchError> {
    let tallies: Vec<_> = (0..stage.workload.producers).map(|_| Arc::new(Tally::new(clock, stage.window()))).collect();
    let send = |producer: u32, tally: &Arc<Tally>| -> Result<(Done, Option<String>), BenchError> {
        let mut outlet: Producing = stage.producing(topics, producer, tally)?;
        let done = stage.load(clock, producer, None).run(&mut outlet)?;
        stage.flush(&outlet)?;
        Ok((done, outlet.producer.failure()))
    };
    let ended = std::thread::scope(|scope| {
        let threads = (0..).zip(&tallies).map(|(producer, tally)| scope.spawn(move || send(producer, tally)));
        join_all(threads.collect())
    })?;
    let (done, failures): (Vec<_>, Vec<_>) = ended.into_iter().unzip();
    Ok(Loaded { done: sum(&done), tallies, failure: failures.into_iter().flatten().next() })
}

/// A run that has lost records has measured something else.
pub(super) fn refuse_failures(count: u64, reason: Option<String>) -> Result<(), BenchError> {
    match count {
        0 => Ok(()),
        count => Err(BenchError::Undelivered { count, reason: reason.unwrap_or_else(|| "no reason given".to_owned()) }),
    }
}
