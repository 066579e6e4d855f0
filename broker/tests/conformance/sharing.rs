//! Members of a group share partitions, under each assignment strategy, as members come, leave and die.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::child::{Arguments, Child};
use crate::client::consumer;
use crate::site::{Site, until};

const PARTITIONS: i32 = 6;

type Share = BTreeSet<i32>;

fn member(site: &Site, group: &str, topic: &str, settings: &[(&str, &str)]) -> BaseConsumer {
    let member = consumer(site, group, settings);
    member.subscribe(&[topic]).unwrap();
    member
}

pub fn share_of<C: rdkafka::consumer::ConsumerContext>(member: &BaseConsumer<C>) -> Share {
    member.assignment().unwrap().elements().iter().map(|element| element.partition()).collect()
}

/// Polls the members until they hold shares of these sizes that together cover the topic.
#[track_caller]
fn settle(members: &[&BaseConsumer], sizes: &[usize]) -> Vec<Share> {
    until("the members to share the partitions", || {
        for member in members {
            let _ = member.poll(Duration::from_millis(20));
        }
        let shares: Vec<Share> = members.iter().map(|member| share_of(member)).collect();
        let held: Vec<usize> = shares.iter().map(Share::len).collect();
        let all: Share = shares.iter().flatten().copied().collect();
        (held == sizes && all.len() == sizes.iter().sum::<usize>()).then_some(shares)
    })
}

fn sorted(mut shares: Vec<Share>) -> Vec<Vec<i32>> {
    shares.sort();
    shares.into_iter().map(|share| share.into_iter().collect()).collect()
}

pub fn members_share_by_range(site: &Site) {
    let (topic, group) = (site.topic(PARTITIONS, &[]), site.fresh("group"));
    let join = || member(site, &group, &topic, &[("partition.assignment.strategy", "range")]);
    let one = join();
    settle(&[&one], &[6]);
    let two = join();
    assert_eq!(sorted(settle(&[&one, &two], &[3, 3])), [[0, 1, 2], [3, 4, 5]]);
    let three = join();
    assert_eq!(sorted(settle(&[&one, &two, &three], &[2, 2, 2])), [[0, 1], [2, 3], [4, 5]]);
}

pub fn members_share_by_round_robin(site: &Site) {
    let (topic, group) = (site.topic(PARTITIONS, &[]), site.fresh("group"));
    let join = || member(site, &group, &topic, &[("partition.assignment.strategy", "roundrobin")]);
    let (one, two) = (join(), join());
    assert_eq!(sorted(settle(&[&one, &two], &[3, 3])), [[0, 2, 4], [1, 3, 5]]);
    let three = join();
    assert_eq!(sorted(settle(&[&one, &two, &three], &[2, 2, 2])), [[0, 3], [1, 4], [2, 5]]);
}

pub fn members_share_cooperatively(site: &Site) {
    let (topic, group) = (site.topic(PARTITIONS, &[]), site.fresh("group"));
    let join = || member(site, &group, &topic, &[("partition.assignment.strategy", "cooperative-sticky")]);
    let (one, two) = (join(), join());
    let before = settle(&[&one, &two], &[3, 3]);
    let three = join();
    let after = settle(&[&one, &two, &three], &[2, 2, 2]);
    for (before, after) in before.iter().zip(&after) {
        assert!(after.is_subset(before), "{after:?} was not kept of {before:?}");
    }
}

pub fn a_leaving_member_hands_over(site: &Site) {
    let (topic, group) = (site.topic(PARTITIONS, &[]), site.fresh("group"));
    // Only a goodbye hands over this soon: the session outlasts the check's patience.
    let settings = [("partition.assignment.strategy", "cooperative-sticky"), ("session.timeout.ms", "120000")];
    let join = || member(site, &group, &topic, &settings);
    let (one, two) = (join(), join());
    settle(&[&one, &two], &[3, 3]);
    drop(two);
    settle(&[&one], &[6]);
}

/// A killed process says no goodbye: its session has to run out.
pub fn a_killed_member_is_replaced(site: &Site) {
    let (topic, group) = (site.topic(PARTITIONS, &[]), site.fresh("group"));
    let survivor = member(site, &group, &topic, &[("partition.assignment.strategy", "range")]);
    let victim = Child::start(site, "member", &[("topic", &topic), ("group", &group)]);
    settle(&[&survivor], &[3]);
    drop(victim);
    settle(&[&survivor], &[6]);
}

/// The part of the member that is killed.
pub fn be_a_member(site: &Site, arguments: &Arguments, deadline: Instant) {
    let settings = [("partition.assignment.strategy", "range"), ("session.timeout.ms", "1500")];
    let member = member(site, &arguments["group"], &arguments["topic"], &settings);
    while Instant::now() < deadline {
        let _ = member.poll(Duration::from_millis(50));
    }
}
