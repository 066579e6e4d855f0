//! What is measured and how it is shown: latencies, rates over time, CPU and memory of processes, plots and pages.
//!
//! Benchmarks and experiments share it. It knows nothing of Kafka.

mod latencies;
mod machine;
mod page;
mod plot;
pub mod random;
mod sampler;
mod spread;
mod timeline;
pub mod usage;

pub use latencies::Latencies;
pub use machine::Machine;
pub use page::Page;
pub use plot::{Axis, Chart, Mark, PlotError, Series};
pub use sampler::{Sample, UsageSampler, busy_cpus};
pub use spread::{Spread, differ};
pub use timeline::{Bucket, Timeline};
