//! Imports as a whole: files in, recordings out, and what is said of those that cannot be.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::contract::{JsonDecoder, LocalRegistry, SchemaRegistry};
use crate::kafka::Record;
use crate::recording::{Recording, Span};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/06-import").join(name)
}

/// A folder with a file, and where its recording goes.
struct Case {
    folder: tempfile::TempDir,
    options: ImportOptions,
}

/// Collects the reports of bad lines.
#[derive(Default)]
struct Reports(Vec<String>);

impl ImportObserver for Reports {
    fn bad_line(&mut self, _: &Path, line: &BadLine) {
        self.0.push(line.to_string());
    }
}

impl Case {
    fn new(options: ImportOptions) -> Case {
        Case { folder: tempfile::tempdir().unwrap(), options }
    }

    fn mapped(mapping: &str) -> Case {
        let mut case = Case::new(ImportOptions::default());
        let file = case.folder.path().join("mapping.toml");
        fs::write(&file, mapping).unwrap();
        case.options.mapping = Some(file);
        case
    }

    fn on_error(mut self, on_error: OnError) -> Case {
        self.options.on_error = on_error;
        self
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let file = self.folder.path().join(name);
        fs::write(&file, content).unwrap();
        file
    }

    fn import(&self, name: &str, content: &str) -> Result<(ImportSummary, Vec<String>), String> {
        let file = self.file(name, content.as_bytes());
        self.import_file(&file)
    }

    fn import_file(&self, file: &Path) -> Result<(ImportSummary, Vec<String>), String> {
        let mut reports = Reports::default();
        let imported = import(file, &self.out(), &self.options, &mut reports);
        let place = format!("{}/", self.folder.path().display());
        imported.map(|summary| (summary, reports.0)).map_err(|error| error.to_string().replace(&place, ""))
    }

    fn error(&self, name: &str, content: &str) -> String {
        let error = self.import(name, content).unwrap_err();
        assert!(!self.out().exists(), "nothing is left of what failed");
        error
    }

    fn records(&self) -> Vec<Record> {
        let recording = Recording::open(&self.out()).unwrap();
        let mut records = Vec::new();
        for at in recording.partitions() {
            let mut reader = recording.read(&at, Span::default());
            while let Some(mut block) = reader.next_block().unwrap() {
                while let Some(record) = block.next_record().unwrap() {
                    records.push(record.to_record(&at));
                }
            }
        }
        records
    }

    /// The records of a topic as JSON, by their times.
    fn values(&self, topic: &str) -> Vec<Value> {
        let recording = Recording::open(&self.out()).unwrap();
        let registry = LocalRegistry::in_memory();
        for id in &recording.manifest().schemas {
            let text = recording.schema(*id).unwrap().unwrap();
            assert_eq!(registry.register(&format!("s-{id}"), &text).unwrap().0, *id);
        }
        let mut decoder = JsonDecoder::new(Arc::new(registry));
        let mut records = self.records();
        records.retain(|record| *record.topic == *topic);
        records.sort_by_key(|record| record.timestamp_ms);
        records.iter().map(|record| decoder.decode(record.value.as_deref().unwrap()).unwrap()).collect()
    }
}

#[test]
fn the_example_of_bike_rides_is_imported_with_a_contract_made_of_its_mapping() {
    let case = Case::new(ImportOptions { mapping: Some(example("rides.toml")), ..ImportOptions::default() });
    let (summary, _) = case.import_file(&example("rides.csv")).unwrap();
    assert_eq!((summary.records, summary.lines, summary.bad_lines), (20, 21, 0));
    assert_eq!(summary.min_timestamp_ms, 1_772_437_270_000);
    let values = case.values("city.rides");
    assert_eq!(
        values[0],
        json!({"ride": "R-1001", "bike": "b-07", "station": "Harbour, North", "started": 1_772_437_270_000_i64,
            "metres": 2380, "cents": 250, "currency": "EUR", "member": true})
    );
    assert_eq!(values[5]["station"], "Café \"Zur Linde\"");
    assert_eq!(values[6]["member"], Value::Null);
    let rides: Vec<_> = values[11..13].iter().map(|value| value["ride"].as_str().unwrap()).collect();
    assert_eq!(rides, ["R-1012", "R-1013"], "the file has them the other way round");
    let schema: Value = serde_json::from_str(summary.made_schema.as_deref().unwrap()).unwrap();
    assert_eq!((&schema["name"], &schema["namespace"]), (&json!("Rides"), &json!("city")));

    let mut by_partition = BTreeMap::<i32, Vec<Record>>::new();
    case.records().into_iter().for_each(|record| by_partition.entry(record.partition).or_default().push(record));
    for (partition, records) in by_partition {
        assert!(records.is_sorted_by_key(|record| record.timestamp_ms), "partition {partition}");
        let offsets: Vec<_> = records.iter().map(|record| record.offset).collect();
        assert_eq!(offsets, (0..offsets.len() as i64).collect::<Vec<_>>(), "partition {partition}");
        for record in records {
            assert_eq!(crate::table::partition_of(&record.key.unwrap(), 3), partition);
        }
    }
}

