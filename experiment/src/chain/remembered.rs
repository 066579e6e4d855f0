//! The orders whose work a service has done or is doing: a repeated request does not do it again.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

/// Set once the work of an order is done.
pub type Once = Arc<OnceCell<()>>;

/// The last orders, by their idempotency keys. Bounded: the oldest are forgotten.
#[derive(Debug)]
pub struct Remembered {
    max_orders: usize,
    orders: Mutex<Orders>,
}

#[derive(Debug, Default)]
struct Orders {
    by_id: HashMap<String, Once>,
    oldest_first: VecDeque<String>,
}

impl Remembered {
    /// Begins with the orders that the service's effects say are done, as its database would know them.
    pub fn with_done(max_orders: usize, done: impl IntoIterator<Item = String>) -> Remembered {
        let remembered = Remembered { max_orders, orders: Mutex::default() };
        for order_id in done {
            // Fresh cells only, so that this never finds one set.
            let _ = remembered.of(&order_id).set(());
        }
        remembered
    }

    /// The place of an order: whoever fills it does the work, others wait for that.
    pub fn of(&self, order_id: &str) -> Once {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = orders.by_id.get(order_id) {
            return Arc::clone(known);
        }
        if orders.oldest_first.len() >= self.max_orders
            && let Some(oldest) = orders.oldest_first.pop_front()
        {
            orders.by_id.remove(&oldest);
        }
        let once = Once::default();
        orders.by_id.insert(order_id.to_owned(), Arc::clone(&once));
        orders.oldest_first.push_back(order_id.to_owned());
        once
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_has_one_place_until_it_is_forgotten() {
        let remembered = Remembered::with_done(2, ["a".to_owned()]);
        assert!(remembered.of("a").initialized());
        assert!(!remembered.of("b").initialized());
        assert!(Arc::ptr_eq(&remembered.of("b"), &remembered.of("b")));
        remembered.of("c");
        assert!(!remembered.of("a").initialized(), "the oldest of three is forgotten where two are kept");
    }
}
