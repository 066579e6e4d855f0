//! Whatever members do and whenever they do it, the group keeps its promises.

use std::time::Duration;

use kafka_protocol::messages::{JoinGroupResponse, SyncGroupResponse};
use proptest::prelude::*;

use super::{Answer, GROUP, Joining, REBALANCE, SESSION, Scene};
use crate::group::GroupState;

/// What one of a handful of clients does next.
#[derive(Debug, Clone)]
enum Step {
    Join {
        client: usize,
        changed: bool,
    },
    Sync {
        client: usize,
    },
    Heartbeat {
        client: usize,
    },
    Leave {
        client: usize,
    },
    Commit {
        client: usize,
        stale: bool,
    },
    /// The client's process restarts: it forgets its member id.
    Restart {
        client: usize,
    },
    Pass {
        milliseconds: u64,
    },
}

const CLIENTS: usize = 4;
/// These clients have a `group.instance.id`.
const STATIC_CLIENTS: usize = 2;

fn step() -> impl Strategy<Value = Step> {
    let client = 0..CLIENTS;
    prop_oneof![
        6 => (client.clone(), prop::bool::weighted(0.2)).prop_map(|(client, changed)| Step::Join { client, changed }),
        6 => client.clone().prop_map(|client| Step::Sync { client }),
        3 => client.clone().prop_map(|client| Step::Heartbeat { client }),
        1 => client.clone().prop_map(|client| Step::Leave { client }),
        2 => (client.clone(), any::<bool>()).prop_map(|(client, stale)| Step::Commit { client, stale }),
        1 => client.prop_map(|client| Step::Restart { client }),
        3 => (1..12_000_u64).prop_map(|milliseconds| Step::Pass { milliseconds }),
    ]
}

#[derive(Default, Clone)]
struct Client {
    member_id: String,
    generation: i32,
    join: Option<usize>,
}

struct World {
    scene: Scene,
    clients: Vec<Client>,
    joins: Vec<Answer<JoinGroupResponse>>,
    syncs: Vec<Answer<SyncGroupResponse>>,
    last_generation: i32,
}

impl World {
    fn new() -> Self {
        let clients = vec![Client::default(); CLIENTS];
        Self { scene: Scene::new(), clients, joins: Vec::new(), syncs: Vec::new(), last_generation: 0 }
    }

    fn take(&mut self, step: &Step) {
        self.read_joins();
        match *step {
            Step::Join { client, changed } => self.join(client, changed),
            Step::Sync { client } => {
                let Client { member_id, generation, .. } = self.clients[client].clone();
                self.syncs.push(self.scene.sync(&member_id, generation, &[(&member_id, "share")]));
            }
            Step::Heartbeat { client } => {
                let Client { member_id, generation, .. } = self.clients[client].clone();
                self.scene.heartbeat(&member_id, generation);
            }
            Step::Leave { client } => {
                self.scene.leave(&self.clients[client].member_id.clone());
                self.clients[client] = Client::default();
            }
            Step::Commit { client, stale } => self.commit(client, stale),
            Step::Restart { client } => self.clients[client] = Client::default(),
            Step::Pass { milliseconds } => {
                let next = self.scene.pass(Duration::from_millis(milliseconds));
                assert!(next.is_none_or(|next| next > self.scene.now), "a tick leaves nothing overdue");
            }
        }
        self.check();
    }

    fn join(&mut self, client: usize, changed: bool) {
        let names = ["zero", "one", "two", "three"];
        let protocols: &[_] = if changed { &[("range", "new")] } else { &[("range", "")] };
        let member_id = self.clients[client].member_id.clone();
        let joining = Joining {
            member_id: &member_id,
            instance_id: (client < STATIC_CLIENTS).then_some(names[client]),
            protocols,
            api_version: 5,
            ..Joining::default()
        };
        self.clients[client].join = Some(self.joins.len());
        self.joins.push(self.scene.join(joining));
    }

