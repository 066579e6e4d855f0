//! Reads a log of orders: an Avro object container file of `orders.OrderPlaced`, oldest first.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use thiserror::Error;
use unchain::contract::{Block, ContainerReader, Contract, Input, Reading};
use unchain_schemas::OrderPlaced;

/// The orders of the CDNOW data set; `data/README.md` says where they come from.
static SHIPPED: &[u8] = include_bytes!("../data/cdnow-orders.avro");

/// Why an order log cannot be read, or no further.
#[derive(Debug, Error)]
pub enum OrderLogError {
    #[error("{}: cannot be opened: {source}", .file.display())]
    Open { file: PathBuf, source: io::Error },
    #[error("{}: is not an Avro object container file: {reason}", .file.display())]
    NotAvro { file: PathBuf, reason: String },
    #[error("{}: its records cannot be read as orders: {reason}", .file.display())]
    WrongSchema { file: PathBuf, reason: String },
    /// The file is cut off or altered. The records before this one are good.
    #[error("{}: record {record}: {reason}", .file.display())]
    Damaged {
        file: PathBuf,
        /// The first unreadable record, counted from 1.
        record: u64,
        reason: String,
    },
}

/// The orders of a log, in their order. Holds one block of the file in memory; ends after the first error.
pub struct OrderLog {
    file: PathBuf,
    blocks: ContainerReader<BufReader<Box<dyn Read + Send>>>,
    reading: Reading,
    /// What is left of the block: how many records, and where they begin in its data.
    block: Block,
    offset: usize,
    scratch: Vec<u8>,
    records: u64,
    ended: bool,
}

impl OrderLog {
    /// Opens a file.
    pub fn open(path: impl AsRef<Path>) -> Result<OrderLog, OrderLogError> {
        let path = path.as_ref();
        match File::open(path) {
            Ok(file) => OrderLog::read(path, file),
            Err(source) => Err(OrderLogError::Open { file: path.to_owned(), source }),
        }
    }

    /// The log that is built in: 69,659 orders of 1997 and 1998.
    pub fn shipped() -> Result<OrderLog, OrderLogError> {
        OrderLog::read("cdnow-orders.avro", SHIPPED)
    }

    /// Reads a log from elsewhere; errors say `name` for the file.
    pub fn read(name: impl Into<PathBuf>, source: impl Read + Send + 'static) -> Result<OrderLog, OrderLogError> {
        let file = name.into();
        let blocks = match ContainerReader::open(BufReader::new(Box::new(source) as Box<dyn Read + Send>)) {
            Ok(blocks) => blocks,
            Err(error) => return Err(OrderLogError::NotAvro { file, reason: error.to_string() }),
        };
        let reading = match Reading::between(blocks.schema(), OrderPlaced::TOPIC.schema) {
            Ok(reading) => reading,
            Err(error) => return Err(OrderLogError::WrongSchema { file, reason: error.to_string() }),
        };
        let block = Block { count: 0, data: Vec::new() };
        Ok(OrderLog { file, blocks, reading, block, offset: 0, scratch: Vec::new(), records: 0, ended: false })
    }

    fn next_order(&mut self) -> Result<Option<OrderPlaced>, String> {
        while self.block.count == 0 {
            if self.offset < self.block.data.len() {
                return Err(format!("{} bytes of a block are left over", self.block.data.len() - self.offset));
            }
            let Some(block) = self.blocks.next_block().map_err(|error| error.to_string())? else {
                return Ok(None);
            };
            self.block = block;
            self.offset = 0;
        }
        let mut input = Input::new(&self.block.data[self.offset..]);
        let order = self.reading.next(&mut input, &mut self.scratch).map_err(|error| error.to_string())?;
        self.offset += input.offset();
        self.block.count -= 1;
        self.records += 1;
        Ok(Some(order))
    }
}

impl Iterator for OrderLog {
    type Item = Result<OrderPlaced, OrderLogError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let order = self.next_order();
        self.ended = !matches!(order, Ok(Some(_)));
        let damaged = |reason| OrderLogError::Damaged { file: self.file.clone(), record: self.records + 1, reason };
        order.map_err(damaged).transpose()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::{HashMap, HashSet};

    use apache_avro::{Schema, Writer};

    use super::*;

    /// 1997-01-31, in days since 1970-01-01.
    const LAST_OF_JANUARY_1997: i32 = 9_892;

    fn read(bytes: impl Into<Vec<u8>>) -> Result<Vec<OrderPlaced>, OrderLogError> {
        OrderLog::read("orders.avro", io::Cursor::new(bytes.into()))?.collect()
    }

