//! Runs a recording through a processor: as one worker that has every partition, with the recording's time for its own.
//!
//! Lookups hold all rows of their topics from the start, as when the engine has loaded them; tables begin empty. What the
//! processor writes to its own inputs is fed back at once. Records of those that it had written itself when they were
//! recorded are left out, by their `ce_source`: it writes them anew.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::outputs::{Outputs, input_partitions};
use super::time_order::TimeOrder;
use super::{RecordedSchemas, RehearsalError};
use crate::contract::{Contract, SchemaRegistry, system::DeadLetter};
use crate::engine::EngineSettings;
use crate::engine::drive::{Drive, Handled};
use crate::engine::virtual_time::{VirtualClock, VirtualTime, pass, settle};
use crate::envelope;
use crate::kafka::Record;
use crate::process::Processor;
use crate::recording::Recording;
use crate::recovery::dead_letters_by;

/// The recording's time in which at least one of the records that wait must be completed.
pub(super) const MAX_STANDSTILL: Duration = Duration::from_secs(24 * 3_600);
/// Records between two questions whether to stop.
const STOP_INTERVAL: u64 = 1_024;

/// What a rehearsal has done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rehearsed {
    pub consumed_records: u64,
    pub dead_letters: u64,
    /// Calls beyond the first of a record.
    pub retries: u64,
    /// Recorded records that the processor had written to its own inputs.
    pub left_out_records: u64,
    /// Rows of lookups that are not their contracts' values.
    pub left_out_rows: u64,
    /// Records written, by topic; a table's changes are records of its changelog.
    pub written_records: BTreeMap<String, u64>,
}

/// Runs a recording through a processor. What it writes goes to a recording in the folder, if one is given.
///
/// # Errors
/// [`RehearsalError`]: the recording in the folder then stays marked as incomplete.
pub fn rehearse(
    processor: &Processor,
    recording: &Recording,
    settings: &EngineSettings,
    folder: Option<&Path>,
    is_stopped: &dyn Fn() -> bool,
) -> Result<Rehearsed, RehearsalError> {
    check_topics(processor, recording)?;
    let registry: Arc<dyn SchemaRegistry> = Arc::new(RecordedSchemas::of(recording)?);
    let time = VirtualTime::new().map_err(RehearsalError::Runtime)?;
    let (of_processor, of_letters) = (time.clock(), time.clock());
    let processor = processor.clone().clock(move || of_processor.now_ms());
    let policy = dead_letters_by(move || of_letters.now_ms());
    let drive = Drive::new(&processor, &registry, settings, policy, input_partitions(&processor, recording))?;
    let outputs = Outputs::begin(&processor, recording, &[DeadLetter::TOPIC], registry, folder)?;
    let inputs = processor.declaration().inputs().iter().map(|topic| topic.name);
    let mut rehearsal = Rehearsal {
        inputs: TimeOrder::of(recording, inputs)?,
        processor,
        drive,
        clock: time.clock(),
        outputs,
        max_waiting_records: settings.max_in_flight_records,
        max_waiting_bytes: settings.max_in_flight_bytes,
        waiting_bytes: 0,
        to_offer: VecDeque::new(),
        handled: Vec::new(),
        last: None,
        done: Rehearsed {
            consumed_records: 0,
            dead_letters: 0,
            retries: 0,
            left_out_records: 0,
            left_out_rows: 0,
            written_records: BTreeMap::new(),
        },
        is_stopped,
    };
    rehearsal.load_lookups(recording)?;
    time.run(rehearsal.run())?;
    let Rehearsal { drive, outputs, done, .. } = rehearsal;
    Ok(Rehearsed { retries: drive.retries(), written_records: outputs.finish()?, ..done })
}

fn check_topics(processor: &Processor, recording: &Recording) -> Result<(), RehearsalError> {
    let declared = processor.declaration();
    let is_written = |name: &str| declared.outputs().iter().chain(declared.written()).any(|topic| topic.name == name);
    let read = declared.inputs().iter().copied().chain(declared.lookups()).map(|topic| topic.name);
    let missing: Vec<_> = read.filter(|name| !is_written(name) && recording.topic(name).is_err()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let recorded: Vec<_> = recording.manifest().topics.iter().map(|topic| topic.name.as_str()).collect();
    Err(RehearsalError::MissingTopics {
        processor: processor.name(),
        missing: missing.join(", "),
        recorded: recorded.join(", "),
    })
}

struct Rehearsal<'s> {
    processor: Processor,
    inputs: TimeOrder,
    drive: Drive,
    clock: VirtualClock,
    outputs: Outputs,
    max_waiting_records: usize,
    max_waiting_bytes: usize,
    waiting_bytes: usize,
    /// The next record, and those that handlers have emitted to the processor's own inputs.
    to_offer: VecDeque<Record>,
    handled: Vec<Handled>,
    /// The place of the record that was offered last.
    last: Option<(Arc<str>, i32, i64)>,
    done: Rehearsed,
    is_stopped: &'s dyn Fn() -> bool,
}

