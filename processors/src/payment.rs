//! Payment: authorises an order within its customer's monthly limit.
//!
//! The charges of a month are keyed state, so an order counted twice or lost would change what later orders get.

use unchain::process::{Either, Entry, Lookup, Processor};
use unchain_schemas::{Account, CustomerCharges, OrderPaid, OrderRejected, OrderVerified, RejectedBy};

use crate::calendar::month_of;

pub fn processor() -> Processor {
    Processor::new("payment").doc("Authorises each order within its customer's monthly limit.").handle(pay)
}

async fn pay(
    order: OrderVerified,
    mut charges: Entry<CustomerCharges>,
    accounts: Lookup<Account>,
) -> Either<OrderPaid, OrderRejected> {
    let limit_cents = accounts.get(&order.customer_id).map_or(0, |account| account.monthly_limit_cents);
    match authorize(&order, charges.get(), limit_cents) {
        Ok(after) => {
            charges.set(after);
            Either::Left(paid(order))
        }
        Err(reason) => Either::Right(declined(order, reason)),
    }
}

/// The customer's charges once the order is added to them; an order of another month begins anew.
///
/// # Errors
/// Why the order is declined.
pub fn authorize(
    order: &OrderVerified,
    charges: Option<&CustomerCharges>,
    limit_cents: i64,
) -> Result<CustomerCharges, String> {
    let month = month_of(order.placed_on);
    let before = charges.filter(|charges| charges.month == month).map_or(0, |charges| charges.charged_cents);
    let charged_cents = before.saturating_add(order.amount_cents);
    if charged_cents > limit_cents {
        return Err(format!("the charges of {month} would pass the monthly limit"));
    }
    Ok(CustomerCharges { customer_id: order.customer_id.clone(), month, charged_cents })
}

fn paid(order: OrderVerified) -> OrderPaid {
    let OrderVerified { order_id, customer_id, placed_on, units, amount_cents } = order;
    let authorization = format!("AUTH-{order_id}");
    OrderPaid { order_id, customer_id, placed_on, units, amount_cents, authorization }
}

fn declined(order: OrderVerified, reason: String) -> OrderRejected {
    let OrderVerified { order_id, customer_id, placed_on, units, amount_cents } = order;
    OrderRejected { order_id, customer_id, placed_on, units, amount_cents, stage: RejectedBy::Payment, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JANUARY_1: i32 = 9_862;
    const FEBRUARY_1: i32 = 9_893;

    fn order(placed_on: i32, amount_cents: i64) -> OrderVerified {
        let (order_id, customer_id) = ("00001-001".to_owned(), "00001".to_owned());
        OrderVerified { order_id, customer_id, placed_on, units: 1, amount_cents }
    }

    #[test]
    fn charges_of_a_month_add_up_to_the_limit_and_no_further() {
        let first = authorize(&order(JANUARY_1, 6_000), None, 10_000).unwrap();
        assert_eq!((first.month.as_str(), first.charged_cents), ("1997-01", 6_000));
        let second = authorize(&order(JANUARY_1 + 30, 4_000), Some(&first), 10_000).unwrap();
        assert_eq!(second.charged_cents, 10_000);
        let third = authorize(&order(JANUARY_1 + 30, 1), Some(&second), 10_000);
        assert_eq!(third, Err("the charges of 1997-01 would pass the monthly limit".to_owned()));
    }

    #[test]
    fn a_new_month_begins_at_nothing() {
        let january = authorize(&order(JANUARY_1, 9_999), None, 10_000).unwrap();
        let february = authorize(&order(FEBRUARY_1, 10_000), Some(&january), 10_000).unwrap();
        assert_eq!((february.month.as_str(), february.charged_cents), ("1997-02", 10_000));
    }

    #[test]
    fn without_an_account_there_is_no_limit_to_draw_on() {
        assert!(authorize(&order(JANUARY_1, 1), None, 0).is_err());
    }
}
