//! The input: orders that follow from a seed, so that every contestant gets the same and the right answer is known.

use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use unchain::contract::{Encoder, SchemaId};
use unchain_benches::contracts::{Line, Order};

use crate::Failure;
use crate::cluster::{Cluster, client};

/// Cents; a tenth of the orders is below it.
pub const THRESHOLD: i64 = 62_000;
pub const CUSTOMERS: u64 = 10_000;
const SEED: u64 = 42;
const CURRENCIES: [&str; 4] = ["EUR", "USD", "GBP", "SEK"];

/// The generator SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// Order number `index`; its id tells the number again, by [`index_of`].
pub fn order(index: u64) -> Order {
    let mut random = Random(SEED ^ index.wrapping_mul(0xd134_2543_de82_ef95));
    let filler = random.next();
    let order_id = format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{index:012x}",
        filler >> 32,
        (filler >> 16) & 0xffff,
        filler & 0xfff,
        (filler >> 12) & 0xfff
    );
    let customer_id = format!("cust-{:07}", random.below(CUSTOMERS));
    let currency = CURRENCIES[usize::try_from(random.below(4)).expect("below four")].to_owned();
    let mut line = || Line {
        sku: format!("SKU-electronics-{:010}-variant-{:02}", random.below(100_000), random.below(50)),
        quantity: 1 + i32::try_from(random.below(9)).expect("below nine"),
        unit_price_cents: 100 + i64::try_from(random.below(19_900)).expect("below 19,900"),
    };
    let lines = vec![line(), line(), line()];
    Order { order_id, customer_id, created_at: 1_760_000_000_000 + i64::try_from(index).unwrap_or(0), currency, lines }
}

/// The number of the order that has this id.
pub fn index_of(order_id: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(order_id.get(24..36)?).ok()?, 16).ok()
}

fn total_cents(order: &Order) -> i64 {
    order.lines.iter().map(|line| i64::from(line.quantity) * line.unit_price_cents).sum()
}

/// Writes orders to a topic.
pub struct Feed {
    producer: BaseProducer,
    encoder: Encoder<Order>,
    topic: String,
    value: Vec<u8>,
}

impl Feed {
    /// For as many records a second as possible.
    pub fn fast(cluster: &Cluster, topic: &str) -> Result<Feed, Failure> {
        Feed::new(cluster, topic, "20")
    }

    /// For a given rate: each record goes out at once.
    pub fn prompt(cluster: &Cluster, topic: &str) -> Result<Feed, Failure> {
        Feed::new(cluster, topic, "0")
    }

    fn new(cluster: &Cluster, topic: &str, linger_ms: &str) -> Result<Feed, Failure> {
        let mut config = client(&cluster.brokers);
        config
            .set("enable.idempotence", "true")
            // As the Java client partitions, so that a key's changelog and output lie beside its input.
            .set("partitioner", "murmur2_random")
            .set("compression.codec", "lz4")
            .set("linger.ms", linger_ms)
            .set("batch.size", "900000")
            .set("message.max.bytes", "2000000")
            .set("queue.buffering.max.kbytes", "262144");
        let encoder = Encoder::with_id(SchemaId(1));
        Ok(Feed { producer: config.create()?, encoder, topic: topic.to_owned(), value: Vec::new() })
    }

    pub fn send(&mut self, order: &Order) -> Result<(), Failure> {
        self.value.clear();
        self.encoder.encode(order, &mut self.value)?;
        let mut record = BaseRecord::to(&self.topic).key(order.customer_id.as_bytes()).payload(&self.value);
        while let Err((error, refused)) = self.producer.send(record) {
            if !matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)) {
                return Err(error.into());
            }
            self.producer.poll(Duration::from_millis(5));
            record = refused;
        }
        Ok(())
    }

    /// Serves the client's events; to be called now and then.
    pub fn serve(&self) {
        self.producer.poll(Duration::ZERO);
    }

    pub fn finish(self) -> Result<(), Failure> {
        Ok(self.producer.flush(Duration::from_secs(60))?)
    }
}

/// Fills a topic with that many orders; returns how many of them reach the threshold.
pub fn fill(cluster: &Cluster, topic: &str, orders: u64) -> Result<u64, Failure> {
    let mut feed = Feed::fast(cluster, topic)?;
    let mut passing = 0;
    for index in 0..orders {
        let order = order(index);
        passing += u64::from(total_cents(&order) >= THRESHOLD);
        feed.send(&order)?;
        if index % 1_000 == 0 {
            feed.serve();
        }
    }
    feed.finish()?;
    Ok(passing)
}

/// Fills a topic with orders of a little below one megabyte each, which do not compress.
pub fn fill_large(cluster: &Cluster, topic: &str, orders: u64) -> Result<(), Failure> {
    const LARGE_BYTES: usize = 990_000;
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut random = Random(SEED);
    let digit = |_| char::from(DIGITS[usize::try_from(random.below(64)).expect("below 64")]);
    let large: String = (0..LARGE_BYTES).map(digit).collect();
    let mut feed = Feed::fast(cluster, topic)?;
    for index in 0..orders {
        let mut order = order(index);
        order.lines[0].sku.clone_from(&large);
        feed.send(&order)?;
        feed.serve();
    }
    feed.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_follows_from_its_number_and_tells_it() {
        for index in [0, 1, 4_999_999, 1 << 40] {
            assert_eq!(order(index), order(index));
            assert_eq!(index_of(order(index).order_id.as_bytes()), Some(index));
            assert_eq!(order(index).order_id.len(), 36);
        }
        assert_eq!(index_of(b"short"), None);
    }

    #[test]
    fn a_tenth_of_the_orders_is_below_the_threshold() {
        let below = (0..10_000).filter(|index| total_cents(&order(*index)) < THRESHOLD).count();
        assert!((900..1_100).contains(&below), "{below} of 10,000");
    }
}
