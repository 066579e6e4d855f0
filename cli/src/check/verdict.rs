//! The verdict: what is wrong with what the topics say, if anything.

use std::fmt::{self, Display};

use super::evidence::{Evidence, Period, Trail};
use super::known::{CDNOW, Known};
use super::{Expectation, Totals};

/// Violations that are told one by one; the rest are counted.
const MAX_SHOWN: usize = 20;

/// What is wrong. Nothing, where every order was handled exactly once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Violations {
    total: u64,
    shown: Vec<String>,
}

impl Violations {
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// Adds a violation.
    pub fn add(&mut self, violation: String) {
        self.total += 1;
        if self.shown.len() < MAX_SHOWN {
            self.shown.push(violation);
        }
    }

    fn compare<T: PartialEq + fmt::Debug>(&mut self, what: impl FnOnce() -> String, found: T, expected: T) {
        if found != expected {
            self.add(format!("{}: {found:?}, expected {expected:?}", what()));
        }
    }
}

impl Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shown.iter().try_for_each(|violation| writeln!(f, "wrong: {violation}"))?;
        match self.total - self.shown.len() as u64 {
            0 => Ok(()),
            more => writeln!(f, "wrong: {more} more"),
        }
    }
}

/// Compares the evidence with itself, with what was published, and for the whole log with what is known.
pub(super) fn judge(evidence: &Evidence, expectation: Expectation) -> Violations {
    let mut violations = Violations::default();
    let orders = evidence.sum(|trail| trail.placed);
    violations.compare(|| "orders in orders.placed".to_owned(), orders, expectation.orders);
    let mut trails: Vec<_> = evidence.trails.iter().collect();
    // What is told first must not depend on a hash.
    trails.sort_unstable_by_key(|(order_id, _)| *order_id);
    for (order_id, trail) in trails {
        judge_trail(order_id, trail, &mut violations);
    }
    judge_tables(evidence, &mut violations);
    violations.compare(|| "dead letters".to_owned(), evidence.dead_letters, 0);
    if let Some(letter) = &evidence.first_dead_letter {
        violations.add(format!("record {} was rejected by {}: {}", letter.record, letter.processor, letter.reason));
    }
    if let Some(totals) = expectation.totals {
        violations.compare(
            || "customers, units and cents of the published orders".to_owned(),
            ordered(evidence),
            totals,
        );
    }
    if expectation.orders == CDNOW.orders {
        judge_known(evidence, &CDNOW, &mut violations);
    }
    violations
}

fn judge_trail(order_id: &str, trail: &Trail, violations: &mut Violations) {
    let mut count = |what: &str, found: u32, expected: u32| {
        violations.compare(|| format!("order {order_id} stands in {what}"), found, expected);
    };
    count("orders.placed", trail.placed, 1);
    count("orders.shipped and orders.rejected", trail.outcomes(), 1);
    count("emails.sent", trail.emails, 1);
    count("revenue.sales", trail.sales, 1);
    // How far an order came follows from its outcome.
    let [by_verification, by_payment, by_stock] = trail.rejected;
    let passed_verification = u32::from(by_payment + by_stock + trail.shipped > 0);
    let passed_payment = u32::from(by_stock + trail.shipped > 0);
    if by_verification > 0 || passed_verification > 0 {
        count("orders.verified", trail.verified, passed_verification);
        count("orders.paid", trail.paid, passed_payment);
        count("orders.reserved", trail.reserved, u32::from(trail.shipped > 0));
    }
    if trail.altered {
        violations.add(format!("order {order_id} changes its units or its amount on the way"));
    }
}

