//! Reads every topic of the pipeline from its beginning to its end, committed records only.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use unchain::contract::{Contract, Decoder, SchemaRegistry};
use unchain::kafka::{ClientError, Connection, ReadEvent, Reader, Record};
use unchain_schemas::{EmailSent, MonthRevenue, OrderRejected, OrderShipped};

use super::CheckError;
use super::evidence::Evidence;

/// How long a topic's reading may bring nothing before it is given up.
const SILENCE: Duration = Duration::from_secs(30);

/// Reads topics of one cluster.
pub(super) struct Collector<'a> {
    connection: &'a Connection,
    registry: &'a Arc<dyn SchemaRegistry>,
    partitions: HashMap<String, i32>,
}

impl<'a> Collector<'a> {
    pub fn new(connection: &'a Connection, registry: &'a Arc<dyn SchemaRegistry>) -> Result<Collector<'a>, CheckError> {
        let existing = connection.topics(unchain::app::BROKER_DEADLINE)?;
        let partitions = existing.into_iter().map(|topic| (topic.name, topic.partitions)).collect();
        Ok(Collector { connection, registry, partitions })
    }

    /// Everything that the topics hold now.
    pub fn collect(&self) -> Result<Evidence, CheckError> {
        let mut evidence = Evidence::default();
        self.read(&mut evidence, |evidence, order| evidence.placed(&order))?;
        self.read(&mut evidence, |evidence, order| evidence.verified(&order))?;
        self.read(&mut evidence, |evidence, order| evidence.paid(&order))?;
        self.read(&mut evidence, |evidence, order| evidence.reserved(&order))?;
        self.read(&mut evidence, |evidence, order| evidence.shipped(&order))?;
        self.read(&mut evidence, |evidence, order| evidence.rejected(&order))?;
        self.read(&mut evidence, |evidence, email| evidence.email(&email))?;
        self.read(&mut evidence, |evidence, sale| evidence.sale(&sale))?;
        self.read(&mut evidence, Evidence::dead_letter)?;
        self.read_table(&mut evidence, |evidence| &mut evidence.customers)?;
        self.read_table(&mut evidence, |evidence| &mut evidence.charges)?;
        self.read_table(&mut evidence, |evidence| &mut evidence.allotments)?;
        let mut months = HashMap::new();
        evidence.records += self.last_values(&mut months)?;
        evidence.months = months.into_iter().collect();
        Ok(evidence)
    }

    /// Waits until so many orders have an outcome, a mail and a place in a month's revenue, or for as long as allowed;
    /// what is missing then is for the verdict to say.
    pub fn wait(&self, orders: u64, at_most: Duration) -> Result<bool, CheckError> {
        let started = Instant::now();
        let mut shipped = self.open::<OrderShipped>()?;
        let mut rejected = self.open::<OrderRejected>()?;
        let mut emails = self.open::<EmailSent>()?;
        let mut months = self.open::<MonthRevenue>()?;
        let mut decoder = Decoder::<MonthRevenue>::new(Arc::clone(self.registry));
        let mut sold = HashMap::new();
        let (mut outcomes, mut sent) = (0, 0);
        while started.elapsed() < at_most {
            outcomes += count_new(&mut shipped)? + count_new(&mut rejected)?;
            sent += count_new(&mut emails)?;
            each_new(&mut months, |record| {
                let Some(value) = &record.value else { return Ok(()) };
                let month = decoder.decode(value).map_err(|error| undecodable(&record, &error))?;
                sold.insert(month.month, u64::try_from(month.orders).unwrap_or(0));
                Ok(())
            })?;
            if outcomes >= orders && sent >= orders && sold.values().sum::<u64>() >= orders {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn open<C: Contract>(&self) -> Result<Reader, CheckError> {
        let topic = C::TOPIC.name;
        let partitions = *self.partitions.get(topic).ok_or(CheckError::MissingTopic { topic })?;
        let all: Vec<_> = (0..partitions).map(|partition| (partition, None)).collect();
        Ok(Reader::open(self.connection, topic, &all)?)
    }

    fn read<C: Contract>(
        &self,
        evidence: &mut Evidence,
        mut each: impl FnMut(&mut Evidence, C),
    ) -> Result<(), CheckError> {
        let mut decoder = Decoder::<C>::new(Arc::clone(self.registry));
        self.each_record::<C>(|record| {
            evidence.records += 1;
            let value = record.value.as_deref().unwrap_or_default();
            each(evidence, decoder.decode(value).map_err(|error| undecodable(&record, &error))?);
            Ok(())
        })
    }

    fn read_table<C: Contract>(
        &self,
        evidence: &mut Evidence,
        table: impl Fn(&mut Evidence) -> &mut HashMap<String, C>,
    ) -> Result<(), CheckError> {
        evidence.records += self.last_values(table(evidence))?;
        Ok(())
    }

    /// The last value of each key; returns how many records there were.
    fn last_values<C: Contract>(&self, table: &mut HashMap<String, C>) -> Result<u64, CheckError> {
        let mut last: HashMap<Box<[u8]>, Record> = HashMap::new();
        let mut records = 0;
        self.each_record::<C>(|record| {
            records += 1;
            last.insert(record.key.as_deref().unwrap_or_default().into(), record);
            Ok(())
        })?;
        let mut decoder = Decoder::<C>::new(Arc::clone(self.registry));
        for (key, record) in last {
            let Some(value) = &record.value else { continue };
            let value = decoder.decode(value).map_err(|error| undecodable(&record, &error))?;
            table.insert(String::from_utf8_lossy(&key).into_owned(), value);
        }
        Ok(records)
    }

    fn each_record<C: Contract>(
        &self,
        mut each: impl FnMut(Record) -> Result<(), CheckError>,
    ) -> Result<(), CheckError> {
        let mut failed = None;
        let read = self.open::<C>()?.read_to_end(SILENCE, |record| {
            each(record).map_err(|error| {
                failed = Some(error);
                // Ends the reading; the error kept beside says why.
                ClientError::TimedOut { operation: "reading a topic", waited: Duration::ZERO }
            })
        });
        match failed {
            Some(error) => Err(error),
            None => Ok(read?),
        }
    }
}

fn undecodable(record: &Record, error: &impl ToString) -> CheckError {
    CheckError::Undecodable { record: record.position(), reason: error.to_string() }
}

fn count_new(reader: &mut Reader) -> Result<u64, CheckError> {
    let mut records = 0;
    each_new(reader, |_| {
        records += 1;
        Ok(())
    })?;
    Ok(records)
}

/// The records that are there, and those of the next moment.
fn each_new(reader: &mut Reader, mut each: impl FnMut(Record) -> Result<(), CheckError>) -> Result<(), CheckError> {
    while let ReadEvent::Record(record) = reader.next(Duration::from_millis(25))? {
        each(record)?;
    }
    Ok(())
}
