//! One line that says how far a command is, on a terminal only.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The line, which goes when it is ended or dropped.
pub(super) struct Progress {
    bar: ProgressBar,
    last_shown: Option<Instant>,
}

/// How often the line changes.
const INTERVAL: Duration = Duration::from_millis(250);

impl Progress {
    /// Nothing is shown where stderr is no terminal.
    pub(super) fn start() -> Progress {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        bar.set_style(ProgressStyle::with_template("{spinner} {msg}").expect("the template is well-formed"));
        Progress { bar, last_shown: None }
    }

    /// Shows a line, where one is due.
    pub(super) fn show(&mut self, line: impl FnOnce() -> String) {
        if self.bar.is_hidden() || self.last_shown.is_some_and(|last| last.elapsed() < INTERVAL) {
            return;
        }
        self.last_shown = Some(Instant::now());
        self.bar.set_message(line());
        self.bar.tick();
    }

    /// Says something that stays, above the line.
    pub(super) fn say(&self, text: &str) {
        self.bar.suspend(|| eprintln!("{text}"));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
