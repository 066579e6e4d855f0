//! One line of progress: records, their rate, and the time that is left; on a terminal only.

use std::time::{Duration, Instant};

use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The line, which goes when it is ended.
pub(super) struct Progress {
    bar: ProgressBar,
    verb: &'static str,
    started: Instant,
    last_shown: Option<Instant>,
}

/// How often the line changes.
const INTERVAL: Duration = Duration::from_millis(250);

impl Progress {
    /// Nothing is shown where stderr is no terminal.
    pub(super) fn start(verb: &'static str) -> Progress {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        bar.set_style(ProgressStyle::with_template("{spinner} {msg}").expect("the template is well-formed"));
        Progress { bar, verb, started: Instant::now(), last_shown: None }
    }

    /// Says how much is done, and how many records there are still to do where that is known.
    pub(super) fn show(&mut self, records: u64, bytes: u64, left: Option<u64>) {
        if self.bar.is_hidden() || self.last_shown.is_some_and(|last| last.elapsed() < INTERVAL) {
            return;
        }
        self.last_shown = Some(Instant::now());
        let seconds = self.started.elapsed().as_secs_f64().max(0.001);
        let rate = records as f64 / seconds;
        let left = left.filter(|_| records > 0).map(|left| {
            let seconds = Duration::from_secs_f64((left as f64 / rate).min(1e9));
            format!(", {} to go, {}", HumanCount(left), HumanDuration(seconds))
        });
        let (verb, megabytes) = (self.verb, bytes as f64 / 1e6);
        let left = left.unwrap_or_default();
        let records = HumanCount(records);
        self.bar.set_message(format!("{records} records {verb}, {megabytes:.0} MB, {rate:.0}/s{left}"));
        self.bar.tick();
    }

    pub(super) fn end(self) {
        self.bar.finish_and_clear();
    }
}