    #[test]
    fn the_shipped_log_has_the_known_totals() {
        let orders: Vec<_> = OrderLog::shipped().unwrap().map(Result::unwrap).collect();
        assert_eq!(orders.len(), 69_659);
        assert_eq!(orders.iter().map(|order| i64::from(order.units())).sum::<i64>(), 167_881);
        assert_eq!(orders.iter().map(OrderPlaced::total_cents).sum::<i64>(), 250_031_563);
        let january: Vec<_> = orders.iter().filter(|order| order.placed_on <= LAST_OF_JANUARY_1997).collect();
        assert_eq!(january.len(), 8_928);
        assert_eq!(january.iter().map(|order| order.total_cents()).sum::<i64>(), 29_906_017);
        let mut spend = HashMap::<&str, i64>::new();
        for order in &orders {
            *spend.entry(&order.customer_id).or_default() += order.total_cents();
        }
        assert_eq!(spend.len(), 23_570);
        assert_eq!(spend["07592"], 1_399_093);
    }

    #[test]
    fn the_shipped_log_is_in_order_and_its_ids_are_unique() {
        let orders: Vec<_> = OrderLog::shipped().unwrap().map(Result::unwrap).collect();
        assert!(orders.is_sorted_by_key(|order| (order.placed_on, order.customer_id.clone(), order.order_id.clone())));
        assert_eq!(orders.iter().map(|order| &order.order_id).collect::<HashSet<_>>().len(), orders.len());
        assert_eq!(orders[0].order_id, "00001-001");
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = OrderLog::open("no/such/orders.avro").err().unwrap();
        assert!(matches!(&error, OrderLogError::Open { file, .. } if file == Path::new("no/such/orders.avro")));
    }

    #[test]
    fn a_file_that_is_not_avro_is_refused() {
        assert!(matches!(read("00001 19970101 1 11.77"), Err(OrderLogError::NotAvro { .. })));
        assert!(matches!(read(""), Err(OrderLogError::NotAvro { .. })));
    }

    #[test]
    fn a_truncated_file_gives_the_records_before_the_cut() {
        let log = OrderLog::read("orders.avro", &SHIPPED[..SHIPPED.len() / 2]).unwrap();
        let (orders, errors): (Vec<_>, Vec<_>) = log.partition(Result::is_ok);
        assert!(!orders.is_empty());
        let first_lost = orders.len() as u64 + 1;
        let [Err(OrderLogError::Damaged { file, record, .. })] = &errors[..] else { panic!("{errors:?}") };
        assert_eq!((file.as_path(), *record), (Path::new("orders.avro"), first_lost));
    }

    #[test]
    fn a_corrupt_block_is_found() {
        let mut bytes = SHIPPED.to_vec();
        let middle = bytes.len() / 2;
        bytes[middle..middle + 64].fill(0xff);
        assert!(matches!(read(bytes), Err(OrderLogError::Damaged { record, .. }) if record > 1));
    }

    #[test]
    fn records_of_another_kind_are_refused() {
        let schema =
            Schema::parse_str(r#"{"type": "record", "name": "Song", "fields": [{"name": "title", "type": "string"}]}"#);
        let schema = schema.unwrap();
        let file = Writer::new(&schema, Vec::new()).unwrap().into_inner().unwrap();
        let error = read(file).unwrap_err();
        assert!(matches!(&error, OrderLogError::WrongSchema { .. }), "{error}");
        assert_eq!(
            error.to_string(),
            "orders.avro: its records cannot be read as orders: record Song cannot be read as record orders.OrderPlaced"
        );
    }

    #[test]
    fn records_of_an_earlier_schema_are_resolved() {
        let order = OrderLog::shipped().unwrap().next().unwrap().unwrap();
        let mut json: serde_json::Value = serde_json::from_str(OrderPlaced::TOPIC.schema).unwrap();
        json["fields"].as_array_mut().unwrap().retain(|field| field["name"] != "currency");
        let earlier = Schema::parse(&json).unwrap();
        let apache_avro::types::Value::Record(mut fields) = apache_avro::to_value(&order).unwrap() else { panic!() };
        fields.retain(|(name, _)| name != "currency");
        let mut writer = Writer::new(&earlier, Vec::new()).unwrap();
        let value = apache_avro::types::Value::Record(fields).resolve(&earlier).unwrap();
        writer.append_value(value).unwrap();
        assert_eq!(read(writer.into_inner().unwrap()).unwrap(), [order]);
    }
}
