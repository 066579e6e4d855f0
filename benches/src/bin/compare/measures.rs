//! The measures, who takes part in each, and how one run of each goes.

use std::time::Duration;

use crate::contestant::Contestant;
use crate::drain::{Load, drain};
use crate::latency::latency;
use crate::rebalance::rebalance;
use crate::restore::restore;
use crate::results::Measured;
use crate::stage::{Stage, Task};
use crate::verify::judge;
use crate::{Bench, Failure, orders};

pub const OURS: &str = "unchain";
pub const RAW: &str = "raw rdkafka loop";
pub const RAW_TWO: &str = "raw rdkafka loop, 2 threads";
pub const FRANZ: &str = "franz-go";
pub const STREAMS: &str = "Kafka Streams";

/// How much is done; less with `--quick`.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    pub records: u64,
    pub slow_records: u64,
    pub memory_records: u64,
    pub large_records: u64,
    pub warm_up: Duration,
    pub latency: Duration,
}

impl Sizes {
    pub fn full(records: u64) -> Sizes {
        Sizes {
            records,
            slow_records: 200_000,
            memory_records: records * 4,
            large_records: 3_000,
            warm_up: Duration::from_secs(10),
            latency: Duration::from_secs(30),
        }
    }

    pub fn quick(records: u64) -> Sizes {
        Sizes {
            slow_records: 50_000,
            large_records: 500,
            warm_up: Duration::from_secs(6),
            latency: Duration::from_secs(10),
            ..Sizes::full(records)
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Drain(Task),
    Latency,
    Slow,
    Restore,
    Rebalance,
    /// One drain of a long lag, for the memory it takes.
    Memory,
    /// The same with records of almost a megabyte.
    Large,
}

pub struct Measure {
    pub name: &'static str,
    pub kind: Kind,
    pub contestants: &'static [&'static str],
    /// How often it is repeated at most: once where every sample of a run is one of the figure, or a run takes long.
    pub max_repetitions: usize,
}

const J1_AT_LEAST_ONCE: Task = Task { exactly_once: false, ..Task::J1 };
const EVERYBODY: &[&str] = &[OURS, RAW_TWO, RAW, FRANZ, STREAMS];

pub const MEASURES: &[Measure] = &[
    Measure { name: "J1-eos", kind: Kind::Drain(Task::J1), contestants: EVERYBODY, max_repetitions: usize::MAX },
    Measure { name: "J1-alos", kind: Kind::Drain(J1_AT_LEAST_ONCE), contestants: EVERYBODY, max_repetitions: 3 },
    Measure {
        name: "J2-eos",
        kind: Kind::Drain(Task::J2),
        contestants: &[OURS, RAW_TWO, FRANZ, STREAMS],
        max_repetitions: usize::MAX,
    },
    Measure { name: "LATENCY", kind: Kind::Latency, contestants: &[OURS, RAW_TWO, FRANZ, STREAMS], max_repetitions: 1 },
    Measure { name: "SLOW", kind: Kind::Slow, contestants: &[OURS, RAW_TWO], max_repetitions: 1 },
    Measure { name: "RESTORE", kind: Kind::Restore, contestants: &[OURS, STREAMS], max_repetitions: 1 },
    Measure { name: "REBALANCE", kind: Kind::Rebalance, contestants: &[OURS, FRANZ, STREAMS], max_repetitions: 1 },
    Measure { name: "MEMORY", kind: Kind::Memory, contestants: &[OURS], max_repetitions: 1 },
    Measure { name: "LARGE", kind: Kind::Large, contestants: &[OURS], max_repetitions: 1 },
];

/// Inputs that all runs read, filled when the first one asks.
#[derive(Debug, Default)]
pub struct Inputs {
    /// Orders that reach the threshold, of the input of J1 and J2.
    passing: Option<u64>,
    slow: bool,
}

const ORDERS: &str = "orders";
const SLOW_ORDERS: &str = "slow-orders";
const LONG_LAG: &str = "long-lag";

impl Inputs {
    fn orders(&mut self, bench: &Bench, records: u64) -> Result<u64, Failure> {
        if let Some(passing) = self.passing {
            return Ok(passing);
        }
        let topic = bench.name(ORDERS);
        bench.cluster.create(&topic, &[])?;
        let passing = orders::fill(&bench.cluster, &topic, records)?;
        self.passing = Some(passing);
        Ok(passing)
    }

