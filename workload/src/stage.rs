//! What every kind of run has: its workload, its topics, its clock, and the use of the processes while it is under load.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use unchain::app::Signals;
use unchain::kafka::{Connection, LoadProducer, Sent, TopicPartition};
use unchain_measure::{Sample, UsageSampler, busy_cpus, usage};

use crate::BenchError;
use crate::cluster::Cluster;
use crate::load::{Done, GRACE, Load, Permits, Producing, await_condition};
use crate::records::{Material, Records};
use crate::result::{Facts, Run};
use crate::schedule::{Clock, Schedule};
use crate::tally::{Counts, Tally, Window};
use crate::workload::Workload;

/// One run's surroundings.
pub(crate) struct Stage<'a> {
    pub(crate) workload: &'a Workload,
    pub(crate) cluster: &'a Cluster,
    pub(crate) signals: &'a Signals,
    pub(crate) material: &'a Arc<Material>,
    /// The number of the run, from 0: each draws other records.
    pub(crate) run: u64,
}

/// A producer and the tally of its deliveries.
pub(crate) type Tallied = (Producing, Arc<Tally>);

/// How long what was sent may take to be acknowledged and received.
pub(crate) const DRAIN_DEADLINE: Duration = Duration::from_secs(60);

impl Stage<'_> {
    pub(crate) fn connection(&self) -> &Connection {
        &self.cluster.connection
    }

    pub(crate) fn create_topics(&self) -> Result<Vec<String>, BenchError> {
        self.cluster.create_topics(self.workload.topics, self.workload.partitions)
    }

    pub(crate) fn window(&self) -> Window {
        Window::of(self.workload)
    }

    pub(crate) fn schedule(&self, producer: u32) -> Schedule {
        let Workload { rate, producers, .. } = self.workload;
        Schedule { per_second: rate.per_second(), sender: producer.into(), senders: (*producers).into() }
    }

    pub(crate) fn load<'b>(&'b self, clock: &Clock, producer: u32, permits: Option<&'b Permits>) -> Load<'b> {
        let (schedule, end) = (self.schedule(producer), self.workload.duration());
        Load { clock: clock.clone(), schedule, end, grace: GRACE, max_records: None, signals: self.signals, permits }
    }

    /// One producer's outlet, to the topic that is its turn.
    pub(crate) fn producing(
        &self,
        topics: &[String],
        producer: u32,
        tally: &Arc<Tally>,
    ) -> Result<Producing, BenchError> {
        let topic = &topics[producer as usize % topics.len()];
        let settings = self.workload.load_settings();
        let records = Records::new(self.material, producer.into(), self.run);
        let producer = LoadProducer::connect(self.connection(), topic, &settings, Arc::clone(tally))?;
        Ok(Producing { producer, records })
    }

    /// All producers' outlets, each with the tally of its deliveries.
    pub(crate) fn all_producing(&self, topics: &[String], clock: &Clock) -> Result<Vec<Tallied>, BenchError> {
        let new = |producer| {
            let tally = Arc::new(Tally::new(clock.clone(), self.window()));
            Ok((self.producing(topics, producer, &tally)?, tally))
        };
        (0..self.workload.producers).map(new).collect()
    }

    /// Sends a record to each partition, so that connections, producer ids and leaders are there, waits until all have
    /// come through, and lets the run begin. The value is one that is due at [`PRIMING`](crate::tally::PRIMING).
    pub(crate) fn prime<'b>(
        &self,
        outlets: impl Iterator<Item = &'b Producing> + Clone,
        value: &[u8],
        receivers: &[Tally],
        clock: &Clock,
    ) -> Result<Usage, BenchError> {
        let mut sent = 0;
        for outlet in outlets.clone() {
            for partition in 0..self.workload.partitions {
                while outlet.producer.send(Some(partition), b"", value, usize::MAX)? == Sent::Full {
                    outlet.producer.wait_for_room();
                }
                sent += 1;
            }
        }
        outlets.clone().try_for_each(|outlet| self.flush(outlet))?;
        let came = || receivers.iter().map(Tally::primed).sum::<u64>();
        if !receivers.is_empty() && !await_condition(self.signals, DRAIN_DEADLINE, || came() >= sent)? {
            let state = format!("{} of {sent} first records came", came());
            return Err(BenchError::TooLong { what: "opening of connections", waited: DRAIN_DEADLINE, state });
        }
        let usage = Usage::start(self);
        clock.restart();
        Ok(usage)
    }

    /// Waits until what was sent is reported.
    pub(crate) fn flush(&self, outlet: &Producing) -> Result<(), BenchError> {
        let producer = &outlet.producer;
        let step = Duration::from_millis(200);
        let started = std::time::Instant::now();
        while !producer.flush(step) {
            if self.signals.received() {
                return Err(BenchError::Interrupted);
            }
            if started.elapsed() > DRAIN_DEADLINE {
                let state = format!(
                    "{} records are without an answer{}",
                    producer.unreported(),
                    producer.failure().map(|reason| format!(" ({reason})")).unwrap_or_default()
                );
                return Err(BenchError::TooLong { what: "delivery", waited: started.elapsed(), state });
            }
        }
        Ok(())
    }

    /// Adds the rate in megabytes of values.
    pub(crate) fn note_megabytes(&self, run: &mut Run) {
        let rate = run.metrics.get("records_per_second").copied().unwrap_or(0.0);
        run.metrics.insert("megabytes_per_second".into(), rate * self.material.mean_bytes() / 1e6);
    }

    /// Each consumer's partitions, from their beginning.
    pub(crate) fn shares(&self, topics: &[String], consumers: u32) -> Vec<Vec<(TopicPartition, i64)>> {
        let mut shares = vec![Vec::new(); consumers as usize];
        let partitions = topics.iter().flat_map(|topic| (0..self.workload.partitions).map(move |at| (topic, at)));
        for (index, (topic, partition)) in partitions.enumerate() {
            let at = TopicPartition { topic: topic.as_str().into(), partition };
            shares[index % consumers as usize].push((at, 0));
        }
        shares.retain(|share| !share.is_empty());
        shares
    }
}

