//! The names of one run: every run has topics and consumer groups of its own.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use unchain::contract::{Contract, LocalRegistry, RegistryError, SchemaRegistry, Topic};
use unchain::process::Processor;

use super::processor::processor;
use super::{Mailed, Paid, Placed, Reserved, Shipped, TOPICS, Verified};
use crate::settings::WorkSettings;
use crate::step::Step;
use crate::work::Work;

/// What the names of a run's topics and groups begin with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunName(pub String);

impl RunName {
    /// The name of a contract's topic in this run.
    pub fn topic<C: Contract>(&self) -> String {
        self.of_topic(C::TOPIC.name)
    }

    /// The name that a contract's own one has in this run.
    fn of_topic(&self, own: &str) -> String {
        format!("{}.{}", self.0, own.trim_start_matches("experiment."))
    }

    pub fn group(&self, step: Step) -> String {
        format!("{}.{step}", self.0)
    }

    pub fn groups(&self) -> Vec<String> {
        Step::ALL.map(|step| self.group(step)).into()
    }

    /// The run's topics, in the order in which an order passes them, each with the name of its step.
    pub fn topics(&self) -> [(&'static str, String); 6] {
        [
            ("placed", self.topic::<Placed>()),
            (Step::Verification.name(), self.topic::<Verified>()),
            (Step::Payment.name(), self.topic::<Paid>()),
            (Step::Inventory.name(), self.topic::<Reserved>()),
            (Step::Shipping.name(), self.topic::<Shipped>()),
            (Step::Email.name(), self.topic::<Mailed>()),
        ]
    }

    /// The topics' declarations under their names in this run.
    pub fn declared_topics(&self) -> Vec<&'static Topic> {
        let idle = Work::new(&WorkSettings { service_time_ms: 1, spread: 0.0, concurrency: 1 }, 0);
        let declared = |step| -> Vec<&'static Topic> {
            let processor: Processor = processor(step, self, idle.clone());
            processor.declaration().topics().to_vec()
        };
        let mut topics: Vec<_> = Step::ALL.into_iter().flat_map(declared).collect();
        topics.sort_by_key(|topic| topic.name);
        topics.dedup_by_key(|topic| topic.name);
        topics
    }
}

/// A registry in memory that knows the run's contracts. An id is a schema's hash, so the processes of a run agree without
/// talking, and a cluster that is lent to the experiment is left without schemas of its runs.
pub fn registry() -> Result<Arc<dyn SchemaRegistry>, RegistryError> {
    let registry: Arc<dyn SchemaRegistry> = Arc::new(LocalRegistry::in_memory());
    for topic in TOPICS {
        registry.register(&topic.subject(), topic.schema)?;
    }
    Ok(registry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_has_names_of_its_own() {
        let run = RunName("unchain-experiment-7".to_owned());
        let names: Vec<_> = run.topics().into_iter().map(|(_, name)| name).collect();
        assert_eq!(names[0], "unchain-experiment-7.placed");
        let mut declared: Vec<_> = run.declared_topics().iter().map(|topic| topic.name.to_owned()).collect();
        let mut sorted = names.clone();
        sorted.sort();
        declared.sort();
        assert_eq!(declared, sorted);
        assert_eq!(run.groups()[4], "unchain-experiment-7.email");
    }
}
