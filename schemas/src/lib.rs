//! The contracts of the order domain: one Rust type for each Avro schema, one topic for each contract.
//!
//! The `.avsc` files of each domain and `topics.toml` are the source; `build.rs` makes the types from them.

unchain::contracts!();

impl OrderPlaced {
    /// Units over all lines. A sum beyond `i32` saturates, and is then refused by verification.
    pub fn units(&self) -> i32 {
        self.lines.iter().fold(0, |sum, line| sum.saturating_add(line.quantity))
    }

    /// The order's amount in cents over all lines. A sum beyond `i64` saturates.
    pub fn total_cents(&self) -> i64 {
        self.lines.iter().fold(0, |sum, line| sum.saturating_add(line.amount_cents))
    }
}

#[cfg(test)]
mod tests {
    use unchain::contract::Contract;

    use super::*;

    #[test]
    fn an_order_sums_its_lines() {
        let line = |quantity, amount_cents| OrderLine { sku: "CD".into(), quantity, amount_cents };
        let order = OrderPlaced {
            order_id: "00001-001".into(),
            customer_id: "00001".into(),
            placed_on: 9862,
            currency: "USD".into(),
            lines: vec![line(1, 1177), line(2, 2050)],
        };
        assert_eq!((order.units(), order.total_cents()), (3, 3227));
        assert_eq!(order.key(), "00001");
    }

    #[test]
    fn topics_read_side_by_side_have_the_same_partitions() {
        let by_customer: Vec<_> = TOPICS.iter().filter(|topic| topic.key == "customer_id").collect();
        assert!(by_customer.len() > 9 && by_customer.iter().all(|topic| topic.partitions == 6));
    }
}
