//! Measures the calls of the client layer beside rdkafka's own: consuming by batches, producing by topic handle.
//!
//! Needs a running Kafka. The contenders take turns, so that a noisy moment meets them all; medians of the rounds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use comfy_table::Table;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::Notify;
use unchain::kafka::{
    Admin, Assignment, Connection, GroupConsumer, GroupEvent, GroupProtocol, GroupSettings, Headers, NewTopic,
    Outgoing, OutputProducer, ProducerSettings, Record,
};

type Failure = Box<dyn std::error::Error>;

const TOPIC: &str = "bench-client";
const PARTITIONS: i32 = 6;
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Parser)]
#[command(about = "Records a second and CPU seconds of the client layer's calls")]
struct Args {
    #[arg(long)]
    bootstrap_servers: String,
    #[arg(long, default_value_t = 1_000_000)]
    records: usize,
    #[arg(long, default_value_t = 100)]
    record_bytes: usize,
    /// Headers of each record.
    #[arg(long, default_value_t = 0)]
    headers: usize,
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// One of librdkafka's settings for our consumer, as NAME=VALUE; to be given several times.
    #[arg(long)]
    property: Vec<String>,
}

/// One run: seconds by the clock and of this process's CPU.
struct Run {
    elapsed: f64,
    cpu: f64,
}

/// Begun when a contender has its client and is about to work.
struct Stopwatch {
    started: Instant,
    cpu: f64,
}

impl Stopwatch {
    fn start() -> Result<Stopwatch, Failure> {
        Ok(Stopwatch { started: Instant::now(), cpu: cpu_seconds()? })
    }

    fn stop(&self) -> Result<Run, Failure> {
        Ok(Run { elapsed: self.started.elapsed().as_secs_f64(), cpu: cpu_seconds()? - self.cpu })
    }
}

type Contender = (&'static str, fn(&Args) -> Result<Run, Failure>);

const CONTENDERS: [Contender; 4] = [
    ("produce, rdkafka", produce_by_rdkafka),
    ("produce, ours", produce_by_ours),
    ("consume, rdkafka's poll", consume_by_rdkafka),
    ("consume, ours", consume_by_ours),
];

fn main() -> Result<(), Failure> {
    let args = Args::parse();
    let admin = Admin::new(&Connection::new(&args.bootstrap_servers), PATIENCE)?;
    let mut runs: Vec<Vec<Run>> = CONTENDERS.iter().map(|_| Vec::new()).collect();
    for _ in 0..args.rounds {
        for ((name, contender), runs) in CONTENDERS.iter().zip(&mut runs) {
            if name.starts_with("produce") {
                recreate_topic(&admin)?;
            }
            runs.push(contender(&args)?);
        }
    }
    admin.delete_topics(&[TOPIC])?;
    let mut table = Table::new();
    table.set_header(["", "records/s", "CPU s per million"]);
    for ((name, _), runs) in CONTENDERS.iter().zip(&runs) {
        let count = args.records as f64;
        let rate = median(runs.iter().map(|run| count / run.elapsed));
        let cpu = median(runs.iter().map(|run| run.cpu * 1e6 / count));
        table.add_row([(*name).to_owned(), format!("{rate:.0}"), format!("{cpu:.2}")]);
    }
    println!("{table}");
    Ok(())
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// User and system time of the whole process, librdkafka's threads included.
fn cpu_seconds() -> Result<f64, Failure> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let after_name = stat.rsplit_once(')').ok_or("no process name")?.1;
    let ticks: Vec<f64> = after_name.split_whitespace().skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    // Linux counts in hundredths, whatever the kernel's own clock.
    Ok(ticks.iter().sum::<f64>() / 100.0)
}

fn recreate_topic(admin: &Admin) -> Result<(), Failure> {
    admin.delete_topics(&[TOPIC])?;
    let topic = NewTopic { name: TOPIC.to_owned(), partitions: PARTITIONS, configs: Vec::new() };
    let started = Instant::now();
    // Deletion is asynchronous: until it is done the name is taken.
    while admin.create_topics(std::slice::from_ref(&topic))?.is_empty() {
        if started.elapsed() > PATIENCE {
            return Err("the topic was not deleted in time".into());
        }
        std::thread::yield_now();
    }
    Ok(())
}

fn value(args: &Args) -> Vec<u8> {
    (0..args.record_bytes).map(|index| (index * 31 % 251) as u8).collect()
}

fn produce_by_rdkafka(args: &Args) -> Result<Run, Failure> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &args.bootstrap_servers);
    for (name, value) in [
        ("enable.idempotence", "true"),
        ("partitioner", "murmur2_random"),
        ("compression.type", "lz4"),
        ("linger.ms", "20"),
        ("batch.size", "262144"),
        ("batch.num.messages", "100000"),
        ("queue.buffering.max.messages", "100000"),
        ("queue.buffering.max.kbytes", "32768"),
        ("delivery.report.only.error", "true"),
    ] {
        config.set(name, value);
    }
    let producer: BaseProducer = config.create()?;
    let (value, stopwatch) = (value(args), Stopwatch::start()?);
    for number in 0..args.records {
        let key = number.to_string();
        let mut record = BaseRecord::to(TOPIC).key(&key).payload(&value);
        if args.headers > 0 {
            let header = |all: OwnedHeaders, _| all.insert(Header { key: "name", value: Some("value") });
            record = record.headers((0..args.headers).fold(OwnedHeaders::new_with_capacity(args.headers), header));
        }
        while let Err((error, refused)) = producer.send(record) {
            if error.rdkafka_error_code() != Some(rdkafka::types::RDKafkaErrorCode::QueueFull) {
                return Err(error.into());
            }
            producer.poll(Duration::from_millis(1));
            record = refused;
        }
    }
    producer.flush(PATIENCE)?;
    stopwatch.stop()
}

