//! A foreign file as a stream of records and bad lines, whatever its format.

use std::path::Path;

use super::columns::Cells;
use super::console::{self, ConsoleLines};
use super::csv::{Delimiter, Row, Rows, Split};
use super::draft::Draft;
use super::error::{BadLine, Fault, FaultReason, MappingProblem};
use super::json::{MappedObjects, PlainObjects};
use super::lines::{Lines, Place, ReadLine};
use super::mapping::LoadedMapping;
use super::plan::Plan;
use super::times::TimeFormat;
use super::{Format, ImportError, ImportOptions, kcat};

/// Lines that one quoted row may go over: a quote that nobody closes shall not swallow the file.
const MAX_ROW_LINES: usize = 1_000;

/// Reads a file's records one after the other.
pub(super) struct Source {
    lines: Lines,
    parser: Parser,
    max_line_bytes: usize,
    /// The line or lines that were read last.
    pub(super) text: Vec<u8>,
    pub(super) records_and_bad_lines: u64,
}

enum Parser {
    Csv(Box<MappedRows>),
    Mapped(Box<MappedObjects>),
    Plain(Box<PlainObjects>),
    Kcat,
    Console(ConsoleLines),
}

/// What comes next.
#[derive(Debug)]
pub(super) enum Next {
    Record,
    Bad(BadLine),
    End,
}

/// CSV rows by a mapping.
struct MappedRows {
    rows: Rows,
    row: Row,
    plan: Plan,
    /// Where in a row the plan's columns are.
    places: Vec<usize>,
    expected: usize,
    cells: Cells,
}

impl Source {
    pub(super) fn open(file: &Path, format: Format, options: &ImportOptions) -> Result<Source, ImportError> {
        let mut lines = Lines::open(file, options.max_line_bytes)?;
        let loaded = options.mapping.as_deref().map(|path| {
            LoadedMapping::load(path).map_err(|problem| mapping(path, problem)).map(|loaded| (path, loaded))
        });
        let parser = match (format, loaded.transpose()?) {
            (Format::Csv, None) => return Err(ImportError::NeedsMapping { file: file.to_owned() }),
            (Format::Csv, Some((path, loaded))) => Parser::Csv(Box::new(rows(file, path, &loaded, &mut lines)?)),
            (Format::Jsonl, Some((path, loaded))) => {
                let plan = Plan::new(&loaded, None).map_err(|problem| mapping(path, problem))?;
                Parser::Mapped(Box::new(MappedObjects::new(plan)))
            }
            (Format::Jsonl, None) => Parser::Plain(Box::new(plain(options)?)),
            (Format::Kcat, _) => Parser::Kcat,
            (Format::Console, _) => Parser::Console(console(options, &mut lines)?),
        };
        let max_line_bytes = options.max_line_bytes;
        Ok(Source { lines, parser, max_line_bytes, text: Vec::new(), records_and_bad_lines: 0 })
    }

    /// The plan of a mapping, where there is one.
    pub(super) fn plan(&self) -> Option<&Plan> {
        match &self.parser {
            Parser::Csv(rows) => Some(&rows.plan),
            Parser::Mapped(objects) => Some(objects.plan()),
            _ => None,
        }
    }

    /// How far the file was read, and how long it is.
    pub(super) fn progress(&self) -> (u64, u64) {
        (self.lines.place().byte, self.lines.total_bytes)
    }

    /// Lines that were read so far.
    pub(super) fn lines_read(&self) -> u64 {
        self.lines.place().line - 1
    }

    /// Reads the next line that is not blank.
    pub(super) fn next(&mut self, draft: &mut Draft) -> Result<Next, ImportError> {
        loop {
            self.text.clear();
            let place = self.lines.place();
            let line = place.line;
            let read = match self.lines.next(&mut self.text)? {
                ReadLine::End => return Ok(Next::End),
                ReadLine::Cut => Err(Fault::whole(FaultReason::TooLong { max_bytes: self.max_line_bytes })),
                ReadLine::Whole if self.text.trim_ascii().is_empty() => continue,
                ReadLine::Whole => self.parse(line, draft)?,
            };
            self.records_and_bad_lines += 1;
            return Ok(match read {
                Ok(()) => Next::Record,
                Err(fault) => Next::Bad(BadLine { line, fault }),
            });
        }
    }

    fn parse(&mut self, line: u64, draft: &mut Draft) -> Result<Result<(), Fault>, ImportError> {
        Ok(match &mut self.parser {
            Parser::Kcat => kcat::read(&self.text, draft),
            Parser::Console(lines) => lines.read(&self.text, draft),
            Parser::Plain(objects) => objects.read(&self.text, draft),
            Parser::Mapped(objects) => objects.read(&self.text, line, draft),
            Parser::Csv(mapped) => {
                let split =
                    whole_row(&mut self.lines, &mut mapped.rows, &mut mapped.row, &mut self.text, self.max_line_bytes)?;
                split.and_then(|()| mapped.read(line, draft))
            }
        })
    }
}

fn mapping(path: &Path, problem: MappingProblem) -> ImportError {
    ImportError::Mapping { file: path.to_owned(), problem: Box::new(problem) }
}

