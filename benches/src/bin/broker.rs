//! Measures a broker from outside: throughput by codec, latency at a steady rate, start-up and memory.
//!
//! Without `--bootstrap-servers` it starts the development broker in a child process, so that memory is the broker's own;
//! with it, the broker named there is measured (topics are created and deleted again).

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;
use comfy_table::Table;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use unchain_broker::{Broker, BrokerConfig};

type Failure = Box<dyn std::error::Error>;

const PARTITIONS: i32 = 6;
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Parser)]
#[command(about = "Throughput, latency, start-up and memory of a broker")]
struct Args {
    /// Brokers to measure instead of the development broker.
    #[arg(long)]
    bootstrap_servers: Option<String>,
    /// Records of each throughput run.
    #[arg(long, default_value_t = 1_000_000)]
    records: usize,
    /// Bytes of each record's value in the throughput runs.
    #[arg(long, default_value_t = 200)]
    record_bytes: usize,
    /// Codecs to measure.
    #[arg(long, value_delimiter = ',', default_value = "none,lz4")]
    codecs: Vec<String>,
    /// Seconds of the latency run at 1,000 records a second; 0 leaves it out.
    #[arg(long, default_value_t = 10)]
    latency_seconds: u64,
    /// Records of 1 KB for the memory figure; 0 leaves it out.
    #[arg(long, default_value_t = 1_000_000)]
    memory_records: usize,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Directory of a child process's broker; set by this program itself.
    #[arg(long, hide = true)]
    serve: Option<PathBuf>,
}

fn main() -> Result<(), Failure> {
    let args = Args::parse();
    if let Some(data_dir) = args.serve {
        return serve(data_dir);
    }
    let mut figures: Vec<(String, f64)> = Vec::new();
    let scratch = tempfile::tempdir()?;
    let child = match args.bootstrap_servers {
        Some(_) => None,
        None => Some(Served::start(scratch.path(), &mut figures)?),
    };
    let servers = match (&args.bootstrap_servers, &child) {
        (Some(servers), _) => servers.clone(),
        (None, Some(child)) => child.servers.clone(),
        (None, None) => return Err("no broker".into()),
    };
    for codec in &args.codecs {
        let run = throughput(&servers, codec, args.records, args.record_bytes)?;
        figures.push((format!("produce, {codec}, records/s"), run.0));
        figures.push((format!("consume, {codec}, records/s"), run.1));
    }
    if args.latency_seconds > 0 {
        let mut micros = latencies(&servers, args.latency_seconds)?;
        micros.sort_unstable();
        let at = |share: f64| micros[((micros.len() - 1) as f64 * share) as usize] as f64 / 1_000.0;
        for (name, share) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)] {
            figures.push((format!("latency at 1,000 records/s, {name}, ms"), at(share)));
        }
    }
    if args.memory_records > 0 {
        throughput(&servers, "none", args.memory_records, 1_000)?;
        if let Some(child) = &child {
            figures.push((format!("resident after {} x 1 KB more, MB", args.memory_records), child.resident_mb()?));
        }
    }
    report(&figures, args.json)
}

fn report(figures: &[(String, f64)], json: bool) -> Result<(), Failure> {
    if json {
        let object: serde_json::Map<_, _> =
            figures.iter().map(|(name, value)| (name.clone(), serde_json::json!(value))).collect();
        println!("{}", serde_json::to_string_pretty(&object)?);
        return Ok(());
    }
    let mut table = Table::new();
    table.set_header(["figure", "value"]);
    for (name, value) in figures {
        let digits = if *value >= 1_000.0 { 0 } else { 3 };
        table.add_row([name.clone(), format!("{value:.digits$}")]);
    }
    println!("{table}");
    Ok(())
}

fn serve(data_dir: PathBuf) -> Result<(), Failure> {
    let begun = Instant::now();
    let broker = Broker::start(BrokerConfig { data_dir: Some(data_dir), ..BrokerConfig::default() })?;
    println!("{} {}", begun.elapsed().as_secs_f64() * 1_000.0, broker.bootstrap_servers());
    // Until the parent closes the pipe.
    std::io::stdin().read_line(&mut String::new())?;
    broker.stop();
    Ok(())
}

struct Served {
    child: Child,
    servers: String,
}

impl Served {
    fn start(data_dir: &Path, figures: &mut Vec<(String, f64)>) -> Result<Served, Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("--serve")
            .arg(data_dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        let (millis, servers) = line.trim().split_once(' ').ok_or("the child did not start")?;
        figures.push(("start, ms".to_owned(), millis.parse()?));
        let served = Served { child, servers: servers.to_owned() };
        figures.push(("resident at start, MB".to_owned(), served.resident_mb()?));
        Ok(served)
    }

    fn resident_mb(&self) -> Result<f64, Failure> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1_024.0)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

fn client(servers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", servers);
    config
}

/// A topic of its own for each run, deleted after it.
struct Topic {
    admin: AdminClient<DefaultClientContext>,
    runtime: tokio::runtime::Runtime,
    name: String,
}