    /// Clients learn their member id and generation from the answers that have come.
    fn read_joins(&mut self) {
        for client in &mut self.clients {
            let Some(join) = client.join.filter(|index| !self.joins[*index].waits()) else { continue };
            let response = self.joins[join].get();
            client.join = None;
            client.member_id = response.member_id.to_string();
            client.generation = response.generation_id;
        }
    }

    fn commit(&mut self, client: usize, stale: bool) {
        let Client { member_id, generation, .. } = self.clients[client].clone();
        let said = if stale { generation - 1 } else { generation };
        let current = self.scene.coordinator.groups.get(GROUP).is_some_and(|group| {
            (group.members.contains_key(&member_id) && group.generation == said)
                || (said < 0 && group.state == GroupState::Empty)
        });
        let (error, journal) = self.scene.commit(&member_id, said, 1);
        assert!(current || said < 0 || error != 0, "a commit was taken from outside the generation");
        assert_eq!(journal.is_empty(), error != 0);
    }

    fn check(&mut self) {
        assert!(self.joins.iter().all(|answer| answer.count() <= 1));
        assert!(self.syncs.iter().all(|answer| answer.count() <= 1));
        let Some(group) = self.scene.coordinator.groups.get(GROUP) else { return };
        assert!(group.generation >= self.last_generation, "the generation went back");
        self.last_generation = group.generation;
        assert_eq!(group.leader.is_some(), !group.members.is_empty(), "a group with members has one leader");
        assert!(group.leader.iter().all(|leader| group.members.contains_key(leader)));
        assert!(group.static_members.values().all(|id| group.members.contains_key(id)));
        match group.state {
            GroupState::Empty => assert!(group.members.is_empty()),
            GroupState::Stable => {
                assert!(group.members.values().all(|member| !member.awaits_join() && !member.awaits_sync()));
                self.check_stable_generation();
            }
            GroupState::CompletingRebalance => assert!(group.members.values().all(|member| !member.awaits_join())),
            GroupState::PreparingRebalance => assert!(group.members.values().all(|member| !member.awaits_sync())),
            GroupState::Dead => panic!("nobody deleted the group"),
        }
    }

    /// Every client that was told of membership last and is a member of the stable group knows its generation.
    fn check_stable_generation(&self) {
        let group = &self.scene.coordinator.groups[GROUP];
        for join in &self.joins {
            let answered = (!join.waits()).then(|| join.get()).filter(|response| response.error_code == 0);
            let current = answered.filter(|response| group.members.contains_key(response.member_id.as_str()));
            assert!(current.is_none_or(|response| response.generation_id <= group.generation));
        }
        let last_told = |id: &str| {
            let told = self.joins.iter().filter(|join| !join.waits()).map(|join| join.get());
            told.filter(|told| told.error_code == 0 && told.member_id.as_str() == id).map(|t| t.generation_id).max()
        };
        let dynamic = group.members.values().filter(|member| !member.is_static());
        dynamic.for_each(|member| assert_eq!(last_told(&member.id), Some(group.generation)));
    }

    /// Nobody calls any more: time alone must answer whoever waits, and empty the group.
    fn fall_silent(&mut self) {
        let end = self.scene.now + 3 * (REBALANCE + SESSION);
        while let Some(next) = self.scene.coordinator.tick(self.scene.now).filter(|next| *next <= end) {
            self.scene.now = next;
        }
        assert!(self.joins.iter().all(|answer| answer.count() == 1), "a join was never answered");
        assert!(self.syncs.iter().all(|answer| answer.count() == 1), "a sync was never answered");
        if let Some(group) = self.scene.coordinator.groups.get(GROUP) {
            assert_eq!(group.state, GroupState::Empty, "silent members are expelled");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn promises_hold_for_any_course_of_events(steps in prop::collection::vec(step(), 1..120)) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
        }
        world.fall_silent();
    }
}
