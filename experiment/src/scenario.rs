//! The scenarios as data: the rate of the load over time, and when the fault is.

use std::ops::Range;
use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;

use crate::settings::Settings;
use crate::step::Step;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scenario {
    /// Nothing happens.
    Steady,
    /// More orders come than the chain can do.
    Overload,
    /// One service is killed, and started again later.
    Outage,
    /// One service becomes slow, and quick again later.
    Slow,
    /// Every service is restarted in turn.
    Deploy,
}

/// What is done to a side during the fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The load alone is the fault.
    Load,
    Kill(Step),
    SlowDown {
        step: Step,
        service_time_ms: u64,
    },
    RestartAll,
}

/// One scenario's course. Times count from the first order of the warm-up.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub scenario: Scenario,
    pub phases: Vec<Phase>,
    /// Orders due before are not judged.
    pub warm_up: Duration,
    pub fault: Option<(Range<Duration>, Fault)>,
}

/// A span of even load.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Phase {
    pub span: Duration,
    pub per_second: f64,
}

impl Scenario {
    pub const ALL: [Scenario; 5] =
        [Scenario::Steady, Scenario::Overload, Scenario::Outage, Scenario::Slow, Scenario::Deploy];

    pub fn name(self) -> &'static str {
        match self {
            Scenario::Steady => "steady",
            Scenario::Overload => "overload",
            Scenario::Outage => "outage",
            Scenario::Slow => "slow",
            Scenario::Deploy => "deploy",
        }
    }
}

impl Plan {
    pub fn of(scenario: Scenario, settings: &Settings) -> Plan {
        let spans = &settings.scenarios;
        let seconds = Duration::from_secs_f64;
        let (warm_up, before, rate) =
            (seconds(spans.warm_up_s), seconds(spans.before_s), settings.load.rate_per_second);
        let even = |span: f64| Phase { span: seconds(span), per_second: rate };
        let fault_rate = match scenario {
            Scenario::Overload => settings.capacity_per_second() * spans.overload.times_capacity,
            _ => rate,
        };
        let (span_s, after_s, fault) = match scenario {
            Scenario::Steady => {
                let phases = vec![even(spans.warm_up_s), even(spans.steady.span_s)];
                return Plan { scenario, phases, warm_up, fault: None };
            }
            Scenario::Overload => (spans.overload.span_s, spans.overload.after_s, Fault::Load),
            Scenario::Outage => (spans.outage.span_s, spans.outage.after_s, Fault::Kill(spans.outage.service)),
            Scenario::Slow => {
                let (step, service_time_ms) = (spans.slow.service, spans.slow.service_time_ms);
                (spans.slow.span_s, spans.slow.after_s, Fault::SlowDown { step, service_time_ms })
            }
            Scenario::Deploy => (spans.deploy.span_s, spans.deploy.after_s, Fault::RestartAll),
        };
        let during = Phase { span: seconds(span_s), per_second: fault_rate };
        let phases = vec![even(spans.warm_up_s), even(spans.before_s), during, even(after_s)];
        let begins = warm_up + before;
        Plan { scenario, phases, warm_up, fault: Some((begins..begins + seconds(span_s), fault)) }
    }

    /// A few orders before the first scenario order, so that no run begins with what happens once in a cluster's or a
    /// connection's life.
    pub fn priming(scenario: Scenario) -> Plan {
        let phases = vec![Phase { span: Duration::from_secs(1), per_second: 20.0 }];
        Plan { scenario, phases, warm_up: Duration::ZERO, fault: None }
    }

    pub fn span(&self) -> Duration {
        self.phases.iter().map(|phase| phase.span).sum()
    }

    /// When each order is due.
    pub fn due_times(&self) -> impl Iterator<Item = Duration> + use<> {
        let mut begins = Duration::ZERO;
        let begun = self.phases.clone().into_iter().map(move |phase| {
            let began = begins;
            begins += phase.span;
            (began, phase)
        });
        begun.flat_map(|(began, phase)| {
            let orders = (phase.span.as_secs_f64() * phase.per_second).round() as u64;
            (0..orders).map(move |order| began + Duration::from_secs_f64(order as f64 / phase.per_second))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orders_within(plan: &Plan, span: &Range<Duration>) -> usize {
        plan.due_times().filter(|due| span.contains(due)).count()
    }

    #[test]
    fn orders_are_due_evenly_and_in_order() {
        for scenario in Scenario::ALL {
            let plan = Plan::of(scenario, &Settings::defaults());
            let due: Vec<_> = plan.due_times().collect();
            assert!(due.is_sorted() && *due.last().unwrap() < plan.span());
        }
        let plan = Plan::of(Scenario::Steady, &Settings::defaults());
        assert_eq!(plan.due_times().nth(70), Some(Duration::from_secs(1)));
        assert_eq!(plan.due_times().count(), 34 * 70);
    }

    #[test]
    fn an_overload_is_a_multiple_of_the_capacity_for_its_span() {
        let plan = Plan::of(Scenario::Overload, &Settings::defaults());
        let (span, fault) = plan.fault.clone().unwrap();
        assert_eq!((span.clone(), fault), (Duration::from_secs(10)..Duration::from_secs(70), Fault::Load));
        assert_eq!(orders_within(&plan, &span), 60 * 3 * 200);
        assert_eq!(orders_within(&plan, &(span.end..plan.span())), 20 * 70);
    }

    #[test]
    fn another_fault_leaves_the_load_as_it_is() {
        let plan = Plan::of(Scenario::Outage, &Settings::defaults().scaled(0.1));
        let (span, fault) = plan.fault.clone().unwrap();
        assert_eq!(fault, Fault::Kill(Step::Payment));
        assert_eq!(orders_within(&plan, &span), 210);
    }
}
