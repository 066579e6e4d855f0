//! The columns that a mapping wants, and one line's values of them: the same for CSV and JSON.

use std::ops::Range;

/// The wanted columns: names of a CSV header, or paths into JSON objects. A column's number is its place in here.
#[derive(Debug, Clone, Default)]
pub(super) struct Columns {
    names: Vec<String>,
    /// What wants the column, for messages.
    settings: Vec<String>,
}

impl Columns {
    /// The number of a column, which is taken in where it is new.
    pub(super) fn want(&mut self, name: &str, setting: &str) -> usize {
        if let Some(known) = self.names.iter().position(|known| known == name) {
            return known;
        }
        self.names.push(name.to_owned());
        self.settings.push(setting.to_owned());
        self.names.len() - 1
    }

    pub(super) fn name(&self, column: usize) -> &str {
        &self.names[column]
    }

    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// What wanted the column first.
    pub(super) fn setting(&self, column: usize) -> &str {
        &self.settings[column]
    }
}

/// A line's values of the wanted columns, in one text.
#[derive(Debug, Default)]
pub(super) struct Cells {
    text: String,
    places: Vec<Option<Range<usize>>>,
    pub(super) line: u64,
}

impl Cells {
    pub(super) fn clear(&mut self, line: u64) {
        self.text.clear();
        self.places.clear();
        self.line = line;
    }

    /// Adds the next column's value; `None` where the line has none.
    pub(super) fn push(&mut self, value: Option<&str>) {
        let start = self.text.len();
        self.text.push_str(value.unwrap_or_default());
        self.places.push(value.map(|_| start..self.text.len()));
    }

    pub(super) fn get(&self, column: usize) -> Option<&str> {
        self.places[column].clone().map(|place| &self.text[place])
    }
}
