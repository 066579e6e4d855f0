//! The sending side of a run: an open loop that follows its schedule, stops at its end, and says what it could not send.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use unchain::app::Signals;
use unchain::kafka::{LoadProducer, Sent};

use crate::BenchError;
use crate::records::Records;
use crate::schedule::{Clock, Schedule, nanos, sleep_towards};
use crate::tally::Tally;

/// Where one sender's records go, and what they hold.
pub(crate) trait Outlet {
    /// Makes the next record, which is due then.
    fn advance(&mut self, due_nanos: u64) -> Result<(), BenchError>;
    /// Hands it over; where there is no room, it comes again.
    fn send(&mut self, due_nanos: u64) -> Result<Sent, BenchError>;
    fn wait_for_room(&self);
}

/// Plain records to a topic.
pub(crate) struct Producing {
    pub(crate) producer: LoadProducer<Tally>,
    pub(crate) records: Records,
}

impl Outlet for Producing {
    #[inline]
    fn advance(&mut self, due_nanos: u64) -> Result<(), BenchError> {
        self.records.advance(due_nanos);
        Ok(())
    }

    #[inline]
    fn send(&mut self, due_nanos: u64) -> Result<Sent, BenchError> {
        let tag = usize::try_from(due_nanos).unwrap_or(usize::MAX);
        Ok(self.producer.send(None, self.records.key(), self.records.value(), tag)?)
    }

    fn wait_for_room(&self) {
        self.producer.wait_for_room();
    }
}

/// An outlet whose records go by a producer.
pub(crate) trait ByProducer: Outlet + Send {
    fn producing(&self) -> &Producing;
}

impl ByProducer for Producing {
    fn producing(&self) -> &Producing {
        self
    }
}

/// When one sender sends, and until when.
pub(crate) struct Load<'a> {
    pub(crate) clock: Clock,
    pub(crate) schedule: Schedule,
    pub(crate) end: Duration,
    /// How long after the end a sender that is late goes on.
    pub(crate) grace: Duration,
    /// Stops after so many records.
    pub(crate) max_records: Option<u64>,
    pub(crate) signals: &'a Signals,
    /// Each record takes one, which its reply gives back.
    pub(crate) permits: Option<&'a Permits>,
}

/// What a sender has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) sent: u64,
    /// Records that were due before the end, but for which there was no room until long after it.
    pub(crate) unsent: u64,
}

/// The usual grace of a load.
pub(crate) const GRACE: Duration = Duration::from_secs(2);
/// Records between two looks at the clock and the signals, where none is waited for.
const LOOK_EVERY: u64 = 256;

