//! The limit to compare with: the same jobs as a bare rdkafka loop of poll, decode, encode, send and commit.
//!
//! Not a product: with several threads (THREADS) each has a fixed share of the partitions and nobody rebalances, a table
//! is a map that no restart would fill again, and an error ends the program. Codec: serde_avro_fast with borrowed strings.

use std::collections::HashMap;
use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use serde::{Deserialize, Serialize};
use serde_avro_fast::Schema;
use serde_avro_fast::ser::SerializerConfig;
use unchain::contract::Contract;
use unchain_benches::contracts;
use unchain_benches::environment::{Environment, Job, Mode};

type Failure = Box<dyn Error + Send + Sync>;

const PARTITIONS: i32 = 6;
const BROKER_TIMEOUT: Duration = Duration::from_secs(30);
/// Confluent's wire format: a zero and four bytes of schema id stand before the datum.
const HEADER_BYTES: usize = 5;

#[derive(Deserialize)]
struct Order<'a> {
    order_id: &'a str,
    customer_id: &'a str,
    lines: Vec<Line>,
}

#[derive(Deserialize)]
struct Line {
    quantity: i32,
    unit_price_cents: i64,
}

#[derive(Serialize)]
struct OrderTotal<'a> {
    order_id: &'a str,
    customer_id: &'a str,
    total_cents: i64,
    item_count: i32,
}

#[derive(Serialize)]
struct CustomerStats<'a> {
    customer_id: &'a str,
    count: i64,
    sum_cents: i64,
}

struct Schemas {
    order: Schema,
    total: Schema,
    stats: Schema,
}

impl Schemas {
    fn parse() -> Result<Schemas, Failure> {
        let parse = |topic: &unchain::contract::Topic| topic.schema.parse::<Schema>();
        let order = parse(contracts::Order::TOPIC)?;
        let total = parse(contracts::OrderTotal::TOPIC)?;
        Ok(Schemas { order, total, stats: parse(contracts::CustomerStats::TOPIC)? })
    }
}

/// One thread's clients and state.
struct Loop<'a> {
    run: &'a Environment,
    schemas: &'a Schemas,
    consumer: BaseConsumer,
    producer: BaseProducer,
    /// Count and sum of each customer, for J2.
    table: HashMap<Vec<u8>, (i64, i64)>,
    encoded: Vec<u8>,
    next_offsets: [Option<i64>; PARTITIONS as usize],
    uncommitted: usize,
    begun: Instant,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Failure> {
    let (run, schemas) = (&Environment::read()?, &Schemas::parse()?);
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..run.workers).map(|thread| scope.spawn(move || Loop::new(run, schemas, thread)?.work())).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread panicked")?)
    })
}

impl<'a> Loop<'a> {
    fn new(run: &'a Environment, schemas: &'a Schemas, thread: usize) -> Result<Loop<'a>, Failure> {
        let producer = producer(run, thread)?;
        let consumer = consumer(run, thread)?;
        Ok(Loop {
            run,
            schemas,
            consumer,
            producer,
            table: HashMap::new(),
            encoded: Vec::with_capacity(512),
            next_offsets: [None; PARTITIONS as usize],
            uncommitted: 0,
            begun: Instant::now(),
        })
    }

    fn work(mut self) -> Result<(), Failure> {
        let exactly_once = self.run.mode == Mode::ExactlyOnce;
        let usual = Duration::from_millis(if exactly_once { 100 } else { 1_000 });
        let interval = self.run.commit_interval.unwrap_or(usual);
        loop {
            let wait = if self.uncommitted > 0 { interval / 10 } else { Duration::from_millis(100) };
            // The message borrows the consumer, whose other half the handling needs.
            let consumer = &self.consumer;
            let idle = match consumer.poll(wait) {
                None => true,
                Some(message) => {
                    let message = message?;
                    if self.uncommitted == 0 {
                        if exactly_once {
                            self.producer.begin_transaction()?;
                        }
                        self.begun = Instant::now();
                    }
                    let (encoded, table) = (&mut self.encoded, &mut self.table);
                    handle(&message, self.run, self.schemas, &self.producer, encoded, table)?;
                    let partition = usize::try_from(message.partition())?;
                    self.next_offsets[partition] = Some(message.offset() + 1);
                    self.uncommitted += 1;
                    false
                }
            };
            if self.uncommitted.is_multiple_of(256) {
                self.producer.poll(Duration::ZERO);
            }
            let look = idle || self.uncommitted.is_multiple_of(64) || self.run.job == Job::Slow;
            if self.uncommitted > 0 && look && self.begun.elapsed() >= interval {
                self.commit(exactly_once)?;
            }
        }
    }

    fn commit(&mut self, exactly_once: bool) -> Result<(), Failure> {
        let mut offsets = TopicPartitionList::new();
        for (partition, next) in (0..).zip(&self.next_offsets) {
            if let Some(next) = next {
                offsets.add_partition_offset(&self.run.in_topic, partition, Offset::Offset(*next))?;
            }
        }
        // rdkafka's own flush waits in steps of 100 ms where no delivery report wakes it.
        while self.producer.in_flight_count() > 0 {
            self.producer.poll(Duration::from_millis(1));
        }
        if exactly_once {
            let group = self.consumer.group_metadata().ok_or("the consumer has no group")?;
            self.producer.send_offsets_to_transaction(&offsets, &group, BROKER_TIMEOUT)?;
            self.producer.commit_transaction(BROKER_TIMEOUT)?;
        } else {
            self.consumer.commit(&offsets, CommitMode::Async)?;
        }
        self.uncommitted = 0;
        Ok(())
    }
}