fn produce_by_ours(args: &Args) -> Result<Run, Failure> {
    let connection = Connection::new(&args.bootstrap_servers);
    let settings = ProducerSettings { transaction_timeout: PATIENCE, ..ProducerSettings::default() };
    let producer = OutputProducer::idempotent(&connection, &settings)?;
    let (value, mut headers) = (value(args), Headers::builder());
    (0..args.headers).for_each(|_| headers.push("name", Some(b"value")));
    let (headers, stopwatch) = (headers.finish(), Stopwatch::start()?);
    for number in 0..args.records {
        let key = number.to_string();
        let (key, value) = (Some(key.as_bytes()), Some(&*value));
        producer.send(&Outgoing {
            topic: TOPIC,
            partition: None,
            timestamp_ms: None,
            key,
            value,
            headers: &headers,
        })?;
    }
    producer.commit()?;
    stopwatch.stop()
}

/// A group that no earlier run used.
fn group() -> String {
    format!("bench-client-{}-{:?}", std::process::id(), Instant::now())
}

/// rdkafka's poll, each record copied as the engine needs it: key, value and headers owned.
fn consume_by_rdkafka(args: &Args) -> Result<Run, Failure> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &args.bootstrap_servers).set("group.id", group());
    config.set("enable.auto.commit", "false").set("enable.auto.offset.store", "false");
    config.set("fetch.queue.backoff.ms", "5").set("queued.min.messages", "100000");
    config.set("queued.max.messages.kbytes", "65536");
    let consumer: BaseConsumer = config.create()?;
    let mut list = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        list.add_partition_offset(TOPIC, partition, Offset::Offset(0))?;
    }
    let stopwatch = Stopwatch::start()?;
    consumer.assign(&list)?;
    let (mut count, mut bytes) = (0, 0);
    let topic: Arc<str> = TOPIC.into();
    while count < args.records {
        let message = consumer.poll(PATIENCE).ok_or("nothing comes")??;
        let mut headers = Headers::builder();
        if let Some(found) = message.headers() {
            rdkafka::message::Headers::iter(found).for_each(|header| headers.push(header.key, header.value));
        }
        let record = Record {
            topic: Arc::clone(&topic),
            partition: message.partition(),
            offset: message.offset(),
            timestamp_ms: message.timestamp().to_millis().unwrap_or(-1),
            key: message.key().map(|key| key.to_vec().into()),
            value: message.payload().map(|value| value.to_vec().into()),
            headers: headers.finish(),
        };
        count += 1;
        bytes += std::hint::black_box(record).size_bytes();
    }
    std::hint::black_box(bytes);
    stopwatch.stop()
}

fn consume_by_ours(args: &Args) -> Result<Run, Failure> {
    let wake = Arc::new(Notify::new());
    let settings = GroupSettings {
        group: group(),
        instance: None,
        protocol: GroupProtocol::Classic,
        assignment: Assignment::Sticky,
        session_timeout: Duration::from_secs(45),
        max_poll_interval: Duration::from_secs(300),
        max_prefetched_bytes: 16 * 1024 * 1024,
        wake: Arc::clone(&wake),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let mut connection = Connection::new(&args.bootstrap_servers);
    for property in &args.property {
        let (name, value) = property.split_once('=').ok_or("a property is NAME=VALUE")?;
        connection = connection.with_property(name, value)?;
    }
    let mut consumer = GroupConsumer::join(&connection, &settings, &[TOPIC.into()])?;
    let (mut count, mut bytes, mut queues, mut records) = (0, 0, Vec::new(), Vec::new());
    let mut stopwatch = Stopwatch::start()?;
    while count < args.records {
        if let Some(GroupEvent::Assigned(partitions)) = consumer.next_event() {
            let positions: Vec<_> = partitions.into_iter().map(|at| (at, Some(0))).collect();
            // Joining a group is not what is compared.
            stopwatch = Stopwatch::start()?;
            queues = consumer.assign(&positions)?;
        }
        let before = count;
        for queue in &mut queues {
            count += queue.read(&mut records, 512)?;
            bytes += records.drain(..).map(|record| std::hint::black_box(record).size_bytes()).sum::<usize>();
        }
        if count == before {
            runtime.block_on(async { tokio::time::timeout(PATIENCE, wake.notified()).await })?;
        }
    }
    std::hint::black_box(bytes);
    let run = stopwatch.stop();
    consumer.close(PATIENCE);
    run
}
