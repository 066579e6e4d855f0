//! Processes that end by `kill -9`, two processes on one directory, and directories that cannot be used.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use bytes::Bytes;

use super::{SPEND, stores_at};
use crate::table::{Change, PartitionTables, StoreError, StoreErrorKind, Stores, TableOptions};

/// Where the child finds its directory; set by the tests that start one.
const CHILD_DIR: &str = "UNCHAIN_TEST_TABLE_DIR";
const ROWS: u32 = 500;

fn open(stores: &Stores) -> Result<PartitionTables, StoreError> {
    PartitionTables::open(stores, 0, &[&SPEND], &[TableOptions::default()])
}

/// The changelog's record at an offset: each key is written again and again, now and then deleted.
fn record(offset: u32) -> Change {
    let key = Bytes::from((offset % ROWS).to_string());
    let value = (!offset.is_multiple_of(7)).then(|| Bytes::from(offset.to_string()));
    Change { table: 0, key, value }
}

fn commit(tables: &mut PartitionTables, offset: u32) {
    let change = record(offset);
    tables.write(0, &change.key, change.value.clone(), 0);
    tables.commit([&change]);
}

/// Not a test of its own: what the killed process does. It commits, flushes, and tells how far it has flushed.
#[test]
#[ignore = "started by the test that kills it"]
fn child() {
    let Some(dir) = std::env::var_os(CHILD_DIR) else { return };
    let stores = stores_at(Path::new(&dir));
    let mut tables = open(&stores).unwrap();
    tables.finish_restore(&[0]).unwrap();
    for offset in 0.. {
        commit(&mut tables, offset);
        if (offset + 1).is_multiple_of(100) {
            // A lower bound only, as the engine has it.
            tables.flush(&[i64::from(offset) - 30]).unwrap();
            println!("flushed {offset}");
            std::io::stdout().flush().unwrap();
        }
    }
}

fn start_child(dir: &Path) -> (Child, impl Iterator<Item = u32> + use<>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            &format!("{}::child", module_path!().split_once("::").unwrap().1),
            "--ignored",
            "--nocapture",
        ])
        .env(CHILD_DIR, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let flushed = lines.filter_map(|line| line.ok()?.strip_prefix("flushed ")?.parse().ok());
    (child, flushed)
}

#[test]
fn a_killed_process_loses_nothing_and_restores_the_tail_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (mut child, mut flushed) = start_child(dir.path());
    let told = flushed.find(|flushed| *flushed > 5_000).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let last_told = flushed.last().unwrap_or(told);

    // No lock is left behind, and the store is where it was.
    let mut tables = open(&stores_at(dir.path())).unwrap();
    let from = tables.restored_to(0).unwrap();
    assert!(from >= i64::from(last_told) - 30, "{from} of {last_told}: the store was wiped, or lost a flush");
    // The changelog goes beyond what the process had flushed when it was killed.
    let end = last_told + 250;
    assert_eq!(tables.restore_from(0, 0, end.into()).unwrap(), from);
    for offset in u32::try_from(from).unwrap()..end {
        let Change { key, value, .. } = record(offset);
        tables.restore(0, &key, value.as_deref(), 0);
    }
    tables.finish_restore(&[end.into()]).unwrap();
    let last_of = |row: u32| (0..end).rev().find(|offset| offset % ROWS == row).unwrap();
    for row in 0..ROWS {
        assert_eq!(tables.get(0, row.to_string().as_bytes()).unwrap(), record(last_of(row)).value, "row {row}");
    }
}

#[test]
fn a_directory_belongs_to_one_process_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let (mut child, mut flushed) = start_child(dir.path());
    flushed.next().unwrap();
    let refused = open(&stores_at(dir.path())).unwrap_err();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(refused.kind(), StoreErrorKind::Reopen);
    assert!(refused.to_string().contains(&format!("in use by process {}", child.id())), "{refused}");
    open(&stores_at(dir.path())).unwrap();
}

#[test]
fn a_partition_belongs_to_one_worker_at_a_time_and_keeps_its_rows_when_handed_over() {
    let dir = tempfile::tempdir().unwrap();
    let stores = stores_at(dir.path());
    let mut first = open(&stores).unwrap();
    (0..50).for_each(|offset| commit(&mut first, offset));
    first.flush(&[50]).unwrap();
    assert!(matches!(open(&stores), Err(StoreError::InUse { .. })));
    drop(first);
    let second = open(&stores).unwrap();
    assert_eq!(second.restored_to(0), Some(50));
    assert_eq!(second.get(0, b"9").unwrap().as_deref(), Some(&b"9"[..]));
}