/// Splits the row that begins with `text`, which takes in further lines while a quote is open.
///
/// Where the quote is never closed, the row is its first line alone: the lines after it may be good.
fn whole_row(
    lines: &mut Lines,
    rows: &mut Rows,
    row: &mut Row,
    text: &mut Vec<u8>,
    max_bytes: usize,
) -> Result<Result<(), Fault>, ImportError> {
    let (after_first, first_bytes) = (lines.place(), text.len());
    for _ in 0..MAX_ROW_LINES {
        match rows.split(text, row) {
            Ok(Split::Whole) => return Ok(Ok(())),
            Ok(Split::Open) => (),
            Err(fault) => return unfinished(lines, after_first, text, first_bytes, fault),
        }
        text.push(b'\n');
        if lines.next(text)? != ReadLine::Whole || text.len() > max_bytes {
            break;
        }
    }
    let fault = Fault::whole(FaultReason::OpenQuote { max_lines: MAX_ROW_LINES, max_bytes });
    unfinished(lines, after_first, text, first_bytes, fault)
}

fn unfinished(
    lines: &mut Lines,
    after_first: Place,
    text: &mut Vec<u8>,
    first_bytes: usize,
    fault: Fault,
) -> Result<Result<(), Fault>, ImportError> {
    if lines.place() != after_first {
        lines.go_to(after_first)?;
    }
    text.truncate(first_bytes);
    Ok(Err(fault))
}

/// Reads the header, and works the mapping out against it.
fn rows(file: &Path, path: &Path, loaded: &LoadedMapping, lines: &mut Lines) -> Result<MappedRows, ImportError> {
    let layout = &loaded.mapping.csv;
    let delimiter = Delimiter::of(layout).map_err(|reason| {
        let (setting, text) = ("csv.delimiter".to_owned(), layout.delimiter.clone());
        mapping(path, MappingProblem::Setting { setting, text, reason })
    })?;
    let mut rows = Rows::new(delimiter);
    let names = match &layout.columns {
        Some(names) if !layout.header => names.clone(),
        named => {
            let found = header(file, lines, &mut rows)?;
            named.clone().unwrap_or(found)
        }
    };
    let plan = Plan::new(loaded, Some(&names)).map_err(|problem| mapping(path, problem))?;
    let place = |wanted: &String| names.iter().position(|name| name == wanted);
    // The plan refuses a column that there is not.
    let places = plan.columns.names().iter().filter_map(place).collect();
    Ok(MappedRows { rows, row: Row::default(), plan, places, expected: names.len(), cells: Cells::default() })
}

/// The names in the first line that is not blank.
pub(super) fn header(file: &Path, lines: &mut Lines, rows: &mut Rows) -> Result<Vec<String>, ImportError> {
    let mut text = Vec::new();
    loop {
        text.clear();
        let line = lines.place().line;
        match lines.next(&mut text)? {
            ReadLine::End => return Err(ImportError::Empty { file: file.to_owned() }),
            _ if text.trim_ascii().is_empty() => continue,
            _ => (),
        }
        let mut row = Row::default();
        let max_bytes = text.len() + 64 * 1024;
        let split = whole_row(lines, rows, &mut row, &mut text, max_bytes)?;
        split
            .map_err(|fault| ImportError::BadLine { file: file.to_owned(), line: Box::new(BadLine { line, fault }) })?;
        return Ok(row.iter().map(|name| name.trim().to_owned()).collect());
    }
}

impl MappedRows {
    fn read(&mut self, line: u64, draft: &mut Draft) -> Result<(), Fault> {
        let (found, expected) = (self.row.len(), self.expected);
        if found != expected {
            return Err(Fault::whole(FaultReason::ColumnCount { found, expected }));
        }
        self.cells.clear(line);
        for place in &self.places {
            self.cells.push(self.row.get(*place));
        }
        self.plan.fill(&self.cells, draft)
    }
}

fn plain(options: &ImportOptions) -> Result<PlainObjects, ImportError> {
    let needs = |option, why| ImportError::NeedsOption { format: Format::Jsonl, option, why };
    let topic = options.topic.clone();
    let topic = topic.ok_or_else(|| needs("--topic", "without a mapping it says which topic the lines are of"))?;
    let time = options.time.clone();
    let time = time.ok_or_else(|| needs("--time", "it names where a line has its time, as `at` or `event.created`"))?;
    let format = |name: &str| {
        TimeFormat::new(name, options.zone.as_deref()).map_err(|wanted| ImportError::Option {
            option: "--time-format",
            found: name.to_owned(),
            wanted,
        })
    };
    let named = options.time_format.as_deref().map(format).transpose()?;
    let (of_texts, of_numbers) = (format("rfc3339")?, format("unix_ms")?);
    Ok(PlainObjects { topic, key: options.key.clone(), time, format: named, of_texts, of_numbers })
}

fn console(options: &ImportOptions, lines: &mut Lines) -> Result<ConsoleLines, ImportError> {
    let why = "the console consumer does not print which topic it reads";
    let needed = ImportError::NeedsOption { format: Format::Console, option: "--topic", why };
    let topic = options.topic.clone().ok_or(needed)?;
    let separator = options.separator.clone().unwrap_or_else(|| console::SEPARATOR.to_owned());
    if separator.is_empty() {
        let wanted = "a text of at least one character is wanted, as --property key.separator had it".to_owned();
        return Err(ImportError::Option { option: "--separator", found: separator, wanted });
    }
    let null = options.null.clone().unwrap_or_else(|| console::NULL.to_owned());
    let parts = match &options.parts {
        Some(parts) => {
            let mut parts = parts.clone();
            // The formatter's order is fixed.
            parts.sort();
            parts.dedup();
            parts
        }
        None => {
            let (start, mut first) = (lines.place(), Vec::new());
            lines.next(&mut first)?;
            lines.go_to(start)?;
            console::parts_of(&first, &separator)
        }
    };
    Ok(ConsoleLines { topic, separator, null, parts })
}
