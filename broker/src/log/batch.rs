//! The header of a record batch (message format 2): 61 bytes, parsed and patched without touching the records behind it.
//!
//! Layout after Kafka's `DefaultRecordBatch`. The CRC covers everything from the attributes on, so the base offset and
//! the leader epoch, which a broker assigns, are outside of it.

use super::LogError;

/// Bytes of a header; the records follow.
pub const HEADER_BYTES: usize = 61;
/// Bytes of the base offset and the length field, which the length field does not count.
pub const LENGTH_PREFIX_BYTES: usize = 12;
/// Where the part that the CRC covers begins.
const CRC_START: usize = 21;

const COMPRESSION_MASK: i16 = 0x07;
const LOG_APPEND_TIME: i16 = 0x08;
const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;

/// A parsed header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    pub base_offset: i64,
    pub length: i32,
    pub magic: i8,
    pub crc: u32,
    pub attributes: i16,
    pub last_offset_delta: i32,
    pub base_timestamp: i64,
    pub max_timestamp: i64,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub record_count: i32,
}

fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&bytes[at..at + N]);
    field
}

impl BatchHeader {
    /// Parses the first 61 bytes of a batch; the length is checked to be possible, not to be there.
    pub fn parse(bytes: &[u8]) -> Result<BatchHeader, LogError> {
        if bytes.len() < HEADER_BYTES {
            return Err(LogError::Corrupt("shorter than a batch header"));
        }
        let header = BatchHeader {
            base_offset: i64::from_be_bytes(bytes_at(bytes, 0)),
            length: i32::from_be_bytes(bytes_at(bytes, 8)),
            magic: bytes[16] as i8,
            crc: u32::from_be_bytes(bytes_at(bytes, 17)),
            attributes: i16::from_be_bytes(bytes_at(bytes, 21)),
            last_offset_delta: i32::from_be_bytes(bytes_at(bytes, 23)),
            base_timestamp: i64::from_be_bytes(bytes_at(bytes, 27)),
            max_timestamp: i64::from_be_bytes(bytes_at(bytes, 35)),
            producer_id: i64::from_be_bytes(bytes_at(bytes, 43)),
            producer_epoch: i16::from_be_bytes(bytes_at(bytes, 51)),
            base_sequence: i32::from_be_bytes(bytes_at(bytes, 53)),
            record_count: i32::from_be_bytes(bytes_at(bytes, 57)),
        };
        if header.magic != 2 {
            return Err(LogError::Format(header.magic));
        }
        if (header.length as i64) < (HEADER_BYTES - LENGTH_PREFIX_BYTES) as i64 || header.last_offset_delta < 0 {
            return Err(LogError::Corrupt("impossible length or offset delta"));
        }
        Ok(header)
    }

    /// Parses and validates the one batch of a produce request: length, CRC, counts, and nothing a client may not send.
    pub fn parse_produced(bytes: &[u8]) -> Result<BatchHeader, LogError> {
        let header = BatchHeader::parse(bytes)?;
        match bytes.len().cmp(&header.total_bytes()) {
            std::cmp::Ordering::Less => return Err(LogError::Corrupt("truncated")),
            std::cmp::Ordering::Greater => return Err(LogError::Invalid("more than one batch for a partition")),
            std::cmp::Ordering::Equal => {}
        }
        if !header.crc_matches(bytes) {
            return Err(LogError::Corrupt("CRC mismatch"));
        }
        if header.is_control() {
            return Err(LogError::Invalid("clients may not write control records"));
        }
        if header.record_count < 1 || header.last_offset_delta != header.record_count - 1 {
            return Err(LogError::Invalid("record count and offset deltas disagree"));
        }
        if header.attributes & COMPRESSION_MASK > 4 {
            return Err(LogError::Invalid("unknown compression"));
        }
        if header.has_producer() && (header.producer_epoch < 0 || header.base_sequence < 0) {
            return Err(LogError::Invalid("producer id without epoch or sequence"));
        }
        if header.is_transactional() && !header.has_producer() {
            return Err(LogError::Invalid("transactional without producer id"));
        }
        Ok(header)
    }

    /// Bytes of the whole batch, header included.
    pub fn total_bytes(&self) -> usize {
        self.length as usize + LENGTH_PREFIX_BYTES
    }

