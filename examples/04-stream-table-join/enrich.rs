//! Stream-table join: purchases get the customer's name from a table that another topic fills.
//!
//! Both topics have equal partitions and the same keys, so a customer's purchases and profile meet in one worker. Unlike
//! with a `Lookup`, no process holds more of the table than its own partitions.

use unchain::process::{Entry, Key, Processor, Row};

use crate::contracts::{NameRow, NamedPurchase, Profile, Purchase};

/// Keeps the table: a profile sets its row, a tombstone deletes it.
async fn remember(profile: Option<Profile>, mut row: Entry<NameRow>) {
    match profile {
        Some(Profile { customer, name }) => row.set(NameRow { customer, name }),
        None => row.delete(),
    }
}

/// A left join: every purchase goes on, with the name where it is known. An inner one would return `None` without it.
async fn enrich(purchase: Purchase, Key(customer): Key, profile: Row<NameRow>) -> NamedPurchase {
    NamedPurchase { customer, name: profile.into_inner().map(|row| row.name), cents: purchase.cents }
}

pub fn processor() -> Processor {
    Processor::new("enrich").doc("Puts names to purchases.").handle(remember).handle(enrich)
}

#[cfg(test)]
mod tests {
    use unchain_testkit::Driver;

    use super::*;

    fn purchase(cents: i64) -> Purchase {
        Purchase { customer: "c-1".into(), cents }
    }

    #[test]
    fn a_purchase_has_the_name_that_was_known_when_it_came() {
        let mut test = Driver::new(processor());
        test.send(&purchase(1)).send(&Profile { customer: "c-1".into(), name: "Ada".into() }).send(&purchase(2));
        test.send_tombstone::<Profile>("c-1").send(&purchase(3));
        let names: Vec<_> =
            test.outputs::<NamedPurchase>().into_iter().map(|named| (named.cents, named.name)).collect();
        assert_eq!(names, [(1, None), (2, Some("Ada".to_owned())), (3, None)]);
    }

    #[test]
    fn both_inputs_share_the_table_and_so_their_partitions() {
        let processor = processor();
        assert_eq!(processor.check(), Ok(()));
        assert!(processor.co_partitioned());
        assert_eq!(processor.group_of("shop.profiles"), processor.group_of("shop.purchases"));
    }
}
