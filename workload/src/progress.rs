//! One line of progress on a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The line, which goes when it is dropped. Nothing is shown where stderr is no terminal.
pub(crate) struct Progress(ProgressBar);

const INTERVAL: Duration = Duration::from_millis(250);

impl Progress {
    pub(crate) fn start() -> Progress {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{spinner} {msg}, {elapsed} so far");
        bar.set_style(style.expect("the template is well-formed"));
        if !bar.is_hidden() {
            bar.enable_steady_tick(INTERVAL);
        }
        Progress(bar)
    }

    pub(crate) fn say(&self, what: String) {
        self.0.set_message(what);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