    pub fn last_offset(&self) -> i64 {
        self.base_offset + i64::from(self.last_offset_delta)
    }

    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    pub fn has_producer(&self) -> bool {
        self.producer_id >= 0
    }

    pub fn is_log_append_time(&self) -> bool {
        self.attributes & LOG_APPEND_TIME != 0
    }

    /// The compression codec's number, 0 for none.
    pub fn compression(&self) -> i16 {
        self.attributes & COMPRESSION_MASK
    }

    /// The sequence of the last record; sequences wrap from `i32::MAX` to 0.
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            return self.base_sequence;
        }
        ((i64::from(self.base_sequence) + i64::from(self.last_offset_delta)) % (i64::from(i32::MAX) + 1)) as i32
    }

    /// Whether the CRC fits `batch`, which must be the whole batch.
    pub fn crc_matches(&self, batch: &[u8]) -> bool {
        crc32c::crc32c(&batch[CRC_START..self.total_bytes()]) == self.crc
    }
}

/// The 16 bytes that a broker assigns in front of a batch: base offset, length (unchanged) and leader epoch.
pub fn assigned_prefix(base_offset: i64, length: i32) -> [u8; 16] {
    let mut prefix = [0; 16];
    prefix[..8].copy_from_slice(&base_offset.to_be_bytes());
    prefix[8..12].copy_from_slice(&length.to_be_bytes());
    prefix[12..].copy_from_slice(&LEADER_EPOCH.to_be_bytes());
    prefix
}

/// The only leader epoch there is: a single broker never elects.
pub const LEADER_EPOCH: i32 = 0;

/// Marks a batch as stamped by the broker (`message.timestamp.type=LogAppendTime`) and renews its CRC.
pub fn stamp_append_time(batch: &mut [u8], now_ms: i64) {
    let attributes = i16::from_be_bytes(bytes_at(batch, 21)) | LOG_APPEND_TIME;
    batch[21..23].copy_from_slice(&attributes.to_be_bytes());
    batch[35..43].copy_from_slice(&now_ms.to_be_bytes());
    renew_crc(batch);
}

