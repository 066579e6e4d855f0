//! CPU time of a side's processes and of the broker over one run, from `/proc`; where there is none, none is reported.

use std::collections::HashMap;

use serde::Serialize;

/// What `/proc` counts CPU time in, on every Linux (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU seconds of user and system.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CpuSeconds {
    pub services: f64,
    /// The broker's, where its process is known.
    pub broker: Option<f64>,
}

/// Follows the processes of a run, which come and go.
pub struct Cpu {
    /// Of each process: at the run's begin, and when it was last looked at.
    services: HashMap<u32, (u64, u64)>,
    broker: Option<(u32, u64, u64)>,
}

impl Cpu {
    /// From now on these processes' time counts, and that of any that comes later from its start.
    pub fn begin(services: &[u32], broker: Option<u32>) -> Cpu {
        let services = services.iter().filter_map(|id| ticks(*id).map(|ticks| (*id, (ticks, ticks)))).collect();
        let broker = broker.and_then(|id| ticks(id).map(|ticks| (id, ticks, ticks)));
        Cpu { services, broker }
    }

    /// Looks at the processes that run now: before one of them ends, and at the end.
    pub fn note(&mut self, services: &[u32]) {
        for id in services {
            if let Some(ticks) = ticks(*id) {
                self.services.entry(*id).or_default().1 = ticks;
            }
        }
        if let Some((id, _, last)) = &mut self.broker {
            *last = ticks(*id).unwrap_or(*last);
        }
    }

    /// `None` where the system tells nothing.
    pub fn seconds(&self) -> Option<CpuSeconds> {
        let seconds = |ticks: u64| ticks as f64 / TICKS_PER_SECOND;
        let services: u64 = self.services.values().map(|(first, last)| last.saturating_sub(*first)).sum();
        let broker = self.broker.map(|(_, first, last)| seconds(last.saturating_sub(first)));
        (!self.services.is_empty()).then(|| CpuSeconds { services: seconds(services), broker })
    }
}

fn ticks(id: u32) -> Option<u64> {
    ticks_of(&std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
}

/// User and system time in a line of `/proc/ID/stat`. The second field is a name in brackets, which may hold anything.
fn ticks_of(stat: &str) -> Option<u64> {
    let after_name = &stat[stat.rfind(')')? + 1..];
    let mut fields = after_name.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_time_are_added() {
        let stat = "7 (un (chain) x) S 1 7 7 0 -1 4194560 900 0 0 0 250 50 0 0 20 0 5 0 100 1 2";
        assert_eq!(ticks_of(stat), Some(300));
        assert_eq!(ticks_of("7 (x"), None);
    }
}
