//! The README's demo in release: in the process, then on a real Kafka, and the two reports equal but for times.

use std::process::Command;

use serde_json::Value;

use crate::paths;
use crate::steps::{Outcome, Steps, output_of};

/// A report's fields with these endings tell how long something took, and differ from run to run.
const TIMES: &[&str] = &["seconds", "per_second"];

/// Runs the demo on the development broker, and on this Kafka where there is one.
pub fn steps(steps: &mut Steps, kafka: Option<&str>) {
    let mut embedded = None;
    steps.step("demo", |_| {
        embedded = Some(report(&[])?);
        Ok(Outcome::Passed)
    });
    steps.step("demo on Apache Kafka", |_| {
        let Some(bootstrap) = kafka else { return Ok(Outcome::Skipped("there is no Kafka".into())) };
        let Some(embedded) = &embedded else { return Err("nothing to compare with: the demo failed".into()) };
        // Kept for the foreign reader, which comes next.
        let on_kafka = report(&["--bootstrap-servers", bootstrap, "--keep"])?;
        match first_difference("report", embedded, &on_kafka) {
            None => Ok(Outcome::Passed),
            Some(difference) => Err(format!("the two demos differ: {difference}")),
        }
    });
}

/// The demo's report, without its times.
fn report(arguments: &[&str]) -> Result<Value, String> {
    let mut demo = Command::new(paths::target().join("release/unchain"));
    demo.args(["demo", "--json"]).args(arguments).current_dir(paths::root());
    let printed = output_of(demo)?;
    let report = serde_json::from_slice(&printed).map_err(|error| format!("the demo's report is no JSON: {error}"))?;
    Ok(without_times(report))
}

fn without_times(report: Value) -> Value {
    match report {
        Value::Object(fields) => {
            let lasting = fields.into_iter().filter(|(name, _)| !TIMES.iter().any(|ending| name.ends_with(ending)));
            Value::Object(lasting.map(|(name, value)| (name, without_times(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_times).collect()),
        other => other,
    }
}

/// Where two reports differ first, as `path: one value, other value`.
fn first_difference(path: &str, one: &Value, other: &Value) -> Option<String> {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let names = one.keys().chain(other.keys().filter(|name| !one.contains_key(*name)));
            let value = |fields: &serde_json::Map<String, Value>, name| fields.get(name).cloned().unwrap_or_default();
            names
                .into_iter()
                .find_map(|name| first_difference(&format!("{path}.{name}"), &value(one, name), &value(other, name)))
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            let mut items = one.iter().zip(other).enumerate();
            items.find_map(|(index, (one, other))| first_difference(&format!("{path}[{index}]"), one, other))
        }
        _ => (one != other).then(|| format!("{path}: {one}, {other}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_do_not_count_and_all_else_does() {
        let report = |orders: u32, took: f64| json!({ "seconds": took, "topics": [{ "orders": orders, "records_per_second": took }] });
        let difference = |one, other| first_difference("report", &without_times(one), &without_times(other));
        assert_eq!(difference(report(7, 1.0), report(7, 2.0)), None);
        assert_eq!(difference(report(7, 1.0), report(8, 1.0)), Some("report.topics[0].orders: 7, 8".into()));
        assert_eq!(difference(json!({}), json!({ "new": 1 })), Some("report.new: null, 1".into()));
        assert_eq!(difference(json!([1]), json!([1, 2])), Some("report: [1], [1,2]".into()));
    }
}
