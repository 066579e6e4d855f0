//! Drives a processor's calls without a broker: what tests of processors stand on. The calls are the engine's own.
//!
//! Each completed record commits by itself: its table writes are final, its outputs are handed out at once.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;

use super::batch::{Abandoned, Outcome, Workbench, run_batch};
use super::shutdown::{self, Shutdown, Stopper};
use super::{EngineError, EngineSettings, NewPolicy};
use crate::contract::{Codecs, DecodeError, SchemaRegistry, Topic};
use crate::envelope;
use crate::kafka::{Headers, NewRecord, Record, TopicPartition};
use crate::process::{AnyHandler, Context, Emissions, Failed, FailedRecord, FailurePolicy, Processor, Started};
use crate::table::{FeedLookup, PartitionTables};

/// The calls of one processor, on partition 0 of each of its inputs.
pub struct Drive {
    processor: Processor,
    settings: EngineSettings,
    policy: Box<dyn FailurePolicy>,
    lookups: Vec<(&'static Topic, FeedLookup)>,
    /// Here while nothing runs.
    bench: Option<Workbench>,
    running: Option<Running>,
    in_flight_records: usize,
    queued: Vec<Record>,
    completed: VecDeque<Handled>,
    stream_times_ms: HashMap<TopicPartition, i64>,
    starts: Rc<RefCell<Starts>>,
    shutdown: Shutdown,
    _stopper: Stopper,
}

type Running = LocalBoxFuture<'static, (Workbench, Vec<Record>, Result<Vec<Outcome>, Abandoned>)>;

/// A record that is completed, and what it led to, as it would be sent.
#[derive(Debug)]
pub struct Handled {
    pub record: Record,
    pub failed: Option<Failed>,
    pub outputs: Vec<NewRecord<'static>>,
    pub changelog: Vec<NewRecord<'static>>,
    pub dead_letters: Vec<NewRecord<'static>>,
}

impl Drive {
    /// # Errors
    /// What is wrong with the processor's declaration or its schemas.
    pub fn new(
        processor: &Processor,
        registry: &Arc<dyn SchemaRegistry>,
        settings: &EngineSettings,
        policy: NewPolicy,
    ) -> Result<Drive, EngineError> {
        processor.check()?;
        let mut codecs = Codecs::new(Arc::clone(registry));
        processor.declaration().add_codecs(&mut codecs)?;
        let lookups = processor.declaration().new_lookups();
        let feeds = lookups.iter().map(|lookup| (lookup.topic(), Arc::clone(lookup).feed(Arc::clone(registry))));
        let starts = Rc::<RefCell<Starts>>::default();
        let counted = processor.new_handlers().into_iter().map(|handler| {
            let starts = Rc::clone(&starts);
            Box::new(Counted { handler, starts }) as Box<dyn AnyHandler>
        });
        let tables = processor.groups().iter().map(|group| {
            let home = TopicPartition { topic: group.inputs[0].name.into(), partition: 0 };
            (home, PartitionTables::new(&group.tables))
        });
        let (stopper, shutdown) = shutdown::channel();
        Ok(Drive {
            processor: processor.clone(),
            settings: settings.clone(),
            policy: policy(registry)?,
            lookups: feeds.collect(),
            bench: Some(Workbench {
                processor: processor.clone(),
                handlers: counted.collect(),
                codecs,
                lookups,
                tables: tables.collect(),
            }),
            running: None,
            in_flight_records: 0,
            queued: Vec::new(),
            completed: VecDeque::new(),
            stream_times_ms: HashMap::new(),
            starts,
            shutdown,
            _stopper: stopper,
        })
    }

    /// Applies a record to the lookups of its topic; tells whether there are any.
    ///
    /// # Errors
    /// Where the value is not the contract's.
    pub fn feed(&mut self, record: &Record) -> Result<bool, DecodeError> {
        let mut any = false;
        for (_, feed) in self.lookups.iter_mut().filter(|(topic, _)| topic.name == &*record.topic) {
            feed(record)?;
            any = true;
        }
        Ok(any)
    }

    /// Takes a record to be handled, by [`Drive::turn`].
    ///
    /// # Panics
    /// Where no handler reads its topic.
    pub fn offer(&mut self, record: Record) {
        let read = self.processor.declaration().inputs().iter().any(|input| input.name == &*record.topic);
        assert!(read, "processor {} does not read {}", self.processor.name(), record.topic);
        self.queued.push(record);
        self.begin();
    }

