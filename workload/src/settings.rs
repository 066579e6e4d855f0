//! What a user may say of a workload, by a file, by flags, or by both: each flag stands over the file's field.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;
use unchain::kafka::{Acks, Compression};

use crate::BenchError;
use crate::shape::{Keys, Rate, Sizes};
use crate::workload::{Guarantee, Kind};

/// The fields of a workload file and the flags of the same names.
#[derive(Debug, Clone, Default, PartialEq, Args, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    #[arg(skip)]
    pub kind: Option<Kind>,
    /// Topics, each with as many partitions.
    #[arg(long, value_name = "N")]
    pub topics: Option<u32>,
    #[arg(long, value_name = "N")]
    pub partitions: Option<i32>,
    /// Bytes of a record's value: 200, 100..300, or sizes with weights as 100:9,1000:1.
    #[arg(long, value_name = "SIZES")]
    pub record_bytes: Option<Sizes>,
    /// Different keys, as 10000; with a Zipf exponent, as 10000:1.1; or none.
    #[arg(long, value_name = "KEYS")]
    pub keys: Option<Keys>,
    /// A file whose lines are the records' values, in turn.
    #[arg(long, value_name = "FILE")]
    pub payload_file: Option<PathBuf>,
    /// Producing threads, each with a client of its own.
    #[arg(long, value_name = "N")]
    pub producers: Option<u32>,
    /// Consuming threads; of `process`, the processor's workers.
    #[arg(long, value_name = "N")]
    pub consumers: Option<u32>,
    /// Records a second of all producers together, as 10000, or max.
    #[arg(long, value_name = "N/s | max")]
    pub rate: Option<Rate>,
    /// Requests in flight (`request` with rate max).
    #[arg(long, value_name = "N")]
    pub in_flight: Option<u32>,
    /// How long records are sent.
    #[arg(long, value_name = "S")]
    pub seconds: Option<f64>,
    /// What is left out at the beginning.
    #[arg(long, value_name = "S")]
    pub warm_up_seconds: Option<f64>,
    /// Records to be read (`consume`).
    #[arg(long, value_name = "N")]
    pub records: Option<u64>,
    /// What the processor promises (`process`).
    #[arg(long)]
    pub guarantee: Option<Guarantee>,
    #[arg(long)]
    pub acks: Option<Acks>,
    /// How long the producer fills a batch.
    #[arg(long, value_name = "MS")]
    pub linger_ms: Option<f64>,
    /// The largest batch.
    #[arg(long, value_name = "BYTES")]
    pub batch_bytes: Option<u32>,
    #[arg(long)]
    pub compression: Option<Compression>,
    /// Whether the producer is idempotent; it is where acks is all.
    #[arg(long, value_name = "true | false")]
    pub idempotence: Option<bool>,
    /// Requests that one producer has underway to one broker.
    #[arg(long, value_name = "N")]
    pub max_in_flight_requests: Option<u32>,
    /// Records queued in one producer.
    #[arg(long, value_name = "N")]
    pub max_queued_records: Option<u32>,
    /// Megabytes queued in one producer.
    #[arg(long, value_name = "MB")]
    pub max_queued_mb: Option<u32>,
    /// Where random draws begin; taken by chance, and printed, where it is not given.
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// How often all of it is measured.
    #[arg(long, value_name = "N")]
    pub runs: Option<u32>,
}

impl Settings {
    /// # Errors
    /// [`BenchError::Workload`] names the file and the field.
    pub fn read(file: &Path) -> Result<Settings, BenchError> {
        let text = std::fs::read_to_string(file);
        let text = text.map_err(|source| BenchError::File { file: file.to_owned(), source })?;
        Settings::parse(&text).map_err(|reason| BenchError::Workload { file: file.to_owned(), reason })
    }

    fn parse(yaml: &str) -> Result<Settings, String> {
        serde_yaml_ng::from_str(yaml).map_err(|error| error.to_string())
    }

    /// These settings, and where they say nothing those.
    #[must_use]
    pub fn or(self, base: Settings) -> Settings {
        macro_rules! merged {
            ($($field:ident),* $(,)?) => { Settings { $($field: self.$field.or(base.$field)),* } };
        }
        merged!(
            kind,
            topics,
            partitions,
            record_bytes,
            keys,
            payload_file,
            producers,
            consumers,
            rate,
            in_flight,
            seconds,
            warm_up_seconds,
            records,
            guarantee,
            acks,
            linger_ms,
            batch_bytes,
            compression,
            idempotence,
            max_in_flight_requests,
            max_queued_records,
            max_queued_mb,
            seed,
            runs,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::SizeRange;

    #[test]
    fn a_file_names_what_a_flag_names() {
        let yaml = "kind: end-to-end\nrecord_bytes: {min: 100, max: 300}\nkeys: {count: 1000, zipf: 1.1}\nrate: 5000\n\
            guarantee: at-least-once\nacks: leader\ncompression: lz4\nseconds: 5\n";
        let settings = Settings::parse(yaml).unwrap();
        assert_eq!(settings.kind, Some(Kind::EndToEnd));
        assert_eq!(settings.record_bytes, Some(Sizes::Uniform(SizeRange { min: 100, max: 300 })));
        assert_eq!((settings.rate, settings.acks), (Some(Rate::PerSecond(5_000)), Some(Acks::Leader)));
        assert_eq!(Settings::parse("rate: max").unwrap().rate, Some(Rate::MAX));
    }

    #[test]
    fn what_a_file_gets_wrong_is_named_with_what_is_allowed() {
        for (yaml, expected) in [
            ("partition: 3", &["partition", "partitions"][..]),
            ("partitions: many", &["partitions"]),
            ("kind: fast", &["kind", "end-to-end"]),
            ("rate: fast", &["rate", "records a second", "max"]),
            ("record_bytes: big", &["record_bytes", "{min: A, max: B}"]),
            ("keys: {count: 3, skew: 1}", &["keys", "skew", "zipf"]),
        ] {
            let error = Settings::parse(yaml).unwrap_err();
            assert!(expected.iter().all(|word| error.contains(word)), "{yaml}: {error}");
        }
    }

    #[test]
    fn flags_stand_over_the_file() {
        let file = Settings { runs: Some(5), topics: Some(2), ..Settings::default() };
        let flags = Settings { runs: Some(1), ..Settings::default() };
        assert_eq!(flags.or(file), Settings { runs: Some(1), topics: Some(2), ..Settings::default() });
    }
}
