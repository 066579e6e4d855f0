//! The settings of each broker, and the ports that a cluster takes.

use std::net::TcpListener;
use std::path::Path;

use super::KafkaError;

const HOST: &str = "127.0.0.1";
/// Free ports are looked for below the range from which systems lend ports to outgoing connections: a broker that is
/// stopped and started again then finds its port still free.
const SEARCHED_PORTS: std::ops::Range<u16> = 20_000..30_000;

/// One node of the cluster, broker and controller in one.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub id: u16,
    pub port: u16,
    pub controller_port: u16,
    pub proxied: Option<Proxied>,
}

/// A second listener, whose clients are told to come by way of a proxy that somebody else starts.
#[derive(Clone, Debug, PartialEq)]
pub struct Proxied {
    /// Where the broker listens.
    pub port: u16,
    /// Where it says that it listens: the proxy's port.
    pub advertised_port: u16,
}

impl Node {
    pub fn address(&self) -> String {
        format!("{HOST}:{}", self.port)
    }
}

/// The nodes of a cluster whose first port is `first_port`, or that takes free ones where it is 0.
pub fn nodes(brokers: u16, first_port: u16, proxied: bool) -> Result<Vec<Node>, KafkaError> {
    let ports_each = if proxied { 4 } else { 2 };
    let first = if first_port == 0 { free_ports(brokers * ports_each).ok_or(KafkaError::NoPorts)? } else { first_port };
    let node = |index| {
        let last = first.checked_add(index * ports_each + ports_each - 1)?;
        let port = last - (ports_each - 1);
        let proxied = proxied.then_some(Proxied { port: port + 2, advertised_port: port + 3 });
        Some(Node { id: index + 1, port, controller_port: port + 1, proxied })
    };
    let nodes: Vec<Node> = (0..brokers).map(node).collect::<Option<_>>().ok_or(KafkaError::NoPorts)?;
    // Ports that were searched for were found free.
    match nodes.iter().flat_map(ports).find(|&port| first_port != 0 && !is_free(port)) {
        Some(port) => Err(KafkaError::PortTaken { port }),
        None => Ok(nodes),
    }
}

fn ports(node: &Node) -> Vec<u16> {
    let proxied = node.proxied.iter().flat_map(|proxied| [proxied.port, proxied.advertised_port]);
    [node.port, node.controller_port].into_iter().chain(proxied).collect()
}

/// What clients connect to.
pub fn bootstrap(nodes: &[Node]) -> String {
    nodes.iter().map(Node::address).collect::<Vec<_>>().join(",")
}

/// A broker's `server.properties`.
pub fn properties(node: &Node, nodes: &[Node], data: &Path) -> String {
    let voter = |node: &Node| format!("{}@{HOST}:{}", node.id, node.controller_port);
    let voters = nodes.iter().map(voter).collect::<Vec<_>>().join(",");
    let replicas = nodes.len().min(3);
    // With three copies one broker may be down and a transaction still commits.
    let in_sync = if replicas > 1 { 2 } else { 1 };
    let Node { id, port, controller_port, .. } = node;
    let data = data.display();
    let outside = |port: fn(&Proxied) -> u16| {
        node.proxied.as_ref().map_or_else(String::new, |proxied| format!(",PROXIED://{HOST}:{}", port(proxied)))
    };
    let (listener, advertised) = (outside(|proxied| proxied.port), outside(|proxied| proxied.advertised_port));
    let moving = if node.proxied.is_some() { MOVING } else { "" };
    format!(
        "# Written by `cargo xtask kafka start`.
process.roles=broker,controller
node.id={id}
controller.quorum.voters={voters}
listeners=PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}{listener}
advertised.listeners=PLAINTEXT://{HOST}:{port}{advertised}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT
log.dirs={data}
num.partitions=6
default.replication.factor={replicas}
min.insync.replicas={in_sync}

# Fewer partitions of the internal topics: 50 each by default, which only makes the start slower.
offsets.topic.num.partitions=10
offsets.topic.replication.factor={replicas}
transaction.state.log.num.partitions=10
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr={in_sync}
share.coordinator.state.topic.num.partitions=10
share.coordinator.state.topic.replication.factor={replicas}
share.coordinator.state.topic.min.isr=1

# Tests start many small groups and watch members die.
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.session.timeout.ms=1000
group.consumer.min.heartbeat.interval.ms=500
{moving}"
    )
}

