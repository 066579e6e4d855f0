//! All topics: created, grown, configured and deleted here; who waits for their records is woken here.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use tokio::sync::Notify;
use uuid::Uuid;

use super::settings::TopicSettings;
use crate::log::LogError;
use crate::log::partition::{Home, PartitionLog};
use crate::log::store::MemoryBudget;

/// A partition: its log, and the fetches that wait for more of it.
#[derive(Debug)]
pub struct Partition {
    pub log: RefCell<PartitionLog>,
    waiters: RefCell<Vec<Rc<Notify>>>,
}

impl Partition {
    fn new(log: PartitionLog) -> Rc<Partition> {
        Rc::new(Partition { log: RefCell::new(log), waiters: RefCell::default() })
    }

    /// Wakes every fetch that waits here; they look again and, if need be, wait again.
    pub fn wake(&self) {
        for waiter in self.waiters.borrow_mut().drain(..) {
            waiter.notify_one();
        }
    }

    pub fn await_records(&self, waiter: &Rc<Notify>) {
        let mut waiters = self.waiters.borrow_mut();
        if !waiters.iter().any(|known| Rc::ptr_eq(known, waiter)) {
            waiters.push(waiter.clone());
        }
    }

    pub fn stop_waiting(&self, waiter: &Rc<Notify>) {
        self.waiters.borrow_mut().retain(|known| !Rc::ptr_eq(known, waiter));
    }
}

/// A topic.
#[derive(Debug)]
pub struct Topic {
    pub name: String,
    pub id: Uuid,
    pub overrides: BTreeMap<String, String>,
    pub settings: TopicSettings,
    pub partitions: Vec<Rc<Partition>>,
}

/// All topics by name and by id.
#[derive(Debug)]
pub struct Catalog {
    topics: BTreeMap<String, Topic>,
    names: HashMap<Uuid, String>,
    root: Option<PathBuf>,
    budget: MemoryBudget,
}

/// Kafka's rule: 1 to 249 of `[a-zA-Z0-9._-]`, and not `.` or `..`.
pub fn is_valid_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !name.is_empty() && name.len() <= 249 && name != "." && name != ".." && name.chars().all(legal)
}

impl Catalog {
    pub fn new(root: Option<PathBuf>, budget: MemoryBudget) -> Catalog {
        Catalog { topics: BTreeMap::new(), names: HashMap::new(), root, budget }
    }

    pub fn get(&self, name: &str) -> Option<&Topic> {
        self.topics.get(name)
    }

    pub fn by_id(&self, id: Uuid) -> Option<&Topic> {
        self.topics.get(self.names.get(&id)?)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Topic> {
        self.topics.values()
    }

    pub fn partition(&self, topic: &str, partition: i32) -> Option<&Rc<Partition>> {
        self.topics.get(topic)?.partitions.get(usize::try_from(partition).ok()?)
    }

    pub fn partition_count(&self) -> usize {
        self.topics.values().map(|topic| topic.partitions.len()).sum()
    }

    /// Adds a topic whose name and settings the caller has checked. `log_starts` holds what recovery knows.
    pub fn add(
        &mut self,
        name: &str,
        id: Uuid,
        partitions: i32,
        overrides: BTreeMap<String, String>,
        settings: TopicSettings,
    ) {
        let home = |partition| self.home(id, partition);
        let partitions = (0..partitions).map(|at| Partition::new(PartitionLog::new(home(at)))).collect();
        self.names.insert(id, name.to_owned());
        self.topics.insert(name.to_owned(), Topic { name: name.to_owned(), id, overrides, settings, partitions });
    }

    /// Replaces the empty logs that [`Catalog::add`] made by what is on disk.
    pub fn open_logs(&mut self, log_starts: &HashMap<(Uuid, i32), i64>, now_ms: i64) -> Result<(), LogError> {
        for topic in self.topics.values() {
            for (at, partition) in topic.partitions.iter().enumerate() {
                let log = partition.log.borrow().home().clone();
                if let Home::Dir(dir) = log {
                    let log_start = log_starts.get(&(topic.id, at as i32)).copied().unwrap_or(0);
                    partition.log.replace(PartitionLog::open(&dir, log_start, now_ms)?);
                }
            }
        }
        Ok(())
    }

    fn home(&self, id: Uuid, partition: i32) -> Home {
        match &self.root {
            Some(root) => Home::Dir(topic_dir(root, id).join(partition.to_string())),
            None => Home::Memory(self.budget.clone()),
        }
    }

    /// Adds partitions up to `total`.
    pub fn grow(&mut self, name: &str, total: i32) {
        let Some(topic) = self.topics.get(name) else { return };
        let added: Vec<_> = (topic.partitions.len() as i32..total)
            .map(|at| Partition::new(PartitionLog::new(self.home(topic.id, at))))
            .collect();
        if let Some(topic) = self.topics.get_mut(name) {
            topic.partitions.extend(added);
        }
    }

    pub fn configure(&mut self, name: &str, overrides: BTreeMap<String, String>, settings: TopicSettings) {
        if let Some(topic) = self.topics.get_mut(name) {
            topic.overrides = overrides;
            topic.settings = settings;
        }
    }

    /// Removes a topic from memory only; the journal's replay does so, strays on disk are removed after it.
    pub fn forget(&mut self, name: &str) {
        if let Some(topic) = self.topics.remove(name) {
            self.names.remove(&topic.id);
        }
    }

    /// Removes a topic and its records; fetches that wait for it find it gone.
    pub fn remove(&mut self, name: &str) -> std::io::Result<()> {
        let Some(topic) = self.topics.remove(name) else { return Ok(()) };
        self.names.remove(&topic.id);
        for partition in &topic.partitions {
            partition.wake();
        }
        match &self.root {
            Some(root) if topic_dir(root, topic.id).exists() => std::fs::remove_dir_all(topic_dir(root, topic.id)),
            _ => Ok(()),
        }
    }

    /// Removes directories of topics that are no longer known: a deletion that did not finish.
    pub fn remove_strays(&self) -> std::io::Result<()> {
        let Some(root) = &self.root else { return Ok(()) };
        let topics = root.join("topics");
        std::fs::create_dir_all(&topics)?;
        for entry in std::fs::read_dir(topics)? {
            let entry = entry?;
            let id = entry.file_name().to_str().and_then(|name| Uuid::parse_str(name).ok());
            if id.is_some_and(|id| !self.names.contains_key(&id)) {
                std::fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }
}

fn topic_dir(root: &Path, id: Uuid) -> PathBuf {
    root.join("topics").join(id.to_string())
}

#[cfg(test)]
mod tests {
    use super::is_valid_name;

    #[test]
    fn topic_names_follow_kafkas_rule() {
        for name in ["orders", "a.b_c-9", &"x".repeat(249)] {
            assert!(is_valid_name(name), "{name}");
        }
        for name in ["", ".", "..", "a/b", "a b", "ä", &"x".repeat(250)] {
            assert!(!is_valid_name(name), "{name}");
        }
    }
}
