//! What a process has used, as `/proc` tells it.

use std::fs;

/// Ticks of a CPU second in `/proc`: 100 on every Linux platform that Rust supports.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU seconds of a process, all threads, user and system; 0 where it is gone.
pub fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The command's name may hold anything; the fields are counted behind its closing bracket.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    fields.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>()
        / TICKS_PER_SECOND
}

/// Busy seconds of all CPUs together.
pub fn machine_cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let ticks: Vec<f64> =
        stat.lines().next().unwrap_or_default().split_whitespace().skip(1).flat_map(str::parse).collect();
    // Fields 3 and 4 are idle and waiting for a disk.
    let busy = ticks.iter().enumerate().filter(|(field, _)| ![3, 4].contains(field));
    busy.map(|(_, ticks)| ticks).sum::<f64>() / TICKS_PER_SECOND
}

/// Resident megabytes of a process now.
pub fn resident_mb(pid: u32) -> f64 {
    status_kib(pid, "VmRSS:") * 1024.0 / 1e6
}

/// The most resident megabytes that a process has had.
pub fn peak_resident_mb(pid: u32) -> f64 {
    status_kib(pid, "VmHWM:") * 1024.0 / 1e6
}

fn status_kib(pid: u32, field: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let value =
        status.lines().find_map(|line| line.strip_prefix(field)).and_then(|rest| rest.split_whitespace().next());
    value.and_then(|kib| kib.parse().ok()).unwrap_or(0.0)
}
