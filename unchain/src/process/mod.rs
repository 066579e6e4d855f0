//! What a user writes: handlers, their extractors, outputs and failures, and the processor that declares them.

mod context;
mod declaration;
mod emissions;
mod extract;
mod failure;
mod graph;
mod handler;
mod outputs;
mod processor;
mod state;

pub use context::Context;
pub(crate) use context::{PendingWrite, TableWrites};
pub use declaration::Declaration;
pub use emissions::{Emissions, Emitted};
pub use extract::{Correlation, Entry, Extract, Key, Lookup, Position, RecordHeaders};
pub use failure::{Failed, FailedRecord, Failure, FailureClass, FailurePolicy};
pub use graph::Graph;
pub use handler::{AnyHandler, Deferred, Handler, Started};
pub use outputs::{Either, IntoOutputs, Outputs, Tombstone};
pub use processor::{DeclareError, Processor};
pub use state::State;
