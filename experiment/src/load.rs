//! The callers: an open loop of orders at given times, whatever becomes of the earlier ones.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::Instant;
use unchain_producers::OrderLog;

use crate::chain::{HttpClient, SendError};
use crate::clock::now_us;
use crate::error::ExperimentError;
use crate::scenario::Plan;
use crate::settings::LoadSettings;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const MAX_IDLE_CONNECTIONS: usize = 256;

/// An order as it is posted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderBody {
    pub order_id: String,
    pub customer_id: String,
    pub cents: i64,
}

/// An order that was due, and what its caller was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offered {
    pub order_id: String,
    /// When it was to be sent: what latencies count from.
    pub due_us: u64,
    pub told_us: u64,
    pub outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Answered 2xx: the caller takes it for done, or for sure to be done.
    Accepted,
    /// The caller knows that it cannot count on it.
    Refused { reason: String },
}

/// The first orders of the CDNOW log; where more are wanted, the log again under further ids.
pub fn orders(count: usize) -> Result<Vec<OrderBody>, ExperimentError> {
    let mut orders = Vec::with_capacity(count);
    for round in 0.. {
        for order in OrderLog::shipped()?.take(count - orders.len()) {
            let order = order?;
            let order_id = if round == 0 { order.order_id.clone() } else { format!("{}-{round}", order.order_id) };
            orders.push(OrderBody { order_id, cents: order.total_cents(), customer_id: order.customer_id });
        }
        if orders.len() >= count {
            break;
        }
    }
    Ok(orders)
}

/// Sends each order at its time, and waits for every answer. Ends early where `stop` is set. The ids of a run's loads
/// differ by their prefix.
pub fn drive(
    address: &str,
    prefix: &str,
    plan: &Plan,
    settings: &LoadSettings,
    began: std::time::Instant,
    stop: &AtomicBool,
) -> Result<Vec<Offered>, ExperimentError> {
    let due_times: Vec<_> = plan.due_times().collect();
    let orders = orders(due_times.len())?;
    let caller = Caller {
        client: HttpClient::new(CONNECT_TIMEOUT, MAX_IDLE_CONNECTIONS),
        url: format!("http://{address}/orders"),
        timeout: Duration::from_millis(settings.caller_timeout_ms),
        in_flight: Rc::default(),
    };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ExperimentError::Runtime)?;
    let began_us = now_us().saturating_sub(u64::try_from(began.elapsed().as_micros()).unwrap_or(0));
    let all = async {
        let mut asked = JoinSet::new();
        for (mut order, due) in orders.into_iter().zip(due_times) {
            order.order_id.insert_str(0, prefix);
            tokio::time::sleep_until(Instant::from_std(began + due)).await;
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let due_us = began_us + u64::try_from(due.as_micros()).unwrap_or(0);
            let may_send = caller.in_flight.get() < settings.max_in_flight;
            asked.spawn_local(caller.clone().ask(order, due_us, may_send));
        }
        let mut offered = Vec::with_capacity(asked.len());
        while let Some(ended) = asked.join_next().await {
            offered.push(ended.expect("a caller's task does not panic"));
        }
        offered
    };
    Ok(LocalSet::new().block_on(&runtime, all))
}

#[derive(Clone)]
struct Caller {
    client: HttpClient,
    url: String,
    timeout: Duration,
    in_flight: Rc<Cell<usize>>,
}

impl Caller {
    async fn ask(self, order: OrderBody, due_us: u64, may_send: bool) -> Offered {
        let outcome = if may_send {
            self.in_flight.update(|calls| calls + 1);
            let outcome = self.send(&order, due_us).await;
            self.in_flight.update(|calls| calls - 1);
            outcome
        } else {
            refused("not sent: too many calls under way")
        };
        Offered { order_id: order.order_id, due_us, told_us: now_us(), outcome }
    }

    async fn send(&self, order: &OrderBody, due_us: u64) -> Outcome {
        let body = serde_json::to_vec(order).expect("an order of texts and a number is JSON");
        let until_us = due_us + u64::try_from(self.timeout.as_micros()).unwrap_or(0);
        let reply = self.client.post(&self.url, &order.order_id, until_us, Bytes::from(body), self.timeout).await;
        match reply {
            Ok(reply) if (200..300).contains(&reply.status) => Outcome::Accepted,
            Ok(reply) => refused(&format!("answered {}", reply.status)),
            Err(SendError::Connect) => refused("no connection"),
            Err(SendError::Broken) => refused("connection broken"),
            Err(SendError::TimedOut) => refused("timed out"),
        }
    }
}

fn refused(reason: &str) -> Outcome {
    Outcome::Refused { reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_is_repeated_has_no_id_twice() {
        let orders = orders(69_659 + 10).unwrap();
        let ids: std::collections::HashSet<_> = orders.iter().map(|order| &order.order_id).collect();
        assert_eq!(ids.len(), 69_669);
        assert_eq!((orders[0].order_id.as_str(), orders[69_659].order_id.as_str()), ("00001-001", "00001-001-1"));
    }
}
