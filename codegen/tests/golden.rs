//! The Rust that comes of a schema with one field of every kind: as text, and compiled and run.
//!
//! `UPDATE_EXPECT=1 cargo test -p unchain-codegen --test golden` writes `golden/contracts.rs` anew.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use expect_test::expect_file;
use unchain::contract::{Bytes, Contract, Datum, Input};

include!("golden/contracts.rs");

#[test]
fn the_generated_code_is_as_expected() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/schemas");
    expect_file!["golden/contracts.rs"].assert_eq(&unchain_codegen::contracts_of(&folder).unwrap());
}

#[test]
fn missing_fields_take_the_schemas_defaults() {
    let sink: KitchenSink = serde_json::from_str(r#"{"id": 7, "placedOn": 1}"#).unwrap();
    let expected = KitchenSink {
        id: 7,
        r#type: "a \"new\" one".into(),
        placed_on: 1,
        self_: true,
        ratio: 0.5,
        share: 0.0,
        raw: Bytes::from_static(b"\xff"),
        note: None,
        last: Some([0, 1, 2, 3]),
        prices: [].into(),
        places: vec![Place { name: "here".into(), floor: -1 }],
        home: None,
        state: State::DoneWell,
    };
    assert_eq!(sink, expected);
    assert_eq!(sink.key(), "7");
}

#[test]
fn every_kind_of_field_survives_its_encoding() {
    let mut sink: KitchenSink = serde_json::from_str(r#"{"id": -7, "placedOn": 1}"#).unwrap();
    sink.prices = [("a".to_owned(), Some(1.5)), ("b".to_owned(), None)].into();
    sink.home = Some(Place { name: "there".into(), floor: 2 });
    for last in [Some([9; 4]), None] {
        sink.last = last;
        let mut datum = Vec::new();
        sink.write(&mut datum);
        let mut input = Input::new(&datum);
        assert_eq!(KitchenSink::read(&mut input).unwrap(), sink);
        assert_eq!(input.remaining(), 0);
    }
}
