//! What a user writes: handlers, their extractors, outputs and failures, and the processor that declares them.

mod check;
mod context;
mod declaration;
mod emissions;
mod extract;
mod failure;
mod graph;
mod groups;
mod handler;
mod outputs;
mod processor;
mod state;
pub mod window;

pub use crate::envelope::Envelope;
pub use check::{DeclareError, check_together};
pub use context::Context;
pub(crate) use context::{ChangeMemory, PendingWrite, TableWrites};
pub use declaration::Declaration;
pub use emissions::{Emissions, Emitted};
pub use extract::{Correlation, Entry, Extract, Key, Lookup, Position, RecordHeaders, Row};
pub use failure::{Failed, FailedRecord, Failure, FailureClass, FailurePolicy, MAX_UNAVAILABLE_PAUSE};
pub use graph::Graph;
pub use groups::Group;
pub(crate) use handler::panicked;
pub use handler::{AnyHandler, Deferred, Handler, Input, Started};
pub use outputs::{Either, IntoOutputs, Outputs, Tombstone};
pub use processor::Processor;
pub use state::State;
pub use window::{EventTime, Hopping, Late, Session, Tumbling, Window, Windows};
