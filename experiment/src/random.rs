//! Seeded randomness: service times and jitter are drawn alike in every run.

use std::sync::atomic::{AtomicU64, Ordering};

const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// SplitMix64 (Steele, Lea and Flood, 2014), shared by the tasks of one process.
#[derive(Debug)]
pub struct Random(AtomicU64);

impl Random {
    pub fn of(seed: u64) -> Random {
        Random(AtomicU64::new(seed.wrapping_mul(STEP)))
    }

    /// From 0 to below 1.
    pub fn fraction(&self) -> f64 {
        let state = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_are_spread_evenly_and_repeat_with_their_seed() {
        let draw = |seed| {
            let random = Random::of(seed);
            (0..1_000).map(|_| random.fraction()).collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert!(draw(1).iter().all(|fraction| (0.0..1.0).contains(fraction)));
        let mean = draw(1).iter().sum::<f64>() / 1_000.0;
        assert!((mean - 0.5).abs() < 0.05, "{mean}");
    }
}
