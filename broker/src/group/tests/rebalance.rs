//! Joining, syncing, leaving and being late.

use std::time::Duration;

use kafka_protocol::error::ResponseError::{
    IllegalGeneration, InconsistentGroupProtocol, InvalidSessionTimeout, MemberIdRequired, RebalanceInProgress,
    UnknownMemberId,
};

use super::{Joining, REBALANCE, SESSION, Scene};
use crate::group::GroupState;

#[test]
fn the_first_member_leads_at_once() {
    let mut scene = Scene::new();
    let joined = scene.join(Joining::default()).get();
    assert_eq!((joined.error_code, joined.generation_id), (0, 1));
    assert_eq!(joined.leader, joined.member_id);
    assert_eq!(joined.members.len(), 1);
    assert_eq!(scene.state(), GroupState::CompletingRebalance);
}

#[test]
fn with_a_delay_the_first_members_start_together() {
    let mut scene = Scene::new();
    scene.coordinator.limits.initial_rebalance_delay = Duration::from_secs(3);
    let (one, two) = (scene.join(Joining::default()), scene.join(Joining::default()));
    assert!(one.waits() && two.waits());
    scene.pass(Duration::from_secs(3));
    assert_eq!((one.get().members.len(), two.get().generation_id), (2, 1));
}

#[test]
fn a_member_without_an_id_is_given_one_to_join_with() {
    let mut scene = Scene::new();
    let refused = scene.join(Joining { api_version: 4, ..Joining::default() }).get();
    assert_eq!(refused.error_code, MemberIdRequired.code());
    let joined = scene.join(Joining { api_version: 4, member_id: &refused.member_id, ..Joining::default() }).get();
    assert_eq!((joined.error_code, &joined.member_id), (0, &refused.member_id));
}

#[test]
fn an_id_that_is_never_used_holds_the_rebalance_up_for_its_session_only() {
    let (mut scene, ids) = Scene::stable_group(1);
    scene.join(Joining { api_version: 4, ..Joining::default() });
    let rejoined = scene.rejoin(&ids[0]);
    assert!(rejoined.waits(), "the newcomer is expected");
    scene.pass(SESSION);
    assert_eq!(rejoined.get().members.len(), 1);
}

#[test]
fn a_newcomer_waits_until_the_others_have_joined_again() {
    let (mut scene, ids) = Scene::stable_group(1);
    let newcomer = scene.join(Joining::default());
    assert!(newcomer.waits());
    assert_eq!(scene.heartbeat(&ids[0], 1), RebalanceInProgress.code());
    let leader = scene.rejoin(&ids[0]).get();
    let newcomer = newcomer.get();
    assert_eq!((leader.generation_id, newcomer.generation_id), (2, 2));
    assert_eq!((leader.members.len(), newcomer.members.len()), (2, 0), "only the leader sees the members");
}

#[test]
fn followers_that_sync_first_wait_for_the_leader() {
    let (mut scene, ids) = Scene::stable_group(1);
    let newcomer = scene.join(Joining::default());
    scene.rejoin(&ids[0]);
    let follower = newcomer.get().member_id;
    let waiting = scene.sync(&follower, 2, &[]);
    assert!(waiting.waits());
    let leader = scene.sync(&ids[0], 2, &[(&ids[0], "a"), (&follower, "b")]).get();
    assert_eq!((&leader.assignment[..], &waiting.get().assignment[..]), (&b"a"[..], &b"b"[..]));
    assert_eq!(&scene.sync(&follower, 2, &[]).get().assignment[..], b"b", "a repeated sync answers the same");
}

#[test]
fn the_protocol_is_one_that_all_support_and_most_prefer() {
    let mut scene = Scene::new();
    let first = Joining { protocols: &[("range", "1"), ("sticky", "2")], ..Joining::default() };
    let leader_id = scene.join(first.clone()).get().member_id;
    let second = scene.join(Joining { protocols: &[("sticky", "3"), ("own", "4")], ..Joining::default() });
    let leader = scene.join(Joining { member_id: &leader_id, ..first }).get();
    assert_eq!(leader.protocol_name.as_deref(), Some("sticky"));
    assert_eq!(leader.members.iter().map(|m| &m.metadata[..]).collect::<Vec<_>>(), [b"2", b"3"]);
    assert_eq!(second.get().protocol_name.as_deref(), Some("sticky"));
    let stranger = scene.join(Joining { protocols: &[("own", "")], ..Joining::default() }).get();
    assert_eq!(stranger.error_code, InconsistentGroupProtocol.code());
}

#[test]
fn a_follower_that_repeats_its_join_gets_the_running_generation_and_the_leader_rebalances() {
    let (mut scene, ids) = Scene::stable_group(2);
    let generation = scene.generation();
    let follower = scene.rejoin(&ids[1]).get();
    assert_eq!((follower.generation_id, scene.state()), (generation, GroupState::Stable));
    let leader = scene.rejoin(&ids[0]);
    assert!(leader.waits());
    assert_eq!(scene.state(), GroupState::PreparingRebalance);
}

