//! The judge: what became of each order, from what its caller was told and what the services left behind.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use crate::effects::Effect;
use crate::load::{Offered, Outcome};
use crate::step::Step;

/// What became of one order. Times count from when it was due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fate {
    pub due_us: u64,
    pub is_accepted: bool,
    /// How long the caller waited for its answer, or for none.
    pub told_after_us: u64,
    /// How long until the chain's last effect was there, whatever the caller was told.
    pub completed_after_us: Option<u64>,
}

impl Fate {
    pub fn accepted_after_us(&self) -> Option<u64> {
        self.is_accepted.then_some(self.told_after_us)
    }

    pub fn is_complete_by(&self, at_us: u64) -> bool {
        self.completed_after_us.is_some_and(|after_us| self.due_us.saturating_add(after_us) < at_us)
    }
}

/// The counts of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Orders whose time came.
    pub offered: u64,
    /// The caller was told yes (2xx).
    pub accepted: u64,
    /// The caller was told no, or nothing in time.
    pub refused: u64,
    /// The last step's effect is there.
    pub completed: u64,
    /// Accepted, and the last step's effect is not there: the caller counts on what will not happen.
    pub lost: u64,
    /// Refused, and some effects are there but not the last: a customer who paid and gets nothing, say.
    pub half_done: u64,
    /// Refused, and complete all the same: the caller would order again.
    pub done_though_refused: u64,
    /// Orders that have an effect of one step more than once.
    pub doubled: u64,
    /// Effects of orders that nobody placed.
    pub unknown: u64,
    /// How often which reason for a no was seen.
    pub refusals: BTreeMap<String, u64>,
}

/// What a run came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judgement {
    pub counts: Counts,
    /// In the order of their due times.
    pub fates: Vec<Fate>,
}

/// The effects of one order.
#[derive(Default)]
struct Done {
    /// Of each step that there are any of.
    times: HashMap<String, u32>,
    completed_us: Option<u64>,
}

/// Judges a run. The effects are all that there are, in any order.
pub fn judge(offered: &[Offered], effects: &[Effect]) -> Judgement {
    let mut done: HashMap<&str, Done> = HashMap::new();
    for effect in effects {
        let of_order = done.entry(&effect.order_id).or_default();
        *of_order.times.entry(effect.step.clone()).or_default() += 1;
        if effect.step == Step::LAST.name() {
            let first = of_order.completed_us.unwrap_or(effect.at_us);
            of_order.completed_us = Some(first.min(effect.at_us));
        }
    }
    let mut judgement = Judgement::default();
    for order in offered {
        let effects = done.remove(order.order_id.as_str()).unwrap_or_default();
        judgement.add(order, &effects);
    }
    judgement.counts.unknown = done.len() as u64;
    judgement.fates.sort_by_key(|fate| fate.due_us);
    judgement
}

impl Judgement {
    fn add(&mut self, order: &Offered, done: &Done) {
        let counts = &mut self.counts;
        let is_complete = done.completed_us.is_some();
        counts.offered += 1;
        counts.completed += u64::from(is_complete);
        counts.doubled += u64::from(done.times.values().any(|times| *times > 1));
        match &order.outcome {
            Outcome::Accepted => {
                counts.accepted += 1;
                counts.lost += u64::from(!is_complete);
            }
            Outcome::Refused { reason } => {
                counts.refused += 1;
                counts.half_done += u64::from(!is_complete && !done.times.is_empty());
                counts.done_though_refused += u64::from(is_complete);
                *counts.refusals.entry(reason.clone()).or_default() += 1;
            }
        }
        self.fates.push(Fate {
            due_us: order.due_us,
            is_accepted: order.outcome == Outcome::Accepted,
            told_after_us: order.told_us.saturating_sub(order.due_us),
            completed_after_us: done.completed_us.map(|at_us| at_us.saturating_sub(order.due_us)),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [&str; 5] = ["verification", "payment", "inventory", "shipping", "email"];

    fn offered(order_id: &str, is_accepted: bool) -> Offered {
        let outcome =
            if is_accepted { Outcome::Accepted } else { Outcome::Refused { reason: "answered 503".to_owned() } };
        Offered { order_id: order_id.to_owned(), due_us: 1_000, told_us: 1_500, outcome }
    }

    fn effects(order_id: &str, steps: &[&str]) -> Vec<Effect> {
        let effect = |(index, step): (usize, &&str)| Effect {
            order_id: order_id.to_owned(),
            step: (*step).to_owned(),
            at_us: 1_100 + 100 * index as u64,
        };
        steps.iter().enumerate().map(effect).collect()
    }

    fn counts(is_accepted: bool, steps: &[&str]) -> Counts {
        let mut counts = judge(&[offered("a", is_accepted)], &effects("a", steps)).counts;
        counts.refusals.clear();
        counts
    }

    #[test]
    fn a_good_order_is_accepted_and_complete() {
        assert_eq!(counts(true, &ALL), Counts { offered: 1, accepted: 1, completed: 1, ..Counts::default() });
        let judgement = judge(&[offered("a", true)], &effects("a", &ALL));
        assert_eq!(
            judgement.fates,
            [Fate { due_us: 1_000, is_accepted: true, told_after_us: 500, completed_after_us: Some(500) }]
        );
    }

    #[test]
    fn an_accepted_order_without_its_mail_is_lost() {
        for steps in [&ALL[..4], &[]] {
            assert_eq!(counts(true, steps), Counts { offered: 1, accepted: 1, lost: 1, ..Counts::default() });
        }
    }

    #[test]
    fn a_refused_order_is_clean_half_done_or_done_all_the_same() {
        let refused = Counts { offered: 1, refused: 1, ..Counts::default() };
        assert_eq!(counts(false, &[]), refused);
        assert_eq!(counts(false, &ALL[..2]), Counts { half_done: 1, ..refused.clone() });
        assert_eq!(counts(false, &ALL), Counts { done_though_refused: 1, completed: 1, ..refused });
    }

    #[test]
    fn an_effect_twice_is_doubled_whichever_step_it_is_of() {
        let twice = [&ALL[..], &["payment"]].concat();
        assert_eq!(counts(true, &twice).doubled, 1);
        let more = [&ALL[..], &["payment", "payment", "email"]].concat();
        assert_eq!(counts(true, &more).doubled, 1, "orders are counted, not effects");
    }

    #[test]
    fn effects_without_an_order_are_seen() {
        assert_eq!(judge(&[offered("a", true)], &effects("b", &ALL)).counts.unknown, 1);
    }
}