#[test]
fn a_text_file_of_the_shape_of_cdnow_fills_a_contract_that_there_is() {
    let case = Case::new(ImportOptions { mapping: Some(example("cdnow.toml")), ..ImportOptions::default() });
    let (summary, _) = case.import_file(&example("cdnow.txt")).unwrap();
    assert_eq!((summary.records, summary.made_schema), (6, None));
    let values = case.values("music.orders");
    let expected = json!({"order": "00001-2", "customer": "00001", "ordered_on": 9862, "units": 1, "cents": 1177,
        "currency": "USD"});
    assert_eq!(values[0], expected);
    let days: Vec<_> = values.iter().map(|value| value["ordered_on"].as_i64().unwrap() - 9862).collect();
    assert_eq!(days, [0, 1, 11, 11, 88, 91]);
}

/// The mapping that most cases of bad lines are read by.
const MAPPING: &str = r#"
topic = "shop.orders"
partitions = 2
key = "{customer}"
time = { column = "ts", format = "unix" }

[fields]
customer = "customer"
units = { column = "units", type = "int" }
"#;

#[test]
fn a_bad_line_stops_the_import_with_its_place_and_what_is_wanted() {
    let case = Case::mapped(MAPPING);
    for (row, expected) in [
        ("c,x,5", "field `units`, column `units`: \"x\" is not a whole number"),
        (
            "c,3000000000,5",
            "field `units`, column `units`: 3000000000 is out of range: an int goes from -2147483648 to 2147483647",
        ),
        (
            "c,,5",
            "field `units`, column `units`: is empty, a whole number is wanted; `optional = true` makes empty ones null",
        ),
        ("c,1,noon", "time, column `ts`: \"noon\" is no time by \"unix\": a number is wanted"),
        ("c,1,-5", "time, column `ts`: \"-5\" is before 1970, and Kafka has no such timestamps"),
        ("c,1", "there are 2 columns, 3 are wanted"),
        (",1,5", "key: is missing; a record without a key has no order: map another column"),
        ("\"c,1,5", "a quote is opened and not closed within 1000 lines or 8388608 bytes"),
    ] {
        let error = case.error("orders.csv", &format!("customer,units,ts\na,1,5\n{row}\n"));
        assert_eq!(error, format!("orders.csv: line 3: {expected}"));
    }
}

#[test]
fn bad_lines_are_skipped_and_reported_and_good_ones_after_them_are_kept() {
    let mut case = Case::mapped(MAPPING).on_error(OnError::Skip);
    case.options.max_line_bytes = 50;
    let long = "x".repeat(60);
    let content = format!("customer,units,ts\na,1,7\nb,x,6\n\"c,1,5\n{long}\n\nd,1,5\ne,1,4\n\"f\ng\",2,3\n");
    let (summary, reports) = case.import("orders.csv", &content).unwrap();
    let expected = [
        "line 3: field `units`, column `units`: \"x\" is not a whole number",
        "line 4: a quote is opened and not closed within 1000 lines or 50 bytes",
        "line 5: the line is longer than 50 bytes; --max-line-bytes raises the limit",
    ];
    assert_eq!(reports, expected);
    assert_eq!((summary.records, summary.bad_lines, summary.lines), (4, 3, 10));
    let customers: Vec<_> = case.values("shop.orders").iter().map(|value| value["customer"].clone()).collect();
    assert_eq!(customers, ["f\ng", "e", "d", "a"]);
}

