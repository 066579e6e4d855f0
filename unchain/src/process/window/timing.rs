//! Which windows a record belongs to, and when they close and expire: arithmetic on event time, without any state.

use std::time::Duration;

use thiserror::Error;

use super::Bounds;

/// The windows that one record may belong to: past it, each record would cost as many rows.
pub(super) const MAX_WINDOWS_A_RECORD: i64 = 1_000;

/// What is wrong with declared windows.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WindowError {
    #[error("windows of no length: a size, an advance and a gap are at least a millisecond")]
    Empty,
    #[error("an advance of {advance_ms} ms leaves out times, since windows are {size_ms} ms long")]
    Gaps { size_ms: i64, advance_ms: i64 },
    #[error(
        "a record belongs to {windows} windows of {size_ms} ms, one each {advance_ms} ms; {MAX_WINDOWS_A_RECORD} at most"
    )]
    TooMany { windows: i64, size_ms: i64, advance_ms: i64 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Windows of one size, one beginning at each multiple of the advance since the Unix epoch.
    Time { size_ms: i64, advance_ms: i64 },
    /// Windows that go on as long as no two records of a key are further apart than the gap.
    Session { gap_ms: i64 },
}

/// The shape of windows and how long they stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timing {
    pub(super) shape: Shape,
    pub(super) grace_ms: i64,
    pub(super) retention_ms: i64,
}

impl Timing {
    pub(super) fn check(&self) -> Result<(), WindowError> {
        match self.shape {
            Shape::Time { size_ms, advance_ms } if size_ms == 0 || advance_ms == 0 => Err(WindowError::Empty),
            Shape::Time { size_ms, advance_ms } if advance_ms > size_ms => {
                Err(WindowError::Gaps { size_ms, advance_ms })
            }
            Shape::Time { size_ms, advance_ms } if self.windows_a_record() > MAX_WINDOWS_A_RECORD => {
                Err(WindowError::TooMany { windows: self.windows_a_record(), size_ms, advance_ms })
            }
            Shape::Session { gap_ms: 0 } => Err(WindowError::Empty),
            _ => Ok(()),
        }
    }

    /// The most windows that one record belongs to.
    pub(super) fn windows_a_record(&self) -> i64 {
        match self.shape {
            Shape::Time { size_ms, advance_ms } => (size_ms - 1) / advance_ms + 1,
            Shape::Session { .. } => 1,
        }
    }

    /// The windows around a time, earliest first; those that would begin before the Unix epoch do not exist.
    pub(super) fn windows_at(size_ms: i64, advance_ms: i64, time_ms: i64) -> impl Iterator<Item = Bounds> {
        let last = time_ms / advance_ms;
        // The first that has not ended at that time.
        let first = if time_ms < size_ms { 0 } else { (time_ms - size_ms) / advance_ms + 1 };
        (first..=last).map(move |number| {
            let start_ms = number * advance_ms;
            Bounds { start_ms, end_ms: start_ms.saturating_add(size_ms) }
        })
    }

    /// Whether nothing is added any more once stream time stands there (as Kafka Streams decides it).
    pub(super) fn is_closed(&self, bounds: Bounds, stream_time_ms: i64) -> bool {
        match self.shape {
            Shape::Time { .. } => stream_time_ms >= bounds.end_ms.saturating_add(self.grace_ms),
            Shape::Session { gap_ms } => {
                stream_time_ms > bounds.end_ms.saturating_add(gap_ms).saturating_add(self.grace_ms)
            }
        }
    }

    /// Whether the row can go: the window is closed, and the time that rows are kept is over.
    pub(super) fn is_expired(&self, bounds: Bounds, stream_time_ms: i64) -> bool {
        self.is_closed(bounds, stream_time_ms) && stream_time_ms >= bounds.end_ms.saturating_add(self.retention_ms)
    }

