//! What a handler returns: nothing, one record, many, either of two, several contracts, a tombstone, or a failure.

use super::{Declaration, Emissions, Failure};
use crate::contract::{Codecs, Contract};

/// Collects and encodes what a handler returns.
pub struct Outputs<'a> {
    codecs: &'a mut Codecs,
    emissions: &'a mut Emissions,
}

impl<'a> Outputs<'a> {
    pub fn new(codecs: &'a mut Codecs, emissions: &'a mut Emissions) -> Outputs<'a> {
        Outputs { codecs, emissions }
    }

    pub fn record<C: Contract>(&mut self, value: &C) -> Result<(), Failure> {
        let Outputs { codecs, emissions } = self;
        let pushed =
            emissions.push(codecs.topic::<C>(), value.key().as_bytes(), |bytes| codecs.encode_into(value, bytes));
        pushed.map_err(|error| Failure::reject(format!("output for {}: {error}", C::TOPIC.name)))
    }

    pub fn tombstone<C: Contract>(&mut self, key: &str) {
        self.emissions.push_tombstone(self.codecs.topic::<C>(), key.as_bytes());
    }
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
