//! What a replay would send, read from the whole recording without writing anything.

use std::collections::BTreeMap;
use std::time::Duration;

use super::plan::now_ms;
use super::reshape::{Registration, Reshape, Times};
use super::source::Source;
use super::{Replay, ReplayError, Speed};

/// What a replay would send.
#[derive(Debug, Clone, PartialEq)]
pub struct Preview {
    pub topics: Vec<TopicPreview>,
    /// How long it would take at the chosen speed; `None` flat out.
    pub takes: Option<Duration>,
}

/// What of it would go to one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicPreview {
    pub topic: String,
    pub target: String,
    pub partitions: i32,
    /// Whether the replay would create the target.
    pub is_new: bool,
    pub records: u64,
    /// Of keys and values.
    pub bytes: u64,
    /// The first and the last record's time; `None` where none has one.
    pub times_ms: Option<(i64, i64)>,
}

impl Replay {
    /// Reads all that would be replayed, from the recording's start, and looks at its checksums and schemas.
    pub fn preview(&self) -> Result<Preview, ReplayError> {
        let (plan, settings) = (&self.plan, &self.settings);
        let mut topics: Vec<TopicPreview> = plan
            .targets
            .iter()
            .map(|target| TopicPreview {
                topic: target.topic.clone(),
                target: target.name.clone(),
                partitions: target.partitions,
                is_new: target.is_new,
                records: 0,
                bytes: 0,
                times_ms: None,
            })
            .collect();
        let times = Times { started_ms: now_ms(), shift_ms: 0 };
        let mut reshape = Reshape::new(&self.recording, &self.registry, settings, plan, times, Registration::CheckOnly);
        let mut source = Source::open(&self.recording, &plan.partitions, settings.span, &BTreeMap::new())?;
        let mut dues: Option<(i64, i64)> = None;
        while let Some(next) = source.next()? {
            if reshape.wants(&next.record) {
                let outgoing =
                    reshape.outgoing(next.stream, &plan.partitions[next.stream], next.due_ms, &next.record)?;
                let topic = &mut topics[plan.target_of[next.stream]];
                topic.records += 1;
                topic.bytes += (outgoing.key.map_or(0, <[u8]>::len) + outgoing.value.map_or(0, <[u8]>::len)) as u64;
                widen(&mut topic.times_ms, next.record.timestamp_ms);
                widen(&mut dues, next.due_ms);
            }
            source.pass();
        }
        let takes = match settings.speed {
            Speed::Max => None,
            Speed::Times(factor) => dues.map(|(first, last)| {
                let recorded = Duration::from_millis(last.abs_diff(first));
                Duration::try_from_secs_f64(recorded.as_secs_f64() / factor).unwrap_or(Duration::MAX)
            }),
        };
        Ok(Preview { topics, takes })
    }
}

fn widen(times: &mut Option<(i64, i64)>, time_ms: i64) {
    if time_ms >= 0 {
        let (first, last) = times.unwrap_or((time_ms, time_ms));
        *times = Some((first.min(time_ms), last.max(time_ms)));
    }
}
