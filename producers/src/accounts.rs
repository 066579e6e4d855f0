//! Reference data derived from an order log: one account a customer, and the catalogue.
//!
//! The log has neither. Both follow from stated rules alone, so that every run and every program agrees on them; the
//! figures are chosen such that most orders ship and every kind of rejection occurs.

use unchain_schemas::{Account, AccountStatus, Item};

/// Of so many customers in a row one is blocked: 0.3 %.
const BLOCKED_EVERY: u64 = 337;

/// The monthly limits of three, five and two customers of ten, in cents: 75, 125 and 250 USD.
const MONTHLY_LIMITS_CENTS: [i64; 10] = [7_500, 7_500, 7_500, 12_500, 12_500, 12_500, 12_500, 12_500, 25_000, 25_000];

/// 40 USD. Of the CDNOW log's orders 1.5 % cost more a unit: they were not CDs, or the price is wrong.
const MAX_CD_CENTS: i64 = 4_000;

/// A customer's account.
pub fn account_of(customer_id: &str) -> Account {
    let number = number_of(customer_id);
    let blocked = number.is_multiple_of(BLOCKED_EVERY);
    let tier = usize::try_from(number % 10).expect("a decimal digit is small");
    Account {
        customer_id: customer_id.to_owned(),
        status: if blocked { AccountStatus::Blocked } else { AccountStatus::Open },
        email: format!("customer-{customer_id}@example.org"),
        monthly_limit_cents: MONTHLY_LIMITS_CENTS[tier],
    }
}

/// The articles that can be ordered.
pub fn catalogue() -> Vec<Item> {
    vec![Item { sku: "CD".to_owned(), title: "A compact disc".to_owned(), max_unit_cents: MAX_CD_CENTS }]
}

/// The number that a customer's id spells; an id of other characters stands for the sum of its bytes.
fn number_of(customer_id: &str) -> u64 {
    customer_id.parse().unwrap_or_else(|_| customer_id.bytes().map(u64::from).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_customer_in_337_is_blocked() {
        let blocked = |id: &str| account_of(id).status == AccountStatus::Blocked;
        assert!(blocked("00337") && blocked("00674"));
        assert!(!blocked("00001") && !blocked("00336"));
    }

    #[test]
    fn the_last_digit_says_the_monthly_limit() {
        let limits =
            ["00010", "00002", "00003", "00007", "00008", "00019"].map(|id| account_of(id).monthly_limit_cents);
        assert_eq!(limits, [7_500, 7_500, 12_500, 12_500, 25_000, 25_000]);
    }

    #[test]
    fn an_id_that_is_no_number_has_an_account_too() {
        assert_eq!(account_of("alice"), account_of("alice"));
        assert_eq!(account_of("alice").email, "customer-alice@example.org");
    }
}
