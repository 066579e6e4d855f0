//! A schema registry with fixed ids, so that every program of the comparison writes and reads the same bytes.

use std::sync::Arc;

use unchain::contract::{RegisteredSchema, RegistryError, SchemaId, SchemaRegistry, Topic};

/// Knows the schemas of some topics by ids that were agreed upon beforehand; takes no others.
pub struct PresetRegistry {
    schemas: Vec<(SchemaId, &'static Topic)>,
}

impl PresetRegistry {
    /// The first topic's schema has id 1, the next one's 2, and so on.
    pub fn of(topics: &[&'static Topic]) -> PresetRegistry {
        PresetRegistry { schemas: (1..).map(SchemaId).zip(topics.iter().copied()).collect() }
    }

    /// By the schema itself: a run's topics have names of their own.
    fn id(&self, subject: &str, schema: &str) -> Result<SchemaId, RegistryError> {
        let known = self.schemas.iter().find(|(_, topic)| topic.schema == schema);
        known.map(|(id, _)| *id).ok_or_else(|| RegistryError::InvalidSchema {
            subject: subject.to_owned(),
            reason: "the benchmark has no such schema".to_owned(),
        })
    }
}

impl SchemaRegistry for PresetRegistry {
    fn register(&self, subject: &str, schema: &str) -> Result<SchemaId, RegistryError> {
        self.id(subject, schema)
    }

    fn check(&self, subject: &str, schema: &str) -> Result<(), RegistryError> {
        self.id(subject, schema).map(drop)
    }

    fn schema(&self, id: SchemaId) -> Result<Arc<str>, RegistryError> {
        let known = self.schemas.iter().find(|(known, _)| *known == id);
        known.map(|(_, topic)| Arc::from(topic.schema)).ok_or(RegistryError::UnknownId { id })
    }

    fn latest(&self, subject: &str) -> Result<Option<RegisteredSchema>, RegistryError> {
        let named = self.schemas.iter().find(|(_, topic)| topic.subject() == subject);
        Ok(named.map(|(id, topic)| (*id, Arc::from(topic.schema))))
    }
}

#[cfg(test)]
mod tests {
    use unchain::contract::Contract;

    use super::*;
    use crate::contracts::{CustomerStats, Order, OrderTotal};

    #[test]
    fn ids_follow_the_order_and_other_schemas_are_refused() {
        let registry = PresetRegistry::of(&[Order::TOPIC, OrderTotal::TOPIC]);
        assert_eq!(registry.register("any-value", OrderTotal::TOPIC.schema), Ok(SchemaId(2)));
        assert_eq!(registry.schema(SchemaId(1)).as_deref(), Ok(Order::TOPIC.schema));
        assert_eq!(registry.schema(SchemaId(3)), Err(RegistryError::UnknownId { id: SchemaId(3) }));
        assert!(registry.check("any-value", CustomerStats::TOPIC.schema).is_err());
    }
}
