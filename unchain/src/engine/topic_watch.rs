//! Notices inputs that were deleted while they are read: their partitions are taken away, and nothing else would say so.

use std::time::Duration;

/// When to ask whether the inputs exist, and what the answers were.
#[derive(Debug, Default)]
pub(crate) struct TopicWatch {
    /// Set while something is wrong with the inputs.
    ask_at: Option<Duration>,
    is_asking: bool,
    missing_in_a_row: u32,
}

/// The pause between two questions.
const ASK_INTERVAL: Duration = Duration::from_secs(3);
/// A broker that has just started may not know every topic: one answer is none.
const ENOUGH_ANSWERS: u32 = 3;

impl TopicWatch {
    /// The client has reported an error, or has lost its partitions.
    pub(crate) fn suspect(&mut self, now: Duration) {
        if !self.is_asking && self.ask_at.is_none() {
            self.ask_at = Some(now);
        }
    }

    /// Whether the cluster is to be asked now.
    pub(crate) fn is_due(&mut self, now: Duration) -> bool {
        let is_due = self.ask_at.is_some_and(|at| at <= now);
        if is_due {
            self.ask_at = None;
            self.is_asking = true;
        }
        is_due
    }

    /// Takes an answer; tells whether the inputs are gone for good.
    pub(crate) fn answered(&mut self, any_missing: bool, now: Duration) -> bool {
        self.is_asking = false;
        if !any_missing {
            self.missing_in_a_row = 0;
            return false;
        }
        self.missing_in_a_row += 1;
        self.ask_at = Some(now + ASK_INTERVAL);
        self.missing_in_a_row >= ENOUGH_ANSWERS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_gone_once_it_is_missing_several_times_in_a_row() {
        let mut watch = TopicWatch::default();
        let seconds = Duration::from_secs;
        assert!(!watch.is_due(seconds(1)));
        watch.suspect(seconds(1));
        assert!(watch.is_due(seconds(1)) && !watch.is_due(seconds(1)));
        assert!(!watch.answered(true, seconds(2)));
        assert!(!watch.is_due(seconds(4)) && watch.is_due(seconds(5)));
        assert!(!watch.answered(false, seconds(5)));
        assert!(!watch.is_due(seconds(100)));
        watch.suspect(seconds(100));
        for round in 0..3 {
            let now = seconds(100 + 3 * round);
            assert!(watch.is_due(now));
            assert_eq!(watch.answered(true, now), round == 2);
        }
    }
}
