//! Compares two recordings of a processor's outputs, topic by topic, with a bounded memory.
//!
//! Both are read in time order, side by side. Records are the same one where they have the same id, which is made of
//! their input's place and so the same in every build; changes of tables and records without an id are matched by their
//! keys, in their order. A record waits for its counterpart as long as there is room for those that wait.

use super::RehearsalError;
use super::differences::{Comparison, Difference, DifferenceKind, Place, TopicComparison};
use super::time_order::TimeOrder;
use super::unmatched::{Identity, Unmatched};
use super::values::{Values, Verdict};
use crate::envelope;
use crate::kafka::Record;
use crate::recording::{Recording, RecordingError};

/// What is compared, and how much of it is shown.
#[derive(Debug, Clone)]
pub struct ComparisonSettings {
    /// Differences that are shown in full.
    pub max_differences: usize,
    /// Compare timestamps and headers too.
    pub headers: bool,
    /// Fields that may differ, with all that is within them; `lines[].price` means those of every line.
    pub ignored: Vec<String>,
    /// Records of each side that may wait for their counterparts; and their bytes.
    pub max_unmatched_records: usize,
    pub max_unmatched_bytes: usize,
}

impl Default for ComparisonSettings {
    fn default() -> Self {
        ComparisonSettings {
            max_differences: 20,
            headers: false,
            ignored: Vec::new(),
            max_unmatched_records: 50_000,
            max_unmatched_bytes: 32 * 1024 * 1024,
        }
    }
}

impl ComparisonSettings {
    pub(super) fn ignores(&self, field: &str) -> bool {
        self.ignored.iter().any(|ignored| {
            let within = field.strip_prefix(ignored.as_str());
            within.is_some_and(|within| within.is_empty() || within.starts_with(['.', '[']))
        })
    }
}

/// Steps between two questions whether to stop.
const STOP_INTERVAL: u64 = 4_096;

/// Compares an older run's outputs with a newer one's.
///
/// # Errors
/// Recordings that cannot be read; [`RehearsalError::Stopped`].
pub fn compare(
    old: &Recording,
    new: &Recording,
    settings: &ComparisonSettings,
    is_stopped: &dyn Fn() -> bool,
) -> Result<Comparison, RehearsalError> {
    let mut comparison = Comparison {
        old_id: old.manifest().id.clone(),
        new_id: new.manifest().id.clone(),
        topics: Vec::new(),
        not_compared: Vec::new(),
        differences: Vec::new(),
    };
    let mut names: Vec<&str> = new.manifest().topics.iter().map(|topic| topic.name.as_str()).collect();
    let only_in_old =
        old.manifest().topics.iter().map(|topic| topic.name.as_str()).filter(|name| !names.contains(name));
    let only_in_old: Vec<&str> = only_in_old.collect();
    // Outputs of the same processor and recording: what is no longer written is a difference. Of other recordings, such
    // as one of everything, it is another's.
    if comparison.old_id == comparison.new_id {
        names.extend(only_in_old);
    } else {
        comparison.not_compared = only_in_old.into_iter().map(str::to_owned).collect();
    }
    let mut values = Values::of(old, new)?;
    for name in names {
        let mut topic = TopicPass {
            old: Side::of(old, name)?,
            new: Side::of(new, name)?,
            values: &mut values,
            settings,
            counts: TopicComparison { topic: name.to_owned(), ..TopicComparison::default() },
            differences: &mut comparison.differences,
        };
        topic.run(is_stopped)?;
        comparison.topics.push(topic.counts);
    }
    Ok(comparison)
}

/// One recording's records of a topic.
struct Side {
    order: TimeOrder,
    head: Option<(i64, Record)>,
    read_records: u64,
    unmatched: Unmatched,
}

impl Side {
    fn of(recording: &Recording, topic: &str) -> Result<Side, RecordingError> {
        let order = TimeOrder::of(recording, [topic])?;
        let mut side = Side { order, head: None, read_records: 0, unmatched: Unmatched::default() };
        side.advance()?;
        Ok(side)
    }

    /// Takes the record at the head and puts the next one there.
    fn advance(&mut self) -> Result<Option<Record>, RecordingError> {
        let turn_ms = self.order.next_turn_ms();
        let next = self.order.next()?;
        self.read_records += u64::from(next.is_some());
        let head = std::mem::replace(&mut self.head, turn_ms.zip(next));
        Ok(head.map(|(_, record)| record))
    }

