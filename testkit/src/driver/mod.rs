//! Tests a processor without a broker: given records, expected records, and time that stands still until it is told.
//!
//! Handlers are called by the engine's own code, `unchain::engine::drive`: decoding, extractors, order by key, retries,
//! panics, size limits and table writes are those of production. Everything is on one partition, and each record commits
//! by itself.

mod time;
mod written;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use unchain::contract::system::DeadLetter;
use unchain::contract::{Bytes, Contract, Decoder, Encoder, LocalRegistry, SchemaRegistry};
use unchain::engine::EngineSettings;
use unchain::engine::drive::{Drive, Handled};
use unchain::engine::virtual_time::{VirtualTime, pass, settle};
use unchain::kafka::{Headers, NewRecord, Record};
use unchain::process::window::{Bounds, parse_row_key, row_key};
use unchain::process::{Failed, Processor};
use unchain::recovery::dead_letters_by;

pub use time::EventTime;
use written::Written;

/// A processor under test.
pub struct Driver {
    processor: Processor,
    registry: Arc<dyn SchemaRegistry>,
    time: VirtualTime,
    drive: Drive,
    written: Written,
    /// Records of the processor's own inputs that its handlers have emitted.
    inbox: VecDeque<Record>,
    next_offsets: BTreeMap<String, i64>,
    /// The event time of the records that are sent; `None` takes the wall clock's.
    at_ms: Option<i64>,
    failures: Vec<Failed>,
}

impl Driver {
    /// # Panics
    /// Where the processor cannot work: the test cannot go on.
    pub fn new(processor: Processor) -> Driver {
        Driver::with_settings(processor, &EngineSettings::default())
    }

    /// With the engine's bounds and pauses as the test wants them.
    ///
    /// # Panics
    /// Where the processor cannot work.
    pub fn with_settings(processor: Processor, settings: &EngineSettings) -> Driver {
        let time = VirtualTime::new().expect("a runtime on this thread needs nothing that may be missing");
        let (of_processor, of_letters) = (time.clock(), time.clock());
        let processor = processor.clock(move || of_processor.now_ms());
        let registry: Arc<dyn SchemaRegistry> = Arc::new(LocalRegistry::in_memory());
        let drive = Drive::new(&processor, &registry, settings, dead_letters_by(move || of_letters.now_ms()), 1);
        let drive = drive.unwrap_or_else(|error| panic!("{error}"));
        Driver {
            processor,
            registry,
            time,
            drive,
            written: Written::default(),
            inbox: VecDeque::new(),
            next_offsets: BTreeMap::new(),
            at_ms: None,
            failures: Vec::new(),
        }
    }

    /// Adds rows to a lookup of the processor.
    ///
    /// # Panics
    /// Where the processor has no such lookup.
    pub fn lookup<C: Contract>(&mut self, rows: impl IntoIterator<Item = C>) -> &mut Driver {
        for row in rows {
            let (key, value) = (Bytes::copy_from_slice(row.key().as_bytes()), self.encode(&row));
            let record = self.record::<C>(Some(key), Some(value));
            let fed = self.drive.feed(&record).unwrap_or_else(|error| panic!("{error}"));
            assert!(fed, "processor {} has no lookup of {}", self.processor.name(), record.topic);
        }
        self
    }

    /// It is that time now, and the records that follow are of it: `"1997-01-01T00:00:00Z"` or milliseconds since the
    /// Unix epoch. Earlier than before makes them late; the wall clock does not go back.
    ///
    /// # Panics
    /// Where the text is no time.
    pub fn at(&mut self, time: impl EventTime) -> &mut Driver {
        let time_ms = time.to_ms();
        self.time.run(async { self.time.clock().reach(time_ms) });
        self.at_ms = Some(time_ms);
        self
    }

    /// The records that follow say that they are of that time, which the wall clock knows nothing of: a producer's clock
    /// that is ahead, or -1 for none.
    ///
    /// # Panics
    /// Where the text is no time.
    pub fn stamped(&mut self, time: impl EventTime) -> &mut Driver {
        self.at_ms = Some(time.to_ms());
        self
    }

