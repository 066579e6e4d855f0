//! An import from its beginning to its end: guess, read, sort, write, tell.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::draft::Draft;
use super::error::{BadLine, Fault, FaultReason, shown};
use super::identity::{check_free, import_id};
use super::landing::Landing;
use super::letters::Letters;
use super::mapping::MAX_PARTITIONS;
use super::options::guess;
use super::sort::Sorter;
use super::source::{Next, Source};
use super::topics::{MAX_TOPICS, Topics, name_fault};
use super::{Format, ImportError, ImportOptions, OnError};
use crate::contract::Contract;
use crate::contract::system::DeadLetter;
use crate::recording::RecordingError;

/// What an import tells while it goes on.
pub trait ImportObserver {
    /// A line is no record, and the import goes on without it.
    fn bad_line(&mut self, _file: &Path, _line: &BadLine) {}

    /// So much of the file was read.
    fn progress(&mut self, _read_bytes: u64, _total_bytes: u64) {}

    /// Whether the import is to end before its time.
    fn is_interrupted(&mut self) -> bool {
        false
    }
}

/// Nobody watches.
impl ImportObserver for () {}

/// Lines between two looks at the observer.
pub(super) const OBSERVED_EVERY: u64 = 4_096;

/// What an import has made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImportSummary {
    pub recording: PathBuf,
    pub id: String,
    pub format: Format,
    /// Lines of the file, a header and blank ones among them.
    pub lines: u64,
    pub records: u64,
    pub bad_lines: u64,
    pub topics: Vec<ImportedTopic>,
    /// The times of the first and the last record, in milliseconds since the Unix epoch.
    pub min_timestamp_ms: i64,
    pub max_timestamp_ms: i64,
    /// The schema that was made from the mapping, where it names none.
    pub made_schema: Option<String>,
}

/// A topic of an imported recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImportedTopic {
    pub name: String,
    pub partitions: i32,
    pub records: u64,
}

/// Makes a recording in `out` of a foreign file.
///
/// # Errors
/// Until every line is read nothing is written to `out`; a recording that could not be finished says so itself.
pub fn import(
    file: &Path,
    out: &Path,
    options: &ImportOptions,
    observer: &mut dyn ImportObserver,
) -> Result<ImportSummary, ImportError> {
    if let Some(partitions) = options.partitions.filter(|partitions| !(1..=MAX_PARTITIONS).contains(partitions)) {
        let wanted = "a topic has between 1 and 10000 partitions".to_owned();
        return Err(ImportError::Option { option: "--partitions", found: partitions.to_string(), wanted });
    }
    let format = match options.format {
        Some(format) => format,
        None => guess(file, options.mapping.is_some())?,
    };
    options.check(format)?;
    check_free(out)?;
    let id = import_id(file, options)?;
    Import::new(file, out, format, options)?.run(id, observer)
}

struct Import<'a> {
    file: &'a Path,
    out: &'a Path,
    format: Format,
    options: &'a ImportOptions,
    source: Source,
    topics: Topics,
    letters: Letters,
    sorter: Sorter,
    started_ms: i64,
    bad_lines: u64,
    records: u64,
    /// The time of the last record that had one.
    last_ms: i64,
    times: Option<(i64, i64)>,
}

