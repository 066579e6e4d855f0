//! The encoders and decoders of a worker: one of each kind a contract, found by type.

use std::any::{Any, TypeId, type_name};
use std::sync::Arc;

use bytes::Bytes;

use super::{Contract, DecodeError, Decoder, EncodeError, Encoder, RegistryError, SchemaRegistry, Topic};

/// Codecs of the contracts that a processor declared.
pub struct Codecs {
    registry: Arc<dyn SchemaRegistry>,
    /// A processor has a few of each: a scan is faster than a hash.
    encoders: Vec<(TypeId, Box<dyn Any + Send>)>,
    decoders: Vec<(TypeId, Box<dyn Any + Send>)>,
    scratch: Vec<u8>,
    /// Topics that stand for a contract's own, by the contract's name for it; mostly none.
    renamed: Vec<(&'static str, &'static Topic)>,
}

impl Codecs {
    pub fn new(registry: Arc<dyn SchemaRegistry>) -> Codecs {
        Codecs { registry, encoders: Vec::new(), decoders: Vec::new(), scratch: Vec::new(), renamed: Vec::new() }
    }

    /// Lets a topic stand for the one that a contract names so; before the contract's codecs are added.
    pub(crate) fn rename(&mut self, declared: &'static str, topic: &'static Topic) {
        self.renamed.push((declared, topic));
    }

    /// The topic of a contract: its own, or the one that stands for it.
    pub fn topic<C: Contract>(&self) -> &'static Topic {
        let renamed = self.renamed.iter().find(|(declared, _)| *declared == C::TOPIC.name);
        renamed.map_or(C::TOPIC, |(_, topic)| topic)
    }

    /// Prepares to write a contract; its schema is registered, and refused where it is not compatible.
    pub fn add_encoder<C: Contract>(&mut self) -> Result<(), RegistryError> {
        if find::<C, Encoder<C>>(&mut self.encoders).is_none() {
            let id = self.registry.register(&self.topic::<C>().subject(), C::TOPIC.schema)?;
            self.encoders.push((TypeId::of::<C>(), Box::new(Encoder::<C>::with_id(id))));
        }
        Ok(())
    }

    /// Prepares to read a contract.
    pub fn add_decoder<C: Contract>(&mut self) -> Result<(), RegistryError> {
        if find::<C, Decoder<C>>(&mut self.decoders).is_none() {
            let decoder = Decoder::<C>::new(Arc::clone(&self.registry));
            self.decoders.push((TypeId::of::<C>(), Box::new(decoder)));
        }
        Ok(())
    }

    pub fn encode<C: Contract>(&mut self, value: &C) -> Result<Bytes, EncodeError> {
        // Written where there is room already, then copied to exactly its size.
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        let encoded = self.encode_into(value, &mut scratch).map(|()| Bytes::copy_from_slice(&scratch));
        self.scratch = scratch;
        encoded
    }

    /// Appends a value's bytes. On error `out` is as before.
    pub fn encode_into<C: Contract>(&mut self, value: &C, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        find::<C, Encoder<C>>(&mut self.encoders).unwrap_or_else(|| undeclared::<C>()).encode(value, out)
    }

    pub fn decode<C: Contract>(&mut self, bytes: &[u8]) -> Result<C, DecodeError> {
        find::<C, Decoder<C>>(&mut self.decoders).unwrap_or_else(|| undeclared::<C>()).decode(bytes)
    }
}

fn find<C: 'static, Codec: 'static>(codecs: &mut [(TypeId, Box<dyn Any + Send>)]) -> Option<&mut Codec> {
    let (_, codec) = codecs.iter_mut().find(|(contract, _)| *contract == TypeId::of::<C>())?;
    codec.downcast_mut()
}

/// Only an extractor or output whose `declare` forgets what its other method uses comes here.
fn undeclared<T>() -> ! {
    unreachable!("{} is used but not declared", type_name::<T>())
}