impl Rehearsal<'_> {
    /// Feeds the lookups with all that was recorded of them. A row that cannot be decoded is left out, as by the engine.
    fn load_lookups(&mut self, recording: &Recording) -> Result<(), RehearsalError> {
        let declared = self.processor.declaration();
        // A table's rows are the processor's own work: they come as it changes them.
        let is_table = |name: &str| declared.written().iter().any(|table| table.name == name);
        let topics = declared.lookups().map(|topic| topic.name).filter(|name| !is_table(name));
        let mut rows = TimeOrder::of(recording, topics)?;
        while let Some(row) = rows.next()? {
            if self.is_own(&row) {
                continue;
            }
            self.feed(&row);
        }
        Ok(())
    }

    fn feed(&mut self, row: &Record) {
        if let Err(error) = self.drive.feed(row) {
            self.done.left_out_rows += 1;
            let (topic, partition, offset) = (&*row.topic, row.partition, row.offset);
            tracing::warn!(topic, partition, offset, %error, "a lookup's record was left out");
        }
    }

    /// Whether the processor itself wrote a record that it reads.
    fn is_own(&self, record: &Record) -> bool {
        let outputs = self.processor.declaration().outputs();
        outputs.iter().any(|topic| *topic.name == *record.topic)
            && record.headers.text(envelope::SOURCE) == Some(self.processor.name())
    }

    async fn run(&mut self) -> Result<(), RehearsalError> {
        while let Some(turn_ms) = self.inputs.next_turn_ms() {
            self.wait_until(turn_ms).await?;
            self.clock.reach(turn_ms);
            let Some(record) = self.inputs.next()? else { break };
            if self.is_own(&record) {
                self.done.left_out_records += 1;
                continue;
            }
            self.to_offer.push_back(record);
            self.offer().await?;
        }
        while self.drive.waiting() > 0 {
            self.wait_for_one().await?;
            self.offer().await?;
        }
        Ok(())
    }

    /// Handles what is to be offered, and what that leads to on the processor's own inputs, as far as it needs no time or
    /// there is no room for more that waits.
    async fn offer(&mut self) -> Result<(), RehearsalError> {
        while let Some(record) = self.to_offer.pop_front() {
            if self.done.consumed_records.is_multiple_of(STOP_INTERVAL) {
                self.check_stop()?;
            }
            self.done.consumed_records += 1;
            self.waiting_bytes += record.size_bytes();
            self.last = Some((Arc::clone(&record.topic), record.partition, record.offset));
            self.drive.offer(record);
            settle(&mut self.drive, &mut self.handled).await;
            self.take()?;
            while self.drive.waiting() >= self.max_waiting_records || self.waiting_bytes > self.max_waiting_bytes {
                self.wait_for_one().await?;
            }
        }
        Ok(())
    }

    fn check_stop(&self) -> Result<(), RehearsalError> {
        if (self.is_stopped)() { Err(RehearsalError::Stopped) } else { Ok(()) }
    }

    /// Lets time pass for those that wait, up to a time.
    async fn wait_until(&mut self, time_ms: i64) -> Result<(), RehearsalError> {
        while self.drive.waiting() > 0 {
            let left = Duration::from_millis(u64::try_from(time_ms.saturating_sub(self.clock.now_ms())).unwrap_or(0));
            if left.is_zero() {
                return Ok(());
            }
            if left >= MAX_STANDSTILL {
                self.wait_for_one().await?;
            } else {
                pass(left, &mut self.drive, &mut self.handled).await;
                self.take()?;
            }
            self.offer().await?;
        }
        Ok(())
    }

    /// Lets time pass until a record is completed.
    async fn wait_for_one(&mut self) -> Result<(), RehearsalError> {
        self.check_stop()?;
        pass(MAX_STANDSTILL, &mut self.drive, &mut self.handled).await;
        if self.handled.is_empty() {
            return Err(self.stands_still());
        }
        self.take()
    }

    fn stands_still(&self) -> RehearsalError {
        let place = |(topic, partition, offset): &(Arc<str>, i32, i64)| format!("{topic}/{partition}/{offset}");
        let last = self.last.as_ref().map_or_else(|| "none".to_owned(), place);
        RehearsalError::StandsStill { waiting: self.drive.waiting(), last }
    }

    /// Writes what completed records led to; what the processor reads itself goes back to it.
    fn take(&mut self) -> Result<(), RehearsalError> {
        let mut handled = std::mem::take(&mut self.handled);
        for one in handled.drain(..) {
            let Handled { record, failed, outputs, changelog, dead_letters } = one;
            self.waiting_bytes -= record.size_bytes();
            self.done.dead_letters += u64::from(failed.is_some());
            let letters = dead_letters.map_err(|failure| RehearsalError::Policy { reason: failure.to_string() })?;
            // In the order in which the engine sends them.
            for new in outputs.into_iter().chain(changelog).chain(letters) {
                // The clock is asked only where no record's time is taken over.
                let now_ms = if new.timestamp_ms.is_none() { self.clock.now_ms() } else { 0 };
                let written = self.outputs.add(new, now_ms)?;
                self.feed(&written);
                let inputs = self.processor.declaration().inputs();
                if inputs.iter().any(|topic| *topic.name == *written.topic) {
                    self.to_offer.push_back(written);
                }
            }
        }
        self.handled = handled;
        Ok(())
    }
}
