//! Testing a processor: a customer's third purchase earns a bonus, and a service is asked how much.

use unchain::process::{Entry, Failure, Processor, State};

use crate::contracts::{Bonus, Purchase, Spend};

/// The service that says what a bonus is worth, in cents.
pub type Service = fn(customer: &str) -> Result<i64, String>;

async fn reward(
    bought: Purchase,
    mut spend: Entry<Spend>,
    State(ask): State<Service>,
) -> Result<Option<Bonus>, Failure> {
    let (purchases, cents) = spend.get().map_or((0, 0), |spend| (spend.purchases, spend.cents));
    spend.set(Spend { customer: bought.customer.clone(), purchases: purchases + 1, cents: cents + bought.cents });
    if purchases + 1 != 3 {
        return Ok(None);
    }
    let cents = ask(&bought.customer).map_err(Failure::retry)?;
    Ok(Some(Bonus { customer: bought.customer, cents }))
}

pub fn processor(service: Service) -> Processor {
    Processor::new("bonus").doc("Rewards a customer's third purchase.").handle(reward).state(service)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use unchain_testkit::Driver;

    use super::*;

    fn purchase(cents: i64) -> Purchase {
        Purchase { customer: "c-1".into(), cents }
    }

    #[test]
    fn the_third_purchase_earns_a_bonus() {
        let mut test = Driver::new(processor(|_| Ok(100)));
        test.send(&purchase(500)).send(&purchase(700));
        assert_eq!(test.outputs::<Bonus>(), []);
        test.send(&purchase(900));
        assert_eq!(test.outputs::<Bonus>(), [Bonus { customer: "c-1".into(), cents: 100 }]);
        assert_eq!(test.row::<Spend>("c-1"), Some(Spend { customer: "c-1".into(), purchases: 3, cents: 2_100 }));
    }

    #[test]
    fn a_service_that_stays_away_costs_the_bonus_but_not_the_order_of_purchases() {
        let mut test = Driver::new(processor(|_| Err("unreachable".into())));
        test.send(&purchase(500)).send(&purchase(700)).send(&purchase(900)).send(&purchase(100));
        // The third waits to be tried again, and the fourth waits behind it: they are of one customer.
        assert_eq!(test.waiting(), 2);
        test.advance(Duration::from_secs(60));
        assert_eq!(test.dead_letters()[0].reason, "unreachable");
        assert_eq!((test.waiting(), test.retries()), (0, 8));
        // What the third had written went with it; so the fourth counted as the third, and failed like it.
        assert_eq!(test.row::<Spend>("c-1"), Some(Spend { customer: "c-1".into(), purchases: 2, cents: 1_200 }));
    }
}
