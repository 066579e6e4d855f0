//! The work under test: one output a record, one keyed table, one stream of its changes; some records slow, some retried.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use unchain::process::{Entry, Failure, Processor, State};

use crate::contracts::{Input, Output, Total, Update};

/// Both groups of processes read this.
pub const INPUTS: &str = "chaos.inputs";
pub const INPUT_PARTITIONS: i32 = 8;
/// One record in so many waits before it is handled.
const SLOW_ONE_IN: i64 = 11;
const MAX_WAIT_MS: i64 = 50;
/// One record in so many fails at its first try in a process.
const RETRIED_ONE_IN: i64 = 53;

/// A group of processes: one consumer group with output topics of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Group {
    /// Members are static, by the names of their instances.
    Named,
    /// Members come and go.
    Unnamed,
}

impl Group {
    pub const ALL: [Group; 2] = [Group::Named, Group::Unnamed];

    /// Also the processor's name.
    pub fn name(self) -> &'static str {
        match self {
            Group::Named => "chaos-named",
            Group::Unnamed => "chaos-unnamed",
        }
    }

    pub fn of(name: &str) -> Option<Group> {
        Group::ALL.into_iter().find(|group| group.name() == name)
    }

    pub fn outputs(self) -> String {
        format!("{}.outputs", self.name())
    }

    pub fn updates(self) -> String {
        format!("{}.updates", self.name())
    }

    pub fn totals(self) -> String {
        format!("{}.totals", self.name())
    }
}

/// The name of the process that handles a record.
#[derive(Debug, Clone)]
struct ProcessName(Arc<str>);

/// The records that have had their first, failing try in this process.
#[derive(Debug, Clone, Default)]
struct Tried(Arc<Mutex<HashSet<i64>>>);

impl Tried {
    fn is_first(&self, number: i64) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(number)
    }
}

async fn count(
    input: Input,
    mut total: Entry<Total>,
    State(ProcessName(process)): State<ProcessName>,
    State(tried): State<Tried>,
) -> Result<(Output, Update), Failure> {
    let Input { key, sequence, number } = input;
    if number % SLOW_ONE_IN == 0 {
        let wait_ms = 1 + number / SLOW_ONE_IN * 7 % MAX_WAIT_MS;
        tokio::time::sleep(Duration::from_millis(wait_ms.unsigned_abs())).await;
    }
    if number % RETRIED_ONE_IN == 0 && tried.is_first(number) {
        return Err(Failure::retry("the first try of this record fails"));
    }
    let (count, sum) = total.get().map_or((0, 0), |row| (row.count, row.sum));
    let (count, sum) = (count + 1, sum + number);
    let process = process.to_string();
    total.set(Total { key: key.clone(), count, sum, last: sequence, process: process.clone() });
    let update = Update { key: key.clone(), count, sum, last: sequence, process: process.clone() };
    Ok((Output { key, sequence, number, process }, update))
}

/// The processor of one group.
pub fn processor(group: Group, process: &str) -> Processor {
    Processor::new(group.name())
        .doc("Counts and adds up the numbers of each key.")
        .handle(count)
        .topic_name::<Output>(&group.outputs())
        .topic_name::<Update>(&group.updates())
        .topic_name::<Total>(&group.totals())
        .state(ProcessName(process.into()))
        .state(Tried::default())
}
