//! The schedule of faults: drawn whole from the seed before anything starts, so that it can be repeated and printed.

use std::fmt;
use std::time::Duration;

use crate::random::Random;
use crate::workload::Group;

/// A fault of processes. `target` is a draw: the executor takes it modulo those that run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessFault {
    /// kill -9, and a restart after a pause.
    Kill { down: Duration },
    /// SIGSTOP, then SIGCONT.
    Freeze { frozen: Duration },
    /// SIGSTOP past the session timeout; a successor is started under the same name; SIGCONT, and kill -9 only a while
    /// after that, so that two processes believe to be the same.
    Zombie { frozen: Duration, afterlife: Duration },
    /// One more process.
    ScaleOut,
    /// SIGTERM to one of more than the fewest.
    ScaleIn,
}

/// A fault of brokers; they come one at a time, each after all replicas are in sync again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokerFault {
    Kill {
        target: u64,
        down: Duration,
    },
    Stop {
        target: u64,
        down: Duration,
    },
    /// Kills the broker that coordinates a group.
    MoveGroup {
        group: Group,
        down: Duration,
    },
    /// Kills the broker that coordinates the transactions of one partition of the log of transactions.
    MoveTransactions {
        partition: u64,
        down: Duration,
    },
}

/// A fault on the way between processes and one broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkFault {
    /// Connections are cut, and new ones refused for a time.
    Cut { lasting: Duration },
    /// Nothing passes for a time.
    Stall { lasting: Duration },
    /// Requests arrive, but their answers do not: after a time the connections are cut.
    LoseAnswers { lasting: Duration },
    /// Everything comes later.
    Delay { by: Duration, lasting: Duration },
}

/// When, from the beginning.
pub type At<T> = (Duration, T);

/// All faults of a run: three tracks that go on side by side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub processes: Vec<At<(u64, ProcessFault)>>,
    pub brokers: Vec<At<BrokerFault>>,
    pub network: Vec<At<(u64, NetworkFault)>>,
}

/// Means of the pauses between two faults of a track.
const PROCESS_PAUSE: Duration = Duration::from_millis(4_500);
/// From the moment at which the last one's replicas are in sync.
const BROKER_PAUSE: Duration = Duration::from_secs(12);
const NETWORK_PAUSE: Duration = Duration::from_secs(9);

impl Plan {
    pub fn draw(seed: u64, lasting: Duration) -> Plan {
        let track = |purpose, pause| times(&mut Random::branch(seed, purpose), lasting, pause);
        let (mut processes, mut brokers, mut network) =
            (Random::branch(seed, 1), Random::branch(seed, 2), Random::branch(seed, 3));
        let mut deck = Deck::new(&[0, 0, 0, 0, 1, 1, 2, 2, 3, 4]);
        let process_times = track(4, PROCESS_PAUSE).into_iter();
        let process_faults = process_times.map(|at| (at, (processes.draw(), process_fault(&mut processes, &mut deck))));
        let process_faults = process_faults.collect();
        let mut deck = Deck::new(&[0, 1, 2, 3]);
        let broker_faults = track(5, BROKER_PAUSE).into_iter().map(|at| (at, broker_fault(&mut brokers, &mut deck)));
        let broker_faults = broker_faults.collect();
        let mut deck = Deck::new(&[0, 1, 2, 3]);
        let network_times = track(6, NETWORK_PAUSE).into_iter();
        let network = network_times.map(|at| (at, (network.draw(), network_fault(&mut network, &mut deck)))).collect();
        Plan { processes: process_faults, brokers: broker_faults, network }
    }
}

/// Times whose distances are drawn between half and one and a half of the mean.
fn times(random: &mut Random, lasting: Duration, mean: Duration) -> Vec<Duration> {
    let mut at = Duration::ZERO;
    let mean_ms = u64::try_from(mean.as_millis()).unwrap_or(u64::MAX);
    let next = || {
        at += Duration::from_millis(random.between(mean_ms / 2, mean_ms * 3 / 2));
        (at < lasting).then_some(at)
    };
    std::iter::from_fn(next).collect()
}

/// Kinds drawn like cards: each comes as often as it is in the deck before one comes again, also in a short run.
struct Deck {
    cards: &'static [u8],
    left: Vec<u8>,
}

impl Deck {
    fn new(cards: &'static [u8]) -> Deck {
        Deck { cards, left: Vec::new() }
    }

    fn draw(&mut self, random: &mut Random) -> u8 {
        if self.left.is_empty() {
            self.left = self.cards.to_vec();
            random.shuffle(&mut self.left);
        }
        self.left.pop().unwrap_or(0)
    }
}

fn ms(random: &mut Random, low: u64, high: u64) -> Duration {
    Duration::from_millis(random.between(low, high))
}