impl Load<'_> {
    pub(crate) fn run(&self, outlet: &mut impl Outlet) -> Result<Done, BenchError> {
        let (end, last) = (nanos(self.end), nanos(self.end + self.grace));
        let mut now = self.clock.nanos();
        let mut sent = 0;
        while self.max_records.is_none_or(|most| sent < most) {
            let due = match self.schedule.due_nanos(sent) {
                Some(due) if due >= end => break,
                Some(due) => {
                    if due > now {
                        now = self.wait_until(due)?;
                    }
                    due
                }
                None => {
                    self.take_permit()?;
                    now = self.clock.nanos();
                    now
                }
            };
            if sent % LOOK_EVERY == 0 {
                self.refuse_interrupted()?;
                now = self.clock.nanos();
            }
            let is_over = if self.schedule.per_second.is_some() { now >= last } else { now >= end };
            if is_over || !self.send(outlet, due, last)? {
                return Ok(Done { sent, unsent: self.due_from(sent, end) });
            }
            sent += 1;
        }
        Ok(Done { sent, unsent: 0 })
    }

    /// Whether there was room before the last moment.
    #[inline]
    fn send(&self, outlet: &mut impl Outlet, due: u64, last: u64) -> Result<bool, BenchError> {
        outlet.advance(due)?;
        while outlet.send(due)? == Sent::Full {
            outlet.wait_for_room();
            self.refuse_interrupted()?;
            if self.clock.nanos() >= last {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Returns the time.
    fn wait_until(&self, due: u64) -> Result<u64, BenchError> {
        loop {
            let now = self.clock.nanos();
            if now >= due {
                return Ok(now);
            }
            self.refuse_interrupted()?;
            sleep_towards(due - now);
        }
    }

    fn take_permit(&self) -> Result<(), BenchError> {
        let Some(permits) = self.permits else { return Ok(()) };
        while !permits.take(Duration::from_millis(100)) {
            self.refuse_interrupted()?;
            if self.clock.elapsed() > self.end + self.grace {
                return Ok(());
            }
        }
        Ok(())
    }

    /// How many of the schedule's records are due from this one on.
    fn due_from(&self, nth: u64, end: u64) -> u64 {
        let Some(per_second) = self.schedule.per_second else { return 0 };
        let Schedule { sender, senders, .. } = self.schedule;
        let all = (u128::from(end) * u128::from(per_second)).div_ceil(1_000_000_000);
        let all = u64::try_from(all).unwrap_or(u64::MAX);
        all.saturating_sub(sender).div_ceil(senders).saturating_sub(nth)
    }

    fn refuse_interrupted(&self) -> Result<(), BenchError> {
        if self.signals.received() { Err(BenchError::Interrupted) } else { Ok(()) }
    }
}

/// Bounds what is in flight.
pub(crate) struct Permits {
    free: Mutex<u64>,
    given_back: Condvar,
}

impl Permits {
    pub(crate) fn new(count: u64) -> Permits {
        Permits { free: Mutex::new(count), given_back: Condvar::new() }
    }

    /// Waits for one, for at most so long; tells whether it was had.
    fn take(&self, wait: Duration) -> bool {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.given_back.wait_timeout_while(free, wait, |free| *free == 0);
        let (mut free, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let had = *free > 0;
        *free -= u64::from(had);
        had
    }

    pub(crate) fn give_back(&self, count: u64) {
        *self.free.lock().unwrap_or_else(PoisonError::into_inner) += count;
        self.given_back.notify_all();
    }
}

/// Waits for a condition, looking now and then; `Ok(false)` where the deadline has passed.
pub(crate) fn await_condition(
    signals: &Signals,
    deadline: Duration,
    mut is_met: impl FnMut() -> bool,
) -> Result<bool, BenchError> {
    let started = Instant::now();
    while !is_met() {
        if signals.wait(Duration::from_millis(5)) {
            return Err(BenchError::Interrupted);
        }
        if started.elapsed() > deadline {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes records until it is full for good.
    struct Room(u64, Vec<u64>);

    impl Outlet for Room {
        fn advance(&mut self, _: u64) -> Result<(), BenchError> {
            Ok(())
        }

        fn send(&mut self, due_nanos: u64) -> Result<Sent, BenchError> {
            if self.1.len() as u64 >= self.0 {
                return Ok(Sent::Full);
            }
            self.1.push(due_nanos);
            Ok(Sent::Queued)
        }

        fn wait_for_room(&self) {}
    }

    fn run(room: u64, per_second: Option<u64>, end_ms: u64) -> (Done, Vec<u64>) {
        let signals = Signals::watch().unwrap();
        let schedule = Schedule { per_second, sender: 0, senders: 1 };
        let end = Duration::from_millis(end_ms);
        let grace = Duration::from_millis(20);
        let load =
            Load { clock: Clock::start(), schedule, end, grace, max_records: None, signals: &signals, permits: None };
        let mut outlet = Room(room, Vec::new());
        (load.run(&mut outlet).unwrap(), outlet.1)
    }

    #[test]
    fn every_record_that_is_due_before_the_end_is_sent_with_its_own_time() {
        let (done, due) = run(u64::MAX, Some(10_000), 50);
        assert_eq!(done, Done { sent: 500, unsent: 0 });
        assert_eq!(due, (0..500).map(|nth| nth * 100_000).collect::<Vec<_>>());
    }

    #[test]
    fn what_finds_no_room_is_said() {
        assert_eq!(run(30, Some(10_000), 10).0, Done { sent: 30, unsent: 70 });
    }

    #[test]
    fn permits_bound_what_is_in_flight() {
        let permits = Permits::new(2);
        let wait = Duration::from_millis(1);
        assert_eq!([permits.take(wait), permits.take(wait), permits.take(wait)], [true, true, false]);
        permits.give_back(1);
        assert!(permits.take(wait));
    }
}
