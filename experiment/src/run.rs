//! One run: one side through one scenario, from the start of its services to the judgement.

use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use unchain::app::Signals;
use unchain::kafka::Connection;

use crate::child::Program;
use crate::clock::now_us;
use crate::cpu::Cpu;
use crate::effects::{Effect, read_effects};
use crate::error::ExperimentError;
use crate::judge::{Judgement, judge};
use crate::load::{self, Offered};
use crate::pipeline::{Cleanup, Follower, RunName, count_placed, read_topics};
use crate::recovery::{Recovery, recovery};
use crate::scenario::{Fault, Plan, Scenario};
use crate::settings::Settings;
use crate::side::{Kind, Side, effects_file};
use crate::step::Step;

/// How often a wait for the last orders looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// What the ids of the orders begin with that go before the others.
const PRIMING: &str = "priming-";

/// What all runs share.
pub struct Stage<'a> {
    pub settings: &'a Settings,
    pub program: &'a Program,
    pub signals: &'a Signals,
    /// Where the pipeline's cluster is, and its broker's process where that is known.
    pub cluster: Option<(&'a Connection, Option<u32>)>,
    pub folder: &'a Path,
}

/// A run that is over.
pub struct Run {
    pub kind: Kind,
    pub plan: Plan,
    /// When the load began, in microseconds since the Unix epoch.
    pub began_us: u64,
    /// When the fault was there, as it came to be.
    pub fault_us: Option<Range<u64>>,
    pub judgement: Judgement,
    pub recovery: Option<Recovery>,
    pub cpu: Cpu,
}