fn judge_tables(evidence: &Evidence, violations: &mut Violations) {
    violations.compare(|| "keys of revenue.customers".to_owned(), evidence.customers.len(), evidence.by_customer.len());
    for (customer, sums) in &evidence.by_customer {
        let table = evidence.customers.get(customer);
        let found = table.map(|row| (row.orders, row.units, row.spend_cents, row.first_order_on, row.last_order_on));
        let expected = Some((sums.orders, sums.units, sums.cents, sums.first_day, sums.last_day));
        violations.compare(|| format!("revenue.customers of {customer}"), found, expected);
    }
    violations.compare(|| "keys of revenue.months".to_owned(), evidence.months.len(), evidence.by_month.len());
    for (month, sums) in &evidence.by_month {
        let found = evidence.months.get(month).map(|row| (row.orders, row.units, row.amount_cents));
        violations.compare(|| format!("revenue.months of {month}"), found, Some((sums.orders, sums.units, sums.cents)));
    }
    violations.compare(|| "keys of payment.charges".to_owned(), evidence.charges.len(), evidence.paid_in_month.len());
    for (customer, paid) in &evidence.paid_in_month {
        let table = evidence.charges.get(customer);
        let found = table.map(|row| Period { period: row.month.clone(), sum: row.charged_cents });
        violations.compare(|| format!("payment.charges of {customer}"), found.as_ref(), Some(paid));
    }
    let keys = (evidence.allotments.len(), evidence.reserved_on_day.len());
    violations.compare(|| "keys of inventory.allotments".to_owned(), keys.0, keys.1);
    for (customer, reserved) in &evidence.reserved_on_day {
        let table = evidence.allotments.get(customer);
        let found = table.map(|row| Period { period: row.day, sum: row.reserved_units });
        violations.compare(|| format!("inventory.allotments of {customer}"), found.as_ref(), Some(reserved));
    }
}

fn ordered(evidence: &Evidence) -> Totals {
    let customers = evidence.by_customer.values();
    Totals {
        customers: evidence.by_customer.len() as u64,
        units: customers.clone().map(|sums| sums.units).sum(),
        ordered_cents: customers.map(|sums| sums.cents).sum(),
    }
}

fn judge_known(evidence: &Evidence, known: &Known, violations: &mut Violations) {
    let totals = Totals { customers: known.customers, units: known.units, ordered_cents: known.ordered_cents };
    violations.compare(|| "known customers, units and cents".to_owned(), ordered(evidence), totals);
    let january = evidence.months.get("1997-01").map(|month| (month.orders, month.amount_cents));
    let known_january = Some((known.january_1997_orders, known.january_1997_cents));
    violations.compare(|| "known orders and cents of 1997-01".to_owned(), january, known_january);
    let (customer, cents) = known.top_customer;
    let found = evidence.customers.get(customer).map(|row| row.spend_cents);
    violations.compare(|| format!("known cents of customer {customer}"), found, Some(cents));
    violations.compare(|| "known shipped orders".to_owned(), evidence.sum(|trail| trail.shipped), known.shipped);
    let rejected = [0, 1, 2].map(|stage| evidence.sum(|trail| trail.rejected[stage]));
    violations.compare(|| "known rejected orders by stage".to_owned(), rejected, known.rejected);
}

#[cfg(test)]
mod tests {
    use unchain_processors::{inventory, payment, revenue, shipping};
    use unchain_schemas::{
        EmailSent, OrderLine, OrderPaid, OrderPlaced, OrderRejected, OrderReserved, OrderVerified, RejectedBy,
    };

    use super::*;

    fn order() -> OrderPlaced {
        OrderPlaced {
            order_id: "00001-001".into(),
            customer_id: "00001".into(),
            placed_on: 9_862,
            currency: "USD".into(),
            lines: vec![OrderLine { sku: "CD".into(), quantity: 2, amount_cents: 2_050 }],
        }
    }

    fn email() -> EmailSent {
        let (order_id, customer_id) = ("00001-001".into(), "00001".into());
        EmailSent { order_id, customer_id, recipient: String::new(), subject: String::new() }
    }

    fn reserved() -> OrderReserved {
        let (order_id, customer_id, warehouse) = ("00001-001".into(), "00001".into(), String::new());
        OrderReserved { order_id, customer_id, placed_on: 9_862, units: 2, amount_cents: 2_050, warehouse }
    }

    fn rejected() -> OrderRejected {
        let (order_id, customer_id, reason) = ("00001-001".into(), "00001".into(), String::new());
        let stage = RejectedBy::Verification;
        OrderRejected { order_id, customer_id, placed_on: 9_862, units: 2, amount_cents: 2_050, stage, reason }
    }

