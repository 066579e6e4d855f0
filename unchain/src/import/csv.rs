//! CSV rows: quotes and delimiters as RFC 4180 has them, or columns between runs of spaces.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use super::error::{Fault, FaultReason};
use super::mapping::CsvLayout;

/// What stands between columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delimiter {
    Byte(u8),
    /// Any number of spaces and tabs; those at the line's ends do not count. There are no quotes.
    Whitespace,
}

impl Delimiter {
    /// # Errors
    /// What a delimiter can be.
    pub(super) fn of(layout: &CsvLayout) -> Result<Delimiter, String> {
        match layout.delimiter.as_str() {
            "tab" => Ok(Delimiter::Byte(b'\t')),
            "whitespace" => Ok(Delimiter::Whitespace),
            text => match text.as_bytes() {
                [byte] if byte.is_ascii() && !b"\"\r\n".contains(byte) => Ok(Delimiter::Byte(*byte)),
                _ => Err("is no delimiter: one ASCII character is, and the words tab and whitespace".to_owned()),
            },
        }
    }
}

/// One row's columns.
#[derive(Debug, Default)]
pub(super) struct Row {
    text: String,
    ends: Vec<usize>,
}

impl Row {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn get(&self, column: usize) -> Option<&str> {
        let end = *self.ends.get(column)?;
        let start = column.checked_sub(1).map_or(0, |before| self.ends[before]);
        Some(&self.text[start..end])
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).filter_map(|column| self.get(column))
    }

    fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }
}

/// Splits lines into rows.
pub(super) struct Rows {
    delimiter: Delimiter,
    reader: Reader,
    output: Vec<u8>,
    ends: Vec<usize>,
}

/// What a text came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Split {
    Whole,
    /// A quote is open: the row goes on in the next line.
    Open,
}

impl Rows {
    pub(super) fn new(delimiter: Delimiter) -> Rows {
        let mut builder = ReaderBuilder::new();
        if let Delimiter::Byte(byte) = delimiter {
            builder.delimiter(byte);
        }
        Rows { delimiter, reader: builder.build(), output: Vec::new(), ends: vec![0; 64] }
    }

    /// Splits a text of one or more whole lines.
    pub(super) fn split(&mut self, text: &[u8], row: &mut Row) -> Result<Split, Fault> {
        row.clear();
        let text = std::str::from_utf8(text)
            .map_err(|error| Fault::whole(FaultReason::NotUtf8 { byte: error.valid_up_to() + 1 }))?;
        if self.delimiter == Delimiter::Whitespace {
            for column in text.split_ascii_whitespace() {
                row.text.push_str(column);
                row.ends.push(row.text.len());
            }
            return Ok(Split::Whole);
        }
        Ok(self.quoted(text.as_bytes(), row))
    }

    fn quoted(&mut self, text: &[u8], row: &mut Row) -> Split {
        self.reader.reset();
        self.output.resize(self.output.len().max(text.len() + 1), 0);
        let (mut input, mut written, mut columns, mut is_ended) = (text, 0, 0, false);
        loop {
            let (result, read, wrote, ended) =
                self.reader.read_record(input, &mut self.output[written..], &mut self.ends[columns..]);
            input = &input[read..];
            written += wrote;
            columns += ended;
            match result {
                // The line's end, which was cut off, shows whether a quote is open.
                ReadRecordResult::InputEmpty if !is_ended => (input, is_ended) = (b"\n", true),
                ReadRecordResult::InputEmpty => return Split::Open,
                ReadRecordResult::OutputFull => self.output.resize(self.output.len() * 2 + 1, 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::Record | ReadRecordResult::End => break,
            }
        }
        // Columns are cut at ASCII characters, so that the pieces of a text are texts.
        row.text.push_str(&String::from_utf8_lossy(&self.output[..written]));
        row.ends.extend_from_slice(&self.ends[..columns]);
        Split::Whole
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(delimiter: Delimiter, text: &str) -> Option<Vec<String>> {
        let mut row = Row::default();
        match Rows::new(delimiter).split(text.as_bytes(), &mut row).unwrap() {
            Split::Whole => Some(row.iter().map(str::to_owned).collect()),
            Split::Open => None,
        }
    }

    #[test]
    fn quotes_hold_delimiters_line_ends_and_quotes() {
        let comma = Delimiter::Byte(b',');
        assert_eq!(split(comma, "a,b,").unwrap(), ["a", "b", ""]);
        assert_eq!(split(comma, "\"a,b\",\"say \"\"hi\"\"\",ü").unwrap(), ["a,b", "say \"hi\"", "ü"]);
        assert_eq!(split(comma, "a,\"b"), None);
        assert_eq!(split(comma, "a,\"b\nc\",d").unwrap(), ["a", "b\nc", "d"]);
        assert_eq!(split(comma, "5\" disk,b").unwrap(), ["5\" disk", "b"]);
        assert_eq!(split(Delimiter::Byte(b';'), "1,5;x").unwrap(), ["1,5", "x"]);
        assert_eq!(split(comma, &"x,".repeat(500)).unwrap().len(), 501);
    }

    #[test]
    fn runs_of_spaces_are_one_delimiter() {
        assert_eq!(
            split(Delimiter::Whitespace, " 00001 19970101  1   11.77").unwrap(),
            ["00001", "19970101", "1", "11.77"]
        );
    }

    #[test]
    fn text_that_is_not_utf_8_is_told_with_its_place() {
        let fault = Rows::new(Delimiter::Byte(b',')).split(b"ab\xff", &mut Row::default()).unwrap_err();
        assert_eq!(fault.to_string(), "byte 3 is not UTF-8 text");
    }

    fn quoted(value: &str) -> String {
        format!("\"{}\"", value.replace('"', "\"\""))
    }

    proptest! {
        #[test]
        fn what_is_quoted_comes_back(values in prop::collection::vec("[^\r]{0,12}", 1..8)) {
            let line = values.iter().map(|value| quoted(value)).collect::<Vec<_>>().join(",");
            prop_assert_eq!(split(Delimiter::Byte(b','), &line), Some(values));
        }

        #[test]
        fn any_line_is_split_or_open(line: String) {
            split(Delimiter::Byte(b';'), &line);
        }
    }
}
