//! Windows by event time: what each customer spends hour by hour, with late purchases sent to a topic of their own.
//!
//! Without the `Result` around `Windows` the handler would not see late records: they would be dead letters.

use unchain::process::window::{hours, minutes};
use unchain::process::{Late, Processor, Tumbling, Windows};

use crate::contracts::{HourlySpend, LatePurchase, Purchase};

async fn add_up(purchase: Purchase, hours: Result<Windows<HourlySpend>, Late>) -> Option<LatePurchase> {
    let Purchase { customer, cents } = purchase;
    match hours {
        Ok(mut hours) => {
            hours.update(|_, before| {
                let (purchases, spent) = before.map_or((0, 0), |before| (before.purchases, before.cents));
                HourlySpend { customer: customer.clone(), purchases: purchases + 1, cents: spent + cents }
            });
            None
        }
        Err(late) => Some(LatePurchase { customer, cents, behind_ms: late.stream_time_ms - late.time_ms }),
    }
}

pub fn processor() -> Processor {
    // An hour is open for five minutes after its end, and its rows can be read for a day.
    let each_hour = Tumbling::of(hours(1)).grace(minutes(5)).retention(hours(24));
    Processor::new("hourly")
        .doc("Adds up what customers spend by the hour.")
        .handle(add_up)
        .window::<HourlySpend>(each_hour)
}

#[cfg(test)]
mod tests {
    use unchain::process::window::format_time;
    use unchain_testkit::Driver;

    use super::*;

    fn purchase(customer: &str, cents: i64) -> Purchase {
        Purchase { customer: customer.into(), cents }
    }

    #[test]
    fn purchases_add_up_in_the_hour_of_their_time_whenever_they_come() {
        let mut test = Driver::new(processor());
        test.at("1997-01-01T09:10:00Z").send(&purchase("c-1", 100));
        test.at("1997-01-01T10:01:00Z").send(&purchase("c-1", 30));
        test.at("1997-01-01T09:59:00Z").send(&purchase("c-1", 200));
        let rows = test.windows::<HourlySpend>();
        let rows: Vec<_> =
            rows.iter().map(|(key, hour, row)| (key.as_str(), format_time(hour.start_ms), row.cents)).collect();
        let hour = |hour: u8| format!("1997-01-01T{hour:02}:00:00.000Z");
        assert_eq!(rows, [("c-1", hour(9), 300), ("c-1", hour(10), 30)]);
    }

    #[test]
    fn a_purchase_of_a_closed_hour_goes_elsewhere() {
        let mut test = Driver::new(processor());
        test.at("1997-01-01T09:10:00Z").send(&purchase("c-1", 100));
        test.at("1997-01-01T10:05:00Z").send(&purchase("c-2", 1));
        test.at("1997-01-01T09:59:00Z").send(&purchase("c-1", 200));
        assert_eq!(
            test.outputs::<LatePurchase>(),
            [LatePurchase { customer: "c-1".into(), cents: 200, behind_ms: 6 * 60_000 }]
        );
        assert_eq!(test.windows::<HourlySpend>()[0].2.cents, 100);
    }
}
