//! Members with a `group.instance.id` (KIP-345): they come back to their place, and a double fences the older.

use kafka_protocol::error::ResponseError::{FencedInstanceId, IllegalGeneration, UnknownMemberId};
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::{GroupId, HeartbeatRequest, LeaveGroupRequest};

use super::{GROUP, Joining, SESSION, Scene};
use crate::group::{GroupState, text};

fn of(instance_id: &str) -> Joining<'_> {
    Joining { instance_id: Some(instance_id), api_version: 5, ..Joining::default() }
}

/// A stable group of the static members "one", which leads, and "two".
fn stable_pair(scene: &mut Scene) -> (String, String) {
    let one = scene.join(of("one")).get().member_id.to_string();
    let two = scene.join(of("two"));
    scene.join(Joining { member_id: &one, ..of("one") });
    let two = two.get().member_id.to_string();
    scene.sync(&one, 2, &[(&one, "a"), (&two, "b")]);
    assert_eq!(scene.state(), GroupState::Stable);
    (one, two)
}

fn heartbeat_as(scene: &mut Scene, member_id: &str, instance_id: &str) -> i16 {
    let request = HeartbeatRequest::default()
        .with_group_id(GroupId(text(GROUP)))
        .with_generation_id(scene.generation())
        .with_member_id(text(member_id))
        .with_group_instance_id(Some(text(instance_id)));
    scene.coordinator.heartbeat(scene.now, request).error_code
}

#[test]
fn a_static_member_needs_no_second_round_for_its_id() {
    let mut scene = Scene::new();
    assert_eq!(scene.join(of("one")).get().error_code, 0);
}

#[test]
fn a_restarted_follower_keeps_its_share_without_a_rebalance() {
    let mut scene = Scene::new();
    let (one, two) = stable_pair(&mut scene);
    let back = scene.join(of("two")).get();
    assert_eq!((back.error_code, back.generation_id, scene.state()), (0, 2, GroupState::Stable));
    assert_ne!(back.member_id.as_str(), two);
    assert_eq!(&scene.sync(&back.member_id, 2, &[]).get().assignment[..], b"b");
    assert_eq!(scene.heartbeat(&one, 2), 0, "the others notice nothing");
}

#[test]
fn a_restarted_leader_follows_until_the_next_rebalance() {
    let mut scene = Scene::new();
    let (one, _) = stable_pair(&mut scene);
    let back = scene.join(of("one")).get();
    assert_eq!(back.leader.as_str(), one, "an older client is not asked to assign");
    assert!(back.members.is_empty());
    assert_eq!(&scene.sync(&back.member_id, 2, &[]).get().assignment[..], b"a");
    let newer = scene.join(Joining { api_version: 9, ..of("one") }).get();
    assert_eq!((newer.skip_assignment, newer.members.len(), &newer.leader), (true, 2, &newer.member_id));
}

#[test]
fn the_older_of_two_with_one_instance_id_is_fenced() {
    let mut scene = Scene::new();
    let (_, two) = stable_pair(&mut scene);
    let back = scene.join(of("two")).get();
    assert_eq!(heartbeat_as(&mut scene, &two, "two"), FencedInstanceId.code());
    assert_eq!(heartbeat_as(&mut scene, &back.member_id, "two"), 0);
    let old = scene.join(Joining { member_id: &two, ..of("two") }).get();
    assert_eq!(old.error_code, FencedInstanceId.code());
}

#[test]
fn a_waiting_double_is_fenced_at_once() {
    let mut scene = Scene::new();
    let (one, two) = stable_pair(&mut scene);
    let third = scene.join(of("three"));
    let waiting = scene.join(Joining { member_id: &two, ..of("two") });
    let double = scene.join(of("two"));
    assert_eq!(waiting.get().error_code, FencedInstanceId.code());
    scene.join(Joining { member_id: &one, ..of("one") });
    assert_eq!((third.get().generation_id, double.get().generation_id), (3, 3));
}

#[test]
fn a_restart_between_join_and_sync_rebalances() {
    let mut scene = Scene::new();
    let (one, _) = stable_pair(&mut scene);
    let third = scene.join(of("three"));
    scene.join(Joining { member_id: &one, ..of("one") });
    let two = scene.join(of("two"));
    assert_eq!((third.get().generation_id, two.get().generation_id), (3, 3));
    let again = scene.join(of("two"));
    assert!(again.waits(), "the leader may already assign to the id that is gone");
    assert_eq!(scene.sync(&one, 2, &[]).get().error_code, IllegalGeneration.code());
}

#[test]
fn a_restart_that_changes_the_chosen_protocol_rebalances() {
    let mut scene = Scene::new();
    let both = &[("range", ""), ("sticky", "")];
    let one = scene.join(Joining { protocols: both, ..of("one") }).get().member_id;
    let two = scene.join(Joining { protocols: both, ..of("two") });
    scene.join(Joining { member_id: &one, protocols: both, ..of("one") });
    scene.sync(&one, 2, &[]);
    assert_eq!((two.get().error_code, scene.state()), (0, GroupState::Stable));
    let back = scene.join(Joining { protocols: &[("sticky", "")], ..of("two") });
    assert!(back.waits());
    assert_eq!(scene.state(), GroupState::PreparingRebalance);
}

#[test]
fn an_absent_static_member_is_missed_only_after_its_session() {
    let mut scene = Scene::new();
    let (one, _) = stable_pair(&mut scene);
    scene.pass(SESSION / 2);
    assert_eq!(scene.heartbeat(&one, 2), 0);
    scene.pass(SESSION / 2);
    assert_eq!(scene.state(), GroupState::PreparingRebalance);
    let left = scene.join(Joining { member_id: &one, ..of("one") }).get();
    assert_eq!(left.members.len(), 1);
}

#[test]
fn an_administrator_removes_a_member_by_its_instance_id() {
    let mut scene = Scene::new();
    stable_pair(&mut scene);
    let leavers = ["two", "unknown"].map(|id| MemberIdentity::default().with_group_instance_id(Some(text(id))));
    let request = LeaveGroupRequest::default().with_group_id(GroupId(text(GROUP))).with_members(leavers.to_vec());
    let response = scene.coordinator.leave(scene.now, request, 5);
    let codes: Vec<i16> = response.members.iter().map(|member| member.error_code).collect();
    assert_eq!(codes, [0, UnknownMemberId.code()]);
    assert_eq!(scene.state(), GroupState::PreparingRebalance);
}
