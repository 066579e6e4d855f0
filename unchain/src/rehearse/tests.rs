//! Comparisons of small recordings: what differs is named, by topic, by field and in full.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use expect_test::{Expect, expect};

use super::*;
use crate::envelope;
use crate::kafka::{Headers, Record, TopicPartition};
use crate::recording::{OffsetRange, RecordedTopic, Recording, RecordingSettings, RecordingWriter};

const OLD: (u32, &str) = (
    1,
    r#"{"type": "record", "name": "A", "fields": [{"name": "n", "type": "int"}, {"name": "s", "type": "string"}]}"#,
);
/// The same bytes in another order, under the same id.
const NEW: (u32, &str) = (
    1,
    r#"{"type": "record", "name": "A", "fields": [{"name": "s", "type": "string"}, {"name": "n", "type": "int"}]}"#,
);

/// An output with this id, key, partition and value; without an id it is a table's.
#[derive(Clone)]
struct Output(Option<&'static str>, &'static str, i32, Option<Vec<u8>>);

fn value(schema: &str, n: u8, s: &str) -> Option<Vec<u8>> {
    let (number, text) = (vec![2 * n], [&[2 * s.len() as u8], s.as_bytes()].concat());
    let datum = if schema == OLD.1 { [number, text].concat() } else { [text, number].concat() };
    Some([vec![0, 0, 0, 0, 1], datum].concat())
}

fn record(folder: &Path, id: &str, (schema_id, schema): (u32, &str), outputs: &[Output]) -> Recording {
    let ranges = (0..2).map(|partition| (partition, OffsetRange { start: 0, end: 0 })).collect();
    let topic =
        RecordedTopic { name: "t".to_owned(), partitions: 2, config: BTreeMap::new(), ranges, schemas: Vec::new() };
    let settings = RecordingSettings::default();
    let mut writer = RecordingWriter::create(folder, &settings, id.to_owned(), 0, vec![topic]).unwrap();
    let places = [0, 1].map(|partition| writer.partition(&TopicPartition { topic: "t".into(), partition }).unwrap());
    let mut offsets = [0; 2];
    for (time_ms, Output(id, key, partition, value)) in (0..).zip(outputs.iter().cloned()) {
        let mut headers = Headers::builder();
        if let Some(id) = id {
            headers.text(envelope::ID, id);
        }
        let place = partition as usize;
        let (key, value, offset) = (Some(Bytes::from(key)), value.map(Bytes::from), offsets[place]);
        let (topic, headers) = ("t".into(), headers.finish());
        let record = Record { topic, partition, offset, timestamp_ms: time_ms, key, value, headers };
        writer.append(places[place], &record).unwrap();
        offsets[place] += 1;
    }
    writer.schema("t", schema_id, schema).unwrap();
    writer.finish(offsets.to_vec(), Vec::new()).unwrap();
    Recording::open(folder).unwrap()
}

fn compared(old: &[Output], new: &[Output], schema: (u32, &str), settings: &ComparisonSettings) -> Comparison {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let old = record(folders[0].path(), "a", OLD, old);
    let new = record(folders[1].path(), "a", schema, new);
    compare(&old, &new, settings, &|| false).unwrap()
}

fn check(comparison: &Comparison, expected: &Expect) {
    let mut text = String::new();
    for topic in &comparison.topics {
        text.push_str(&format!("{}\n", serde_json::to_string(topic).unwrap()));
    }
    for difference in &comparison.differences {
        text.push_str(&format!("{}\n", serde_json::to_string(difference).unwrap()));
    }
    expected.assert_eq(&text);
}

