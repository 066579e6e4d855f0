//! Groups as administrators see them.

use std::time::Duration;

use kafka_protocol::messages::ApiKey;
use rdkafka::consumer::Consumer;
use rdkafka::types::RDKafkaErrorCode;

use crate::client::{consumer, poll};
use crate::raw::Raw;
use crate::site::{PATIENCE, Site, block_on, options, until};

pub fn groups_are_listed_and_described(site: &Site) {
    let (topic, group) = (site.topic(1, &[]), site.fresh("group"));
    let settings = [("partition.assignment.strategy", "roundrobin"), ("client.id", "the member")];
    let member = consumer(site, &group, &settings);
    member.subscribe(&[&topic]).unwrap();
    until("the group to be stable", || {
        poll(&member, Duration::from_millis(20));
        let groups = member.fetch_group_list(None, PATIENCE).unwrap();
        let listed = groups.groups().iter().find(|listed| listed.name() == group)?;
        if listed.state() != "Stable" {
            return None;
        }
        assert_eq!((listed.protocol_type(), listed.protocol()), ("consumer", "roundrobin"));
        assert_eq!(listed.members()[0].client_id(), "the member");
        assert!(listed.members()[0].assignment().is_some_and(|assignment| !assignment.is_empty()));
        Some(())
    });
    drop(member);
    let observer = consumer(site, &site.fresh("observer"), &[]);
    until("the group to be empty", || {
        let groups = observer.fetch_group_list(Some(&group), PATIENCE).unwrap();
        let described = groups.groups().first()?;
        (described.state() == "Empty" && described.members().is_empty()).then_some(())
    });
}

pub fn only_empty_groups_are_deleted(site: &Site) {
    let serves = Raw::connect(site).serves(ApiKey::DeleteGroups as i16);
    assert!(serves, "librdkafka would abort this process");
    let (topic, group) = (site.topic(1, &[]), site.fresh("group"));
    let admin = site.admin();
    let delete = || {
        until("the group's coordinator to answer", || {
            let results = block_on(admin.delete_groups(&[&group], &options())).unwrap();
            match results.into_iter().next().unwrap() {
                Err((_, RDKafkaErrorCode::NotCoordinator | RDKafkaErrorCode::CoordinatorLoadInProgress)) => None,
                result => Some(result.map(drop).map_err(|(_, error)| error)),
            }
        })
    };
    assert_eq!(delete(), Err(RDKafkaErrorCode::GroupIdNotFound));
    let member = consumer(site, &group, &[]);
    member.subscribe(&[&topic]).unwrap();
    until("the group to own its partition", || {
        poll(&member, Duration::from_millis(20));
        (member.assignment().unwrap().count() == 1).then_some(())
    });
    assert_eq!(delete(), Err(RDKafkaErrorCode::NonEmptyGroup));
    drop(member);
    until("the group to be deleted", || delete().ok());
    assert_eq!(delete(), Err(RDKafkaErrorCode::GroupIdNotFound));
}
