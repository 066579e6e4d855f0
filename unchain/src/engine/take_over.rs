//! Prepares newly assigned partitions aside: asks for their committed offsets, then restores their tables.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::committer::{Mailbox, Report};
use super::handling::{Beside, TablesBeside};
use super::restore::{Restoring, restore_tables};
use super::standby::Standby;
use super::{EngineError, ProcessorStats};
use crate::kafka::{Connection, GroupHandle, TopicPartition};
use crate::process::Processor;
use crate::table::Stores;

/// A step in taking partitions over. `assignment` is the number under which it was ordered.
pub(crate) enum Prepared {
    /// Where to read on, `None` for the beginning.
    Positions { assignment: u64, positions: Result<Vec<(TopicPartition, Option<i64>)>, EngineError> },
    /// The tables, by input group and partition number.
    Tables { assignment: u64, tables: Result<TablesBeside, EngineError> },
}

/// What is needed to prepare partitions.
#[derive(Clone)]
pub(crate) struct TakeOver {
    pub(crate) connection: Connection,
    pub(crate) processor: Processor,
    pub(crate) group: GroupHandle,
    pub(crate) stores: Stores,
    pub(crate) standby: Standby,
    pub(crate) stats: Arc<ProcessorStats>,
    pub(crate) broker_timeout: Duration,
}

/// Ends the preparation where its partitions are given away meanwhile, all or some.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cancel(Arc<GivenAway>);

#[derive(Debug, Default)]
struct GivenAway {
    all: AtomicBool,
    some: Mutex<Vec<Beside>>,
}

impl Cancel {
    pub(crate) fn cancel(&self) {
        self.0.all.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.0.all.load(Ordering::Relaxed)
    }

    /// Nobody waits for these any more: their tables are to be let go of, since their next owner may be in this process.
    pub(crate) fn give_away(&self, besides: &[Beside]) {
        self.0.some.lock().unwrap_or_else(PoisonError::into_inner).extend(besides);
    }

    pub(crate) fn is_given_away(&self, beside: Beside) -> bool {
        self.is_cancelled() || self.0.some.lock().unwrap_or_else(PoisonError::into_inner).contains(&beside)
    }
}

impl TakeOver {
    /// Starts a thread that reports positions first, then tables.
    pub(crate) fn start(
        self,
        assignment: u64,
        partitions: Vec<TopicPartition>,
        cancel: Cancel,
        mailbox: Mailbox,
    ) -> Result<(), EngineError> {
        let work = move || {
            let beside = |at: &TopicPartition| (self.processor.group_of(&at.topic), at.partition);
            let positions = self.group.committed(&partitions, self.broker_timeout).map_err(EngineError::from);
            let go_on = positions.is_ok();
            drop(mailbox.send(Report::TakeOver(Prepared::Positions { assignment, positions })));
            if !go_on {
                return;
            }
            // After the positions: once the group's offsets are decided, every committed write to a changelog lies
            // below its end, though the marker that makes it readable may still be on its way.
            let restoring = Restoring {
                connection: &self.connection,
                processor: &self.processor,
                stores: &self.stores,
                stats: &self.stats,
                deadline: self.broker_timeout,
                cancel: &cancel,
            };
            let claim = self.standby.claim(partitions.iter().map(beside).collect());
            // The store may panic at files that are not its own. Without a report the partitions would wait for ever.
            let restored = catch_unwind(AssertUnwindSafe(|| restore_tables(&restoring, &partitions)));
            let processor = self.processor.name();
            let tables = restored.unwrap_or(Err(EngineError::Panicked { processor }));
            drop(claim);
            drop(mailbox.send(Report::TakeOver(Prepared::Tables { assignment, tables })));
        };
        let thread = std::thread::Builder::new().name("take-over".to_owned()).spawn(work);
        thread.map(drop).map_err(|error| EngineError::Thread { reason: error.to_string() })
    }
}
