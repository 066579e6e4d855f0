//! Rebalance: a steady input, a second process that joins, and its kill; the longest silence of the output is measured.

use std::time::{Duration, Instant};

use crate::contestant::{Contestant, Running};
use crate::orders::{Feed, order};
use crate::results::Measured;
use crate::stage::Stage;
use crate::verify::judge;
use crate::{Failure, pause};

/// Records a second.
const RATE: u64 = 5_000;
/// Silence after which the group gives a dead member's partitions away; the shortest that a broker allows by default.
const SESSION_MS: &str = "6000";
const STEADY: Duration = Duration::from_secs(5);
const AFTER_JOIN: Duration = Duration::from_secs(12);
const AFTER_KILL: Duration = Duration::from_secs(12);
const LONGEST: Duration = Duration::from_secs(60);

/// When each partition's output last grew, and its longest silence since the last reset.
struct Silence {
    ends: Vec<i64>,
    grown: Vec<Instant>,
    any_grown: Instant,
    longest: Duration,
    longest_of_a_partition: Duration,
}

impl Silence {
    fn new(ends: Vec<i64>) -> Silence {
        let now = Instant::now();
        let grown = vec![now; ends.len()];
        Silence { ends, grown, any_grown: now, longest: Duration::ZERO, longest_of_a_partition: Duration::ZERO }
    }

    fn observe(&mut self, ends: Vec<i64>) {
        let now = Instant::now();
        self.longest = self.longest.max(now.duration_since(self.any_grown));
        for ((grown, old), new) in self.grown.iter_mut().zip(&self.ends).zip(&ends) {
            self.longest_of_a_partition = self.longest_of_a_partition.max(now.duration_since(*grown));
            if new > old {
                (*grown, self.any_grown) = (now, now);
            }
        }
        self.ends = ends;
    }

    fn all_flow(&self) -> bool {
        self.grown.iter().all(|grown| grown.elapsed() < Duration::from_secs(1))
    }

    fn report(&mut self, measured: &mut Measured, any: &'static str, partition: &'static str) {
        measured.set(any, self.longest.as_secs_f64() * 1_000.0);
        measured.set(partition, self.longest_of_a_partition.as_secs_f64() * 1_000.0);
        (self.longest, self.longest_of_a_partition) = (Duration::ZERO, Duration::ZERO);
    }
}

/// Sends what is due.
struct Pace {
    feed: Feed,
    begun: Instant,
    sent: u64,
}

impl Pace {
    fn keep(&mut self) -> Result<(), Failure> {
        let due = u64::try_from(self.begun.elapsed().as_micros())? * RATE / 1_000_000;
        for index in self.sent..due {
            self.feed.send(&order(index))?;
        }
        self.sent = due;
        self.feed.serve();
        Ok(())
    }
}

/// The stage's input is its own.
pub fn rebalance(stage: &Stage<'_>, contestant: &Contestant) -> Result<Measured, Failure> {
    let group = stage.cluster.group(&stage.group, &stage.input)?;
    let mut measured = Measured::default();
    let mut first = stage.start(contestant, &[("SESSION_MS", SESSION_MS)])?;
    let feed = Feed::prompt(stage.cluster, &stage.input)?;
    let mut pace = Pace { feed, begun: Instant::now(), sent: 0 };
    let mut silence = Silence::new(ends(stage)?);
    while silence.ends.contains(&0) || !silence.all_flow() {
        step(stage, &mut pace, &mut silence, &mut first)?;
        if pace.begun.elapsed() > LONGEST {
            return Err("the output of one process did not come to flow".into());
        }
    }
    // What a start takes is another measure.
    silence = Silence::new(ends(stage)?);
    let flowing = Instant::now();
    while flowing.elapsed() < STEADY {
        step(stage, &mut pace, &mut silence, &mut first)?;
    }
    silence.report(&mut measured, "steady_gap_ms", "steady_partition_gap_ms");

    let mut second = stage.start(contestant, &[("SESSION_MS", SESSION_MS)])?;
    while second.started.elapsed() < AFTER_JOIN {
        step(stage, &mut pace, &mut silence, &mut first)?;
    }
    second.expect_alive()?;
    silence.report(&mut measured, "join_gap_ms", "join_partition_gap_ms");

    second.kill()?;
    let killed = Instant::now();
    while killed.elapsed() < AFTER_KILL || (!silence.all_flow() && killed.elapsed() < LONGEST) {
        step(stage, &mut pace, &mut silence, &mut first)?;
    }
    silence.report(&mut measured, "kill_gap_ms", "kill_partition_gap_ms");

    let sent = pace.sent;
    pace.feed.finish()?;
    let deadline = Instant::now() + LONGEST;
    while group.committed()? < i64::try_from(sent)? {
        first.expect_alive()?;
        if Instant::now() > deadline {
            measured.faults.push("the input was not drained within a minute".to_owned());
            break;
        }
        pause(Duration::from_millis(50));
    }
    first.stop()?;
    let verdict = judge(stage.cluster, &stage.output, stage.task.isolation(), false)?;
    measured.faults.extend(verdict.faults(sent, false));
    Ok(measured)
}

fn step(stage: &Stage<'_>, pace: &mut Pace, silence: &mut Silence, first: &mut Running) -> Result<(), Failure> {
    pace.keep()?;
    silence.observe(ends(stage)?);
    first.expect_alive()?;
    pause(Duration::from_millis(3));
    Ok(())
}

fn ends(stage: &Stage<'_>) -> Result<Vec<i64>, Failure> {
    stage.cluster.ends(&stage.output, stage.task.isolation())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_silence_is_the_slowest_partitions() {
        let mut silence = Silence::new(vec![0, 0]);
        let earlier = |seconds| Instant::now().checked_sub(Duration::from_secs(seconds)).unwrap();
        silence.grown = vec![earlier(7), earlier(2)];
        silence.any_grown = earlier(2);
        silence.observe(vec![0, 1]);
        assert_eq!((silence.longest.as_secs(), silence.longest_of_a_partition.as_secs()), (2, 7));
        assert!(!silence.all_flow());
        silence.observe(vec![1, 2]);
        assert!(silence.all_flow());
    }
}
