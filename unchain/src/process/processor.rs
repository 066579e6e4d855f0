//! A processor: a name, handlers and shared state, declared as data before anything runs.

use std::any::TypeId;
use std::sync::Arc;
use std::time::Duration;

use super::check::{DeclareError, check};
use super::groups::{Group, groups};
use super::handler::TypedHandler;
use super::state::States;
use super::window::{EventTimeOf, WindowError, WindowKind, WindowSpec};
use super::{AnyHandler, Declaration, Handler};
use crate::contract::{Contract, Topic};
use crate::envelope::Envelope;
use crate::table::TableOptions;

type NewHandler = Arc<dyn Fn(&'static Topic) -> Box<dyn AnyHandler> + Send + Sync>;

/// One consumer group's work and one deployable.
#[derive(Clone)]
pub struct Processor {
    name: &'static str,
    doc: &'static str,
    declaration: Declaration,
    handlers: Vec<DeclaredHandler>,
    groups: Vec<Group>,
    windows: Vec<DeclaredWindow>,
    /// Contracts whose values hold their event time, by their own topics' names.
    event_times: Vec<&'static str>,
    states: States,
    envelope: Envelope,
    /// By the contracts' own topic names.
    table_options: Vec<(&'static str, TableOptions)>,
}

#[derive(Clone)]
struct DeclaredHandler {
    declaration: Declaration,
    new: NewHandler,
}

/// What was said of one contract's windows.
#[derive(Clone)]
struct DeclaredWindow {
    spec: TypeId,
    table: &'static str,
    checked: Result<(), WindowError>,
}

impl Processor {
    /// A processor of this name, which is also its consumer group's.
    pub fn new(name: &'static str) -> Processor {
        let (declaration, states) = (Declaration::default(), States::default());
        let envelope = Envelope::default();
        let (handlers, groups, windows) = (Vec::new(), Vec::new(), Vec::new());
        Processor {
            name,
            doc: "",
            declaration,
            handlers,
            groups,
            windows,
            event_times: Vec::new(),
            states,
            envelope,
            table_options: Vec::new(),
        }
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
        self.with_groups()
    }

    /// Says what the windows of a table are like, which handlers take as `Windows<C>`.
    pub fn window<C: Contract>(mut self, kind: impl WindowKind<C>) -> Processor {
        let spec = kind.spec();
        let (id, checked) = (TypeId::of::<WindowSpec<C>>(), spec.check());
        self.windows.push(DeclaredWindow { spec: id, table: C::TOPIC.name, checked });
        self.states.insert(spec);
        self
    }

    /// Takes the event time of an input from its values, in milliseconds since the Unix epoch, in place of the records'
    /// timestamps. A negative one counts as none.
    pub fn event_time<C: Contract>(mut self, time_ms: fn(&C) -> i64) -> Processor {
        self.event_times.push(C::TOPIC.name);
        self.states.insert(EventTimeOf(time_ms));
        self.states.event_times.has_fields = true;
        self
    }

    /// How far ahead of the wall clock an event time is believed; an hour by default, as Kafka's brokers have it. A record
    /// beyond it never moves stream time, so that no single one closes every window, and handlers with windows reject it.
    pub fn max_ahead(mut self, max_ahead: Duration) -> Processor {
        self.states.event_times.set_max_ahead(max_ahead);
        self
    }

    /// The wall clock that event times are held against, in milliseconds since the Unix epoch: for tests.
    pub fn clock(mut self, now_ms: impl Fn() -> i64 + Send + Sync + 'static) -> Processor {
        self.states.event_times.set_clock(Arc::new(now_ms));
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
        self.with_groups()
    }

    fn with_groups(mut self) -> Processor {
        self.groups = groups(self.handlers.iter().map(|handler| &handler.declaration));
        self
    }

    /// The topic of a contract in this processor: its own, or the one that stands for it.
    pub fn topic_of<C: Contract>(&self) -> &'static Topic {
        self.declaration.topic_of::<C>()
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
        check(self)
    }

    /// The inputs that share tables, directly or through others, with those tables; in the order of their handlers.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The group of an input, as its place among [`Processor::groups`].
    ///
    /// # Panics
    /// Where no handler has this input: the processor does not read it.
    pub fn group_of(&self, input: &str) -> usize {
        let found = self.groups.iter().position(|group| group.inputs.iter().any(|topic| topic.name == input));
        found.expect("every input that is read has a handler, and every handler a group")
    }

    /// The tables that a group's inputs share, partition by partition.
    pub fn tables_of(&self, group: usize) -> &[&'static Topic] {
        &self.groups[group].tables
    }

    /// Whether some inputs share tables: then a partition's number of them must belong to one worker.
    pub fn co_partitioned(&self) -> bool {
        self.groups.iter().any(|group| group.inputs.len() > 1)
    }

    /// The tables that are kept beside an input, partition by partition.
    pub fn tables_beside(&self, input: &str) -> Vec<&'static Topic> {
        self.tables_of(self.group_of(input)).to_vec()
    }

    pub(super) fn handler_declarations(&self) -> impl Iterator<Item = &Declaration> {
        self.handlers.iter().map(|handler| &handler.declaration)
    }

    /// The windows that were declared: the type of what says which, the table, and whether they can be.
    pub(super) fn windows(&self) -> impl Iterator<Item = (TypeId, &'static str, &Result<(), WindowError>)> {
        self.windows.iter().map(|window| (window.spec, window.table, &window.checked))
    }

    pub(super) fn event_times(&self) -> &[&'static str] {
        &self.event_times
    }

    pub(crate) fn states(&self) -> &States {
        &self.states
    }

    /// A worker's own handlers.
    pub(crate) fn new_handlers(&self) -> Vec<Box<dyn AnyHandler>> {
        self.handlers.iter().map(|handler| (handler.new)(handler.declaration.inputs()[0])).collect()
    }

    /// Bounds a table: rows that are too many or too old go by themselves.
    pub fn table<C: Contract>(mut self, options: TableOptions) -> Processor {
        self.table_options.push((C::TOPIC.name, options));
        self
    }

    /// The options of a group's tables, in their order.
    pub(crate) fn table_options(&self, group: usize) -> Vec<TableOptions> {
        let of = |topic: &&'static Topic| {
            let given = self.table_options.iter().find(|(own, _)| self.declaration.renamed_to(own) == topic.name);
            given.map(|(_, options)| *options).unwrap_or_default()
        };
        self.tables_of(group).iter().map(of).collect()
    }

    /// Gives outputs fewer headers, or none.
    pub fn envelope(mut self, envelope: Envelope) -> Processor {
        self.envelope = envelope;
        self
    }

    pub(crate) fn envelope_kind(&self) -> Envelope {
        self.envelope
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
