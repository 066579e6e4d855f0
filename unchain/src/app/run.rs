//! `run`: any subset of the processors in this process, until a signal drains them.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{AppError, BROKER_DEADLINE, JsonFlag, Options, Signals};
use crate::contract::open_registry;
use crate::engine::{Engine, EngineError, EngineSettings, Guarantee};
use crate::kafka::GroupProtocol;
use crate::process::Processor;
use crate::recovery::dead_letters;

/// How often a running process looks whether its workers live.
const HEALTH_INTERVAL: Duration = Duration::from_millis(500);

/// What to run.
#[derive(Debug, Clone, Args)]
pub struct RunArguments {
    /// The processors to run; all of them where none is named.
    #[arg(value_name = "PROCESSOR")]
    pub names: Vec<String>,
    /// List the processors instead.
    #[arg(long)]
    pub list: bool,
    #[command(flatten)]
    pub json: JsonFlag,
    /// The stable name of this instance (the pod's): a restart under it takes over at once what the last one left.
    #[arg(long, env = "UNCHAIN_INSTANCE")]
    pub instance: Option<String>,
    /// Workers a processor, each with a consumer and producers of its own.
    #[arg(long, value_name = "N", env = "UNCHAIN_WORKERS", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub workers: Option<u16>,
    /// Keep tables in this folder, so that a restart reads only what is new; without it they are kept in memory.
    #[arg(long, value_name = "DIR", env = "UNCHAIN_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
    /// Follow the tables of other instances' partitions in the state folder, so that taking one over is short.
    #[arg(long)]
    pub standby: bool,
    /// Commit offsets without transactions: nothing is lost, some results may come twice.
    #[arg(long)]
    pub at_least_once: bool,
    /// Let the brokers share the partitions out (KIP-848; Kafka 4.0 or later).
    #[arg(long)]
    pub consumer_protocol: bool,
}

pub(super) fn run(processors: &[Processor], options: &Options, arguments: &RunArguments) -> Result<(), AppError> {
    let chosen = choose(processors, &arguments.names)?;
    if arguments.list {
        list(&chosen, arguments.json.json);
        return Ok(());
    }
    let signals = Signals::watch().map_err(AppError::Signals)?;
    let connection = options.connection()?;
    let settings = settings(options, arguments)?;
    let registry = open_registry(&connection, BROKER_DEADLINE)?;
    let engine = Engine::start(&connection, &registry, &chosen, &settings, dead_letters)?;
    let names: Vec<_> = chosen.iter().map(Processor::name).collect();
    tracing::info!(
        processors = names.join(" "),
        instance = settings.instance.as_deref().unwrap_or("unnamed"),
        "running"
    );
    while engine.is_alive() && !signals.wait(HEALTH_INTERVAL) {}
    if signals.received() {
        tracing::info!("draining");
    }
    let died = !signals.received();
    let stats = engine.stats().to_vec();
    engine.stop()?;
    for stats in stats {
        let (consumed, dead_letters) = (stats.consumed_records(), stats.dead_letters());
        tracing::info!(processor = stats.name(), consumed, dead_letters, "ended");
    }
    // A worker that failed has said why; one that stood still has not.
    if died { Err(EngineError::StoodStill.into()) } else { Ok(()) }
}

fn settings(options: &Options, arguments: &RunArguments) -> Result<EngineSettings, AppError> {
    let configured = options.config()?.run;
    let defaults = EngineSettings::default();
    let or_configured = |flag: bool, configured: Option<bool>| flag || configured.unwrap_or(false);
    Ok(EngineSettings {
        instance: arguments.instance.clone().or(configured.instance),
        workers: arguments.workers.map(usize::from).or(configured.workers).unwrap_or(defaults.workers).max(1),
        state_dir: arguments.state_dir.clone().or(configured.state_dir),
        standby: or_configured(arguments.standby, configured.standby),
        guarantee: match or_configured(arguments.at_least_once, configured.at_least_once) {
            true => Guarantee::AtLeastOnce,
            false => Guarantee::ExactlyOnce,
        },
        group_protocol: match or_configured(arguments.consumer_protocol, configured.consumer_protocol) {
            true => GroupProtocol::Consumer,
            false => GroupProtocol::Classic,
        },
        ..defaults
    })
}

/// The processors of these names, in their own order; all of them without names.
fn choose(processors: &[Processor], names: &[String]) -> Result<Vec<Processor>, AppError> {
    let is_known = |name: &&String| processors.iter().any(|processor| processor.name() == *name);
    if let Some(unknown) = names.iter().find(|name| !is_known(name)) {
        let known: Vec<_> = processors.iter().map(Processor::name).collect();
        return Err(AppError::UnknownProcessor { name: unknown.clone(), known: known.join(", ") });
    }
    let is_chosen = |processor: &&Processor| names.is_empty() || names.iter().any(|name| name == processor.name());
    Ok(processors.iter().filter(is_chosen).cloned().collect())
}

fn list(processors: &[Processor], json: bool) {
    if json {
        let of = |topics: &[&crate::contract::Topic]| topics.iter().map(|topic| topic.name).collect::<Vec<_>>();
        let entries = processors.iter().map(|processor| {
            let declared = processor.declaration();
            serde_json::json!({
                "name": processor.name(),
                "doc": processor.description(),
                "reads": of(declared.inputs()),
                "looks_up": of(&declared.lookups().collect::<Vec<_>>()),
                "keeps": of(declared.tables()),
                "writes": of(declared.outputs()),
            })
        });
        println!("{}", serde_json::Value::from(entries.collect::<Vec<_>>()));
        return;
    }
    let width = processors.iter().map(|processor| processor.name().len()).max().unwrap_or(0);
    for processor in processors {
        println!("{:width$}  {}", processor.name(), processor.description());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(names: &[&str]) -> Result<Vec<&'static str>, AppError> {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let all = [Processor::new("a"), Processor::new("b"), Processor::new("c")];
        Ok(choose(&all, &names)?.iter().map(Processor::name).collect())
    }

    #[test]
    fn any_subset_runs_in_the_pipelines_order_and_no_name_means_all() {
        assert_eq!(chosen(&["c", "a"]).unwrap(), ["a", "c"]);
        assert_eq!(chosen(&[]).unwrap(), ["a", "b", "c"]);
    }

    #[test]
    fn an_unknown_processor_is_refused_with_those_there_are() {
        let refused = chosen(&["a", "d"]).unwrap_err();
        assert_eq!(refused.to_string(), "there is no processor \"d\"; there are: a, b, c");
        assert_eq!(refused.exit_code(), 2);
    }
}
