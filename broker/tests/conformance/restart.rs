//! What a data directory keeps over a restart of the development broker. Apache Kafka is not ours to restart.

use rdkafka::Offset;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{CommitMode, Consumer};
use unchain_broker::{Broker, BrokerConfig};

use crate::client::{Sender, committed_values, consumer, publish};
use crate::offsets::committed;
use crate::site::Site;

fn start(data_dir: &std::path::Path) -> (Broker, Site) {
    let config = BrokerConfig { data_dir: Some(data_dir.to_owned()), ..BrokerConfig::default() };
    let broker = Broker::start(config).unwrap();
    let site = Site { bootstrap: broker.bootstrap_servers().to_string() };
    (broker, site)
}

#[test]
fn records_offsets_and_open_transactions_survive() {
    let data_dir = tempfile::tempdir().unwrap();
    let (broker, site) = start(data_dir.path());
    let (topic, group, transactional_id) = (site.topic(1, &[]), site.fresh("group"), site.fresh("tx"));
    publish(&site, &topic, ["a", "b"]);
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(&topic, 0, Offset::Offset(1)).unwrap();
    consumer(&site, &group, &[]).commit(&offsets, CommitMode::Sync).unwrap();
    let done = Sender::in_transaction(&site, &site.fresh("done"), &[]);
    done.send_all(&topic, ["c"]);
    done.commit().unwrap();
    let open = Sender::in_transaction(&site, &transactional_id, &[]);
    open.send_all(&topic, ["open"]);
    open.deliver();
    drop(broker);

    let (_broker, site) = start(data_dir.path());
    assert_eq!(committed(&consumer(&site, &group, &[]), &topic).0, Offset::Offset(1));
    assert_eq!(committed_values(&site, &topic), ["a", "b", "c"]);
    let heir = Sender::in_transaction(&site, &transactional_id, &[]);
    heir.send_all(&topic, ["d"]);
    heir.commit().unwrap();
    assert_eq!(committed_values(&site, &topic), ["a", "b", "c", "d"], "the heir aborted what was open");
}
