//! The thread that reads and decompresses blocks ahead of a replay, a bounded number of bytes.

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};

use crate::recording::{OwnedBlock, PartitionReader, RecordingError};

/// Decompressed blocks that were read ahead, of all streams together. The block that a stream is at comes on top.
const MAX_AHEAD_BYTES: usize = 16 * 1024 * 1024;

type Answer = (usize, Result<Option<OwnedBlock>, RecordingError>);

/// Asks for the blocks of streams; each answer comes in its time.
pub(super) struct Feeder {
    folder: PathBuf,
    /// The stream whose block is wanted, and memory for a later one.
    questions: Sender<(usize, Vec<u8>)>,
    answers: Receiver<Answer>,
    streams: Vec<Ahead>,
    ahead_bytes: usize,
}

#[derive(Default)]
struct Ahead {
    state: State,
    /// What the stream counts for in the bytes ahead, while it is asked for or ready.
    counted_bytes: usize,
}

#[derive(Default)]
enum State {
    #[default]
    Idle,
    Asked,
    Ready(Result<Option<OwnedBlock>, RecordingError>),
    Ended,
}

impl Feeder {
    pub(super) fn start(folder: PathBuf, mut readers: Vec<PartitionReader>) -> Result<Feeder, RecordingError> {
        let (questions, asked): (_, Receiver<(usize, Vec<u8>)>) = channel();
        let (answer, answers) = channel();
        let streams = readers.iter().map(|_| Ahead::default()).collect();
        let thread = std::thread::Builder::new().name("replay-reading".to_owned());
        let spawned = thread.spawn(move || {
            for (stream, spare) in asked {
                let block = readers[stream].next_owned_block(spare);
                if answer.send((stream, block)).is_err() {
                    return;
                }
            }
        });
        spawned.map_err(|source| RecordingError::Read { file: folder.clone(), source })?;
        Ok(Feeder { folder, questions, answers, streams, ahead_bytes: 0 })
    }

    /// The next block of a stream, `None` at its end. `before` is the one that it replaces.
    pub(super) fn next(
        &mut self,
        stream: usize,
        before: Option<OwnedBlock>,
    ) -> Result<Option<OwnedBlock>, RecordingError> {
        let mut spare = before.map(OwnedBlock::into_spare).unwrap_or_default();
        if matches!(self.streams[stream].state, State::Idle) {
            self.ask(stream, std::mem::take(&mut spare), 0)?;
        }
        while matches!(self.streams[stream].state, State::Asked) {
            let (answered, block) = self.answers.recv().map_err(|_| self.gone())?;
            self.streams[answered].state = State::Ready(block);
        }
        self.ahead_bytes -= std::mem::take(&mut self.streams[stream].counted_bytes);
        let block = match std::mem::replace(&mut self.streams[stream].state, State::Ended) {
            State::Ready(block) => block?,
            _ => None,
        };
        if let Some(block) = &block {
            self.streams[stream].state = State::Idle;
            if self.ahead_bytes + block.size_bytes() <= MAX_AHEAD_BYTES {
                self.ask(stream, spare, block.size_bytes())?;
            }
        }
        Ok(block)
    }

    fn ask(&mut self, stream: usize, spare: Vec<u8>, counted_bytes: usize) -> Result<(), RecordingError> {
        self.questions.send((stream, spare)).map_err(|_| self.gone())?;
        self.ahead_bytes += counted_bytes;
        self.streams[stream] = Ahead { state: State::Asked, counted_bytes };
        Ok(())
    }

    fn gone(&self) -> RecordingError {
        let source = io::Error::other("the reading thread has ended");
        RecordingError::Read { file: self.folder.clone(), source }
    }
}
