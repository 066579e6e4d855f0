//! Writes a recording: blocks are filled by the caller, compressed and written by a thread of their own.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TryRecvError, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::filing::{Filing, Job};
use super::index::Extent;
use super::manifest::{FILE, GroupOffset, Manifest, RecordedTopic, replace};
use super::record::{Recordable, prefix, write};
use super::{Recording, RecordingError};
use crate::contract::Codec;
use crate::kafka::TopicPartition;

/// How a recording is written.
#[derive(Debug, Clone)]
pub struct RecordingSettings {
    pub codec: Codec,
    pub roll: SegmentRoll,
    /// Uncompressed bytes that wait in blocks not yet full, of all partitions together; a large record goes beyond.
    pub max_buffered_bytes: usize,
}

/// When a partition's next file begins.
#[derive(Debug, Clone)]
pub struct SegmentRoll {
    /// Bytes on disk after which no block is added.
    pub max_segment_bytes: u64,
    /// Time after which no block is added: what is in an open file is lost if the recorder is killed.
    pub max_segment_age: Duration,
}

impl Default for RecordingSettings {
    fn default() -> Self {
        let roll = SegmentRoll { max_segment_bytes: 256 * 1024 * 1024, max_segment_age: Duration::from_secs(300) };
        RecordingSettings { codec: Codec::default(), roll, max_buffered_bytes: 24 * 1024 * 1024 }
    }
}

/// The size of a block where there are few partitions; larger ones compress no better.
const MAX_BLOCK_BYTES: usize = 512 * 1024;
/// The size of a block where there are many.
const MIN_BLOCK_BYTES: usize = 16 * 1024;
const LOCK_FILE: &str = "recording.lock";
/// Blocks that wait for the writing thread: beyond it the caller waits.
const MAX_WAITING_BLOCKS: usize = 4;

/// A recording that is being written. Dropped before [`finish`](Self::finish), it stays marked as incomplete.
pub struct RecordingWriter {
    folder: PathBuf,
    partitions: Vec<OpenBlock>,
    max_buffered_bytes: usize,
    block_bytes: usize,
    jobs: Option<SyncSender<Job>>,
    spare: Receiver<Vec<u8>>,
    filing: Option<JoinHandle<Result<Manifest, RecordingError>>>,
    left_out_headers: u64,
    /// Locked for as long as this writes.
    _lock: File,
}

/// A partition's block that is being filled.
struct OpenBlock {
    prefix: Vec<u8>,
    data: Vec<u8>,
    extent: Extent,
}

impl RecordingWriter {
    /// Begins a recording in a folder of its own, which is made where it is missing.
    ///
    /// # Errors
    /// [`RecordingError::Exists`] and [`RecordingError::NotEmpty`]: nothing is ever overwritten.
    pub fn create(
        folder: &Path,
        settings: &RecordingSettings,
        id: String,
        started_ms: i64,
        topics: Vec<RecordedTopic>,
    ) -> Result<RecordingWriter, RecordingError> {
        std::fs::create_dir_all(folder).map_err(|error| RecordingError::write(folder, error))?;
        if folder.join(FILE).exists() {
            return Err(RecordingError::Exists { folder: folder.to_owned() });
        }
        let mut entries = std::fs::read_dir(folder).map_err(|error| RecordingError::read(folder, error))?;
        if entries.next().is_some() {
            return Err(RecordingError::NotEmpty { folder: folder.to_owned() });
        }
        let lock = lock(folder)?;
        let manifest = Manifest { topics, ..Manifest::new(id, started_ms) };
        RecordingWriter::start(folder, settings, manifest, lock)
    }

    /// Goes on with a recording: what was not finished of it is dropped, the rest stays. Gives what it holds, too.
    pub fn resume(folder: &Path, settings: &RecordingSettings) -> Result<(RecordingWriter, Manifest), RecordingError> {
        let lock = lock(folder)?;
        let manifest = Recording::open_incomplete(folder)?.into_manifest();
        let found = manifest.clone();
        let writer = RecordingWriter::start(folder, settings, Manifest { complete: false, ..manifest }, lock)?;
        Ok((writer, found))
    }

    fn start(
        folder: &Path,
        settings: &RecordingSettings,
        manifest: Manifest,
        lock: File,
    ) -> Result<RecordingWriter, RecordingError> {
        manifest.store(folder)?;
        let (jobs, waiting) = sync_channel(MAX_WAITING_BLOCKS);
        let (give_back, spare): (Sender<Vec<u8>>, _) = channel();
        let filing = Filing::new(folder, settings, manifest, give_back)?;
        let thread = std::thread::Builder::new().name("recording".to_owned());
        let thread = thread.spawn(move || filing.run(&waiting));
        let thread = thread.map_err(|error| RecordingError::write(folder, error))?;
        Ok(RecordingWriter {
            folder: folder.to_owned(),
            partitions: Vec::new(),
            max_buffered_bytes: settings.max_buffered_bytes,
            block_bytes: MAX_BLOCK_BYTES,
            jobs: Some(jobs),
            spare,
            filing: Some(thread),
            left_out_headers: 0,
            _lock: lock,
        })
    }

