//! A cluster in a folder: `N.properties`, `N.log`, `N.pid` and the data folder `N.data` of each broker N.

use std::collections::hash_map::RandomState;
use std::fs::{self, File};
use std::hash::BuildHasher;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::process::{ask_to_end, await_end, is_broker, pause};
use super::readiness::known_brokers;
use super::settings::{Node, bootstrap, node_of, nodes, properties};
use super::{KafkaError, Libraries};

/// Three brokers on two busy cores take half a minute.
const START_PATIENCE: Duration = Duration::from_secs(120);
const POLL_INTERVAL: Duration = Duration::from_millis(100);
const HEAP: [&str; 2] = ["-Xms256m", "-Xmx1g"];
/// Several brokers share the machine.
const SMALL_HEAP: [&str; 2] = ["-Xms192m", "-Xmx512m"];

pub struct Cluster {
    dir: PathBuf,
}

impl Cluster {
    pub fn at(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Starts new brokers with empty data; returns their bootstrap address once each knows all others.
    pub fn start(&self, libraries: &Libraries, brokers: u16, first_port: u16) -> Result<String, KafkaError> {
        self.begin(libraries, brokers, first_port, false)
    }

    /// As [`Self::start`], each broker with a second listener, whose clients are sent to a proxy's port. The proxies are the
    /// caller's; the address returned leads around them.
    pub fn start_proxied(&self, libraries: &Libraries, brokers: u16, first_port: u16) -> Result<String, KafkaError> {
        self.begin(libraries, brokers, first_port, true)
    }

    fn begin(&self, libraries: &Libraries, brokers: u16, first_port: u16, proxied: bool) -> Result<String, KafkaError> {
        self.refuse_second_start()?;
        self.clear()?;
        let nodes = nodes(brokers, first_port, proxied)?;
        for node in &nodes {
            let path = self.file(node.id, "properties");
            let text = properties(node, &nodes, &self.file(node.id, "data"));
            fs::write(&path, text).map_err(KafkaError::io(&path))?;
        }
        self.format(libraries, &nodes)?;
        self.run(libraries, &nodes, nodes.len())
    }

    /// Starts the brokers again that [`Self::stop`] ended with their data kept, on the same ports.
    pub fn restart(&self, libraries: &Libraries) -> Result<String, KafkaError> {
        self.refuse_second_start()?;
        let nodes = self.nodes();
        if nodes.is_empty() || nodes.iter().any(|node| !self.file(node.id, "data").is_dir()) {
            return Err(KafkaError::NothingKept { dir: self.dir.clone() });
        }
        self.run(libraries, &nodes, nodes.len())
    }

    /// Starts one broker again, beside those that run.
    pub fn restart_one(&self, libraries: &Libraries, id: u16) -> Result<String, KafkaError> {
        let nodes = self.nodes();
        let node = nodes.iter().find(|node| node.id == id && self.file(id, "data").is_dir());
        let node = node.ok_or(KafkaError::NothingKept { dir: self.dir.clone() })?;
        if self.running().iter().any(|(running, _)| *running == id) {
            return Err(KafkaError::Running { dir: self.dir.clone() });
        }
        self.run(libraries, std::slice::from_ref(node), nodes.len())
    }

    /// Ends one broker, whose data stay.
    pub fn stop_one(&self, id: u16, at_once: bool) -> Result<(), KafkaError> {
        let Some((_, pid)) = self.running().into_iter().find(|(running, _)| *running == id) else { return Ok(()) };
        ask_to_end(pid, at_once);
        await_end(pid, &self.file(id, "properties"))?;
        let _ = fs::remove_file(self.file(id, "pid"));
        Ok(())
    }

    /// Ends the brokers that run from this folder; logs stay until the next start, data only where it is to be kept.
    pub fn stop(&self, keep_data: bool, at_once: bool) -> Result<(), KafkaError> {
        let running = self.running();
        for (_, pid) in &running {
            ask_to_end(*pid, at_once);
        }
        for (node, pid) in &running {
            await_end(*pid, &self.file(*node, "properties"))?;
        }
        for Node { id, .. } in self.nodes() {
            let _ = fs::remove_file(self.file(id, "pid"));
            if !keep_data {
                remove_folder(&self.file(id, "data"))?;
            }
        }
        Ok(())
    }

    /// Runs brokers of a cluster of `all` until they answer.
    fn run(&self, libraries: &Libraries, nodes: &[Node], all: usize) -> Result<String, KafkaError> {
        let ready = self.spawn(libraries, nodes, all).and_then(|mut begun| self.await_ready(nodes, &mut begun, all));
        if ready.is_err() {
            // The logs that the error names stay; the brokers that did start go.
            nodes.iter().try_for_each(|node| self.stop_one(node.id, true))?;
        }
        ready.map(|()| bootstrap(nodes))
    }

    fn spawn(&self, libraries: &Libraries, nodes: &[Node], all: usize) -> Result<Vec<Child>, KafkaError> {
        let heap = if all > 1 { SMALL_HEAP } else { HEAP };
        let mut brokers = Vec::new();
        for node in nodes {
            let (out, err) = self.log(node.id)?;
            let mut broker = libraries.java();
            broker.args(heap).arg("kafka.Kafka").arg(self.file(node.id, "properties"));
            broker.stdin(Stdio::null()).stdout(out).stderr(err);
            // A group of its own: an interrupt at the terminal ends what the user runs, not the brokers beside it.
            let broker = broker.process_group(0).spawn().map_err(KafkaError::io(Path::new("java")))?;
            let pid = self.file(node.id, "pid");
            fs::write(&pid, broker.id().to_string()).map_err(KafkaError::io(&pid))?;
            brokers.push(broker);
        }
        Ok(brokers)
    }

    fn await_ready(&self, nodes: &[Node], brokers: &mut [Child], all: usize) -> Result<(), KafkaError> {
        let deadline = Instant::now() + START_PATIENCE;
        for (node, broker) in nodes.iter().zip(brokers) {
            while known_brokers(&node.address()) != Some(all) {
                let log = self.file(node.id, "log");
                if broker.try_wait().map_err(KafkaError::io(&log))?.is_some() {
                    return Err(KafkaError::Ended { node: node.id, log });
                }
                if Instant::now() >= deadline {
                    return Err(KafkaError::Silent { node: node.id, patience: START_PATIENCE, log });
                }
                pause(POLL_INTERVAL);
            }
        }
        Ok(())
    }

    /// Gives each broker's empty data folder the cluster's id, all at the same time: each is a start of Java.
    fn format(&self, libraries: &Libraries, nodes: &[Node]) -> Result<(), KafkaError> {
        let cluster_id = fresh_cluster_id();
        let mut formatting = Vec::new();
        for node in nodes {
            let (out, err) = self.log(node.id)?;
            let mut tool = libraries.java();
            tool.args(["kafka.tools.StorageTool", "format", "-t", &cluster_id, "-c"]);
            tool.arg(self.file(node.id, "properties")).stdin(Stdio::null()).stdout(out).stderr(err);
            formatting.push((node.id, tool.spawn().map_err(KafkaError::io(Path::new("java")))?));
        }
        for (node, mut tool) in formatting {
            let log = self.file(node, "log");
            if !tool.wait().map_err(KafkaError::io(&log))?.success() {
                return Err(KafkaError::Format { node, log });
            }
        }
        Ok(())
    }

    fn refuse_second_start(&self) -> Result<(), KafkaError> {
        if self.running().is_empty() { Ok(()) } else { Err(KafkaError::Running { dir: self.dir.clone() }) }
    }

    /// Empties the folder, if it is one of ours.
    fn clear(&self) -> Result<(), KafkaError> {
        let entries = fs::read_dir(&self.dir).map_or(0, Iterator::count);
        if entries > 0 && self.nodes().is_empty() {
            return Err(KafkaError::ForeignFolder { dir: self.dir.clone() });
        }
        remove_folder(&self.dir)?;
        fs::create_dir_all(&self.dir).map_err(KafkaError::io(&self.dir))
    }

    /// The nodes by their settings, which stay when the brokers end.
    fn nodes(&self) -> Vec<Node> {
        (1..=9).map_while(|id| node_of(&fs::read_to_string(self.file(id, "properties")).ok()?)).collect()
    }

    fn running(&self) -> Vec<(u16, u32)> {
        let pid = |id| fs::read_to_string(self.file(id, "pid")).ok()?.trim().parse().ok();
        let brokers = self.nodes().into_iter().filter_map(|node| Some((node.id, pid(node.id)?)));
        brokers.filter(|(id, pid)| is_broker(*pid, &self.file(*id, "properties"))).collect()
    }

    fn file(&self, node: u16, what: &str) -> PathBuf {
        // Absolute, as it also tells our broker from any other by its command line.
        let dir = std::path::absolute(&self.dir).unwrap_or_else(|_| self.dir.clone());
        dir.join(format!("{node}.{what}"))
    }

    fn log(&self, node: u16) -> Result<(File, File), KafkaError> {
        let path = self.file(node, "log");
        let open = || File::options().append(true).create(true).open(&path).map_err(KafkaError::io(&path));
        Ok((open()?, open()?))
    }
}

fn remove_folder(path: &Path) -> Result<(), KafkaError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(KafkaError::io(path)(error)),
        _ => Ok(()),
    }
}

