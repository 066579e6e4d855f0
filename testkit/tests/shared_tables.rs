//! Tables that several inputs share: which groups they form, and what is refused before anything runs.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use unchain::process::{DeclareError, Entry, Lookup, Processor, Row, Tombstone, check_together};
use unchain_testkit::Driver;
use unchain_testkit::contracts::{Count, Item, Item2, Narrow, Total};

async fn keep(item: Item, mut entry: Entry<Total>) {
    entry.set(Total { key: item.key, count: 1, sum: item.number });
}

async fn read(item: Item2, row: Row<Total>) -> Option<Count> {
    Some(Count { key: item.key, count: row.get()?.sum })
}

async fn read_narrow(_: Narrow, _: Row<Total>) {}

async fn alone(_: Narrow) {}

async fn change(item: Item2, mut entry: Entry<Total>) {
    match item.number {
        0 => entry.delete(),
        number => entry.set(Total { key: item.key, count: 2, sum: number }),
    }
}

async fn emit(_: Item2) -> Tombstone<Total> {
    Tombstone::of("k")
}

async fn look_up(_: Item2, _: Lookup<Total>) {}

#[test]
fn inputs_that_share_a_table_are_one_group() {
    let processor = Processor::new("p").handle(alone).handle(keep).handle(read);
    assert_eq!(processor.check(), Ok(()));
    let inputs: Vec<Vec<_>> =
        processor.groups().iter().map(|group| group.inputs.iter().map(|topic| topic.name).collect()).collect();
    assert_eq!(inputs, [vec!["test.narrow"], vec!["test.items", "test.items2"]]);
    assert_eq!((processor.group_of("test.items2"), processor.co_partitioned()), (1, true));
    assert_eq!(processor.tables_of(1).iter().map(|table| table.name).collect::<Vec<_>>(), ["test.totals"]);
    assert!(processor.tables_of(0).is_empty());
    assert!(!Processor::new("p").handle(alone).handle(keep).co_partitioned());
}

#[test]
fn names_that_stand_for_others_count_in_groups_too() {
    let processor = Processor::new("p").handle(keep).handle(read).topic_name::<Total>("team.totals");
    assert_eq!(processor.check(), Ok(()));
    assert_eq!(processor.tables_of(processor.group_of("test.items2"))[0].name, "team.totals");
}

#[test]
fn what_one_input_writes_the_other_reads_and_both_may_write() {
    let item = |number| Item { key: "k".into(), number };
    let item2 = |number| Item2 { key: "k".into(), number };
    let mut test = Driver::new(Processor::new("p").handle(keep).handle(read));
    test.send(&item2(1)).send(&item(7)).send(&item2(1));
    assert_eq!(test.outputs::<Count>(), [Count { key: "k".into(), count: 7 }]);

    let mut test = Driver::new(Processor::new("p").handle(keep).handle(change));
    test.send(&item(7)).send(&item2(8));
    assert_eq!(test.row::<Total>("k").map(|row| row.sum), Some(8));
    test.send(&item2(0));
    assert_eq!(test.row::<Total>("k"), None);
}

#[test]
fn what_cannot_be_shared_is_refused() {
    let unequal = Processor::new("p").handle(keep).handle(read_narrow).check();
    let expected = DeclareError::UnequalInputs {
        processor: "p",
        one: "test.items",
        one_partitions: 6,
        other: "test.narrow",
        other_partitions: 3,
    };
    assert_eq!(unequal, Err(expected));
    let unwritten = Processor::new("p").handle(read).check();
    assert_eq!(unwritten, Err(DeclareError::NeverWritten { processor: "p", table: "test.totals" }));
}

#[test]
fn a_table_has_one_owner_among_all_processors() {
    let owner = || Processor::new("owner").handle(keep);
    assert_eq!(check_together(&[owner(), Processor::new("reader").handle(look_up)]), Ok(()));
    let two = check_together(&[owner(), Processor::new("other").handle(change)]);
    assert_eq!(two, Err(DeclareError::TwoOwners { table: "test.totals", one: "owner", other: "other" }));
    for processors in [[owner(), Processor::new("w").handle(emit)], [Processor::new("w").handle(emit), owner()]] {
        let written = check_together(&processors);
        let expected = DeclareError::TableOfAnother { table: "test.totals", owner: "owner", writer: "w" };
        assert_eq!(written, Err(expected));
    }
}

#[test]
fn each_table_of_the_order_pipeline_has_one_owner() {
    let all = unchain_processors::processors(&unchain_processors::Config::default());
    assert_eq!(check_together(&all), Ok(()));
    assert!(all.iter().any(|processor| !processor.declaration().tables().is_empty()));
}