    /// Lets time pass: retries, timeouts and whatever else handlers wait for happens at its moment, at once.
    pub fn advance(&mut self, time: Duration) -> &mut Driver {
        let mut left = Some(time);
        while let Some(time) = left {
            let Driver { time: virtual_time, drive, .. } = self;
            let mut handled = Vec::new();
            left = virtual_time.run(pass(time, drive, &mut handled));
            self.take(handled);
        }
        if let Some(at_ms) = &mut self.at_ms {
            *at_ms = at_ms.saturating_add(i64::try_from(time.as_millis()).unwrap_or(i64::MAX));
        }
        self
    }

    /// Sends a value to its topic and handles it, as far as that needs no time.
    ///
    /// # Panics
    /// Where the processor does not read the topic.
    pub fn send<C: Contract>(&mut self, value: &C) -> &mut Driver {
        let (key, value) = (Bytes::copy_from_slice(value.key().as_bytes()), self.encode(value));
        self.send_bytes::<C>(Some(key), Some(value))
    }

    /// Sends a tombstone.
    ///
    /// # Panics
    /// Where the processor does not read the topic.
    pub fn send_tombstone<C: Contract>(&mut self, key: &str) -> &mut Driver {
        self.send_bytes::<C>(Some(Bytes::copy_from_slice(key.as_bytes())), None)
    }

    /// Sends a record as it is, well-formed or not.
    ///
    /// # Panics
    /// Where the processor does not read the topic.
    pub fn send_bytes<C: Contract>(&mut self, key: Option<Bytes>, value: Option<Bytes>) -> &mut Driver {
        let record = self.record::<C>(key, value);
        self.offer(record);
        self
    }

    /// What has been emitted to a contract's topic since this was last asked.
    ///
    /// # Panics
    /// Where a tombstone is among it: ask for `keyed_outputs` then.
    pub fn outputs<C: Contract>(&mut self) -> Vec<C> {
        let value = |(key, value): (String, Option<C>)| {
            value.unwrap_or_else(|| panic!("a tombstone of key {key} was emitted to {}", C::TOPIC.name))
        };
        self.keyed_outputs::<C>().into_iter().map(value).collect()
    }

    /// What has been emitted to a contract's topic since this was last asked, with keys; `None` is a tombstone.
    pub fn keyed_outputs<C: Contract>(&mut self) -> Vec<(String, Option<C>)> {
        let emitted = self.written.take(self.processor.topic_of::<C>().name);
        emitted.into_iter().map(|(key, value)| (key, value.map(|bytes| self.decode(&bytes)))).collect()
    }

    /// The row that a table has for a key.
    pub fn row<C: Contract>(&self, key: &str) -> Option<C> {
        let bytes = self.written.row(self.processor.topic_of::<C>().name, key.as_bytes())?;
        Some(self.decode(bytes))
    }

    /// The row that a windowed table has for a key and a window.
    pub fn window<C: Contract>(&self, key: &str, bounds: Bounds) -> Option<C> {
        let bytes = self.written.row(self.processor.topic_of::<C>().name, &row_key(key, bounds))?;
        Some(self.decode(bytes))
    }

    /// A table's rows by their keys, in the order of those.
    pub fn rows<C: Contract>(&self) -> Vec<(String, C)> {
        let rows = self.written.rows(self.processor.topic_of::<C>().name);
        rows.map(|(key, value)| (String::from_utf8_lossy(key).into_owned(), self.decode(value))).collect()
    }

    /// The rows of a windowed table, key by key, earliest windows first.
    ///
    /// # Panics
    /// Where the table is not windowed.
    pub fn windows<C: Contract>(&self) -> Vec<(String, Bounds, C)> {
        let rows = self.written.rows(self.processor.topic_of::<C>().name);
        let parsed = rows.map(|(row, value)| {
            let (key, bounds) = parse_row_key(row).expect("the table's rows are of windows");
            (key, bounds, self.decode(value))
        });
        parsed.collect()
    }

