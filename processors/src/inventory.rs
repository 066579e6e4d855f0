//! Inventory: sets the units of an order aside within its customer's daily allotment.

use unchain::process::{Either, Entry, Processor};
use unchain_schemas::{CustomerAllotment, OrderPaid, OrderRejected, OrderReserved, RejectedBy};

use crate::rules::{DAILY_ALLOTMENT_UNITS, WAREHOUSES};

pub fn processor() -> Processor {
    Processor::new("inventory").doc("Sets units aside within each customer's daily allotment.").handle(reserve)
}

async fn reserve(order: OrderPaid, mut allotment: Entry<CustomerAllotment>) -> Either<OrderReserved, OrderRejected> {
    match allot(&order, allotment.get()) {
        Ok(after) => {
            allotment.set(after);
            Either::Left(reserved(order))
        }
        Err(reason) => Either::Right(short(order, reason)),
    }
}

/// The customer's allotment once the order is added to it; an order of another day begins anew.
///
/// # Errors
/// Why there is a shortage.
pub fn allot(order: &OrderPaid, allotment: Option<&CustomerAllotment>) -> Result<CustomerAllotment, String> {
    let day = order.placed_on;
    let before = allotment.filter(|allotment| allotment.day == day).map_or(0, |allotment| allotment.reserved_units);
    let reserved_units = before.saturating_add(order.units);
    if reserved_units > DAILY_ALLOTMENT_UNITS {
        return Err(format!("more than {DAILY_ALLOTMENT_UNITS} units for one customer on one day"));
    }
    Ok(CustomerAllotment { customer_id: order.customer_id.clone(), day, reserved_units })
}

/// The warehouse that serves a customer.
pub fn warehouse_of(customer_id: &str) -> &'static str {
    let sum: usize = customer_id.bytes().map(usize::from).sum();
    WAREHOUSES[sum % WAREHOUSES.len()]
}

fn reserved(order: OrderPaid) -> OrderReserved {
    let OrderPaid { order_id, customer_id, placed_on, units, amount_cents, .. } = order;
    let warehouse = warehouse_of(&customer_id).to_owned();
    OrderReserved { order_id, customer_id, placed_on, units, amount_cents, warehouse }
}

fn short(order: OrderPaid, reason: String) -> OrderRejected {
    let OrderPaid { order_id, customer_id, placed_on, units, amount_cents, .. } = order;
    OrderRejected { order_id, customer_id, placed_on, units, amount_cents, stage: RejectedBy::Stock, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(placed_on: i32, units: i32) -> OrderPaid {
        let (order_id, customer_id) = ("00001-001".to_owned(), "00001".to_owned());
        let authorization = "AUTH-1".to_owned();
        OrderPaid { order_id, customer_id, placed_on, units, amount_cents: 1_177, authorization }
    }

    #[test]
    fn units_of_a_day_add_up_to_the_allotment_and_no_further() {
        let first = allot(&order(9_862, DAILY_ALLOTMENT_UNITS - 1), None).unwrap();
        let second = allot(&order(9_862, 1), Some(&first)).unwrap();
        assert_eq!((second.day, second.reserved_units), (9_862, DAILY_ALLOTMENT_UNITS));
        assert_eq!(
            allot(&order(9_862, 1), Some(&second)),
            Err("more than 12 units for one customer on one day".to_owned())
        );
    }

    #[test]
    fn a_new_day_begins_at_nothing() {
        let today = allot(&order(9_862, DAILY_ALLOTMENT_UNITS), None).unwrap();
        assert_eq!(allot(&order(9_863, 2), Some(&today)).unwrap().reserved_units, 2);
    }

    #[test]
    fn a_customer_is_always_served_from_the_same_warehouse_and_every_warehouse_serves() {
        let served: std::collections::BTreeSet<_> = (1..10).map(|id| warehouse_of(&format!("{id:05}"))).collect();
        assert_eq!(served.len(), WAREHOUSES.len());
        assert_eq!(warehouse_of("00001"), warehouse_of("00001"));
    }
}
