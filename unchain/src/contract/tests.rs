//! Wire bytes, and the local registry, as their users meet them.

#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::system::{DeadLetter, FailureClass, Header};
use super::*;

fn letter() -> DeadLetter {
    DeadLetter {
        record: "orders.placed/3/42".into(),
        processor: "verification".into(),
        topic: "orders.placed".into(),
        partition: 3,
        offset: 42,
        timestamp_ms: 852_076_800_000,
        key: Some(Bytes::from_static(b"00001")),
        value: None,
        headers: vec![Header { name: "ce_id".into(), value: Some(Bytes::from_static(b"x")) }],
        class: FailureClass::RetriesExhausted,
        reason: "unreachable".into(),
        attempts: 5,
        failed_at_ms: 1,
    }
}

fn registry() -> Arc<LocalRegistry> {
    Arc::new(LocalRegistry::in_memory())
}

fn encoded(registry: &Arc<LocalRegistry>, letter: &DeadLetter) -> Vec<u8> {
    let mut bytes = Vec::new();
    Encoder::<DeadLetter>::register(&**registry).unwrap().encode(letter, &mut bytes).unwrap();
    bytes
}

fn decoder(registry: &Arc<LocalRegistry>) -> Decoder<DeadLetter> {
    Decoder::new(Arc::clone(registry) as Arc<dyn SchemaRegistry>)
}

/// A contract's schema as it may have been before.
fn earlier(change: impl FnOnce(&mut Vec<Value>)) -> String {
    let mut schema: Value = serde_json::from_str(DeadLetter::TOPIC.schema).unwrap();
    change(schema["fields"].as_array_mut().unwrap());
    schema.to_string()
}

#[test]
fn a_value_is_magic_id_and_datum() {
    let mut bytes = b"kept".to_vec();
    Encoder::<DeadLetter>::with_id(SchemaId(0x0102_0304)).encode(&letter(), &mut bytes).unwrap();
    let mut golden = b"kept\x00\x01\x02\x03\x04".to_vec();
    golden.extend(b"\x24orders.placed/3/42\x18verification\x1aorders.placed\x06\x54");
    golden.extend(b"\x80\xa0\xe1\xbb\xcc\x31\x02\x0a00001\x00\x02\x0ace_id\x02\x02x\x00\x02\x16unreachable\x0a\x02");
    assert_eq!(bytes, golden);
}

#[test]
fn the_datum_is_as_apache_avro_writes_it() {
    let schema = apache_avro::Schema::parse_str(DeadLetter::TOPIC.schema).unwrap();
    let writer = apache_avro::writer::datum::GenericDatumWriter::builder(&schema).build().unwrap();
    let mut theirs = Vec::new();
    writer.write_ser(&mut theirs, &letter()).unwrap();
    let mut ours = Vec::new();
    letter().write(&mut ours);
    assert_eq!(ours, theirs);
}

#[test]
fn bytes_that_are_no_value_say_why() {
    let registry = registry();
    let bytes = encoded(&registry, &letter());
    let mut decoder = decoder(&registry);
    assert_eq!(decoder.decode(&bytes[..4]), Err(DecodeError::TooShort { bytes: 4 }));
    assert_eq!(decoder.decode(b"{\"a\":1}"), Err(DecodeError::WrongMagic { byte: b'{' }));
    let unknown = DecodeError::UnknownSchemaId { id: SchemaId(7) };
    assert_eq!(decoder.decode(&[0, 0, 0, 0, 7, 1]), Err(unknown));
    let DecodeError::Malformed { source, .. } = decoder.decode(&bytes[..bytes.len() - 3]).unwrap_err() else {
        panic!()
    };
    assert_eq!(source.field(), "reason");
    let longer = [&bytes[..], b"!"].concat();
    let DecodeError::Malformed { source, .. } = decoder.decode(&longer).unwrap_err() else { panic!() };
    assert_eq!(source.reason(), &MalformedReason::TrailingBytes { bytes: 1 });
}