/// 128 random bits in URL-safe base 64, as Kafka wants them: data of another cluster is then never taken for ours.
fn fresh_cluster_id() -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let random = || u128::from(RandomState::new().hash_one(()));
    let mut bits = random() << 64 | random();
    let mut id = String::from("k");
    for _ in 0..20 {
        id.push(char::from(DIGITS[usize::try_from(bits % 64).expect("below 64")]));
        bits /= 64;
    }
    // The last digit has two bits of meaning; the other four are zero.
    id.push('A');
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_other_things_is_not_cleared() {
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join("thesis.txt"), "years of work").expect("written");
        let error = Cluster::at(dir.path()).clear().expect_err("it is not ours");
        assert!(matches!(error, KafkaError::ForeignFolder { .. }), "{error}");
        assert!(dir.path().join("thesis.txt").exists());
    }

    #[test]
    fn cluster_ids_are_22_characters_and_differ() {
        let (one, other) = (fresh_cluster_id(), fresh_cluster_id());
        assert_eq!(one.len(), 22);
        assert_ne!(one, other);
    }

    #[test]
    fn a_broker_is_running_only_while_its_process_is() {
        let dir = tempfile::tempdir().expect("a folder");
        let cluster = Cluster::at(dir.path());
        let node = Node { id: 1, port: 4000, controller_port: 4001, proxied: None };
        let text = properties(&node, std::slice::from_ref(&node), &cluster.file(1, "data"));
        fs::write(cluster.file(1, "properties"), text).expect("written");
        // This test's own process runs, but not on those settings: an id that was used again.
        fs::write(cluster.file(1, "pid"), std::process::id().to_string()).expect("written");
        assert_eq!(cluster.running(), []);
        assert_eq!(cluster.nodes(), [node]);
    }
}
