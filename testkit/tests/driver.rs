//! The driver itself: what it shows of calls, failures, retries, tables and time.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use unchain::contract::Bytes;
use unchain::contract::system::FailureClass as LetterClass;
use unchain::engine::EngineSettings;
use unchain::process::{
    Entry, Failure, FailureClass, Key, Lookup, MAX_UNAVAILABLE_PAUSE, Position, Processor, State, Tombstone,
};
use unchain_testkit::Driver;
use unchain_testkit::contracts::{Count, Item, Item2, Total};

fn item(key: &str, number: i64) -> Item {
    Item { key: key.into(), number }
}

fn item2(key: &str, number: i64) -> Item2 {
    Item2 { key: key.into(), number }
}

fn total(key: &str, count: i64, sum: i64) -> Total {
    Total { key: key.into(), count, sum }
}

async fn sum(item: Item, mut entry: Entry<Total>) -> Count {
    let (count, sum) = entry.get().map_or((0, 0), |total| (total.count, total.sum));
    entry.set(total(&item.key, count + 1, sum + item.number));
    Count { key: item.key, count: count + 1 }
}

#[test]
fn outputs_and_rows_are_what_the_handler_made_of_the_records() {
    let mut test = Driver::new(Processor::new("sum").handle(sum));
    test.send(&item("a", 3)).send(&item("b", 5)).send(&item("a", 4));
    let count = |key: &str, count| Count { key: key.into(), count };
    assert_eq!(test.outputs::<Count>(), [count("a", 1), count("b", 1), count("a", 2)]);
    assert_eq!(test.outputs::<Count>(), [], "what was asked for once is not shown again");
    assert_eq!(test.row::<Total>("a"), Some(total("a", 2, 7)));
    assert_eq!(test.row::<Total>("c"), None);
    assert_eq!(test.rows::<Total>(), [("a".into(), total("a", 2, 7)), ("b".into(), total("b", 1, 5))]);
    assert_eq!((test.waiting(), test.retries()), (0, 0));
}

async fn picky(item: Item) -> Result<Item2, Failure> {
    match item.number {
        3 => Err(Failure::reject("threes are not welcome")),
        7 => panic!("sevens are worse"),
        number => Ok(item2(&item.key, number)),
    }
}

#[test]
fn what_fails_for_good_is_a_dead_letter_and_the_next_record_goes_on() {
    let mut test = Driver::new(Processor::new("picky").handle(picky));
    test.send(&item("a", 3)).send(&item("a", 7)).send_bytes::<Item>(Some("a".into()), Some("not avro".into()));
    test.send_tombstone::<Item>("a").send(&item("a", 1));
    let letters = test.dead_letters();
    let classes: Vec<_> = letters.iter().map(|letter| letter.class).collect();
    let undecodable = LetterClass::Undecodable;
    assert_eq!(classes, [LetterClass::Rejected, LetterClass::Panicked, undecodable, undecodable]);
    assert!(letters[1].reason.contains("sevens"));
    assert_eq!(letters[2].value, Some(Bytes::from_static(b"not avro")));
    assert_eq!(test.failures().len(), 4);
    assert_eq!(test.outputs::<Item2>(), [item2("a", 1)]);
}

#[derive(Clone, Default)]
struct Calls(Arc<AtomicU32>);

async fn flaky(item: Item, State(calls): State<Calls>, mut entry: Entry<Total>) -> Result<Item2, Failure> {
    // What a call that fails has written is not kept.
    entry.set(total(&item.key, 1, item.number));
    match calls.0.fetch_add(1, Ordering::Relaxed) {
        0 | 1 => Err(Failure::retry("not yet")),
        _ => Ok(item2(&item.key, item.number)),
    }
}

#[test]
fn retries_happen_when_their_time_has_come_and_not_before() {
    let settings = EngineSettings { retry_backoff: Duration::from_secs(1), ..EngineSettings::default() };
    let processor = Processor::new("flaky").handle(flaky).state(Calls::default());
    let mut test = Driver::with_settings(processor, &settings);
    test.send(&item("a", 1));
    assert_eq!((test.waiting(), test.retries(), test.outputs::<Item2>().len()), (1, 0, 0));
    assert_eq!(test.row::<Total>("a"), None);
    test.advance(Duration::from_millis(999));
    assert_eq!((test.waiting(), test.retries()), (1, 0));
    test.advance(Duration::from_millis(2));
    assert_eq!((test.waiting(), test.retries()), (1, 1));
    // The second pause is twice the first.
    test.advance(Duration::from_secs(2));
    assert_eq!((test.waiting(), test.retries()), (0, 2));
    assert_eq!(test.outputs::<Item2>(), [item2("a", 1)]);
    assert_eq!(test.row::<Total>("a"), Some(total("a", 1, 1)));
}

async fn deaf(item: Item, State(calls): State<Calls>) -> Result<Item2, Failure> {
    match calls.0.fetch_add(1, Ordering::Relaxed) {
        0..50 => Err(Failure::unavailable("the payment service does not answer")),
        _ => Ok(item2(&item.key, item.number)),
    }
}