    /// Goes on with what waits until something has come to its end. May be dropped and called again.
    pub async fn turn(&mut self) {
        let Some(running) = &mut self.running else { return std::future::pending().await };
        let (bench, records, outcomes) = running.await;
        self.running = None;
        self.in_flight_records = 0;
        self.bench = Some(bench);
        // Nobody gives the signal after which a batch is given up.
        for (record, outcome) in records.into_iter().zip(outcomes.unwrap_or_default()) {
            self.complete(record, outcome);
        }
        self.begin();
    }

    /// Takes the records that have been completed, in that order.
    pub fn completed(&mut self) -> impl Iterator<Item = Handled> {
        self.completed.drain(..)
    }

    /// Records that were offered and are not completed.
    pub fn waiting(&self) -> usize {
        self.in_flight_records + self.queued.len()
    }

    /// Calls beyond the first of a record.
    pub fn retries(&self) -> u64 {
        self.starts.borrow().retries
    }

    /// The stream time of an input's partition; `None` before its first record.
    pub fn stream_time_ms(&self, input: &str) -> Option<i64> {
        let first = self.processor.groups()[self.processor.group_of(input)].inputs[0].name;
        self.stream_times_ms.get(&TopicPartition { topic: first.into(), partition: 0 }).copied()
    }

    fn begin(&mut self) {
        if self.queued.is_empty() {
            return;
        }
        let Some(mut bench) = self.bench.take() else { return };
        let records = std::mem::take(&mut self.queued);
        let (settings, mut shutdown) = (self.settings.clone(), self.shutdown.clone());
        self.in_flight_records = records.len();
        self.running = Some(
            async move {
                let outcomes = run_batch(&records, &mut bench, &settings, &mut shutdown).await;
                (bench, records, outcomes)
            }
            .boxed_local(),
        );
    }

    fn complete(&mut self, record: Record, outcome: Outcome) {
        let home = self.processor.home_of(&record);
        let tables = self.bench.as_mut().and_then(|bench| bench.tables.get_mut(&home));
        let tables = tables.expect("every group has its tables, and nothing runs");
        tables.commit(&outcome.changes);
        if tables.stream_time_ms() > i64::MIN {
            self.stream_times_ms.insert(home, tables.stream_time_ms());
        }
        let timestamp_ms = (record.timestamp_ms >= 0).then_some(record.timestamp_ms);
        let tables = self.processor.tables_of(self.processor.group_of(&record.topic));
        let changes = outcome.changes.iter().map(|change| NewRecord {
            topic: tables[change.table].name,
            partition: Some(record.partition),
            timestamp_ms,
            key: Some(change.key.clone()),
            value: change.value.clone(),
            headers: Headers::default(),
        });
        let failed = outcome.failed;
        let letters = failed.as_ref().map(|failed| {
            let letters =
                self.policy.on_failure(FailedRecord { processor: self.processor.name(), record: &record, failed });
            letters.unwrap_or_else(|failure| panic!("the failure policy failed itself: {failure}"))
        });
        let changelog = changes.collect();
        let outputs = outcome.emitted.iter().enumerate().map(|(index, emitted)| NewRecord {
            topic: emitted.topic.name,
            partition: None,
            timestamp_ms,
            key: Some(Bytes::copy_from_slice(emitted.key)),
            value: emitted.value.map(Bytes::copy_from_slice),
            headers: envelope::of_output(&record, index, emitted.topic.schema_name, self.processor.name()),
        });
        let (outputs, dead_letters) = (outputs.collect(), letters.unwrap_or_default());
        self.completed.push_back(Handled { record, failed, outputs, changelog, dead_letters });
    }
}

/// The records that handlers were called with.
#[derive(Debug, Default)]
struct Starts {
    records: HashSet<(Arc<str>, i64)>,
    retries: u64,
}

/// Counts the calls of a handler.
struct Counted {
    handler: Box<dyn AnyHandler>,
    starts: Rc<RefCell<Starts>>,
}

impl AnyHandler for Counted {
    fn input(&self) -> &'static Topic {
        self.handler.input()
    }

    fn start(&mut self, context: &mut Context<'_>, emissions: &mut Emissions) -> Started {
        let record = context.record();
        let mut starts = self.starts.borrow_mut();
        if !starts.records.insert((Arc::clone(&record.topic), record.offset)) {
            starts.retries += 1;
        }
        drop(starts);
        self.handler.start(context, emissions)
    }
}
