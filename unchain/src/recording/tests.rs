//! Recordings as a whole: what is written is read, and what is damaged, cut off or unfinished is told.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::contract::Codec;
use crate::kafka::{Headers, Record, TopicPartition};

fn at(partition: i32) -> TopicPartition {
    TopicPartition { topic: "orders".into(), partition }
}

fn topics() -> Vec<RecordedTopic> {
    let ranges = (0..2).map(|partition| (partition, OffsetRange { start: 0, end: 0 })).collect();
    let config = BTreeMap::from([("retention.ms".to_owned(), "-1".to_owned())]);
    vec![RecordedTopic { name: "orders".to_owned(), partitions: 2, config, ranges, schemas: Vec::new() }]
}

fn record(partition: i32, offset: i64) -> Record {
    Record {
        topic: "orders".into(),
        partition,
        offset,
        timestamp_ms: 1_000 + offset,
        key: Some(Bytes::from(format!("key-{}", offset % 7))),
        value: Some(Bytes::from(vec![b'x'; 100])),
        headers: Headers::default(),
    }
}

fn small_files(codec: Codec) -> RecordingSettings {
    let roll = SegmentRoll { max_segment_bytes: 1, max_segment_age: Duration::MAX };
    RecordingSettings { codec, roll, ..RecordingSettings::default() }
}

fn begin(folder: &Path, settings: &RecordingSettings) -> RecordingWriter {
    RecordingWriter::create(folder, settings, "r-1".to_owned(), 5, topics()).unwrap()
}

/// Offsets 0 to 20,000 of partition 0 and every other one of partition 1.
fn write(folder: &Path, settings: &RecordingSettings) -> Manifest {
    let mut writer = begin(folder, settings);
    let partitions = [0, 1].map(|partition| writer.partition(&at(partition)).unwrap());
    for offset in 0..20_000 {
        writer.append(partitions[0], &record(0, offset)).unwrap();
        if offset % 2 == 0 {
            writer.append(partitions[1], &record(1, offset)).unwrap();
        }
    }
    writer.schema("orders", 7, r#""string""#).unwrap();
    writer.finish(vec![20_000, 20_000], Vec::new()).unwrap()
}

fn read(recording: &Recording, at: &TopicPartition, span: Span) -> Result<Vec<Record>, RecordingError> {
    let (mut reader, mut records) = (recording.read(at, span), Vec::new());
    while let Some(mut block) = reader.next_block()? {
        while let Some(record) = block.next_record()? {
            records.push(record.to_record(at));
        }
    }
    Ok(records)
}

#[test]
fn what_is_recorded_is_read_with_every_codec_and_over_several_files() {
    for codec in [Codec::Null, Codec::Deflate, Codec::Zstandard] {
        let folder = tempfile::tempdir().unwrap();
        let manifest = write(folder.path(), &small_files(codec));
        assert!(manifest.segments.len() > 3, "{codec}: {} files", manifest.segments.len());
        let recording = Recording::open(folder.path()).unwrap();
        assert_eq!(recording.manifest(), &manifest);
        assert_eq!(recording.partitions(), [at(0), at(1)]);
        let expected: Vec<_> = (0..20_000).map(|offset| record(0, offset)).collect();
        assert_eq!(read(&recording, &at(0), Span::default()).unwrap(), expected);
        assert_eq!(recording.schema(7).unwrap().as_deref(), Some(r#""string""#));
        assert_eq!(recording.schema(8).unwrap(), None);
        assert_eq!(recording.topic("orders").unwrap().schemas, [7]);
    }
}

#[test]
fn a_files_checksum_is_that_of_its_bytes() {
    let folder = tempfile::tempdir().unwrap();
    for segment in write(folder.path(), &RecordingSettings::default()).segments {
        let content = fs::read(folder.path().join(&segment.file)).unwrap();
        assert_eq!((segment.bytes, segment.crc32c), (content.len() as u64, crc32c::crc32c(&content)), "{segment:?}");
    }
}

#[test]
fn a_span_cuts_by_offset_and_by_time() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &small_files(Codec::Zstandard));
    let recording = Recording::open(folder.path()).unwrap();
    let span = Span { from_offset: 9_001, from_ms: 0, to_ms: 1_000 + 9_010 };
    let offsets = |records: Vec<Record>| records.into_iter().map(|record| record.offset).collect::<Vec<_>>();
    assert_eq!(offsets(read(&recording, &at(1), span).unwrap()), [9_002, 9_004, 9_006, 9_008]);
    let span = Span { from_ms: 1_000 + 19_997, ..Span::default() };
    assert_eq!(offsets(read(&recording, &at(0), span).unwrap()), [19_997, 19_998, 19_999]);
}

#[test]
fn equal_records_give_equal_files() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let manifests = folders.each_ref().map(|folder| write(folder.path(), &RecordingSettings::default()));
    assert_eq!(manifests[0], manifests[1]);
}