#[test]
fn an_outage_of_what_a_handler_needs_costs_no_record_however_long_it_lasts() {
    let mut test = Driver::new(Processor::new("deaf").handle(deaf).state(Calls::default()));
    test.send(&item("a", 1)).send(&item("a", 2));
    // Pauses grow no further than this.
    test.advance(MAX_UNAVAILABLE_PAUSE * 50);
    assert_eq!(test.outputs::<Item2>(), [item2("a", 1), item2("a", 2)]);
    assert_eq!((test.dead_letters().len(), test.retries(), test.waiting()), (0, 50, 0));
}

#[test]
fn a_panic_in_a_records_event_time_is_that_records_own() {
    let of = |item: &Item| if item.number == 7 { panic!("no time for sevens") } else { item.number };
    let mut test = Driver::new(Processor::new("sum").handle(sum).event_time::<Item>(of));
    test.send(&item("a", 7)).send(&item("a", 1));
    let letters = test.dead_letters();
    assert_eq!((letters.len(), letters[0].class), (1, LetterClass::Panicked));
    assert!(letters[0].reason.contains("no time for sevens"));
    assert_eq!(test.outputs::<Count>().len(), 1);
}

async fn never(_: Item) -> Result<(), Failure> {
    Err(Failure::retry("the service is down"))
}

#[test]
fn a_record_whose_tries_are_used_up_is_a_dead_letter_after_the_time_that_they_take() {
    let mut test = Driver::new(Processor::new("never").handle(never));
    test.send(&item("a", 1)).advance(Duration::from_secs(3_600));
    let letters = test.dead_letters();
    assert_eq!((letters[0].class, letters[0].attempts), (LetterClass::RetriesExhausted, 5));
    assert_eq!((test.retries(), test.waiting()), (4, 0));
    assert_eq!(test.failures()[0].class, FailureClass::RetriesExhausted);
}

async fn slow(item: Item) -> Item2 {
    tokio::task::yield_now().await;
    tokio::time::sleep(Duration::from_secs(item.number.unsigned_abs())).await;
    let spawned = tokio::spawn(async move { item2(&item.key, item.number) });
    spawned.await.unwrap()
}

#[test]
fn a_handler_that_waits_goes_on_as_time_passes() {
    let mut test = Driver::new(Processor::new("slow").handle(slow));
    test.send(&item("a", 0));
    assert_eq!(test.outputs::<Item2>(), [item2("a", 0)], "yielding and spawning take no time");
    test.send(&item("a", 60)).advance(Duration::from_secs(59));
    assert_eq!(test.waiting(), 1);
    test.advance(Duration::from_secs(1));
    assert_eq!(test.outputs::<Item2>(), [item2("a", 60)]);
}

async fn look_up(item: Item, totals: Lookup<Total>) -> Option<Item2> {
    Some(item2(&item.key, totals.get(&item.key)?.sum))
}

#[test]
fn lookups_hold_what_the_test_fills_them_with() {
    let mut test = Driver::new(Processor::new("look-up").handle(look_up));
    test.lookup([total("a", 1, 40)]).send(&item("a", 1)).send(&item("b", 1));
    assert_eq!(test.outputs::<Item2>(), [item2("a", 40)]);
}

async fn first(item: Item) -> Item2 {
    item2(&item.key, item.number + 1)
}

async fn second(item: Item2, Key(key): Key, position: Position) -> (Count, Tombstone<Total>) {
    (Count { key: item.key, count: position.timestamp_ms }, Tombstone::of(key))
}

#[test]
fn what_a_processor_sends_to_itself_arrives_with_its_time() {
    let mut test = Driver::new(Processor::new("both").handle(first).handle(second));
    test.at("1997-01-01T00:00:00Z").send(&item("a", 1));
    assert_eq!(test.outputs::<Count>(), [Count { key: "a".into(), count: 852_076_800_000 }]);
    assert_eq!(test.keyed_outputs::<Total>(), [("a".to_owned(), None)]);
    assert_eq!(test.stream_time_ms::<Item2>(), Some(852_076_800_000));
}

async fn pause(item: Item) -> Item2 {
    tokio::time::sleep(Duration::from_secs(1)).await;
    item2(&item.key, item.number)
}

async fn pause_again(item: Item2) -> Count {
    tokio::time::sleep(Duration::from_secs(2)).await;
    Count { key: item.key, count: item.number }
}

#[test]
fn what_a_processor_sends_to_itself_starts_at_the_moment_at_which_it_is_sent() {
    let mut test = Driver::new(Processor::new("both").handle(pause).handle(pause_again));
    test.send(&item("a", 1)).advance(Duration::from_millis(2_999));
    assert_eq!((test.waiting(), test.outputs::<Item2>().len(), test.outputs::<Count>().len()), (1, 1, 0));
    test.advance(Duration::from_millis(1));
    assert_eq!((test.waiting(), test.outputs::<Count>().len()), (0, 1));
}

#[test]
fn topics_go_by_the_names_that_the_processor_gives_them() {
    let processor = Processor::new("sum").handle(sum).topic_name::<Item>("team.items").topic_name::<Total>("team.sums");
    let mut test = Driver::new(processor);
    test.send(&item("a", 3));
    assert_eq!(test.row::<Total>("a"), Some(total("a", 1, 3)));
}

#[test]
#[should_panic(expected = "does not read test.items2")]
fn a_record_that_nobody_reads_is_an_error_in_the_test() {
    Driver::new(Processor::new("sum").handle(sum)).send(&item2("a", 1));
}
