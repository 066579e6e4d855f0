//! What records look like: their sizes, their keys, how many a second.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use unchain_measure::random::Random;

/// The sizes of records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "`record_bytes` takes a number of bytes, {min: A, max: B}, or a list of {bytes: N, weight: W}"
)]
pub enum Sizes {
    Fixed(u32),
    Uniform(SizeRange),
    Weighted(Vec<WeightedSize>),
}

/// Any size from one to the other, both included.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SizeRange {
    pub min: u32,
    pub max: u32,
}

/// A size, and how often it comes beside the others.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightedSize {
    pub bytes: u32,
    pub weight: u32,
}

const SIZES: &str = "write 200, 100..300, or sizes with weights as 100:9,1000:1";

impl FromStr for Sizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Sizes, String> {
        let number = |text: &str| text.parse::<u32>().map_err(|_| SIZES.to_owned());
        if let Some((min, max)) = text.split_once("..") {
            return Ok(Sizes::Uniform(SizeRange { min: number(min)?, max: number(max)? }));
        }
        if !text.contains(':') {
            return number(text).map(Sizes::Fixed);
        }
        let pairs = text.split(',').map(|pair| {
            let (bytes, weight) = pair.split_once(':').ok_or(SIZES)?;
            Ok(WeightedSize { bytes: number(bytes)?, weight: number(weight)? })
        });
        pairs.collect::<Result<_, String>>().map(Sizes::Weighted)
    }
}

impl Sizes {
    pub fn smallest(&self) -> u32 {
        match self {
            Sizes::Fixed(bytes) => *bytes,
            Sizes::Uniform(range) => range.min,
            Sizes::Weighted(sizes) => sizes.iter().map(|size| size.bytes).min().unwrap_or(0),
        }
    }

    pub fn largest(&self) -> u32 {
        match self {
            Sizes::Fixed(bytes) => *bytes,
            Sizes::Uniform(range) => range.max,
            Sizes::Weighted(sizes) => sizes.iter().map(|size| size.bytes).max().unwrap_or(0),
        }
    }

    pub(crate) fn mean(&self) -> f64 {
        match self {
            Sizes::Fixed(bytes) => f64::from(*bytes),
            Sizes::Uniform(range) => f64::midpoint(f64::from(range.min), f64::from(range.max)),
            Sizes::Weighted(sizes) => {
                let weights = sizes.iter().map(|size| f64::from(size.weight)).sum::<f64>();
                sizes.iter().map(|size| f64::from(size.bytes) * f64::from(size.weight)).sum::<f64>() / weights
            }
        }
    }

    /// What draws can be taken from: ends in order, some weight.
    pub(crate) fn is_drawable(&self) -> bool {
        match self {
            Sizes::Fixed(_) => true,
            Sizes::Uniform(range) => range.min <= range.max,
            Sizes::Weighted(sizes) => sizes.iter().any(|size| size.weight > 0),
        }
    }

    pub(crate) fn draw(&self, random: &mut Random) -> usize {
        let bytes = match self {
            Sizes::Fixed(bytes) => *bytes,
            Sizes::Uniform(range) => {
                let drawn = random.between(u64::from(range.min), u64::from(range.max) + 1);
                u32::try_from(drawn).unwrap_or(range.max)
            }
            Sizes::Weighted(sizes) => {
                let total = sizes.iter().map(|size| u64::from(size.weight)).sum();
                let mut left = random.between(0, total);
                let drawn = sizes.iter().find(|size| {
                    let is_it = left < u64::from(size.weight);
                    left = left.saturating_sub(u64::from(size.weight));
                    is_it
                });
                drawn.map_or(0, |size| size.bytes)
            }
        };
        bytes as usize
    }
}

/// The keys of records.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// Different keys; with 0 records have none, and the client chooses partitions.
    pub count: u32,
    /// The skew: key n comes in proportion to 1/n to this power; 0, each as often as any other.
    #[serde(default)]
    pub zipf: f64,
}

impl FromStr for Keys {
    type Err = String;