    /// One order that was shipped as it should be.
    fn shipped_order() -> Evidence {
        let (order_id, customer_id, placed_on) = ("00001-001".to_owned(), "00001".to_owned(), 9_862);
        let (units, amount_cents, authorization) = (2, 2_050, String::new());
        let verified = OrderVerified {
            order_id: order_id.clone(),
            customer_id: customer_id.clone(),
            placed_on,
            units,
            amount_cents,
        };
        let paid = OrderPaid { order_id, customer_id, placed_on, units, amount_cents, authorization };
        let mut evidence = Evidence::default();
        evidence.placed(&order());
        evidence.verified(&verified);
        evidence.paid(&paid);
        evidence.reserved(&reserved());
        evidence.shipped(&shipping::pack(reserved()));
        evidence.email(&email());
        let sale = revenue::sale(&order());
        evidence.sale(&sale);
        evidence.customers.insert("00001".into(), revenue::add_order(None, &order()));
        evidence.months.insert("1997-01".into(), revenue::add_sale(None, &sale));
        let charges = payment::authorize(&verified, None, 10_000).expect("the order is within the limit");
        evidence.charges.insert("00001".into(), charges);
        let allotment = inventory::allot(&paid, None).expect("the order is within the allotment");
        evidence.allotments.insert("00001".into(), allotment);
        evidence
    }

    /// What is wrong once the evidence of a right run is changed.
    fn wrong(change: impl FnOnce(&mut Evidence)) -> String {
        let mut evidence = shipped_order();
        change(&mut evidence);
        judge(&evidence, Expectation { orders: 1, totals: None }).to_string()
    }

    #[test]
    fn an_order_that_went_its_way_once_is_right() {
        assert_eq!(wrong(|_| {}), "");
    }

    #[test]
    fn a_record_too_many_or_too_few_is_found_in_every_topic() {
        let found = "wrong: order 00001-001 stands in ";
        assert_eq!(
            wrong(|all| all.shipped(&shipping::pack(reserved()))),
            format!("{found}orders.shipped and orders.rejected: 2, expected 1\n")
        );
        assert_eq!(wrong(|all| all.email(&email())), format!("{found}emails.sent: 2, expected 1\n"));
        assert_eq!(wrong(|all| all.sale(&revenue::sale(&order()))), format!("{found}revenue.sales: 2, expected 1\n"));
        let no_longer_paid = wrong(|all| all.trails.values_mut().for_each(|trail| trail.paid = 0));
        assert_eq!(no_longer_paid, format!("{found}orders.paid: 0, expected 1\n"));
        let twice = wrong(|all| all.placed(&order()));
        assert!(twice.starts_with("wrong: orders in orders.placed: 2, expected 1\n"), "{twice}");
    }

    #[test]
    fn two_outcomes_are_found() {
        assert!(wrong(|all| all.rejected(&rejected())).contains("orders.shipped and orders.rejected: 2, expected 1"));
    }

    #[test]
    fn a_table_that_counted_twice_is_found() {
        let sale = revenue::sale(&order());
        let again = wrong(|all| {
            let once = all.months.get("1997-01").cloned();
            all.months.insert("1997-01".into(), revenue::add_sale(once.as_ref(), &sale));
        });
        assert_eq!(again, "wrong: revenue.months of 1997-01: Some((2, 4, 4100)), expected Some((1, 2, 2050))\n");
        assert!(wrong(|all| all.charges.clear()).contains("keys of payment.charges: 0, expected 1"));
        let units = wrong(|all| all.allotments.values_mut().for_each(|row| row.reserved_units += 1));
        assert!(units.contains("inventory.allotments of 00001"), "{units}");
    }

    #[test]
    fn an_amount_that_changes_on_the_way_is_found() {
        let cheaper = OrderReserved { amount_cents: 1, ..reserved() };
        let changed = wrong(|all| {
            all.trails.values_mut().for_each(|trail| trail.reserved = 0);
            all.reserved_on_day.clear();
            all.reserved(&cheaper);
        });
        assert_eq!(changed, "wrong: order 00001-001 changes its units or its amount on the way\n");
    }

    #[test]
    fn the_published_totals_are_compared() {
        let totals = Totals { customers: 1, units: 2, ordered_cents: 2_051 };
        let violations = judge(&shipped_order(), Expectation { orders: 1, totals: Some(totals) });
        assert!(violations.to_string().contains("ordered_cents: 2050"), "{violations}");
    }
}
