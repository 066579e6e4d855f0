//! A result as files: JSON for programs, one HTML page for readers, its charts as SVG for other pages.

use std::path::Path;

use unchain_measure::{Axis, Chart, Page, Series};

use crate::BenchError;
use crate::result::{Report, Run};
use crate::table::{HEADS, headline, rows};

/// Writes all of them into a folder, which is created where it is missing.
pub(crate) fn write(report: &Report, folder: &Path) -> Result<(), BenchError> {
    let put = |name: &str, text: &str| {
        let file = folder.join(name);
        std::fs::write(&file, text).map_err(|source| BenchError::File { file, source })
    };
    std::fs::create_dir_all(folder).map_err(|source| BenchError::File { file: folder.to_owned(), source })?;
    let json = serde_json::to_string_pretty(report).map_err(std::io::Error::other);
    let json = json.map_err(|source| BenchError::File { file: folder.join("result.json"), source })?;
    put("result.json", &json)?;
    for (name, chart) in charts(report) {
        put(&format!("{name}.svg"), &chart.svg()?)?;
    }
    put("report.html", &page(report)?)
}

fn page(report: &Report) -> Result<String, BenchError> {
    let mut page = Page::new(&format!("unchain bench {}", report.workload.kind.name()));
    page.paragraph(&headline(report));
    for warning in report.warnings() {
        page.paragraph(&format!("Warning: {warning}."));
    }
    page.table(&HEADS, &rows(report));
    page.note(&report.machine.summary());
    page.heading("One run in time");
    page.paragraph(
        "The run whose rate is nearest to the median. Latencies stand at the moment when the records were due, rates at \
         the moment when they ended.",
    );
    for (_, chart) in charts(report) {
        page.chart(&chart)?;
    }
    page.heading("Runs");
    let heads = ["run", "sent", "acknowledged", "received", "unsent", "measured", "measured, s"];
    let run_rows = report.runs.iter().enumerate().map(|(index, run)| {
        let facts = &run.facts;
        let counts = [facts.sent, facts.acknowledged, facts.received, facts.unsent, facts.measured];
        let mut row = vec![(index + 1).to_string()];
        row.extend(counts.iter().map(u64::to_string));
        row.push(format!("{:.2}", facts.measured_seconds));
        row
    });
    page.table(&heads, &run_rows.collect::<Vec<_>>());
    page.heading("Workload");
    let json = serde_json::to_value(&report.workload).unwrap_or_default();
    let fields = json.as_object().into_iter().flatten().map(|(name, value)| vec![name.clone(), value.to_string()]);
    page.table(&["field", "value"], &fields.collect::<Vec<_>>());
    Ok(page.html())
}

/// The charts that the result has lines for, each with the name of its file.
fn charts(report: &Report) -> Vec<(&'static str, Chart)> {
    let Some(run) = report.typical_run() else { return Vec::new() };
    let seconds = || Axis::linear("seconds");
    let rate = [("rate", "records/s".to_owned())];
    let percentiles = ["p50", "p90", "p99", "p99_9"].map(|name| (name, name.replace('_', ".")));
    let over_time = percentiles.map(|(name, title)| (format!("latency_ms.{name}"), title));
    let cpu = run.series.keys().filter_map(|name| Some((name.clone(), name.strip_prefix("cpu.")?.to_owned())));
    let cpu: Vec<_> = cpu.collect();
    let mut distribution = run.series.get("distribution").cloned().unwrap_or_default();
    // Drawn by how rare a latency is: 90, 99, 99.9 percent lie equally far apart.
    distribution.retain(|(percent, _)| *percent < 100.0);
    distribution.iter_mut().for_each(|(percent, _)| *percent = 100.0 / (100.0 - *percent));
    let distribution = Series { name: "latency".to_owned(), points: distribution };
    let rare = Axis::logarithmic("one record in so many is slower");
    let all = [
        ("throughput", chart("Throughput", seconds(), Axis::linear("records/s"), lines(run, &rate))),
        ("latency", chart("Latency over time", seconds(), Axis::logarithmic("ms"), lines(run, &over_time))),
        ("distribution", chart("Latency distribution", rare, Axis::logarithmic("ms"), vec![distribution])),
        ("lag", chart("Lag", seconds(), Axis::linear("records"), lines(run, &[("lag", "due, not ended".to_owned())]))),
        ("cpu", chart("CPU", seconds(), Axis::linear("busy CPUs"), lines(run, &cpu))),
    ];
    let has_points = |chart: &Chart| chart.series.iter().any(|series| series.points.len() > 1);
    all.into_iter().filter(|(_, chart)| has_points(chart)).collect()
}

fn chart(title: &str, x: Axis, y: Axis, series: Vec<Series>) -> Chart {
    Chart { title: title.to_owned(), x, y, series, marks: Vec::new() }
}

fn lines(run: &Run, names: &[(impl AsRef<str>, String)]) -> Vec<Series> {
    let line = |(name, title): &(_, String)| {
        let points = run.series.get(AsRef::<str>::as_ref(name))?.clone();
        Some(Series { name: title.clone(), points })
    };
    names.iter().filter_map(line).collect()
}
