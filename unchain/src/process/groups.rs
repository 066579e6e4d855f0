//! Co-partitioned groups: inputs whose handlers share tables, so that their partitions of one number go together.

use super::Declaration;
use crate::contract::Topic;

/// Inputs that share tables, directly or through others, and all their tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// In the order of their handlers.
    pub inputs: Vec<&'static Topic>,
    pub tables: Vec<&'static Topic>,
}

impl Group {
    fn shares_a_table(&self, tables: &[&'static Topic]) -> bool {
        self.tables.iter().any(|known| tables.iter().any(|table| table.name == known.name))
    }

    fn take(&mut self, other: Group) {
        add(&mut self.inputs, other.inputs);
        add(&mut self.tables, other.tables);
    }
}

/// The groups of a processor's handlers, in the order of their first ones.
pub(super) fn groups<'d>(handlers: impl Iterator<Item = &'d Declaration>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for handler in handlers {
        let new = Group { inputs: handler.inputs().to_vec(), tables: handler.tables().to_vec() };
        // A handler may join groups that had nothing in common before.
        let Some(first) = groups.iter().position(|group| group.shares_a_table(&new.tables)) else {
            groups.push(new);
            continue;
        };
        for later in (first + 1..groups.len()).rev() {
            if groups[later].shares_a_table(&new.tables) {
                let joined = groups.remove(later);
                groups[first].take(joined);
            }
        }
        groups[first].take(new);
    }
    groups
}

fn add(topics: &mut Vec<&'static Topic>, more: Vec<&'static Topic>) {
    for topic in more {
        if !topics.iter().any(|known| known.name == topic.name) {
            topics.push(topic);
        }
    }
}
