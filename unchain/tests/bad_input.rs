//! Records and clusters as nobody wants them: each leads to a clear error or a correct result, never to a hang.

#![allow(clippy::unwrap_used, reason = "a panic is a test's report")]

mod support;

use std::time::{Duration, Instant};

use bytes::Bytes;
use support::{Count, Fixture, Item, Item2, Total, on_each_broker};
use unchain::contract::Contract;
use unchain::engine::{Engine, EngineSettings};
use unchain::kafka::{Headers, NewRecord};
use unchain::process::{Entry, Failure, Key, Position, Processor, RecordHeaders};

const DEADLINE: Duration = Duration::from_secs(60);

async fn copy(item: Item) -> Item2 {
    Item2 { key: item.key, number: item.number }
}

fn raw(key: Option<&'static [u8]>, value: Option<Bytes>) -> NewRecord<'static> {
    NewRecord {
        topic: Item::TOPIC.name,
        partition: Some(0),
        timestamp_ms: None,
        key: key.map(Bytes::from_static),
        value,
        headers: Headers::default(),
    }
}

fn wait_until_it_ends(engine: &Engine) {
    let started = Instant::now();
    while engine.is_alive() {
        assert!(started.elapsed() < DEADLINE, "the engine goes on with what it cannot do");
        #[allow(clippy::disallowed_methods, reason = "liveness is asked for, as by an orchestrator")]
        std::thread::sleep(Duration::from_millis(20));
    }
}

on_each_broker!(empty_values_null_values_and_null_keys_do_not_hold_the_partition_up, |fixture: &Fixture| {
    let good = |number| fixture.encode(&Item { key: "k".to_owned(), number });
    fixture.produce_raw(vec![
        raw(Some(b"k"), Some(Bytes::new())),
        raw(Some(b""), None),
        raw(None, None),
        raw(None, Some(good(1))),
        raw(Some(b"k"), Some(good(2))),
    ]);
    let engine = fixture.start(&[Processor::new("copy").handle(copy)], EngineSettings::default());
    let letters = fixture.wait_for_letters(3);
    let outputs: Vec<Item2> = fixture.wait_for(2);
    engine.stop().unwrap();
    assert_eq!(outputs.iter().map(|item| item.number).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(letters.iter().filter(|letter| letter.key.is_none()).count(), 1);
});

async fn needs_key(item: Item, Key(key): Key, mut total: Entry<Total>) -> Count {
    let count = total.get().map_or(0, |total| total.count) + 1;
    total.set(Total { key: key.clone(), count, sum: item.number });
    Count { key, count }
}

on_each_broker!(a_record_without_a_key_is_set_aside_where_the_handler_needs_one, |fixture: &Fixture| {
    let good = fixture.encode(&Item { key: "k".to_owned(), number: 1 });
    fixture.produce_raw(vec![
        raw(None, Some(good.clone())),
        raw(Some(b"\xff\xfe"), Some(good.clone())),
        raw(Some(b"k"), Some(good)),
    ]);
    let engine = fixture.start(&[Processor::new("needs-key").handle(needs_key)], EngineSettings::default());
    let letters = fixture.wait_for_letters(2);
    let counts: Vec<Count> = fixture.wait_for(1);
    engine.stop().unwrap();
    assert!(letters.iter().any(|letter| letter.reason.contains("no key")));
    assert!(letters.iter().any(|letter| letter.reason.contains("UTF-8")));
    assert_eq!(counts[0].count, 1);
});

async fn count_headers(item: Item, RecordHeaders(headers): RecordHeaders) -> Count {
    Count { key: item.key, count: headers.len() as i64 }
}

on_each_broker!(a_thousand_headers_come_through, |fixture: &Fixture| {
    let mut headers = Headers::builder();
    for number in 0..1_000 {
        headers.push(&format!("header-{number}"), (number % 3 != 0).then_some(b"value"));
    }
    let value = fixture.encode(&Item { key: "k".to_owned(), number: 1 });
    fixture.produce_raw(vec![NewRecord { headers: headers.finish(), ..raw(Some(b"k"), Some(value)) }]);
    let engine = fixture.start(&[Processor::new("headers").handle(count_headers)], EngineSettings::default());
    let counts: Vec<Count> = fixture.wait_for(1);
    engine.stop().unwrap();
    assert_eq!(counts[0].count, 1_000);
});

async fn timestamp(item: Item, position: Position) -> Count {
    Count { key: item.key, count: position.timestamp_ms }
}

on_each_broker!(timestamps_of_any_time_travel_on, |fixture: &Fixture| {
    let value = fixture.encode(&Item { key: "k".to_owned(), number: 1 });
    // Brokers refuse what is more than an hour ahead.
    let now_ms = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let ahead_ms = i64::try_from(now_ms).unwrap() + 30 * 60_000;
    let at = |timestamp_ms| NewRecord { timestamp_ms: Some(timestamp_ms), ..raw(Some(b"k"), Some(value.clone())) };
    fixture.produce_raw(vec![at(1), at(ahead_ms), at(2)]);
    let engine = fixture.start(&[Processor::new("timestamp").handle(timestamp)], EngineSettings::default());
    let counts: Vec<Count> = fixture.wait_for(3);
    engine.stop().unwrap();
    assert_eq!(counts.iter().map(|count| count.count).collect::<Vec<_>>(), [1, ahead_ms, 2]);
});

on_each_broker!(a_record_of_ten_megabytes_is_read, |fixture: &Fixture| {
    fixture.admin().set_topic_config(Item::TOPIC.name, &[("max.message.bytes", "12000000")]).unwrap();
    let key = "k".repeat(10_000_000);
    let value = fixture.encode(&Item { key, number: 7 });
    fixture.produce_raw(vec![raw(Some(b"k"), Some(value))]);
    fixture.produce([Item { key: "small".to_owned(), number: 8 }].into_iter());
    async fn length(item: Item) -> Count {
        Count { key: "length".to_owned(), count: item.key.len() as i64 }
    }
    let engine = fixture.start(&[Processor::new("length").handle(length)], EngineSettings::default());
    let counts: Vec<Count> = fixture.wait_for(2);
    engine.stop().unwrap();
    let mut lengths: Vec<_> = counts.iter().map(|count| count.count).collect();
    lengths.sort_unstable();
    assert_eq!(lengths, [5, 10_000_000]);
});

on_each_broker!(an_output_that_is_too_large_is_set_aside, |fixture: &Fixture| {
    fixture.produce((0..3).map(|number| Item { key: "k".to_owned(), number }));
    async fn grow(item: Item) -> Item2 {
        let key = if item.number == 1 { "k".repeat(2_000_000) } else { item.key };
        Item2 { key, number: item.number }
    }
    let engine = fixture.start(&[Processor::new("grow").handle(grow)], EngineSettings::default());
    let letters = fixture.wait_for_letters(1);
    let outputs: Vec<Item2> = fixture.wait_for(2);
    engine.stop().unwrap();
    assert!(letters[0].reason.contains("bytes, more than"), "{}", letters[0].reason);
    assert_eq!(outputs.iter().map(|item| item.number).collect::<Vec<_>>(), [0, 2]);
});

on_each_broker!(partitions_that_are_added_are_read_too, |fixture: &Fixture| {
    fixture.produce((0..60).map(|number| Item { key: format!("k{number}"), number }));
    let engine = fixture.start(&[Processor::new("copy").handle(copy)], EngineSettings::default());
    let _: Vec<Item2> = fixture.wait_for(60);
    fixture.admin().add_partitions(Item::TOPIC.name, 9).unwrap();
    let value = |number| fixture.encode(&Item { key: "new".to_owned(), number });
    let new = |number| NewRecord { partition: Some(8), ..raw(Some(b"new"), Some(value(number))) };
    fixture.produce_raw(vec![new(100), new(101)]);
    let outputs: Vec<Item2> = fixture.wait_for(62);
    engine.stop().unwrap();
    assert_eq!(outputs.iter().filter(|item| item.number >= 100).count(), 2);
});

on_each_broker!(a_topic_deleted_while_it_is_read_ends_the_engine, |fixture: &Fixture| {
    fixture.produce((0..60).map(|number| Item { key: format!("k{number}"), number }));
    let engine = fixture.start(&[Processor::new("copy").handle(copy)], EngineSettings::default());
    let _: Vec<Item2> = fixture.wait_for(60);
    fixture.delete(Item::TOPIC.name);
    wait_until_it_ends(&engine);
    let error = engine.stop().unwrap_err().to_string();
    assert!(error.contains(Item::TOPIC.name), "{error}");
});

on_each_broker!(records_lost_to_retention_are_an_error_not_a_gap, |fixture: &Fixture| {
    fixture.produce((0..60).map(|number| Item { key: format!("k{number}"), number }));
    let start = || fixture.start(&[Processor::new("copy").handle(copy)], EngineSettings::default());
    let engine = start();
    let _: Vec<Item2> = fixture.wait_for(60);
    engine.stop().unwrap();
    fixture.produce((60..120).map(|number| Item { key: format!("k{}", number - 60), number }));
    let all: Vec<_> = (0..6).map(|partition| (partition, None)).collect();
    fixture.admin().delete_records(Item::TOPIC.name, &all).unwrap();
    let engine = start();
    wait_until_it_ends(&engine);
    let error = engine.stop().unwrap_err().to_string();
    assert!(error.contains(Item::TOPIC.name) && error.contains("offset"), "{error}");
});

#[test]
fn a_state_folder_that_cannot_be_written_is_named() {
    let fixture = Fixture::embedded();
    let file = tempfile::NamedTempFile::new().unwrap();
    let settings = EngineSettings { state_dir: Some(file.path().to_owned()), ..EngineSettings::default() };
    let refused = fixture.try_start(&[Processor::new("needs-key").handle(needs_key)], &settings);
    let error = refused.err().expect("a file is no folder").to_string();
    assert!(error.contains(&file.path().display().to_string()), "{error}");
}

async fn talkative(item: Item) -> Result<Item2, Failure> {
    match item.number {
        1 => Err(Failure::reject("why ".repeat(500_000))),
        number => Ok(Item2 { key: item.key, number }),
    }
}

on_each_broker!(
    a_reason_and_headers_beyond_what_a_record_may_have_do_not_hold_the_partition_up,
    |fixture: &Fixture| {
        let mut headers = Headers::builder();
        headers.text(unchain::envelope::CORRELATION_ID, &"c".repeat(300_000));
        headers
            .text(unchain::envelope::ID, &"i".repeat(300_000))
            .text(unchain::envelope::TRACE_PARENT, &"t".repeat(300_000));
        let headers = headers.finish();
        let good = |number| Some(fixture.encode(&Item { key: "k".to_owned(), number }));
        let long_key: &'static [u8] = Box::leak(vec![b'k'; 960_000].into_boxed_slice());
        fixture.produce_raw(vec![
            NewRecord { headers: headers.clone(), ..raw(Some(b"k"), good(1)) },
            NewRecord { headers, ..raw(Some(b"k"), good(2)) },
            raw(Some(long_key), Some(Bytes::from_static(b"no item"))),
            raw(Some(b"k"), good(3)),
        ]);
        let engine = fixture.start(&[Processor::new("talkative").handle(talkative)], EngineSettings::default());
        let letters = fixture.wait_for_letters(2);
        let outputs: Vec<Item2> = fixture.wait_for(2);
        engine.stop().unwrap();
        assert_eq!(outputs.iter().map(|item| item.number).collect::<Vec<_>>(), [2, 3]);
        let of_reason = letters.iter().find(|letter| letter.reason.starts_with("why why")).unwrap();
        assert!(of_reason.reason.ends_with("(2000000 bytes in all)"), "{} bytes", of_reason.reason.len());
    }
);