    /// Takes a partition in and gives the number under which its records are appended.
    ///
    /// # Errors
    /// Why the writing thread has ended.
    pub fn partition(&mut self, at: &TopicPartition) -> Result<usize, RecordingError> {
        self.partitions.push(OpenBlock { prefix: prefix(at), data: Vec::new(), extent: Extent::EMPTY });
        let share = self.max_buffered_bytes / self.partitions.len();
        self.block_bytes = share.clamp(MIN_BLOCK_BYTES, MAX_BLOCK_BYTES);
        self.hand_over(Job::Partition(at.clone()))?;
        Ok(self.partitions.len() - 1)
    }

    /// Says between which times records are taken: whoever goes on has to take the same.
    pub fn between(&mut self, from_ms: Option<i64>, to_ms: Option<i64>) -> Result<(), RecordingError> {
        self.hand_over(Job::Between { from_ms, to_ms })
    }

    /// Adds the text of a schema that values of a topic name.
    pub fn schema(&mut self, topic: &str, id: u32, text: &str) -> Result<(), RecordingError> {
        let schemas = self.folder.join("schemas");
        std::fs::create_dir_all(&schemas).map_err(|error| RecordingError::write(&schemas, error))?;
        replace(&schemas.join(format!("{id}.avsc")), text.as_bytes())?;
        self.hand_over(Job::Schema { id, topic: topic.to_owned(), is_known: true })
    }

    /// Says that values of a topic name a schema that nobody knows.
    pub fn unknown_schema(&mut self, topic: &str, id: u32) -> Result<(), RecordingError> {
        self.hand_over(Job::Schema { id, topic: topic.to_owned(), is_known: false })
    }

    /// Appends a record to a partition, in the order of offsets. Waits while the disk does not keep up.
    ///
    /// # Errors
    /// What happened to an earlier block: a full disk, above all. The recording then ends with its last whole file.
    pub fn append(&mut self, partition: usize, record: &impl Recordable) -> Result<(), RecordingError> {
        let block = &mut self.partitions[partition];
        self.left_out_headers += write(&block.prefix, record, &mut block.data);
        block.extent.add(record.offset(), record.timestamp_ms());
        if block.data.len() >= self.block_bytes { self.close_block(partition) } else { Ok(()) }
    }

    /// Headers that were left out, since their names are not text.
    pub fn left_out_headers(&self) -> u64 {
        self.left_out_headers
    }

    /// Closes all blocks and every file that is old enough: for recorders that have not had a record for a while.
    pub fn flush(&mut self) -> Result<(), RecordingError> {
        (0..self.partitions.len()).try_for_each(|partition| self.close_block(partition))?;
        self.hand_over(Job::CloseOldFiles)
    }

    /// Ends the recording as complete, and returns what it holds. `ends` are the partitions' next offsets.
    pub fn finish(mut self, ends: Vec<i64>, groups: Vec<GroupOffset>) -> Result<Manifest, RecordingError> {
        (0..self.partitions.len()).try_for_each(|partition| self.close_block(partition))?;
        self.hand_over(Job::Finish { ends, groups })?;
        self.jobs = None;
        self.outcome()
    }

    /// Ends the recording before its intended end: what was appended is kept, and [`resume`](Self::resume) goes on with it.
    pub fn suspend(mut self) -> Result<(), RecordingError> {
        (0..self.partitions.len()).try_for_each(|partition| self.close_block(partition))?;
        self.jobs = None;
        self.outcome().map(drop)
    }

    fn close_block(&mut self, partition: usize) -> Result<(), RecordingError> {
        let block = &mut self.partitions[partition];
        if block.extent.records == 0 {
            return Ok(());
        }
        let extent = std::mem::replace(&mut block.extent, Extent::EMPTY);
        let spare = match self.spare.try_recv() {
            Ok(spare) => spare,
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => Vec::with_capacity(self.block_bytes),
        };
        let data = std::mem::replace(&mut block.data, spare);
        self.hand_over(Job::Block { partition, extent, data })
    }

    fn hand_over(&mut self, job: Job) -> Result<(), RecordingError> {
        let jobs = self.jobs.as_ref().expect("jobs are taken until the recording is finished");
        match jobs.send(job) {
            Ok(()) => Ok(()),
            // The thread only ends before its time with an error.
            Err(_) => self.outcome().map(drop),
        }
    }

    fn outcome(&mut self) -> Result<Manifest, RecordingError> {
        let gone = || RecordingError::write(&self.folder, std::io::Error::other("the writing thread has ended"));
        let filing = self.filing.take().ok_or_else(gone)?;
        filing.join().unwrap_or_else(|_| Err(gone()))
    }
}

/// Keeps other recorders out of a folder until the file is dropped.
fn lock(folder: &Path) -> Result<File, RecordingError> {
    let file = folder.join(LOCK_FILE);
    let open = File::options().create(true).append(true).open(&file);
    let open = open.map_err(|error| RecordingError::write(&file, error))?;
    match open.try_lock() {
        Ok(()) => Ok(open),
        Err(TryLockError::WouldBlock) => Err(RecordingError::Busy { folder: folder.to_owned() }),
        Err(TryLockError::Error(error)) => Err(RecordingError::write(&file, error)),
    }
}

impl Drop for RecordingWriter {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(filing) = self.filing.take() {
            // What became of it was reported to whoever asked.
            let _ = filing.join();
        }
    }
}
