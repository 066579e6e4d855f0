//! Queries from other threads: they see what is committed in the partitions that are here.

use bytes::Bytes;

use super::{SPEND, stores_at};
use crate::table::{Change, PartitionTables, QueryError, Stores, TableOptions, TableReader};

fn change(key: &'static str, value: Option<&'static str>) -> Change {
    Change { table: 0, key: Bytes::from(key), value: value.map(Bytes::from) }
}

fn write(tables: &mut PartitionTables, change: &Change) {
    tables.write(0, &change.key, change.value.clone(), 0);
}

fn sees_what_is_committed(stores: &Stores) {
    let reader = TableReader::new(stores, &SPEND, 2);
    let here = reader.partition_of(b"ann");
    let elsewhere = 1 - here;
    assert!(matches!(reader.get(b"ann"), Err(QueryError::NotOwned { partition, .. }) if partition == here));
    let mut tables = PartitionTables::open(stores, here, &[&SPEND], &[TableOptions::default()]).unwrap();
    assert!(matches!(reader.get(b"ann"), Err(QueryError::Restoring { .. })));
    tables.finish_restore(&[0]).unwrap();
    assert_eq!(reader.get(b"ann").unwrap(), None);

    let (first, second) = (change("ann", Some("1")), change("ann", Some("2")));
    write(&mut tables, &first);
    write(&mut tables, &second);
    assert_eq!(reader.get(b"ann").unwrap(), None);
    tables.commit([&first]);
    assert_eq!(reader.get(b"ann").unwrap().as_deref(), Some(&b"1"[..]));
    assert_eq!(tables.get(0, b"ann").unwrap().as_deref(), Some(&b"2"[..]));
    tables.flush(&[1]).unwrap();
    assert_eq!(reader.range(b"", None, 9).unwrap(), [(Bytes::from("ann"), Bytes::from("1"))]);
    tables.commit([&second]);
    assert_eq!(reader.range(b"", None, 9).unwrap(), [(Bytes::from("ann"), Bytes::from("2"))]);

    let mut others = PartitionTables::open(stores, elsewhere, &[&SPEND], &[TableOptions::default()]).unwrap();
    others.finish_restore(&[0]).unwrap();
    let other = change("aaa", Some("3"));
    write(&mut others, &other);
    others.commit([&other]);
    let keys = |from: &str, to: Option<&str>, max_rows| -> Vec<Bytes> {
        let rows = reader.range(from.as_bytes(), to.map(str::as_bytes), max_rows).unwrap();
        rows.into_iter().map(|(key, _)| key).collect()
    };
    assert_eq!(keys("", None, 9), ["aaa", "ann"]);
    assert_eq!(keys("", None, 1), ["aaa"]);
    assert_eq!(keys("aab", None, 9), ["ann"]);
    assert_eq!(keys("", Some("ann"), 9), ["aaa"]);
    drop(others);
    assert_eq!(keys("", None, 9), ["ann"]);
    std::thread::scope(|scope| {
        scope.spawn(|| assert_eq!(reader.get(b"ann").unwrap().as_deref(), Some(&b"2"[..])));
    });
}

#[test]
fn in_memory() {
    sees_what_is_committed(&Stores::memory());
}

#[test]
fn on_disk() {
    let dir = tempfile::tempdir().unwrap();
    sees_what_is_committed(&stores_at(dir.path()));
}
