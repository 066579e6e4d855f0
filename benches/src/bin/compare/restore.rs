//! Restore: a table is filled by J2, its local files are deleted, and a fresh process must read the changelog back.

use std::time::Duration;

use crate::contestant::Contestant;
use crate::drain::{Load, drain};
use crate::orders::{Feed, order};
use crate::results::Measured;
use crate::stage::Stage;
use crate::{Bench, Failure, pause};

/// Orders for the fresh process: enough that every partition gets some.
const FRESH_ORDERS: u64 = 600;

/// The stage's input is its own, and is filled here.
pub fn restore(bench: &Bench, stage: &Stage<'_>, contestant: &Contestant, records: u64) -> Result<Measured, Failure> {
    crate::orders::fill(stage.cluster, &stage.input, records)?;
    drain(bench, stage, contestant, Load { records, expected: records, limit: None })?;
    stage.cluster.group(&stage.group, &stage.input)?.await_empty(Duration::from_secs(90))?;
    let changelog_records = stage.changelog_records()?;
    let mut feed = Feed::fast(stage.cluster, &stage.input)?;
    for index in records..records + FRESH_ORDERS {
        feed.send(&order(index))?;
    }
    feed.finish()?;

    let before = stage.visible()?;
    // Each process of a stage has a folder of its own for its state: this one's is empty.
    let mut process = stage.start(contestant, &[])?;
    while stage.visible()? <= before {
        process.expect_alive()?;
        if process.started.elapsed() > Duration::from_secs(300) {
            return Err("not restored after 300 s".into());
        }
        pause(Duration::from_millis(5));
    }
    let seconds = process.started.elapsed().as_secs_f64();
    process.stop()?;
    let mut measured = Measured::default();
    measured.set("changelog_records", changelog_records as f64);
    measured.set("first_output_s", seconds);
    measured.set("records_per_s_from_start", changelog_records as f64 / seconds);
    Ok(measured)
}
