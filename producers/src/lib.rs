//! Programs that write to topics: the replay of an order log, and the reference data that goes with it.

pub mod accounts;
pub mod order_log;
pub mod pace;
pub mod replay;

pub use order_log::{OrderLog, OrderLogError};
pub use pace::{Pace, Rate};
