//! The totals of the whole CDNOW log: what any correct run of the pipeline must come to.

/// Totals over the whole log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    pub orders: u64,
    pub customers: u64,
    pub units: i64,
    pub ordered_cents: i64,
    pub january_1997_orders: i64,
    pub january_1997_cents: i64,
    /// The customer who spent the most, and how much.
    pub top_customer: (&'static str, i64),
    pub shipped: u64,
    /// By verification, payment and stock.
    pub rejected: [u64; 3],
}

/// What was ordered is counted from the source text of the data set (`producers/data/README.md`). The outcomes follow
/// from the rules and the reference data; a sequential pass over the log, in a test beside this file and once in
/// another language, comes to the same.
pub const CDNOW: Known = Known {
    orders: 69_659,
    customers: 23_570,
    units: 167_881,
    ordered_cents: 250_031_563,
    january_1997_orders: 8_928,
    january_1997_cents: 29_906_017,
    top_customer: ("07592", 1_399_093),
    shipped: 63_340,
    rejected: [1_348, 4_905, 66],
};

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use unchain::process::Either;
    use unchain_processors::{inventory, payment, verification};
    use unchain_producers::OrderLog;
    use unchain_producers::accounts::{account_of, catalogue};
    use unchain_schemas::{OrderPaid, OrderVerified};

    use super::*;

    /// The rules applied to one order after the other, with neither topics nor transactions.
    #[test]
    fn one_pass_over_the_log_comes_to_the_known_outcomes() {
        let items = catalogue();
        let item = |sku: &str| items.iter().find(|item| item.sku == sku).cloned().map(Arc::new);
        let (mut charges, mut allotments) = (HashMap::new(), HashMap::new());
        let (mut shipped, mut rejected) = (0, [0; 3]);
        for order in OrderLog::shipped().unwrap() {
            let order = order.unwrap();
            let customer = order.customer_id.clone();
            let account = account_of(&customer);
            let Either::Left(verified) = verification::decide(&order, Some(&account), item) else {
                rejected[0] += 1;
                continue;
            };
            match payment::authorize(&verified, charges.get(&customer), account.monthly_limit_cents) {
                Ok(after) => drop(charges.insert(customer.clone(), after)),
                Err(_) => {
                    rejected[1] += 1;
                    continue;
                }
            }
            match inventory::allot(&paid(verified), allotments.get(&customer)) {
                Ok(after) => drop(allotments.insert(customer, after)),
                Err(_) => {
                    rejected[2] += 1;
                    continue;
                }
            }
            shipped += 1;
        }
        assert_eq!((shipped, rejected), (CDNOW.shipped, CDNOW.rejected));
        assert_eq!(shipped + rejected.iter().sum::<u64>(), CDNOW.orders);
    }

    fn paid(order: OrderVerified) -> OrderPaid {
        let OrderVerified { order_id, customer_id, placed_on, units, amount_cents } = order;
        OrderPaid { order_id, customer_id, placed_on, units, amount_cents, authorization: String::new() }
    }
}