#[test]
fn bad_lines_become_dead_letters_that_hold_the_line_as_it_is() {
    let case = Case::mapped(MAPPING).on_error(OnError::DeadLetter);
    let (summary, _) = case.import("orders.csv", "customer,units,ts\nb,x,6\na,1,7\nc,,8\nd,1,9\n").unwrap();
    assert_eq!((summary.records, summary.bad_lines), (2, 2));
    let letters = case.values("unchain.dead-letters");
    assert_eq!(letters[0]["value"], "b,x,6");
    assert_eq!((&letters[0]["record"], &letters[0]["offset"]), (&json!("orders.csv/0/2"), &json!(2)));
    assert_eq!((&letters[0]["class"], &letters[0]["processor"]), (&json!("UNDECODABLE"), &json!("import")));
    assert_eq!(
        letters[1]["reason"].as_str().unwrap().split(';').next(),
        Some("line 4: field `units`, column `units`: is empty, a whole number is wanted")
    );
    let mut times: Vec<_> =
        case.records().iter().map(|record| (record.timestamp_ms, record.topic.to_string())).collect();
    times.sort();
    let (letters, orders) = ("unchain.dead-letters", "shop.orders");
    assert_eq!(
        times,
        [(7_000, orders), (7_000, letters), (7_000, letters), (9_000, orders)].map(|(ms, t)| (ms, t.to_owned()))
    );
}

#[test]
fn text_that_is_not_utf_8_is_a_bad_line() {
    let case = Case::mapped(MAPPING);
    let file = case.file("orders.csv", b"customer,units,ts\na,1,\xff\n");
    assert_eq!(case.import_file(&file).unwrap_err(), "orders.csv: line 2: byte 5 is not UTF-8 text");
}

#[test]
fn files_that_are_not_there_or_have_nothing_are_told_apart() {
    let case = Case::mapped(MAPPING);
    let missing = case.import_file(&case.folder.path().join("no.csv")).unwrap_err();
    assert_eq!(missing, "no.csv: there is no such file");
    fs::create_dir(case.folder.path().join("folder.csv")).unwrap();
    let folder = case.import_file(&case.folder.path().join("folder.csv")).unwrap_err();
    assert_eq!(folder, "folder.csv: is a folder; one file is imported at a time");
    assert_eq!(case.error("empty.csv", ""), "empty.csv: is empty: there is nothing to import");
    assert_eq!(case.error("head.csv", "customer,units,ts\n"), "head.csv: none of its 1 lines is a record");
    let unmapped = Case::new(ImportOptions::default());
    let error = unmapped.error("a.csv", "a,b\n");
    assert!(error.contains("`import a.csv --print-mapping > mapping.toml`"), "{error}");
    let unknown = unmapped.error("a.txt", "a b\n");
    assert!(unknown.ends_with("name it with --format csv, jsonl, kcat or console"), "{unknown}");
}

#[test]
fn a_mapping_that_does_not_fit_says_where_and_what_there_is() {
    let order = fs::read_to_string(example("order.avsc")).unwrap();
    let with_schema = |fields: &str| {
        format!("topic = \"t\"\nschema = \"order.avsc\"\nkey = \"{{a}}\"\ntime = \"b\"\n[fields]\n{fields}")
    };
    let all = "order = \"a\"\ncustomer = \"a\"\nordered_on = \"b\"\nunits = \"a\"\n";
    for (mapping, expected) in [
        (
            MAPPING.replace("\"customer\"", "\"client\""),
            "field customer names the column \"client\", which the data does not have; its columns are: customer, units, ts",
        ),
        (
            MAPPING.replace("\"{customer}\"", "\"customer\""),
            "key = \"customer\": every record would have this key; write {customer} for the column's value",
        ),
        (
            MAPPING.replace("\"int\"", "\"integer\""),
            "line 9: field \"units\": has the type \"integer\"; without a schema there are: string, int, long, float, double, boolean, decimal, date, timestamp",
        ),
        (
            MAPPING.replace("\"int\"", "\"decimal\""),
            "line 9: field \"units\": is a decimal and needs its scale: `scale = 2` makes 29.33 the number 2933",
        ),
        (
            MAPPING.replace("units =", "\"un its\" ="),
            "line 9: field \"un its\": is no Avro name: letters, digits and _ make one, beginning with no digit",
        ),
        (
            MAPPING.replace("\"unix\"", "\"epoch\""),
            "time.format = \"epoch\": is no format: rfc3339, unix, unix_ms, unix_us and unix_ns are, and patterns as %Y-%m-%d %H:%M:%S",
        ),
        (
            MAPPING.replace("partitions = 2", "partitions = 0"),
            "partitions = \"0\": a topic has between 1 and 10000 partitions",
        ),
        (
            with_schema(all),
            "the schema music.CdOrder has a field \"cents\" (long) without a default: give it a column or a constant under [fields]",
        ),
        (
            with_schema("cent = \"a\"\n"),
            "[fields] has \"cent\", which the schema music.CdOrder does not have; its fields are: order, customer, ordered_on, units, cents, currency",
        ),
        (
            with_schema(&format!("{all}cents = {{ column = \"a\", type = \"double\" }}")),
            "line 10: field \"cents\": is double in the mapping and long in the schema",
        ),
        (
            with_schema(&format!("{all}cents = {{ constant = \"x\" }}")),
            "line 10: field \"cents\": constant: \"x\" is not a whole number",
        ),
    ] {
        let case = Case::mapped(&mapping);
        case.file("order.avsc", order.as_bytes());
        let header = if mapping.contains("order.avsc") { "a,b\n" } else { "customer,units,ts\n" };
        assert_eq!(case.error("orders.csv", header), format!("mapping.toml: {expected}"));
    }
    let typo = Case::mapped(&MAPPING.replace("partitions", "partition")).error("orders.csv", "customer,units,ts\n");
    assert!(typo.starts_with("mapping.toml: is no mapping: ") && typo.contains("unknown field `partition`"), "{typo}");
}

