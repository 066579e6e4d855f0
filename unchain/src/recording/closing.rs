//! Makes files durable aside: while a disk takes in what was written, the next blocks are compressed.

use std::fs::File;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use super::RecordingError;
use super::manifest::Segment;
use super::segment_writer::SegmentWriter;
use crate::kafka::TopicPartition;

/// Files that wait to be closed; beyond it whoever closes another one waits.
const MAX_WAITING: usize = 4;

enum Task {
    Sync(File),
    Close(Box<SegmentWriter>, TopicPartition),
}

/// The thread that syncs and closes.
pub(super) struct Closing {
    tasks: Option<SyncSender<Task>>,
    thread: Option<JoinHandle<()>>,
    closed: Receiver<Result<Segment, RecordingError>>,
    /// Files whose end is not known yet.
    pending: usize,
}

impl Closing {
    pub(super) fn start() -> std::io::Result<Closing> {
        let (tasks, waiting) = sync_channel(MAX_WAITING);
        // As many as can be waited for: the thread never waits for whoever asks.
        let (done, closed) = std::sync::mpsc::channel();
        let work = move || {
            for task in waiting {
                match task {
                    // Where it fails, the sync at the file's end fails as well.
                    Task::Sync(file) => drop(file.sync_data()),
                    Task::Close(segment, at) => {
                        // Nobody is there to hear of it where the recording has failed.
                        let _ = done.send(segment.finish(&at));
                    }
                }
            }
        };
        let thread = std::thread::Builder::new().name("recording-sync".to_owned()).spawn(work)?;
        Ok(Closing { tasks: Some(tasks), thread: Some(thread), closed, pending: 0 })
    }

    /// Has a file's data written soon, unless there is enough to do.
    pub(super) fn sync(&self, file: File) {
        let tasks = self.tasks.as_ref().expect("there until it is dropped");
        let _ = tasks.try_send(Task::Sync(file));
    }

    /// Closes a file; [`closed`](Self::closed) says when it is whole.
    pub(super) fn close(&mut self, segment: SegmentWriter, at: &TopicPartition) {
        self.pending += 1;
        let tasks = self.tasks.as_ref().expect("there until it is dropped");
        tasks.send(Task::Close(Box::new(segment), at.clone())).expect("the thread takes tasks until this is dropped");
    }

    /// The next file that is whole; `None` where there is none, or none yet unless `wait`.
    pub(super) fn closed(&mut self, wait: bool) -> Result<Option<Segment>, RecordingError> {
        if self.pending == 0 {
            return Ok(None);
        }
        let closed = if wait { self.closed.recv().ok() } else { self.closed.try_recv().ok() };
        self.pending -= usize::from(closed.is_some());
        closed.transpose()
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.tasks = None;
        if let Some(thread) = self.thread.take() {
            // It ends once it has done what it was given.
            let _ = thread.join();
        }
    }
}
