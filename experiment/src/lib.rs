//! The experiment: the same chain of services once as synchronous calls and once as processors, under the same load and
//! the same faults, judged by what the services left behind.
//!
//! `scenario` says what happens when; `side` starts the processes (`service`, which is either a hop of `chain` or a part
//! of `pipeline`, both around the same `work`); `load` is the callers; `run` brings these together; `judge` and `recovery`
//! are plain functions of what was seen; `report` shows it.

mod chain;
mod child;
mod clock;
mod cpu;
mod effects;
mod error;
mod experiment;
mod http_server;
mod judge;
mod load;
mod pipeline;
mod random;
mod recovery;
mod report;
mod run;
mod scenario;
mod service;
mod settings;
mod side;
mod step;
mod work;

pub use error::{ExperimentError, ServiceError};
pub use experiment::{Request, experiment};
pub use report::{Plots, Report};
pub use scenario::Scenario;
pub use service::run_service;
pub use settings::{DEFAULTS, Settings};
pub use side::Kind;
