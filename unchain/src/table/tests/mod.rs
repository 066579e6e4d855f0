//! Tables as their users see them: against a model, through crashes, and with stores that cannot be used.
#![allow(clippy::unwrap_used)]

mod crash;
mod expiry;
mod model;
mod queries;

use std::time::Duration;

use crate::contract::{Cleanup, Retention, Topic};
use crate::table::{StoreSettings, Stores};

pub(super) static SPEND: Topic = topic("spend");
pub(super) static VISITS: Topic = topic("visits");

const fn topic(name: &'static str) -> Topic {
    Topic {
        name,
        schema_name: "tests.Row",
        schema: "\"string\"",
        key: "key",
        partitions: 1,
        cleanup: Cleanup::Compact,
        retention: Retention::Forever,
        doc: "",
    }
}

/// Bounds so small that every one of them is met.
pub(super) fn tight() -> StoreSettings {
    StoreSettings {
        max_dirty_bytes: 4_000,
        max_cached_bytes: 2_000,
        flush_interval: Duration::ZERO,
        ..Default::default()
    }
}

pub(super) fn stores_at(dir: &std::path::Path) -> Stores {
    Stores::at(dir, "pricing", "pod-0", tight())
}
