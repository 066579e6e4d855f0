//! The brokers' own log of a group: each of its generations, with who was in it and had what.
//!
//! The layouts are Kafka's `GroupMetadataKey` (version 2) and `GroupMetadataValue` (versions 0 to 3).

use std::collections::BTreeMap;

use rdkafka::message::Message;

use crate::Failure;
use crate::cluster::{Cluster, GROUPS_LOG};
use crate::reading::{Isolation, read_topic};
use crate::workload::Group;

/// The kind of key under which a group's members stand.
const MEMBERS_KEY: i16 = 2;

/// One generation of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    pub at_ms: i64,
    pub number: i32,
    pub members: Vec<Member>,
}

/// A member's client id, and its partitions.
pub type Member = (String, Vec<i32>);

/// The generations of both groups. Every one after the first is a rebalance.
pub fn read_generations(cluster: &Cluster) -> Result<BTreeMap<Group, Vec<Generation>>, Failure> {
    let mut generations: BTreeMap<Group, Vec<Generation>> = BTreeMap::new();
    for group in Group::ALL {
        generations.entry(group).or_default();
    }
    let partitions = cluster.partitions(GROUPS_LOG)?;
    read_topic(&cluster.bootstrap(), GROUPS_LOG, partitions, Isolation::Committed, |message| {
        let group = message.key().and_then(group_of).and_then(|name| Group::of(&name));
        let parsed = message.payload().and_then(members_of);
        if let (Some(group), Some((number, members))) = (group, parsed) {
            let at_ms = message.timestamp().to_millis().unwrap_or(-1);
            let all = generations.entry(group).or_default();
            // A group without members, and a member's new id, are written under the same number.
            all.retain(|other| other.number != number);
            all.push(Generation { at_ms, number, members });
        }
        Ok(())
    })?;
    Ok(generations)
}

/// A reader of Kafka's own encoding; `None` where the bytes end too early.
pub struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    pub fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub fn i16(&mut self) -> Option<i16> {
        Some(i16::from_be_bytes(self.bytes(2)?.try_into().ok()?))
    }

    pub fn i32(&mut self) -> Option<i32> {
        Some(i32::from_be_bytes(self.bytes(4)?.try_into().ok()?))
    }

    pub fn i64(&mut self) -> Option<i64> {
        Some(i64::from_be_bytes(self.bytes(8)?.try_into().ok()?))
    }

    /// A null is an empty text: nothing here depends on the difference.
    pub fn text(&mut self) -> Option<String> {
        let length = usize::try_from(self.i16()?).unwrap_or(0);
        Some(String::from_utf8_lossy(self.bytes(length)?).into_owned())
    }

    fn block(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.i32()?).unwrap_or(0);
        self.bytes(length)
    }
}

fn group_of(key: &[u8]) -> Option<String> {
    let mut fields = Fields(key);
    (fields.i16()? == MEMBERS_KEY).then(|| fields.text())?
}

fn members_of(value: &[u8]) -> Option<(i32, Vec<Member>)> {
    let mut fields = Fields(value);
    let version = fields.i16().filter(|version| (0..=3).contains(version))?;
    let _protocol_type = fields.text()?;
    let generation = fields.i32()?;
    let (_protocol, _leader) = (fields.text()?, fields.text()?);
    if version >= 2 {
        fields.i64()?;
    }
    let mut members = Vec::new();
    for _ in 0..fields.i32()? {
        let _member_id = fields.text()?;
        if version >= 3 {
            fields.text()?;
        }
        let (client, _host) = (fields.text()?, fields.text()?);
        if version >= 1 {
            fields.i32()?;
        }
        let (_session_timeout, _subscription) = (fields.i32()?, fields.block()?);
        members.push((client, partitions_of(fields.block()?).unwrap_or_default()));
    }
    Some((generation, members))
}

/// The partitions in a member's assignment, all of the one input topic.
fn partitions_of(assignment: &[u8]) -> Option<Vec<i32>> {
    let mut fields = Fields(assignment);
    fields.i16()?;
    let mut partitions = Vec::new();
    for _ in 0..fields.i32()? {
        fields.text()?;
        for _ in 0..fields.i32()? {
            partitions.push(fields.i32()?);
        }
    }
    Some(partitions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Vec<u8> {
        let length = i16::try_from(text.len()).unwrap();
        [&length.to_be_bytes(), text.as_bytes()].concat()
    }

    fn block(bytes: &[u8]) -> Vec<u8> {
        [&i32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
    }

    #[test]
    fn a_generation_tells_its_members_and_their_partitions() {
        let assignment = [
            &1_i16.to_be_bytes()[..],
            &1_i32.to_be_bytes(),
            &text("chaos.inputs"),
            &2_i32.to_be_bytes(),
            &[0; 4],
            &[0, 0, 0, 7],
        ]
        .concat();
        let value = [
            &3_i16.to_be_bytes()[..],
            &text("consumer"),
            &42_i32.to_be_bytes(),
            &text("range"),
            &text("leader"),
            &0_i64.to_be_bytes(),
            &1_i32.to_be_bytes(),
            &text("member"),
            &(-1_i16).to_be_bytes(),
            &text("n1.2"),
            &text("127.0.0.1"),
            &[0; 8],
            &block(b"subscription"),
            &block(&assignment),
        ]
        .concat();
        assert_eq!(members_of(&value), Some((42, vec![("n1.2".to_owned(), vec![0, 7])])));
        assert_eq!(members_of(&value[..value.len() - 1]), None);
    }

    #[test]
    fn only_keys_of_groups_are_taken() {
        assert_eq!(group_of(&[&2_i16.to_be_bytes()[..], &text("g")].concat()), Some("g".to_owned()));
        assert_eq!(group_of(&[&1_i16.to_be_bytes()[..], &text("g")].concat()), None);
    }
}
