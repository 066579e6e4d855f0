//! Shipping: packs reserved units into parcels and sends them off.

use unchain::process::Processor;
use unchain_schemas::{OrderReserved, OrderShipped};

use crate::rules::MAX_PARCEL_UNITS;

pub fn processor() -> Processor {
    Processor::new("shipping").doc("Packs reserved units into parcels and ships them.").handle(ship)
}

async fn ship(order: OrderReserved) -> OrderShipped {
    pack(order)
}

/// The order, packed.
pub fn pack(order: OrderReserved) -> OrderShipped {
    let OrderReserved { order_id, customer_id, placed_on, units, amount_cents, .. } = order;
    OrderShipped { order_id, customer_id, placed_on, units, amount_cents, parcels: parcels(units) }
}

fn parcels(units: i32) -> i32 {
    units / MAX_PARCEL_UNITS + i32::from(units % MAX_PARCEL_UNITS > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parcels_are_filled_before_another_is_begun() {
        let packed = [1, 10, 11, 20, 99].map(parcels);
        assert_eq!(packed, [1, 1, 2, 2, 10]);
    }
}