    /// Whose record is read next: the one with the lowest.
    fn turn(&self) -> (bool, i64, u64) {
        (self.head.is_none(), self.head.as_ref().map_or(0, |(turn_ms, _)| *turn_ms), self.read_records)
    }
}

struct TopicPass<'c> {
    old: Side,
    new: Side,
    values: &'c mut Values,
    settings: &'c ComparisonSettings,
    counts: TopicComparison,
    differences: &'c mut Vec<Difference>,
}

impl TopicPass<'_> {
    fn run(&mut self, is_stopped: &dyn Fn() -> bool) -> Result<(), RehearsalError> {
        for step in 0_u64.. {
            if step.is_multiple_of(STOP_INTERVAL) && is_stopped() {
                return Err(RehearsalError::Stopped);
            }
            if self.old.head.is_none() && self.new.head.is_none() {
                break;
            }
            if self.heads_match() {
                if let (Some(old), Some(new)) = (self.old.advance()?, self.new.advance()?) {
                    self.matched(&old, &new);
                }
            } else if self.old.turn() <= self.new.turn() {
                if let Some(old) = self.old.advance()? {
                    match self.new.unmatched.take(Identity::of(&old)) {
                        Some(new) => self.matched(&old, &new),
                        None => self.old.unmatched.put(old),
                    }
                }
            } else if let Some(new) = self.new.advance()? {
                match self.old.unmatched.take(Identity::of(&new)) {
                    Some(old) => self.matched(&old, &new),
                    None => self.new.unmatched.put(new),
                }
            }
            self.give_up_excess();
        }
        while let Some(record) = self.old.unmatched.take_oldest() {
            self.only_in(DifferenceKind::OnlyInOld, &record);
        }
        while let Some(record) = self.new.unmatched.take_oldest() {
            self.only_in(DifferenceKind::OnlyInNew, &record);
        }
        Ok(())
    }

    /// Whether the next records of both sides are the same one, as they mostly are.
    fn heads_match(&self) -> bool {
        let (Some((_, old)), Some((_, new))) = (&self.old.head, &self.new.head) else { return false };
        let identity = Identity::of(old);
        identity == Identity::of(new) && !self.old.unmatched.has(identity) && !self.new.unmatched.has(identity)
    }

    fn give_up_excess(&mut self) {
        let (max_records, max_bytes) = (self.settings.max_unmatched_records, self.settings.max_unmatched_bytes);
        while let Some(record) = self.old.unmatched.take_excess(max_records, max_bytes) {
            self.counts.given_up += 1;
            self.only_in(DifferenceKind::OnlyInOld, &record);
        }
        while let Some(record) = self.new.unmatched.take_excess(max_records, max_bytes) {
            self.counts.given_up += 1;
            self.only_in(DifferenceKind::OnlyInNew, &record);
        }
    }

    fn matched(&mut self, old: &Record, new: &Record) {
        match self.values.compare(old, new, self.settings) {
            Verdict::Equal => self.counts.equal += 1,
            Verdict::Reencoded => self.counts.reencoded += 1,
            Verdict::Changed(changes) => {
                self.counts.count_changes(&changes);
                if self.differences.len() < self.settings.max_differences {
                    let (old_place, new_place) = (Some(place(old)), Some(place(new)));
                    let kind = DifferenceKind::Changed;
                    let (topic, id) = (self.counts.topic.clone(), id(new));
                    self.differences.push(Difference {
                        topic,
                        kind,
                        id,
                        old: old_place,
                        new: new_place,
                        changes,
                        value: None,
                    });
                }
            }
        }
    }

    fn only_in(&mut self, kind: DifferenceKind, record: &Record) {
        let is_old = kind == DifferenceKind::OnlyInOld;
        *(if is_old { &mut self.counts.only_in_old } else { &mut self.counts.only_in_new }) += 1;
        if self.differences.len() >= self.settings.max_differences {
            return;
        }
        let values = if is_old { &mut self.values.old } else { &mut self.values.new };
        let value = record.value.as_deref().map(|value| values.json(value));
        let at = Some(place(record));
        let (old, new) = if is_old { (at, None) } else { (None, at) };
        let (topic, id) = (self.counts.topic.clone(), id(record));
        self.differences.push(Difference { topic, kind, id, old, new, changes: Vec::new(), value });
    }
}

fn place(record: &Record) -> Place {
    let key = record.key.as_deref().map(|key| String::from_utf8_lossy(key).into_owned());
    Place { partition: record.partition, offset: record.offset, key }
}

fn id(record: &Record) -> Option<String> {
    record.headers.text(envelope::ID).map(str::to_owned)
}
