//! The steps of an order's way, the same on both sides.

use std::fmt;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    Verification,
    Payment,
    Inventory,
    Shipping,
    Email,
}

impl Step {
    pub const ALL: [Step; 5] = [Step::Verification, Step::Payment, Step::Inventory, Step::Shipping, Step::Email];
    /// An order whose effect of this step is there is complete.
    pub const LAST: Step = Step::Email;

    pub fn name(self) -> &'static str {
        match self {
            Step::Verification => "verification",
            Step::Payment => "payment",
            Step::Inventory => "inventory",
            Step::Shipping => "shipping",
            Step::Email => "email",
        }
    }

    pub fn index(self) -> usize {
        self as usize
    }

    /// Services from this one to the chain's end.
    pub fn services_left(self) -> u32 {
        (Step::ALL.len() - self.index()) as u32
    }

    pub fn by_name(name: &str) -> Option<Step> {
        Step::ALL.into_iter().find(|step| step.name() == name)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
