//! How the experiment was made, in the words of the report: what each side is, what counts as what, what happened when.

use super::{Report, Section};
use crate::scenario::Scenario;
use crate::step::Step;

/// What a reader of a table must know.
pub const TERMS: [(&str, &str); 7] = [
    ("accepted", "the caller was told yes: 200 at the end of the synchronous chain, 202 once the topic has the order"),
    ("refused", "the caller was told no (5xx, no connection), or nothing in time"),
    ("completed", "the e-mail step's effect is there"),
    ("lost", "accepted, and never completed"),
    ("half done", "refused, though some steps were done and not all: charged and not shipped, say"),
    ("done though refused", "refused, though all steps were done: a caller who orders again gets it twice"),
    ("doubled", "orders with an effect of one step more than once"),
];

impl Report {
    /// What happens in a scenario.
    pub fn happens(&self, scenario: Scenario) -> String {
        let (spans, rate) = (&self.settings.scenarios, self.rate_per_second);
        match scenario {
            Scenario::Steady => format!("{rate:.0} orders/s for {:.0} s, nothing fails", spans.steady.span_s),
            Scenario::Overload => format!(
                "{:.0} orders/s, {} times the capacity, for {:.0} s",
                self.capacity_per_second * spans.overload.times_capacity,
                spans.overload.times_capacity,
                spans.overload.span_s
            ),
            Scenario::Outage => {
                format!(
                    "{} killed (-9) at {rate:.0} orders/s, started again after {:.0} s",
                    spans.outage.service, spans.outage.span_s
                )
            }
            Scenario::Slow => format!(
                "{} takes {} ms an order for {:.0} s, at {rate:.0} orders/s",
                spans.slow.service, spans.slow.service_time_ms, spans.slow.span_s
            ),
            Scenario::Deploy => format!(
                "every service restarted in turn (SIGTERM, one instance each) within {:.0} s, at {rate:.0} orders/s",
                spans.deploy.span_s
            ),
        }
    }

    /// How it was made.
    pub fn method(&self) -> Section {
        let (chain, load) = (&self.settings.chain, &self.settings.load);
        let breaker = &chain.circuit_breaker;
        let works = Step::ALL.map(|step| {
            let work = self.settings.of(step);
            format!("{step} {} ms x {}", work.service_time_ms, work.concurrency)
        });
        let sentences = vec![
            format!(
                "Both sides do the same work, in processes of their own: {} (service time, give or take its spread, and \
                 orders at once). The capacity is {:.0} orders/s.",
                works.join(", "),
                self.capacity_per_second
            ),
            format!(
                "The load is the CDNOW order log in an open loop: orders come at their times whatever becomes of the earlier \
                 ones, the same on each side; latencies count from those times. A caller waits {} s and does not ask again, \
                 on neither side.",
                load.caller_timeout_ms as f64 / 1_000.0
            ),
            format!(
                "Synchronous: each service does its work, then calls the next over HTTP, then answers. Set up as a careful team \
                 would: {} ms a call and remaining service, a deadline of {} ms passed along, pooled connections, at most {} \
                 attempts with full jitter under a retry budget of {:.0} %, idempotency keys that survive a restart, 503 \
                 with Retry-After beyond {} waiting orders, and a graceful end.",
                chain.call_timeout_ms,
                chain.deadline_ms,
                chain.max_attempts,
                chain.retry_budget * 100.0,
                chain.max_queue
            ),
            format!(
                "With the circuit breaker: it opens when {:.0} % of the last {} calls failed, for {} ms; a service whose \
                 breaker is open refuses before it has done anything.",
                breaker.failure_share * 100.0,
                breaker.window,
                breaker.open_ms
            ),
            format!(
                "Pipeline: a front answers 202 when the topic has the order on all replicas in sync, and five processors do the \
                 work, exactly once. The topics are on {}.",
                self.cluster
            ),
            "Lost, half done and doubled come from what the services left behind: each service's log of effects in the \
             synchronous chain, all topics read from their beginning (committed records only) in the pipeline. An order of \
             the pipeline is complete when a reader of the last topic has it, so its commit counts as well. Doubled are \
             records there: the work of an order whose transaction a killed process did not commit is done again, as an \
             idempotency key makes harmless."
                .to_owned(),
            "Recovered: from the fault's end until orders that are due are again accepted and completed in the usual time, for \
             good; where the load ended before, until everything was worked off."
                .to_owned(),
        ];
        Section { title: "How it was made".to_owned(), sentences }
    }
}
