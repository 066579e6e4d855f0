//! Revenue: what was ordered, by customer and by month.
//!
//! Two tables in two steps: the first is keyed by customer like its input and passes each order on as a sale keyed by
//! month, the second adds up the sales. So every table is kept where all records of its key arrive.

use unchain::process::{Entry, Processor};
use unchain_schemas::{CustomerRevenue, MonthRevenue, OrderPlaced, Sale};

use crate::calendar::month_of;

pub fn processor() -> Processor {
    Processor::new("revenue")
        .doc("Adds up what was ordered, by customer and by month.")
        .handle(by_customer)
        .handle(by_month)
}

async fn by_customer(order: OrderPlaced, mut customer: Entry<CustomerRevenue>) -> Sale {
    customer.set(add_order(customer.get(), &order));
    sale(&order)
}

async fn by_month(sale: Sale, mut month: Entry<MonthRevenue>) {
    month.set(add_sale(month.get(), &sale));
}

/// A customer's revenue with one more order.
pub fn add_order(before: Option<&CustomerRevenue>, order: &OrderPlaced) -> CustomerRevenue {
    let day = order.placed_on;
    let fresh = || CustomerRevenue {
        customer_id: order.customer_id.clone(),
        orders: 0,
        units: 0,
        spend_cents: 0,
        first_order_on: day,
        last_order_on: day,
    };
    let mut revenue = before.cloned().unwrap_or_else(fresh);
    revenue.orders += 1;
    revenue.units = revenue.units.saturating_add(i64::from(order.units()));
    revenue.spend_cents = revenue.spend_cents.saturating_add(order.total_cents());
    revenue.first_order_on = revenue.first_order_on.min(day);
    revenue.last_order_on = revenue.last_order_on.max(day);
    revenue
}

/// The order as a sale of its month.
pub fn sale(order: &OrderPlaced) -> Sale {
    let (order_id, month) = (order.order_id.clone(), month_of(order.placed_on));
    Sale { order_id, month, units: order.units(), amount_cents: order.total_cents() }
}

/// A month's revenue with one more sale.
pub fn add_sale(before: Option<&MonthRevenue>, sale: &Sale) -> MonthRevenue {
    let fresh = || MonthRevenue { month: sale.month.clone(), orders: 0, units: 0, amount_cents: 0 };
    let mut revenue = before.cloned().unwrap_or_else(fresh);
    revenue.orders += 1;
    revenue.units = revenue.units.saturating_add(i64::from(sale.units));
    revenue.amount_cents = revenue.amount_cents.saturating_add(sale.amount_cents);
    revenue
}

#[cfg(test)]
mod tests {
    use unchain_schemas::OrderLine;

    use super::*;

    fn order(placed_on: i32, quantity: i32, amount_cents: i64) -> OrderPlaced {
        OrderPlaced {
            order_id: "00001-001".into(),
            customer_id: "00001".into(),
            placed_on,
            currency: "USD".into(),
            lines: vec![OrderLine { sku: "CD".into(), quantity, amount_cents }],
        }
    }

    #[test]
    fn a_customers_orders_add_up_between_the_first_and_the_last_day() {
        let first = add_order(None, &order(9_870, 1, 1_177));
        let second = add_order(Some(&first), &order(9_862, 2, 2_050));
        let third = add_order(Some(&second), &order(9_900, 4, 0));
        assert_eq!((third.orders, third.units, third.spend_cents), (3, 7, 3_227));
        assert_eq!((third.first_order_on, third.last_order_on), (9_862, 9_900));
    }

    #[test]
    fn an_order_is_a_sale_of_the_month_in_which_it_was_placed() {
        let january = sale(&order(9_892, 2, 2_050));
        assert_eq!((january.month.as_str(), january.units, january.amount_cents), ("1997-01", 2, 2_050));
        assert_eq!(sale(&order(9_893, 2, 2_050)).month, "1997-02");
    }

    #[test]
    fn the_sales_of_a_month_add_up() {
        let first = add_sale(None, &sale(&order(9_862, 1, 1_177)));
        let second = add_sale(Some(&first), &sale(&order(9_863, 2, 2_050)));
        assert_eq!((second.orders, second.units, second.amount_cents), (2, 3, 3_227));
    }
}
