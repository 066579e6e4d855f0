//! One run: start everything, let the faults go on, await the groups, read, judge.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use unchain::app::Signals;
use unchain::contract::{Contract, open_registry, system};
use unchain::kafka::{Admin, Connection, NewTopic};

use crate::broker_faults::{Counts, run_broker_track, run_network_track};
use crate::cluster::Cluster;
use crate::contracts::Input;
use crate::events::Events;
use crate::fleet::Fleet;
use crate::history::Evidence;
use crate::judging::Read;
use crate::observer::{OUTPUT_PARTITIONS, Observer, Seen};
use crate::plan::Plan;
use crate::proxy::Proxies;
use crate::report::{GroupReport, Report, by_kind, counts};
use crate::workload::{Group, INPUT_PARTITIONS, INPUTS};
use crate::writer::{Writer, Writing};
use crate::{Failure, group_log, history, now_ms, pause};

const ADMIN_PATIENCE: Duration = Duration::from_secs(30);
const FIRST_OUTPUT_PATIENCE: Duration = Duration::from_secs(90);
/// From the end of the faults until every input has been worked off.
const CATCH_UP_PATIENCE: Duration = Duration::from_secs(180);
const TICK: Duration = Duration::from_millis(20);

/// What to run.
#[derive(Debug, Clone)]
pub struct Options {
    pub subject: PathBuf,
    pub xtask: PathBuf,
    pub folder: PathBuf,
    pub seed: u64,
    pub lasting: Duration,
    pub brokers: u16,
    pub records_per_second: u32,
}

/// A finished run, with its history where something is wrong.
pub struct Outcome {
    pub report: Report,
    pub history: Option<String>,
}

/// A run under way. Fields end in their order: processes before proxies, proxies before brokers.
struct Run<'a> {
    options: &'a Options,
    signals: &'a Signals,
    started: Instant,
    events: Events,
    fleet: Fleet,
    proxies: Proxies,
    cluster: Cluster,
    broker_counts: Counts,
}

pub fn run(options: &Options, signals: &Signals) -> Result<Outcome, Failure> {
    let (events, started) = (Events::default(), Instant::now());
    eprintln!("    0 s  starting {} brokers", options.brokers);
    let cluster = Cluster::start(&options.xtask, &options.folder.join("kafka"), options.brokers)?;
    let proxies = Proxies::start(&cluster.ways())?;
    create_topics(&cluster.bootstrap())?;
    let processes = options.folder.join("processes");
    let _ = std::fs::remove_dir_all(&processes);
    let fleet = Fleet::start(&options.subject, &cluster.proxied_bootstrap(), &processes, &events)?;
    let broker_counts = Counts::default();
    let history = events.clone();
    let run = Run { options, signals, started, events, fleet, proxies, cluster, broker_counts };
    let outcome = run.carry_out();
    if let Err(error) = &outcome
        && !matches!(error, Failure::Interrupted)
    {
        eprintln!("{}", history::schedule(&history.all(), now_ms()));
    }
    outcome
}

/// Every topic of the run; a changelog keeps its whole history, so that it can be judged record by record.
fn create_topics(bootstrap: &str) -> Result<(), Failure> {
    let connection = Connection::new(bootstrap);
    let topic = |name: String, partitions, configs: &[(&str, &str)]| NewTopic {
        name,
        partitions,
        configs: configs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    };
    let kept = [("retention.ms", "-1")];
    let compacted = [("cleanup.policy", "compact"), ("min.compaction.lag.ms", "86400000")];
    let mut topics = vec![topic(INPUTS.to_owned(), INPUT_PARTITIONS, &kept)];
    topics.extend(system::TOPICS.iter().map(|letter| topic(letter.name.to_owned(), letter.partitions, &kept)));
    for group in Group::ALL {
        topics.push(topic(group.outputs(), OUTPUT_PARTITIONS, &kept));
        topics.push(topic(group.updates(), OUTPUT_PARTITIONS, &kept));
        topics.push(topic(group.totals(), INPUT_PARTITIONS, &compacted));
    }
    Admin::new(&connection, ADMIN_PATIENCE)?.create_topics(&topics)?;
    let registered = open_registry(&connection, ADMIN_PATIENCE)
        .and_then(|registry| registry.register(&Input::TOPIC.subject(), Input::TOPIC.schema));
    registered.map(drop).map_err(|error| Failure::Setup(error.to_string()))
}

