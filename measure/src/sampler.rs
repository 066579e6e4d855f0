//! Samples what processes use while something runs.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::usage::{cpu_seconds, resident_mb};

/// What a process had used at a moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The name that the process was given.
    pub name: String,
    /// Seconds since the sampler was started.
    pub at_seconds: f64,
    /// CPU seconds since the process began.
    pub cpu_seconds: f64,
    pub resident_mb: f64,
}

/// Samples until it is stopped.
pub struct UsageSampler {
    stop: Sender<()>,
    thread: Option<JoinHandle<Vec<Sample>>>,
}

impl UsageSampler {
    /// Samples each process at once and then at this interval. `None` where no thread can be had.
    pub fn start(processes: Vec<(String, u32)>, interval: Duration) -> Option<UsageSampler> {
        let (stop, stopped) = channel();
        let started = Instant::now();
        let sample = move || {
            let mut samples = Vec::new();
            loop {
                let at_seconds = started.elapsed().as_secs_f64();
                samples.extend(processes.iter().map(|(name, pid)| Sample {
                    name: name.clone(),
                    at_seconds,
                    cpu_seconds: cpu_seconds(*pid),
                    resident_mb: resident_mb(*pid),
                }));
                if !matches!(stopped.recv_timeout(interval), Err(RecvTimeoutError::Timeout)) {
                    return samples;
                }
            }
        };
        let thread = std::thread::Builder::new().name("usage".to_owned()).spawn(sample).ok()?;
        Some(UsageSampler { stop, thread: Some(thread) })
    }

    /// Ends the sampling and gives what was sampled, in order.
    pub fn stop(mut self) -> Vec<Sample> {
        let _ = self.stop.send(());
        self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or_default()
    }
}

impl Drop for UsageSampler {
    fn drop(&mut self) {
        // The thread ends by itself once it is told.
        let _ = self.stop.send(());
    }
}

/// For a plot: seconds, and the CPUs that a process kept busy between one sample and the next.
pub fn busy_cpus(samples: &[Sample], name: &str) -> Vec<(f64, f64)> {
    let own: Vec<_> = samples.iter().filter(|sample| sample.name == name).collect();
    let between = own.windows(2).filter(|pair| pair[1].at_seconds > pair[0].at_seconds);
    between
        .map(|pair| {
            let cpu = (pair[1].cpu_seconds - pair[0].cpu_seconds).max(0.0);
            (pair[1].at_seconds, cpu / (pair[1].at_seconds - pair[0].at_seconds))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_sampled_until_the_end() {
        let own = ("own".to_owned(), std::process::id());
        let sampler = UsageSampler::start(vec![own], Duration::from_secs(60)).unwrap();
        let samples = sampler.stop();
        assert!(samples[0].resident_mb > 0.0 && samples[0].name == "own", "{samples:?}");
    }

    #[test]
    fn busy_cpus_are_the_difference_between_two_samples() {
        let sample = |at_seconds, cpu_seconds| Sample { name: "a".into(), at_seconds, cpu_seconds, resident_mb: 1.0 };
        let samples = [sample(0.0, 1.0), sample(2.0, 2.0), sample(3.0, 2.5)];
        assert_eq!(busy_cpus(&samples, "a"), [(2.0, 0.5), (3.0, 0.5)]);
        assert_eq!(busy_cpus(&samples, "b"), []);
    }
}
