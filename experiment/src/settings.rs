//! The figures of the experiment: a YAML file over the defaults, which are a commented YAML file themselves.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_yaml_ng::Value;
use thiserror::Error;

use crate::step::Step;

/// The defaults, with a comment on every figure: what `--print-settings` prints.
pub const DEFAULTS: &str = include_str!("../settings/default.yaml");

/// Settings that cannot be used.
#[derive(Debug, Error)]
pub enum SettingsError {
    #[error("settings {}: {source}", file.display())]
    Read { file: PathBuf, source: std::io::Error },
    #[error("settings {}: {reason}", file.display())]
    Invalid { file: PathBuf, reason: String },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub services: Services,
    pub load: LoadSettings,
    pub chain: ChainSettings,
    pub pipeline: PipelineSettings,
    pub scenarios: Scenarios,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Services {
    pub verification: WorkSettings,
    pub payment: WorkSettings,
    pub inventory: WorkSettings,
    pub shipping: WorkSettings,
    pub email: WorkSettings,
}

/// The work of one service, on either side.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkSettings {
    pub service_time_ms: u64,
    pub spread: f64,
    pub concurrency: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadSettings {
    pub rate_per_second: f64,
    pub caller_timeout_ms: u64,
    pub max_in_flight: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainSettings {
    pub deadline_ms: u64,
    pub call_timeout_ms: u64,
    pub connect_timeout_ms: u64,
    pub max_queue: usize,
    pub max_attempts: u32,
    pub backoff_ms: u64,
    pub max_backoff_ms: u64,
    pub retry_budget: f64,
    pub max_idle_connections: usize,
    pub drain_ms: u64,
    pub max_remembered_orders: usize,
    pub circuit_breaker: BreakerSettings,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakerSettings {
    /// The last calls that count.
    pub window: usize,
    /// With fewer of them the breaker stays closed.
    pub min_calls: usize,
    pub failure_share: f64,
    pub open_ms: u64,
    /// Calls that must succeed while half open.
    pub probes: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PipelineSettings {
    pub max_in_flight_records: usize,
    pub commit_interval_ms: u64,
    pub delivery_timeout_ms: u64,
    pub drain_ms: u64,
    pub stall_timeout_s: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenarios {
    pub warm_up_s: f64,
    pub before_s: f64,
    pub steady: SteadySpan,
    pub overload: Overload,
    pub outage: Outage,
    pub slow: Slow,
    pub deploy: Deploy,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SteadySpan {
    pub span_s: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overload {
    pub span_s: f64,
    pub after_s: f64,
    pub times_capacity: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outage {
    pub span_s: f64,
    pub after_s: f64,
    pub service: Step,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slow {
    pub span_s: f64,
    pub after_s: f64,
    pub service: Step,
    pub service_time_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deploy {
    pub span_s: f64,
    pub after_s: f64,
}

impl WorkSettings {
    pub fn capacity_per_second(&self) -> f64 {
        self.concurrency as f64 * 1000.0 / self.service_time_ms as f64
    }
}

impl Settings {
    /// # Panics
    /// Never: a test reads the defaults.
    pub fn defaults() -> Settings {
        serde_yaml_ng::from_str(DEFAULTS).expect("the defaults are tested")
    }

    /// A file's figures over the defaults.
    pub fn load(file: &Path) -> Result<Settings, SettingsError> {
        let text =
            std::fs::read_to_string(file).map_err(|source| SettingsError::Read { file: file.to_owned(), source })?;
        Settings::parse(&text).map_err(|reason| SettingsError::Invalid { file: file.to_owned(), reason })
    }

    fn parse(text: &str) -> Result<Settings, String> {
        let mut all: Value = serde_yaml_ng::from_str(DEFAULTS).expect("the defaults are tested");
        let given: Value = serde_yaml_ng::from_str(text).map_err(|error| error.to_string())?;
        overlay(&mut all, given);
        // By way of text, since errors of a text name the field's path.
        let merged = serde_yaml_ng::to_string(&all).map_err(|error| error.to_string())?;
        let settings: Settings = serde_yaml_ng::from_str(&merged).map_err(|error| without_place(&error))?;
        settings.check()?;
        Ok(settings)
    }

    pub fn of(&self, step: Step) -> &WorkSettings {
        let Services { verification, payment, inventory, shipping, email } = &self.services;
        match step {
            Step::Verification => verification,
            Step::Payment => payment,
            Step::Inventory => inventory,
            Step::Shipping => shipping,
            Step::Email => email,
        }
    }

    /// Orders a second that the chain's narrowest service can do.
    pub fn capacity_per_second(&self) -> f64 {
        Step::ALL.map(|step| self.of(step).capacity_per_second()).into_iter().fold(f64::INFINITY, f64::min)
    }

    /// The same figures with all spans of the scenarios multiplied.
    pub fn scaled(mut self, scale: f64) -> Settings {
        let spans = &mut self.scenarios;
        for span in [
            &mut spans.warm_up_s,
            &mut spans.before_s,
            &mut spans.steady.span_s,
            &mut spans.overload.span_s,
            &mut spans.overload.after_s,
            &mut spans.outage.span_s,
            &mut spans.outage.after_s,
            &mut spans.slow.span_s,
            &mut spans.slow.after_s,
            &mut spans.deploy.span_s,
            &mut spans.deploy.after_s,
        ] {
            *span *= scale;
        }
        self
    }

    /// What no type says. The message names the field.
    fn check(&self) -> Result<(), String> {
        for step in Step::ALL {
            let work = self.of(step);
            let place = format!("services.{step}");
            require(work.service_time_ms > 0, &format!("{place}.service_time_ms"), "must be above 0")?;
            require(work.concurrency > 0, &format!("{place}.concurrency"), "must be above 0")?;
            require((0.0..1.0).contains(&work.spread), &format!("{place}.spread"), "must be from 0 to below 1")?;
        }
        require(self.load.rate_per_second > 0.0, "load.rate_per_second", "must be above 0")?;
        require(
            self.load.rate_per_second < self.capacity_per_second(),
            "load.rate_per_second",
            "must be below the chain's capacity, or nothing is ever steady",
        )?;
        require(self.load.max_in_flight > 0, "load.max_in_flight", "must be above 0")?;
        require(self.chain.max_attempts > 0, "chain.max_attempts", "must be above 0")?;
        require(self.chain.retry_budget >= 0.0, "chain.retry_budget", "must not be below 0")?;
        let breaker = &self.chain.circuit_breaker;
        require(breaker.window > 0, "chain.circuit_breaker.window", "must be above 0")?;
        require(breaker.min_calls <= breaker.window, "chain.circuit_breaker.min_calls", "must fit the window")?;
        require(breaker.probes > 0, "chain.circuit_breaker.probes", "must be above 0")?;
        require(self.pipeline.max_in_flight_records > 0, "pipeline.max_in_flight_records", "must be above 0")?;
        for (field, span) in self.spans() {
            require(span.is_finite() && (0.0..86_400.0).contains(&span), field, "must be from 0 to a day")?;
        }
        require(self.scenarios.overload.times_capacity > 0.0, "scenarios.overload.times_capacity", "must be above 0")?;
        require(self.scenarios.slow.service_time_ms > 0, "scenarios.slow.service_time_ms", "must be above 0")
    }

    fn spans(&self) -> [(&'static str, f64); 12] {
        let spans = &self.scenarios;
        [
            ("pipeline.stall_timeout_s", self.pipeline.stall_timeout_s),
            ("scenarios.warm_up_s", spans.warm_up_s),
            ("scenarios.before_s", spans.before_s),
            ("scenarios.steady.span_s", spans.steady.span_s),
            ("scenarios.overload.span_s", spans.overload.span_s),
            ("scenarios.overload.after_s", spans.overload.after_s),
            ("scenarios.outage.span_s", spans.outage.span_s),
            ("scenarios.outage.after_s", spans.outage.after_s),
            ("scenarios.slow.span_s", spans.slow.span_s),
            ("scenarios.slow.after_s", spans.slow.after_s),
            ("scenarios.deploy.span_s", spans.deploy.span_s),
            ("scenarios.deploy.after_s", spans.deploy.after_s),
        ]
    }
}

impl PipelineSettings {
    pub fn stall_timeout(&self) -> Duration {
        Duration::from_secs_f64(self.stall_timeout_s)
    }
}

fn require(holds: bool, field: &str, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("{field}: {what}")) }
}

fn overlay(all: &mut Value, given: Value) {
    match (all, given) {
        (Value::Mapping(all), Value::Mapping(given)) => {
            for (key, value) in given {
                match all.get_mut(&key) {
                    Some(place) => overlay(place, value),
                    None => drop(all.insert(key, value)),
                }
            }
        }
        (_, Value::Null) => {}
        (all, given) => *all = given,
    }
}

/// Lines and columns would be those of the merged text, which nobody has.
fn without_place(error: &serde_yaml_ng::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_good() {
        let settings = Settings::parse("").unwrap();
        assert_eq!(settings, Settings::defaults());
        assert!((settings.capacity_per_second() - 200.0).abs() < 1e-9);
    }

    #[test]
    fn a_file_changes_what_it_names_and_nothing_else() {
        let settings =
            Settings::parse("services: {payment: {service_time_ms: 350}}\nload: {rate_per_second: 5}").unwrap();
        assert_eq!(settings.of(Step::Payment), &WorkSettings { service_time_ms: 350, spread: 0.2, concurrency: 4 });
        assert_eq!(settings.of(Step::Email), Settings::defaults().of(Step::Email));
        assert!((settings.load.rate_per_second - 5.0).abs() < f64::EPSILON);
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_fields_name() {
        for (text, named) in [
            ("services: {payment: {service_time: 350}}", "services.payment: unknown field `service_time`"),
            ("chain: {max_attempts: many}", "chain.max_attempts: invalid type"),
            ("services: {email: {concurrency: 0}}", "services.email.concurrency: must be above 0"),
            ("load: {rate_per_second: 900}", "load.rate_per_second: must be below the chain's capacity"),
            ("scenarios: {outage: {service: billing}}", "scenarios.outage.service: unknown variant `billing`"),
            ("scenarios: {outage: {span_s: -3}}", "scenarios.outage.span_s: must be"),
        ] {
            let refused = Settings::parse(text).unwrap_err();
            assert!(refused.contains(named), "{refused}");
        }
    }

    #[test]
    fn a_scale_shortens_all_spans() {
        let scaled = Settings::defaults().scaled(0.5);
        for ((field, long), (_, short)) in Settings::defaults().spans().into_iter().zip(scaled.spans()).skip(1) {
            assert!((short - long / 2.0).abs() < 1e-9, "{field}");
        }
    }
}
