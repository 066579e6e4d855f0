//! Verification: may this customer place this order, and does the order make sense?

use std::sync::Arc;

use unchain::process::{Either, Lookup, Processor};
use unchain_schemas::{Account, AccountStatus, Item, OrderPlaced, OrderRejected, OrderVerified, RejectedBy};

use crate::rules::{CURRENCY, MAX_ORDER_UNITS};

pub fn processor() -> Processor {
    Processor::new("verification")
        .doc("Checks each order against its customer's account and the catalogue.")
        .handle(verify)
}

async fn verify(
    order: OrderPlaced,
    accounts: Lookup<Account>,
    items: Lookup<Item>,
) -> Either<OrderVerified, OrderRejected> {
    let account = accounts.get(&order.customer_id);
    decide(&order, account.as_deref(), |sku| items.get(sku))
}

/// Verifies an order, or rejects it with the first rule that it breaks.
pub fn decide(
    order: &OrderPlaced,
    account: Option<&Account>,
    item: impl Fn(&str) -> Option<Arc<Item>>,
) -> Either<OrderVerified, OrderRejected> {
    let refusal = refuse_customer(account).or_else(|| refuse_lines(order, item)).or_else(|| refuse_whole(order));
    let OrderPlaced { order_id, customer_id, placed_on, .. } = order.clone();
    let (units, amount_cents) = (order.units(), order.total_cents());
    match refusal {
        None => Either::Left(OrderVerified { order_id, customer_id, placed_on, units, amount_cents }),
        Some(reason) => {
            let stage = RejectedBy::Verification;
            Either::Right(OrderRejected { order_id, customer_id, placed_on, units, amount_cents, stage, reason })
        }
    }
}

fn refuse_customer(account: Option<&Account>) -> Option<String> {
    match account {
        None => Some("the customer has no account".to_owned()),
        Some(account) if account.status == AccountStatus::Blocked => Some("the account is blocked".to_owned()),
        Some(_) => None,
    }
}

fn refuse_lines(order: &OrderPlaced, item: impl Fn(&str) -> Option<Arc<Item>>) -> Option<String> {
    order.lines.iter().find_map(|line| {
        let Some(item) = item(&line.sku) else { return Some(format!("{} is not in the catalogue", line.sku)) };
        if line.quantity < 1 {
            return Some(format!("a line orders {} units of {}", line.quantity, line.sku));
        }
        if line.amount_cents < 0 {
            return Some(format!("a line of {} has a negative amount", line.sku));
        }
        // Compared as products: a unit's price need not be a whole number of cents.
        let most = item.max_unit_cents.saturating_mul(i64::from(line.quantity));
        (line.amount_cents > most).then(|| format!("{} costs more than its highest plausible price", line.sku))
    })
}

fn refuse_whole(order: &OrderPlaced) -> Option<String> {
    if order.currency != CURRENCY {
        return Some(format!("amounts are in {}, not in {CURRENCY}", order.currency));
    }
    if order.units() > MAX_ORDER_UNITS {
        return Some(format!("the order has more than {MAX_ORDER_UNITS} units"));
    }
    (order.total_cents() <= 0).then(|| "the order is worth nothing".to_owned())
}

#[cfg(test)]
mod tests {
    use unchain_schemas::OrderLine;

    use super::*;

    fn order(lines: &[(&str, i32, i64)]) -> OrderPlaced {
        let line = |(sku, quantity, amount_cents): &(&str, i32, i64)| OrderLine {
            sku: (*sku).to_owned(),
            quantity: *quantity,
            amount_cents: *amount_cents,
        };
        OrderPlaced {
            order_id: "00001-001".into(),
            customer_id: "00001".into(),
            placed_on: 9_862,
            currency: "USD".into(),
            lines: lines.iter().map(line).collect(),
        }
    }

    fn account(status: AccountStatus) -> Account {
        let (customer_id, email) = ("00001".to_owned(), "a@example.org".to_owned());
        Account { customer_id, status, email, monthly_limit_cents: 10_000 }
    }

    /// The reason of the rejection, or nothing where the order is verified.
    fn refusal(order: &OrderPlaced, account: Option<&Account>) -> Option<String> {
        let item = |sku: &str| {
            (sku == "CD").then(|| Arc::new(Item { sku: "CD".into(), title: "A CD".into(), max_unit_cents: 4_000 }))
        };
        match decide(order, account, item) {
            Either::Left(verified) => {
                assert_eq!((verified.units, verified.amount_cents), (order.units(), order.total_cents()));
                None
            }
            Either::Right(rejected) => {
                assert_eq!(rejected.stage, RejectedBy::Verification);
                Some(rejected.reason)
            }
        }
    }

    fn refused_lines(lines: &[(&str, i32, i64)]) -> Option<String> {
        refusal(&order(lines), Some(&account(AccountStatus::Open)))
    }

    #[test]
    fn a_plausible_order_of_an_open_account_is_verified() {
        assert_eq!(refused_lines(&[("CD", 1, 1_177)]), None);
        assert_eq!(refused_lines(&[("CD", 3, 12_000), ("CD", 1, 0)]), None, "the highest price is still plausible");
    }

    #[test]
    fn the_customer_needs_an_open_account() {
        let plain = order(&[("CD", 1, 1_177)]);
        assert_eq!(refusal(&plain, None).as_deref(), Some("the customer has no account"));
        assert_eq!(refusal(&plain, Some(&account(AccountStatus::Blocked))).as_deref(), Some("the account is blocked"));
    }

    #[test]
    fn every_line_needs_a_known_article_a_quantity_and_a_plausible_price() {
        assert_eq!(refused_lines(&[("CD", 1, 100), ("LP", 1, 100)]).as_deref(), Some("LP is not in the catalogue"));
        assert_eq!(refused_lines(&[("CD", 0, 100)]).as_deref(), Some("a line orders 0 units of CD"));
        assert_eq!(refused_lines(&[("CD", 1, -1)]).as_deref(), Some("a line of CD has a negative amount"));
        let dear = "CD costs more than its highest plausible price";
        assert_eq!(refused_lines(&[("CD", 3, 12_001)]).as_deref(), Some(dear));
    }

    #[test]
    fn the_order_needs_a_value_in_our_currency_and_a_plausible_size() {
        assert_eq!(refused_lines(&[]).as_deref(), Some("the order is worth nothing"));
        assert_eq!(refused_lines(&[("CD", 1, 0)]).as_deref(), Some("the order is worth nothing"));
        assert_eq!(refused_lines(&[("CD", i32::MAX, 1)]).as_deref(), Some("the order has more than 10000 units"));
        let foreign = OrderPlaced { currency: "EUR".into(), ..order(&[("CD", 1, 1_177)]) };
        let reason = refusal(&foreign, Some(&account(AccountStatus::Open)));
        assert_eq!(reason.as_deref(), Some("amounts are in EUR, not in USD"));
    }
}
