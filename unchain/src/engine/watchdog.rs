//! The stall watchdog: notices partitions whose first record in flight has not moved for too long.

use std::collections::BTreeMap;
use std::time::Duration;

use super::core::Slot;

/// The first record in flight of each partition, and since when it is that.
#[derive(Debug, Default)]
pub(crate) struct Watchdog {
    first: BTreeMap<Slot, First>,
}

#[derive(Debug)]
struct First {
    next_offset: i64,
    since: Duration,
    is_reported: bool,
}

/// A record that has held its partition up for too long.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stall {
    pub(crate) slot: Slot,
    pub(crate) offset: i64,
    pub(crate) lasted: Duration,
}

impl Watchdog {
    /// Looks at the partitions' first records in flight, each with the offset after it. Returns the stalls that were not
    /// reported before, and whether there is any.
    pub(crate) fn look(
        &mut self,
        now: Duration,
        stall_timeout: Duration,
        first: impl Iterator<Item = (Slot, i64)>,
    ) -> (Vec<Stall>, bool) {
        let mut before = std::mem::take(&mut self.first);
        let (mut stalls, mut any) = (Vec::new(), false);
        for (slot, next_offset) in first {
            let known = before.remove(&slot).filter(|first| first.next_offset == next_offset);
            let mut first = known.unwrap_or(First { next_offset, since: now, is_reported: false });
            let lasted = now.saturating_sub(first.since);
            if lasted >= stall_timeout {
                any = true;
                if !first.is_reported {
                    first.is_reported = true;
                    stalls.push(Stall { slot, offset: next_offset - 1, lasted });
                }
            }
            self.first.insert(slot, first);
        }
        (stalls, any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_stays_first_is_reported_once_and_forgotten_when_it_moves() {
        let (slot, limit) = (Slot(1), Duration::from_secs(60));
        let mut watchdog = Watchdog::default();
        let mut look = |seconds, next_offset: Option<i64>| {
            let first = next_offset.map(|next| (slot, next));
            watchdog.look(Duration::from_secs(seconds), limit, first.into_iter())
        };
        assert_eq!(look(0, Some(8)), (vec![], false));
        assert_eq!(look(59, Some(8)), (vec![], false));
        let stall = Stall { slot, offset: 7, lasted: Duration::from_secs(60) };
        assert_eq!(look(60, Some(8)), (vec![stall], true));
        assert_eq!(look(90, Some(8)), (vec![], true));
        assert_eq!(look(91, Some(9)), (vec![], false));
        assert_eq!(look(151, None), (vec![], false));
        assert_eq!(look(200, Some(9)), (vec![], false));
    }
}
