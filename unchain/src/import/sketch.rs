//! A mapping to start from: what a CSV file's header and first lines let one guess.

use std::fmt::Write;
use std::path::Path;

use super::csv::{Delimiter, Row, Rows, Split};
use super::error::shown;
use super::lines::{Lines, ReadLine};
use super::mapping::CsvLayout;
use super::options::DEFAULT_MAX_LINE_BYTES;
use super::schemas::field_name;
use super::times::TimeFormat;
use super::{Format, ImportError};

/// Lines that are looked at.
const SAMPLE_LINES: usize = 200;

/// The delimiters that are tried, the likeliest first.
const DELIMITERS: [&str; 5] = [",", ";", "tab", "|", "whitespace"];

/// Ways of writing a time that are tried, with the type of a field that has it.
const TIMES: [(&str, bool); 17] = [
    ("rfc3339", false),
    ("%Y-%m-%d %H:%M:%S%.f", true),
    ("%Y-%m-%d %H:%M:%S %z", false),
    ("%Y-%m-%d %H:%M", true),
    ("%Y/%m/%d %H:%M:%S", true),
    ("%Y/%m/%d %H:%M", true),
    ("%d.%m.%Y %H:%M:%S", true),
    ("%d.%m.%Y %H:%M", true),
    ("%m/%d/%Y %H:%M:%S", true),
    ("%m/%d/%Y %H:%M", true),
    ("%d/%m/%Y %H:%M:%S", true),
    ("%d/%m/%Y %H:%M", true),
    ("%d/%b/%Y:%H:%M:%S %z", false),
    ("%Y-%m-%d", true),
    ("%d.%m.%Y", true),
    ("%m/%d/%Y", true),
    ("%Y%m%d", true),
];