#[test]
fn somebody_elses_directory_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let stores = stores_at(dir.path());
    let inside = stores.dir().unwrap().join("thesis.txt");
    fs::create_dir_all(inside.parent().unwrap()).unwrap();
    fs::write(&inside, "three years of work").unwrap();
    let refused = open(&stores).unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Stop);
    assert!(refused.to_string().contains("choose another state directory"), "{refused}");
    assert_eq!(fs::read_to_string(inside).unwrap(), "three years of work");
}

fn files_below(dir: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

#[test]
fn a_damaged_store_is_rebuilt_whatever_file_is_damaged() {
    let files = {
        let dir = tempfile::tempdir().unwrap();
        flushed_store(dir.path());
        files_below(&stores_at(dir.path()).dir().unwrap().join("data")).len()
    };
    assert!(files > 3);
    for damaged in 0..files {
        let dir = tempfile::tempdir().unwrap();
        flushed_store(dir.path());
        let stores = stores_at(dir.path());
        let mut paths = files_below(&stores.dir().unwrap().join("data"));
        paths.sort();
        let Some(path) = paths.get(damaged) else { continue };
        let bytes = fs::read(path).unwrap().len();
        fs::write(path, vec![0xa5; bytes.max(16)]).unwrap();
        // Whether it is found at the opening or at the first read: an error and a rebuilt table, or the rows.
        let rows = open(&stores).and_then(|tables| Ok((tables.restored_to(0), tables.range(0, b"", None, 100)?)));
        let (restored_to, rows) = match rows {
            Ok(read) => read,
            Err(error) => {
                assert_eq!(error.kind(), StoreErrorKind::Reopen, "{error}");
                let tables = open(&stores).unwrap();
                (tables.restored_to(0), tables.range(0, b"", None, 100).unwrap())
            }
        };
        let whole = restored_to == Some(50) && rows.len() == 42;
        assert!(
            whole || restored_to.is_none() && rows.is_empty(),
            "{}: {restored_to:?} {}",
            path.display(),
            rows.len()
        );
    }
}

fn flushed_store(dir: &Path) {
    let mut tables = open(&stores_at(dir)).unwrap();
    (0..50).for_each(|offset| commit(&mut tables, offset));
    tables.flush(&[50]).unwrap();
}

#[test]
fn a_store_that_missed_deletions_or_is_of_another_changelog_is_rebuilt() {
    let dir = tempfile::tempdir().unwrap();
    flushed_store(dir.path());
    for (start, end) in [(51, 90), (0, 49)] {
        let mut tables = open(&stores_at(dir.path())).unwrap();
        assert_eq!(tables.restored_to(0), Some(50));
        assert_eq!(tables.restore_from(0, start, end).unwrap(), start);
        assert_eq!(tables.get(0, b"9").unwrap(), None);
        (0..50).for_each(|offset| commit(&mut tables, offset));
        tables.flush(&[50]).unwrap();
    }
    let a_day_later = || i64::MAX / 2;
    let tables = open(&stores_at(dir.path()).with_clock(a_day_later)).unwrap();
    assert_eq!(tables.restored_to(0), None);
    assert_eq!(tables.get(0, b"9").unwrap(), None);
}

#[test]
fn a_directory_that_cannot_be_written_is_named() {
    let dir = tempfile::tempdir().unwrap();
    // A file where a folder is needed fails for every user, the superuser too.
    fs::write(dir.path().join("pricing"), "").unwrap();
    let refused = open(&stores_at(dir.path())).unwrap_err();
    assert!(refused.to_string().contains("pricing/pod-0"), "{refused}");
}

#[test]
fn a_full_disk_says_what_to_do() {
    let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
    let error = StoreError::io("writing rows", Path::new("/state/pricing"))(full);
    assert_eq!(error.kind(), StoreErrorKind::Reopen);
    assert_eq!(
        error.to_string(),
        "no space is left for the tables in the state directory /state/pricing: free some, or choose another; no row is \
         lost, the changelogs hold them"
    );
}
