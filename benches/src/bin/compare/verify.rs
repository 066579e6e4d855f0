//! Reads an output to its end, as its consumers would, and judges it: how many records, none twice, counts without a gap.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use crate::Failure;
use crate::cluster::{Cluster, Isolation, PARTITIONS, client};

/// How long the output may stay silent before its end.
const SILENCE: Duration = Duration::from_secs(20);
/// The place of an order's id in a total: behind the schema's header and the length of 36.
const ORDER_ID: std::ops::Range<usize> = 6..42;

/// What the output of a run holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    pub records: u64,
    /// Records whose order was there already.
    pub duplicates: u64,
    /// Updates of a customer whose count is not the last one's successor.
    pub gaps: u64,
    /// Records under a key that is not the value's customer.
    pub misplaced: u64,
}

impl Verdict {
    /// What is wrong with it, if `expected` records were to come.
    pub fn faults(&self, expected: u64, may_repeat: bool) -> Vec<String> {
        let missing = expected.saturating_sub(self.records - self.duplicates);
        let repeated = if may_repeat { 0 } else { self.duplicates };
        let faults = [
            (missing, "records missing"),
            (repeated, "duplicates"),
            (if may_repeat { 0 } else { self.gaps }, "gaps in a customer's counts"),
            (self.misplaced, "records under a wrong key"),
            (if may_repeat { 0 } else { self.records.saturating_sub(expected) }, "records too many"),
        ];
        faults.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect()
    }
}

/// Reads what is in the topic now. `stateful` tells J2's updates from totals.
pub fn judge(cluster: &Cluster, topic: &str, isolation: Isolation, stateful: bool) -> Result<Verdict, Failure> {
    let mut judge = Judge::default();
    read(cluster, topic, isolation, |key, value| {
        judge.verdict.records += 1;
        if stateful { judge.update(key, value) } else { judge.total(key, value) }
    })?;
    Ok(judge.verdict)
}

#[derive(Default)]
struct Judge {
    verdict: Verdict,
    orders: HashSet<[u8; 16]>,
    counts: HashMap<Vec<u8>, i64>,
}

impl Judge {
    fn total(&mut self, key: &[u8], value: &[u8]) {
        let id = value.get(ORDER_ID).and_then(packed);
        let known = id.is_none_or(|id| !self.orders.insert(id));
        self.verdict.duplicates += u64::from(known);
        // The customer follows the id, behind the length of its text.
        let placed = value.get(ORDER_ID.end + 1..).is_some_and(|rest| rest.starts_with(key));
        self.verdict.misplaced += u64::from(!placed);
    }

    fn update(&mut self, key: &[u8], value: &[u8]) {
        let datum = value.get(5..).unwrap_or_default();
        let customer = varint(datum).and_then(|(length, rest)| rest.split_at_checked(usize::try_from(length).ok()?));
        let Some((customer, rest)) = customer else {
            self.verdict.misplaced += 1;
            return;
        };
        self.verdict.misplaced += u64::from(customer != key);
        let count = varint(rest).map_or(0, |(count, _)| count);
        let last = self.counts.entry(key.to_vec()).or_default();
        self.verdict.gaps += u64::from(count != *last + 1);
        *last = count;
    }
}

/// The 16 bytes of an id in a UUID's text form.
fn packed(id: &[u8]) -> Option<[u8; 16]> {
    let mut digits = id.iter().filter(|byte| **byte != b'-').map(|byte| char::from(*byte).to_digit(16));
    let mut bytes = [0; 16];
    for byte in &mut bytes {
        *byte = u8::try_from(digits.next()?? * 16 + digits.next()??).ok()?;
    }
    Some(bytes)
}

/// Avro's zigzag number at the beginning of a datum, and what follows it.
fn varint(datum: &[u8]) -> Option<(i64, &[u8])> {
    let mut value = 0_u64;
    for (index, byte) in datum.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let number = i64::try_from(value >> 1).ok()?;
            return Some((if value & 1 == 0 { number } else { -number - 1 }, &datum[index + 1..]));
        }
    }
    None
}

/// Hands every record of the topic over, up to the end that it has when a partition is read that far.
fn read(
    cluster: &Cluster,
    topic: &str,
    isolation: Isolation,
    mut record: impl FnMut(&[u8], &[u8]),
) -> Result<(), Failure> {
    let consumer: BaseConsumer = client(&cluster.brokers)
        .set("group.id", "judge")
        .set("isolation.level", isolation.name())
        .set("enable.partition.eof", "true")
        .set("queued.min.messages", "100000")
        .set("fetch.queue.backoff.ms", "5")
        .create()?;
    let mut all = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        all.add_partition_offset(topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&all)?;
    let (mut ended, mut heard) = (HashSet::new(), Instant::now());
    while ended.len() < usize::try_from(PARTITIONS)? {
        match consumer.poll(Duration::from_millis(200)) {
            Some(Ok(message)) => {
                heard = Instant::now();
                record(message.key().unwrap_or_default(), message.payload().unwrap_or_default());
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                ended.insert(partition);
            }
            Some(Err(error)) => return Err(error.into()),
            None if heard.elapsed() > SILENCE => return Err(format!("{topic} fell silent before its end").into()),
            None => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0011aabb-ccdd-4eef-8fff-000000000001";

    fn total_of(id: &str, customer: &str) -> Vec<u8> {
        let mut value = vec![0, 0, 0, 0, 2, 72];
        value.extend_from_slice(id.as_bytes());
        value.push(u8::try_from(customer.len() * 2).unwrap());
        value.extend_from_slice(customer.as_bytes());
        value
    }

    #[test]
    fn a_repeated_order_and_a_wrong_key_are_found() {
        let mut judge = Judge::default();
        judge.total(b"cust-1", &total_of(ID, "cust-1"));
        assert_eq!(judge.verdict, Verdict::default());
        judge.total(b"cust-2", &total_of(ID, "cust-1"));
        assert_eq!(judge.verdict, Verdict { duplicates: 1, misplaced: 1, ..Verdict::default() });
    }

    #[test]
    fn a_gap_in_a_customers_counts_is_found() {
        let update = |count: u8| [&[0, 0, 0, 0, 3, 2, b'c'][..], &[count * 2, 0]].concat();
        let mut judge = Judge::default();
        judge.update(b"c", &update(1));
        judge.update(b"c", &update(2));
        assert_eq!(judge.verdict, Verdict::default());
        judge.update(b"c", &update(4));
        assert_eq!(judge.verdict.gaps, 1);
    }

    #[test]
    fn faults_name_what_exactly_once_forbids() {
        let verdict = Verdict { records: 11, duplicates: 2, gaps: 0, misplaced: 0 };
        assert_eq!(verdict.faults(10, false), ["1 records missing", "2 duplicates", "1 records too many"]);
        assert_eq!(verdict.faults(9, true), Vec::<String>::new());
    }

    #[test]
    fn numbers_are_zigzag() {
        assert_eq!(varint(&[0x80, 0x01, 9]), Some((64, &[9][..])));
        assert_eq!(varint(&[3]), Some((-2, &[][..])));
        assert_eq!(varint(&[0x80]), None);
    }
}
