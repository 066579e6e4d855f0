//! CPU time of a side's processes and of the broker over one run.

use std::collections::HashMap;

use serde::Serialize;
use unchain_measure::usage::cpu_seconds;

/// CPU seconds, user and system.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CpuSeconds {
    pub services: f64,
    /// The broker's, where its process is known.
    pub broker: Option<f64>,
}

/// Follows the processes of a run, which come and go.
pub struct Cpu {
    /// Of each process: at the run's begin, and when it was last looked at.
    services: HashMap<u32, (f64, f64)>,
    broker: Option<(u32, f64, f64)>,
}

impl Cpu {
    /// From now on these processes' time counts, and that of any that comes later from its start.
    pub fn begin(services: &[u32], broker: Option<u32>) -> Cpu {
        let now = |id: u32| (cpu_seconds(id), cpu_seconds(id));
        let broker = broker.map(|id| (id, cpu_seconds(id), cpu_seconds(id)));
        Cpu { services: services.iter().map(|id| (*id, now(*id))).collect(), broker }
    }

    /// Looks at the processes that run now: before one of them ends, and at the end.
    pub fn note(&mut self, services: &[u32]) {
        for id in services {
            let last = &mut self.services.entry(*id).or_default().1;
            *last = last.max(cpu_seconds(*id));
        }
        if let Some((id, _, last)) = &mut self.broker {
            *last = last.max(cpu_seconds(*id));
        }
    }

    pub fn seconds(&self) -> CpuSeconds {
        let services = self.services.values().map(|(first, last)| last - first).sum();
        CpuSeconds { services, broker: self.broker.map(|(_, first, last)| last - first) }
    }
}