impl Stage<'_> {
    /// Lets a side go through a scenario.
    pub fn run(
        &self,
        kind: Kind,
        scenario: Scenario,
        cleanup: &mut Option<Cleanup<'_>>,
    ) -> Result<Run, ExperimentError> {
        let plan = Plan::of(scenario, self.settings);
        let name = RunName(format!("unchain-experiment-{:x}-{}", now_us(), scenario.name()));
        let folder = self.folder.join(&name.0);
        std::fs::create_dir_all(&folder).map_err(ExperimentError::file(&folder))?;
        let connection = self.cluster.filter(|_| kind == Kind::Pipeline).map(|(connection, _)| connection);
        let follower = match (connection, cleanup.as_mut()) {
            (Some(connection), Some(cleanup)) => {
                cleanup.create(&name)?;
                Some(Follower::start(connection, &name)?)
            }
            _ => None,
        };
        let mut side = Side::start(kind, self.settings, &name, self.program, &folder)?;
        let primed = self.prime(&side, scenario, connection.zip(follower.as_ref()), &name)?;
        let began = Instant::now();
        let began_us = now_us();
        let mut cpu = Cpu::begin(&side.process_ids(), self.broker_of(kind));
        let (mut offered, fault_us) = self.load_and_fault(&mut side, &plan, began, &mut cpu)?;
        side.check()?;
        match (connection, &follower) {
            (Some(connection), Some(follower)) => self.await_completion(connection, &name, follower)?,
            _ => self.pause(self.longest_work(scenario))?,
        }
        cpu.note(&side.process_ids());
        side.stop();
        let effects = match (connection, follower) {
            (Some(connection), Some(follower)) => read_topics(connection, &name, &follower.end()?)?,
            _ => chain_effects(&folder)?,
        };
        if let Some(cleanup) = cleanup.as_mut() {
            cleanup.delete_topics()?;
        }
        // They count, though long before anything is measured.
        offered.extend(primed);
        let judgement = judge(&offered, &effects);
        let warm_us = began_us + micros(plan.warm_up);
        let recovery = fault_us.clone().map(|fault| recovery(&judgement.fates, warm_us..fault.start, fault));
        Ok(Run { kind, plan, began_us, fault_us, judgement, recovery, cpu })
    }

    fn broker_of(&self, kind: Kind) -> Option<u32> {
        self.cluster.filter(|_| kind == Kind::Pipeline).and_then(|(_, broker)| broker)
    }

    /// Lets some orders through and waits until they are complete.
    fn prime(
        &self,
        side: &Side<'_>,
        scenario: Scenario,
        pipeline: Option<(&Connection, &Follower)>,
        name: &RunName,
    ) -> Result<Vec<Offered>, ExperimentError> {
        let (plan, stop) = (Plan::priming(scenario), AtomicBool::new(false));
        let primed = load::drive(side.entry(), PRIMING, &plan, &self.settings.load, Instant::now(), &stop)?;
        if let Some((connection, follower)) = pipeline {
            self.await_completion(connection, name, follower)?;
        }
        Ok(primed)
    }

    fn load_and_fault(
        &self,
        side: &mut Side<'_>,
        plan: &Plan,
        began: Instant,
        cpu: &mut Cpu,
    ) -> Result<(Vec<Offered>, Option<Range<u64>>), ExperimentError> {
        let (stop, entry) = (AtomicBool::new(false), side.entry().to_owned());
        std::thread::scope(|scope| {
            let load = scope.spawn(|| load::drive(&entry, "", plan, &self.settings.load, began, &stop));
            let directed = self.direct(side, plan, began, cpu);
            if directed.is_err() {
                stop.store(true, Ordering::Relaxed);
                // Calls under way end with their callees.
                side.kill_all();
            }
            let offered = load.join().expect("the load returns its errors");
            let fault_us = directed?;
            Ok((offered?, fault_us))
        })
    }

    /// Does to a side what the plan says, when it says; returns when that was.
    fn direct(
        &self,
        side: &mut Side<'_>,
        plan: &Plan,
        began: Instant,
        cpu: &mut Cpu,
    ) -> Result<Option<Range<u64>>, ExperimentError> {
        let until = |at: Duration| self.pause(at.saturating_sub(began.elapsed()));
        let mut fault_us = None;
        if let Some((span, fault)) = &plan.fault {
            until(span.start)?;
            let from_us = now_us();
            match *fault {
                Fault::Load => until(span.end)?,
                Fault::Kill(step) => {
                    cpu.note(&side.process_ids());
                    side.kill(step);
                    until(span.end)?;
                }
                Fault::SlowDown { step, service_time_ms } => {
                    side.set_service_time_ms(step, service_time_ms)?;
                    until(span.end)?;
                    side.set_service_time_ms(step, self.settings.of(step).service_time_ms)?;
                }
                Fault::RestartAll => {
                    let step = (span.end - span.start) / side.service_count().max(1) as u32;
                    for service in 0..side.service_count() {
                        until(span.start + step * service as u32)?;
                        cpu.note(&side.process_ids());
                        side.restart(service)?;
                    }
                }
            }
            fault_us = Some(from_us..now_us());
            // The fault is over once the service is told to start; how long that takes is the side's own affair.
            if let Fault::Kill(step) = *fault {
                side.start_again(step)?;
            }
        }
        until(plan.span())?;
        Ok(fault_us)
    }

    /// Waits until every order that the front has published is complete, or nothing moves any more.
    fn await_completion(
        &self,
        connection: &Connection,
        name: &RunName,
        follower: &Follower,
    ) -> Result<(), ExperimentError> {
        let placed = count_placed(connection, name)?;
        let (mut last, mut moved) = (follower.records(), Instant::now());
        while follower.orders() < placed {
            self.pause(LOOK_INTERVAL)?;
            if follower.records() != last {
                (last, moved) = (follower.records(), Instant::now());
            }
            if moved.elapsed() > self.settings.pipeline.stall_timeout() {
                tracing::warn!(placed, completed = follower.orders(), "nothing moves any more: judged as it stands");
                break;
            }
        }
        Ok(())
    }

    /// How long work that was begun may still take after its caller has gone.
    fn longest_work(&self, scenario: Scenario) -> Duration {
        let slow = &self.settings.scenarios.slow;
        let usual = Step::ALL.map(|step| self.settings.of(step).service_time_ms);
        let slow_ms = if scenario == Scenario::Slow { slow.service_time_ms } else { 0 };
        let abandoned_ms = self.settings.chain.deadline_ms.saturating_sub(self.settings.load.caller_timeout_ms);
        Duration::from_millis(abandoned_ms + 2 * usual.into_iter().fold(slow_ms, u64::max))
    }

    /// Waits, unless the experiment is interrupted.
    fn pause(&self, at_most: Duration) -> Result<(), ExperimentError> {
        if self.signals.wait(at_most) { Err(ExperimentError::Interrupted) } else { Ok(()) }
    }
}

/// What all services of a synchronous chain have done.
fn chain_effects(folder: &Path) -> Result<Vec<Effect>, ExperimentError> {
    let mut effects = Vec::new();
    for step in Step::ALL {
        let file = effects_file(folder, step);
        effects.extend(read_effects(&file).map_err(ExperimentError::file(file))?);
    }
    Ok(effects)
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
