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
}

impl Node {
    pub fn address(&self) -> String {
        format!("{HOST}:{}", self.port)
    }
}

/// The nodes of a cluster whose first port is `first_port`, or that takes free ones where it is 0.
pub fn nodes(brokers: u16, first_port: u16) -> Result<Vec<Node>, KafkaError> {
    let first = if first_port == 0 { free_ports(brokers * 2).ok_or(KafkaError::NoPorts)? } else { first_port };
    let node = |index| {
        let port = first.checked_add(index * 2 + 1)? - 1;
        Some(Node { id: index + 1, port, controller_port: port + 1 })
    };
    let nodes: Vec<Node> = (0..brokers).map(node).collect::<Option<_>>().ok_or(KafkaError::NoPorts)?;
    match nodes.iter().flat_map(|node| [node.port, node.controller_port]).find(|&port| !is_free(port)) {
        Some(port) => Err(KafkaError::PortTaken { port }),
        None => Ok(nodes),
    }
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
    let Node { id, port, controller_port } = node;
    let data = data.display();
    format!(
        "# Written by `cargo xtask kafka start`.
process.roles=broker,controller
node.id={id}
controller.quorum.voters={voters}
listeners=PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}
advertised.listeners=PLAINTEXT://{HOST}:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
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
"
    )
}

/// Reads back what [`properties`] wrote.
pub fn node_of(properties: &str) -> Option<Node> {
    let value = |key: &str| properties.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    let (broker, controller) = value("listeners")?.split_once(',')?;
    let port = |listener: &str| listener.rsplit(':').next()?.parse().ok();
    Some(Node { id: value("node.id")?.parse().ok()?, port: port(broker)?, controller_port: port(controller)? })
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
        (0..3).map(|i| Node { id: i + 1, port: 4000 + 2 * i, controller_port: 4001 + 2 * i }).collect()
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
        for node in three() {
            assert_eq!(node_of(&properties(&node, &three(), Path::new("data"))), Some(node));
        }
        assert_eq!(node_of("node.id=1"), None);
    }

    #[test]
    fn a_taken_port_is_named() {
        let taken = TcpListener::bind((HOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = nodes(1, port).unwrap_err();
        assert!(matches!(error, KafkaError::PortTaken { port: named } if named == port), "{error}");
    }

    #[test]
    fn free_ports_are_found() {
        let nodes = nodes(3, 0).unwrap();
        assert_eq!(nodes.len(), 3);
        assert!(nodes.iter().all(|node| SEARCHED_PORTS.contains(&node.port) && node.controller_port == node.port + 1));
    }
}