    /// The dead letters since this was last asked.
    pub fn dead_letters(&mut self) -> Vec<DeadLetter> {
        let letters = self.written.take(DeadLetter::TOPIC.name);
        letters.into_iter().filter_map(|(_, value)| value).map(|bytes| self.decode(&bytes)).collect()
    }

    /// The records that failed for good since this was last asked, as the engine counts them.
    pub fn failures(&mut self) -> Vec<Failed> {
        std::mem::take(&mut self.failures)
    }

    /// Calls that were made again because a handler asked for it.
    pub fn retries(&self) -> u64 {
        self.drive.retries()
    }

    /// Records that are not completed: they wait for time to pass, or for others of their key.
    pub fn waiting(&self) -> usize {
        self.drive.waiting()
    }

    /// The largest event time of the records that one input has had, with those that share its tables.
    pub fn stream_time_ms<C: Contract>(&self) -> Option<i64> {
        self.drive.stream_time_ms(self.processor.topic_of::<C>().name, 0)
    }

    fn record<C: Contract>(&mut self, key: Option<Bytes>, value: Option<Bytes>) -> Record {
        let topic = self.processor.topic_of::<C>().name;
        let timestamp_ms = self.at_ms.unwrap_or_else(|| self.now_ms());
        self.stored(topic, timestamp_ms, key, value, Headers::default())
    }

    fn stored(
        &mut self,
        topic: &str,
        timestamp_ms: i64,
        key: Option<Bytes>,
        value: Option<Bytes>,
        headers: Headers,
    ) -> Record {
        let next = self.next_offsets.entry(topic.to_owned()).or_default();
        let offset = *next;
        *next += 1;
        Record { topic: topic.into(), partition: 0, offset, timestamp_ms, key, value, headers }
    }

    fn offer(&mut self, record: Record) {
        self.inbox.push_back(record);
        while let Some(record) = self.inbox.pop_front() {
            let Driver { time, drive, .. } = self;
            let mut handled = Vec::new();
            time.run(async {
                drive.offer(record);
                settle(drive, &mut handled).await;
            });
            self.take(handled);
        }
    }

    /// Keeps what completed records led to; what the processor reads itself goes back to it.
    fn take(&mut self, handled: Vec<Handled>) {
        for handled in handled {
            self.failures.extend(handled.failed);
            let letters = handled.dead_letters.unwrap_or_else(|failure| panic!("the failure policy failed: {failure}"));
            for output in handled.outputs.into_iter().chain(letters) {
                let record = self.stored_output(output);
                let declared = self.processor.declaration();
                if declared.inputs().iter().any(|topic| topic.name == &*record.topic) {
                    self.inbox.push_back(record.clone());
                }
                self.drive.feed(&record).unwrap_or_else(|error| panic!("{error}"));
                self.written.add(record);
            }
            handled.changelog.into_iter().for_each(|change| self.written.change(change));
        }
        while let Some(record) = self.inbox.pop_front() {
            self.offer(record);
        }
    }

    fn stored_output(
        &mut self,
        NewRecord { topic, timestamp_ms, key, value, headers, .. }: NewRecord<'static>,
    ) -> Record {
        let timestamp_ms = timestamp_ms.unwrap_or_else(|| self.now_ms());
        self.stored(topic, timestamp_ms, key, value, headers)
    }

    fn now_ms(&self) -> i64 {
        self.time.run(async { self.time.clock().now_ms() })
    }

    fn encode<C: Contract>(&self, value: &C) -> Bytes {
        let subject = self.processor.topic_of::<C>().subject();
        let id = self.registry.register(&subject, C::TOPIC.schema).unwrap_or_else(|error| panic!("{error}"));
        let mut bytes = Vec::new();
        Encoder::<C>::with_id(id).encode(value, &mut bytes).unwrap_or_else(|error| panic!("{error}"));
        bytes.into()
    }

    fn decode<C: Contract>(&self, bytes: &[u8]) -> C {
        let decoded = Decoder::<C>::new(Arc::clone(&self.registry)).decode(bytes);
        decoded.unwrap_or_else(|error| panic!("a value in {} is not the contract's: {error}", C::TOPIC.name))
    }
}
