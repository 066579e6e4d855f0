//! The results as a page of Markdown: the machine, the targets, and a table of each measure.

use std::fmt::Write;

use crate::measures::MEASURES;
use crate::results::{Results, Spread};
use crate::targets;

/// A column: the figure, its heading, by how much it is divided, and its digits.
type Column = (&'static str, &'static str, f64, usize);

const THROUGHPUT: &[Column] = &[
    ("records_per_s", "thousand records/s", 1_000.0, 0),
    ("records_per_s_from_start", "from process start", 1_000.0, 0),
    ("first_output_s", "first output, s", 1.0, 2),
    ("cpu_s_per_million", "CPU s per million", 1.0, 2),
    ("peak_mb", "peak MB", 1.0, 0),
];

/// How a measure is shown: its name, title, columns.
const TABLES: &[(&str, &str, &[Column])] = &[
    ("J1-eos", "J1, stateless, exactly-once", THROUGHPUT),
    ("J1-alos", "J1, stateless, at-least-once", THROUGHPUT),
    ("J2-eos", "J2, stateful, exactly-once", THROUGHPUT),
    (
        "LATENCY",
        "End-to-end latency at 1,000 records/s, exactly-once, ms",
        &[
            ("p50_ms", "p50", 1.0, 1),
            ("p99_ms", "p99", 1.0, 1),
            ("p999_ms", "p99.9", 1.0, 1),
            ("max_ms", "max", 1.0, 0),
        ],
    ),
    (
        "SLOW",
        "A handler that waits 20 ms, 10,000 keys, exactly-once",
        &[("records_per_s", "records/s", 1.0, 0), ("peak_mb", "peak MB", 1.0, 0)],
    ),
    (
        "RESTORE",
        "Restore of J2's table by a process without local files",
        &[
            ("records_per_s_from_start", "thousand changelog records/s", 1_000.0, 0),
            ("first_output_s", "process start to first output, s", 1.0, 2),
            ("changelog_records", "changelog records, thousand", 1_000.0, 0),
        ],
    ),
    (
        "REBALANCE",
        "Longest silence of the output at 5,000 records/s, exactly-once, ms",
        &[
            ("steady_partition_gap_ms", "one process, any partition", 1.0, 0),
            ("join_gap_ms", "second joins, all silent", 1.0, 0),
            ("join_partition_gap_ms", "second joins, one partition", 1.0, 0),
            ("kill_gap_ms", "second killed, all silent", 1.0, 0),
            ("kill_partition_gap_ms", "second killed, one partition", 1.0, 0),
        ],
    ),
    ("MEMORY", "Memory while a long lag is drained, J1 exactly-once", MEMORY),
    ("LARGE", "Memory with records of 1 MB, J1 exactly-once", MEMORY),
];

const MEMORY: &[Column] = &[
    ("first_quarter_peak_mb", "peak MB in the first quarter", 1.0, 0),
    ("later_peak_mb", "peak MB later", 1.0, 0),
    ("memory_growth_percent", "growth, percent", 1.0, 1),
    ("records_per_s", "records/s", 1.0, 0),
];

/// What stands at the head of the page.
pub struct Heading {
    /// The command that makes the page.
    pub command: String,
    pub machine: String,
    pub versions: Vec<String>,
    pub repetitions: usize,
    pub records: u64,
    /// Why the figures are no final ones.
    pub provisional: Option<String>,
}

pub fn page(heading: &Heading, results: &Results) -> String {
    let mut page = String::new();
    write(&mut page, heading, results).expect("writing to a string does not fail");
    page
}

