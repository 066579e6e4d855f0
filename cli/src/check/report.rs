//! The report of a run: one JSON object for programs, tables for people.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use super::evidence::Evidence;

const TOP_CUSTOMERS: usize = 10;

/// What happened to the orders. Amounts are in cents of USD.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    pub orders: u64,
    pub customers: u64,
    pub units: i64,
    pub ordered_cents: i64,
    pub shipped: u64,
    pub rejected: Rejected,
    pub emails: u64,
    /// What was ordered, by calendar month.
    pub revenue_by_month: BTreeMap<String, MonthTotal>,
    /// Those who ordered for the most, the most first.
    pub top_customers: Vec<TopCustomer>,
    /// True only where it was checked from the topics.
    pub exactly_once: bool,
    pub seconds: f64,
    pub records_per_second: u64,
}

/// Rejected orders by the stage that rejected them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Rejected {
    pub verification: u64,
    pub payment: u64,
    pub stock: u64,
}

/// A month's orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MonthTotal {
    pub orders: i64,
    pub cents: i64,
}

/// A customer's orders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TopCustomer {
    pub customer_id: String,
    pub orders: i64,
    pub cents: i64,
}

/// Records between the first and the last stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stages {
    pub verified: u64,
    pub paid: u64,
    pub reserved: u64,
}

impl Stages {
    pub(super) fn of(evidence: &Evidence) -> Stages {
        Stages {
            verified: evidence.sum(|trail| trail.verified),
            paid: evidence.sum(|trail| trail.paid),
            reserved: evidence.sum(|trail| trail.reserved),
        }
    }
}

impl Report {
    /// Revenue comes from the pipeline's own tables, everything else from its events.
    pub(super) fn of(evidence: &Evidence) -> Report {
        let ordered = || evidence.by_customer.values();
        let months = evidence.months.iter();
        Report {
            orders: evidence.sum(|trail| trail.placed),
            customers: evidence.by_customer.len() as u64,
            units: ordered().map(|sums| sums.units).sum(),
            ordered_cents: ordered().map(|sums| sums.cents).sum(),
            shipped: evidence.sum(|trail| trail.shipped),
            rejected: Rejected {
                verification: evidence.sum(|trail| trail.rejected[0]),
                payment: evidence.sum(|trail| trail.rejected[1]),
                stock: evidence.sum(|trail| trail.rejected[2]),
            },
            emails: evidence.sum(|trail| trail.emails),
            revenue_by_month: months
                .map(|(month, total)| (month.clone(), MonthTotal { orders: total.orders, cents: total.amount_cents }))
                .collect(),
            top_customers: top_customers(evidence),
            exactly_once: false,
            seconds: 0.0,
            records_per_second: 0,
        }
    }

    /// Sets the time that the run took and the records that it handled.
    pub fn time(&mut self, records: u64, taken: Duration) {
        let seconds = taken.as_secs_f64().max(0.001);
        self.seconds = (seconds * 1_000.0).round() / 1_000.0;
        self.records_per_second = (records as f64 / seconds) as u64;
    }

    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("a report has text keys and finite numbers only")
    }

    /// Tables of the stages, the months and the top customers.
    pub fn text(&self, stages: &Stages) -> String {
        let rejected = self.rejected;
        let counts = [
            ("orders in", self.orders.to_string()),
            ("customers", self.customers.to_string()),
            ("units", self.units.to_string()),
            ("ordered, USD", dollars(self.ordered_cents)),
            ("verified", stages.verified.to_string()),
            ("paid", stages.paid.to_string()),
            ("reserved", stages.reserved.to_string()),
            ("shipped", self.shipped.to_string()),
            ("rejected by verification", rejected.verification.to_string()),
            ("rejected by payment", rejected.payment.to_string()),
            ("rejected for stock", rejected.stock.to_string()),
            ("e-mails", self.emails.to_string()),
            ("seconds", format!("{:.2}", self.seconds)),
            ("records per second", self.records_per_second.to_string()),
        ];
        let months = self.revenue_by_month.iter();
        let months = months.map(|(month, total)| [month.clone(), total.orders.to_string(), dollars(total.cents)]);
        let top = self.top_customers.iter();
        let top =
            top.map(|customer| [customer.customer_id.clone(), customer.orders.to_string(), dollars(customer.cents)]);
        let mut text = String::new();
        let tables = [
            table(None, counts.into_iter().map(|(name, value)| [name.to_owned(), value])),
            table(Some(["month", "orders", "revenue, USD"]), months),
            table(Some(["top customer", "orders", "revenue, USD"]), top),
        ];
        for table in tables {
            writeln!(text, "{table}\n").expect("writing to a string does not fail");
        }
        text
    }
}

fn table<const N: usize>(header: Option<[&str; N]>, rows: impl Iterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if let Some(header) = header {
        table.set_header(header);
    }
    table.add_rows(rows);
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table.trim_fmt()
}

fn top_customers(evidence: &Evidence) -> Vec<TopCustomer> {
    let mut all: Vec<_> = evidence.customers.iter().collect();
    all.sort_by(|(a, x), (b, y)| y.spend_cents.cmp(&x.spend_cents).then_with(|| a.cmp(b)));
    let customer = |(customer_id, revenue): (&String, &unchain_schemas::CustomerRevenue)| TopCustomer {
        customer_id: customer_id.clone(),
        orders: revenue.orders,
        cents: revenue.spend_cents,
    };
    all.into_iter().take(TOP_CUSTOMERS).map(customer).collect()
}

fn dollars(cents: i64) -> String {
    format!("{}{}.{:02}", if cents < 0 { "-" } else { "" }, cents.unsigned_abs() / 100, cents.unsigned_abs() % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_has_the_documented_fields_in_their_order() {
        let mut report = Report::of(&Evidence::default());
        report.revenue_by_month.insert("1997-01".into(), MonthTotal { orders: 1, cents: 1_177 });
        report.top_customers.push(TopCustomer { customer_id: "00001".into(), orders: 1, cents: 1_177 });
        report.time(1_000, Duration::from_millis(500));
        expect_test::expect![[r#"{"orders":0,"customers":0,"units":0,"ordered_cents":0,"shipped":0,"rejected":{"verification":0,"payment":0,"stock":0},"emails":0,"revenue_by_month":{"1997-01":{"orders":1,"cents":1177}},"top_customers":[{"customer_id":"00001","orders":1,"cents":1177}],"exactly_once":false,"seconds":0.5,"records_per_second":2000}"#]]
        .assert_eq(&report.json());
    }
}
