//! `produce`: records to a topic at a rate, or as fast as the broker takes them; timed from when each was due until it was
//! acknowledged.

use std::sync::Arc;

use super::join_all;
use crate::BenchError;
use crate::load::{ByProducer, Done, Permits};
use crate::result::{Facts, Run};
use crate::schedule::Clock;
use crate::stage::{Stage, paced_run, sum};
use crate::tally::{Counts, Tally, total};

pub(super) fn run(stage: &Stage<'_>) -> Result<Run, BenchError> {
    let topics = stage.create_topics()?;
    let clock = Clock::start();
    let outlets = stage.all_producing(&topics, &clock)?;
    let usage = stage.prime(outlets.iter().map(|(outlet, _)| outlet), b"", &[], &clock)?;
    let loaded = send_all(stage, outlets, &clock, None)?;
    let used = usage.stop();
    Ok(paced_run(stage, loaded.facts(loaded.counts.ended), &loaded.counts, &used))
}

/// What all producers have sent, and what became of it.
pub(super) struct Loaded {
    done: Done,
    counts: Counts,
}

impl Loaded {
    pub(super) fn facts(&self, received: u64) -> Facts {
        Facts {
            sent: self.done.sent,
            unsent: self.done.unsent,
            acknowledged: self.counts.ended,
            failed: self.counts.failed,
            received,
            ..Facts::default()
        }
    }

    pub(super) fn acknowledged(&self) -> u64 {
        self.counts.ended
    }
}

/// Sends from all producers, each on a thread of its own, and waits for every answer.
pub(super) fn send_all(
    stage: &Stage<'_>,
    outlets: Vec<(impl ByProducer, Arc<Tally>)>,
    clock: &Clock,
    permits: Option<&Permits>,
) -> Result<Loaded, BenchError> {
    let (outlets, tallies): (Vec<_>, Vec<_>) = outlets.into_iter().unzip();
    let ended = std::thread::scope(|scope| {
        let threads = (0..).zip(outlets).map(|(producer, mut outlet)| {
            scope.spawn(move || {
                let done = stage.load(clock, producer, permits).run(&mut outlet)?;
                stage.flush(outlet.producing())?;
                Ok((done, outlet.producing().producer.failure()))
            })
        });
        join_all(threads.collect())
    })?;
    let (done, failures): (Vec<_>, Vec<_>) = ended.into_iter().unzip();
    let counts = total(tallies.iter().map(|tally| &**tally)).ok_or(BenchError::Thread { what: "no producer" })?;
    refuse_failures(counts.failed, failures.into_iter().flatten().next())?;
    Ok(Loaded { done: sum(&done), counts })
}

/// A run that has lost records has measured something else.
pub(super) fn refuse_failures(count: u64, reason: Option<String>) -> Result<(), BenchError> {
    match count {
        0 => Ok(()),
        count => Err(BenchError::Undelivered { count, reason: reason.unwrap_or_else(|| "no reason given".to_owned()) }),
    }
}
