//! The report: figures for programs, tables for the terminal and the repository, a page with plots.

mod commentary;
mod figures;
mod markdown;
mod method;
mod page;
mod plots;
mod table;

use serde::Serialize;
use unchain_measure::Machine;

use crate::experiment::ClusterKind;
use crate::run::Run;
use crate::scenario::Scenario;
use crate::settings::Settings;
use crate::side::Kind;

pub use figures::Figures;
pub use plots::Plots;

use figures::HEADINGS;

/// What an experiment came to.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    pub capacity_per_second: f64,
    pub rate_per_second: f64,
    /// Where the pipeline's topics were.
    pub cluster: String,
    pub machine: Machine,
    pub settings: Settings,
    pub runs: Vec<Figures>,
    /// What the figures say, in sentences.
    pub commentary: Vec<Section>,
}

/// Some sentences under a heading.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Section {
    pub title: String,
    pub sentences: Vec<String>,
}

impl Report {
    pub fn of(runs: &[Run], settings: &Settings, cluster: ClusterKind) -> Report {
        let figures: Vec<_> = runs.iter().map(Figures::of).collect();
        let cluster = match cluster {
            ClusterKind::Development => "unchain's development broker, one process on this machine",
            ClusterKind::Named => "the Kafka that was named",
        };
        Report {
            capacity_per_second: settings.capacity_per_second(),
            rate_per_second: settings.load.rate_per_second,
            cluster: cluster.to_owned(),
            machine: Machine::here().with("unchain", env!("CARGO_PKG_VERSION")),
            settings: settings.clone(),
            commentary: commentary::of(&figures),
            runs: figures,
        }
    }

    /// The runs of one scenario, in the order of their sides.
    pub fn of_scenario(&self, scenario: Scenario) -> impl Iterator<Item = &Figures> {
        self.runs.iter().filter(move |run| run.scenario == scenario)
    }

    /// The scenarios that were run, in their order.
    pub fn scenarios(&self) -> Vec<Scenario> {
        Scenario::ALL.into_iter().filter(|scenario| self.of_scenario(*scenario).next().is_some()).collect()
    }

    /// A scenario's table: a row for each figure, a column for each side, the sides' names first.
    fn rows(&self, scenario: Scenario) -> Vec<Vec<String>> {
        let columns: Vec<_> = self.of_scenario(scenario).map(Figures::cells).collect();
        let row = |(row, heading): (usize, &&str)| {
            std::iter::once((*heading).to_owned()).chain(columns.iter().map(|column| column[row].clone())).collect()
        };
        HEADINGS.iter().enumerate().map(row).collect()
    }

    /// Whether there is something to judge the pipeline by.
    pub fn has_pipeline(&self) -> bool {
        self.runs.iter().any(|run| run.side == Kind::Pipeline)
    }

    /// What contradicts the pipeline's promise, by its topics.
    pub fn violations(&self) -> Vec<String> {
        let broken = |run: &&Figures| {
            let counts = &run.counts;
            run.side == Kind::Pipeline && counts.lost + counts.doubled + counts.unknown > 0
        };
        let say = |run: &Figures| {
            let counts = &run.counts;
            let name = run.scenario.name();
            format!("{name}: {} lost, {} doubled, {} that nobody placed", counts.lost, counts.doubled, counts.unknown)
        };
        self.runs.iter().filter(broken).map(say).collect()
    }

    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a report is JSON")
    }
}
