//! The report for a repository: a table of each scenario with its plots, what the figures say, how it was made.

use std::fmt::Write;

use super::method::TERMS;
use super::{Figures, Report, Section};
use crate::scenario::Scenario;

impl Report {
    /// `plots` gives the titles and file names of a scenario's plots.
    pub fn to_markdown(&self, plots: impl Fn(Scenario) -> Vec<(String, String)>) -> String {
        let mut page = String::from("# Synchronous calls and a pipeline under the same faults\n\n");
        let _ = writeln!(
            page,
            "Written by `unchain experiment sync-vs-async`. Verification, payment, inventory, shipping and e-mail, once as \
             services that call each other over HTTP, once as processors.\n"
        );
        let _ = writeln!(page, "Measured on {}.\n", self.machine.summary());
        for section in &self.commentary {
            write_section(&mut page, section);
        }
        for scenario in self.scenarios() {
            let name = scenario.name();
            let _ = writeln!(page, "## {}{}\n\n{}.\n", name[..1].to_uppercase(), &name[1..], self.happens(scenario));
            let rows = self.rows(scenario);
            for (index, row) in rows.iter().enumerate() {
                let _ = writeln!(page, "| {} |", row.join(" | "));
                if index == 0 {
                    let _ = writeln!(page, "| --- |{}", " ---: |".repeat(row.len() - 1));
                }
            }
            for (title, file) in plots(scenario) {
                let _ = write!(page, "\n![{title}]({file})\n");
            }
            write_refusals(&mut page, self.of_scenario(scenario));
            page.push('\n');
        }
        write_section(&mut page, &self.method());
        let _ = writeln!(page, "## Words\n");
        for (term, meaning) in TERMS {
            let _ = writeln!(page, "- **{term}**: {meaning}");
        }
        page
    }
}

fn write_section(page: &mut String, section: &Section) {
    let _ = writeln!(page, "## {}\n", section.title);
    for sentence in &section.sentences {
        let _ = writeln!(page, "- {sentence}");
    }
    page.push('\n');
}

fn write_refusals<'a>(page: &mut String, runs: impl Iterator<Item = &'a Figures>) {
    let of_run = |run: &Figures| {
        let reasons = run.counts.refusals.iter().map(|(reason, count)| format!("{reason}: {count}"));
        let reasons: Vec<_> = reasons.collect();
        (!reasons.is_empty()).then(|| format!("{} ({})", run.side.name(), reasons.join(", ")))
    };
    let all: Vec<_> = runs.filter_map(of_run).collect();
    if !all.is_empty() {
        let _ = writeln!(page, "\nWhat refused callers were told: {}.", all.join("; "));
    }
}
