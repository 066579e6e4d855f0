//! A circuit breaker: after too many failed calls it refuses further ones for a while, then lets some through to probe.
//!
//! Plain state; the caller hands the time in.

use std::collections::VecDeque;
use std::time::Duration;

use crate::settings::BreakerSettings;

/// The breaker of one callee.
#[derive(Debug)]
pub struct CircuitBreaker {
    settings: BreakerSettings,
    state: State,
    /// Whether each of the last calls failed, oldest first; only while closed.
    last_failed: VecDeque<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Calls go through.
    Closed,
    /// Calls are refused up to this time.
    Open { until: Duration },
    /// Some calls go through: so many were let, so many have succeeded.
    HalfOpen { let_through: u32, succeeded: u32 },
}

impl CircuitBreaker {
    pub fn new(settings: BreakerSettings) -> CircuitBreaker {
        CircuitBreaker { settings, state: State::Closed, last_failed: VecDeque::with_capacity(settings.window) }
    }

    /// Whether a call would be refused now.
    pub fn refuses(&self, now: Duration) -> bool {
        match self.state {
            State::Closed => false,
            State::Open { until } => now < until,
            State::HalfOpen { let_through, .. } => let_through >= self.settings.probes,
        }
    }

    /// Asks to make a call; where the answer is yes, [`CircuitBreaker::report`] must follow.
    pub fn permit(&mut self, now: Duration) -> bool {
        if self.refuses(now) {
            return false;
        }
        match &mut self.state {
            State::Closed => {}
            State::Open { .. } => self.state = State::HalfOpen { let_through: 1, succeeded: 0 },
            State::HalfOpen { let_through, .. } => *let_through += 1,
        }
        true
    }

    /// A call that was permitted was given up, and nobody knows how it would have ended: another may try in its place.
    pub fn withdraw(&mut self) {
        if let State::HalfOpen { let_through, .. } = &mut self.state {
            *let_through = let_through.saturating_sub(1);
        }
    }

    /// How a call that was permitted has ended.
    pub fn report(&mut self, succeeded: bool, now: Duration) {
        match (self.state, succeeded) {
            (State::Closed, _) => self.count(succeeded, now),
            // A call from before it opened: nothing new.
            (State::Open { .. }, _) => {}
            (State::HalfOpen { .. }, false) => self.open(now),
            (State::HalfOpen { let_through, succeeded }, true) if succeeded + 1 < self.settings.probes => {
                self.state = State::HalfOpen { let_through, succeeded: succeeded + 1 };
            }
            (State::HalfOpen { .. }, true) => self.state = State::Closed,
        }
    }

    fn count(&mut self, succeeded: bool, now: Duration) {
        if self.last_failed.len() == self.settings.window {
            self.last_failed.pop_front();
        }
        self.last_failed.push_back(!succeeded);
        let failed = self.last_failed.iter().filter(|failed| **failed).count();
        let calls = self.last_failed.len();
        if calls >= self.settings.min_calls && failed as f64 >= self.settings.failure_share * calls as f64 {
            self.open(now);
        }
    }

    fn open(&mut self, now: Duration) {
        self.last_failed.clear();
        self.state = State::Open { until: now + Duration::from_millis(self.settings.open_ms) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_that_was_given_up_makes_room_for_another() {
        let mut breaker = breaker();
        (0..4).for_each(|_| assert!(call(&mut breaker, false, at(0))));
        assert!(breaker.permit(at(100)) && breaker.permit(at(100)) && !breaker.permit(at(100)));
        breaker.withdraw();
        assert!(breaker.permit(at(100)));
    }

    const fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn breaker() -> CircuitBreaker {
        CircuitBreaker::new(BreakerSettings { window: 4, min_calls: 4, failure_share: 0.5, open_ms: 100, probes: 2 })
    }

    fn call(breaker: &mut CircuitBreaker, succeeds: bool, now: Duration) -> bool {
        let permitted = breaker.permit(now);
        if permitted {
            breaker.report(succeeds, now);
        }
        permitted
    }

    fn opened() -> CircuitBreaker {
        let mut breaker = breaker();
        for succeeds in [true, false, true, false] {
            assert!(call(&mut breaker, succeeds, at(0)));
        }
        breaker
    }

    #[test]
    fn it_opens_at_the_share_of_failures_and_not_before_there_are_enough_calls() {
        let mut breaker = breaker();
        for _ in 0..3 {
            assert!(call(&mut breaker, false, at(0)));
        }
        assert!(!breaker.refuses(at(0)), "three calls say nothing yet");
        assert!(opened().refuses(at(99)));
    }

    #[test]
    fn old_calls_are_forgotten() {
        let mut breaker = breaker();
        for succeeds in [false, true, true, true, true, false, true] {
            assert!(call(&mut breaker, succeeds, at(0)));
        }
        assert!(!breaker.refuses(at(0)));
    }

    #[test]
    fn it_closes_after_as_many_good_probes_as_asked_for() {
        let mut breaker = opened();
        assert!(!breaker.permit(at(99)));
        assert!(breaker.permit(at(100)) && breaker.permit(at(100)));
        assert!(!breaker.permit(at(100)), "half open lets two probes through");
        breaker.report(true, at(110));
        assert!(breaker.refuses(at(110)));
        breaker.report(true, at(111));
        assert!(!breaker.refuses(at(111)));
    }

    #[test]
    fn a_bad_probe_opens_it_anew() {
        let mut breaker = opened();
        assert!(call(&mut breaker, false, at(150)));
        assert!(breaker.refuses(at(249)));
        assert!(!breaker.refuses(at(250)));
    }

    #[test]
    fn what_ends_after_it_opened_changes_nothing() {
        let mut breaker = opened();
        breaker.report(true, at(50));
        breaker.report(false, at(50));
        assert!(breaker.refuses(at(99)) && !breaker.refuses(at(100)));
    }
}
