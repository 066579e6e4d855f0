//! Whatever is written, committed, taken back, flushed, and lost by a crash: a table is what a map says it is.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use proptest::prelude::*;
use proptest::strategy::Union;

use super::{SPEND, VISITS, stores_at, tight};
use crate::contract::Topic;
use crate::table::{Change, PartitionTables, Stores, TableOptions};

const TOPICS: [&Topic; 2] = [&SPEND, &VISITS];

#[derive(Debug, Clone)]
enum Step {
    Write(Vec<(usize, u8, Option<u8>)>),
    /// The oldest open transaction.
    Commit,
    RollBack,
    /// With offsets that may lie some commits behind.
    Flush {
        behind: usize,
    },
    Crash,
    Expire,
    Range(u8, u8, usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let change = (0..2_usize, 0..24_u8, proptest::option::weighted(0.7, any::<u8>()));
    let step = Union::new_weighted(vec![
        (6, proptest::collection::vec(change, 0..6).prop_map(Step::Write).boxed()),
        (5, Just(Step::Commit).boxed()),
        (1, Just(Step::RollBack).boxed()),
        (2, (0..3_usize).prop_map(|behind| Step::Flush { behind }).boxed()),
        (1, Just(Step::Crash).boxed()),
        (2, Just(Step::Expire).boxed()),
        (
            2,
            (any::<u8>(), any::<u8>(), 0..30_usize)
                .prop_map(|(a, b, limit)| Step::Range(a % 26, b % 26, limit))
                .boxed(),
        ),
    ]);
    proptest::collection::vec(step, 1..60)
}

type Rows = BTreeMap<Bytes, (Bytes, i64)>;

/// A table's changelog: what was committed, each with the time of the change.
type Changelog = Vec<(Bytes, Option<Bytes>, i64)>;

struct World {
    stores: Stores,
    options: [TableOptions; 2],
    tables: Option<PartitionTables>,
    committed: [Rows; 2],
    open: VecDeque<(i64, Vec<Change>)>,
    changelogs: [Changelog; 2],
    /// The changelogs' ends after each commit.
    ends: Vec<[i64; 2]>,
    now_ms: i64,
}

fn key(number: u8) -> Bytes {
    // Keys of every length, the empty one too.
    Bytes::from(vec![b'a' + number % 13; usize::from(number) % 5])
}

fn value(number: u8) -> Bytes {
    Bytes::from(vec![number; usize::from(number)])
}

impl World {
    fn new(stores: Stores, options: [TableOptions; 2]) -> World {
        let mut world = World {
            stores,
            options,
            tables: None,
            committed: Default::default(),
            open: VecDeque::new(),
            changelogs: Default::default(),
            ends: vec![[0, 0]],
            now_ms: 0,
        };
        world.open_and_restore();
        world
    }

    fn open_and_restore(&mut self) {
        let mut tables = PartitionTables::open(&self.stores, 3, &TOPICS, &self.options).unwrap();
        let ends = *self.ends.last().unwrap();
        for (table, changelog) in self.changelogs.iter().enumerate() {
            let from = tables.restore_from(table, 0, ends[table]).unwrap();
            for (key, value, time_ms) in &changelog[usize::try_from(from).unwrap()..] {
                tables.restore(table, key, value.as_deref(), *time_ms);
            }
        }
        tables.finish_restore(&ends).unwrap();
        self.tables = Some(tables);
    }

    fn tables(&mut self) -> &mut PartitionTables {
        self.tables.as_mut().unwrap()
    }

    fn write(&mut self, changes: Vec<Change>) {
        self.now_ms += 10;
        let now_ms = self.now_ms;
        self.tables().advance_stream_time(now_ms);
        for change in &changes {
            self.tables().write(change.table, &change.key, change.value.clone(), now_ms);
        }
        self.open.push_back((now_ms, changes));
    }

    fn commit(&mut self) {
        let Some((time_ms, changes)) = self.open.pop_front() else { return };
        for change in &changes {
            self.changelogs[change.table].push((change.key.clone(), change.value.clone(), time_ms));
            let rows = &mut self.committed[change.table];
            match &change.value {
                Some(value) => rows.insert(change.key.clone(), (value.clone(), time_ms)),
                None => rows.remove(&change.key),
            };
        }
        self.ends.push([0, 1].map(|table| i64::try_from(self.changelogs[table].len()).unwrap()));
        self.tables().commit(&changes);
        self.tables().commit_stream_time(time_ms);
    }

