//! `end-to-end`: produced and consumed by this process, so that one clock times each record from when it was due until a
//! consumer of committed records has it.

use std::sync::atomic::{AtomicBool, Ordering};

use super::join_all;
use super::produce::send_all;
use crate::BenchError;
use crate::load::await_condition;
use crate::receiving::Receiver;
use crate::records::{PRIMING_VALUE, stamp};
use crate::result::Run;
use crate::schedule::Clock;
use crate::stage::{DRAIN_DEADLINE, Stage, paced_run};
use crate::tally::{Tally, total};

pub(super) fn run(stage: &Stage<'_>) -> Result<Run, BenchError> {
    let topics = stage.create_topics()?;
    let shares = stage.shares(&topics, stage.workload.consumers);
    let receivers = shares.iter().map(|share| Receiver::open(stage.connection(), share));
    let receivers = receivers.collect::<Result<Vec<_>, _>>()?;
    let clock = Clock::start();
    let tallies: Vec<_> = receivers.iter().map(|_| Tally::new(clock.clone(), stage.window())).collect();
    let stop = &AtomicBool::new(false);
    let (loaded, used) = std::thread::scope(|scope| {
        let pairs = receivers.into_iter().zip(&tallies);
        let threads = pairs.map(|(mut receiver, tally)| {
            let each = |value: &[u8]| {
                stamp(value).into_iter().for_each(|due_nanos| tally.end(due_nanos));
                Ok(())
            };
            scope.spawn(move || receiver.run(stop, each))
        });
        let threads = threads.collect();
        let load = || {
            let outlets = stage.all_producing(&topics, &clock)?;
            let plain = outlets.iter().map(|(outlet, _)| outlet);
            let usage = stage.prime(plain, &PRIMING_VALUE, &tallies, &clock)?;
            let loaded = send_all(stage, outlets, &clock, None)?;
            await_received(stage, &tallies, loaded.acknowledged())?;
            Ok((loaded, usage.stop()))
        };
        let loaded = load();
        stop.store(true, Ordering::Release);
        join_all(threads).and(loaded)
    })?;
    let received = total(&tallies).ok_or(BenchError::Thread { what: "no consumer" })?;
    Ok(paced_run(stage, loaded.facts(received.ended), &received, &used))
}

/// Waits until consumers have what was acknowledged.
pub(super) fn await_received(stage: &Stage<'_>, tallies: &[Tally], records: u64) -> Result<(), BenchError> {
    let received = || tallies.iter().map(Tally::ended).sum::<u64>();
    if await_condition(stage.signals, DRAIN_DEADLINE, || received() >= records)? {
        return Ok(());
    }
    let state = format!("{} of {records} records came", received());
    Err(BenchError::TooLong { what: "reading what was acknowledged", waited: DRAIN_DEADLINE, state })
}
