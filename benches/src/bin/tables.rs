//! Measures the tables' stores: one partition's table of small rows, in memory and on disk, by the public API.
//!
//! One thread. On disk the directory should be on the kind of disk that a processor has; memory is the process's
//! resident set after the step. A step whose rows do not fit the caches reads them from the store's files.

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use clap::Parser;
use comfy_table::Table;
use unchain::contract::{Bytes, Cleanup, Retention, Topic};
use unchain::table::{Change, PartitionTables, StoreSettings, Stores, TableOptions};

const TOPIC: Topic = Topic {
    name: "rows",
    schema_name: "benches.Row",
    schema: "\"bytes\"",
    key: "key",
    partitions: 1,
    cleanup: Cleanup::Compact,
    retention: Retention::Forever,
    doc: "",
};
static ROWS: Topic = TOPIC;

#[derive(Parser)]
#[command(about = "Reads, writes, flushes, ranges and restores of a table, in memory and on disk")]
struct Args {
    /// Rows of the table.
    #[arg(long, default_value_t = 1_000_000)]
    rows: u64,
    /// Operations of a step.
    #[arg(long, default_value_t = 1_000_000)]
    operations: u64,
    #[arg(long, default_value_t = 32)]
    value_bytes: usize,
    /// Where the stores are made; a temporary folder by default.
    #[arg(long)]
    dir: Option<std::path::PathBuf>,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

struct Figure {
    step: String,
    store: &'static str,
    nanoseconds: f64,
    /// Of the measuring thread alone, so that a busy machine does not show; the store's own threads come on top.
    cpu_nanoseconds: f64,
    resident_mb: f64,
}

#[derive(Clone, Copy, Default)]
struct Took {
    wall: Duration,
    cpu: Duration,
}

struct Start(Instant, Duration);

impl Start {
    fn now() -> Start {
        Start(Instant::now(), thread_cpu())
    }

    fn elapsed(&self) -> Took {
        Took { wall: self.0.elapsed(), cpu: thread_cpu().saturating_sub(self.1) }
    }
}

impl std::ops::Add for Took {
    type Output = Took;

    fn add(self, other: Took) -> Took {
        Took { wall: self.wall + other.wall, cpu: self.cpu + other.cpu }
    }
}

/// Time that this thread has run; zero where the system does not say.
fn thread_cpu() -> Duration {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(schedstat.split(' ').next().and_then(|run| run.parse().ok()).unwrap_or(0))
}

struct Bench<'a> {
    args: &'a Args,
    store: &'static str,
    tables: PartitionTables,
    /// One past the last record of the imagined changelog.
    offset: i64,
    random: u64,
    figures: Vec<Figure>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let temporary = tempfile::tempdir()?;
    let dir = args.dir.as_deref().unwrap_or(temporary.path());
    let at = |dir: &Path| Stores::at(dir, "bench", "tables", StoreSettings::default());
    // The one that should take little memory first: what a step has freed may stay with the process.
    let mut figures = run(&args, "disk", &at(dir))?;
    figures.push(reopen(&at(dir))?);
    figures.extend(run(&args, "memory", &Stores::memory())?);
    print(&args, &figures, disk_bytes(dir));
    Ok(())
}

fn open(stores: &Stores) -> Result<PartitionTables, Box<dyn Error>> {
    Ok(PartitionTables::open(stores, 0, &[&ROWS], &[TableOptions::default()])?)
}

fn run(args: &Args, store: &'static str, stores: &Stores) -> Result<Vec<Figure>, Box<dyn Error>> {
    let tables = open(stores)?;
    let mut bench = Bench { args, store, tables, offset: 0, random: 0x9e37_79b9_7f4a_7c15, figures: Vec::new() };
    bench.restore()?;
    for (what, keys) in [("1 key", 1), ("10,000 keys", 10_000), ("all keys", args.rows)] {
        bench.update(what, keys)?;
    }
    bench.read("10,000 keys", 10_000)?;
    bench.read("all keys", args.rows)?;
    bench.ranges()?;
    for rows in [1_000, 10_000] {
        bench.flush(rows)?;
    }
    Ok(bench.figures)
}

fn reopen(stores: &Stores) -> Result<Figure, Box<dyn Error>> {
    let start = Start::now();
    let tables = open(stores)?;
    tables.get(0, &key(7))?;
    Ok(figure("open and first read".to_owned(), "disk", start.elapsed(), 1))
}