/// Computes the CRC of a whole batch and writes it into its header.
pub fn renew_crc(batch: &mut [u8]) {
    let crc = crc32c::crc32c(&batch[CRC_START..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
}

/// A batch around records that are already encoded (and compressed); used by compaction and for control records.
pub fn assemble(header: &BatchHeader, records: &[u8]) -> Vec<u8> {
    let mut batch = Vec::with_capacity(HEADER_BYTES + records.len());
    let length = (HEADER_BYTES - LENGTH_PREFIX_BYTES + records.len()) as i32;
    batch.extend_from_slice(&assigned_prefix(header.base_offset, length));
    batch.push(2);
    batch.extend_from_slice(&[0; 4]);
    batch.extend_from_slice(&header.attributes.to_be_bytes());
    batch.extend_from_slice(&header.last_offset_delta.to_be_bytes());
    batch.extend_from_slice(&header.base_timestamp.to_be_bytes());
    batch.extend_from_slice(&header.max_timestamp.to_be_bytes());
    batch.extend_from_slice(&header.producer_id.to_be_bytes());
    batch.extend_from_slice(&header.producer_epoch.to_be_bytes());
    batch.extend_from_slice(&header.base_sequence.to_be_bytes());
    batch.extend_from_slice(&header.record_count.to_be_bytes());
    batch.extend_from_slice(records);
    renew_crc(&mut batch);
    batch
}

/// The control batch that ends a transaction in one partition: one record, which takes one offset.
///
/// Key: version 0 and type (0 abort, 1 commit); value: version 0 and coordinator epoch (KIP-98, "Control Records").
pub fn end_marker(base_offset: i64, producer_id: i64, producer_epoch: i16, commit: bool, now_ms: i64) -> Vec<u8> {
    // Zigzag lengths: size 16, attributes, timestamp delta, offset delta, key of 4, value of 6, no headers.
    let mut record = vec![32, 0, 0, 0, 8, 0, 0, 0, u8::from(commit), 12];
    record.extend_from_slice(&[0; 6]);
    record.push(0);
    let header = BatchHeader {
        base_offset,
        length: 0,
        magic: 2,
        crc: 0,
        attributes: TRANSACTIONAL | CONTROL,
        last_offset_delta: 0,
        base_timestamp: now_ms,
        max_timestamp: now_ms,
        producer_id,
        producer_epoch,
        base_sequence: -1,
        record_count: 1,
    };
    assemble(&header, &record)
}

/// Whether a control batch (whole bytes) is a commit marker; `None` if it is of a kind unknown here.
pub fn is_commit_marker(batch: &[u8]) -> Option<bool> {
    // size, attributes, timestamp delta, offset delta and key length are one byte each in what `end_marker` writes.
    match batch.get(HEADER_BYTES + 5..HEADER_BYTES + 9)? {
        [0, 0, 0, 0] => Some(false),
        [0, 0, 0, 1] => Some(true),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub mod tests {
    use super::*;

    /// A batch of `values`, one record each, without keys.
    pub fn batch_of(values: &[&str], producer: Option<(i64, i16, i32)>, transactional: bool) -> Vec<u8> {
        let mut records = Vec::new();
        for (delta, value) in values.iter().enumerate() {
            crate::log::records::encode_record(&mut records, delta as i32, 0, None, Some(value.as_bytes()));
        }
        let (producer_id, producer_epoch, base_sequence) = producer.unwrap_or((-1, -1, -1));
        let header = BatchHeader {
            base_offset: 0,
            length: 0,
            magic: 2,
            crc: 0,
            attributes: if transactional { TRANSACTIONAL } else { 0 },
            last_offset_delta: values.len() as i32 - 1,
            base_timestamp: 1_000,
            max_timestamp: 1_000,
            producer_id,
            producer_epoch,
            base_sequence,
            record_count: values.len() as i32,
        };
        assemble(&header, &records)
    }

    #[test]
    fn a_produced_batch_is_accepted_and_its_parts_are_read() {
        let batch = batch_of(&["a", "b", "c"], Some((7, 1, i32::MAX - 1)), true);
        let header = BatchHeader::parse_produced(&batch).unwrap();
        assert_eq!((header.record_count, header.last_offset_delta), (3, 2));
        assert_eq!((header.producer_id, header.producer_epoch), (7, 1));
        assert_eq!(header.last_sequence(), 0, "sequences wrap");
        assert!(header.is_transactional() && !header.is_control());
        assert_eq!(header.total_bytes(), batch.len());
    }

    #[test]
    fn a_flipped_bit_a_cut_tail_and_a_second_batch_are_refused() {
        let batch = batch_of(&["value"], None, false);
        let mut flipped = batch.clone();
        *flipped.last_mut().unwrap() ^= 1;
        assert!(matches!(BatchHeader::parse_produced(&flipped), Err(LogError::Corrupt(_))));
        assert!(matches!(BatchHeader::parse_produced(&batch[..batch.len() - 1]), Err(LogError::Corrupt(_))));
        assert!(matches!(BatchHeader::parse_produced(&batch[..20]), Err(LogError::Corrupt(_))));
        let twice = [batch.clone(), batch].concat();
        assert!(matches!(BatchHeader::parse_produced(&twice), Err(LogError::Invalid(_))));
    }

    #[test]
    fn append_time_is_stamped_with_a_fresh_crc() {
        let mut batch = batch_of(&["value"], None, false);
        stamp_append_time(&mut batch, 42);
        let header = BatchHeader::parse_produced(&batch).unwrap();
        assert!(header.is_log_append_time());
        assert_eq!(header.max_timestamp, 42);
    }

    #[test]
    fn end_markers_say_what_they_are() {
        for commit in [false, true] {
            let marker = end_marker(9, 4, 2, commit, 1);
            let header = BatchHeader::parse(&marker).unwrap();
            assert!(header.is_control() && header.crc_matches(&marker));
            assert_eq!((header.base_offset, header.last_offset()), (9, 9));
            assert_eq!(is_commit_marker(&marker), Some(commit));
            let records = crate::log::records::Records::open(&marker).unwrap();
            let record = records.iter().next().unwrap().unwrap();
            assert_eq!(record.key, Some(&[0, 0, 0, u8::from(commit)][..]));
            assert_eq!(record.value, Some(&[0; 6][..]));
        }
    }
}
