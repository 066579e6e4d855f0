//! Text with `{column}` placeholders, for keys, times and fields that several columns make up.

use super::columns::{Cells, Columns};

/// The placeholder of the line's number.
const LINE: &str = "line";

/// A text with placeholders, each of them a column of [`Columns`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Column(usize),
    Line,
}

impl Template {
    /// Reads a template; `{{` and `}}` stand for braces.
    ///
    /// # Errors
    /// What is wrong with it, as the end of a sentence.
    pub(super) fn parse(text: &str, setting: &str, columns: &mut Columns) -> Result<Template, String> {
        let (mut parts, mut literal, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find(['{', '}']) {
            literal.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            let after = &rest[at + 1..];
            if let Some(doubled) = after.strip_prefix(brace) {
                literal.push_str(brace);
                rest = doubled;
                continue;
            }
            if brace == "}" {
                return Err("a } without its {; write }} for the character itself".to_owned());
            }
            let Some((name, behind)) = after.split_once('}') else {
                return Err("a { is not closed; write {{ for the character itself".to_owned());
            };
            if name.trim().is_empty() {
                return Err("{} names no column".to_owned());
            }
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal)));
            }
            parts.push(match name.trim() {
                LINE => Part::Line,
                column => Part::Column(columns.want(column, setting)),
            });
            rest = behind;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(Template { parts })
    }

    /// A template of one column alone.
    pub(super) fn column(column: usize) -> Template {
        Template { parts: vec![Part::Column(column)] }
    }

    /// The same text for every line.
    pub(super) fn is_constant(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, Part::Text(_)))
    }

    /// The column, where the template is nothing else.
    pub(super) fn only_column(&self) -> Option<usize> {
        match self.parts[..] {
            [Part::Column(column)] => Some(column),
            _ => None,
        }
    }

    /// Appends the text for a line. Gives the column that has no value, if one has not.
    pub(super) fn write(&self, cells: &Cells, out: &mut String) -> Result<(), usize> {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Column(column) => out.push_str(cells.get(*column).ok_or(*column)?),
                Part::Line => out.push_str(&cells.line.to_string()),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(template: &str, cells: &[(&str, Option<&str>)]) -> Result<String, String> {
        let mut columns = Columns::default();
        let template = Template::parse(template, "key", &mut columns)?;
        let mut values = Cells::default();
        values.clear(7);
        for name in columns.names() {
            values.push(cells.iter().find(|(known, _)| known == name).and_then(|(_, value)| *value));
        }
        let mut out = String::new();
        template.write(&values, &mut out).map_err(|column| format!("no {}", columns.name(column)))?;
        Ok(out)
    }

    #[test]
    fn columns_constants_and_the_line_make_one_text() {
        let cells = [("a", Some("1")), ("b", Some("x y"))];
        assert_eq!(written("{a}", &cells).unwrap(), "1");
        assert_eq!(written("c-{a}/{ b }#{line}", &cells).unwrap(), "c-1/x y#7");
        assert_eq!(written("{{{a}}}", &cells).unwrap(), "{1}");
        assert_eq!(written("{c}", &cells).unwrap_err(), "no c");
    }

    #[test]
    fn what_is_no_template_is_explained() {
        for (template, reason) in [("{a", "not closed"), ("a}", "without its {"), ("{}", "names no column")] {
            assert!(written(template, &[]).unwrap_err().contains(reason), "{template}");
        }
    }
}
