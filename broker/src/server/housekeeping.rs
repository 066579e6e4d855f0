//! What happens without a request: sessions expire, transactions time out, retention and compaction look at the logs.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use crate::clock;
use crate::core::Core;

/// Transaction timeouts are looked for this often (Kafka: every 10 s).
const TRANSACTION_CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// Runs until the broker stops.
pub async fn run(core: Rc<RefCell<Core>>) {
    tokio::join!(expire(&core), clean(&core));
}

async fn expire(core: &RefCell<Core>) {
    let deadlines_changed = core.borrow().deadlines_changed.clone();
    loop {
        let next = {
            let mut core = core.borrow_mut();
            core.abort_overdue();
            let next = core.groups.tick(std::time::Instant::now()).map(Instant::from_std);
            let check = Instant::now() + TRANSACTION_CHECK_INTERVAL;
            next.map_or(check, |next| next.min(check))
        };
        // Either way it is time to look again.
        let _ = timeout_at(next, deadlines_changed.notified()).await;
    }
}

async fn clean(core: &RefCell<Core>) {
    let interval = core.borrow().config.cleanup_interval;
    loop {
        sleep_until(Instant::now() + interval).await;
        core.borrow_mut().complete_prepared();
        let partitions: Vec<_> = {
            let core = core.borrow();
            let all = core
                .catalog
                .iter()
                .flat_map(|topic| topic.partitions.iter().map(|partition| (topic.settings.clone(), partition.clone())));
            all.collect()
        };
        for (settings, partition) in partitions {
            let now_ms = clock::now_ms();
            {
                let mut log = partition.log.borrow_mut();
                log.expire_producers(now_ms);
                if let Err(error) = log.apply_retention(&settings, now_ms) {
                    tracing::error!(%error, "retention failed");
                }
                if let Err(error) = log.compact(&settings, now_ms) {
                    tracing::error!(%error, "compaction failed");
                }
            }
            // Long work on many logs must not keep the connections waiting.
            tokio::task::yield_now().await;
        }
    }
}
