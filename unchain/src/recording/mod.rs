//! Recordings of topics: Avro object container files, an index by offset and time beside each, and a manifest.
//!
//! A folder is a recording once its `manifest.json` says that it is complete:
//!
//! ```text
//! manifest.json                                        topics, files, checksums, schemas' ids, groups' offsets
//! schemas/ID.avsc                                      the schemas that wrote the values
//! data/TOPIC/PARTITION/OFFSET.avro                     records, from this offset
//! data/TOPIC/PARTITION/OFFSET.index.avro               where its blocks are
//! ```

mod closing;
mod error;
mod filing;
mod index;
mod manifest;
mod owned_block;
mod reader;
mod record;
mod recorder;
mod segment_writer;
#[cfg(test)]
mod tests;
mod writer;

pub use error::RecordingError;
pub use manifest::{GroupOffset, Manifest, OffsetRange, RecordedTopic, Segment};
pub use owned_block::OwnedBlock;
pub use reader::{PartitionReader, RecordBlock, Recording, Span};
pub use record::{RECORD_SCHEMA, Recordable, RecordedHeaders, RecordedRecord};
pub use recorder::{RecordError, RecordPlan, RecordProgress, record};
pub use writer::{RecordingSettings, RecordingWriter, SegmentRoll};
