//! The tracks of faults that are no process's: brokers that go, and what happens on the way to them.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::cluster::{Cluster, GROUPS_LOG, TRANSACTIONS_LOG};
use crate::events::Events;
use crate::plan::{At, BrokerFault, NetworkFault};
use crate::proxy::Proxies;
use crate::{Failure, pause};

/// What was done to brokers and connections.
#[derive(Debug, Default)]
pub struct Counts {
    pub broker_kills: AtomicU32,
    pub broker_stops: AtomicU32,
    pub coordinator_moves: AtomicU32,
    pub cuts: AtomicU32,
    pub stalls: AtomicU32,
    pub delays: AtomicU32,
}

fn add(count: &AtomicU32) {
    count.fetch_add(1, Ordering::Relaxed);
}

/// Sleeps in steps until a time; false where the run ends before.
fn until(due: Instant, ending: &AtomicBool) -> bool {
    while !ending.load(Ordering::Relaxed) {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        pause(left.min(Duration::from_millis(100)));
    }
    false
}

/// Brokers go and come, one at a time. Times count from the last recovery: a slow machine gets fewer faults, not two at
/// once, which the topics' replication would not survive.
pub fn run_broker_track(
    plan: &[At<BrokerFault>],
    cluster: &Cluster,
    events: &Events,
    counts: &Counts,
    ending: &AtomicBool,
) -> Result<(), Failure> {
    let mut before = Duration::ZERO;
    for (at, fault) in plan {
        if !until(Instant::now() + (*at - before), ending) {
            break;
        }
        before = *at;
        let (id, down, by_kill) = choose(fault, cluster)?;
        let who = format!("broker {id}");
        events.add(&who, fault.to_string());
        let started = Instant::now();
        cluster.end_broker(id, by_kill)?;
        pause(down);
        cluster.start_broker(id)?;
        events.add(&who, format!("answers again after {} ms", started.elapsed().as_millis()));
        cluster.await_in_sync()?;
        events.add(&who, format!("in sync after {} ms", started.elapsed().as_millis()));
        add(if by_kill { &counts.broker_kills } else { &counts.broker_stops });
        if matches!(fault, BrokerFault::MoveGroup { .. } | BrokerFault::MoveTransactions { .. }) {
            add(&counts.coordinator_moves);
        }
    }
    Ok(())
}

/// The broker that a fault is about, how long it stays away, and whether it is killed.
fn choose(fault: &BrokerFault, cluster: &Cluster) -> Result<(i32, Duration, bool), Failure> {
    let ids = cluster.broker_ids();
    let drawn = |target: u64| ids[usize::try_from(target % ids.len() as u64).unwrap_or(0)];
    Ok(match *fault {
        BrokerFault::Kill { target, down } => (drawn(target), down, true),
        BrokerFault::Stop { target, down } => (drawn(target), down, false),
        BrokerFault::MoveGroup { group, down } => {
            let leader = cluster.leader(GROUPS_LOG, cluster.partition_of(group)?);
            (leader.unwrap_or(ids[0]), down, true)
        }
        BrokerFault::MoveTransactions { partition, down } => {
            let partitions = u64::try_from(cluster.partitions(TRANSACTIONS_LOG)?.max(1)).unwrap_or(1);
            let leader = cluster.leader(TRANSACTIONS_LOG, i32::try_from(partition % partitions).unwrap_or(0));
            (leader.unwrap_or_else(|| drawn(partition)), down, true)
        }
    })
}

/// Faults on the way between processes and brokers, one at a time.
pub fn run_network_track(
    plan: &[At<(u64, NetworkFault)>],
    proxies: &Proxies,
    events: &Events,
    counts: &Counts,
    ending: &AtomicBool,
) {
    let begun = Instant::now();
    for (at, (target, fault)) in plan {
        if !until(begun + *at, ending) {
            break;
        }
        let broker = usize::try_from(*target % proxies.count() as u64).unwrap_or(0);
        events.add(format!("way to broker {}", broker + 1), fault.to_string());
        let lasting = match *fault {
            NetworkFault::Cut { lasting } => {
                proxies.change(broker, |condition| {
                    condition.refusing = true;
                    condition.cuts += 1;
                });
                add(&counts.cuts);
                lasting
            }
            NetworkFault::Stall { lasting } => {
                proxies.change(broker, |condition| {
                    (condition.requests_stalled, condition.answers_stalled) = (true, true);
                });
                add(&counts.stalls);
                lasting
            }
            NetworkFault::LoseAnswers { lasting } => {
                proxies.change(broker, |condition| condition.answers_stalled = true);
                add(&counts.cuts);
                lasting
            }
            NetworkFault::Delay { by, lasting } => {
                proxies.change(broker, |condition| condition.delay = by);
                add(&counts.delays);
                lasting
            }
        };
        until(Instant::now() + lasting, ending);
        if matches!(fault, NetworkFault::LoseAnswers { .. }) {
            // First the cut, then the healing: what was held back is never delivered.
            proxies.change(broker, |condition| condition.cuts += 1);
            pause(Duration::from_millis(20));
        }
        proxies.heal(broker);
    }
}