#[test]
fn records_of_one_id_are_held_against_each_other_wherever_they_stand() {
    let output = |id, key, partition, n, s| Output(Some(id), key, partition, value(OLD.1, n, s));
    let old = [
        output("1", "a", 0, 1, "x"),
        output("2", "b", 1, 2, "y"),
        output("3", "c", 0, 3, "z"),
        output("4", "d", 0, 4, "gone"),
    ];
    let new = [
        output("1", "a", 0, 1, "x"),
        Output(Some("3"), "c", 0, None),
        output("5", "e", 1, 5, "came"),
        output("2", "b", 0, 9, "y"),
    ];
    check(
        &compared(&old, &new, OLD, &ComparisonSettings::default()),
        &expect![[r#"
        {"topic":"t","equal":1,"reencoded":0,"only_in_old":1,"only_in_new":1,"changed":2,"moved":1,"given_up":0,"fields":{"(partition)":1,"(tombstone)":1,"n":1}}
        {"topic":"t","kind":"changed","id":"3","old":{"partition":0,"offset":1,"key":"c"},"new":{"partition":0,"offset":1,"key":"c"},"changes":[{"field":"(tombstone)","old":{"n":3,"s":"z"}}]}
        {"topic":"t","kind":"changed","id":"2","old":{"partition":1,"offset":0,"key":"b"},"new":{"partition":0,"offset":2,"key":"b"},"changes":[{"field":"(partition)","old":1,"new":0},{"field":"n","old":2,"new":9}]}
        {"topic":"t","kind":"only_in_old","id":"4","old":{"partition":0,"offset":2,"key":"d"},"value":{"n":4,"s":"gone"}}
        {"topic":"t","kind":"only_in_new","id":"5","new":{"partition":1,"offset":0,"key":"e"},"value":{"n":5,"s":"came"}}
    "#]],
    );
}

#[test]
fn values_are_read_each_by_their_own_sides_schema() {
    let old = [Output(Some("1"), "a", 0, value(OLD.1, 1, "x")), Output(Some("2"), "b", 0, value(OLD.1, 2, "y"))];
    let new = [Output(Some("1"), "a", 0, value(NEW.1, 1, "x")), Output(Some("2"), "b", 0, value(NEW.1, 3, "y"))];
    check(
        &compared(&old, &new, NEW, &ComparisonSettings::default()),
        &expect![[r#"
        {"topic":"t","equal":0,"reencoded":1,"only_in_old":0,"only_in_new":0,"changed":1,"moved":0,"given_up":0,"fields":{"n":1}}
        {"topic":"t","kind":"changed","id":"2","old":{"partition":0,"offset":1,"key":"b"},"new":{"partition":0,"offset":1,"key":"b"},"changes":[{"field":"n","old":2,"new":3}]}
    "#]],
    );
}

#[test]
fn changes_of_a_table_are_matched_by_key_in_their_order() {
    let row = |key, n| Output(None, key, 0, value(OLD.1, n, ""));
    let old = [row("a", 1), row("b", 1), row("a", 2), row("a", 3)];
    let new = [row("a", 1), row("a", 2), row("b", 1), row("a", 4)];
    let comparison = compared(&old, &new, OLD, &ComparisonSettings::default());
    assert_eq!((comparison.topics[0].equal, comparison.topics[0].changed, comparison.differing_records()), (3, 1, 1));
}

#[test]
fn what_waits_for_its_counterpart_is_bounded_and_what_is_given_up_on_is_counted() {
    let output = |id, n| Output(Some(id), "k", 0, value(OLD.1, n, ""));
    let ids = ["0", "1", "2", "3", "4", "5"];
    let old: Vec<_> = ids.map(|id| output(id, 1)).into();
    let new: Vec<_> = ids[1..].iter().chain(&ids[..1]).map(|id| output(id, 1)).collect();
    let settings = ComparisonSettings { max_unmatched_records: 2, ..ComparisonSettings::default() };
    assert_eq!(compared(&old, &new, OLD, &settings).differing_records(), 0, "one waits, the others match");
    let settings = ComparisonSettings { max_unmatched_records: 0, ..settings };
    let comparison = compared(&old, &new, OLD, &settings);
    assert!(comparison.topics[0].given_up > 0 && comparison.differing_records() > 0, "{comparison:?}");
}

#[test]
fn a_topic_that_is_written_no_more_counts_where_both_had_the_same_input() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let old = record(folders[0].path(), "a", OLD, &[Output(Some("1"), "a", 0, None)]);
    let empty = |folder: &Path, id: &str| {
        let settings = RecordingSettings::default();
        let writer = RecordingWriter::create(folder, &settings, id.to_owned(), 0, Vec::new()).unwrap();
        writer.finish(Vec::new(), Vec::new()).unwrap();
        Recording::open(folder).unwrap()
    };
    let settings = ComparisonSettings::default();
    let compared = compare(&old, &empty(folders[1].path(), "a"), &settings, &|| false).unwrap();
    assert_eq!(compared.differing_records(), 1);
    let compared = compare(&old, &empty(folders[2].path(), "b"), &settings, &|| false).unwrap();
    assert_eq!((compared.differing_records(), compared.not_compared), (0, vec!["t".to_owned()]));
}