/// A column as its first values show it.
struct Column {
    name: String,
    values: Vec<String>,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Time { format: &'static str, wants_zone: bool },
    Int,
    Long,
    Decimal { scale: usize },
    Double,
    Boolean,
    String,
}

/// Writes a mapping for a CSV file, with comments.
///
/// # Errors
/// A file that cannot be read, or is empty.
pub fn sketch_mapping(file: &Path) -> Result<String, ImportError> {
    let sample = sample(file)?;
    if sample[0].trim_start().starts_with('{') {
        let instead = ": with --topic, --key and --time they need no mapping; in one, columns are paths as user.id";
        return Err(ImportError::UselessOption { format: Format::Jsonl, option: "--print-mapping", instead });
    }
    let (delimiter, rows) = best_split(&sample);
    let Some((first, rest)) = rows.split_first() else {
        return Err(ImportError::Empty { file: file.to_owned() });
    };
    // Names are texts; a first row with numbers is data already.
    let has_header = !first.iter().any(|value| value.parse::<f64>().is_ok() || value.is_empty());
    let names: Vec<String> = match has_header {
        true => first.iter().map(|name| name.trim().to_owned()).collect(),
        false => (1..=first.len()).map(|number| format!("column_{number}")).collect(),
    };
    let data = if has_header { rest } else { &rows[..] };
    let columns: Vec<_> = names.into_iter().enumerate().map(|(index, name)| column(name, index, data)).collect();
    Ok(written(file, delimiter, has_header, &columns))
}

fn sample(file: &Path) -> Result<Vec<String>, ImportError> {
    let mut lines = Lines::open(file, DEFAULT_MAX_LINE_BYTES)?;
    let (mut sample, mut line) = (Vec::new(), Vec::new());
    while sample.len() < SAMPLE_LINES && lines.next(&mut line)? != ReadLine::End {
        if !line.trim_ascii().is_empty() {
            sample.push(String::from_utf8_lossy(&line).into_owned());
        }
        line.clear();
    }
    if sample.is_empty() { Err(ImportError::Empty { file: file.to_owned() }) } else { Ok(sample) }
}

/// The delimiter by which most rows have as many columns as the first, more than one if possible.
fn best_split(sample: &[String]) -> (&'static str, Vec<Vec<String>>) {
    let splits = DELIMITERS.iter().map(|delimiter| (*delimiter, split(sample, delimiter)));
    let score = |rows: &Vec<Vec<String>>| {
        let columns = rows.first().map_or(0, Vec::len);
        let alike = rows.iter().filter(|row| row.len() == columns).count();
        // Spaces are in texts, too: they count where they divide every row alike.
        (columns > 1 && alike * 10 >= rows.len() * 9, columns)
    };
    let mut best = ("", Vec::new());
    for (delimiter, rows) in splits {
        let is_better = match delimiter {
            "whitespace" => score(&rows).0 && !score(&best.1).0,
            _ => best.1.is_empty() || score(&rows) > score(&best.1),
        };
        if is_better {
            best = (delimiter, rows);
        }
    }
    best
}

fn split(sample: &[String], delimiter: &str) -> Vec<Vec<String>> {
    let layout = CsvLayout { delimiter: delimiter.to_owned(), ..CsvLayout::default() };
    let delimiter = Delimiter::of(&layout).expect("it is one of those that there are");
    let (mut rows, mut row, mut all) = (Rows::new(delimiter), Row::default(), Vec::new());
    let mut text = String::new();
    for line in sample {
        text.push_str(line);
        match rows.split(text.as_bytes(), &mut row) {
            Ok(Split::Whole) => {
                all.push(row.iter().map(str::to_owned).collect());
                text.clear();
            }
            Ok(Split::Open) => text.push('\n'),
            Err(_) => text.clear(),
        }
    }
    all
}

fn column(name: String, index: usize, rows: &[Vec<String>]) -> Column {
    let values = rows.iter().filter_map(|row| row.get(index)).map(|value| value.trim().to_owned());
    let values: Vec<_> = values.collect();
    let kind = kind(&name, &values);
    Column { name, values, kind }
}

fn kind(name: &str, values: &[String]) -> Kind {
    let filled: Vec<&str> = values.iter().map(String::as_str).filter(|value| !value.is_empty()).collect();
    let all = |is: &dyn Fn(&str) -> bool| !filled.is_empty() && filled.iter().all(|value| is(value));
    let lower = name.to_ascii_lowercase();
    let is_named_time =
        ["time", "date", "_at", "ts", "when", "created", "started"].iter().any(|part| lower.contains(part));
    for (format, wants_zone) in TIMES {
        let zone = wants_zone.then_some("UTC");
        let known = TimeFormat::new(format, zone).expect("it is one of those that there are");
        // Digits alone are a time only where the name says so.
        let is_likely = !all(&|value| value.bytes().all(|byte| byte.is_ascii_digit())) || is_named_time;
        if is_likely && all(&|value| known.read_ms(value).is_ok()) {
            return Kind::Time { format, wants_zone };
        }
    }
    if is_named_time && all(&|value| value.len() >= 10 && value.parse::<f64>().is_ok()) {
        let digits = filled[0].split('.').next().map_or(0, str::len);
        let formats = [(11, "unix"), (14, "unix_ms"), (17, "unix_us"), (usize::MAX, "unix_ns")];
        let format = formats.iter().find(|(most, _)| digits <= *most).map_or("unix", |(_, format)| *format);
        return Kind::Time { format, wants_zone: false };
    }
    // Leading zeros are those of a number that nobody adds up.
    let is_code = filled.iter().any(|value| value.len() > 1 && value.starts_with('0') && !value.starts_with("0."));
    let decimals = |value: &str| value.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    match () {
        () if is_code => Kind::String,
        () if all(&|value| value.parse::<i32>().is_ok()) => Kind::Int,
        () if all(&|value| value.parse::<i64>().is_ok()) => Kind::Long,
        () if all(&is_decimal) => match filled.iter().map(|value| decimals(value)).max() {
            Some(scale) if scale <= 6 => Kind::Decimal { scale },
            _ => Kind::Double,
        },
        () if all(&|value| value.parse::<f64>().is_ok()) => Kind::Double,
        () if all(&|value| ["true", "false", "yes", "no"].contains(&value.to_ascii_lowercase().as_str())) => {
            Kind::Boolean
        }
        () => Kind::String,
    }
}

fn is_decimal(value: &str) -> bool {
    let digits = value.strip_prefix('-').unwrap_or(value);
    !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        && value.parse::<f64>().is_ok()
}

/// The column that orders records belong together by: one that is named so, or whose values come again.
fn key(columns: &[Column]) -> Option<&Column> {
    let is_plain = |column: &&Column| {
        matches!(column.kind, Kind::String | Kind::Int | Kind::Long) && column.values.iter().all(|v| !v.is_empty())
    };
    let repeats = |column: &Column| {
        let mut values: Vec<_> = column.values.iter().collect();
        values.sort();
        values.dedup();
        values.len() < column.values.len() && values.len() > 1
    };
    let is_named = |column: &&Column| {
        let lower = column.name.to_ascii_lowercase();
        ["key", "id"].contains(&lower.as_str()) || lower.ends_with("id") || lower.ends_with("key")
    };
    let plain = || columns.iter().filter(is_plain);
    let named = plain().filter(is_named).find(|column| repeats(column)).or_else(|| plain().find(is_named));
    let repeated = || plain().find(|column| column.kind == Kind::String && repeats(column));
    named.or_else(repeated).or_else(|| plain().next()).or(columns.first())
}

/// A text as TOML has it, which is as JSON has it.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a text has a JSON form")
}

