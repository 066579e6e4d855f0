//! A partition's log: record batches as they arrived, in segments on disk or in memory, with what readers must know.
//!
//! The rooms, lowest first: [`batch`] (the 61-byte header), [`records`] (what is inside a batch), [`store`] (bytes of one
//! segment), [`segment`] (a store with its sparse index), [`producers`] (sequence windows), [`transactions`] (open and
//! aborted transactions), [`partition`] (the log itself), [`recovery`] (the log after a restart), [`compaction`].

pub(crate) mod batch;
pub(crate) mod compaction;
pub(crate) mod partition;
pub(crate) mod producers;
pub(crate) mod records;
pub(crate) mod recovery;
pub(crate) mod segment;
pub(crate) mod store;
pub(crate) mod transactions;

/// Why a log could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    #[error("batch is malformed: {0}")]
    Corrupt(&'static str),
    #[error("batch is not acceptable: {0}")]
    Invalid(&'static str),
    #[error("record format {0} is not supported, only 2 is")]
    Format(i8),
    #[error("batch of {bytes} bytes exceeds max.message.bytes of {max_message_bytes}")]
    TooLarge { bytes: usize, max_message_bytes: usize },
    #[error("sequence {first_sequence} of producer {producer_id} is out of order")]
    OutOfOrder { producer_id: i64, first_sequence: i32 },
    #[error("epoch {epoch} of producer {producer_id} is fenced")]
    Fenced { producer_id: i64, epoch: i16 },
    #[error("memory for records is full at {max_memory_bytes} bytes: start the broker with a data directory")]
    MemoryFull { max_memory_bytes: u64 },
    #[error("offset {offset} is outside {start}..={end}")]
    OutOfRange { offset: i64, start: i64, end: i64 },
    #[error("storage failed: {0}")]
    Io(#[from] std::io::Error),
}

impl LogError {
    /// The protocol's error code for it.
    pub fn code(&self) -> i16 {
        use kafka_protocol::ResponseError as E;
        match self {
            LogError::Corrupt(_) => E::CorruptMessage,
            LogError::Invalid(_) => E::InvalidRecord,
            LogError::Format(_) => E::UnsupportedForMessageFormat,
            LogError::TooLarge { .. } => E::MessageTooLarge,
            LogError::OutOfOrder { .. } => E::OutOfOrderSequenceNumber,
            LogError::Fenced { .. } => E::InvalidProducerEpoch,
            // Not retriable on purpose: waiting does not make memory, so the producer should hear of it at once.
            LogError::MemoryFull { .. } => E::PolicyViolation,
            LogError::OutOfRange { .. } => E::OffsetOutOfRange,
            LogError::Io(_) => E::KafkaStorageError,
        }
        .code()
    }
}