#[test]
fn values_of_an_earlier_schema_are_read() {
    let registry = registry();
    let narrow = earlier(|fields| {
        fields.retain(|field| field["name"] != "headers");
        for field in fields.iter_mut().filter(|field| field["name"] == "offset") {
            field["type"] = json!("int");
        }
    });
    let id = registry.register(&DeadLetter::TOPIC.subject(), &narrow).unwrap();
    let mut without_headers = letter();
    without_headers.headers.clear();
    let mut bytes = vec![0];
    bytes.extend_from_slice(&id.0.to_be_bytes());
    let schema = apache_avro::Schema::parse_str(&narrow).unwrap();
    let writer = apache_avro::writer::datum::GenericDatumWriter::builder(&schema).build().unwrap();
    let apache_avro::types::Value::Record(mut fields) = apache_avro::to_value(&without_headers).unwrap() else {
        panic!()
    };
    fields.retain(|(name, _)| name != "headers");
    for (_, value) in fields.iter_mut().filter(|(name, _)| name == "offset") {
        *value = apache_avro::types::Value::Int(42);
    }
    let value = apache_avro::types::Value::Record(fields).resolve(&schema).unwrap();
    bytes.extend(writer.write_value_to_vec(value).unwrap());
    assert_eq!(decoder(&registry).decode(&bytes), Ok(without_headers));
}

#[test]
fn json_shows_any_value() {
    let registry = registry();
    let bytes = encoded(&registry, &letter());
    let json = decode_json(&bytes, &*registry).unwrap();
    assert_eq!(json["offset"], 42);
    assert_eq!(json["key"], "00001");
    assert_eq!(json["value"], Value::Null);
    assert_eq!(json["headers"], json!([{"name": "ce_id", "value": "x"}]));
    assert_eq!(json["class"], "RETRIES_EXHAUSTED");
    assert_eq!(JsonDecoder::new(registry).decode(&bytes), Ok(json));
}

