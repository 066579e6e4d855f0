//! Time under control: a runtime whose clock stands still, and the wall clock that goes with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::time::Instant;
use unchain::engine::drive::{Drive, Handled};
use unchain::kafka::Record;

/// How often the runtime goes round without any progress before a call counts as waiting for time: enough for what
/// handlers spawn or yield to.
const IDLE_ROUNDS: u32 = 32;

pub(super) struct Clock {
    runtime: Runtime,
    began: Instant,
    /// The wall clock at `began`, in milliseconds since the Unix epoch; moved on by [`Clock::reach`].
    base_ms: Arc<AtomicI64>,
}

impl Clock {
    pub(super) fn new() -> Clock {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        let runtime = runtime.expect("a runtime on this thread needs nothing that may be missing");
        let began = runtime.block_on(async { Instant::now() });
        Clock { runtime, began, base_ms: Arc::default() }
    }

    /// A wall clock for the processor, to be read where the runtime's clock is: within calls.
    pub(super) fn reader(&self) -> impl Fn() -> i64 + Send + Sync + 'static {
        let (began, base_ms) = (self.began, Arc::clone(&self.base_ms));
        move || now_ms(began, &base_ms)
    }

    pub(super) fn now_ms(&self) -> i64 {
        self.runtime.block_on(async { now_ms(self.began, &self.base_ms) })
    }

    /// Sets the wall clock, which never goes back. Nothing that waits is woken.
    pub(super) fn reach(&self, time_ms: i64) {
        let behind = time_ms.saturating_sub(self.now_ms());
        self.base_ms.fetch_add(behind.max(0), Ordering::Relaxed);
    }

    /// Handles a record and all that can go on, while time stands still.
    pub(super) fn offer(&self, record: Record, drive: &mut Drive, handled: &mut Vec<Handled>) {
        self.runtime.block_on(async {
            drive.offer(record);
            settle(drive, handled).await;
        });
    }

    /// Lets time pass until records are completed, and tells how much of it is left; `None` where all has passed.
    pub(super) fn advance(&self, time: Duration, drive: &mut Drive, handled: &mut Vec<Handled>) -> Option<Duration> {
        self.runtime.block_on(async {
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
        })
    }
}

fn now_ms(began: Instant, base_ms: &AtomicI64) -> i64 {
    let passed = i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX);
    base_ms.load(Ordering::Relaxed).saturating_add(passed)
}

/// Goes on with waiting calls until none can without time passing. The runtime only advances a paused clock when it has
/// nothing else to do, so keeping it awake keeps time still.
async fn settle(drive: &mut Drive, handled: &mut Vec<Handled>) {
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
