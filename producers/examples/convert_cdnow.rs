//! Converts `CDNOW_master.txt` into the order log that unchain ships: `convert_cdnow CDNOW_master.txt OUTPUT.avro`.
//!
//! The log is an Avro object container file of `orders.OrderPlaced`, in the order of the days. Orders of one day stand
//! by customer number, and one customer's orders of one day as in the source. A second run gives the same bytes.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs, io};

use thiserror::Error;
use unchain::contract::{Codec, ContainerWriter, Contract, Datum};
use unchain_schemas::{OrderLine, OrderPlaced};

/// The source has no articles: every order is one line of compact discs.
const SKU: &str = "CD";

/// Orders of one block. Large blocks compress better; a reader holds one block at a time.
const BLOCK_ORDERS: usize = 4_096;

/// Marks the ends of blocks. Any 16 bytes do; fixed ones keep the file the same at every run.
const SYNC_MARKER: [u8; 16] = *b"unchain-cdnow-01";

#[derive(Debug, Error)]
enum ConvertError {
    #[error("usage: convert_cdnow CDNOW_master.txt OUTPUT.avro")]
    Usage,
    #[error("{}: {source}", .file.display())]
    Io { file: PathBuf, source: io::Error },
    #[error("{}:{line}: {reason}", .file.display())]
    Line { file: PathBuf, line: usize, reason: String },
}

fn main() -> ExitCode {
    match run() {
        Ok(orders) => {
            eprintln!("{orders} orders");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<usize, ConvertError> {
    let mut arguments = env::args_os().skip(1).map(PathBuf::from);
    let (Some(source), Some(output), None) = (arguments.next(), arguments.next(), arguments.next()) else {
        return Err(ConvertError::Usage);
    };
    let text = fs::read_to_string(&source).map_err(|error| ConvertError::Io { file: source.clone(), source: error })?;
    let mut orders = read_orders(&source, &text)?;
    // Stable, and the source stands by customer: so do the orders of one day.
    orders.sort_by_key(|order| order.placed_on);
    number(&mut orders);
    let written = container(&orders).and_then(|file| fs::write(&output, file));
    written.map_err(|error| ConvertError::Io { file: output, source: error })?;
    Ok(orders.len())
}

fn read_orders(file: &Path, text: &str) -> Result<Vec<OrderPlaced>, ConvertError> {
    let lines = text.lines().enumerate().skip(1);
    let order = |(index, line): (usize, &str)| {
        order(line).map_err(|reason| ConvertError::Line { file: file.to_owned(), line: index + 1, reason })
    };
    lines.map(order).collect()
}

/// Reads one line: customer, date, number of CDs, dollar value.
fn order(line: &str) -> Result<OrderPlaced, String> {
    let columns: Vec<_> = line.split_whitespace().collect();
    let [customer, date, quantity, dollars] = columns[..] else {
        return Err(format!("{} columns instead of 4", columns.len()));
    };
    if customer.len() != 5 || !customer.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(format!("customer {customer:?} is not five digits"));
    }
    let quantity = quantity.parse().ok().filter(|quantity| *quantity > 0);
    let line = OrderLine {
        sku: SKU.to_owned(),
        quantity: quantity.ok_or_else(|| format!("quantity {:?} is not a positive number", columns[2]))?,
        amount_cents: cents(dollars).ok_or_else(|| format!("value {dollars:?} is not dollars and two decimals"))?,
    };
    Ok(OrderPlaced {
        order_id: String::new(),
        customer_id: customer.to_owned(),
        placed_on: days(date).ok_or_else(|| format!("date {date:?} is not YYYYMMDD"))?,
        currency: "USD".to_owned(),
        lines: vec![line],
    })
}

fn cents(dollars: &str) -> Option<i64> {
    let (whole, decimals) = dollars.split_once('.')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
    if decimals.len() != 2 || !digits(whole) || !digits(decimals) {
        return None;
    }
    format!("{whole}{decimals}").parse().ok()
}

/// Days since 1970-01-01 of a date of the Gregorian calendar from 1970 on.
fn days(date: &str) -> Option<i32> {
    if date.len() != 8 || !date.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let (year, month, day): (i32, usize, i32) =
        (date[..4].parse().ok()?, date[4..6].parse().ok()?, date[6..].parse().ok()?);
    let is_leap = |year: i32| (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let february = if is_leap(year) { 29 } else { 28 };
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    if year < 1970 || !(1..=12).contains(&month) || !(1..=months[month - 1]).contains(&day) {
        return None;
    }
    let years: i32 = (1970..year).map(|year| if is_leap(year) { 366 } else { 365 }).sum();
    Some(years + months[..month - 1].iter().sum::<i32>() + day - 1)
}

/// Gives each order its id: the customer, and which of the customer's orders it is.
fn number(orders: &mut [OrderPlaced]) {
    let mut counts = HashMap::<String, u32>::new();
    for order in orders {
        let count = counts.entry(order.customer_id.clone()).or_default();
        *count += 1;
        order.order_id = format!("{}-{count:03}", order.customer_id);
    }
}

fn container(orders: &[OrderPlaced]) -> io::Result<Vec<u8>> {
    let mut file = ContainerWriter::new(Vec::new(), OrderPlaced::TOPIC.schema, SYNC_MARKER, Codec::Deflate)?;
    for block in orders.chunks(BLOCK_ORDERS) {
        let mut data = Vec::new();
        block.iter().for_each(|order| order.write(&mut data));
        file.write_block(block.len() as u64, &data)?;
    }
    Ok(file.into_inner())
}