fn written(file: &Path, delimiter: &str, has_header: bool, columns: &[Column]) -> String {
    let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let topic: String =
        stem.to_ascii_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let mut out = String::new();
    let mut line = |text: String| writeln!(out, "{text}").expect("a text takes everything");
    line(format!("# A mapping for {}, guessed from its first lines: check each line of it.", shown(&stem)));
    line(format!("topic = {}", quoted(&format!("imported.{topic}"))));
    line(
        "# schema = \"contract.avsc\"   # an Avro schema beside this file; without it one is made of [fields]"
            .to_owned(),
    );
    line("partitions = 6".to_owned());
    line("# Records of one key stay in order, in one partition. Several columns: \"{a}-{b}\".".to_owned());
    line(format!("key = {}", quoted(&key(columns).map_or(String::new(), |key| format!("{{{}}}", key.name)))));
    match columns.iter().find(|column| matches!(column.kind, Kind::Time { .. })) {
        Some(Column { name, kind: Kind::Time { format, wants_zone }, .. }) => {
            let zone = if *wants_zone { ", zone = \"UTC\"" } else { "" };
            line("# rfc3339, unix, unix_ms, unix_us, unix_ns, or a strptime pattern.".to_owned());
            line(format!("time = {{ column = {}, format = {}{zone} }}", quoted(name), quoted(format)));
        }
        _ => {
            line("# No column looks like a time: name it, and how it is written.".to_owned());
            line("# time = { column = \"...\", format = \"%Y-%m-%d %H:%M:%S\", zone = \"UTC\" }".to_owned());
        }
    }
    line("\n[csv]".to_owned());
    line(format!("delimiter = {}   # one character, \"tab\", or \"whitespace\" for runs of spaces", quoted(delimiter)));
    line(format!("header = {has_header}"));
    if !has_header {
        let names: Vec<_> = columns.iter().map(|column| quoted(&column.name)).collect();
        line(format!("columns = [{}]", names.join(", ")));
    }
    line("\n# field = column. Types: string, int, long, float, double, boolean, decimal, date, timestamp.".to_owned());
    line("# Also: { constant = \"EUR\" }, { template = \"{a}-{line}\" }, and optional = true.".to_owned());
    line("[fields]".to_owned());
    let mut taken: Vec<String> = Vec::new();
    for column in columns {
        let mut field = field_name(&column.name);
        while taken.contains(&field) {
            field.push_str("_2");
        }
        let sample = column.values.iter().find(|value| !value.is_empty());
        let sample = sample.map_or(String::new(), |value| format!("   # {}", shown(&value.replace(['\n', '\r'], " "))));
        line(format!("{field} = {}{sample}", source(column)));
        taken.push(field);
    }
    out
}

fn source(column: &Column) -> String {
    let name = quoted(&column.name);
    let is_optional = column.values.iter().any(String::is_empty);
    let kind = match &column.kind {
        Kind::String if !is_optional => return name,
        Kind::String => String::new(),
        Kind::Time { format, wants_zone } => {
            let zone = if *wants_zone { ", zone = \"UTC\"" } else { "" };
            format!(", type = \"timestamp\", format = {}{zone}", quoted(format))
        }
        Kind::Int => ", type = \"int\"".to_owned(),
        Kind::Long => ", type = \"long\"".to_owned(),
        Kind::Double => ", type = \"double\"".to_owned(),
        Kind::Boolean => ", type = \"boolean\"".to_owned(),
        Kind::Decimal { scale } => format!(", type = \"decimal\", scale = {scale}"),
    };
    let optional = if is_optional { ", optional = true" } else { "" };
    format!("{{ column = {name}{kind}{optional} }}")
}
