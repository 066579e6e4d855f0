//! Seeded randomness: the same seed gives the same schedule, on every machine.

/// SplitMix64 (Steele, Lea and Flood, 2014): small, and good enough to draw faults and loads.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn of(seed: u64) -> Random {
        Random(seed)
    }

    /// A generator of its own for one purpose: more draws there change nothing elsewhere.
    pub fn branch(seed: u64, purpose: u64) -> Random {
        Random(Random(seed ^ purpose.wrapping_mul(0xA076_1D64_78BD_642F)).draw())
    }

    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to below 1.
    pub fn unit(&mut self) -> f64 {
        (self.draw() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// From `low` to below `high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.draw() % (high - low).max(1)
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = usize::try_from(self.between(0, last as u64 + 1)).unwrap_or(0);
            items.swap(last, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_draws_and_another_one_others() {
        let draws = |seed| (0..5).scan(Random::of(seed), |random, _| Some(random.draw())).collect::<Vec<_>>();
        assert_eq!(draws(7), draws(7));
        assert_ne!(draws(7), draws(8));
        assert_ne!(Random::branch(7, 1).draw(), Random::branch(7, 2).draw());
    }

    #[test]
    fn a_shuffle_keeps_all_and_draws_keep_their_bounds() {
        let mut random = Random::of(1);
        let mut items: Vec<u32> = (0..50).collect();
        random.shuffle(&mut items);
        assert_ne!(items, (0..50).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..50).collect::<Vec<_>>());
        assert!((0..1_000).all(|_| (3..9).contains(&random.between(3, 9))));
        assert!((0..1_000).all(|_| (0.0..1.0).contains(&random.unit())));
    }
}
