//! Where a run takes place: topics, a group and a folder that no other run has.

use std::cell::Cell;
use std::fs;
use std::path::PathBuf;

use crate::cluster::{Cluster, Isolation};
use crate::contestant::{Contestant, Running};
use crate::{Bench, Failure, orders};

/// What the contestants are to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Task {
    /// As the environment names it: J1, J2 or SLOW.
    pub job: &'static str,
    pub exactly_once: bool,
    /// Cents below which J1 drops an order.
    pub threshold: i64,
}

impl Task {
    pub const J1: Task = Task { job: "J1", exactly_once: true, threshold: orders::THRESHOLD };
    pub const J2: Task = Task { job: "J2", exactly_once: true, threshold: 0 };

    pub fn isolation(self) -> Isolation {
        if self.exactly_once { Isolation::Committed } else { Isolation::Uncommitted }
    }

    pub fn is_stateful(self) -> bool {
        self.job == "J2"
    }
}

pub struct Stage<'a> {
    pub cluster: &'a Cluster,
    pub task: Task,
    pub input: String,
    pub output: String,
    pub changelog: String,
    pub group: String,
    folder: PathBuf,
    processes: Cell<usize>,
}

impl<'a> Stage<'a> {
    /// Makes the topics; `input` is a topic that others use too, or `None` for one of the run's own.
    pub fn set(bench: &'a Bench, task: Task, input: Option<&str>) -> Result<Stage<'a>, Failure> {
        let number = bench.next_run();
        let name = bench.name(&format!("run-{number}"));
        let folder = bench.folder.join(format!("run-{number}"));
        fs::create_dir_all(&folder)?;
        let stage = Stage {
            cluster: &bench.cluster,
            task,
            input: input.map_or_else(|| format!("{name}-input"), str::to_owned),
            output: format!("{name}-output"),
            changelog: format!("{name}-changelog"),
            group: format!("{name}-group"),
            folder,
            processes: Cell::new(0),
        };
        if input.is_none() {
            stage.cluster.create(&stage.input, &[])?;
        }
        stage.cluster.create(&stage.output, &[])?;
        if task.is_stateful() {
            stage.cluster.create(&stage.changelog, &[("cleanup.policy", "compact")])?;
        }
        Ok(stage)
    }

    /// Starts one more process of the contestant.
    pub fn start(&self, contestant: &Contestant, more: &[(&'static str, &str)]) -> Result<Running, Failure> {
        let own = [
            ("BROKERS", self.cluster.brokers.as_str()),
            ("IN_TOPIC", &self.input),
            ("OUT_TOPIC", &self.output),
            ("CLOG_TOPIC", if self.task.is_stateful() { &self.changelog } else { "" }),
            ("GROUP", &self.group),
            ("MODE", if self.task.exactly_once { "eos" } else { "alos" }),
            ("JOB", self.task.job),
        ];
        let mut environment: Vec<_> =
            own.iter().chain(more).map(|(name, value)| (*name, (*value).to_owned())).collect();
        environment.push(("THRESHOLD", self.task.threshold.to_string()));
        self.processes.set(self.processes.get() + 1);
        contestant.start(&environment, &self.folder, self.processes.get())
    }

    /// How far the output is visible, markers included.
    pub fn visible(&self) -> Result<i64, Failure> {
        self.cluster.end_sum(&self.output, self.task.isolation())
    }

    /// Records in the changelogs: the run's, or those that a contestant has made for itself under the group's name.
    pub fn changelog_records(&self) -> Result<i64, Failure> {
        let made = self.cluster.topics(&self.group)?;
        let made = made.iter().filter(|topic| topic.ends_with("-changelog"));
        made.chain([&self.changelog]).map(|topic| self.cluster.end_sum(topic, Isolation::Uncommitted)).sum()
    }

    /// Drops what the run has made; logs stay, for who wonders.
    pub fn clear(self) -> Result<(), Failure> {
        let name = self.output.strip_suffix("output").expect("the output's name ends so");
        self.cluster.drop_topics(name)
    }
}
