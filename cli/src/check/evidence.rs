//! What the topics say: each order's trail through them, sums of what went in, and the tables' last values.

use std::collections::{BTreeMap, HashMap};

use unchain::contract::system::DeadLetter;
use unchain_processors::calendar::month_of;
use unchain_schemas::{
    CustomerAllotment, CustomerCharges, CustomerRevenue, EmailSent, MonthRevenue, OrderPaid, OrderPlaced,
    OrderRejected, OrderReserved, OrderShipped, OrderVerified, RejectedBy, Sale,
};

/// How often an order stands in each topic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Trail {
    pub placed: u32,
    pub verified: u32,
    pub paid: u32,
    pub reserved: u32,
    pub shipped: u32,
    /// By verification, payment and stock.
    pub rejected: [u32; 3],
    pub emails: u32,
    pub sales: u32,
    units: i32,
    amount_cents: i64,
    /// Whether a later record has other units or another amount than the order.
    pub altered: bool,
}

/// Orders, units and cents, with the days between which they lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sums {
    pub orders: i64,
    pub units: i64,
    pub cents: i64,
    pub first_day: i32,
    pub last_day: i32,
}

/// A sum that begins anew with each period: a month's charges, a day's units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Period<P, S> {
    pub period: P,
    pub sum: S,
}

/// All that was read. The sums are kept apart from the tables: the verdict compares them.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    pub trails: HashMap<Box<str>, Trail>,
    pub by_customer: HashMap<String, Sums>,
    pub by_month: BTreeMap<String, Sums>,
    pub paid_in_month: HashMap<String, Period<String, i64>>,
    pub reserved_on_day: HashMap<String, Period<i32, i32>>,
    pub customers: HashMap<String, CustomerRevenue>,
    pub months: BTreeMap<String, MonthRevenue>,
    pub charges: HashMap<String, CustomerCharges>,
    pub allotments: HashMap<String, CustomerAllotment>,
    pub dead_letters: u64,
    pub first_dead_letter: Option<DeadLetter>,
    pub records: u64,
}

impl Evidence {
    fn trail(&mut self, order_id: &str) -> &mut Trail {
        if !self.trails.contains_key(order_id) {
            self.trails.insert(order_id.into(), Trail::default());
        }
        self.trails.get_mut(order_id).expect("it was inserted where it was missing")
    }

    /// Orders come first: what follows is compared with them.
    pub fn placed(&mut self, order: &OrderPlaced) {
        let (units, amount_cents) = (order.units(), order.total_cents());
        let trail = self.trail(&order.order_id);
        trail.placed += 1;
        (trail.units, trail.amount_cents) = (units, amount_cents);
        let fresh = || Sums { orders: 0, units: 0, cents: 0, first_day: order.placed_on, last_day: order.placed_on };
        let month = self.by_month.entry(month_of(order.placed_on)).or_insert_with(fresh);
        month.add(order.placed_on, units, amount_cents);
        let customer = self.by_customer.entry(order.customer_id.clone()).or_insert_with(fresh);
        customer.add(order.placed_on, units, amount_cents);
    }

    pub fn verified(&mut self, order: &OrderVerified) {
        let trail = self.trail(&order.order_id);
        trail.verified += 1;
        trail.compare(order.units, order.amount_cents);
    }

    pub fn paid(&mut self, order: &OrderPaid) {
        let trail = self.trail(&order.order_id);
        trail.paid += 1;
        trail.compare(order.units, order.amount_cents);
        let period = month_of(order.placed_on);
        match self.paid_in_month.get_mut(&order.customer_id) {
            Some(current) if current.period == period => current.sum += order.amount_cents,
            _ => drop(self.paid_in_month.insert(order.customer_id.clone(), Period { period, sum: order.amount_cents })),
        }
    }

    pub fn reserved(&mut self, order: &OrderReserved) {
        let trail = self.trail(&order.order_id);
        trail.reserved += 1;
        trail.compare(order.units, order.amount_cents);
        let period = order.placed_on;
        match self.reserved_on_day.get_mut(&order.customer_id) {
            Some(current) if current.period == period => current.sum += order.units,
            _ => drop(self.reserved_on_day.insert(order.customer_id.clone(), Period { period, sum: order.units })),
        }
    }

    pub fn shipped(&mut self, order: &OrderShipped) {
        let trail = self.trail(&order.order_id);
        trail.shipped += 1;
        trail.compare(order.units, order.amount_cents);
    }

    pub fn rejected(&mut self, order: &OrderRejected) {
        let trail = self.trail(&order.order_id);
        let stage = match order.stage {
            RejectedBy::Verification => 0,
            RejectedBy::Payment => 1,
            RejectedBy::Stock => 2,
        };
        trail.rejected[stage] += 1;
        trail.compare(order.units, order.amount_cents);
    }

    pub fn email(&mut self, email: &EmailSent) {
        self.trail(&email.order_id).emails += 1;
    }

    pub fn sale(&mut self, sale: &Sale) {
        let trail = self.trail(&sale.order_id);
        trail.sales += 1;
        trail.compare(sale.units, sale.amount_cents);
    }

    pub fn dead_letter(&mut self, letter: DeadLetter) {
        self.dead_letters += 1;
        self.first_dead_letter.get_or_insert(letter);
    }

    /// A count over all orders.
    pub fn sum(&self, count: impl Fn(&Trail) -> u32) -> u64 {
        self.trails.values().map(|trail| u64::from(count(trail))).sum()
    }
}

impl Trail {
    pub fn outcomes(&self) -> u32 {
        self.shipped + self.rejected.iter().sum::<u32>()
    }

    fn compare(&mut self, units: i32, amount_cents: i64) {
        self.altered |= self.placed > 0 && (units, amount_cents) != (self.units, self.amount_cents);
    }
}

impl Sums {
    fn add(&mut self, day: i32, units: i32, cents: i64) {
        self.orders += 1;
        self.units += i64::from(units);
        self.cents += cents;
        self.first_day = self.first_day.min(day);
        self.last_day = self.last_day.max(day);
    }
}
