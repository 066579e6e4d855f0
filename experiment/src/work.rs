//! The work of one service, the same on both sides: permits around a wait, which stands for a database or a partner.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::random::SharedRandom;
use crate::settings::WorkSettings;

/// Shared by all orders that a service works on.
#[derive(Debug, Clone)]
pub struct Work(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    permits: Semaphore,
    spread: f64,
    random: SharedRandom,
    service_time_ms: AtomicU64,
}

/// Work that has its permit and not begun.
#[derive(Debug)]
pub struct Begun<'a> {
    _permit: SemaphorePermit<'a>,
    time: Duration,
}

impl Work {
    pub fn new(settings: &WorkSettings, seed: u64) -> Work {
        Work(Arc::new(Shared {
            permits: Semaphore::new(settings.concurrency),
            spread: settings.spread,
            random: SharedRandom::of(seed),
            service_time_ms: AtomicU64::new(settings.service_time_ms),
        }))
    }

    /// From now on the work takes so long: a partner that has become slow, or quick again.
    pub fn set_service_time_ms(&self, service_time_ms: u64) {
        self.0.service_time_ms.store(service_time_ms, Ordering::Relaxed);
    }

    /// Waits for a permit.
    pub async fn begin(&self) -> Begun<'_> {
        let permit = self.0.permits.acquire().await.expect("the permits are never closed");
        let factor = 1.0 + self.0.spread * (2.0 * self.0.random.fraction() - 1.0);
        let service_time_ms = self.0.service_time_ms.load(Ordering::Relaxed) as f64;
        Begun { _permit: permit, time: Duration::from_secs_f64(service_time_ms * factor / 1000.0) }
    }

    /// Waits for a permit, then for the work.
    pub async fn perform(&self) {
        self.begin().await.finish().await;
    }
}

impl Begun<'_> {
    pub async fn finish(self) {
        tokio::time::sleep(self.time).await;
    }
}
