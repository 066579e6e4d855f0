//! `cargo xtask check`: what a commit must pass before its tests are worth running.

use crate::steps::Steps;
use crate::{deny, docs};

pub fn run(steps: &mut Steps) {
    steps.cargo("format", &["fmt", "--all", "--check"]);
    steps.cargo("lints", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    deny::step(steps);
    docs::step(steps);
}
