//! What a developer reads in the build's output when a schema folder is wrong, and what comes of a right one.

#![allow(clippy::unwrap_used)]

use std::fs;

use unchain_codegen::contracts_of;

/// The record of most cases, with its fields.
fn order(fields: &str) -> String {
    format!(r#"{{"type": "record", "name": "Order", "namespace": "shop", "fields": [{fields}]}}"#)
}

fn topic(key: &str) -> String {
    format!("[topics.\"shop.orders\"]\nschema = \"shop.Order\"\nkey = \"{key}\"\npartitions = 3\nretention = \"7d\"\n")
}

fn generated(schema: &str, topics: &str) -> Result<String, String> {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("schemas");
    fs::create_dir_all(folder.join("shop")).unwrap();
    fs::write(folder.join("shop/order.avsc"), schema).unwrap();
    fs::write(folder.join("topics.toml"), topics).unwrap();
    contracts_of(&folder).map_err(|error| error.to_string())
}

#[track_caller]
fn wrong_schema(schema: &str, message: &str) {
    assert_eq!(generated(schema, &topic("id")).unwrap_err(), format!("schemas/shop/order.avsc: {message}"));
}

#[track_caller]
fn wrong_field(ty: &str, message: &str) {
    let schema = order(&format!(r#"{{"name": "id", "type": "string"}}, {{"name": "x", "type": {ty}}}"#));
    wrong_schema(&schema, &format!("shop.Order.x: {message}"));
}

#[track_caller]
fn wrong_topics(topics: &str, message: &str) {
    let schema = order(r#"{"name": "id", "type": "string"}, {"name": "x", "type": "double"}"#);
    assert_eq!(generated(&schema, topics).unwrap_err(), format!("schemas/topics.toml: {message}"));
}

#[test]
fn fields_that_have_no_rust_type_are_named() {
    wrong_field(
        r#"["int", "string"]"#,
        "a union of other than null and one type has no Rust counterpart here; use one optional field for each branch",
    );
    wrong_field(r#""null""#, "null alone says nothing; make it a union of null and a type");
    wrong_field(
        r#""Line""#,
        "type shop.Line is defined in no schema file; write its full name (namespace.Name) or add its schema",
    );
    wrong_field(
        r#"{"type": "array", "items": ["int", "null"]}"#,
        "null is the union's second branch; put null first inside arrays and maps",
    );
    wrong_field(r#"{"type": "array"}"#, "the attribute `items` is missing; add it");
    wrong_field("7", "7 is not a type; write a type's name or definition");
}

#[test]
fn defaults_of_another_type_are_refused() {
    wrong_schema(
        &order(r#"{"name": "id", "type": "string"}, {"name": "x", "type": "int", "default": "1"}"#),
        "shop.Order.x: the default \"1\" is not of the field's type; correct it (the default of a union is of its first branch)",
    );
}

#[test]
fn types_that_cannot_be_are_named() {
    wrong_schema("{", "is not JSON: EOF while parsing an object at line 1 column 1");
    wrong_schema(r#""string""#, "top level: is not a named type; write a record, an enum or a fixed");
    wrong_schema(&order(""), "shop.Order: has no fields; give it at least one");
    wrong_schema(
        &order(r#"{"name": "orderId", "type": "string"}, {"name": "order_id", "type": "string"}"#),
        "shop.Order.order_id: another field has the same Rust name; rename one of the two",
    );
    wrong_schema(
        &order(r#"{"name": "id", "type": "string"}, {"name": "parent", "type": ["null", "Order"]}"#),
        "shop.Order: the type holds itself (shop.Order -> shop.Order); refer to the inner record by its key instead",
    );
    wrong_schema(
        r#"{"type": "enum", "name": "Option", "symbols": ["A"]}"#,
        "Option: hides a name of Rust's prelude; choose another name",
    );
}

#[test]
fn topics_that_do_not_fit_their_records_are_named() {
    wrong_topics(
        &topic("customer"),
        "topic shop.orders: key customer is not a field of shop.Order; choose one of: id, x",
    );
    wrong_topics(&topic("x"), "topic shop.orders: key x cannot be a key; choose a string, int or long field");
    wrong_topics(&topic("id").replace("= 3", "= 0"), "topic shop.orders: has 0 partitions; give it at least 1");
    wrong_topics(
        &topic("id").replace("7d", "a week"),
        "topic shop.orders: retention a week is not a time; write \"forever\", \"7d\", \"12h\", \"30m\"",
    );
    wrong_topics(
        &topic("id").replace("shop.Order", "shop.Orders"),
        "topic shop.orders: schema shop.Orders is not a record of any schema file; write the record's full name (namespace.Name)",
    );
    wrong_topics(
        &format!("{}{}", topic("id"), topic("id").replace("shop.orders", "shop.others")),
        "topic shop.others: schema shop.Order is already that of topic shop.orders; \
         give each topic a record of its own, so that a type names its topic",
    );
    let misspelt = generated(&order(r#"{"name": "id", "type": "string"}"#), &topic("id").replace("key", "keys"));
    assert!(misspelt.unwrap_err().contains("unknown field `keys`"));
}

#[test]
fn names_and_defaults_become_rust() {
    let schema = order(
        r#"{"name": "id", "type": "long"},
           {"name": "type", "type": "string", "default": "\"new\""},
           {"name": "placedOn", "type": {"type": "int", "logicalType": "date"}, "doc": "The day."},
           {"name": "note", "type": ["null", "bytes"], "default": null},
           {"name": "prices", "type": {"type": "map", "values": "double"}, "default": {"a": 1}},
           {"name": "state", "type": {"type": "enum", "name": "State", "symbols": ["OPEN", "DONE_WELL"]}, "default": "DONE_WELL"},
           {"name": "last", "type": [{"type": "fixed", "name": "Hash", "size": 4}, "null"]}"#,
    );
    let code = generated(&schema, &topic("id")).unwrap();
    for expected in [
        "pub r#type: String,",
        "\"\\\"new\\\"\".to_owned()",
        "    /// The day.\n    #[serde(rename = \"placedOn\")]\n    pub placed_on: i32,",
        "#[serde(default)]\n    pub note: Option<::unchain::contract::Bytes>,",
        "::std::collections::BTreeMap::from([(\"a\".to_owned(), 1.0)])",
        "#[serde(rename = \"DONE_WELL\")]\n    DoneWell,",
        "State::DoneWell",
        "pub type Hash = [u8; 4];",
        "pub last: Option<Hash>,",
        "write_null_last(&self.last, out);",
        "::std::borrow::Cow::Owned(self.id.to_string())",
        "Retention::For(::std::time::Duration::from_secs(604800))",
    ] {
        assert!(code.contains(expected), "{expected}\nis missing from\n{code}");
    }
}