    fn slow(&mut self, bench: &Bench, records: u64) -> Result<(), Failure> {
        if !self.slow {
            let topic = bench.name(SLOW_ORDERS);
            bench.cluster.create(&topic, &[])?;
            orders::fill(&bench.cluster, &topic, records)?;
            self.slow = true;
        }
        Ok(())
    }
}

/// One run of one contestant. What it made in the cluster is dropped again, however it went.
pub fn run(
    bench: &Bench,
    kind: Kind,
    contestant: &Contestant,
    sizes: &Sizes,
    inputs: &mut Inputs,
) -> Result<Measured, Failure> {
    let all_pass = Task { threshold: 0, ..Task::J1 };
    match kind {
        Kind::Drain(task) => {
            let passing = inputs.orders(bench, sizes.records)?;
            let expected = if task.is_stateful() { sizes.records } else { passing };
            let load = Load { records: sizes.records, expected, limit: None };
            on_stage(bench, task, Some(&bench.name(ORDERS)), |stage| drained(bench, stage, contestant, load))
        }
        Kind::Slow => {
            inputs.slow(bench, sizes.slow_records)?;
            let task = Task { job: "SLOW", ..all_pass };
            // One at a time a peer would take for ever: everybody's rate is taken over the same stretch.
            let limit = Some(Duration::from_secs(15));
            let load = Load { records: sizes.slow_records, expected: sizes.slow_records, limit };
            on_stage(bench, task, Some(&bench.name(SLOW_ORDERS)), |stage| drain(bench, stage, contestant, load))
        }
        Kind::Memory => {
            let topic = bench.name(LONG_LAG);
            bench.cluster.create(&topic, &[])?;
            let expected = orders::fill(&bench.cluster, &topic, sizes.memory_records)?;
            let load = Load { records: sizes.memory_records, expected, limit: None };
            let measured = on_stage(bench, Task::J1, Some(&topic), |stage| drained(bench, stage, contestant, load));
            bench.cluster.drop_topics(&topic)?;
            measured
        }
        Kind::Large => on_stage(bench, all_pass, None, |stage| {
            orders::fill_large(stage.cluster, &stage.input, sizes.large_records)?;
            let load = Load { records: sizes.large_records, expected: sizes.large_records, limit: None };
            drained(bench, stage, contestant, load)
        }),
        Kind::Latency => {
            on_stage(bench, all_pass, None, |stage| latency(stage, contestant, sizes.warm_up, sizes.latency))
        }
        Kind::Restore => on_stage(bench, Task::J2, None, |stage| restore(bench, stage, contestant, sizes.records)),
        Kind::Rebalance => on_stage(bench, all_pass, None, |stage| rebalance(stage, contestant)),
    }
}

fn on_stage<'a>(
    bench: &'a Bench,
    task: Task,
    input: Option<&str>,
    work: impl FnOnce(&Stage<'a>) -> Result<Measured, Failure>,
) -> Result<Measured, Failure> {
    let stage = Stage::set(bench, task, input)?;
    let measured = work(&stage);
    stage.clear()?;
    measured
}

/// Drains, then judges the whole output.
fn drained(bench: &Bench, stage: &Stage<'_>, contestant: &Contestant, load: Load) -> Result<Measured, Failure> {
    let mut measured = drain(bench, stage, contestant, load)?;
    let task = stage.task;
    let verdict = judge(stage.cluster, &stage.output, task.isolation(), task.is_stateful())?;
    measured.faults.extend(verdict.faults(load.expected, !task.exactly_once));
    Ok(measured)
}