    /// The stream time in which about one window of a key comes to its end.
    pub(super) fn period_ms(&self) -> i64 {
        match self.shape {
            Shape::Time { advance_ms, .. } => advance_ms,
            Shape::Session { gap_ms } => gap_ms,
        }
    }

    /// The earliest end of an open session that a record joins.
    pub(super) fn joins_from_ms(gap_ms: i64, time_ms: i64) -> i64 {
        time_ms.saturating_sub(gap_ms)
    }

    /// Whether a record joins a session: it is no further from it than the gap, and the session is open.
    pub(super) fn joins(&self, session: Bounds, time_ms: i64, stream_time_ms: i64) -> bool {
        let Shape::Session { gap_ms } = self.shape else { return false };
        session.start_ms <= time_ms.saturating_add(gap_ms)
            && session.end_ms >= Timing::joins_from_ms(gap_ms, time_ms)
            && !self.is_closed(session, stream_time_ms)
    }
}

/// The session of a record and those that it joins.
pub(super) fn merged(time_ms: i64, joined: impl Iterator<Item = Bounds>) -> Bounds {
    joined.fold(Bounds { start_ms: time_ms, end_ms: time_ms }, |all, one| Bounds {
        start_ms: all.start_ms.min(one.start_ms),
        end_ms: all.end_ms.max(one.end_ms),
    })
}

pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn timing(shape: Shape, grace_ms: i64) -> Timing {
        Timing { shape, grace_ms, retention_ms: 0 }
    }

    #[test]
    fn windows_that_cannot_be_are_refused() {
        let time = |size_ms, advance_ms| timing(Shape::Time { size_ms, advance_ms }, 0).check();
        assert_eq!(time(0, 1), Err(WindowError::Empty));
        assert_eq!(time(5, 0), Err(WindowError::Empty));
        assert_eq!(time(5, 6), Err(WindowError::Gaps { size_ms: 5, advance_ms: 6 }));
        assert!(matches!(time(1_001, 1), Err(WindowError::TooMany { windows: 1_001, .. })));
        assert_eq!(time(1_000, 1), Ok(()));
        assert_eq!(timing(Shape::Session { gap_ms: 0 }, 0).check(), Err(WindowError::Empty));
        assert_eq!(timing(Shape::Session { gap_ms: i64::MAX }, i64::MAX).check(), Ok(()));
    }

    #[test]
    fn a_row_stays_for_its_retention_where_that_is_longer_than_the_grace() {
        let window = Bounds { start_ms: 0, end_ms: 10 };
        let timing = Timing { shape: Shape::Time { size_ms: 10, advance_ms: 10 }, grace_ms: 5, retention_ms: 20 };
        assert_eq!((timing.is_closed(window, 14), timing.is_closed(window, 15)), (false, true));
        assert_eq!((timing.is_expired(window, 29), timing.is_expired(window, 30)), (false, true));
        let short = Timing { retention_ms: 1, ..timing };
        assert_eq!((short.is_expired(window, 14), short.is_expired(window, 15)), (false, true));
    }

    proptest! {
        /// Against the definition: every multiple of the advance begins a window, and those that hold the time count.
        #[test]
        fn a_record_is_in_all_windows_around_its_time_and_in_no_other(
            advance_ms in 1..20_i64, more in 0..100_i64, time_ms in 0..400_i64,
        ) {
            let size_ms = advance_ms + more;
            let expected: Vec<Bounds> = (0..=time_ms)
                .filter(|start| start % advance_ms == 0)
                .map(|start_ms| Bounds { start_ms, end_ms: start_ms + size_ms })
                .filter(|window| window.start_ms <= time_ms && time_ms < window.end_ms)
                .collect();
            let windows: Vec<_> = Timing::windows_at(size_ms, advance_ms, time_ms).collect();
            let most = timing(Shape::Time { size_ms, advance_ms }, 0).windows_a_record();
            prop_assert!(windows.len() as i64 <= most);
            prop_assert_eq!(windows, expected);
        }

        /// Without late records, whatever their order: sessions are the runs of times with no gap above the limit.
        #[test]
        fn sessions_are_the_runs_of_records_without_a_longer_pause(
            times in proptest::collection::vec(0..300_i64, 1..40), gap_ms in 1..30_i64,
        ) {
            let grace_ms = 1_000;
            let timing = timing(Shape::Session { gap_ms }, grace_ms);
            let mut sessions: Vec<(Bounds, usize)> = Vec::new();
            let mut stream_time_ms = i64::MIN;
            for time_ms in &times {
                let joined: Vec<_> =
                    sessions.iter().copied().filter(|(session, _)| timing.joins(*session, *time_ms, stream_time_ms)).collect();
                let session = merged(*time_ms, joined.iter().map(|(session, _)| *session));
                prop_assert!(!timing.is_closed(session, stream_time_ms));
                sessions.retain(|(other, _)| !joined.iter().any(|(one, _)| one == other));
                sessions.push((session, 1 + joined.iter().map(|(_, count)| count).sum::<usize>()));
                stream_time_ms = stream_time_ms.max(*time_ms);
            }
            sessions.sort_unstable();

            let mut sorted = times.clone();
            sorted.sort_unstable();
            let mut expected: Vec<(Bounds, usize)> = Vec::new();
            for time_ms in sorted {
                match expected.last_mut() {
                    Some((last, count)) if time_ms - last.end_ms <= gap_ms => {
                        last.end_ms = time_ms;
                        *count += 1;
                    }
                    _ => expected.push((Bounds { start_ms: time_ms, end_ms: time_ms }, 1)),
                }
            }
            prop_assert_eq!(sessions, expected);
        }

        /// With late records: what is counted in a window is what came while it was open, by the definition of closing.
        #[test]
        fn a_window_holds_what_came_before_it_closed(
            times in proptest::collection::vec(0..300_i64, 1..60), advance_ms in 1..20_i64, more in 0..40_i64, grace_ms in 0..50_i64,
        ) {
            let size_ms = advance_ms + more;
            let timing = timing(Shape::Time { size_ms, advance_ms }, grace_ms);
            let (mut counts, mut late) = (BTreeMap::<Bounds, u32>::new(), 0);
            let mut stream_time_ms = i64::MIN;
            for time_ms in &times {
                let open = Timing::windows_at(size_ms, advance_ms, *time_ms);
                let open: Vec<_> = open.filter(|window| !timing.is_closed(*window, stream_time_ms)).collect();
                late += u32::from(open.is_empty());
                open.into_iter().for_each(|window| *counts.entry(window).or_default() += 1);
                stream_time_ms = stream_time_ms.max(*time_ms);
            }

            let seen_before = |place: usize| times[..place].iter().copied().max();
            let mut expected = BTreeMap::<Bounds, u32>::new();
            for start_ms in (0..=300).filter(|start| start % advance_ms == 0) {
                let window = Bounds { start_ms, end_ms: start_ms + size_ms };
                let within = |time_ms: i64| start_ms <= time_ms && time_ms < window.end_ms;
                let in_time = |place: usize| seen_before(place).is_none_or(|seen| seen < window.end_ms + grace_ms);
                let count = (0..times.len()).filter(|place| within(times[*place]) && in_time(*place)).count();
                if count > 0 {
                    expected.insert(window, u32::try_from(count).unwrap());
                }
            }
            prop_assert_eq!(&counts, &expected);
            // Late is what is older than the newest by more than its last window and the grace.
            let last_end = |time_ms: i64| time_ms / advance_ms * advance_ms + size_ms;
            let expected_late = (0..times.len())
                .filter(|place| seen_before(*place).is_some_and(|seen| seen >= last_end(times[*place]) + grace_ms))
                .count();
            prop_assert_eq!(late as usize, expected_late);
        }
    }
}