fn process_fault(random: &mut Random, deck: &mut Deck) -> ProcessFault {
    match deck.draw(random) {
        0 => ProcessFault::Kill { down: ms(random, 0, 3_000) },
        1 => ProcessFault::Freeze { frozen: ms(random, 300, 4_000) },
        2 => ProcessFault::Zombie { frozen: ms(random, 6_500, 11_000), afterlife: ms(random, 500, 4_000) },
        3 => ProcessFault::ScaleOut,
        _ => ProcessFault::ScaleIn,
    }
}

fn broker_fault(random: &mut Random, deck: &mut Deck) -> BrokerFault {
    let (target, down) = (random.draw(), ms(random, 0, 4_000));
    match deck.draw(random) {
        0 => BrokerFault::Kill { target, down },
        1 => BrokerFault::Stop { target, down },
        2 if target % 2 == 0 => BrokerFault::MoveGroup { group: Group::Named, down },
        2 => BrokerFault::MoveGroup { group: Group::Unnamed, down },
        _ => BrokerFault::MoveTransactions { partition: target, down },
    }
}

fn network_fault(random: &mut Random, deck: &mut Deck) -> NetworkFault {
    match deck.draw(random) {
        0 => NetworkFault::Cut { lasting: ms(random, 0, 2_000) },
        1 => NetworkFault::Stall { lasting: ms(random, 200, 5_000) },
        2 => NetworkFault::LoseAnswers { lasting: ms(random, 50, 1_500) },
        _ => NetworkFault::Delay { by: ms(random, 5, 150), lasting: ms(random, 1_000, 6_000) },
    }
}

impl fmt::Display for ProcessFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProcessFault::Kill { down } => write!(f, "kill -9, down for {} ms", down.as_millis()),
            ProcessFault::Freeze { frozen } => write!(f, "frozen for {} ms", frozen.as_millis()),
            ProcessFault::Zombie { frozen, afterlife } => {
                write!(f, "frozen for {} ms, replaced, then awake for {} ms", frozen.as_millis(), afterlife.as_millis())
            }
            ProcessFault::ScaleOut => f.write_str("scale out"),
            ProcessFault::ScaleIn => f.write_str("scale in"),
        }
    }
}

impl fmt::Display for BrokerFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BrokerFault::Kill { down, .. } => write!(f, "kill -9 of a broker, down for {} ms", down.as_millis()),
            BrokerFault::Stop { down, .. } => write!(f, "stop of a broker, down for {} ms", down.as_millis()),
            BrokerFault::MoveGroup { group, down } => {
                write!(f, "kill -9 of the coordinator of {}, down for {} ms", group.name(), down.as_millis())
            }
            BrokerFault::MoveTransactions { down, .. } => {
                write!(f, "kill -9 of a coordinator of transactions, down for {} ms", down.as_millis())
            }
        }
    }
}

impl fmt::Display for NetworkFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NetworkFault::Cut { lasting } => write!(f, "cut for {} ms", lasting.as_millis()),
            NetworkFault::Stall { lasting } => write!(f, "stalled for {} ms", lasting.as_millis()),
            NetworkFault::LoseAnswers { lasting } => write!(f, "answers lost for {} ms", lasting.as_millis()),
            NetworkFault::Delay { by, lasting } => {
                write!(f, "{} ms later for {} ms", by.as_millis(), lasting.as_millis())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF_AN_HOUR: Duration = Duration::from_secs(30 * 60);

    #[test]
    fn a_seed_is_a_schedule() {
        assert_eq!(Plan::draw(1, HALF_AN_HOUR), Plan::draw(1, HALF_AN_HOUR));
        assert_ne!(Plan::draw(1, HALF_AN_HOUR), Plan::draw(2, HALF_AN_HOUR));
    }

    #[test]
    fn half_an_hour_kills_more_than_a_hundred_processes() {
        for seed in 0..100 {
            let plan = Plan::draw(seed, HALF_AN_HOUR);
            let kills = |(_, (_, fault)): &&At<(u64, ProcessFault)>| {
                matches!(fault, ProcessFault::Kill { .. } | ProcessFault::Zombie { .. })
            };
            assert!(plan.processes.iter().filter(kills).count() >= 150, "seed {seed}");
            assert!(plan.processes.iter().all(|(at, _)| *at < HALF_AN_HOUR));
        }
    }

    #[test]
    fn a_short_run_has_every_kind_of_fault_of_processes() {
        for seed in 0..100 {
            let plan = Plan::draw(seed, Duration::from_secs(65));
            let has = |wanted: fn(&ProcessFault) -> bool| plan.processes.iter().any(|(_, (_, fault))| wanted(fault));
            assert!(has(|fault| matches!(fault, ProcessFault::Kill { .. })), "seed {seed}");
            assert!(has(|fault| matches!(fault, ProcessFault::Zombie { .. })), "seed {seed}");
        }
    }
}