    fn from_str(text: &str) -> Result<Keys, String> {
        let wrong = || "write none, a count as 10000, or a count with a Zipf exponent as 10000:1.1".to_owned();
        let (count, zipf) = text.split_once(':').unwrap_or((text, "0"));
        if text == "none" {
            return Ok(Keys { count: 0, zipf: 0.0 });
        }
        Ok(Keys { count: count.parse().map_err(|_| wrong())?, zipf: zipf.parse().map_err(|_| wrong())? })
    }
}

/// Draws the number of a key.
pub(crate) struct KeyDraws {
    count: u32,
    /// The share of the keys up to each one; empty where all come equally often.
    cumulative: Vec<f64>,
}

impl KeyDraws {
    pub(crate) fn new(keys: Keys) -> KeyDraws {
        let mut cumulative = Vec::new();
        if keys.zipf > 0.0 {
            let mut total = 0.0;
            for rank in 1..=keys.count {
                total += f64::from(rank).powf(-keys.zipf);
                cumulative.push(total);
            }
            cumulative.iter_mut().for_each(|share| *share /= total);
        }
        KeyDraws { count: keys.count, cumulative }
    }

    /// `None` where records have no keys.
    pub(crate) fn draw(&self, random: &mut Random) -> Option<u32> {
        if self.count == 0 {
            return None;
        }
        let drawn = if self.cumulative.is_empty() {
            random.between(0, u64::from(self.count))
        } else {
            let share = random.unit();
            self.cumulative.partition_point(|end| *end <= share) as u64
        };
        Some(u32::try_from(drawn).unwrap_or(0).min(self.count - 1))
    }
}

/// Records a second, of all producers together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "`rate` takes records a second as a whole number, or max")]
pub enum Rate {
    PerSecond(u64),
    Max(Max),
}

/// As fast as the queue of the producer takes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Max {
    Max,
}

impl Rate {
    pub const MAX: Rate = Rate::Max(Max::Max);

    pub fn per_second(self) -> Option<u64> {
        match self {
            Rate::PerSecond(rate) => Some(rate),
            Rate::Max(_) => None,
        }
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Rate, String> {
        if text == "max" {
            return Ok(Rate::MAX);
        }
        let number = text.strip_suffix("/s").unwrap_or(text);
        number.parse().map(Rate::PerSecond).map_err(|_| "write records a second, for example 500/s, or max".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_from_flags_and_drawn_as_they_say() {
        let mut random = Random::of(3);
        assert_eq!("200".parse::<Sizes>().unwrap().draw(&mut random), 200);
        let range: Sizes = "100..102".parse().unwrap();
        assert!((0..200).all(|_| (100..=102).contains(&range.draw(&mut random))));
        let weighted: Sizes = "100:9,1000:1".parse().unwrap();
        let large = (0..10_000).filter(|_| weighted.draw(&mut random) == 1000).count();
        assert!((800..1_200).contains(&large), "{large} of 10,000 are large");
        for wrong in ["", "a", "1..b", "1:2,3", "-5"] {
            assert!(wrong.parse::<Sizes>().unwrap_err().contains("100..300"), "{wrong}");
        }
    }

    #[test]
    fn keys_come_equally_often_or_as_zipf_says() {
        let share_of_first = |keys: &str| {
            let (draws, mut random) = (KeyDraws::new(keys.parse().unwrap()), Random::of(7));
            (0..20_000).filter(|_| draws.draw(&mut random) == Some(0)).count()
        };
        assert!((150..250).contains(&share_of_first("100")), "a hundredth of 20,000");
        // 1 / (1 + 1/2 + ... + 1/100) = 0.193.
        assert!((3_600..4_100).contains(&share_of_first("100:1")));
        assert_eq!(KeyDraws::new("none".parse().unwrap()).draw(&mut Random::of(1)), None);
        assert!("x".parse::<Keys>().unwrap_err().contains("none"));
    }

    #[test]
    fn a_rate_is_a_number_or_max() {
        assert_eq!("500/s".parse(), Ok(Rate::PerSecond(500)));
        assert_eq!("max".parse(), Ok(Rate::MAX));
        assert!("fast".parse::<Rate>().unwrap_err().contains("500/s"));
    }
}