fn write(page: &mut String, heading: &Heading, results: &Results) -> std::fmt::Result {
    writeln!(page, "# Results of the comparison\n\nWritten by `{}`; not to be edited.\n", heading.command)?;
    if let Some(why) = &heading.provisional {
        writeln!(page, "**Provisional:** {why}\n")?;
    }
    writeln!(
        page,
        "{}. {}. {} records, {} repetition(s), the contestants in turn within each (at-least-once 3; latency, slow \
         handler, restore, rebalance and memory 1); median, and least to greatest in brackets. What the measures mean and how peers were tuned: `benches/README.md` and `benches/peers/README.md`.\n",
        heading.machine,
        heading.versions.join(", "),
        number(heading.records as f64, 0),
        heading.repetitions
    )?;
    let (disturbed, watched) = results.disturbed();
    if disturbed > 0 {
        writeln!(page, "Other programs disturbed {disturbed} of {watched} runs (more than 0.35 of a core).\n")?;
    }
    write_targets(page, results)?;
    for (measure, title, columns) in TABLES {
        write_table(page, results, measure, title, columns)?;
    }
    let faulty: Vec<String> =
        results.faulty().map(|run| format!("{}, {}: {}", run.measure, run.contestant, run.faults.join("; "))).collect();
    for (title, lines) in [("Left out", &results.skipped), ("Runs that did not count", &faulty)] {
        if !lines.is_empty() {
            writeln!(page, "\n## {title}\n")?;
            lines.iter().try_for_each(|line| writeln!(page, "- {line}"))?;
        }
    }
    Ok(())
}

fn write_targets(page: &mut String, results: &Results) -> std::fmt::Result {
    writeln!(page, "## Targets\n\n| measure | target | measured | |\n| --- | --- | --- | --- |")?;
    for target in targets::judge(results) {
        let verdict = target.met.map_or("", |met| if met { "met" } else { "**missed**" });
        writeln!(page, "| {} | {} | {} | {verdict} |", target.measure, target.goal, target.measured)?;
    }
    Ok(())
}

fn write_table(
    page: &mut String,
    results: &Results,
    measure: &str,
    title: &str,
    columns: &[Column],
) -> std::fmt::Result {
    let contestants = MEASURES.iter().find(|known| known.name == measure).map_or(&[][..], |known| known.contestants);
    let cell = |contestant, (figure, _, unit, digits): &Column| {
        results
            .spread(measure, contestant, figure)
            .map_or_else(|| "-".to_owned(), |spread| shown(spread, *unit, *digits))
    };
    let rows: Vec<_> = contestants
        .iter()
        .filter(|contestant| results.spread(measure, contestant, columns[0].0).is_some())
        .map(|contestant| (contestant, columns.iter().map(|column| cell(contestant, column)).collect::<Vec<_>>()))
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    let headings: Vec<_> = columns.iter().map(|(_, heading, _, _)| *heading).collect();
    writeln!(page, "\n## {title}\n\n| | {} |\n| --- |{}", headings.join(" | "), " --- |".repeat(columns.len()))?;
    rows.iter().try_for_each(|(contestant, cells)| writeln!(page, "| {contestant} | {} |", cells.join(" | ")))
}

/// The median, with the ends in brackets where there are several runs.
fn shown(spread: Spread, unit: f64, digits: usize) -> String {
    let of = |value: f64| number(value / unit, digits);
    if spread.least.to_bits() == spread.greatest.to_bits() {
        return of(spread.median);
    }
    format!("**{}** ({} to {})", of(spread.median), of(spread.least), of(spread.greatest))
}

/// A number with its thousands separated by commas.
pub fn number(value: f64, digits: usize) -> String {
    let plain = format!("{value:.digits$}");
    let (whole, fraction) = plain.split_once('.').map_or((plain.as_str(), None), |(whole, rest)| (whole, Some(rest)));
    let (sign, whole) = whole.strip_prefix('-').map_or(("", whole), |whole| ("-", whole));
    let mut grouped = String::from(sign);
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    fraction.map_or(grouped.clone(), |fraction| format!("{grouped}.{fraction}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_thousands_separated() {
        let shown = [number(0.0, 0), number(999.6, 0), number(1_234_567.0, 0), number(-1_234.567, 2), number(12.5, 1)];
        assert_eq!(shown, ["0", "1,000", "1,234,567", "-1,234.57", "12.5"]);
    }

    #[test]
    fn every_measure_has_a_table() {
        let measures: Vec<_> = MEASURES.iter().map(|measure| measure.name).collect();
        let tables: Vec<_> = TABLES.iter().map(|(measure, _, _)| *measure).collect();
        assert_eq!(tables, measures);
    }
}