impl<'a> Import<'a> {
    fn new(
        file: &'a Path,
        out: &'a Path,
        format: Format,
        options: &'a ImportOptions,
    ) -> Result<Import<'a>, ImportError> {
        let source = Source::open(file, format, options)?;
        let mut topics = Topics::new(options.partitions);
        if let Some(plan) = source.plan() {
            if let Some(reason) = name_fault(&plan.topic) {
                return Err(ImportError::TopicName { topic: plan.topic.clone(), reason });
            }
            topics.declare(&plan.topic, Some(options.partitions.unwrap_or(plan.partitions)));
        }
        if let Some((topic, reason)) = options.topic.as_ref().and_then(|topic| Some((topic, name_fault(topic)?))) {
            return Err(ImportError::TopicName { topic: topic.clone(), reason });
        }
        let folder = out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(|source| RecordingError::Write { file: folder.to_owned(), source })?;
        let started_ms = now_ms();
        Ok(Import {
            file,
            out,
            format,
            options,
            source,
            topics,
            letters: Letters::new(file, started_ms),
            sorter: Sorter::new(folder, options.max_sorted_bytes),
            started_ms,
            bad_lines: 0,
            records: 0,
            last_ms: i64::MIN,
            times: None,
        })
    }

    fn run(mut self, id: String, observer: &mut dyn ImportObserver) -> Result<ImportSummary, ImportError> {
        let mut draft = Draft::default();
        loop {
            let next = self.source.next(&mut draft)?;
            let read = self.source.records_and_bad_lines;
            if read.is_multiple_of(OBSERVED_EVERY) {
                let (done, total) = self.source.progress();
                observer.progress(done, total);
                if observer.is_interrupted() {
                    return Err(ImportError::Interrupted { out: self.out.to_owned() });
                }
            }
            let bad = match next {
                Next::End => break,
                Next::Record => match self.take(&draft)? {
                    None => continue,
                    Some(fault) => BadLine { line: self.source.lines_read(), fault },
                },
                Next::Bad(bad) => bad,
            };
            self.bad(bad, &mut draft, observer)?;
        }
        self.finish(id, observer)
    }

    /// Hands a record to the sorter; gives what is wrong with its topic instead.
    fn take(&mut self, draft: &Draft) -> Result<Option<Fault>, ImportError> {
        let known = self.topics.all().iter().position(|topic| topic.name == draft.topic);
        let topic = match known {
            Some(known) => known,
            None => {
                let is_one_too_many = self.topics.all().len() == MAX_TOPICS;
                let too_many = is_one_too_many.then_some("the lines before it have 10000 topics already");
                if let Some(reason) = name_fault(&draft.topic).or(too_many) {
                    let found = shown(&draft.topic);
                    return Ok(Some(Fault::new("topic", FaultReason::TopicName { found, reason })));
                }
                self.topics.declare(&draft.topic, None)
            }
        };
        self.push(topic, draft)?;
        self.records += 1;
        if draft.timestamp_ms >= 0 {
            self.last_ms = draft.timestamp_ms;
            let (min, max) = self.times.unwrap_or((i64::MAX, i64::MIN));
            self.times = Some((min.min(draft.timestamp_ms), max.max(draft.timestamp_ms)));
        }
        Ok(None)
    }

    fn push(&mut self, topic: usize, draft: &Draft) -> Result<(), ImportError> {
        let time_ms = self.topics.note(topic, draft, self.last_ms);
        let sequence = self.records + self.bad_lines;
        let pushed = self.sorter.push(time_ms, |out| draft.write(topic, sequence, out));
        pushed.map_err(|source| ImportError::Sort { folder: self.out.to_owned(), source })
    }

    fn bad(&mut self, bad: BadLine, draft: &mut Draft, observer: &mut dyn ImportObserver) -> Result<(), ImportError> {
        match self.options.on_error {
            OnError::Stop => return Err(ImportError::BadLine { file: self.file.to_owned(), line: Box::new(bad) }),
            OnError::Skip => (),
            OnError::DeadLetter => {
                self.letters.write(&bad, &self.source.text, draft);
                // It goes with the record before it in the file.
                draft.timestamp_ms = self.last_ms.max(-1);
                let topic = self.topics.declare(DeadLetter::TOPIC.name, Some(DeadLetter::TOPIC.partitions));
                self.push(topic, draft)?;
            }
        }
        self.bad_lines += 1;
        observer.bad_line(self.file, &bad);
        Ok(())
    }

    fn finish(self, id: String, observer: &mut dyn ImportObserver) -> Result<ImportSummary, ImportError> {
        let lines = self.source.lines_read();
        if self.records + self.bad_lines == 0 || (self.records == 0 && self.options.on_error != OnError::DeadLetter) {
            return Err(ImportError::NoRecords { file: self.file.to_owned(), lines });
        }
        let (min_timestamp_ms, max_timestamp_ms) = self.times.unwrap_or((self.started_ms, self.started_ms));
        let plan = self.source.plan();
        let of_plan = plan.map(|plan| (plan.topic.clone(), plan.schema_id.0, plan.schema.clone()));
        let mut schemas: Vec<_> = of_plan.into_iter().collect();
        if self.topics.all().iter().any(|topic| topic.name == DeadLetter::TOPIC.name) {
            let letters = DeadLetter::TOPIC;
            schemas.push((letters.name.to_owned(), self.letters.schema_id(), letters.schema.to_owned()));
        }
        let landing = Landing {
            out: self.out,
            id: id.clone(),
            started_ms: self.started_ms,
            topics: &self.topics,
            schemas,
            fallback_ms: min_timestamp_ms,
        };
        let sorted = self.sorter.finish();
        let sorted = sorted.map_err(|source| ImportError::Sort { folder: self.out.to_owned(), source })?;
        landing.write(sorted, self.options, observer)?;
        let topics = self.topics.all().iter().map(|topic| ImportedTopic {
            name: topic.name.clone(),
            partitions: topic.partitions(),
            records: topic.records,
        });
        Ok(ImportSummary {
            recording: self.out.to_owned(),
            id,
            format: self.format,
            lines,
            records: self.records,
            bad_lines: self.bad_lines,
            topics: topics.collect(),
            min_timestamp_ms,
            max_timestamp_ms,
            made_schema: plan.filter(|plan| plan.is_made).map(|plan| plan.schema.clone()),
        })
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