    fn open_rows(&self, table: usize) -> Rows {
        let mut rows = self.committed[table].clone();
        for (time_ms, change) in self.open.iter().flat_map(|(time_ms, all)| all.iter().map(move |one| (time_ms, one))) {
            if change.table == table {
                match &change.value {
                    Some(value) => rows.insert(change.key.clone(), (value.clone(), *time_ms)),
                    None => rows.remove(&change.key),
                };
            }
        }
        rows
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Write(changes) => {
                let change = |(table, number, set): (usize, u8, Option<u8>)| Change {
                    table,
                    key: key(number),
                    value: set.map(value),
                };
                self.write(changes.into_iter().map(change).collect());
            }
            Step::Commit => self.commit(),
            Step::RollBack => {
                self.open.clear();
                self.tables().roll_back();
            }
            Step::Flush { behind } => {
                let offsets = self.ends[self.ends.len().saturating_sub(1 + behind)];
                self.tables().flush(&offsets).unwrap();
            }
            Step::Crash => {
                self.open.clear();
                self.tables = None;
                self.open_and_restore();
            }
            Step::Expire => {
                let changes = self.tables().expire(3).unwrap();
                self.check_expired(&changes);
                self.write(changes);
            }
            Step::Range(from, to, limit) => self.check_range(&key(from), &key(to), limit),
        }
    }

    /// What goes is over, is not being changed, and nothing older stays.
    fn check_expired(&mut self, changes: &[Change]) {
        let stream_time_ms = self.tables().stream_time_ms();
        for table in 0..2 {
            let mut rows = self.open_rows(table);
            let is_open = |key: &Bytes| self.open.iter().any(|(_, all)| all.iter().any(|one| one.key == *key));
            for change in changes.iter().filter(|change| change.table == table) {
                assert_eq!(change.value, None);
                let (_, time_ms) = rows.remove(&change.key).unwrap();
                let older = rows.iter().filter(|(key, (_, other_ms))| *other_ms < time_ms && !is_open(key));
                assert_eq!(older.count(), 0, "an older row stays");
                let TableOptions { max_rows, time_to_live } = self.options[table];
                let too_many = max_rows.is_some_and(|max_rows| rows.len() as u64 >= max_rows);
                let too_old = time_to_live.is_some_and(|time| time_ms + time.as_millis() as i64 <= stream_time_ms);
                assert!(too_many || too_old, "a row went too early");
            }
        }
    }

    fn check_range(&mut self, from: &Bytes, to: &Bytes, limit: usize) {
        for table in 0..2 {
            let rows = self.open_rows(table);
            let within = rows.iter().filter(|(key, _)| *key >= from && *key < to);
            let expected: Vec<_> = within.map(|(key, (value, _))| (key.clone(), value.clone())).take(limit).collect();
            assert_eq!(self.tables().range(table, from, Some(to), limit).unwrap(), expected);
        }
    }

    fn check(&mut self) {
        for table in 0..2 {
            let open = self.open_rows(table);
            for number in 0..24 {
                let expected = open.get(&key(number)).map(|(value, _)| value.clone());
                assert_eq!(self.tables().get(table, &key(number)).unwrap(), expected, "key {:?}", key(number));
            }
        }
    }
}

fn run(stores: Stores, options: [TableOptions; 2], steps: Vec<Step>) {
    let mut world = World::new(stores, options);
    for step in steps {
        world.step(step);
        world.check();
    }
    for table in 0..2 {
        let rows = world.open_rows(table).into_iter().map(|(key, (value, _))| (key, value)).collect::<Vec<_>>();
        assert_eq!(world.tables().range(table, b"", None, usize::MAX).unwrap(), rows);
    }
}

fn expiring() -> [TableOptions; 2] {
    let time_to_live = Some(std::time::Duration::from_millis(70));
    [TableOptions { max_rows: Some(4), time_to_live: None }, TableOptions { max_rows: None, time_to_live }]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn in_memory(steps in steps()) {
        run(Stores::memory(), Default::default(), steps);
    }

    #[test]
    fn in_memory_with_rows_that_expire(steps in steps()) {
        run(Stores::memory(), expiring(), steps);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn on_disk(steps in steps()) {
        let dir = tempfile::tempdir().unwrap();
        run(stores_at(dir.path()), Default::default(), steps);
    }

    #[test]
    fn on_disk_with_rows_that_expire(steps in steps()) {
        let dir = tempfile::tempdir().unwrap();
        run(stores_at(dir.path()), expiring(), steps);
    }
}

/// The bounds of the other tests are met: this much is in memory at most.
#[test]
fn rows_of_a_store_are_forgotten_past_the_bound() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new(stores_at(dir.path()), Default::default());
    for number in 0..200_u16 {
        let key = Bytes::copy_from_slice(&number.to_be_bytes());
        world.write(vec![Change { table: 0, key, value: Some(value(9)) }]);
        world.commit();
        let offsets = *world.ends.last().unwrap();
        world.tables().flush(&offsets).unwrap();
    }
    assert_eq!(world.tables().range(0, b"", None, usize::MAX).unwrap().len(), 200);
    assert!(world.tables().bytes_in_memory() <= tight().max_cached_bytes);
}
