//! Processors on a real broker: outputs, order, state, failures and restarts, on the development broker and on Kafka.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use support::{Count, Fixture, Item, Item2, Total, on_each_broker};
use unchain::contract::Contract;
use unchain::engine::{EngineError, EngineSettings};
use unchain::process::{DeclareError, Either, Entry, Failure, Processor, State};

async fn double(item: Item) -> Item2 {
    Item2 { key: item.key, number: item.number * 2 }
}

on_each_broker!(every_input_gives_one_output_in_order, |fixture: &Fixture| {
    fixture.produce((0..5_000).map(|number| Item { key: format!("k{}", number % 50), number }));
    let engine = fixture.start(&[Processor::new("double").handle(double)], EngineSettings::default());
    let outputs: Vec<Item2> = fixture.wait_for(5_000);
    engine.stop().unwrap();
    for key in 0..50 {
        let numbers: Vec<_> =
            outputs.iter().filter(|item| item.key == format!("k{key}")).map(|item| item.number).collect();
        let expected: Vec<_> = (0..5_000).filter(|number| number % 50 == key).map(|number| number * 2).collect();
        assert_eq!(numbers, expected, "outputs of key k{key}");
    }
});

async fn sum(item: Item, mut total: Entry<Total>) -> Count {
    let count = total.get().map_or(0, |total| total.count) + 1;
    let sum = total.get().map_or(0, |total| total.sum) + item.number;
    total.set(Total { key: item.key.clone(), count, sum });
    Count { key: item.key, count }
}

on_each_broker!(a_table_goes_on_where_the_last_process_left_it, |fixture: &Fixture| {
    let processor = || Processor::new("sum").handle(sum);
    for round in 0..3 {
        fixture.produce((0..600).map(|number| Item { key: format!("k{}", number % 7), number }));
        let engine = fixture.start(&[processor()], EngineSettings::default());
        let counts: Vec<Count> = fixture.wait_for((round + 1) * 600);
        engine.stop().unwrap();
        for key in 0..7 {
            let of_key: Vec<_> =
                counts.iter().filter(|count| count.key == format!("k{key}")).map(|count| count.count).collect();
            assert_eq!(
                of_key,
                (1..=of_key.len() as i64).collect::<Vec<_>>(),
                "counts of key k{key} after round {round}"
            );
        }
    }
});

async fn picky(item: Item) -> Result<Item2, Failure> {
    match item.number % 10 {
        3 => Err(Failure::reject("threes are not welcome")),
        7 => panic!("sevens are worse"),
        _ => Ok(Item2 { key: item.key, number: item.number }),
    }
}

on_each_broker!(what_fails_for_good_becomes_a_dead_letter_with_its_bytes, |fixture: &Fixture| {
    fixture.produce((0..100).map(|number| Item { key: "k".to_owned(), number }));
    fixture.produce_bytes(Item::TOPIC.name, "k", b"not avro");
    fixture.produce((100..101).map(|number| Item { key: "k".to_owned(), number }));
    let engine = fixture.start(&[Processor::new("picky").handle(picky)], EngineSettings::default());
    let outputs: Vec<Item2> = fixture.wait_for(81);
    let letters = fixture.wait_for_letters(21);
    let stats = Arc::clone(&engine.stats()[0]);
    engine.stop().unwrap();
    assert!(outputs.iter().map(|item| item.number).is_sorted());
    assert_eq!(stats.dead_letters(), 21);
    let reasons = |text: &str| letters.iter().filter(|letter| letter.reason.contains(text)).count();
    assert_eq!((reasons("threes"), reasons("sevens")), (10, 10));
    let undecodable = letters.iter().find(|letter| letter.attempts == 0).unwrap();
    assert_eq!(undecodable.value.as_deref(), Some(b"not avro".as_slice()));
    assert_eq!(undecodable.key.as_deref(), Some(b"k".as_slice()));
});

#[derive(Clone, Default)]
struct Flaky(Arc<AtomicU32>);

async fn flaky(item: Item, State(calls): State<Flaky>) -> Result<Item2, Failure> {
    // Every third call succeeds, so that each record needs a few.
    if calls.0.fetch_add(1, Ordering::Relaxed) % 3 != 2 {
        return Err(Failure::retry("not yet"));
    }
    Ok(Item2 { key: item.key, number: item.number })
}

on_each_broker!(a_record_that_is_retried_keeps_its_place, |fixture: &Fixture| {
    fixture.produce((0..20).map(|number| Item { key: "k".to_owned(), number }));
    let settings = EngineSettings { retry_backoff: Duration::from_millis(1), ..EngineSettings::default() };
    let engine = fixture.start(&[Processor::new("flaky").handle(flaky).state(Flaky::default())], settings);
    let outputs: Vec<Item2> = fixture.wait_for(20);
    engine.stop().unwrap();
    assert_eq!(outputs.iter().map(|item| item.number).collect::<Vec<_>>(), (0..20).collect::<Vec<_>>());
});

