//! What a processor's handlers read, write and keep, collected from their types before any record is seen.

use std::any::{TypeId, type_name};
use std::sync::Arc;

use crate::contract::{Codecs, Contract, RegistryError, Topic};
use crate::table::{AnyLookup, LookupTable};

type AddCodec = fn(&mut Codecs) -> Result<(), RegistryError>;
type NewLookup = fn() -> Arc<dyn AnyLookup>;

/// The contracts of a processor, as data.
#[derive(Clone, Default)]
pub struct Declaration {
    inputs: Vec<&'static Topic>,
    outputs: Vec<&'static Topic>,
    tables: Vec<&'static Topic>,
    lookups: Vec<(&'static Topic, NewLookup)>,
    states: Vec<(TypeId, &'static str)>,
    codecs: Vec<AddCodec>,
}

impl Declaration {
    pub fn input<C: Contract>(&mut self) {
        add(&mut self.inputs, C::TOPIC);
        self.codecs.push(Codecs::add_decoder::<C>);
    }

    pub fn output<C: Contract>(&mut self) {
        add(&mut self.outputs, C::TOPIC);
        self.codecs.push(Codecs::add_encoder::<C>);
    }

    pub fn table<C: Contract>(&mut self) {
        add(&mut self.tables, C::TOPIC);
        self.codecs.push(Codecs::add_encoder::<C>);
        self.codecs.push(Codecs::add_decoder::<C>);
    }

    pub fn lookup<C: Contract>(&mut self) {
        if !self.lookups.iter().any(|(topic, _)| topic.name == C::TOPIC.name) {
            self.lookups.push((C::TOPIC, || Arc::new(LookupTable::<C>::default())));
        }
    }

    pub fn state<T: 'static>(&mut self) {
        self.states.push((TypeId::of::<T>(), type_name::<T>()));
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
        self.lookups.iter().map(|(_, new)| new()).collect()
    }

    pub(crate) fn add_codecs(&self, codecs: &mut Codecs) -> Result<(), RegistryError> {
        self.codecs.iter().try_for_each(|add| add(codecs))
    }
}

fn add(topics: &mut Vec<&'static Topic>, topic: &'static Topic) {
    if !topics.iter().any(|known| known.name == topic.name) {
        topics.push(topic);
    }
}
