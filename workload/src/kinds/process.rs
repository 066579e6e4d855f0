//! `process`: a processor of this process passes records on; timed from when each was due until its output is visible to a
//! consumer of committed records.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use unchain::contract::{Decoder, Encoder, LocalRegistry, RegistryError, SchemaRegistry, Topic};
use unchain::engine::{Engine, EngineSettings};
use unchain::kafka::{NewRecord, Sent};
use unchain::process::{FailedRecord, Failure, FailurePolicy, Processor};

use super::end_to_end::await_received;
use super::join_all;
use super::produce::send_all;
use crate::BenchError;
use crate::contracts::{Input, Output};
use crate::load::{ByProducer, Outlet, Producing, await_condition};
use crate::receiving::Receiver;
use crate::records::STAMP_BYTES;
use crate::result::Run;
use crate::schedule::Clock;
use crate::stage::{Stage, paced_run};
use crate::tally::{PRIMING, Tally};
use crate::workload::{Guarantee, Kind};

/// How long the group may take to share the partitions out.
const ASSIGNMENT_DEADLINE: Duration = Duration::from_secs(30);

pub(super) fn run(stage: &Stage<'_>) -> Result<Run, BenchError> {
    let topics = stage.cluster.create_topics(2, stage.workload.partitions)?;
    let (inputs, outputs) = (&topics[..1], &topics[1..]);
    let registry: Arc<dyn SchemaRegistry> = Arc::new(LocalRegistry::in_memory());
    let encoder = Encoder::<Input>::register(&*registry)?;
    // Processors are named for good; a benchmark starts a few in its life.
    let group: &'static str = stage.cluster.new_group().leak();
    let processor = Processor::new(group).doc("Passes records on.").handle(pass_on);
    let processor = processor.topic_name::<Input>(&inputs[0]).topic_name::<Output>(&outputs[0]);
    let settings = EngineSettings {
        workers: stage.workload.consumers as usize,
        guarantee: match stage.workload.guarantee {
            Guarantee::ExactlyOnce => unchain::engine::Guarantee::ExactlyOnce,
            Guarantee::AtLeastOnce => unchain::engine::Guarantee::AtLeastOnce,
        },
        ..EngineSettings::default()
    };
    let engine = Engine::start(stage.connection(), &registry, &[processor], &settings, no_failures)?;
    let ran = run_beside(stage, &engine, inputs, outputs, &registry, &encoder);
    // The engine leaves its group whatever came of the run, so that the group can be removed.
    let stopped = engine.stop();
    let run = ran?;
    stopped?;
    Ok(run)
}

async fn pass_on(input: Input) -> Output {
    let Input { key, intended_nanos, payload } = input;
    Output { key, intended_nanos, payload }
}

fn run_beside(
    stage: &Stage<'_>,
    engine: &Engine,
    inputs: &[String],
    outputs: &[String],
    registry: &Arc<dyn SchemaRegistry>,
    encoder: &Encoder<Input>,
) -> Result<Run, BenchError> {
    let assigned = || engine.stats().iter().map(|stats| stats.assigned_partitions()).sum::<usize>();
    let partitions = usize::try_from(stage.workload.partitions).unwrap_or(0);
    if !await_condition(stage.signals, ASSIGNMENT_DEADLINE, || assigned() >= partitions)? {
        let state = format!("{} of {partitions} partitions are assigned", assigned());
        return Err(BenchError::TooLong { what: "start of the processor", waited: ASSIGNMENT_DEADLINE, state });
    }
    let share: Vec<_> = stage.shares(outputs, 1).into_iter().flatten().collect();
    let mut receiver = Receiver::open(stage.connection(), &share)?;
    let mut decoder = Decoder::<Output>::new(Arc::clone(registry));
    let clock = Clock::start();
    let received = [Tally::new(clock.clone(), stage.window())];
    let (stop, ended) = (&AtomicBool::new(false), &received[0]);
    let mut first = Vec::new();
    let due = PRIMING.cast_signed();
    encoder.encode(&Input { key: String::new(), intended_nanos: due, payload: Vec::new().into() }, &mut first)?;
    let (loaded, used) = std::thread::scope(|scope| {
        let each = move |value: &[u8]| {
            ended.end(decoder.decode(value)?.intended_nanos.cast_unsigned());
            Ok(())
        };
        let reading = scope.spawn(move || receiver.run(stop, each));
        let load = || {
            let outlets = stage.all_producing(inputs, &clock)?;
            let usage = stage.prime(outlets.iter().map(|(outlet, _)| outlet), &first, &received, &clock)?;
            let encoding = |plain| Encoding { plain, encoder: encoder.clone(), encoded: Vec::new() };
            let outlets = outlets.into_iter().map(|(plain, tally)| (encoding(plain), tally)).collect();
            let loaded = send_all(stage, outlets, &clock, None)?;
            await_received(stage, &received, loaded.acknowledged())?;
            Ok((loaded, usage.stop()))
        };
        let loaded = load();
        stop.store(true, Ordering::Release);
        join_all(vec![reading]).and(loaded)
    })?;
    let received = received[0].counts();
    Ok(paced_run(stage, loaded.facts(received.ended), &received, &used))
}

/// Records as the contract's values.
struct Encoding {
    plain: Producing,
    encoder: Encoder<Input>,
    encoded: Vec<u8>,
}

impl Outlet for Encoding {
    fn advance(&mut self, due_nanos: u64) -> Result<(), BenchError> {
        let records = &mut self.plain.records;
        records.advance(due_nanos);
        // What the other fields take is left out, so that the whole value has about the size asked for.
        let others = Kind::Process.stamp_bytes() as usize - STAMP_BYTES;
        let payload = records.payload();
        let payload = &payload[..payload.len().saturating_sub(others)];
        let input = Input {
            key: String::from_utf8_lossy(records.key()).into_owned(),
            intended_nanos: i64::try_from(due_nanos).unwrap_or(i64::MAX),
            payload: payload.to_vec().into(),
        };
        self.encoded.clear();
        Ok(self.encoder.encode(&input, &mut self.encoded)?)
    }

    fn send(&mut self, due_nanos: u64) -> Result<Sent, BenchError> {
        let tag = usize::try_from(due_nanos).unwrap_or(usize::MAX);
        Ok(self.plain.producer.send(None, self.plain.records.key(), &self.encoded, tag)?)
    }

    fn wait_for_room(&self) {
        self.plain.wait_for_room();
    }
}

impl ByProducer for Encoding {
    fn producing(&self) -> &Producing {
        &self.plain
    }
}

/// No record of a benchmark may fail: the first one that does ends the run.
struct NoFailures;

impl FailurePolicy for NoFailures {
    fn topics(&self) -> Vec<&'static Topic> {
        Vec::new()
    }

    fn on_failure(&mut self, failed: FailedRecord<'_>) -> Result<Vec<NewRecord<'static>>, Failure> {
        Err(Failure::reject(format!("record {}: {}", failed.record.position(), failed.failed.reason)))
    }
}

fn no_failures(_: &Arc<dyn SchemaRegistry>) -> Result<Box<dyn FailurePolicy>, RegistryError> {
    Ok(Box::new(NoFailures))
}