#[derive(Clone, Default)]
struct Gauge {
    now: Arc<AtomicUsize>,
    peak: Arc<AtomicUsize>,
}

async fn slow(item: Item, State(gauge): State<Gauge>) -> Item2 {
    gauge.peak.fetch_max(gauge.now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(5)).await;
    gauge.now.fetch_sub(1, Ordering::SeqCst);
    Item2 { key: item.key, number: item.number }
}

on_each_broker!(handlers_that_wait_run_side_by_side_but_not_within_a_key, |fixture: &Fixture| {
    fixture.produce((0..400).map(|number| Item { key: format!("k{}", number % 100), number }));
    let gauge = Gauge::default();
    let processor = Processor::new("slow").handle(slow).state(gauge.clone());
    let engine = fixture.start(&[processor], EngineSettings { max_in_flight_records: 7, ..EngineSettings::default() });
    let outputs: Vec<Item2> = fixture.wait_for(400);
    engine.stop().unwrap();
    let peak = gauge.peak.load(Ordering::SeqCst);
    // Of each partition 7.
    assert!((2..=42).contains(&peak), "{peak} calls waited at once");
    for key in 0..100 {
        assert!(outputs.iter().filter(|item| item.key == format!("k{key}")).map(|item| item.number).is_sorted());
    }
});

async fn route(item: Item) -> Either<Item2, Option<Count>> {
    match item.number % 3 {
        0 => Either::Left(Item2 { key: item.key, number: item.number }),
        1 => Either::Right(Some(Count { key: item.key, count: item.number })),
        _ => Either::Right(None),
    }
}

on_each_broker!(outputs_go_to_either_topic_or_to_none, |fixture: &Fixture| {
    fixture.produce((0..300).map(|number| Item { key: "k".to_owned(), number }));
    let engine = fixture.start(&[Processor::new("route").handle(route)], EngineSettings::default());
    let (left, right): (Vec<Item2>, Vec<Count>) = (fixture.wait_for(100), fixture.wait_for(100));
    engine.stop().unwrap();
    assert!(left.iter().all(|item| item.number % 3 == 0) && right.iter().all(|count| count.count % 3 == 1));
});

#[test]
fn a_processor_that_cannot_work_is_refused_before_anything_runs() {
    let fixture = Fixture::embedded();
    let missing = fixture.try_start(&[Processor::new("flaky").handle(flaky)], &EngineSettings::default());
    assert!(matches!(missing.err(), Some(EngineError::Declare(DeclareError::MissingState { .. }))));
    let none = fixture.try_start(&[Processor::new("none")], &EngineSettings::default());
    assert!(matches!(none.err(), Some(EngineError::Declare(DeclareError::NoHandler { .. }))));
    let twice = Processor::new("twice").handle(double).handle(picky);
    let twice = fixture.try_start(&[twice], &EngineSettings::default());
    assert!(matches!(twice.err(), Some(EngineError::Declare(DeclareError::TwoHandlers { .. }))));
    fixture.delete(Item2::TOPIC.name);
    let topic = fixture.try_start(&[Processor::new("double").handle(double)], &EngineSettings::default());
    assert!(matches!(topic.err(), Some(EngineError::MissingTopic { topic: "test.items2", .. })));
}

async fn inflate(item: Item) -> Item2 {
    let bytes = if item.number == 1 { 2_000_000 } else { 10 };
    Item2 { key: "x".repeat(bytes), number: item.number }
}

on_each_broker!(an_output_that_kafka_would_refuse_is_a_dead_letter_and_holds_nothing_up, |fixture: &Fixture| {
    fixture.produce((0..3).map(|number| Item { key: "k".to_owned(), number }));
    let engine = fixture.start(&[Processor::new("inflate").handle(inflate)], EngineSettings::default());
    let outputs: Vec<Item2> = fixture.wait_for(2);
    let letters = fixture.wait_for_letters(1);
    engine.stop().unwrap();
    assert_eq!(outputs.iter().map(|item| item.number).collect::<Vec<_>>(), [0, 2]);
    assert!(letters[0].reason.contains("more than 950000"), "{}", letters[0].reason);
});

async fn keep_and_emit(item: Item, mut total: Entry<Total>) -> Total {
    let value = Total { key: item.key, count: 1, sum: item.number };
    total.set(value.clone());
    value
}

#[test]
fn tables_are_changed_by_their_entries_alone_and_names_are_unique() {
    let fixture = Fixture::embedded();
    let both = fixture.try_start(&[Processor::new("both").handle(keep_and_emit)], &EngineSettings::default());
    assert!(matches!(both.err(), Some(EngineError::Declare(DeclareError::TableAsOutput { .. }))));
    let twins = [Processor::new("twin").handle(double), Processor::new("twin").handle(sum)];
    let twins = fixture.try_start(&twins, &EngineSettings::default());
    assert!(matches!(twins.err(), Some(EngineError::SameName { name: "twin" })));
}
