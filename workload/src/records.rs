//! Makes records to send: values of the workload's sizes or from its file, keys by its skew, into buffers that are reused.

use std::path::Path;
use std::sync::Arc;

use unchain_measure::random::Random;

use crate::BenchError;
use crate::shape::KeyDraws;
use crate::workload::Workload;

/// The bytes before the value proper, where a value says when it was due.
pub(crate) const STAMP_BYTES: usize = 8;
/// Values are cut from this much of random text, at random places.
const POOL_BYTES: usize = 1 << 20;

/// What all producers of a workload share.
pub(crate) struct Material {
    workload: Workload,
    /// The values of the payload file; empty where there is none.
    lines: Vec<Vec<u8>>,
    pool: Vec<u8>,
    keys: KeyDraws,
}

impl Material {
    pub(crate) fn of(workload: &Workload) -> Result<Arc<Material>, BenchError> {
        let lines = workload.payload_file.as_deref().map(read_lines).transpose()?.unwrap_or_default();
        let mut random = Random::branch(workload.seed, 0);
        // Capital letters, as Kafka's own performance tool sends: they compress a little.
        let letter = |_| b'A' + u8::try_from(random.between(0, 26)).unwrap_or(0);
        let longest = workload.record_bytes.largest() as usize;
        let pool = (0..POOL_BYTES + longest).map(letter).collect();
        Ok(Arc::new(Material { lines, pool, keys: KeyDraws::new(workload.keys), workload: workload.clone() }))
    }
}

impl Material {
    /// The mean size of a value.
    pub(crate) fn mean_bytes(&self) -> f64 {
        if self.lines.is_empty() {
            return self.workload.record_bytes.mean();
        }
        let stamps = if self.workload.kind.stamp_bytes() > 0 { STAMP_BYTES as f64 } else { 0.0 };
        stamps + self.lines.iter().map(Vec::len).sum::<usize>() as f64 / self.lines.len() as f64
    }
}

fn read_lines(file: &Path) -> Result<Vec<Vec<u8>>, BenchError> {
    let content = std::fs::read(file).map_err(|source| BenchError::File { file: file.to_owned(), source })?;
    let lines: Vec<_> =
        content.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect();
    if lines.is_empty() {
        let source = std::io::Error::new(std::io::ErrorKind::InvalidData, "the payload file has no lines");
        return Err(BenchError::File { file: file.to_owned(), source });
    }
    Ok(lines)
}

/// One producer's records, one after the other.
pub(crate) struct Records {
    material: Arc<Material>,
    random: Random,
    next_line: usize,
    is_stamped: bool,
    value: Vec<u8>,
    key: Vec<u8>,
}

impl Records {
    pub(crate) fn new(material: &Arc<Material>, producer: u64, run: u64) -> Records {
        let seed = material.workload.seed.wrapping_add(run);
        Records {
            material: Arc::clone(material),
            random: Random::branch(seed, producer + 1),
            next_line: usize::try_from(producer).unwrap_or(0),
            is_stamped: material.workload.kind.stamp_bytes() > 0,
            value: Vec::new(),
            key: Vec::new(),
        }
    }

    /// Goes on to the next record, which is due then.
    #[inline]
    pub(crate) fn advance(&mut self, due_nanos: u64) {
        self.value.clear();
        if self.is_stamped {
            self.value.extend_from_slice(&due_nanos.to_le_bytes());
        }
        self.append_payload();
        self.draw_key();
    }

    fn append_payload(&mut self) {
        let material = &*self.material;
        if material.lines.is_empty() {
            let bytes = material.workload.record_bytes.draw(&mut self.random).saturating_sub(self.value.len());
            let from = usize::try_from(self.random.draw()).unwrap_or(0) % POOL_BYTES;
            self.value.extend_from_slice(&material.pool[from..from + bytes]);
        } else {
            self.value.extend_from_slice(&material.lines[self.next_line % material.lines.len()]);
            self.next_line += 1;
        }
    }

    /// `key-` and eight hexadecimal digits.
    fn draw_key(&mut self) {
        self.key.clear();
        if let Some(number) = self.material.keys.draw(&mut self.random) {
            self.key.extend_from_slice(b"key-");
            let digit = |place: u32| b"0123456789abcdef"[(number >> (28 - 4 * place) & 0xf) as usize];
            self.key.extend((0..8).map(digit));
        }
    }

    pub(crate) fn key(&self) -> &[u8] {
        &self.key
    }

    pub(crate) fn value(&self) -> &[u8] {
        &self.value
    }

    /// The value without the stamp.
    pub(crate) fn payload(&self) -> &[u8] {
        &self.value[if self.is_stamped { STAMP_BYTES } else { 0 }..]
    }
}

/// A stamped value of a record that only opens connections.
pub(crate) const PRIMING_VALUE: [u8; STAMP_BYTES] = crate::tally::PRIMING.to_le_bytes();

/// When a value was due; `None` of one that is no stamped value.
pub(crate) fn stamp(value: &[u8]) -> Option<u64> {
    value.first_chunk().map(|stamp| u64::from_le_bytes(*stamp))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;
    use crate::workload::Kind;

    fn values(kind: Kind, settings: Settings) -> Vec<(Vec<u8>, Vec<u8>)> {
        let workload = Workload::of(kind, settings, "the test").unwrap();
        let mut records = Records::new(&Material::of(&workload).unwrap(), 0, 0);
        let mut next = |due| {
            records.advance(due);
            (records.key().to_vec(), records.value().to_vec())
        };
        (0..4).map(|nth| next(nth * 1_000)).collect()
    }

    #[test]
    fn a_seed_makes_the_same_records_again_of_the_size_asked_for() {
        let settings = |seed| Settings { seed: Some(seed), ..Settings::default() };
        let made = values(Kind::Produce, settings(4));
        assert_eq!(made, values(Kind::Produce, settings(4)));
        assert_ne!(made, values(Kind::Produce, settings(5)));
        assert!(made.iter().all(|(key, value)| (key.len(), value.len()) == (12, 200)));
    }

    #[test]
    fn a_stamped_value_says_when_it_was_due_within_its_size() {
        let made = values(Kind::EndToEnd, Settings::default());
        assert_eq!(made.iter().map(|(_, value)| stamp(value)).collect::<Vec<_>>(), [0, 1_000, 2_000, 3_000].map(Some));
        assert!(made.iter().all(|(_, value)| value.len() == 200));
    }

    #[test]
    fn a_payload_files_lines_come_in_turn() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "one\ntwo\n\nthree\n").unwrap();
        let settings = Settings { payload_file: Some(file.path().to_owned()), ..Settings::default() };
        let made = values(Kind::Produce, settings);
        assert_eq!(
            made.iter().map(|(_, value)| value.as_slice()).collect::<Vec<_>>(),
            [&b"one"[..], b"two", b"three", b"one"]
        );
    }
}