/// The sum of what the senders have done.
pub(crate) fn sum(all: &[Done]) -> Done {
    all.iter().fold(Done::default(), |sum, done| Done { sent: sum.sent + done.sent, unsent: sum.unsent + done.unsent })
}

/// Notes what the processes use while it lives.
pub(crate) struct Usage {
    processes: Vec<(String, u32)>,
    before: Vec<(f64, f64)>,
    sampler: Option<UsageSampler>,
}

/// What they used.
pub(crate) struct Used {
    /// By process: CPU seconds, the most resident megabytes, and by how much these grew.
    totals: Vec<(String, f64, f64, f64)>,
    samples: Vec<Sample>,
}

impl Usage {
    pub(crate) fn start(stage: &Stage<'_>) -> Usage {
        let processes = stage.cluster.processes.clone();
        let interval = stage.window().interval.clamp(Duration::from_millis(100), Duration::from_secs(1));
        let sampler = UsageSampler::start(processes.clone(), interval);
        let now = |(_, pid): &(String, u32)| (usage::cpu_seconds(*pid), usage::resident_mb(*pid));
        Usage { before: processes.iter().map(now).collect(), processes, sampler }
    }

    pub(crate) fn stop(self) -> Used {
        let samples = self.sampler.map(UsageSampler::stop).unwrap_or_default();
        let totals = self.processes.iter().zip(&self.before).map(|((name, pid), (cpu, resident))| {
            let sampled = samples.iter().filter(|sample| sample.name == *name).map(|sample| sample.resident_mb);
            let peak = sampled.fold(usage::resident_mb(*pid), f64::max);
            (name.clone(), usage::cpu_seconds(*pid) - cpu, peak, (peak - resident).max(0.0))
        });
        Used { totals: totals.collect(), samples }
    }
}

impl Used {
    /// Adds figures and lines of each process to a run that has moved so many records.
    pub(crate) fn note(&self, run: &mut Run, records: u64) {
        let millions = records as f64 / 1e6;
        for (name, cpu, peak, growth) in &self.totals {
            run.metrics.insert(format!("peak_memory_mb.{name}"), *peak);
            if records > 0 {
                run.metrics.insert(format!("cpu_seconds_per_million.{name}"), cpu / millions);
                run.metrics.insert(format!("memory_mb_per_million.{name}"), growth / millions);
            }
            run.series.insert(format!("cpu.{name}"), busy_cpus(&self.samples, name));
        }
    }
}

/// A run's figures from what was counted, `lag` where the ends are those of a consumer.
pub(crate) fn paced_run(stage: &Stage<'_>, facts: Facts, counts: &Counts, used: &Used) -> Run {
    let window = stage.window();
    let measured_seconds = (window.end - window.warm_up).as_secs_f64();
    let facts = Facts { measured: counts.measured, measured_seconds, ..facts };
    let mut run = Run { facts, metrics: BTreeMap::new(), series: BTreeMap::new() };
    let rate = counts.measured as f64 / measured_seconds;
    run.metrics.insert("records_per_second".into(), rate);
    let latencies = counts.measured_latencies(&window);
    if latencies.count() > 0 {
        for (name, percent) in [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99_9", 99.9)] {
            let latency = latencies.percentile(percent).as_secs_f64() * 1e3;
            run.metrics.insert(format!("latency_ms_{name}"), latency);
            run.series.insert(format!("latency_ms.{name}"), counts.latencies.percentiles(percent));
        }
        run.metrics.insert("latency_ms_max".into(), latencies.max().as_secs_f64() * 1e3);
        run.series.insert("distribution".into(), latencies.distribution());
    }
    run.series.insert("rate".into(), rates(&counts.ends, window.interval));
    run.series.insert("lag".into(), lag(counts, window.interval));
    used.note(&mut run, facts.acknowledged);
    stage.note_megabytes(&mut run);
    run
}

pub(crate) fn rates(ends: &[u64], interval: Duration) -> Vec<(f64, f64)> {
    let seconds = interval.as_secs_f64();
    ends.iter().enumerate().map(|(index, count)| (index as f64 * seconds, *count as f64 / seconds)).collect()
}

/// Records that were due and had not ended yet, at the end of each interval.
fn lag(counts: &Counts, interval: Duration) -> Vec<(f64, f64)> {
    let due: Vec<u64> = counts.latencies.buckets().map(|(_, bucket)| bucket.count).collect();
    let (mut due_so_far, mut ended_so_far) = (0_u64, 0_u64);
    (0..counts.ends.len().max(due.len()))
        .map(|index| {
            due_so_far += due.get(index).copied().unwrap_or(0);
            ended_so_far += counts.ends.get(index).copied().unwrap_or(0);
            let at = (index + 1) as f64 * interval.as_secs_f64();
            (at, due_so_far.saturating_sub(ended_so_far) as f64)
        })
        .collect()
}
