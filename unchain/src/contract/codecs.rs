//! The encoders and decoders of a worker: one of each kind a contract, found by type.

use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::{Contract, DecodeError, Decoder, EncodeError, Encoder, RegistryError, SchemaRegistry};

/// Codecs of the contracts that a processor declared.
pub struct Codecs {
    registry: Arc<dyn SchemaRegistry>,
    encoders: HashMap<TypeId, Box<dyn Any + Send>>,
    decoders: HashMap<TypeId, Box<dyn Any + Send>>,
    scratch: Vec<u8>,
}

impl Codecs {
    pub fn new(registry: Arc<dyn SchemaRegistry>) -> Codecs {
        Codecs { registry, encoders: HashMap::new(), decoders: HashMap::new(), scratch: Vec::new() }
    }

    /// Prepares to write a contract; its schema is registered, and refused where it is not compatible.
    pub fn add_encoder<C: Contract>(&mut self) -> Result<(), RegistryError> {
        if !self.encoders.contains_key(&TypeId::of::<C>()) {
            let encoder = Encoder::<C>::register(&*self.registry)?;
            self.encoders.insert(TypeId::of::<C>(), Box::new(encoder));
        }
        Ok(())
    }

    /// Prepares to read a contract.
    pub fn add_decoder<C: Contract>(&mut self) -> Result<(), RegistryError> {
        if !self.decoders.contains_key(&TypeId::of::<C>()) {
            let decoder = Decoder::<C>::new(Arc::clone(&self.registry));
            self.decoders.insert(TypeId::of::<C>(), Box::new(decoder));
        }
        Ok(())
    }

    pub fn encode<C: Contract>(&mut self, value: &C) -> Result<Bytes, EncodeError> {
        let encoder = self.encoders.get_mut(&TypeId::of::<C>()).and_then(|any| any.downcast_mut::<Encoder<C>>());
        let encoder = encoder.unwrap_or_else(|| undeclared::<C>());
        self.scratch.clear();
        encoder.encode(value, &mut self.scratch)?;
        Ok(Bytes::copy_from_slice(&self.scratch))
    }

    pub fn decode<C: Contract>(&mut self, bytes: &[u8]) -> Result<C, DecodeError> {
        let decoder = self.decoders.get_mut(&TypeId::of::<C>()).and_then(|any| any.downcast_mut::<Decoder<C>>());
        decoder.unwrap_or_else(|| undeclared::<C>()).decode(bytes)
    }
}

/// Only an extractor or output whose `declare` forgets what its other method uses comes here.
fn undeclared<T>() -> ! {
    unreachable!("{} is used but not declared", type_name::<T>())
}
