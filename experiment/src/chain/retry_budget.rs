//! A retry budget: retries are paid from what calls put in, so that they never become a load of their own.

/// Retries that are saved up at most: a short trouble may use them at once.
const MAX_SAVED: f64 = 20.0;

#[derive(Debug)]
pub struct RetryBudget {
    per_call: f64,
    saved: f64,
}

impl RetryBudget {
    /// So many retries for each call, on average.
    pub fn new(per_call: f64) -> RetryBudget {
        RetryBudget { per_call, saved: MAX_SAVED.min(per_call * 100.0) }
    }

    /// A first attempt was made.
    pub fn called(&mut self) {
        self.saved = (self.saved + self.per_call).min(MAX_SAVED);
    }

    /// Takes a retry out, where there is one.
    pub fn take(&mut self) -> bool {
        let there_is = self.saved >= 1.0;
        if there_is {
            self.saved -= 1.0;
        }
        there_is
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(budget: &mut RetryBudget) -> usize {
        std::iter::from_fn(|| budget.take().then_some(())).take(1_000).count()
    }

    #[test]
    fn calls_pay_for_retries() {
        let mut budget = RetryBudget::new(0.1);
        taken(&mut budget);
        (0..51).for_each(|_| budget.called());
        assert_eq!(taken(&mut budget), 5);
    }

    #[test]
    fn only_so_many_are_saved_up() {
        let mut budget = RetryBudget::new(0.5);
        (0..10_000).for_each(|_| budget.called());
        assert_eq!(taken(&mut budget), 20);
    }

    #[test]
    fn without_a_budget_nothing_is_retried() {
        let mut budget = RetryBudget::new(0.0);
        budget.called();
        assert_eq!(taken(&mut budget), 0);
    }
}