#[test]
fn one_changed_byte_anywhere_in_a_file_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = write(folder.path(), &RecordingSettings::default());
    let file = folder.path().join(&manifest.segments[0].file);
    let good = fs::read(&file).unwrap();
    for place in [good.len() / 3, good.len() - 1] {
        let mut damaged = good.clone();
        damaged[place] ^= 1;
        fs::write(&file, damaged).unwrap();
        let recording = Recording::open(folder.path()).unwrap();
        let error = read(&recording, &at(0), Span::default()).unwrap_err();
        assert!(matches!(&error, RecordingError::Checksum { file: named, .. } if *named == file), "{error}");
    }
    fs::write(&file, &good[..good.len() - 1]).unwrap();
    assert!(matches!(Recording::open(folder.path()), Err(RecordingError::Size { .. })));
}

#[test]
fn an_unfinished_recording_is_not_taken_for_a_whole_one_and_can_be_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let settings = small_files(Codec::Zstandard);
    let mut writer = begin(folder.path(), &settings);
    let partition = writer.partition(&at(0)).unwrap();
    (0..20_000).for_each(|offset| writer.append(partition, &record(0, offset)).unwrap());
    // As a killed recorder: what is in an open file is nobody's.
    drop(writer);
    assert!(matches!(Recording::open(folder.path()), Err(RecordingError::Incomplete { .. })));

    let (mut writer, found) = RecordingWriter::resume(folder.path(), &settings).unwrap();
    let end = found.topics[0].ranges[&0].end;
    assert!(end > 0 && end < 20_000, "{end}");
    let partition = writer.partition(&at(0)).unwrap();
    (end..20_000).for_each(|offset| writer.append(partition, &record(0, offset)).unwrap());
    writer.finish(vec![20_001], Vec::new()).unwrap();
    let recording = Recording::open(folder.path()).unwrap();
    let offsets: Vec<_> = read(&recording, &at(0), Span::default()).unwrap().iter().map(|r| r.offset).collect();
    assert_eq!(offsets, (0..20_000).collect::<Vec<_>>());
    assert_eq!(recording.topic("orders").unwrap().ranges[&0].end, 20_001);
}

#[test]
fn nothing_is_written_over() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &RecordingSettings::default());
    let again = RecordingWriter::create(folder.path(), &RecordingSettings::default(), "r".into(), 0, topics());
    assert!(matches!(again, Err(RecordingError::Exists { .. })));
    let other = tempfile::tempdir().unwrap();
    fs::write(other.path().join("notes.txt"), "mine").unwrap();
    let there = RecordingWriter::create(other.path(), &RecordingSettings::default(), "r".into(), 0, topics());
    assert!(matches!(there, Err(RecordingError::NotEmpty { .. })));
}

#[test]
fn two_recorders_do_not_share_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let writer = begin(folder.path(), &RecordingSettings::default());
    let other = RecordingWriter::resume(folder.path(), &RecordingSettings::default());
    assert!(matches!(other, Err(RecordingError::Busy { .. })));
    drop(writer);
    assert!(RecordingWriter::resume(folder.path(), &RecordingSettings::default()).is_ok());
}

#[test]
fn what_was_appended_before_a_suspension_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = begin(folder.path(), &RecordingSettings::default());
    let partition = writer.partition(&at(0)).unwrap();
    (0..10).for_each(|offset| writer.append(partition, &record(0, offset)).unwrap());
    writer.suspend().unwrap();
    let recording = Recording::open_incomplete(folder.path()).unwrap();
    assert!(!recording.manifest().complete);
    assert_eq!(read(&recording, &at(0), Span::default()).unwrap().len(), 10);
}

#[test]
fn a_folder_that_is_no_recording_and_a_manifest_of_another_kind_are_named() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(Recording::open(folder.path()), Err(RecordingError::NoRecording { .. })));
    fs::write(folder.path().join("manifest.json"), "{}").unwrap();
    let error = Recording::open(folder.path()).unwrap_err();
    assert!(error.to_string().contains("manifest.json") && error.to_string().contains("missing field"), "{error}");
}
