//! The asynchronous side: a front that publishes each order, and five processors with the same work as the services.

mod cluster;
mod front;
mod judge_topics;
mod processor;
mod topics;

pub use cluster::{Broker, Cleanup};
pub use front::serve;
pub use judge_topics::{Follower, count_placed, read_topics};
pub use processor::run;
pub use topics::RunName;

unchain::contracts!();
