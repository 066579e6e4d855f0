//! Values that every call of a processor's handlers shares: clients, rates, configuration.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::Arc;

use super::window::{EventTimes, Sweeps};

/// Extracts a clone of a value given to the processor with `Processor::state`.
#[derive(Debug, Clone, Copy)]
pub struct State<T>(pub T);

/// The values of a processor, one a type.
#[derive(Clone, Default)]
pub(crate) struct States {
    values: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
    pub(crate) event_times: EventTimes,
    pub(crate) sweeps: Sweeps,
}

impl States {
    pub(crate) fn insert<T: Clone + Send + Sync + 'static>(&mut self, value: T) {
        self.values.insert(TypeId::of::<T>(), Arc::new(value));
    }

    pub(crate) fn contains(&self, id: TypeId) -> bool {
        self.values.contains_key(&id)
    }

    pub(crate) fn get<T: Clone + Send + Sync + 'static>(&self) -> Option<T> {
        self.values.get(&TypeId::of::<T>()).and_then(|any| any.downcast_ref::<T>()).cloned()
    }
}
