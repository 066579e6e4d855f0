//! Many records under each codec: what is read is what was written, in the order of each partition.

use rdkafka::message::Message;
use rdkafka::producer::BaseRecord;

use crate::client::{Sender, read_all};
use crate::site::Site;

pub fn records_survive_uncompressed(site: &Site) {
    survive(site, "none", 200_000);
}

pub fn records_survive_lz4(site: &Site) {
    survive(site, "lz4", 200_000);
}

pub fn records_survive_gzip(site: &Site) {
    survive(site, "gzip", 50_000);
}

pub fn records_survive_snappy(site: &Site) {
    survive(site, "snappy", 50_000);
}

pub fn records_survive_zstd(site: &Site) {
    survive(site, "zstd", 50_000);
}

const PARTITIONS: i32 = 3;

fn key(index: usize) -> String {
    format!("customer {}", index % 997)
}

fn value(index: usize) -> String {
    format!("{index}: an order of {} pieces", index.wrapping_mul(2_654_435_761) % 1_000_003)
}

fn survive(site: &Site, codec: &str, count: usize) {
    let topic = site.topic(PARTITIONS, &[]);
    let sender = Sender::new(&site.config(), &[("compression.type", codec), ("linger.ms", "20")]);
    for index in 0..count {
        let (key, value) = (key(index), value(index));
        sender.send(
            BaseRecord::to(&topic).partition(index as i32 % PARTITIONS).key(key.as_str()).payload(value.as_bytes()),
        );
        if index % 10_000 == 0 {
            sender.producer.poll(std::time::Duration::ZERO);
        }
    }
    assert_eq!(sender.deliver().len(), count);

    let records = read_all(site, &topic, PARTITIONS, "read_uncommitted");
    assert_eq!(records.len(), count);
    let mut next = [0_usize, 1, 2];
    for record in &records {
        let partition = record.partition() as usize;
        let index = next[partition];
        assert_eq!(record.offset() as usize, index / PARTITIONS as usize);
        assert_eq!(record.key(), Some(key(index).as_bytes()));
        assert_eq!(record.payload(), Some(value(index).as_bytes()));
        next[partition] += PARTITIONS as usize;
    }
}