#[test]
fn processes_that_share_a_topic_agree_and_learn_from_each_other() {
    let topic = MemorySchemaTopic::default();
    let (one, other) = (LocalRegistry::new(topic.clone()), LocalRegistry::new(topic.clone()));
    assert!(other.latest("a-value").unwrap().is_none());
    let id = one.register("a-value", r#""string""#).unwrap();
    assert_eq!(other.schema(id).as_deref(), Ok(r#""string""#));
    assert_eq!(other.register("a-value", r#"{"type": "string"}"#), Ok(id));
    assert_eq!(topic.load().unwrap().len(), 1);
    let (key, value) = topic.load().unwrap().remove(0);
    assert_eq!(key, format!("a-value/{id}"));
    let value: Value = serde_json::from_slice(&value).unwrap();
    assert_eq!(value, json!({"subject": "a-value", "id": id.0, "schema": "\"string\""}));
    // A lost registry that is filled again gives the same ids; so must every release.
    assert_eq!(registry().register("b-value", r#""string""#), Ok(id));
    assert_eq!(id, SchemaId(1_962_074_340));
}

#[test]
fn an_incompatible_schema_is_refused_before_anything_is_written() {
    let topic = MemorySchemaTopic::default();
    let registry = LocalRegistry::new(topic.clone());
    let first = r#"{"type": "record", "name": "orders.A", "fields": [{"name": "a", "type": "long"}]}"#;
    let id = registry.register("a-value", first).unwrap();
    let refused = |field: &str| {
        let schema = format!(r#"{{"type": "record", "name": "orders.A", "fields": [{field}]}}"#);
        registry.register("a-value", &schema).unwrap_err().to_string()
    };
    let message = refused(r#"{"name": "a", "type": "long"}, {"name": "b", "type": "int"}"#);
    let expected = format!(
        "the schema for subject a-value is not compatible with its schema {id}: \
         it cannot read earlier records: field b: is new and has no default. "
    );
    assert!(message.starts_with(&expected), "{message}");
    assert!(refused(r#"{"name": "a", "type": "int"}"#).contains("field a: long cannot be read as int"));
    assert_eq!(topic.load().unwrap().len(), 1);
    assert!(matches!(registry.register("a-value", "{"), Err(RegistryError::InvalidSchema { .. })));
}

#[test]
fn each_rule_allows_its_own_changes() {
    let schema = |fields: &str| format!(r#"{{"type": "record", "name": "A", "fields": [{fields}]}}"#);
    let old = schema(r#"{"name": "a", "type": "int"}"#);
    let added = schema(r#"{"name": "a", "type": "int"}, {"name": "b", "type": "int"}"#);
    let added_with_default = schema(r#"{"name": "a", "type": "int"}, {"name": "b", "type": "int", "default": 0}"#);
    let removed = schema(r#"{"name": "c", "type": "int", "default": 0}"#);
    let widened = schema(r#"{"name": "a", "type": "long"}"#);
    use Compatibility::{Backward, Forward, Full, None};
    let allowed = |rule: Compatibility| {
        [&added, &added_with_default, &removed, &widened].map(|new| {
            let registry = LocalRegistry::with_compatibility(MemorySchemaTopic::default(), rule);
            registry.register("s", &old).unwrap();
            registry.register("s", new).is_ok()
        })
    };
    assert_eq!(allowed(None), [true, true, true, true]);
    assert_eq!(allowed(Backward), [false, true, true, true]);
    assert_eq!(allowed(Forward), [true, true, false, false]);
    assert_eq!(allowed(Full), [false, true, false, false]);
}

#[test]
fn transitive_rules_look_at_every_earlier_schema() {
    let schema = |fields: &str| format!(r#"{{"type": "record", "name": "A", "fields": [{fields}]}}"#);
    let steps = [
        schema(r#"{"name": "a", "type": "int"}"#),
        schema(r#"{"name": "a", "type": "int"}, {"name": "b", "type": "int", "default": 0}"#),
        // Reads the second, which always has b, but not the first.
        schema(r#"{"name": "a", "type": "int"}, {"name": "b", "type": "int"}"#),
    ];
    let last = |rule: Compatibility| {
        let registry = LocalRegistry::with_compatibility(MemorySchemaTopic::default(), rule);
        steps.iter().map(|step| registry.register("s", step)).last().unwrap()
    };
    assert!(last(Compatibility::Backward).is_ok());
    assert!(matches!(last(Compatibility::BackwardTransitive), Err(RegistryError::Incompatible { .. })));
}

#[test]
fn one_id_for_two_schemas_is_a_collision() {
    let taken = id_of(r#""string""#).unwrap();
    let value = json!({"subject": "other", "id": taken.0, "schema": "\"long\""}).to_string();
    let topic = MemorySchemaTopic::default();
    topic.append("other/1".into(), value.into()).unwrap();
    let collision = RegistryError::Collision { subject: "a-value".into(), id: taken };
    assert_eq!(LocalRegistry::new(topic).register("a-value", r#""string""#), Err(collision));
}

#[test]
fn a_damaged_record_is_named() {
    let topic = MemorySchemaTopic::default();
    topic.append("a-value/1".into(), "{".into()).unwrap();
    let error = LocalRegistry::new(topic).schema(SchemaId(1)).unwrap_err();
    assert!(matches!(&error, RegistryError::Damaged { key, .. } if key == "a-value/1"), "{error}");
}

/// A topic that counts how often it is read.
#[derive(Clone, Default)]
struct CountedTopic {
    topic: MemorySchemaTopic,
    loads: Arc<Mutex<usize>>,
}

impl SchemaTopic for CountedTopic {
    fn load(&self) -> Result<Vec<(Bytes, Bytes)>, RegistryError> {
        *self.loads.lock().unwrap() += 1;
        self.topic.load()
    }

    fn append(&self, key: Bytes, value: Bytes) -> Result<(), RegistryError> {
        self.topic.append(key, value)
    }
}

#[test]
fn a_known_schema_costs_no_read_and_an_unknown_one_costs_one() {
    let topic = CountedTopic::default();
    let registry = LocalRegistry::new(topic.clone());
    let id = registry.register("a-value", r#""string""#).unwrap();
    let loads = || *topic.loads.lock().unwrap();
    let before = loads();
    registry.schema(id).unwrap();
    registry.register("a-value", r#""string""#).unwrap();
    assert_eq!(loads(), before);
    assert_eq!(registry.schema(SchemaId(1)), Err(RegistryError::UnknownId { id: SchemaId(1) }));
    assert_eq!(loads(), before + 1);
}

fn letters() -> impl Strategy<Value = DeadLetter> {
    let bytes = || proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from));
    let header = (".*", bytes()).prop_map(|(name, value)| Header { name, value });
    let class =
        prop_oneof![Just(FailureClass::Rejected), Just(FailureClass::Undecodable), Just(FailureClass::Panicked)];
    let numbers = (any::<i32>(), any::<i64>(), any::<i64>(), any::<i32>());
    (".*", numbers, bytes(), bytes(), proptest::collection::vec(header, 0..5), class).prop_map(
        |(text, (partition, offset, timestamp_ms, attempts), key, value, headers, class)| DeadLetter {
            reason: text,
            partition,
            offset,
            timestamp_ms,
            attempts,
            key,
            value,
            headers,
            class,
            ..letter()
        },
    )
}

proptest! {
    #[test]
    fn values_survive_the_wire(letter in letters()) {
        let registry = registry();
        let bytes = encoded(&registry, &letter);
        prop_assert_eq!(decoder(&registry).decode(&bytes), Ok(letter));
    }

    #[test]
    fn any_bytes_are_survived(datum in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = DeadLetter::read(&mut Input::new(&datum));
    }
}
