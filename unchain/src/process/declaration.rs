//! What a processor's handlers read, write and keep, collected from their types before any record is seen.

use std::any::{TypeId, type_name};
use std::sync::Arc;

use super::window::WindowSpec;
use crate::contract::{Codecs, Contract, RegistryError, Topic};
use crate::table::{AnyLookup, LookupTable};

type AddCodec = fn(&mut Codecs) -> Result<(), RegistryError>;
type NewLookup = fn(&'static Topic) -> Arc<dyn AnyLookup>;

/// The contracts of a processor, as data.
#[derive(Clone, Default)]
pub struct Declaration {
    inputs: Vec<&'static Topic>,
    outputs: Vec<&'static Topic>,
    tables: Vec<&'static Topic>,
    /// Those of the tables whose rows some handler changes.
    written: Vec<&'static Topic>,
    /// Those of the tables whose rows are of windows, each with the type of what says which.
    windowed: Vec<(&'static Topic, TypeId)>,
    /// Those of the tables whose rows are found by the record's key.
    keyed: Vec<&'static Topic>,
    lookups: Vec<(&'static Topic, NewLookup)>,
    states: Vec<(TypeId, &'static str)>,
    codecs: Vec<AddCodec>,
    /// Topics that stand for a contract's own, by the contract's name for it.
    renamed: Vec<(&'static str, &'static Topic)>,
}

impl Declaration {
    pub fn input<C: Contract>(&mut self) {
        let topic = self.renamed(C::TOPIC);
        add(&mut self.inputs, topic);
        self.codecs.push(Codecs::add_decoder::<C>);
    }

    pub fn output<C: Contract>(&mut self) {
        let topic = self.renamed(C::TOPIC);
        add(&mut self.outputs, topic);
        self.codecs.push(Codecs::add_encoder::<C>);
    }

    /// A table whose rows the handler reads and changes, found by the record's key.
    pub fn table<C: Contract>(&mut self) {
        self.table_read::<C>();
        let topic = self.renamed(C::TOPIC);
        add(&mut self.written, topic);
    }

    /// A table whose rows the handler reads, found by the record's key.
    pub fn table_read<C: Contract>(&mut self) {
        let topic = self.add_table::<C>();
        add(&mut self.keyed, topic);
    }

    /// A table whose rows are of windows, which the handler reads and changes.
    pub fn window<C: Contract>(&mut self) {
        let topic = self.add_table::<C>();
        add(&mut self.written, topic);
        self.windowed.push((topic, TypeId::of::<WindowSpec<C>>()));
    }

    fn add_table<C: Contract>(&mut self) -> &'static Topic {
        let topic = self.renamed(C::TOPIC);
        add(&mut self.tables, topic);
        self.codecs.push(Codecs::add_encoder::<C>);
        self.codecs.push(Codecs::add_decoder::<C>);
        topic
    }

    pub fn lookup<C: Contract>(&mut self) {
        let topic = self.renamed(C::TOPIC);
        if !self.lookups.iter().any(|(known, _)| known.name == topic.name) {
            self.lookups.push((topic, |topic| Arc::new(LookupTable::<C>::of(topic))));
        }
    }

    /// Lets another topic stand for a contract's own, in what is declared already and in what follows.
    pub(crate) fn rename(&mut self, declared: &'static str, topic: &'static Topic) {
        let lists = self.inputs.iter_mut().chain(&mut self.outputs).chain(&mut self.tables);
        let lists = lists.chain(&mut self.written).chain(&mut self.keyed);
        let lookups = self.lookups.iter_mut().map(|(topic, _)| topic);
        let windowed = self.windowed.iter_mut().map(|(topic, _)| topic);
        lists.chain(lookups).chain(windowed).filter(|known| known.name == declared).for_each(|known| *known = topic);
        self.renamed.push((declared, topic));
    }

    /// An empty declaration in which the same topics stand for others.
    pub(crate) fn with_same_names(&self) -> Declaration {
        Declaration { renamed: self.renamed.clone(), ..Declaration::default() }
    }

    pub(crate) fn topic_of<C: Contract>(&self) -> &'static Topic {
        self.renamed(C::TOPIC)
    }

    /// The name that stands for a contract's own topic name.
    pub(crate) fn renamed_to(&self, own: &'static str) -> &'static str {
        self.renamed.iter().find(|(declared, _)| *declared == own).map_or(own, |(_, topic)| topic.name)
    }

    /// The name by which a contract declares a topic that may stand for its own.
    pub(crate) fn own_name_of(&self, topic: &'static Topic) -> &'static str {
        self.renamed.iter().find(|(_, known)| known.name == topic.name).map_or(topic.name, |(own, _)| own)
    }

    fn renamed(&self, own: &'static Topic) -> &'static Topic {
        self.renamed.iter().find(|(declared, _)| *declared == own.name).map_or(own, |(_, topic)| topic)
    }

    pub fn state<T: 'static>(&mut self) {
        self.states.push((TypeId::of::<T>(), type_name::<T>()));
    }

    /// Whether a contract is an input, by the name of the contract's own topic.
    pub(crate) fn reads(&self, own: &'static str) -> bool {
        let renamed = self.renamed.iter().find(|(declared, _)| *declared == own);
        let name = renamed.map_or(own, |(_, topic)| topic.name);
        self.inputs.iter().any(|topic| topic.name == name)
    }

    pub fn inputs(&self) -> &[&'static Topic] {
        &self.inputs
    }

    pub fn outputs(&self) -> &[&'static Topic] {
        &self.outputs
    }

    pub fn tables(&self) -> &[&'static Topic] {
        &self.tables
    }

    /// Those of the tables whose rows some handler changes.
    pub(crate) fn written(&self) -> &[&'static Topic] {
        &self.written
    }

    pub(crate) fn windowed(&self) -> &[(&'static Topic, TypeId)] {
        &self.windowed
    }

    pub(crate) fn keyed(&self) -> &[&'static Topic] {
        &self.keyed
    }

    pub fn lookups(&self) -> impl Iterator<Item = &'static Topic> {
        self.lookups.iter().map(|(topic, _)| *topic)
    }

    /// Every topic that the processor needs, each once.
    pub fn topics(&self) -> Vec<&'static Topic> {
        let mut all = Vec::new();
        for topic in self.inputs.iter().chain(&self.outputs).chain(&self.tables).copied().chain(self.lookups()) {
            add(&mut all, topic);
        }
        all
    }

    pub(crate) fn states(&self) -> &[(TypeId, &'static str)] {
        &self.states
    }

    /// Empty lookup tables, to be filled from their topics.
    pub(crate) fn new_lookups(&self) -> Vec<Arc<dyn AnyLookup>> {
        self.lookups.iter().map(|(topic, new)| new(topic)).collect()
    }

    pub(crate) fn add_codecs(&self, codecs: &mut Codecs) -> Result<(), RegistryError> {
        self.renamed.iter().for_each(|(declared, topic)| codecs.rename(declared, topic));
        self.codecs.iter().try_for_each(|add| add(codecs))
    }
}

fn add(topics: &mut Vec<&'static Topic>, topic: &'static Topic) {
    if !topics.iter().any(|known| known.name == topic.name) {
        topics.push(topic);
    }
}
