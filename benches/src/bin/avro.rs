//! Compares Avro codecs on one order with three lines: ours as shipped, apache-avro by serde and by value, serde_avro_fast.
//!
//! One thread; the contenders take turns within each round, so that a disturbance meets all of them alike. A turn is
//! shorter than a scheduler's slice, so that on a busy machine most turns are still undisturbed and the median is sound.

use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use clap::Parser;
use comfy_table::Table;
use unchain::contract::{Contract, Decoder, Encoder, LocalRegistry, SchemaRegistry};
use unchain_schemas::{OrderLine, OrderPlaced};

/// Bytes of the wire format before the datum.
const HEADER_BYTES: usize = 5;

#[derive(Parser)]
#[command(about = "Nanoseconds to decode and encode an order, by Avro codec")]
struct Args {
    /// Rounds, in which every contender has one turn.
    #[arg(long, default_value_t = 2_000)]
    rounds: usize,
    /// Orders of one turn.
    #[arg(long, default_value_t = 500)]
    orders: usize,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// One way to encode or decode, run on one order.
struct Contender<'a> {
    what: &'static str,
    name: &'static str,
    run: Box<dyn FnMut() + 'a>,
    nanoseconds: Vec<f64>,
}

impl<'a> Contender<'a> {
    fn new(what: &'static str, name: &'static str, run: impl FnMut() + 'a) -> Contender<'a> {
        Contender { what, name, run: Box::new(run), nanoseconds: Vec::new() }
    }

    fn turn(&mut self, orders: usize) {
        let start = Instant::now();
        for _ in 0..orders {
            (self.run)();
        }
        self.nanoseconds.push(start.elapsed().as_nanos() as f64 / orders as f64);
    }

    /// The 10th percentile, the median and the 90th percentile of the rounds.
    fn spread(&mut self) -> [f64; 3] {
        self.nanoseconds.sort_by(f64::total_cmp);
        let last = self.nanoseconds.len() - 1;
        [self.nanoseconds[last / 10], self.nanoseconds[last / 2], self.nanoseconds[last * 9 / 10]]
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let order = order();
    let topic = OrderPlaced::TOPIC;
    let schema = Schema::parse_str(topic.schema)?;
    let fast_schema: serde_avro_fast::Schema = topic.schema.parse()?;

    let registry = Arc::new(LocalRegistry::in_memory());
    let encoder = Encoder::<OrderPlaced>::register(&*registry)?;
    let older_id = registry.register("older-value", &without_currency(topic.schema)?)?;
    let mut value = Vec::new();
    encoder.encode(&order, &mut value)?;
    let datum = &value[HEADER_BYTES..];
    let older = older_value(&order, older_id.0, &without_currency(topic.schema)?)?;

    let mut decoder = Decoder::<OrderPlaced>::new(Arc::clone(&registry) as Arc<dyn SchemaRegistry>);
    let mut resolving = Decoder::<OrderPlaced>::new(registry);
    let reader = GenericDatumReader::builder(&schema).build()?;
    let writer = GenericDatumWriter::builder(&schema).build()?;
    let unchecked = GenericDatumWriter::builder(&schema).validate(false).build()?;
    let mut fast = serde_avro_fast::ser::SerializerConfig::new(&fast_schema);
    let [mut ours_out, mut serde_out, mut value_out, mut fast_out] = [const { Vec::<u8>::new() }; 4];

    // Every way must give the same order and the same bytes, or the figures mean nothing.
    assert_eq!(decoder.decode(&value)?, order);
    assert_eq!(resolving.decode(&older)?, order);
    assert_eq!(reader.read_deser::<OrderPlaced>(&mut &*datum)?, order);
    assert_eq!(serde_avro_fast::from_datum_slice::<OrderPlaced>(datum, &fast_schema)?, order);
    assert_eq!(serde_avro_fast::to_datum_vec(&order, &mut fast)?, datum);
    assert_eq!(writer.write_ser_to_vec(&order)?, datum);

    let mut contenders = [
        Contender::new("decode", "unchain", || drop(black_box(decoder.decode(black_box(&value)).expect("decodes")))),
        Contender::new("decode", "unchain, resolving an older schema", || {
            drop(black_box(resolving.decode(black_box(&older)).expect("decodes")));
        }),
        Contender::new("decode", "serde_avro_fast, owned", || {
            let order: OrderPlaced =
                serde_avro_fast::from_datum_slice(black_box(datum), &fast_schema).expect("decodes");
            drop(black_box(order));
        }),
        Contender::new("decode", "apache-avro, serde", || {
            let order: OrderPlaced = reader.read_deser(&mut black_box(datum)).expect("decodes");
            drop(black_box(order));
        }),
        Contender::new("decode", "apache-avro, value", || {
            let order = reader.read_value(&mut black_box(datum)).expect("decodes");
            drop(black_box(apache_avro::from_value::<OrderPlaced>(&order).expect("decodes")));
        }),
        Contender::new("encode", "unchain", || {
            ours_out.clear();
            encoder.encode(black_box(&order), &mut ours_out).expect("encodes");
            black_box(&ours_out);
        }),
        Contender::new("encode", "serde_avro_fast", || {
            let mut out = std::mem::take(&mut fast_out);
            out.clear();
            fast_out = serde_avro_fast::to_datum(black_box(&order), out, &mut fast).expect("encodes");
            black_box(&fast_out);
        }),
        Contender::new("encode", "apache-avro, serde", || {
            serde_out.clear();
            unchecked.write_ser(&mut serde_out, black_box(&order)).expect("encodes");
            black_box(&serde_out);
        }),
        Contender::new("encode", "apache-avro, value", || {
            value_out.clear();
            let order = apache_avro::to_value(black_box(&order)).expect("encodes");
            let order = order.resolve(&schema).expect("encodes");
            unchecked.write_value(&mut value_out, order).expect("encodes");
            black_box(&value_out);
        }),
    ];
    // The first round warms caches and is not counted.
    for round in 0..=args.rounds.max(1) {
        for contender in &mut contenders {
            contender.turn(args.orders.max(1));
            if round == 0 {
                contender.nanoseconds.clear();
            }
        }
    }
    report(&mut contenders, datum.len(), args.json);
    Ok(())
}

fn report(contenders: &mut [Contender<'_>], datum_bytes: usize, json: bool) {
    let mut table = Table::new();
    table.set_header(["", "codec", "median ns", "p10", "p90", "orders/s"]);
    let mut rows = Vec::new();
    for contender in contenders {
        let [p10, median, p90] = contender.spread();
        table.add_row([
            contender.what.to_owned(),
            contender.name.to_owned(),
            format!("{median:.0}"),
            format!("{p10:.0}"),
            format!("{p90:.0}"),
            format!("{:.2} M", 1e3 / median),
        ]);
        rows.push(serde_json::json!({
            "what": contender.what, "codec": contender.name,
            "median_ns": median, "p10_ns": p10, "p90_ns": p90,
        }));
    }
    if json {
        println!("{}", serde_json::json!({ "datum_bytes": datum_bytes, "results": rows }));
    } else {
        println!("One order with three lines, {datum_bytes} bytes of Avro, one thread.\n{table}");
    }
}

fn order() -> OrderPlaced {
    let line = |sku: &str, quantity, amount_cents| OrderLine { sku: sku.into(), quantity, amount_cents };
    OrderPlaced {
        order_id: "07592-042".into(),
        customer_id: "07592".into(),
        placed_on: 9_862,
        currency: "USD".into(),
        lines: vec![line("CD-000117", 1, 1_177), line("CD-002050", 2, 2_998), line("BOX-00004", 1, 10_499)],
    }
}

/// The contract's schema before the field `currency` was added.
fn without_currency(schema: &str) -> Result<String, serde_json::Error> {
    let mut schema: serde_json::Value = serde_json::from_str(schema)?;
    if let Some(fields) = schema["fields"].as_array_mut() {
        fields.retain(|field| field["name"] != "currency");
    }
    serde_json::to_string(&schema)
}

fn older_value(order: &OrderPlaced, id: u32, schema: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let schema = Schema::parse_str(schema)?;
    let apache_avro::types::Value::Record(mut fields) = apache_avro::to_value(order)? else {
        return Err("an order is a record".into());
    };
    fields.retain(|(name, _)| name != "currency");
    let value = apache_avro::types::Value::Record(fields).resolve(&schema)?;
    let mut bytes = vec![0];
    bytes.extend_from_slice(&id.to_be_bytes());
    bytes.extend(GenericDatumWriter::builder(&schema).build()?.write_value_to_vec(value)?);
    Ok(bytes)
}
