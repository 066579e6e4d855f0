//! Transactions (KIP-98): what readers see of them, and who may write in them.

use rdkafka::Offset;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::Producer;

use crate::client::{Sender, all_values, assign, committed_values, consumer, publish, read, values};
use crate::site::{PATIENCE, Site, until};

pub fn committed_records_are_visible(site: &Site) {
    let topic = site.topic(1, &[]);
    let sender = Sender::in_transaction(site, &site.fresh("tx"), &[]);
    sender.send_all(&topic, ["a", "b"]);
    sender.commit().unwrap();
    assert_eq!(committed_values(site, &topic), ["a", "b"]);
    sender.producer.begin_transaction().unwrap();
    sender.send_all(&topic, ["c"]);
    sender.commit().unwrap();
    assert_eq!(committed_values(site, &topic), ["a", "b", "c"]);
}

pub fn aborted_records_are_not(site: &Site) {
    let topic = site.topic(1, &[]);
    let sender = Sender::in_transaction(site, &site.fresh("tx"), &[]);
    for (round, values) in [["a", "b"], ["c", "d"], ["e", "f"]].iter().enumerate() {
        sender.send_all(&topic, *values);
        sender.deliver();
        if round == 1 {
            sender.commit().unwrap()
        } else {
            sender.abort()
        }
        sender.producer.begin_transaction().unwrap();
    }
    assert_eq!(committed_values(site, &topic), ["c", "d"]);
    assert_eq!(all_values(site, &topic), ["a", "b", "c", "d", "e", "f"]);
    sender.abort();
}

/// The last stable offset: nothing behind an open transaction's first record is shown to read_committed.
pub fn an_open_transaction_holds_readers_back(site: &Site) {
    let topic = site.topic(1, &[]);
    publish(site, &topic, ["before"]);
    let sender = Sender::in_transaction(site, &site.fresh("tx"), &[]);
    sender.send_all(&topic, ["inside"]);
    sender.deliver();
    publish(site, &topic, ["after"]);
    assert_eq!(committed_values(site, &topic), ["before"]);
    assert_eq!(all_values(site, &topic), ["before", "inside", "after"]);

    // A reader that waits at the last stable offset goes on when it moves.
    let waiting = consumer(site, &site.fresh("group"), &[("isolation.level", "read_committed")]);
    assign(&waiting, &topic, Offset::Beginning);
    assert_eq!(values(&read(&waiting, 1)), ["before"]);
    sender.commit().unwrap();
    assert_eq!(values(&read(&waiting, 2)), ["inside", "after"]);
}

pub fn transactions_are_read_in_the_order_of_offsets(site: &Site) {
    let topic = site.topic(1, &[]);
    let slow = Sender::in_transaction(site, &site.fresh("slow"), &[]);
    let quick = Sender::in_transaction(site, &site.fresh("quick"), &[]);
    let failed = Sender::in_transaction(site, &site.fresh("failed"), &[]);
    for (sender, value) in [(&slow, "slow 1"), (&quick, "quick 1"), (&failed, "failed"), (&slow, "slow 2")] {
        sender.send_all(&topic, [value]);
        sender.deliver();
    }
    quick.commit().unwrap();
    failed.abort();
    assert_eq!(committed_values(site, &topic), [""; 0], "the slow one began first");
    slow.commit().unwrap();
    assert_eq!(committed_values(site, &topic), ["slow 1", "quick 1", "slow 2"]);
}

pub fn markers_occupy_offsets(site: &Site) {
    let topic = site.topic(1, &[]);
    let consumer = consumer(site, &site.fresh("group"), &[]);
    let high_watermark = || consumer.fetch_watermarks(&topic, 0, PATIENCE).unwrap().1;
    let sender = Sender::in_transaction(site, &site.fresh("tx"), &[]);
    sender.send_all(&topic, ["a", "b", "c"]);
    sender.commit().unwrap();
    until("the commit's marker", || (high_watermark() == 4).then_some(()));
    sender.flush();
    sender.producer.begin_transaction().unwrap();
    sender.send_all(&topic, ["d"]);
    assert_eq!(sender.deliver(), [(0, 4)]);
    sender.abort();
    until("the abort's marker", || (high_watermark() == 6).then_some(()));
}

fn is_fatal(result: KafkaResult<()>) -> bool {
    match result {
        Err(KafkaError::Transaction(error)) => error.is_fatal(),
        other => panic!("not refused by the transaction: {other:?}"),
    }
}

pub fn a_new_producer_fences_the_old_at_once(site: &Site) {
    let (topic, transactional_id) = (site.topic(1, &[]), site.fresh("tx"));
    let old = Sender::in_transaction(site, &transactional_id, &[]);
    old.send_all(&topic, ["old"]);
    old.deliver();
    let new = Sender::in_transaction(site, &transactional_id, &[]);
    new.send_all(&topic, ["new"]);
    new.commit().unwrap();
    assert!(is_fatal(old.commit()), "a fenced producer can only give up");
    assert_eq!(committed_values(site, &topic), ["new"]);

    // Fenced between two transactions, it learns so by its next record.
    let newest = Sender::in_transaction(site, &transactional_id, &[]);
    newest.abort();
    new.producer.begin_transaction().unwrap();
    new.send_all(&topic, ["lost"]);
    assert!(is_fatal(new.commit()));
    assert_eq!(committed_values(site, &topic), ["new"]);
}

/// Apache Kafka looks for overdue transactions every ten seconds.
pub fn a_hung_transaction_is_aborted_and_fenced(site: &Site) {
    let topic = site.topic(1, &[]);
    let hung = Sender::in_transaction(site, &site.fresh("tx"), &[("transaction.timeout.ms", "1000")]);
    hung.send_all(&topic, ["hung"]);
    hung.deliver();
    publish(site, &topic, ["after"]);
    until("the transaction to be aborted", || (committed_values(site, &topic) == ["after"]).then_some(()));
    assert!(is_fatal(hung.commit()));
    assert_eq!(committed_values(site, &topic), ["after"]);
}
