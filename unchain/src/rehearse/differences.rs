//! What a comparison has found: counts by topic and by field, and the first differences in full.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::FieldChange;

/// The fields that are counted, each by itself, of one topic; maps may have any number of keys.
const MAX_COUNTED_FIELDS: usize = 1_000;
const OTHER_FIELDS: &str = "(others)";

/// The outputs of two runs, compared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The recordings' ids. They are the same where one processor had one recording for its input.
    pub old_id: String,
    pub new_id: String,
    pub topics: Vec<TopicComparison>,
    /// Topics of the older recording that the processor does not write.
    pub not_compared: Vec<String>,
    /// The first differences of each topic, so many in all as were asked for.
    pub differences: Vec<Difference>,
}

/// One topic's records, counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TopicComparison {
    pub topic: String,
    pub equal: u64,
    /// Equal values, written by another schema.
    pub reencoded: u64,
    pub only_in_old: u64,
    pub only_in_new: u64,
    pub changed: u64,
    /// Those of the changed records that have another key or partition.
    pub moved: u64,
    /// Those only in one of the recordings that were given up on: their counterparts may stand further away than the
    /// comparison looks.
    pub given_up: u64,
    /// Changed records, by field.
    pub fields: BTreeMap<String, u64>,
}

/// A record that differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    pub topic: String,
    pub kind: DifferenceKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<Place>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<Place>,
    /// What is not as it was.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<FieldChange>,
    /// The value of a record that only one of the recordings has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
}

/// How a record differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceKind {
    OnlyInOld,
    OnlyInNew,
    Changed,
}

/// Where a record stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    pub partition: i32,
    pub offset: i64,
    pub key: Option<String>,
}

impl Comparison {
    /// Records that are not as they were.
    pub fn differing_records(&self) -> u64 {
        self.topics.iter().map(TopicComparison::differing_records).sum()
    }
}

impl TopicComparison {
    pub fn differing_records(&self) -> u64 {
        self.only_in_old + self.only_in_new + self.changed
    }

    pub(super) fn count_changes(&mut self, changes: &[FieldChange]) {
        self.changed += 1;
        self.moved += u64::from(changes.iter().any(|change| ["(key)", "(partition)"].contains(&change.field.as_str())));
        let mut kinds: Vec<String> = changes.iter().map(FieldChange::kind).collect();
        kinds.sort();
        kinds.dedup();
        for kind in kinds {
            let is_counted = self.fields.contains_key(&kind) || self.fields.len() < MAX_COUNTED_FIELDS;
            *self.fields.entry(if is_counted { kind } else { OTHER_FIELDS.to_owned() }).or_default() += 1;
        }
    }
}
