//! `topics`: creates the contracts' topics and registers their schemas, or lists them beside what the cluster has.

use clap::Subcommand;
use comfy_table::{Table, presets};

use super::{AppError, BROKER_DEADLINE, JsonFlag, Options};
use crate::contract::{Cleanup, Topic, apply_topics, open_registry};
use crate::kafka::ExistingTopic;

/// What to do with the topics.
#[derive(Debug, Clone, Subcommand)]
pub enum TopicsCommand {
    /// Create what is missing; too few partitions and incompatible schemas are refused before anything is created.
    #[command(after_help = "Example:\n  topics apply --bootstrap-servers 127.0.0.1:9092")]
    Apply {
        #[command(flatten)]
        json: JsonFlag,
    },
    /// List the contracts' topics beside what the cluster has.
    #[command(after_help = "Example:\n  topics list --json")]
    List {
        #[command(flatten)]
        json: JsonFlag,
    },
}

pub(super) fn topics(topics: &[&'static Topic], options: &Options, command: &TopicsCommand) -> Result<(), AppError> {
    match command {
        TopicsCommand::Apply { json } => apply(topics, options, json.json),
        TopicsCommand::List { json } => list(topics, options, json.json),
    }
}

fn apply(topics: &[&'static Topic], options: &Options, json: bool) -> Result<(), AppError> {
    let connection = options.connection()?;
    let registry = open_registry(&connection, BROKER_DEADLINE)?;
    let applied = apply_topics(&connection, &*registry, topics, BROKER_DEADLINE)?;
    if json {
        println!("{}", serde_json::json!({"created": applied.created, "existing": applied.existing}));
    } else {
        applied.created.iter().for_each(|topic| println!("created   {topic}"));
        applied.existing.iter().for_each(|topic| println!("existing  {topic}"));
    }
    Ok(())
}

fn list(topics: &[&'static Topic], options: &Options, json: bool) -> Result<(), AppError> {
    let existing = options.connection()?.topics(BROKER_DEADLINE)?;
    let on_cluster = |topic: &Topic| existing.iter().find(|found| found.name == topic.name).map(partitions);
    if json {
        let entries = topics.iter().map(|topic| {
            serde_json::json!({
                "name": topic.name,
                "partitions": topic.partitions,
                "partitions_on_cluster": on_cluster(topic),
                "key": topic.key,
                "cleanup": cleanup(topic),
                "schema": topic.schema_name,
                "doc": topic.doc,
            })
        });
        println!("{}", serde_json::Value::from(entries.collect::<Vec<_>>()));
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["TOPIC", "PARTITIONS", "ON CLUSTER", "KEY", "CLEANUP", "SCHEMA"]);
    for topic in topics {
        let found = on_cluster(topic).map_or_else(|| "missing".to_owned(), |partitions| partitions.to_string());
        let declared = topic.partitions.to_string();
        table.add_row([topic.name, &declared, &found, topic.key, cleanup(topic), topic.schema_name]);
    }
    println!("{}", table.trim_fmt());
    Ok(())
}

fn partitions(topic: &ExistingTopic) -> i32 {
    topic.partitions
}

fn cleanup(topic: &Topic) -> &'static str {
    match topic.cleanup {
        Cleanup::Delete => "delete",
        Cleanup::Compact => "compact",
    }
}
