//! Throughput: a process is started on a full input; observed from outside until all of its output is visible.

use std::time::{Duration, Instant};

use unchain_measure::usage;

use crate::contestant::Contestant;
use crate::results::Measured;
use crate::stage::Stage;
use crate::{Bench, Failure, pause};

const LOOK_INTERVAL: Duration = Duration::from_millis(25);

/// What is to be drained, and when to give up.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub records: u64,
    /// Output records that must come.
    pub expected: u64,
    /// Ends the observation before everything is done; the rate is then that of the committed input offsets.
    pub limit: Option<Duration>,
}

/// One look: committed or emitted records, and the memory of the process.
struct Look {
    at: Instant,
    visible: i64,
    committed: i64,
    resident_mb: f64,
}

/// Runs the contestant until the load is drained, and measures.
pub fn drain(bench: &Bench, stage: &Stage<'_>, contestant: &Contestant, load: Load) -> Result<Measured, Failure> {
    let group = stage.cluster.group(&stage.group, &stage.input)?;
    pause(Duration::from_millis(300));
    let (base, base_committed) = (stage.visible()?, group.committed()?);
    let (broker, machine, own) = (bench.broker_cpu(), usage::machine_cpu_seconds(), own_cpu());
    let mut process = stage.start(contestant, &[])?;
    let patience = Duration::from_secs(60 + load.records / 10_000);
    let goal = i64::try_from(load.records)?;
    let mut looks: Vec<Look> = Vec::new();
    let mut first_cpu = 0.0;
    loop {
        pause(LOOK_INTERVAL);
        process.expect_alive()?;
        let visible = stage.visible()? - base;
        if visible > 0 {
            if looks.is_empty() {
                first_cpu = usage::cpu_seconds(process.pid());
            }
            let resident_mb = usage::resident_mb(process.pid());
            let enough = visible >= i64::try_from(load.expected)?;
            // At least once an offset may be committed a second after its output, which does not count.
            let ask = stage.task.exactly_once && (enough || load.limit.is_some());
            let committed = if ask { group.committed()? - base_committed } else { 0 };
            looks.push(Look { at: Instant::now(), visible, committed, resident_mb });
            if enough && (!stage.task.exactly_once || committed >= goal) {
                break;
            }
        }
        let over = |limit: Duration| looks.first().is_some_and(|first| first.at.elapsed() > limit);
        if load.limit.is_some_and(over) {
            break;
        }
        if process.started.elapsed() > patience {
            return Err(format!("not done after {} s: {visible} output records are visible", patience.as_secs()).into());
        }
    }
    let cpu = usage::cpu_seconds(process.pid());
    let peak = usage::peak_resident_mb(process.pid());
    let (broker, own) = (bench.broker_cpu() - broker, own_cpu() - own);
    let others = usage::machine_cpu_seconds() - machine - broker - own - cpu;
    process.stop()?;

    let mut measured = Measured::default();
    let (first, last) = (looks.first().ok_or("no output")?, looks.last().ok_or("no output")?);
    let wall = last.at.duration_since(process.started).as_secs_f64();
    let steady = last.at.duration_since(first.at).as_secs_f64();
    let done =
        if load.limit.is_some() { (last.committed - first.committed) as f64 } else { share(first, last) * goal as f64 };
    let millions = if load.limit.is_some() { last.committed as f64 } else { goal as f64 } / 1e6;
    measured.set("records_per_s", done / steady);
    measured.set("records_per_s_from_start", done.max(millions * 1e6) / wall);
    measured.set("first_output_s", first.at.duration_since(process.started).as_secs_f64());
    measured.set("cpu_s_per_million", cpu / millions);
    measured.set("cpu_s_per_million_steady", (cpu - first_cpu) / millions);
    measured.set("peak_mb", peak);
    measured.set("broker_cpu_s_per_million", broker / millions);
    measured.set("others_cpu_share", (others / wall).max(0.0));
    memory(&looks, &mut measured);
    Ok(measured)
}

/// The part of the output that became visible after the first look.
fn share(first: &Look, last: &Look) -> f64 {
    1.0 - first.visible as f64 / last.visible.max(1) as f64
}

/// How memory went: its peak while each quarter of the output came, and by how much later ones rise above the first.
fn memory(looks: &[Look], measured: &mut Measured) {
    let total = looks.last().map_or(1, |look| look.visible.max(1));
    let mut peaks = [0.0_f64; 4];
    for look in looks {
        let quarter = usize::try_from((look.visible * 4 / total).clamp(0, 3)).unwrap_or(3);
        peaks[quarter] = peaks[quarter].max(look.resident_mb);
    }
    let later = peaks[1..].iter().copied().fold(0.0, f64::max);
    if peaks[0] > 0.0 {
        measured.set("first_quarter_peak_mb", peaks[0]);
        measured.set("later_peak_mb", later);
        measured.set("memory_growth_percent", (later / peaks[0] - 1.0) * 100.0);
    }
}

fn own_cpu() -> f64 {
    usage::cpu_seconds(std::process::id())
}
