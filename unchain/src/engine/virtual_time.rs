//! Time under control: a runtime whose clock stands still, and the wall clock that goes with it.
//!
//! Retries, timeouts and pauses happen at their moment of this time, at once. What a handler waits for outside of the
//! process has no time to answer: as soon as nothing else can go on, time passes.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::time::Instant;

use super::drive::{Drive, Handled};

/// How often the runtime goes round without any progress before a call counts as waiting for time: enough for what
/// handlers spawn or yield to.
const IDLE_ROUNDS: u32 = 32;

/// A runtime on this thread whose time passes only where it is waited for.
pub struct VirtualTime {
    runtime: Runtime,
    clock: VirtualClock,
}

/// The wall clock of a [`VirtualTime`], to be read and set within what it runs.
#[derive(Debug, Clone)]
pub struct VirtualClock {
    began: Instant,
    /// The wall clock at `began`, in milliseconds since the Unix epoch; moved on by [`VirtualClock::reach`].
    base_ms: Arc<AtomicI64>,
}

impl VirtualTime {
    /// # Errors
    /// Where the system gives a runtime no descriptors.
    pub fn new() -> io::Result<VirtualTime> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?;
        let began = runtime.block_on(async { Instant::now() });
        Ok(VirtualTime { runtime, clock: VirtualClock { began, base_ms: Arc::default() } })
    }

    pub fn clock(&self) -> VirtualClock {
        self.clock.clone()
    }

    /// Runs a future to its end.
    pub fn run<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }
}

impl VirtualClock {
    /// Milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> i64 {
        let passed = i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.base_ms.load(Ordering::Relaxed).saturating_add(passed)
    }

    /// Sets the wall clock, which never goes back. Nothing that waits is woken.
    pub fn reach(&self, time_ms: i64) {
        let behind = time_ms.saturating_sub(self.now_ms());
        self.base_ms.fetch_add(behind.max(0), Ordering::Relaxed);
    }
}

/// Lets time pass until records are completed, and tells how much of it is left; `None` where all has passed.
pub async fn pass(time: Duration, drive: &mut Drive, handled: &mut Vec<Handled>) -> Option<Duration> {
    let end = Instant::now() + time;
    loop {
        handled.extend(drive.completed());
        if !handled.is_empty() {
            return Some(end - Instant::now());
        }
        tokio::select! {
            biased;
            () = drive.turn(), if drive.waiting() > 0 => {}
            () = tokio::time::sleep_until(end) => {
                settle(drive, handled).await;
                return None;
            }
        }
    }
}

/// Goes on with waiting calls until none can without time passing. The runtime only advances a paused clock when it has
/// nothing else to do, so keeping it awake keeps time still.
pub async fn settle(drive: &mut Drive, handled: &mut Vec<Handled>) {
    loop {
        handled.extend(drive.completed());
        if drive.waiting() == 0 {
            return;
        }
        let mut turn = std::pin::pin!(drive.turn());
        let mut rounds = 0;
        let went_on = std::future::poll_fn(|cx| match turn.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(true),
            Poll::Pending if rounds == IDLE_ROUNDS => Poll::Ready(false),
            Poll::Pending => {
                rounds += 1;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        });
        if !went_on.await {
            return;
        }
    }
}