struct EndOnDrop<'a>(&'a AtomicBool);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Run<'_> {
    fn carry_out(mut self) -> Result<Outcome, Failure> {
        let bootstrap = self.cluster.bootstrap();
        let observer = Observer::start(&bootstrap)?;
        let writing = Writer::connect(&bootstrap, self.options.seed)?.start(self.options.records_per_second)?;
        self.await_first_outputs(&observer)?;
        self.cluster.await_in_sync()?;
        let begun_ms = now_ms();
        self.say(&format!("faults for {} s, seed {}", self.options.lasting.as_secs(), self.options.seed));
        self.faults(&writing, &observer)?;
        let ended_ms = now_ms();
        self.say("the faults have ended");
        self.fleet.settle()?;
        let mut writer = writing.stop()?;
        self.await_caught_up()?;
        self.say("caught up; a last lap with fresh processes");
        self.last_lap(&mut writer)?;
        let seen = observer.stop()?;
        self.judge(&writer, seen, (begun_ms, ended_ms))
    }

    fn say(&self, what: &str) {
        eprintln!("{:>5} s  {what}", self.started.elapsed().as_secs());
    }

    fn check(&mut self, writing: Option<&Writing>) -> Result<(), Failure> {
        if self.signals.received() {
            return Err(Failure::Interrupted);
        }
        if writing.is_some_and(Writing::has_failed) {
            return Err(Failure::Setup("the writer has given up".to_owned()));
        }
        self.fleet.tend()?;
        pause(TICK);
        Ok(())
    }

    fn await_first_outputs(&mut self, observer: &Observer) -> Result<(), Failure> {
        let deadline = Instant::now() + FIRST_OUTPUT_PATIENCE;
        while Group::ALL.iter().any(|group| observer.count(*group) == 0) {
            self.check(None)?;
            if Instant::now() > deadline {
                let state = format!(": {}", Group::ALL.map(|group| self.cluster.describe(group)).join("; "));
                let (what, patience) = ("the first output".to_owned(), FIRST_OUTPUT_PATIENCE);
                return Err(Failure::TooLong { what, patience, state });
            }
        }
        Ok(())
    }

    /// Lets the three tracks go on; returns when all that they did is undone.
    fn faults(&mut self, writing: &Writing, observer: &Observer) -> Result<(), Failure> {
        let plan = Plan::draw(self.options.seed, self.options.lasting);
        let ending = AtomicBool::new(false);
        let ending = &ending;
        let begun = Instant::now();
        // Lent to the tracks, so that the fleet can be tended beside them.
        let Run { options, signals, started, events, fleet, proxies, cluster, broker_counts } = self;
        std::thread::scope(|scope| {
            let brokers = scope.spawn(|| run_broker_track(&plan.brokers, cluster, events, broker_counts, ending));
            let network = scope.spawn(|| run_network_track(&plan.network, proxies, events, broker_counts, ending));
            // Also where this panics: the scope waits for both.
            let end = EndOnDrop(ending);
            let mut processes = plan.processes.iter().peekable();
            let mut told_at = begun;
            let mut work = || -> Result<(), Failure> {
                while begun.elapsed() < options.lasting {
                    if signals.received() {
                        return Err(Failure::Interrupted);
                    }
                    if writing.has_failed() || brokers.is_finished() && begun.elapsed() < options.lasting / 2 {
                        break;
                    }
                    if let Some((_, (target, fault))) = processes.next_if(|(at, _)| *at <= begun.elapsed()) {
                        fleet.apply(*target, *fault)?;
                    }
                    fleet.tend()?;
                    if told_at.elapsed() > Duration::from_secs(30) {
                        told_at = Instant::now();
                        let seen: usize = Group::ALL.iter().map(|group| observer.count(*group)).sum();
                        eprintln!("{:>5} s  {} kills, {seen} outputs", started.elapsed().as_secs(), fleet.counts.kills);
                    }
                    pause(TICK);
                }
                Ok(())
            };
            let done = work();
            drop(end);
            // A broker that is down is started again before its track ends; meanwhile processes are tended.
            while !brokers.is_finished() {
                fleet.tend()?;
                pause(TICK);
            }
            let panicked = || Failure::Setup("a track of faults panicked".to_owned());
            network.join().map_err(|_| panicked())?;
            brokers.join().map_err(|_| panicked())??;
            done
        })
    }

    /// Waits until both groups have committed every input.
    fn await_caught_up(&mut self) -> Result<(), Failure> {
        let deadline = Instant::now() + CATCH_UP_PATIENCE;
        let started = Instant::now();
        for group in Group::ALL {
            loop {
                self.check(None)?;
                // A coordinator that has just moved does not answer for a moment.
                let progress = self.cluster.progress(group);
                if progress.is_ok_and(|all| all.iter().all(|(next, end)| next == end)) {
                    break;
                }
                if Instant::now() > deadline {
                    self.cluster.keep_data();
                    let state = self.cluster.describe(group);
                    return Err(Failure::Stalled { patience: CATCH_UP_PATIENCE, state });
                }
            }
        }
        self.events.add("checker", format!("caught up after {} ms", started.elapsed().as_millis()));
        Ok(())
    }

    /// Every process ends, fresh ones start with nothing, and each key gets one more record: what these lead to shows
    /// the tables as they were restored.
    fn last_lap(&mut self, writer: &mut Writer) -> Result<(), Failure> {
        self.fleet.end_all()?;
        for group in Group::ALL {
            self.fleet.add(group)?;
        }
        writer.write_lap()?;
        self.await_caught_up()?;
        self.fleet.end_all()
    }

    fn judge(self, writer: &Writer, seen: [Seen; 2], faults_ms: (i64, i64)) -> Result<Outcome, Failure> {
        self.say("reading");
        let mut read = Read::all(&self.cluster.bootstrap(), writer.acknowledged(), seen)?;
        let generations = group_log::read_generations(&self.cluster)?;
        let groups = Group::ALL.map(|group| {
            let (longest_pause_ms, at_ms) = read.seen[group as usize].longest_pause(faults_ms.0, faults_ms.1);
            let generations = generations.get(&group).map_or(0, Vec::len);
            let (rebalances, pause_at_ms) = (generations.saturating_sub(1), at_ms - faults_ms.0);
            GroupReport { name: group.name(), rebalances, longest_pause_ms, pause_at_ms }
        });
        let report = Report {
            seed: self.options.seed,
            seconds: self.options.lasting.as_secs(),
            brokers: self.options.brokers,
            inputs: read.inputs.records(),
            judged: read.judged(),
            counts: counts(&self.fleet.counts, &self.broker_counts),
            groups: groups.to_vec(),
            findings: by_kind(&read.findings),
        };
        if report.is_right() {
            return Ok(Outcome { report, history: None });
        }
        read.sort_findings();
        let events = self.events.all();
        let evidence = Evidence::gather(&self.cluster, &events, &generations, &read, faults_ms.0)?;
        // For whoever wants to look at the logs themselves.
        self.cluster.keep_data();
        Ok(Outcome { report, history: Some(evidence.tell()) })
    }
}
