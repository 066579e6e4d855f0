//! A workload: what is sent, how fast and for how long, with every field decided and within its bounds.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use unchain::kafka::{Acks, Compression, LoadSettings};

use crate::BenchError;
use crate::settings::Settings;
use crate::shape::{Keys, Rate, Sizes};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Produce,
    Consume,
    Process,
    Request,
    EndToEnd,
    Avro,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Produce => "produce",
            Kind::Consume => "consume",
            Kind::Process => "process",
            Kind::Request => "request",
            Kind::EndToEnd => "end-to-end",
            Kind::Avro => "avro",
        }
    }

    /// Bytes of a value that carry when it was due.
    pub fn stamp_bytes(self) -> u32 {
        match self {
            Kind::EndToEnd | Kind::Request => 8,
            // The field itself, the key and the frame.
            Kind::Process => 40,
            Kind::Produce | Kind::Consume | Kind::Avro => 0,
        }
    }
}

/// What a processor promises of its outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Guarantee {
    ExactlyOnce,
    AtLeastOnce,
}

/// A workload. It says all that is needed to run it again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Workload {
    pub kind: Kind,
    pub topics: u32,
    pub partitions: i32,
    pub record_bytes: Sizes,
    pub keys: Keys,
    pub payload_file: Option<PathBuf>,
    pub producers: u32,
    pub consumers: u32,
    pub rate: Rate,
    pub in_flight: u32,
    pub seconds: f64,
    pub warm_up_seconds: f64,
    pub records: u64,
    pub guarantee: Guarantee,
    pub acks: Acks,
    pub linger_ms: f64,
    pub batch_bytes: u32,
    pub compression: Compression,
    pub idempotence: bool,
    pub max_in_flight_requests: u32,
    pub max_queued_records: u32,
    pub max_queued_mb: u32,
    pub seed: u64,
    pub runs: u32,
}

const MAX_SECONDS: f64 = 86_400.0;
/// Kafka's own default limit of a record is a megabyte.
const MAX_RECORD_BYTES: u32 = 1_000_000;
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(30);

impl Workload {
    /// Whether each record waits for room or for a reply, and none for its time.
    pub fn is_closed_loop(&self) -> bool {
        matches!(self.kind, Kind::Produce | Kind::EndToEnd | Kind::Process | Kind::Request) && self.rate == Rate::MAX
    }

    /// Decides what the settings leave open; `origin` is where they come from, for messages.
    ///
    /// # Errors
    /// [`BenchError::Field`] names the field that is out of its bounds, and these.
    pub fn of(kind: Kind, settings: Settings, origin: &str) -> Result<Workload, BenchError> {
        let is_paced = matches!(kind, Kind::EndToEnd | Kind::Process);
        let acks = settings.acks.unwrap_or(Acks::All);
        let seconds = settings.seconds.unwrap_or(if kind == Kind::Avro { 3.0 } else { 10.0 });
        let workload = Workload {
            kind,
            topics: settings.topics.unwrap_or(1),
            partitions: settings.partitions.unwrap_or(6),
            record_bytes: settings.record_bytes.unwrap_or(Sizes::Fixed(200)),
            keys: settings.keys.unwrap_or(Keys { count: 10_000, zipf: 0.0 }),
            payload_file: settings.payload_file,
            producers: settings.producers.unwrap_or(settings.topics.unwrap_or(1)),
            consumers: settings.consumers.unwrap_or(1),
            rate: settings.rate.unwrap_or(if is_paced { Rate::PerSecond(1_000) } else { Rate::MAX }),
            in_flight: settings.in_flight.unwrap_or(1),
            seconds,
            warm_up_seconds: settings.warm_up_seconds.unwrap_or(match kind {
                Kind::Consume => 0.0,
                _ => seconds / 5.0,
            }),
            records: settings.records.unwrap_or(1_000_000),
            guarantee: settings.guarantee.unwrap_or(Guarantee::ExactlyOnce),
            acks,
            linger_ms: settings.linger_ms.unwrap_or(match kind {
                Kind::Request | Kind::EndToEnd | Kind::Process => 0.0,
                _ => 5.0,
            }),
            batch_bytes: settings.batch_bytes.unwrap_or(256 * 1024),
            compression: settings.compression.unwrap_or(Compression::Lz4),
            idempotence: settings.idempotence.unwrap_or(acks == Acks::All),
            max_in_flight_requests: settings.max_in_flight_requests.unwrap_or(match kind {
                // At linger 0 the wait for the last answer is what fills batches.
                Kind::Request | Kind::EndToEnd | Kind::Process => 1,
                _ => 5,
            }),
            max_queued_records: settings.max_queued_records.unwrap_or(100_000),
            max_queued_mb: settings.max_queued_mb.unwrap_or(64),
            seed: settings.seed.unwrap_or_else(crate::cluster::by_chance),
            runs: settings.runs.unwrap_or(3),
        };
        workload.check(origin)?;
        Ok(workload)
    }

