//! Results as tables in the terminal.

use comfy_table::{CellAlignment, Table, presets};

use crate::compare::Difference;
use crate::result::{Report, describe, in_order};

/// A number as short as it stays exact enough to compare.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        1e6.. => format!("{:.3} M", value / 1e6),
        1e4.. => format!("{:.1} k", value / 1e3),
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(heads.iter().copied());
    table.add_rows(rows.iter().cloned());
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

pub(crate) const HEADS: [&str; 4] = ["", "median", "min", "max"];

/// Each figure with its spread.
pub(crate) fn rows(report: &Report) -> Vec<Vec<String>> {
    let row = |name: &String| {
        let spread = report.metrics[name];
        vec![describe(name).0, short(spread.median), short(spread.min), short(spread.max)]
    };
    in_order(report.metrics.keys()).into_iter().map(row).collect()
}

pub(crate) fn result(report: &Report) -> String {
    let mut text = format!("{}\n{}\n", headline(report), table(&HEADS, &rows(report)));
    text.push_str(&format!("{}\n", report.machine.summary()));
    report.warnings().iter().for_each(|warning| text.push_str(&format!("warning: {warning}\n")));
    text
}

/// The workload in a line.
pub(crate) fn headline(report: &Report) -> String {
    let workload = &report.workload;
    let runs = report.runs.len();
    let rate = workload.rate.per_second().map_or("max".to_owned(), |rate| format!("{rate}/s"));
    let records: u64 = report.runs.iter().map(|run| run.facts.received).sum();
    format!(
        "{}: rate {rate}, {} topics of {} partitions, {} runs, {records} records, {}, seed {}",
        workload.kind.name(),
        workload.topics,
        workload.partitions,
        runs,
        report.broker,
        workload.seed
    )
}

pub(crate) fn differences(differences: &[Difference]) -> String {
    let spread = |spread: &unchain_measure::Spread| {
        format!("{} ({} to {})", short(spread.median), short(spread.min), short(spread.max))
    };
    let row = |it: &Difference| {
        let ratio = it.ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.3}"));
        vec![describe(&it.metric).0, spread(&it.one), spread(&it.other), ratio, it.verdict.text().to_owned()]
    };
    let rows: Vec<_> = differences.iter().map(row).collect();
    table(&["", "one", "other", "ratio", "verdict"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_at_every_size() {
        let shown = [1_234_567.0, 23_456.0, 1_234.0, 123.4, 12.34, 1.234, 0.123].map(short);
        assert_eq!(shown, ["1.235 M", "23.5 k", "1234", "123", "12.3", "1.23", "0.123"]);
    }
}