#[test]
fn json_lines_are_mapped_by_paths() {
    let mapping =
        MAPPING.replace("customer = \"customer\"", "customer = \"user.name\"").replace("{customer}", "{user.id}");
    let case = Case::mapped(&mapping);
    let lines = "{\"user\": {\"id\": 7, \"name\": \"Ann\"}, \"units\": 2, \"ts\": 5}\n";
    case.import("orders.jsonl", lines).unwrap();
    assert_eq!(case.values("shop.orders"), [json!({"customer": "Ann", "units": 2})]);
    assert_eq!(case.records()[0].key.as_deref(), Some(&b"7"[..]));
}

#[test]
fn json_lines_without_a_mapping_stay_as_they_are() {
    let mut case = Case::new(ImportOptions { key: Some("id".into()), ..ImportOptions::default() });
    let lines = "{\"id\": 2, \"at\": \"1970-01-01T00:00:02Z\"}\n{\"id\":1,\"at\":\"1970-01-01T00:00:01Z\"}";
    let missing = case.error("a.jsonl", lines);
    assert!(missing.starts_with("--topic is needed for jsonl files"), "{missing}");
    case.options.topic = Some("app.events".into());
    case.options.time = Some("at".into());
    case.options.partitions = Some(1);
    case.import("a.jsonl", lines).unwrap();
    let records = case.records();
    assert_eq!(records.iter().map(|record| record.timestamp_ms).collect::<Vec<_>>(), [1_000, 2_000]);
    assert_eq!(records[1].value.as_deref(), Some(&b"{\"id\": 2, \"at\": \"1970-01-01T00:00:02Z\"}"[..]));
}

#[test]
fn what_kcat_printed_keeps_its_partitions_and_offsets() {
    let case = Case::new(ImportOptions::default());
    let line = |partition: i32, offset: i64, ts: i64| {
        json!({"topic": "orders", "partition": partition, "offset": offset, "tstype": "create", "ts": ts, "broker": 1,
            "headers": ["h", "1"], "key": "k", "payload": if offset == 9 { None } else { Some("v") }})
        .to_string()
            + "\n"
    };
    let content = [line(2, 7, 50), line(0, 3, 40), line(2, 9, 30), line(1, 5, 10), line(1, 5, 20)].concat();
    let (summary, _) = case.import("dump.json", &content).unwrap();
    assert_eq!(summary.format, Format::Kcat);
    let found: Vec<_> =
        case.records().iter().map(|record| (record.partition, record.offset, record.timestamp_ms)).collect();
    assert_eq!(found, [(0, 3, 40), (1, 0, 10), (1, 1, 20), (2, 7, 50), (2, 9, 30)]);
    let records = case.records();
    assert_eq!((records[4].value.as_deref(), records[0].headers.text("h")), (None, Some("1")));
    let recording = Recording::open(&case.out()).unwrap();
    assert_eq!(recording.topic("orders").unwrap().ranges[&2], crate::recording::OffsetRange { start: 7, end: 10 });
}

#[test]
fn what_the_console_consumer_printed_is_told_its_topic() {
    let case = Case::new(ImportOptions { topic: Some("orders".into()), ..ImportOptions::default() });
    let (summary, _) = case.import("dump.txt", "CreateTime:20\tb\tv2\nCreateTime:10\ta\tnull\n").unwrap();
    assert_eq!((summary.format, summary.topics[0].partitions), (Format::Console, 6));
    let mut records = case.records();
    records.sort_by_key(|record| record.timestamp_ms);
    assert_eq!((records[0].value.as_deref(), records[1].value.as_deref()), (None, Some(&b"v2"[..])));
}

