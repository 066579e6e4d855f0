//! The states of a consumer group and the moves between them that the classic group protocol allows.

/// Where a group stands in its life. The names are those that `ListGroups` and `DescribeGroups` answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GroupState {
    /// No members; committed offsets may remain.
    Empty,
    /// Members are asked to join again; heartbeats answer `REBALANCE_IN_PROGRESS`.
    PreparingRebalance,
    /// Every member has joined and the leader's assignment is awaited.
    CompletingRebalance,
    /// Every member knows its assignment.
    Stable,
    /// Deleted. A dead group is never used again.
    Dead,
}

impl GroupState {
    /// Whether a group may go from this state to `next` in one step.
    pub fn can_become(self, next: GroupState) -> bool {
        use GroupState::{CompletingRebalance, Dead, Empty, PreparingRebalance, Stable};
        match next {
            PreparingRebalance => matches!(self, Empty | CompletingRebalance | Stable),
            CompletingRebalance | Empty => self == PreparingRebalance,
            Stable => self == CompletingRebalance,
            Dead => true,
        }
    }

    /// The state's name in the protocol.
    pub fn name(self) -> &'static str {
        match self {
            GroupState::Empty => "Empty",
            GroupState::PreparingRebalance => "PreparingRebalance",
            GroupState::CompletingRebalance => "CompletingRebalance",
            GroupState::Stable => "Stable",
            GroupState::Dead => "Dead",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::GroupState::{self, CompletingRebalance, Dead, Empty, PreparingRebalance, Stable};

    const ALL: [GroupState; 5] = [Empty, PreparingRebalance, CompletingRebalance, Stable, Dead];

    #[test]
    fn a_group_goes_round_through_join_and_sync() {
        for (from, to) in [
            (Empty, PreparingRebalance),
            (PreparingRebalance, CompletingRebalance),
            (CompletingRebalance, Stable),
            (Stable, PreparingRebalance),
            (PreparingRebalance, Empty),
        ] {
            assert!(from.can_become(to), "{from:?} -> {to:?}");
        }
    }

    #[test]
    fn no_step_is_skipped_and_the_dead_stay_dead() {
        assert!(!Stable.can_become(CompletingRebalance), "members must join before they sync");
        assert!(!PreparingRebalance.can_become(Stable), "an assignment is needed to be stable");
        assert!(!Stable.can_become(Empty), "the last member leaves through a rebalance");
        assert!(ALL.iter().filter(|next| **next != Dead).all(|next| !Dead.can_become(*next)));
    }
}
