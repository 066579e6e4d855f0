//! Members with a `group.instance.id` (KIP-345).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::producer::BaseRecord;
use rdkafka::types::RDKafkaErrorCode;

use crate::client::{Sender, consumer_config, poll};
use crate::sharing::share_of;
use crate::site::{Site, until};

/// Counts a member's rebalances.
#[derive(Clone, Default)]
struct Rebalances(Arc<AtomicUsize>);

impl ClientContext for Rebalances {}

impl ConsumerContext for Rebalances {
    fn post_rebalance(&self, _: &BaseConsumer<Self>, _: &Rebalance<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn member(site: &Site, group: &str, topic: &str, instance_id: &str) -> (BaseConsumer<Rebalances>, Rebalances) {
    let rebalances = Rebalances::default();
    let settings = [("group.instance.id", instance_id), ("partition.assignment.strategy", "range")];
    let config = consumer_config(site, group, &settings);
    let member: BaseConsumer<Rebalances> = config.create_with_context(rebalances.clone()).unwrap();
    member.subscribe(&[topic]).unwrap();
    (member, rebalances)
}

/// Polls both until they hold one partition each.
fn settle(one: &BaseConsumer<Rebalances>, two: &BaseConsumer<Rebalances>) {
    until("the members to have a partition each", || {
        poll(one, Duration::from_millis(20));
        poll(two, Duration::from_millis(20));
        (share_of(one).len() == 1 && share_of(two).len() == 1).then_some(())
    });
}

pub fn a_restart_causes_no_rebalance(site: &Site) {
    let (topic, group) = (site.topic(2, &[]), site.fresh("group"));
    let (one, _) = member(site, &group, &topic, "one");
    let (two, rebalances_of_two) = member(site, &group, &topic, "two");
    settle(&one, &two);
    let (share_of_one, rebalances) = (share_of(&one), rebalances_of_two.0.load(Ordering::Relaxed));

    drop(one);
    let (one, _) = member(site, &group, &topic, "one");
    settle(&one, &two);
    assert_eq!(share_of(&one), share_of_one, "it comes back to its own partition");

    // Both work: had anything been set in motion, it would show by the time these records are read.
    let sender = Sender::new(&site.config(), &[]);
    for partition in [0, 1] {
        sender.send(BaseRecord::to(&topic).partition(partition).payload(b"work"));
    }
    sender.deliver();
    let mut read = [false, false];
    until("both members to read", || {
        read[0] |= poll(&one, Duration::from_millis(20)).is_some();
        read[1] |= poll(&two, Duration::from_millis(20)).is_some();
        (read == [true, true]).then_some(())
    });
    assert_eq!(rebalances_of_two.0.load(Ordering::Relaxed), rebalances, "the other member noticed the restart");
}

pub fn the_older_double_is_fenced(site: &Site) {
    let (topic, group) = (site.topic(1, &[]), site.fresh("group"));
    let (older, _) = member(site, &group, &topic, "same");
    until("the older to own the partition", || {
        poll(&older, Duration::from_millis(20));
        (share_of(&older).len() == 1).then_some(())
    });
    let (newer, _) = member(site, &group, &topic, "same");
    let fenced = until("the older to be fenced", || {
        poll(&newer, Duration::from_millis(20));
        match older.poll(Duration::from_millis(20))? {
            Err(KafkaError::PartitionEOF(_)) | Ok(_) => None,
            Err(error) => Some(error),
        }
    });
    assert_eq!(fenced, KafkaError::MessageConsumptionFatal(RDKafkaErrorCode::FencedInstanceId));
    until("the newer to own the partition", || {
        poll(&newer, Duration::from_millis(20));
        (share_of(&newer).len() == 1).then_some(())
    });
}
