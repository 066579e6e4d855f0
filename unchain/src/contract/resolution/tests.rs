//! Resolution against the specification's rules, with apache-avro's own resolution as the judge.

#![allow(clippy::unwrap_used)]

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::schema_compatibility::SchemaCompatibility;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::contract::MalformedReason;

fn schema(json: &Json) -> Schema {
    Schema::parse(json).unwrap()
}

fn record(fields: Json) -> Schema {
    schema(&json!({"type": "record", "name": "n.A", "fields": fields}))
}

fn datum(schema: &Schema, value: Value) -> Vec<u8> {
    GenericDatumWriter::builder(schema).build().unwrap().write_value_to_vec(value).unwrap()
}

fn fields(values: &[(&str, Value)]) -> Value {
    Value::Record(values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
}

/// Rewrites a value by ours, and checks that it is what apache-avro resolves it to.
#[track_caller]
fn check(writer: &Schema, reader: &Schema, value: Value) {
    let written = datum(writer, value);
    let mut rewritten = Vec::new();
    Resolution::new(writer, reader).unwrap().rewrite(&written, &mut rewritten).unwrap();
    let ours = GenericDatumReader::builder(reader).build().unwrap().read_value(&mut &rewritten[..]).unwrap();
    let resolving = GenericDatumReader::builder(writer).reader_schema(reader).build().unwrap();
    assert_eq!(ours, resolving.read_value(&mut &written[..]).unwrap());
}

#[track_caller]
fn refused(writer: &Schema, reader: &Schema, message: &str) {
    assert_eq!(Resolution::new(writer, reader).unwrap_err().to_string(), message);
}

#[test]
fn a_new_field_takes_its_default() {
    let writer = record(json!([{"name": "a", "type": "int"}]));
    let reader = record(json!([
        {"name": "b", "type": "string", "default": "x"},
        {"name": "a", "type": "int"},
        {"name": "c", "type": ["null", "long"], "default": null},
        {"name": "d", "type": {"type": "array", "items": "long"}, "default": [1, 2]},
        {"name": "e", "type": {"type": "enum", "name": "E", "symbols": ["X", "Y"]}, "default": "Y"},
        {"name": "f", "type": {"type": "map", "values": "double"}, "default": {"k": 0.5}},
        {"name": "g", "type": {"type": "record", "name": "G", "fields": [{"name": "h", "type": "boolean", "default": true}]},
         "default": {}}
    ]));
    check(&writer, &reader, fields(&[("a", Value::Int(7))]));
}

#[test]
fn bytes_defaults_are_code_points() {
    let writer = record(json!([{"name": "a", "type": "int"}]));
    let reader = record(json!([
        {"name": "a", "type": "int"},
        {"name": "b", "type": "bytes", "default": "\u{ff}A"},
        {"name": "c", "type": {"type": "fixed", "name": "C", "size": 2}, "default": "\u{00}\u{80}"}
    ]));
    let mut rewritten = Vec::new();
    Resolution::new(&writer, &reader).unwrap().rewrite(&[14], &mut rewritten).unwrap();
    assert_eq!(rewritten, [14, 4, 0xff, b'A', 0x00, 0x80]);
}

#[test]
fn a_removed_field_is_read_past() {
    let writer = record(json!([
        {"name": "a", "type": {"type": "array", "items": {"type": "record", "name": "B", "fields": [
            {"name": "x", "type": "string"}]}}},
        {"name": "b", "type": "int"},
        {"name": "c", "type": ["null", {"type": "map", "values": "B"}]}
    ]));
    let reader = record(json!([{"name": "b", "type": "int"}]));
    let item = fields(&[("x", Value::String("one".into()))]);
    let map = Value::Map([("k".to_owned(), item.clone())].into());
    let value =
        [("a", Value::Array(vec![item.clone(), item])), ("b", Value::Int(7)), ("c", Value::Union(1, Box::new(map)))];
    check(&writer, &reader, fields(&value));
}

#[test]
fn numbers_widen() {
    let number = |ty: &str| record(json!([{"name": "a", "type": ty}]));
    let int = || fields(&[("a", Value::Int(-5))]);
    let long = || fields(&[("a", Value::Long(1 << 40))]);
    for wider in ["int", "long", "float", "double"] {
        check(&number("int"), &number(wider), int());
    }
    for wider in ["long", "float", "double"] {
        check(&number("long"), &number(wider), long());
    }
    check(&number("float"), &number("double"), fields(&[("a", Value::Float(0.25))]));
    refused(&number("long"), &number("int"), "field a: long cannot be read as int");
    refused(&number("double"), &number("float"), "field a: double cannot be read as float");
}

#[test]
fn strings_and_bytes_are_read_as_each_other() {
    let text = |ty: &str| record(json!([{"name": "a", "type": ty}]));
    check(&text("string"), &text("bytes"), fields(&[("a", Value::String("x".into()))]));
    check(&text("bytes"), &text("string"), fields(&[("a", Value::Bytes(b"x".to_vec()))]));
}

#[test]
fn aliases_find_renamed_fields_and_records() {
    let writer = record(json!([{"name": "old", "type": "int"}]));
    let reader = schema(&json!({"type": "record", "name": "n.B", "aliases": ["n.A"], "fields": [
        {"name": "new", "type": "long", "aliases": ["old"]}]}));
    let mut rewritten = Vec::new();
    Resolution::new(&writer, &reader).unwrap().rewrite(&[14], &mut rewritten).unwrap();
    assert_eq!(rewritten, [14]);

    let stranger = schema(&json!({"type": "record", "name": "n.B", "fields": [{"name": "old", "type": "int"}]}));
    refused(&writer, &stranger, "record n.A cannot be read as record n.B");
}

#[test]
fn fields_in_another_order_are_put_in_place() {
    let writer =
        record(json!([{"name": "a", "type": "int"}, {"name": "b", "type": "string"}, {"name": "c", "type": "int"}]));
    let reader = record(json!([
        {"name": "c", "type": "int"},
        {"name": "d", "type": "int", "default": 9},
        {"name": "a", "type": "long"}
    ]));
    let value = [("a", Value::Int(1)), ("b", Value::String("x".into())), ("c", Value::Int(3))];
    check(&writer, &reader, fields(&value));
}

#[test]
fn a_value_becomes_a_branch_of_a_union_and_back() {
    let plain = record(json!([{"name": "a", "type": "int"}]));
    let union = record(json!([{"name": "a", "type": ["null", "long"]}]));
    check(&plain, &union, fields(&[("a", Value::Int(1))]));

    // The other way only what is no null has a place.
    let back = Resolution::new(&record(json!([{"name": "a", "type": ["null", "int"]}])), &plain).unwrap();
    assert_eq!(back.gaps()[0].to_string(), "field a: null cannot be read as int");
    let mut rewritten = Vec::new();
    back.rewrite(&[2, 14], &mut rewritten).unwrap();
    assert_eq!(rewritten, [14]);
    let malformed = back.rewrite(&[0], &mut rewritten).unwrap_err();
    assert_eq!(malformed.reason(), &MalformedReason::NoPlace { written: "null".into() });
    assert_eq!(malformed.field(), "a");
}

#[test]
fn an_unknown_symbol_takes_the_enums_default_or_is_a_gap() {
    let symbols = |symbols: Json, default: Json| {
        let mut json = json!({"type": "enum", "name": "E", "symbols": symbols});
        if !default.is_null() {
            json["default"] = default;
        }
        schema(&json)
    };
    let writer = symbols(json!(["X", "Y", "Z"]), Json::Null);
    check(&writer, &symbols(json!(["Z", "X"]), json!("X")), Value::Enum(1, "Y".into()));
    check(&writer, &symbols(json!(["Z", "X"]), json!("X")), Value::Enum(2, "Z".into()));
    let strict = Resolution::new(&writer, &symbols(json!(["Z", "X"]), Json::Null)).unwrap();
    assert_eq!(strict.gaps()[0].to_string(), "E has no symbol Y and no default");
    assert!(strict.rewrite(&[2], &mut Vec::new()).is_err());
}

#[test]
fn a_new_field_without_a_default_is_refused_by_name() {
    let line = |fields: Json| {
        let item = json!({"type": "record", "name": "Line", "fields": fields});
        record(json!([{"name": "lines", "type": {"type": "array", "items": item}}]))
    };
    let writer = line(json!([{"name": "sku", "type": "string"}]));
    let reader = line(json!([{"name": "sku", "type": "string"}, {"name": "price", "type": "long"}]));
    refused(&writer, &reader, "field lines.price: is new and has no default");
}

#[test]
fn a_type_that_holds_itself_is_refused_instead_of_overflowing_the_stack() {
    let list = schema(&json!({"type": "record", "name": "L", "fields": [
        {"name": "a", "type": "int"}, {"name": "next", "type": ["null", "L"]}]}));
    assert!(Resolution::new(&list, &list).unwrap_err().reason.contains("hold themselves"));
}

/// A type, what it may have been before, and a value of the former.
fn evolved() -> impl Strategy<Value = (Json, Json, Value)> {
    let number = any::<i32>().prop_map(Value::Int);
    let text = "[a-z]{0,8}".prop_map(Value::String);
    prop_oneof![
        (prop_oneof![Just("int"), Just("long"), Just("double")], number.clone()).prop_map(|(wider, value)| (
            json!("int"),
            json!(wider),
            value
        )),
        text.clone().prop_map(|value| (json!("string"), json!("string"), value)),
        (number, any::<bool>()).prop_map(|(value, optional)| {
            let reader = if optional { json!(["null", "long"]) } else { json!("long") };
            (json!("int"), reader, value)
        }),
        proptest::collection::vec(text, 0..4).prop_map(|items| {
            let array = json!({"type": "array", "items": "string"});
            (array.clone(), array, Value::Array(items))
        }),
    ]
}

proptest! {
    /// Any mixture of widened, dropped, added and reordered fields resolves as apache-avro resolves it.
    #[test]
    fn evolutions_resolve_as_apache_avro_does(
        types in proptest::collection::vec((evolved(), any::<bool>()), 1..6),
        added in 0_usize..3,
        rotation in 0_usize..6,
    ) {
        let name = |index: usize| format!("f{index}");
        let written: Vec<Json> =
            types.iter().enumerate().map(|(i, ((ty, _, _), _))| json!({"name": name(i), "type": ty})).collect();
        let mut read: Vec<Json> = types.iter().enumerate().filter(|(_, (_, kept))| *kept)
            .map(|(i, ((_, ty, _), _))| json!({"name": name(i), "type": ty})).collect();
        read.extend((0..added).map(|i| json!({"name": format!("new{i}"), "type": "string", "default": "d"})));
        let rotation = rotation % read.len().max(1);
        read.rotate_left(rotation);
        let (writer, reader) = (record(Json::from(written)), record(Json::from(read)));
        let values: Vec<_> = types.iter().enumerate().map(|(i, ((_, _, value), _))| (name(i), value.clone())).collect();
        prop_assert!(SchemaCompatibility::can_read(&writer, &reader).is_ok());
        check(&writer, &reader, Value::Record(values));
    }

    /// Bytes from anywhere are refused or rewritten, never a panic or an endless loop.
    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let writer = record(json!([
            {"name": "a", "type": {"type": "array", "items": ["null", "string"]}},
            {"name": "b", "type": {"type": "map", "values": "double"}},
            {"name": "c", "type": {"type": "enum", "name": "E", "symbols": ["X", "Y"]}}
        ]));
        let reader = record(json!([
            {"name": "c", "type": {"type": "enum", "name": "E", "symbols": ["Y", "X"]}},
            {"name": "a", "type": {"type": "array", "items": ["null", "bytes"]}}
        ]));
        let _ = Resolution::new(&writer, &reader).unwrap().rewrite(&bytes, &mut Vec::new());
    }
}