    fn check(&self, origin: &str) -> Result<(), BenchError> {
        let wrong = |field, given: String, allowed: String| BenchError::Field {
            origin: origin.to_owned(),
            field,
            given,
            allowed,
        };
        let number = |field, given: u64, allowed: RangeInclusive<u64>| match allowed.contains(&given) {
            true => Ok(()),
            false => Err(wrong(field, given.to_string(), format!("{} to {}", allowed.start(), allowed.end()))),
        };
        let text = |given: &dyn Display| given.to_string();
        number("topics", self.topics.into(), 1..=1_000)?;
        number("partitions", u64::try_from(self.partitions).unwrap_or(0), 1..=10_000)?;
        number("producers", self.producers.into(), u64::from(self.topics)..=1_000)?;
        number("consumers", self.consumers.into(), 1..=1_000)?;
        number("in_flight", self.in_flight.into(), 1..=1_000_000)?;
        number("records", self.records, 1..=10_000_000_000)?;
        number("keys", self.keys.count.into(), 0..=10_000_000)?;
        number("runs", self.runs.into(), 1..=100)?;
        number("batch_bytes", self.batch_bytes.into(), 1..=100_000_000)?;
        number(
            "max_in_flight_requests",
            self.max_in_flight_requests.into(),
            1..=if self.idempotence { 5 } else { 1_000 },
        )?;
        number("max_queued_records", self.max_queued_records.into(), 1..=10_000_000)?;
        number("max_queued_mb", self.max_queued_mb.into(), 1..=2_000)?;
        if let Some(rate) = self.rate.per_second() {
            number("rate", rate, 1..=1_000_000_000)?;
        }
        let least = self.kind.stamp_bytes();
        let sizes = u64::from(least)..=u64::from(MAX_RECORD_BYTES);
        number("record_bytes", self.record_bytes.smallest().into(), sizes.clone())?;
        number("record_bytes", self.record_bytes.largest().into(), sizes)?;
        if !self.record_bytes.is_drawable() {
            let given = format!("{:?}", self.record_bytes);
            return Err(wrong("record_bytes", given, "min up to max, and a weight above 0".to_owned()));
        }
        if !(0.0..=10.0).contains(&self.keys.zipf) {
            return Err(wrong("keys", text(&self.keys.zipf), "a Zipf exponent from 0 to 10".to_owned()));
        }
        if !(0.1..=MAX_SECONDS).contains(&self.seconds) {
            return Err(wrong("seconds", text(&self.seconds), format!("0.1 to {MAX_SECONDS}")));
        }
        if !(0.0..self.seconds).contains(&self.warm_up_seconds) {
            let allowed = format!("0 to less than `seconds`, which is {}", self.seconds);
            return Err(wrong("warm_up_seconds", text(&self.warm_up_seconds), allowed));
        }
        if self.kind == Kind::Consume && self.warm_up_seconds > 0.0 {
            let allowed = "0, since reading is timed from the first record on".to_owned();
            return Err(wrong("warm_up_seconds", text(&self.warm_up_seconds), allowed));
        }
        if !(0.0..=10_000.0).contains(&self.linger_ms) {
            return Err(wrong("linger_ms", text(&self.linger_ms), "0 to 10000".to_owned()));
        }
        if self.idempotence && self.acks != Acks::All {
            return Err(wrong("idempotence", text(&true), "false where acks is not all".to_owned()));
        }
        if self.kind == Kind::Process && self.topics != 1 {
            return Err(wrong("topics", text(&self.topics), "1, since the processor reads one topic".to_owned()));
        }
        if self.kind == Kind::Request && (self.topics, self.producers) != (1, 1) {
            let given = format!("{} with {} producers", self.topics, self.producers);
            return Err(wrong("topics", given, "1 with 1 producer, which is the requester".to_owned()));
        }
        Ok(())
    }

    pub fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    pub fn warm_up(&self) -> Duration {
        Duration::from_secs_f64(self.warm_up_seconds)
    }

    pub fn load_settings(&self) -> LoadSettings {
        LoadSettings {
            acks: self.acks,
            linger: Duration::from_secs_f64(self.linger_ms / 1e3),
            max_batch_bytes: self.batch_bytes as usize,
            compression: self.compression,
            idempotence: self.idempotence,
            max_in_flight_requests: self.max_in_flight_requests as usize,
            max_queued_records: self.max_queued_records as usize,
            max_queued_bytes: self.max_queued_mb as usize * 1_000_000,
            delivery_timeout: DELIVERY_TIMEOUT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(kind: Kind, settings: Settings) -> String {
        Workload::of(kind, settings, "workload file w.yaml").unwrap_err().to_string()
    }

    #[test]
    fn what_is_out_of_bounds_is_named_with_its_bounds() {
        let none = Settings::default;
        let cases = [
            (Kind::Produce, Settings { partitions: Some(0), ..none() }, "`partitions` is 0; allowed: 1 to 10000"),
            (
                Kind::EndToEnd,
                Settings { record_bytes: Some(Sizes::Fixed(4)), ..none() },
                "`record_bytes` is 4; allowed: 8",
            ),
            (Kind::Produce, Settings { seconds: Some(f64::NAN), ..none() }, "`seconds` is NaN; allowed: 0.1"),
            (
                Kind::Produce,
                Settings { warm_up_seconds: Some(20.0), ..none() },
                "`warm_up_seconds` is 20; allowed: 0 to less",
            ),
            (Kind::Produce, Settings { rate: Some(Rate::PerSecond(0)), ..none() }, "`rate` is 0; allowed: 1"),
            (Kind::Process, Settings { topics: Some(2), ..none() }, "`topics` is 2; allowed: 1"),
            (Kind::Produce, Settings { topics: Some(2), producers: Some(1), ..none() }, "`producers` is 1; allowed: 2"),
        ];
        for (kind, settings, expected) in cases {
            let message = refused(kind, settings);
            assert!(message.starts_with("workload file w.yaml: ") && message.contains(expected), "{message}");
        }
    }

    #[test]
    fn what_is_left_open_is_decided_and_survives_json() {
        let workload = Workload::of(Kind::Produce, Settings::default(), "the flags").unwrap();
        assert_eq!((workload.rate, workload.runs, workload.idempotence), (Rate::MAX, 3, true));
        let json = serde_json::to_string(&workload).unwrap();
        assert_eq!(serde_json::from_str::<Workload>(&json).unwrap(), workload);
    }
}