/// A cluster under faults recovers by itself, and soon: leaders go back after a restart, and with them the coordinators
/// of groups and transactions; what a killed producer left open is ended when its time is over, not up to 10 s later.
const MOVING: &str = "
auto.leader.rebalance.enable=true
leader.imbalance.check.interval.seconds=10
leader.imbalance.per.broker.percentage=1
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
";

/// Reads back what [`properties`] wrote.
pub fn node_of(properties: &str) -> Option<Node> {
    let value = |key: &str| properties.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    let port = |listeners: &str, name: &str| {
        let listener = listeners.split(',').find_map(|listener| listener.strip_prefix(name)?.strip_prefix("://"))?;
        listener.rsplit(':').next()?.parse().ok()
    };
    let (own, advertised) = (value("listeners")?, value("advertised.listeners")?);
    let proxied = port(own, "PROXIED").zip(port(advertised, "PROXIED"));
    Some(Node {
        id: value("node.id")?.parse().ok()?,
        port: port(own, "PLAINTEXT")?,
        controller_port: port(own, "CONTROLLER")?,
        proxied: proxied.map(|(port, advertised_port)| Proxied { port, advertised_port }),
    })
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((HOST, port)).is_ok()
}

/// The first of `count` free ports in a row. The search begins at a place of this process, so that two at once differ.
fn free_ports(count: u16) -> Option<u16> {
    let width = u32::from(SEARCHED_PORTS.end - SEARCHED_PORTS.start - count);
    let begin = std::process::id().wrapping_mul(2 * u32::from(count)) % width;
    (0..width)
        .step_by(usize::from(count))
        .map(|step| SEARCHED_PORTS.start + u16::try_from((begin + step) % width).expect("a port below 30,000"))
        .find(|&first| (first..first + count).all(is_free))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Vec<Node> {
        (0..3).map(|i| Node { id: i + 1, port: 4000 + 2 * i, controller_port: 4001 + 2 * i, proxied: None }).collect()
    }

    #[test]
    fn every_broker_of_three_knows_all_voters_and_commits_with_two() {
        let text = properties(&three()[1], &three(), Path::new("data/2"));
        assert!(
            text.contains("controller.quorum.voters=1@127.0.0.1:4001,2@127.0.0.1:4003,3@127.0.0.1:4005\n"),
            "{text}"
        );
        assert!(
            text.contains("transaction.state.log.replication.factor=3\ntransaction.state.log.min.isr=2\n"),
            "{text}"
        );
    }

    #[test]
    fn one_broker_needs_no_second() {
        let text = properties(&three()[0], &three()[..1], Path::new("data/1"));
        assert!(
            text.contains("transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n"),
            "{text}"
        );
    }

    #[test]
    fn settings_tell_their_node() {
        let proxied = Some(Proxied { port: 5000, advertised_port: 5001 });
        for node in three().into_iter().chain([Node { proxied, ..three()[0].clone() }]) {
            assert_eq!(node_of(&properties(&node, &three(), Path::new("data"))), Some(node));
        }
        assert_eq!(node_of("node.id=1"), None);
    }

    #[test]
    fn a_taken_port_is_named() {
        let taken = TcpListener::bind((HOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = nodes(1, port, false).unwrap_err();
        assert!(matches!(error, KafkaError::PortTaken { port: named } if named == port), "{error}");
    }

    #[test]
    fn free_ports_are_found() {
        let nodes = nodes(3, 0, true).unwrap();
        assert_eq!(nodes.len(), 3);
        assert!(nodes.iter().all(|node| SEARCHED_PORTS.contains(&node.port) && node.controller_port == node.port + 1));
    }
}