impl Topic {
    fn create(servers: &str, name: &str, partitions: i32) -> Result<Topic, Failure> {
        let admin = client(servers).create()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let topic = Topic { admin, runtime, name: format!("bench-{name}-{}", std::process::id()) };
        let new = NewTopic::new(&topic.name, partitions, TopicReplication::Fixed(1));
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        for result in topic.runtime.block_on(topic.admin.create_topics([&new], &options))? {
            result.map_err(|(name, code)| format!("cannot create {name}: {code}"))?;
        }
        Ok(topic)
    }
}

impl Drop for Topic {
    fn drop(&mut self) {
        let deleted = self.runtime.block_on(self.admin.delete_topics(&[&self.name], &AdminOptions::new()));
        if let Err(error) = deleted {
            eprintln!("cannot delete {}: {error}", self.name);
        }
    }
}

fn payload(bytes: usize, n: usize) -> Vec<u8> {
    // Compressible like text, but no two records alike.
    let mut payload = format!("{{\"order\":{n},\"customer\":{},\"items\":[", n % 9_973).into_bytes();
    while payload.len() < bytes {
        payload.extend_from_slice(format!("{},", (n * 31 + payload.len()) % 1_000).as_bytes());
    }
    payload.truncate(bytes);
    payload
}

fn throughput(servers: &str, codec: &str, records: usize, bytes: usize) -> Result<(f64, f64), Failure> {
    let topic = Topic::create(servers, codec, PARTITIONS)?;
    let producer: BaseProducer = client(servers)
        .set("compression.type", codec)
        .set("linger.ms", "5")
        .set("batch.size", "1000000")
        .set("queue.buffering.max.messages", "500000")
        .create()?;
    let payloads: Vec<Vec<u8>> = (0..1_000).map(|n| payload(bytes, n)).collect();
    let begun = Instant::now();
    for n in 0..records {
        let mut record = BaseRecord::<(), [u8]>::to(&topic.name)
            .partition((n % PARTITIONS as usize) as i32)
            .payload(&payloads[n % payloads.len()]);
        loop {
            match producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), refused)) => {
                    record = refused;
                    producer.poll(Duration::from_millis(10));
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
        if n % 1_000 == 0 {
            producer.poll(Duration::ZERO);
        }
    }
    producer.flush(PATIENCE)?;
    let produced = records as f64 / begun.elapsed().as_secs_f64();
    Ok((produced, consume(servers, &topic.name, records)?))
}

fn assigned(servers: &str, topic: &str, partitions: i32, from: Offset) -> Result<BaseConsumer, Failure> {
    // Without these a broker that is faster than this program makes librdkafka pause for a second (a full local queue).
    let consumer: BaseConsumer = client(servers)
        .set("group.id", "bench")
        .set("enable.auto.commit", "false")
        .set("queued.min.messages", "1000000")
        .set("queued.max.messages.kbytes", "1048576")
        .set("fetch.queue.backoff.ms", "1")
        .create()?;
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(topic, partition, from)?;
    }
    consumer.assign(&list)?;
    Ok(consumer)
}

fn consume(servers: &str, topic: &str, records: usize) -> Result<f64, Failure> {
    let begun = Instant::now();
    let consumer = assigned(servers, topic, PARTITIONS, Offset::Beginning)?;
    let mut left = records;
    while left > 0 {
        match consumer.poll(PATIENCE) {
            Some(message) => left -= usize::from(!message?.payload().unwrap_or_default().is_empty()),
            None => return Err(format!("{left} records did not come").into()),
        }
    }
    Ok(records as f64 / begun.elapsed().as_secs_f64())
}

/// Microseconds from send to receipt of each record, at 1,000 records a second.
fn latencies(servers: &str, seconds: u64) -> Result<Vec<u64>, Failure> {
    const WARM_UP: usize = 500;
    let topic = Topic::create(servers, "latency", 1)?;
    let records = seconds as usize * 1_000 + WARM_UP;
    let consumer = assigned(servers, &topic.name, 1, Offset::Beginning)?;
    let producer: BaseProducer = client(servers).set("linger.ms", "0").create()?;
    let begun = Instant::now();
    let name = topic.name.clone();
    let sender = std::thread::spawn(move || -> Result<(), KafkaError> {
        for n in 0..records {
            let due = begun + Duration::from_millis(n as u64);
            producer.poll(due.saturating_duration_since(Instant::now()));
            #[allow(clippy::disallowed_methods, reason = "an open loop sends when a record is due")]
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let sent = (begun.elapsed().as_micros() as u64).to_be_bytes();
            producer.send(BaseRecord::<(), [u8]>::to(&name).partition(0).payload(&sent)).map_err(|(error, _)| error)?;
        }
        producer.flush(PATIENCE)
    });
    let mut micros = Vec::with_capacity(records);
    while micros.len() < records {
        let message = consumer.poll(PATIENCE).ok_or("a record did not come")??;
        let sent = message.payload().and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes);
        micros.push(begun.elapsed().as_micros() as u64 - sent.ok_or("a record is not ours")?);
    }
    sender.join().map_err(|_| "the sender panicked")??;
    Ok(micros.split_off(WARM_UP))
}
