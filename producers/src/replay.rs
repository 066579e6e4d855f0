//! Replays an order log to its topic, and publishes the accounts and the catalogue that its orders refer to.

use std::collections::BTreeSet;

use thiserror::Error;
use unchain::produce::{ProduceError, Producer};
use unchain_schemas::OrderPlaced;

use crate::accounts::{account_of, catalogue};
use crate::{OrderLogError, Pace, Rate};

/// Why a replay ended early. What was sent before stays sent.
#[derive(Debug, Error)]
pub enum ReplayError {
    #[error(transparent)]
    Log(#[from] OrderLogError),
    #[error(transparent)]
    Produce(#[from] ProduceError),
}

/// How much reference data there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reference {
    pub accounts: u64,
    pub items: u64,
}

/// Sends one account for each customer of the orders, and the catalogue. The caller flushes.
pub fn send_reference(
    producer: &mut Producer,
    orders: impl Iterator<Item = Result<OrderPlaced, OrderLogError>>,
) -> Result<Reference, ReplayError> {
    let mut customers = BTreeSet::new();
    for order in orders {
        customers.insert(order?.customer_id);
    }
    for customer_id in &customers {
        producer.send(&format!("account-{customer_id}"), &account_of(customer_id))?;
    }
    let items = catalogue();
    for item in &items {
        producer.send(&format!("item-{}", item.sku), item)?;
    }
    Ok(Reference { accounts: customers.len() as u64, items: items.len() as u64 })
}

/// Sends orders in their order, under their own ids, until they or `go_on` end; returns how many. The caller flushes.
pub fn send_orders(
    producer: &mut Producer,
    orders: impl Iterator<Item = Result<OrderPlaced, OrderLogError>>,
    rate: Option<Rate>,
    mut go_on: impl FnMut(&Producer, &OrderPlaced) -> bool,
) -> Result<u64, ReplayError> {
    let (mut pace, mut sent) = (Pace::new(rate), 0);
    for order in orders {
        let order = order?;
        if !go_on(producer, &order) {
            break;
        }
        pace.wait();
        producer.send(&order.order_id, &order)?;
        sent += 1;
    }
    Ok(sent)
}
