//! Fresh random ids (topics, the cluster), made in this one place.

use std::hash::{BuildHasher, RandomState};

use uuid::{Builder, Uuid};

/// A version 4 UUID from the standard library's randomly seeded hashers; unique, not secret.
pub fn fresh() -> Uuid {
    let mut bytes = [0; 16];
    for (half, seed) in bytes.chunks_exact_mut(8).zip(0_u8..) {
        half.copy_from_slice(&RandomState::new().hash_one((seed, crate::clock::now_ms())).to_be_bytes());
    }
    Builder::from_random_bytes(bytes).into_uuid()
}
