//! The report on the terminal: a table of each scenario, one column a side, then what the figures say.

use std::fmt::Write;

use comfy_table::{CellAlignment, Table, presets};

use super::Report;

impl Report {
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for scenario in self.scenarios() {
            let _ = writeln!(text, "{}: {}\n", scenario.name(), self.happens(scenario));
            let mut table = Table::new();
            table.load_style(presets::NOTHING);
            for row in self.rows(scenario) {
                table.add_row(row);
            }
            table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
            let _ = writeln!(text, "{table}\n");
        }
        for section in &self.commentary {
            let _ = writeln!(text, "{}", section.title);
            for sentence in &section.sentences {
                let _ = writeln!(text, "  - {sentence}");
            }
            text.push('\n');
        }
        let _ = match &self.violations()[..] {
            [] if !self.has_pipeline() => Ok(()),
            [] => writeln!(text, "verdict: by its topics, the pipeline lost and doubled no order"),
            violations => writeln!(text, "verdict: FAILED: {}", violations.join("; ")),
        };
        text
    }
}
