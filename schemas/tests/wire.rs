//! The domain's contracts on the wire: golden bytes, and agreement with another implementation of Avro.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::sync::Arc;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use proptest::prelude::*;
use unchain::contract::{Contract, Datum, Decoder, Encoder, Input, LocalRegistry, SchemaId, SchemaRegistry};
use unchain_schemas::{OrderLine, OrderPlaced, OrderRejected, RejectedBy, TOPICS};

fn order() -> OrderPlaced {
    OrderPlaced {
        order_id: "00001-001".into(),
        customer_id: "00001".into(),
        placed_on: 9_862,
        currency: "USD".into(),
        lines: vec![OrderLine { sku: "CD".into(), quantity: 1, amount_cents: 1_177 }],
    }
}

#[test]
fn an_order_has_its_golden_bytes() {
    let mut bytes = Vec::new();
    Encoder::<OrderPlaced>::with_id(SchemaId(0x0a0b_0c0d)).encode(&order(), &mut bytes).unwrap();
    assert_eq!(bytes, b"\x00\x0a\x0b\x0c\x0d\x1200001-001\x0a00001\x8c\x9a\x01\x06USD\x02\x04CD\x02\xb2\x12\x00");
}

#[test]
fn an_enum_is_its_index() {
    let rejected = OrderRejected {
        order_id: "o".into(),
        customer_id: "c".into(),
        placed_on: 0,
        units: 1,
        amount_cents: -1,
        stage: RejectedBy::Stock,
        reason: "r".into(),
    };
    let mut datum = Vec::new();
    rejected.write(&mut datum);
    assert_eq!(datum, b"\x02o\x02c\x00\x02\x01\x04\x02r");
    assert_eq!(OrderRejected::read(&mut Input::new(&datum)).unwrap(), rejected);
    assert!(OrderRejected::read(&mut Input::new(b"\x02o\x02c\x00\x02\x01\x06\x02r")).is_err());
}

#[test]
fn every_contract_registers_under_an_id_of_its_own() {
    let registry = LocalRegistry::in_memory();
    let ids: BTreeSet<_> =
        TOPICS.iter().map(|topic| registry.register(&topic.subject(), topic.schema).unwrap()).collect();
    assert_eq!(ids.len(), TOPICS.len());
    for topic in TOPICS {
        assert!(!topic.doc.is_empty(), "{} has no doc", topic.schema_name);
    }
}

fn orders() -> impl Strategy<Value = OrderPlaced> {
    let line = (".{0,12}", any::<i32>(), any::<i64>());
    let line = line.prop_map(|(sku, quantity, amount_cents)| OrderLine { sku, quantity, amount_cents });
    (".{0,12}", ".{0,12}", any::<i32>(), "[A-Z]{3}", proptest::collection::vec(line, 0..5)).prop_map(
        |(order_id, customer_id, placed_on, currency, lines)| OrderPlaced {
            order_id,
            customer_id,
            placed_on,
            currency,
            lines,
        },
    )
}

proptest! {
    #[test]
    fn orders_survive_the_wire(order in orders()) {
        let registry = Arc::new(LocalRegistry::in_memory());
        let mut bytes = Vec::new();
        Encoder::register(&*registry).unwrap().encode(&order, &mut bytes).unwrap();
        prop_assert_eq!(Decoder::<OrderPlaced>::new(registry).decode(&bytes).unwrap(), order);
    }

    #[test]
    fn apache_avro_reads_and_writes_the_same_bytes(order in orders()) {
        let schema = Schema::parse_str(OrderPlaced::TOPIC.schema).unwrap();
        let mut ours = Vec::new();
        order.write(&mut ours);
        let mut theirs = Vec::new();
        GenericDatumWriter::builder(&schema).build().unwrap().write_ser(&mut theirs, &order).unwrap();
        prop_assert_eq!(&ours, &theirs);
        let read: OrderPlaced = GenericDatumReader::builder(&schema).build().unwrap().read_deser(&mut &ours[..]).unwrap();
        prop_assert_eq!(read, order);
    }

    #[test]
    fn a_cut_or_altered_order_is_an_error_or_another_order(order in orders(), cut in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = Vec::new();
        order.write(&mut bytes);
        let cut = cut.index(bytes.len());
        prop_assert!(OrderPlaced::read(&mut Input::new(&bytes[..cut])).is_err());
        bytes[cut] = byte;
        let _ = OrderPlaced::read(&mut Input::new(&bytes));
    }
}
