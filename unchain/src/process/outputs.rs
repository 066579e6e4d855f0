//! What a handler returns: nothing, one record, many, either of two, several contracts, a tombstone, or a failure.

use bytes::Bytes;

use super::{Declaration, Failure};
use crate::contract::{Codecs, Contract, Topic};

/// A record that a handler returned, encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emitted {
    pub topic: &'static Topic,
    pub key: Bytes,
    /// `None` is a tombstone.
    pub value: Option<Bytes>,
}

/// Collects and encodes what a handler returns.
pub struct Outputs<'a> {
    codecs: &'a mut Codecs,
    emitted: &'a mut Vec<Emitted>,
}

impl<'a> Outputs<'a> {
    pub fn new(codecs: &'a mut Codecs, emitted: &'a mut Vec<Emitted>) -> Outputs<'a> {
        Outputs { codecs, emitted }
    }

    pub fn record<C: Contract>(&mut self, value: &C) -> Result<(), Failure> {
        let encoded = self.encode(value)?;
        self.emitted.push(Emitted { topic: C::TOPIC, key: key_bytes(value), value: Some(encoded) });
        Ok(())
    }

    pub fn tombstone<C: Contract>(&mut self, key: &str) {
        self.emitted.push(Emitted { topic: C::TOPIC, key: Bytes::copy_from_slice(key.as_bytes()), value: None });
    }

    fn encode<C: Contract>(&mut self, value: &C) -> Result<Bytes, Failure> {
        self.codecs.encode(value).map_err(|error| Failure::reject(format!("output for {}: {error}", C::TOPIC.name)))
    }
}

fn key_bytes<C: Contract>(value: &C) -> Bytes {
    Bytes::copy_from_slice(value.key().as_bytes())
}

/// A type that a handler may return.
pub trait IntoOutputs: 'static {
    fn declare(declaration: &mut Declaration);

    /// # Errors
    /// The handler's own failure, or a rejection where a value does not fit its schema.
    fn emit(self, outputs: &mut Outputs<'_>) -> Result<(), Failure>;
}

/// One of two outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Either<A, B> {
    Left(A),
    Right(B),
}

/// Deletes the key from a compacted topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tombstone<C> {
    key: String,
    contract: std::marker::PhantomData<fn() -> C>,
}

impl<C> Tombstone<C> {
    pub fn of(key: impl Into<String>) -> Tombstone<C> {
        Tombstone { key: key.into(), contract: std::marker::PhantomData }
    }
}

impl IntoOutputs for () {
    fn declare(_: &mut Declaration) {}

    fn emit(self, _: &mut Outputs<'_>) -> Result<(), Failure> {
        Ok(())
    }
}

impl<C: Contract> IntoOutputs for C {
    fn declare(declaration: &mut Declaration) {
        declaration.output::<C>();
    }

    fn emit(self, outputs: &mut Outputs<'_>) -> Result<(), Failure> {
        outputs.record(&self)
    }
}

impl<C: Contract> IntoOutputs for Tombstone<C> {
    fn declare(declaration: &mut Declaration) {
        declaration.output::<C>();
    }

    fn emit(self, outputs: &mut Outputs<'_>) -> Result<(), Failure> {
        outputs.tombstone::<C>(&self.key);
        Ok(())
    }
}

impl<O: IntoOutputs> IntoOutputs for Option<O> {
    fn declare(declaration: &mut Declaration) {
        O::declare(declaration);
    }

    fn emit(self, outputs: &mut Outputs<'_>) -> Result<(), Failure> {
        self.map_or(Ok(()), |output| output.emit(outputs))
    }
}

impl<O: IntoOutputs> IntoOutputs for Vec<O> {
    fn declare(declaration: &mut Declaration) {
        O::declare(declaration);
    }

    fn emit(self, outputs: &mut Outputs<'_>) -> Result<(), Failure> {
        self.into_iter().try_for_each(|output| output.emit(outputs))
    }
}

impl<O: IntoOutputs> IntoOutputs for Result<O, Failure> {
    fn declare(declaration: &mut Declaration) {
        O::declare(declaration);
    }

    fn emit(self, outputs: &mut Outputs<'_>) -> Result<(), Failure> {
        self?.emit(outputs)
    }
}

impl<A: IntoOutputs, B: IntoOutputs> IntoOutputs for Either<A, B> {
    fn declare(declaration: &mut Declaration) {
        A::declare(declaration);
        B::declare(declaration);
    }

    fn emit(self, outputs: &mut Outputs<'_>) -> Result<(), Failure> {
        match self {
            Either::Left(output) => output.emit(outputs),
            Either::Right(output) => output.emit(outputs),
        }
    }
}

impl<A: IntoOutputs, B: IntoOutputs> IntoOutputs for (A, B) {
    fn declare(declaration: &mut Declaration) {
        A::declare(declaration);
        B::declare(declaration);
    }

    fn emit(self, outputs: &mut Outputs<'_>) -> Result<(), Failure> {
        self.0.emit(outputs)?;
        self.1.emit(outputs)
    }
}

impl<A: IntoOutputs, B: IntoOutputs, C: IntoOutputs> IntoOutputs for (A, B, C) {
    fn declare(declaration: &mut Declaration) {
        A::declare(declaration);
        <(B, C)>::declare(declaration);
    }

    fn emit(self, outputs: &mut Outputs<'_>) -> Result<(), Failure> {
        self.0.emit(outputs)?;
        (self.1, self.2).emit(outputs)
    }
}