impl Bench<'_> {
    /// A number below `bound`, by xorshift: the same at every run.
    fn below(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % bound
    }

    fn value(&self) -> Bytes {
        vec![7; self.args.value_bytes].into()
    }

    fn restore(&mut self) -> Result<(), Box<dyn Error>> {
        let value = self.value();
        let start = Start::now();
        for row in 0..self.args.rows {
            // Not in the order of their keys: a changelog is not either.
            self.tables.restore(0, &key(row.wrapping_mul(0x9e37_79b1) % self.args.rows), Some(&value), 0);
        }
        self.offset = i64::try_from(self.args.rows)?;
        self.tables.finish_restore(&[self.offset])?;
        self.took("restore a record".to_owned(), start.elapsed(), self.args.rows);
        Ok(())
    }

    /// What a stateful handler costs the table: a read, a write, and its commit in transactions of 1,000 records.
    fn update(&mut self, what: &str, keys: u64) -> Result<(), Box<dyn Error>> {
        let mut changes = Vec::with_capacity(1_000);
        let start = Start::now();
        for _ in 0..self.args.operations / 1_000 {
            for _ in 0..1_000 {
                let key = key(self.below(keys));
                std::hint::black_box(self.tables.get(0, &key)?);
                let change = Change { table: 0, key, value: Some(self.value()) };
                self.tables.write(0, &change.key, change.value.clone(), 0);
                changes.push(change);
            }
            self.tables.commit(&changes);
            self.offset += 1_000;
            changes.clear();
            if self.tables.is_flush_due(Instant::now()) {
                self.tables.flush(&[self.offset])?;
            }
        }
        self.tables.flush(&[self.offset])?;
        self.took(format!("get, write, commit of {what}"), start.elapsed(), self.args.operations);
        Ok(())
    }

    fn read(&mut self, what: &str, keys: u64) -> Result<(), Box<dyn Error>> {
        let start = Start::now();
        for _ in 0..self.args.operations {
            let key = key(self.below(keys));
            std::hint::black_box(self.tables.get(0, &key)?);
        }
        self.took(format!("get of {what}"), start.elapsed(), self.args.operations);
        Ok(())
    }

    fn ranges(&mut self) -> Result<(), Box<dyn Error>> {
        let ranges = self.args.operations / 20;
        let start = Start::now();
        for _ in 0..ranges {
            let from = key(self.below(self.args.rows));
            std::hint::black_box(self.tables.range(0, &from, None, 10)?);
        }
        self.took("range of 10 rows".to_owned(), start.elapsed(), ranges);
        Ok(())
    }

    fn flush(&mut self, rows: u64) -> Result<(), Box<dyn Error>> {
        let (mut took, times) = (Took::default(), 20);
        for _ in 0..times {
            for _ in 0..rows {
                let change = Change { table: 0, key: key(self.below(self.args.rows)), value: Some(self.value()) };
                self.tables.commit([&change]);
            }
            let start = Start::now();
            self.tables.flush(&[self.offset])?;
            took = took + start.elapsed();
        }
        self.took(format!("flush of {rows} rows"), took, times);
        Ok(())
    }

    fn took(&mut self, step: String, took: Took, operations: u64) {
        self.figures.push(figure(step, self.store, took, operations));
    }
}

fn figure(step: String, store: &'static str, took: Took, operations: u64) -> Figure {
    let each = |took: Duration| took.as_nanos() as f64 / operations as f64;
    Figure { step, store, nanoseconds: each(took.wall), cpu_nanoseconds: each(took.cpu), resident_mb: resident_mb() }
}

fn key(row: u64) -> Bytes {
    format!("customer-{row:08}").into()
}

/// Of this process; 0 where the system does not say.
fn resident_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or(0.0) / 1_024.0
}

fn disk_bytes(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let bytes = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => disk_bytes(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.map(bytes).sum()
}

fn print(args: &Args, figures: &[Figure], disk_bytes: u64) {
    if args.json {
        let figures: Vec<_> = figures
            .iter()
            .map(|figure| {
                serde_json::json!({ "step": figure.step, "store": figure.store, "nanoseconds": figure.nanoseconds,
                                    "cpu_nanoseconds": figure.cpu_nanoseconds,
                                    "resident_mb": figure.resident_mb })
            })
            .collect();
        println!("{}", serde_json::json!({ "figures": figures, "disk_bytes": disk_bytes }));
        return;
    }
    let mut table = Table::new();
    table.set_header(["step", "store", "ns", "CPU ns", "resident MB"]);
    for figure in figures {
        let numbers =
            [figure.nanoseconds, figure.cpu_nanoseconds, figure.resident_mb].map(|number| format!("{number:.0}"));
        table.add_row([figure.step.as_str(), figure.store].into_iter().chain(numbers.iter().map(String::as_str)));
    }
    println!("{table}\n{:.0} MB on disk", disk_bytes as f64 / 1e6);
}
