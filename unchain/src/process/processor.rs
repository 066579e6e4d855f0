//! A processor: a name, handlers and shared state, declared as data before anything runs.

use std::collections::HashSet;
use std::sync::Arc;

use thiserror::Error;

use super::handler::TypedHandler;
use super::state::States;
use super::{AnyHandler, Declaration, Handler};
use crate::contract::{Cleanup, Contract, Topic};

type NewHandler = Arc<dyn Fn(&'static Topic) -> Box<dyn AnyHandler> + Send + Sync>;

/// One consumer group's work and one deployable.
#[derive(Clone)]
pub struct Processor {
    name: &'static str,
    doc: &'static str,
    declaration: Declaration,
    handlers: Vec<DeclaredHandler>,
    states: States,
}

#[derive(Clone)]
struct DeclaredHandler {
    declaration: Declaration,
    new: NewHandler,
}

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
        "processor {processor} keeps table {table} beside two inputs: their partitions may be given to different \
         instances, so each input needs a table of its own"
    )]
    SharedTable { processor: &'static str, table: &'static str },
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
}

impl Processor {
    /// A processor of this name, which is also its consumer group's.
    pub fn new(name: &'static str) -> Processor {
        let (declaration, states) = (Declaration::default(), States::default());
        Processor { name, doc: "", declaration, handlers: Vec::new(), states }
    }

    /// One sentence on what it does, for lists and graphs.
    pub fn doc(mut self, doc: &'static str) -> Processor {
        self.doc = doc;
        self
    }

    /// Adds the handler of one input contract.
    pub fn handle<Arguments: 'static, H: Handler<Arguments>>(mut self, handler: H) -> Processor {
        let mut declaration = self.declaration.with_same_names();
        H::declare(&mut declaration);
        H::declare(&mut self.declaration);
        let new: NewHandler =
            Arc::new(move |input| Box::new(TypedHandler::<H, Arguments>::new(handler.clone(), input)));
        self.handlers.push(DeclaredHandler { declaration, new });
        self
    }

    /// Shares a value with the handlers, which take it as `State<T>`.
    pub fn state<T: Clone + Send + Sync + 'static>(mut self, value: T) -> Processor {
        self.states.insert(value);
        self
    }

    /// Reads or writes a contract under another topic name than its own, such as one with an environment's prefix.
    pub fn topic_name<C: Contract>(mut self, name: &str) -> Processor {
        let topic = C::TOPIC.renamed(name);
        let of_handlers = self.handlers.iter_mut().map(|handler| &mut handler.declaration);
        of_handlers.chain([&mut self.declaration]).for_each(|declaration| declaration.rename(C::TOPIC.name, topic));
        self
    }

    pub fn name(&self) -> &'static str {
        self.name
    }

    pub fn description(&self) -> &'static str {
        self.doc
    }

    pub fn declaration(&self) -> &Declaration {
        &self.declaration
    }

    /// Checks what can be known before anything runs.
    pub fn check(&self) -> Result<(), DeclareError> {
        let processor = self.name;
        if self.handlers.is_empty() {
            return Err(DeclareError::NoHandler { processor });
        }
        for (id, state) in self.declaration.states() {
            if !self.states.contains(*id) {
                return Err(DeclareError::MissingState { processor, state });
            }
        }
        let (mut inputs, mut tables) = (HashSet::new(), HashSet::new());
        for handler in &self.handlers {
            let input = handler.declaration.inputs()[0];
            if !inputs.insert(input.name) {
                return Err(DeclareError::TwoHandlers { processor, input: input.name });
            }
            for table in handler.declaration.tables() {
                if !tables.insert(table.name) {
                    return Err(DeclareError::SharedTable { processor, table: table.name });
                }
                if table.cleanup != Cleanup::Compact {
                    return Err(DeclareError::NotCompacted { processor, table: table.name });
                }
                if self.declaration.outputs().iter().any(|output| output.name == table.name) {
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
            }
        }
        Ok(())
    }

    pub(crate) fn states(&self) -> &States {
        &self.states
    }

    /// A worker's own handlers.
    pub(crate) fn new_handlers(&self) -> Vec<Box<dyn AnyHandler>> {
        self.handlers.iter().map(|handler| (handler.new)(handler.declaration.inputs()[0])).collect()
    }

    /// The tables that are kept beside an input, partition by partition.
    pub fn tables_beside(&self, input: &str) -> Vec<&'static Topic> {
        let handlers = self.handlers.iter().map(|handler| &handler.declaration);
        let beside = handlers.filter(|declaration| declaration.inputs().iter().any(|topic| topic.name == input));
        beside.flat_map(|declaration| declaration.tables().iter().copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::system::DeadLetter;

    async fn resend(letter: DeadLetter) -> DeadLetter {
        letter
    }

    #[test]
    fn a_contract_goes_by_another_name_wherever_that_is_said() {
        let before = Processor::new("p").topic_name::<DeadLetter>("team.letters").handle(resend);
        let after = Processor::new("p").handle(resend).topic_name::<DeadLetter>("team.letters");
        for processor in [before, after] {
            let names: Vec<_> = processor.declaration().topics().iter().map(|topic| topic.name).collect();
            assert_eq!(names, ["team.letters"]);
            assert_eq!(processor.new_handlers()[0].input().name, "team.letters");
            let registry = crate::contract::LocalRegistry::in_memory();
            let mut codecs = crate::contract::Codecs::new(std::sync::Arc::new(registry));
            processor.declaration().add_codecs(&mut codecs).unwrap();
            assert_eq!(codecs.topic::<DeadLetter>().subject(), "team.letters-value");
        }
    }
}
