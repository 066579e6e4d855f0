//! Topics: their names, settings and partitions.

pub(crate) mod catalog;
pub(crate) mod settings;
