//! The records of a recording in the order of a replay: one stream a partition, merged by time.

use std::collections::BTreeMap;

use super::feeder::Feeder;
use super::merge::{Merge, due};
use crate::kafka::TopicPartition;
use crate::recording::{OwnedBlock, RecordedRecord, Recording, RecordingError, Span};

/// How far a stream has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Records before this offset are done with.
    pub(super) next_offset: i64,
    /// When the last one was due.
    pub(super) due_ms: i64,
}

impl Place {
    pub(super) const START: Place = Place { next_offset: i64::MIN, due_ms: i64::MIN };
}

/// Reads streams in the order of a replay.
pub(super) struct Source {
    streams: Vec<Stream>,
    merge: Merge,
    /// The stream whose turn it is.
    turn: Option<usize>,
    feeder: Feeder,
}

struct Stream {
    block: Option<OwnedBlock>,
    place: Place,
}

/// The record whose turn it is.
pub(super) struct Next<'a> {
    pub(super) stream: usize,
    pub(super) due_ms: i64,
    pub(super) record: RecordedRecord<'a>,
}

impl Source {
    /// Begins to read partitions, in their order, each where `places` says or at its beginning.
    pub(super) fn open(
        recording: &Recording,
        partitions: &[TopicPartition],
        span: Span,
        places: &BTreeMap<TopicPartition, Place>,
    ) -> Result<Source, RecordingError> {
        let place = |at: &TopicPartition| places.get(at).copied().unwrap_or(Place::START);
        let reader = |at: &TopicPartition| {
            let from_offset = span.from_offset.max(place(at).next_offset);
            recording.read(at, Span { from_offset, ..span })
        };
        let feeder = Feeder::start(recording.folder().to_owned(), partitions.iter().map(reader).collect())?;
        let stream = |at: &TopicPartition| Stream { block: None, place: place(at) };
        let streams: Vec<Stream> = partitions.iter().map(stream).collect();
        let mut source = Source { streams, merge: Merge::default(), turn: None, feeder };
        for stream in 0..source.streams.len() {
            if source.find_head(stream)? {
                source.merge.wait((source.streams[stream].place.due_ms, stream));
            }
        }
        Ok(source)
    }

    /// The record whose turn it is; `None` at the end. It stays until [`pass`](Self::pass).
    pub(super) fn next(&mut self) -> Result<Option<Next<'_>>, RecordingError> {
        let Some(stream) = self.seek()? else { return Ok(None) };
        let at = &self.streams[stream];
        let record = at.block.as_ref().and_then(OwnedBlock::head).expect("the merge holds streams with a head");
        Ok(Some(Next { stream, due_ms: at.place.due_ms, record }))
    }

    /// Leaves the record whose turn it is behind.
    pub(super) fn pass(&mut self) {
        let Some(stream) = self.turn else { return };
        let stream = &mut self.streams[stream];
        if let Some(block) = &mut stream.block {
            if let Some(record) = block.head() {
                stream.place.next_offset = record.offset + 1;
            }
            block.pass_head();
        }
    }

    pub(super) fn place(&self, stream: usize) -> Place {
        self.streams[stream].place
    }

    fn seek(&mut self) -> Result<Option<usize>, RecordingError> {
        if let Some(stream) = self.turn {
            if self.find_head(stream)? {
                let due_ms = self.streams[stream].place.due_ms;
                if self.merge.goes_on((due_ms, stream)) {
                    return Ok(Some(stream));
                }
                self.merge.wait((due_ms, stream));
            }
            self.turn = None;
        }
        self.turn = self.merge.take();
        Ok(self.turn)
    }

    /// Brings a stream to its next record and that one's due time; `false` at its end.
    fn find_head(&mut self, stream: usize) -> Result<bool, RecordingError> {
        let Stream { block, place, .. } = &mut self.streams[stream];
        loop {
            if let Some(of_stream) = block
                && of_stream.find_head()?
            {
                let timestamp_ms = of_stream.head().map_or(-1, |head| head.timestamp_ms);
                place.due_ms = due(place.due_ms, timestamp_ms);
                return Ok(true);
            }
            *block = self.feeder.next(stream, block.take())?;
            if block.is_none() {
                return Ok(false);
            }
        }
    }
}
