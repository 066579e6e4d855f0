//! `unchain bench`: workloads under an open-loop load, timed from when each record was due, several times over, with what
//! the processes used; searches for the highest rate, comparisons of results, and reports to read and to keep.

mod cluster;
mod command;
mod compare;
mod error;
mod kinds;
mod load;
mod progress;
mod ramp;
mod receiving;
mod records;
mod report;
mod result;
mod schedule;
mod session;
mod settings;
mod shape;
mod stage;
mod table;
mod tally;
mod workload;

pub use cluster::PREFIX;
pub use command::{BenchArguments, EXAMPLE, command};
pub use error::BenchError;
pub use result::{Facts, Report, Run};
pub use settings::Settings;
pub use workload::{Guarantee, Kind, Workload};

/// The contracts of the processor under load, and the one whose encoding is timed.
pub mod contracts {
    unchain::contracts!();
}
