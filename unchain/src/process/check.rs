//! What can be wrong with declared processors, each alone and several together, before anything runs.

use std::collections::HashSet;

use thiserror::Error;

use super::Processor;
use super::window::WindowError;
use crate::contract::{Cleanup, Topic};

/// What is wrong with a declared processor.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DeclareError {
    #[error("processor {processor} has no handler: add one with `.handle(function)`")]
    NoHandler { processor: &'static str },
    #[error("processor {processor} has a handler that takes State<{state}>: give it one with `.state(value)`")]
    MissingState { processor: &'static str, state: &'static str },
    #[error("processor {processor} has two handlers for {input}: one function handles an input")]
    TwoHandlers { processor: &'static str, input: &'static str },
    #[error(
        "processor {processor} keeps tables that {one} ({one_partitions} partitions) and {other} ({other_partitions}) \
         share: inputs that share tables need equal partitions, so that a key has the same one in each"
    )]
    UnequalInputs {
        processor: &'static str,
        one: &'static str,
        one_partitions: i32,
        other: &'static str,
        other_partitions: i32,
    },
    #[error("processor {processor} keeps table {table}, whose topic is not compacted: set `cleanup = \"compact\"`")]
    NotCompacted { processor: &'static str, table: &'static str },
    #[error("processor {processor} emits to {table}, which is its table: change the entry instead")]
    TableAsOutput { processor: &'static str, table: &'static str },
    #[error(
        "processor {processor} keeps table {table} ({table_partitions} partitions) beside input {input} \
         ({input_partitions}): a table needs as many partitions as its input"
    )]
    NotCopartitioned {
        processor: &'static str,
        table: &'static str,
        table_partitions: i32,
        input: &'static str,
        input_partitions: i32,
    },
    #[error(
        "processor {processor} reads rows of table {table}, which none of its handlers changes: let the handler of the \
         table's source take Entry, or look the other topic up with Lookup"
    )]
    NeverWritten { processor: &'static str, table: &'static str },
    #[error(
        "processor {processor} has a handler that takes windows of {table}: say which with `.window(kind)`, for example \
         Tumbling::of(hours(1))"
    )]
    MissingWindow { processor: &'static str, table: &'static str },
    #[error("processor {processor} has windows of {table} that cannot be: {reason}")]
    BadWindow { processor: &'static str, table: &'static str, reason: WindowError },
    #[error(
        "processor {processor} takes table {table} both by window and by key: rows of windows have keys of their own, so \
         each needs its table"
    )]
    WindowsAndEntries { processor: &'static str, table: &'static str },
    #[error("processor {processor} takes the event time of {input}, which none of its handlers reads")]
    EventTimeOfNoInput { processor: &'static str, input: &'static str },
    #[error("{one} and {other} both keep table {table}: a table has one owner, others read it as input or lookup")]
    TwoOwners { table: &'static str, one: &'static str, other: &'static str },
    #[error("{writer} emits to {table}, which is a table of {owner}: only its owner writes a table")]
    TableOfAnother { table: &'static str, owner: &'static str, writer: &'static str },
}

/// Checks one processor.
pub(super) fn check(all: &Processor) -> Result<(), DeclareError> {
    let processor = all.name();
    if all.handler_declarations().next().is_none() {
        return Err(DeclareError::NoHandler { processor });
    }
    for (id, state) in all.declaration().states() {
        if !all.states().contains(*id) {
            return Err(DeclareError::MissingState { processor, state });
        }
    }
    check_inputs(all)?;
    check_windows(all)?;
    for handler in all.handler_declarations() {
        let input = handler.inputs()[0];
        for table in handler.tables() {
            check_table(all, input, table)?;
        }
    }
    Ok(())
}

fn check_inputs(all: &Processor) -> Result<(), DeclareError> {
    let processor = all.name();
    let mut inputs = HashSet::new();
    for handler in all.handler_declarations() {
        let input = handler.inputs()[0].name;
        if !inputs.insert(input) {
            return Err(DeclareError::TwoHandlers { processor, input });
        }
    }
    for group in all.groups() {
        let one = group.inputs[0];
        if let Some(other) = group.inputs.iter().find(|other| other.partitions != one.partitions) {
            return Err(DeclareError::UnequalInputs {
                processor,
                one: one.name,
                one_partitions: one.partitions,
                other: other.name,
                other_partitions: other.partitions,
            });
        }
    }
    Ok(())
}

fn check_windows(all: &Processor) -> Result<(), DeclareError> {
    let processor = all.name();
    for (_, table, checked) in all.windows() {
        checked.clone().map_err(|reason| DeclareError::BadWindow { processor, table, reason })?;
    }
    for (table, spec) in all.declaration().windowed() {
        if !all.windows().any(|(declared, ..)| declared == *spec) {
            return Err(DeclareError::MissingWindow { processor, table: table.name });
        }
        if contains(all.declaration().keyed(), table) {
            return Err(DeclareError::WindowsAndEntries { processor, table: table.name });
        }
    }
    match all.event_times().iter().find(|own| !all.declaration().reads(own)) {
        Some(input) => Err(DeclareError::EventTimeOfNoInput { processor, input }),
        None => Ok(()),
    }
}

fn check_table(all: &Processor, input: &'static Topic, table: &'static Topic) -> Result<(), DeclareError> {
    let processor = all.name();
    if table.cleanup != Cleanup::Compact {
        return Err(DeclareError::NotCompacted { processor, table: table.name });
    }
    if contains(all.declaration().outputs(), table) {
        return Err(DeclareError::TableAsOutput { processor, table: table.name });
    }
    if table.partitions != input.partitions {
        return Err(DeclareError::NotCopartitioned {
            processor,
            table: table.name,
            table_partitions: table.partitions,
            input: input.name,
            input_partitions: input.partitions,
        });
    }
    if !contains(all.declaration().written(), table) {
        return Err(DeclareError::NeverWritten { processor, table: table.name });
    }
    Ok(())
}

/// Checks what only several processors can get wrong: a table has one owner, and nobody else writes it.
pub fn check_together(processors: &[Processor]) -> Result<(), DeclareError> {
    for (place, owner) in processors.iter().enumerate() {
        for table in owner.declaration().tables() {
            for (_, other) in processors.iter().enumerate().filter(|(other, _)| *other != place) {
                if contains(other.declaration().tables(), table) {
                    return Err(DeclareError::TwoOwners { table: table.name, one: owner.name(), other: other.name() });
                }
                if contains(other.declaration().outputs(), table) {
                    let (owner, writer) = (owner.name(), other.name());
                    return Err(DeclareError::TableOfAnother { table: table.name, owner, writer });
                }
            }
        }
    }
    Ok(())
}

fn contains(topics: &[&'static Topic], topic: &Topic) -> bool {
    topics.iter().any(|known| known.name == topic.name)
}
