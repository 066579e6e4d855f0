//! `avro`: how many values of a generated contract one core encodes and decodes; no broker takes part.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use unchain::app::Signals;
use unchain::contract::{Codecs, LocalRegistry, SchemaRegistry};
use unchain_measure::usage;

use crate::BenchError;
use crate::contracts::{Order, OrderLine};
use crate::result::{Facts, Run};
use crate::workload::Workload;

/// Values between two looks at the clock.
const BATCH: u64 = 1_000;

pub(crate) fn run_without_broker(workload: &Workload, signals: &Signals) -> Result<Run, BenchError> {
    let registry: Arc<dyn SchemaRegistry> = Arc::new(LocalRegistry::in_memory());
    let mut codecs = Codecs::new(registry);
    codecs.add_encoder::<Order>()?;
    codecs.add_decoder::<Order>()?;
    let (order, mut bytes) = (order(), Vec::new());
    codecs.encode_into(&order, &mut bytes)?;
    let encoded = bytes.clone();
    let before = usage::cpu_seconds(std::process::id());
    let half = workload.duration() / 2;
    let warm_up = workload.warm_up() / 2;
    let encoding = timed(signals, warm_up, half, || {
        bytes.clear();
        codecs.encode_into(black_box(&order), &mut bytes)?;
        black_box(&bytes);
        Ok(())
    })?;
    let between = usage::cpu_seconds(std::process::id());
    let decoding = timed(signals, warm_up, half, || {
        black_box(codecs.decode::<Order>(black_box(&encoded))?);
        Ok(())
    })?;
    let after = usage::cpu_seconds(std::process::id());
    // Of one value through both, as the rate below.
    let cpu = (between - before) / encoding.all.max(1) as f64 + (after - between) / decoding.all.max(1) as f64;
    let facts = Facts {
        sent: encoding.all,
        acknowledged: encoding.all,
        received: decoding.all,
        measured: encoding.measured + decoding.measured,
        measured_seconds: encoding.seconds + decoding.seconds,
        ..Facts::default()
    };
    let mut run = Run { facts, ..Run::default() };
    let (encoded_rate, decoded_rate) = (encoding.rate(), decoding.rate());
    run.metrics.insert("encoded_per_second".into(), encoded_rate);
    run.metrics.insert("decoded_per_second".into(), decoded_rate);
    // One value through both.
    let both = 1.0 / (1.0 / encoded_rate + 1.0 / decoded_rate);
    run.metrics.insert("records_per_second".into(), both);
    run.metrics.insert("megabytes_per_second".into(), both * encoded.len() as f64 / 1e6);
    run.metrics.insert("cpu_seconds_per_million.client".into(), cpu * 1e6);
    Ok(run)
}

struct Timed {
    all: u64,
    measured: u64,
    seconds: f64,
}

impl Timed {
    fn rate(&self) -> f64 {
        self.measured as f64 / self.seconds.max(1e-9)
    }
}

/// Repeats something, and counts what was done after the warm-up.
fn timed(
    signals: &Signals,
    warm_up: Duration,
    duration: Duration,
    mut step: impl FnMut() -> Result<(), BenchError>,
) -> Result<Timed, BenchError> {
    let started = Instant::now();
    let (mut all, mut skipped, mut from) = (0, 0, Duration::ZERO);
    loop {
        for _ in 0..BATCH {
            step()?;
        }
        all += BATCH;
        let now = started.elapsed();
        if signals.received() {
            return Err(BenchError::Interrupted);
        }
        if now < warm_up {
            (skipped, from) = (all, now);
        }
        if now >= duration {
            return Ok(Timed { all, measured: all - skipped, seconds: (now - from).as_secs_f64() });
        }
    }
}

/// Three lines, as orders have on the average.
fn order() -> Order {
    let line = |number: i32| OrderLine {
        sku: format!("sku-{number:05}"),
        quantity: number,
        unit_price_cents: 1_000 + i64::from(number),
    };
    Order {
        order_id: "order-000001".to_owned(),
        customer_id: "customer-04711".to_owned(),
        placed_at_ms: 1_700_000_000_000,
        currency: "EUR".to_owned(),
        lines: (1..4).map(line).collect(),
    }
}
