//! The call of the next service: time limits, retries with back-off, jitter and a budget, and a circuit breaker.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::circuit_breaker::CircuitBreaker;
use super::client::{HttpClient, Reply, SendError};
use super::retry_budget::RetryBudget;
use crate::clock::now_us;
use crate::random::SharedRandom;
use crate::settings::ChainSettings;

/// The next service, as its caller sees it.
pub struct Downstream {
    url: String,
    client: HttpClient,
    settings: ChainSettings,
    /// How long one attempt may take: each service from the callee to the chain's end has its share.
    attempt_timeout: Duration,
    budget: Mutex<RetryBudget>,
    breaker: Option<Mutex<CircuitBreaker>>,
    random: SharedRandom,
    started: Instant,
}

/// Why a call was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallFailed {
    /// The callee or one behind it failed, after all attempts there were to make.
    Failed,
    /// The time was out.
    TimedOut,
    /// The circuit breaker refused it.
    BreakerOpen,
}

enum Verdict {
    Done,
    /// Another attempt may help, after this pause at least.
    Again(CallFailed, Duration),
    GiveUp(CallFailed),
}

/// Tells the breaker where a call ends without an outcome, since its caller has gone.
struct GivenUp<'a> {
    downstream: &'a Downstream,
    is_over: bool,
}

impl Drop for GivenUp<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.downstream.with_breaker(|breaker, _| breaker.withdraw());
        }
    }
}

impl Downstream {
    pub fn new(url: String, settings: &ChainSettings, services_left: u32, breaker: bool, seed: u64) -> Downstream {
        let connect_timeout = Duration::from_millis(settings.connect_timeout_ms);
        Downstream {
            url,
            client: HttpClient::new(connect_timeout, settings.max_idle_connections),
            attempt_timeout: Duration::from_millis(settings.call_timeout_ms) * services_left,
            budget: Mutex::new(RetryBudget::new(settings.retry_budget)),
            breaker: breaker.then(|| Mutex::new(CircuitBreaker::new(settings.circuit_breaker))),
            random: SharedRandom::of(seed),
            started: Instant::now(),
            settings: settings.clone(),
        }
    }

    /// Whether a call would be refused at once: then the caller's own work is better not begun.
    pub fn refuses(&self) -> bool {
        self.with_breaker(|breaker, now| breaker.refuses(now)).unwrap_or(false)
    }

    /// Calls the next service until it succeeds, nothing is left to try, or the deadline is over.
    pub async fn call(&self, order_id: &str, body: &Bytes, deadline_us: u64) -> Result<(), CallFailed> {
        self.budget(RetryBudget::called);
        for attempt in 1.. {
            if !self.with_breaker(CircuitBreaker::permit).unwrap_or(true) {
                return Err(CallFailed::BreakerOpen);
            }
            let mut given_up = GivenUp { downstream: self, is_over: false };
            let reply = self.attempt(order_id, body, deadline_us).await;
            given_up.is_over = true;
            let verdict = judge(reply);
            self.with_breaker(|breaker, now| breaker.report(matches!(verdict, Verdict::Done), now));
            let (failed, at_least) = match verdict {
                Verdict::Done => return Ok(()),
                Verdict::GiveUp(failed) => return Err(failed),
                Verdict::Again(failed, at_least) => (failed, at_least),
            };
            let pause = self.backoff(attempt).max(at_least);
            let is_too_late = pause >= time_left(deadline_us);
            if attempt >= self.settings.max_attempts || is_too_late || !self.budget(RetryBudget::take) {
                return Err(failed);
            }
            tokio::time::sleep(pause).await;
        }
        unreachable!("the attempts end above")
    }

    async fn attempt(&self, order_id: &str, body: &Bytes, deadline_us: u64) -> Result<Reply, SendError> {
        let timeout = self.attempt_timeout.min(time_left(deadline_us));
        // Nobody behind this call is to work for longer than it is waited for.
        let until_us = now_us() + u64::try_from(timeout.as_micros()).unwrap_or(u64::MAX / 2);
        self.client.post(&self.url, order_id, until_us, body.clone(), timeout).await
    }

    /// Full jitter: from nothing to the pause of this attempt.
    fn backoff(&self, attempt: u32) -> Duration {
        let doubled = self.settings.backoff_ms.saturating_mul(1_u64 << (attempt - 1).min(20));
        let longest = Duration::from_millis(doubled.min(self.settings.max_backoff_ms));
        longest.mul_f64(self.random.fraction())
    }

    fn budget<T>(&self, act: impl FnOnce(&mut RetryBudget) -> T) -> T {
        act(&mut self.budget.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn with_breaker<T>(&self, act: impl FnOnce(&mut CircuitBreaker, Duration) -> T) -> Option<T> {
        let mut breaker = self.breaker.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        Some(act(&mut breaker, self.started.elapsed()))
    }
}

/// What is left until a moment of the machine's clock.
pub fn time_left(deadline_us: u64) -> Duration {
    Duration::from_micros(deadline_us.saturating_sub(now_us()))
}

fn judge(reply: Result<Reply, SendError>) -> Verdict {
    match reply {
        Ok(Reply { status: 200..=299, .. }) => Verdict::Done,
        Ok(Reply { status: 503, retry_after }) => Verdict::Again(CallFailed::Failed, retry_after.unwrap_or_default()),
        Ok(Reply { status: 504, .. }) => Verdict::GiveUp(CallFailed::TimedOut),
        // 502: the callee has tried the service behind it as often as is good.
        Ok(_) => Verdict::GiveUp(CallFailed::Failed),
        Err(SendError::Connect) => Verdict::Again(CallFailed::Failed, Duration::ZERO),
        Err(SendError::Broken) => Verdict::Again(CallFailed::Failed, Duration::ZERO),
        Err(SendError::TimedOut) => Verdict::Again(CallFailed::TimedOut, Duration::ZERO),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_tried_again(reply: Result<Reply, SendError>) -> bool {
        matches!(judge(reply), Verdict::Again(..))
    }

    #[test]
    fn only_failed_connections_overload_and_timeouts_are_tried_again() {
        let answered = |status| Ok(Reply { status, retry_after: None });
        for error in [SendError::Connect, SendError::Broken, SendError::TimedOut] {
            assert!(is_tried_again(Err(error)));
        }
        assert!(is_tried_again(answered(503)));
        for status in [400, 500, 502, 504] {
            assert!(!is_tried_again(answered(status)), "{status}");
        }
    }

    #[test]
    fn an_overloaded_callee_says_how_long_to_wait() {
        let reply = Reply { status: 503, retry_after: Some(Duration::from_secs(2)) };
        assert!(matches!(judge(Ok(reply)), Verdict::Again(_, pause) if pause == Duration::from_secs(2)));
    }
}