#[test]
fn a_follower_with_new_metadata_rebalances() {
    let (mut scene, ids) = Scene::stable_group(2);
    let changed =
        scene.join(Joining { member_id: &ids[1], protocols: &[("range", "new topics")], ..Joining::default() });
    assert!(changed.waits());
    assert_eq!(scene.state(), GroupState::PreparingRebalance);
}

#[test]
fn a_leaving_member_starts_a_rebalance_and_the_last_empties_the_group() {
    let (mut scene, ids) = Scene::stable_group(2);
    assert_eq!(scene.leave(&ids[0]), 0);
    assert_eq!(scene.leave(&ids[0]), UnknownMemberId.code());
    let heir = scene.rejoin(&ids[1]).get();
    assert_eq!((heir.leader.as_str(), heir.members.len()), (ids[1].as_str(), 1));
    scene.leave(&ids[1]);
    assert_eq!((scene.state(), scene.generation()), (GroupState::Empty, heir.generation_id + 1));
}

#[test]
fn a_silent_member_is_expelled_after_its_session_and_heartbeats_keep_it() {
    let (mut scene, ids) = Scene::stable_group(2);
    scene.pass(SESSION / 2);
    let generation = scene.generation();
    assert_eq!(scene.heartbeat(&ids[0], generation), 0);
    scene.pass(SESSION / 2);
    assert_eq!(scene.heartbeat(&ids[0], generation), RebalanceInProgress.code());
    assert_eq!(scene.heartbeat(&ids[1], generation), UnknownMemberId.code());
    assert_eq!(scene.rejoin(&ids[0]).get().members.len(), 1);
}

#[test]
fn members_that_do_not_join_again_in_time_are_out() {
    let (mut scene, ids) = Scene::stable_group(2);
    let generation = scene.generation();
    let newcomer = scene.join(Joining::default());
    let leader = scene.rejoin(&ids[0]);
    let mut waited = Duration::ZERO;
    while waited < REBALANCE {
        assert!(newcomer.waits(), "after {waited:?}");
        assert_eq!(scene.heartbeat(&ids[1], generation), RebalanceInProgress.code(), "alive, yet not joining");
        scene.pass(SESSION / 2);
        waited += SESSION / 2;
    }
    assert_eq!(leader.get().members.len(), 2);
    assert_eq!(newcomer.get().error_code, 0);
    assert_eq!(scene.heartbeat(&ids[1], generation), UnknownMemberId.code());
}

#[test]
fn a_leader_that_never_syncs_is_out_and_the_others_try_again() {
    let (mut scene, ids) = Scene::stable_group(1);
    let newcomer = scene.join(Joining::default());
    scene.rejoin(&ids[0]);
    let follower = newcomer.get().member_id;
    let waiting = scene.sync(&follower, 2, &[]);
    let mut waited = Duration::ZERO;
    while waited < REBALANCE {
        assert!(waiting.waits());
        assert_eq!(scene.heartbeat(&ids[0], 2), 0);
        scene.pass(SESSION / 2);
        waited += SESSION / 2;
    }
    assert_eq!(waiting.get().error_code, RebalanceInProgress.code());
    assert_eq!(scene.rejoin(&follower).get().leader, follower);
}

#[test]
fn a_join_during_the_sync_sends_the_waiting_back_to_joining() {
    let (mut scene, ids) = Scene::stable_group(1);
    let newcomer = scene.join(Joining::default());
    scene.rejoin(&ids[0]);
    let follower = newcomer.get().member_id;
    let waiting = scene.sync(&follower, 2, &[]);
    let third = scene.join(Joining::default());
    assert_eq!(waiting.get().error_code, RebalanceInProgress.code());
    assert_eq!(scene.sync(&ids[0], 2, &[]).get().error_code, RebalanceInProgress.code());
    scene.rejoin(&ids[0]);
    scene.rejoin(&follower);
    assert_eq!(third.get().generation_id, 3);
}

#[test]
fn members_of_the_past_and_strangers_are_refused() {
    let (mut scene, ids) = Scene::stable_group(1);
    assert_eq!(scene.heartbeat(&ids[0], 7), IllegalGeneration.code());
    assert_eq!(scene.heartbeat("stranger", 1), UnknownMemberId.code());
    assert_eq!(scene.sync(&ids[0], 0, &[]).get().error_code, IllegalGeneration.code());
    assert_eq!(scene.rejoin("stranger").get().error_code, UnknownMemberId.code());
    let hasty = scene.join(Joining { session: Duration::from_millis(1), ..Joining::default() }).get();
    assert_eq!(hasty.error_code, InvalidSessionTimeout.code());
}

#[test]
fn a_repeated_join_answers_the_older_one_too() {
    let (mut scene, ids) = Scene::stable_group(2);
    let first = scene.rejoin(&ids[0]);
    let second = scene.rejoin(&ids[0]);
    assert_eq!(first.get().error_code, RebalanceInProgress.code());
    scene.rejoin(&ids[1]);
    assert_eq!(second.get().error_code, 0);
}

#[test]
fn whoever_waits_at_the_end_is_told_to_find_another_coordinator() {
    let (mut scene, _) = Scene::stable_group(1);
    let newcomer = scene.join(Joining::default());
    drop(scene);
    assert_ne!(newcomer.get().error_code, 0);
}
