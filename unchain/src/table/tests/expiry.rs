//! Bounds by rows and age hold however much is written between two commits, or between two flushes.

use bytes::Bytes;

use super::{SPEND, stores_at};
use crate::table::{Change, PartitionTables, Stores, TableOptions};

const ROWS: usize = 500;
/// As many as one record may let go.
const MAX_EXPIRED: usize = 16;

fn row(number: usize) -> Change {
    Change { table: 0, key: Bytes::from(format!("k{number:05}")), value: Some(Bytes::from_static(b"1")) }
}

/// Writes deletions of what has to go until nothing has, without a commit in between.
fn expire_all(tables: &mut PartitionTables) -> Vec<Change> {
    let mut gone: Vec<Change> = Vec::new();
    loop {
        let expired = tables.expire(MAX_EXPIRED).unwrap();
        if expired.is_empty() {
            return gone;
        }
        for change in &expired {
            tables.write(0, &change.key, None, ROWS as i64);
        }
        gone.extend(expired);
        assert!(gone.len() <= ROWS, "a row goes once");
    }
}

fn hold_in_one_transaction(stores: &Stores, flush_first: bool) {
    let options = TableOptions { max_rows: Some(10), time_to_live: None };
    let mut tables = PartitionTables::open(stores, 0, &[&SPEND], &[options]).unwrap();
    tables.finish_restore(&[0]).unwrap();
    let rows: Vec<Change> = (0..ROWS).map(row).collect();
    for (time_ms, change) in rows.iter().enumerate() {
        tables.write(0, &change.key, change.value.clone(), time_ms as i64);
    }
    tables.commit(&rows);
    if flush_first {
        tables.flush(&[ROWS as i64]).unwrap();
    }
    let gone = expire_all(&mut tables);
    assert_eq!(
        gone.iter().map(|change| &change.key).collect::<Vec<_>>(),
        rows.iter().take(ROWS - 10).map(|row| &row.key).collect::<Vec<_>>()
    );
    // What was taken back is over still.
    tables.roll_back();
    assert_eq!(expire_all(&mut tables), gone);
    tables.commit(&gone);
    assert_eq!(tables.range(0, b"", None, ROWS).unwrap().len(), 10);
    // An older row than all that went before.
    let late = row(ROWS);
    tables.write(0, &late.key, late.value.clone(), -5);
    tables.commit([&late]);
    assert_eq!(expire_all(&mut tables), [Change { value: None, ..late }]);
}

#[test]
fn in_memory() {
    hold_in_one_transaction(&Stores::memory(), false);
}

#[test]
fn on_disk() {
    for flush_first in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        hold_in_one_transaction(&stores_at(dir.path()), flush_first);
    }
}
