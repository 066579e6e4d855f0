//! One progress line a stage: records, rate and lag; on a terminal only.

use std::io::IsTerminal;
use std::time::Instant;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use unchain::engine::Engine;
use unchain_processors::{Config, processors};
use unchain_schemas::ORDERS_PLACED;

/// How far one processor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stage {
    pub name: &'static str,
    /// Input records whose transaction has committed.
    pub records: u64,
    /// Records committed to its inputs that it has not committed yet.
    pub lag: u64,
}

/// What the processors' counters say, with so many orders published.
pub(super) struct Stages {
    inputs: Vec<(&'static str, Vec<&'static str>)>,
}

impl Stages {
    pub fn new() -> Stages {
        let inputs = |processor: &unchain::process::Processor| {
            let topics = processor.declaration().inputs().iter().map(|topic| topic.name).collect();
            (processor.name(), topics)
        };
        Stages { inputs: processors(&Config::default()).iter().map(inputs).collect() }
    }

    pub fn now(&self, engine: &Engine, published: u64) -> Vec<Stage> {
        let stats = engine.stats();
        let written = |topic: &str| {
            let by_processors: u64 = stats.iter().map(|stats| stats.emitted_records(topic)).sum();
            if topic == ORDERS_PLACED.name { by_processors + published } else { by_processors }
        };
        let stage = |(name, inputs): &(&'static str, Vec<&'static str>)| {
            let own = stats.iter().find(|stats| stats.name() == *name);
            let records = own.map_or(0, |stats| stats.consumed_records());
            let input: u64 = inputs.iter().map(|topic| written(topic)).sum();
            Stage { name, records, lag: input.saturating_sub(records) }
        };
        self.inputs.iter().map(stage).collect()
    }
}

/// The lines on the terminal.
pub(super) struct Progress {
    bars: Vec<ProgressBar>,
    started: Instant,
}

impl Progress {
    /// Nothing is shown where stderr is no terminal.
    pub fn start(stages: &[Stage]) -> Progress {
        let lines = MultiProgress::new();
        let style = ProgressStyle::with_template("{prefix:>12}  {msg}").expect("the template is a constant");
        let shown = if std::io::stderr().is_terminal() { stages } else { &[] };
        let bar =
            |name: &'static str| lines.add(ProgressBar::new_spinner().with_style(style.clone()).with_prefix(name));
        let bars = std::iter::once("orders").chain(shown.iter().map(|stage| stage.name));
        let bars = if shown.is_empty() { Vec::new() } else { bars.map(bar).collect() };
        Progress { bars, started: Instant::now() }
    }

    pub fn show(&self, published: u64, stages: &[Stage]) {
        let seconds = self.started.elapsed().as_secs_f64().max(0.001);
        let rate = |records: u64| (records as f64 / seconds) as u64;
        let orders = format!("{published:>8} records  {:>8}/s", rate(published));
        let lines = stages
            .iter()
            .map(|stage| format!("{:>8} records  {:>8}/s  lag {:>7}", stage.records, rate(stage.records), stage.lag));
        for (bar, line) in self.bars.iter().zip(std::iter::once(orders).chain(lines)) {
            bar.set_message(line);
            bar.tick();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        // The last state stays readable above the report.
        self.bars.iter().for_each(ProgressBar::abandon);
    }
}