#[test]
fn a_topic_that_would_leave_the_recording_is_refused() {
    let case = Case::new(ImportOptions { format: Some(Format::Kcat), ..ImportOptions::default() });
    let error = case.error("dump.json", r#"{"topic":"../../x","partition":0,"offset":0,"payload":"v"}"#);
    assert!(error.starts_with("dump.json: line 1: topic: \"../../x\""), "{error}");
}

#[test]
fn an_import_is_done_once_and_again_when_the_file_or_the_mapping_has_changed() {
    let case = Case::mapped(MAPPING);
    let file = case.file("orders.csv", b"customer,units,ts\na,1,5\n");
    let again = || import_beside(&file, &case.options, &mut ()).unwrap();
    let (out, first) = again();
    assert_eq!(out, case.folder.path().join("orders.csv.recording"));
    assert!(first.is_some() && again().1.is_none());
    fs::write(&file, "customer,units,ts\na,1,5\nb,1,6\n").unwrap();
    assert_eq!(again().1.unwrap().records, 2);
    fs::write(case.options.mapping.as_ref().unwrap(), MAPPING.replace("= 2", "= 3")).unwrap();
    assert_eq!(again().1.unwrap().topics[0].partitions, 3);
    assert!(again().1.is_none());
}

#[test]
fn what_does_not_fit_into_memory_is_sorted_all_the_same() {
    let mut case = Case::mapped(MAPPING);
    case.options.max_sorted_bytes = 10_000;
    let mut content = "customer,units,ts\n".to_owned();
    (0..5_000).for_each(|index| content.push_str(&format!("c-{},{index},{}\n", index % 10, index * 7_919 % 5_003)));
    case.import("orders.csv", &content).unwrap();
    let records = case.records();
    assert_eq!(records.len(), 5_000);
    for partition in 0..2 {
        let times: Vec<_> = records.iter().filter(|r| r.partition == partition).map(|r| r.timestamp_ms).collect();
        assert!(times.is_sorted());
    }
}

/// Ends the import at its first look.
struct Interrupted;

impl ImportObserver for Interrupted {
    fn is_interrupted(&mut self) -> bool {
        true
    }
}

#[test]
fn an_interrupted_import_leaves_nothing_that_looks_whole() {
    let case = Case::mapped(MAPPING);
    let content = "customer,units,ts\n".to_owned() + &"a,1,5\n".repeat(5_000);
    let file = case.file("orders.csv", content.as_bytes());
    let error = import(&file, &case.out(), &case.options, &mut Interrupted).unwrap_err();
    assert!(matches!(error, ImportError::Interrupted { .. }));
    assert!(Recording::open(&case.out()).is_err());
}

#[test]
fn a_sketched_mapping_imports_the_file_that_it_was_sketched_from() {
    for (name, records) in [("rides.csv", 20), ("cdnow.txt", 6)] {
        let sketch = sketch_mapping(&example(name)).unwrap();
        let case = Case::mapped(&sketch);
        let (summary, _) = case.import_file(&example(name)).unwrap_or_else(|error| panic!("{error}\n{sketch}"));
        assert_eq!(summary.records, records, "{sketch}");
    }
}

#[test]
fn a_sketch_guesses_the_delimiter_the_key_the_time_and_the_types() {
    let case = Case::new(ImportOptions::default());
    let file = case.file(
        "log.csv",
        "id;user id;ts;amount;note\n1;u-1;1700000000;1,5;\n2;u-2;1700000001;2,5;x\n3;u-1;1700000002;3;\n".as_bytes(),
    );
    let sketch = sketch_mapping(&file).unwrap();
    for line in [
        "topic = \"imported.log\"",
        "key = \"{user id}\"",
        "time = { column = \"ts\", format = \"unix\" }",
        "delimiter = \";\"   # one character, \"tab\", or \"whitespace\" for runs of spaces",
        "user_id = \"user id\"   # u-1",
        "id = { column = \"id\", type = \"int\" }   # 1",
        "amount = \"amount\"   # 1,5",
        "note = { column = \"note\", optional = true }   # x",
    ] {
        assert!(sketch.lines().any(|found| found == line), "no {line:?} in:\n{sketch}");
    }
    let json = case.file("log.jsonl", b"{}");
    assert!(sketch_mapping(&json).unwrap_err().to_string().contains("--key and --time"));
}