fn handle(
    message: &BorrowedMessage<'_>,
    run: &Environment,
    schemas: &Schemas,
    producer: &BaseProducer,
    encoded: &mut Vec<u8>,
    table: &mut HashMap<Vec<u8>, (i64, i64)>,
) -> Result<(), Failure> {
    let (key, value) = (message.key().unwrap_or_default(), message.payload().unwrap_or_default());
    let datum = value.get(HEADER_BYTES..).ok_or("a record too short for a schema id")?;
    let order: Order<'_> = serde_avro_fast::from_datum_slice(datum, &schemas.order)?;
    let total_cents = order.lines.iter().map(|line| i64::from(line.quantity) * line.unit_price_cents).sum();
    if run.job == Job::J2 {
        let row = match table.get_mut(key) {
            Some(row) => row,
            None => table.entry(key.to_vec()).or_default(),
        };
        *row = (row.0 + 1, row.1 + total_cents);
        if !run.changelog_topic.is_empty() {
            let mut changed = [0; 16];
            changed[..8].copy_from_slice(&row.0.to_be_bytes());
            changed[8..].copy_from_slice(&row.1.to_be_bytes());
            send(producer, &run.changelog_topic, Some(message.partition()), key, &changed)?;
        }
        let stats = CustomerStats { customer_id: order.customer_id, count: row.0, sum_cents: row.1 };
        encode(&stats, 3, &schemas.stats, encoded)?;
        return send(producer, &run.out_topic, None, key, encoded);
    }
    if run.job == Job::Slow {
        #[allow(clippy::disallowed_methods, reason = "stands for the call of another service")]
        std::thread::sleep(run.handler_wait);
    }
    if total_cents < run.threshold {
        return Ok(());
    }
    let item_count = order.lines.iter().map(|line| line.quantity).sum();
    let Order { order_id, customer_id, .. } = order;
    encode(&OrderTotal { order_id, customer_id, total_cents, item_count }, 2, &schemas.total, encoded)?;
    send(producer, &run.out_topic, None, key, encoded)
}

fn encode(value: &impl Serialize, id: u32, schema: &Schema, encoded: &mut Vec<u8>) -> Result<(), Failure> {
    let mut bytes = std::mem::take(encoded);
    bytes.clear();
    bytes.push(0);
    bytes.extend_from_slice(&id.to_be_bytes());
    *encoded = serde_avro_fast::to_datum(value, bytes, &mut SerializerConfig::new(schema))?;
    Ok(())
}

/// Queues a record; waits while the queue is full.
fn send(producer: &BaseProducer, topic: &str, partition: Option<i32>, key: &[u8], value: &[u8]) -> Result<(), Failure> {
    let mut record = BaseRecord::to(topic).key(key).payload(value);
    record.partition = partition;
    while let Err((error, refused)) = producer.send(record) {
        if !matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)) {
            return Err(error.into());
        }
        producer.poll(Duration::from_millis(5));
        record = refused;
    }
    Ok(())
}

fn consumer(run: &Environment, thread: usize) -> Result<BaseConsumer, Failure> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &run.brokers)
        .set("group.id", &run.group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_committed")
        // Far ahead, and back at once where the queue was full: the default waits a second.
        .set("queued.min.messages", "100000")
        .set("fetch.queue.backoff.ms", "5");
    if let Some(timeout) = run.session_timeout {
        config.set("session.timeout.ms", timeout.as_millis().to_string());
    }
    let consumer: BaseConsumer = config.create()?;
    if run.workers == 1 {
        consumer.subscribe(&[&run.in_topic])?;
        return Ok(consumer);
    }
    let mut own = TopicPartitionList::new();
    for partition in (0..PARTITIONS).skip(thread).step_by(run.workers) {
        own.add_partition_offset(&run.in_topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&own)?;
    Ok(consumer)
}

fn producer(run: &Environment, thread: usize) -> Result<BaseProducer, Failure> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &run.brokers)
        .set("enable.idempotence", "true")
        .set("partitioner", "murmur2_random")
        .set("compression.codec", "lz4")
        .set("linger.ms", run.linger.as_millis().to_string())
        .set("batch.size", "262144")
        .set("batch.num.messages", "100000")
        .set("queue.buffering.max.messages", "500000")
        .set("delivery.report.only.error", "true");
    if run.mode == Mode::ExactlyOnce {
        config.set("transactional.id", format!("{}-raw-{thread}", run.group));
    }
    let producer: BaseProducer = config.create()?;
    if run.mode == Mode::ExactlyOnce {
        producer.init_transactions(BROKER_TIMEOUT)?;
    }
    Ok(producer)
}
