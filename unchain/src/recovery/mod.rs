//! What becomes of records that fail for good.

mod dead_letters;

pub use dead_letters::{dead_letters, dead_letters_by};
