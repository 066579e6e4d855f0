//! JSON lines: objects whose values are found by paths with dots.

use serde_json::Value;

use super::columns::{Cells, Columns};
use super::draft::Draft;
use super::error::{Fault, FaultReason, shown};
use super::plan::Plan;
use super::times::TimeFormat;

/// Reads a line's object.
fn object(text: &[u8]) -> Result<Value, Fault> {
    let text = std::str::from_utf8(text);
    let text = text.map_err(|error| Fault::whole(FaultReason::NotUtf8 { byte: error.valid_up_to() + 1 }))?;
    let json = serde_json::from_str(text);
    let value: Value = json.map_err(|error| Fault::whole(FaultReason::Json { reason: without_line(&error) }))?;
    if value.is_object() {
        return Ok(value);
    }
    let found = shown(&value.to_string());
    Err(Fault::whole(FaultReason::Envelope { found, wanted: "an object, { ... }," }))
}

/// An error's text with its column alone: a line of JSON has one line.
pub(super) fn without_line(error: &serde_json::Error) -> String {
    error.to_string().replace("line 1 column", "column")
}

/// The value at a path; a name may itself have dots.
fn at<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    let step = |name: &str| match value {
        Value::Array(items) => name.parse::<usize>().ok().and_then(|index| items.get(index)),
        other => other.get(name),
    };
    step(path).or_else(|| {
        let mut dots = path.match_indices('.');
        dots.find_map(|(dot, _)| at(step(&path[..dot])?, &path[dot + 1..]))
    })
}

/// A value as a text; null counts as missing.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// Objects by a mapping, whose columns are paths.
pub(super) struct MappedObjects {
    plan: Plan,
    cells: Cells,
}

impl MappedObjects {
    pub(super) fn new(plan: Plan) -> MappedObjects {
        MappedObjects { plan, cells: Cells::default() }
    }

    pub(super) fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(super) fn read(&mut self, text: &[u8], line: u64, draft: &mut Draft) -> Result<(), Fault> {
        fill(&object(text)?, line, &self.plan.columns, &mut self.cells);
        self.plan.fill(&self.cells, draft)
    }
}

fn fill(object: &Value, line: u64, columns: &Columns, cells: &mut Cells) {
    cells.clear(line);
    for path in columns.names() {
        match at(object, path) {
            Some(Value::String(text)) => cells.push(Some(text)),
            other => cells.push(other.and_then(text).as_deref()),
        }
    }
}

/// Objects that stay as they are: the line is the value.
pub(super) struct PlainObjects {
    pub(super) topic: String,
    pub(super) key: Option<String>,
    pub(super) time: String,
    /// Without one, texts are RFC 3339 and numbers are milliseconds.
    pub(super) format: Option<TimeFormat>,
    pub(super) of_texts: TimeFormat,
    pub(super) of_numbers: TimeFormat,
}

impl PlainObjects {
    pub(super) fn read(&self, line: &[u8], draft: &mut Draft) -> Result<(), Fault> {
        let object = object(line)?;
        draft.clear();
        draft.topic.push_str(&self.topic);
        if let Some(path) = &self.key {
            let absent =
                || Fault::new(format!("key `{path}`"), FaultReason::Absent { wanted: "every record needs one" });
            draft.set_key(Some(at(&object, path).and_then(text).ok_or_else(absent)?.as_bytes()));
        }
        let place = || format!("time `{}`", self.time);
        let found = at(&object, &self.time);
        let time = found
            .and_then(text)
            .ok_or_else(|| Fault::new(place(), FaultReason::Absent { wanted: "every record needs one" }))?;
        let by_type = if found.is_some_and(Value::is_number) { &self.of_numbers } else { &self.of_texts };
        let format = self.format.as_ref().unwrap_or(by_type);
        draft.timestamp_ms = format.read_ms(&time).map_err(|reason| Fault::new(place(), reason))?;
        if draft.timestamp_ms < 0 {
            return Err(Fault::new(place(), FaultReason::BeforeEpoch { found: shown(&time) }));
        }
        draft.set_value(Some(line.trim_ascii()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_lead_into_objects_and_arrays_and_names_may_have_dots() {
        let value = json!({"user": {"id": 7, "tags": ["a", "b"]}, "a.b": {"c": true}});
        assert_eq!(at(&value, "user.id"), Some(&json!(7)));
        assert_eq!(at(&value, "user.tags.1"), Some(&json!("b")));
        assert_eq!(at(&value, "a.b.c"), Some(&json!(true)));
        assert_eq!(at(&value, "user.name"), None);
    }

    fn plain(line: &str) -> Result<Draft, String> {
        let format = |name| TimeFormat::new(name, None).unwrap();
        let objects = PlainObjects {
            topic: "t".to_owned(),
            key: Some("user.id".to_owned()),
            time: "at".to_owned(),
            format: None,
            of_texts: format("rfc3339"),
            of_numbers: format("unix_ms"),
        };
        let mut draft = Draft::default();
        objects.read(line.as_bytes(), &mut draft).map_err(|fault| fault.to_string())?;
        Ok(draft)
    }

    #[test]
    fn a_plain_object_is_the_value_as_it_stands() {
        let line = r#" {"user": {"id": 7},  "at": 1000}"#;
        let draft = plain(line).unwrap();
        assert_eq!((draft.key(), draft.value()), (Some(&b"7"[..]), Some(line.trim().as_bytes())));
        assert_eq!(draft.timestamp_ms, 1_000);
        assert_eq!(plain(r#"{"user":{"id":"x"},"at":"1970-01-01T00:00:01Z"}"#).unwrap().timestamp_ms, 1_000);
    }

    #[test]
    fn what_is_missing_or_no_json_is_told() {
        assert_eq!(plain(r#"{"at": 1}"#).unwrap_err(), "key `user.id`: is missing; every record needs one");
        assert_eq!(plain(r#"{"user": {"id": 1}}"#).unwrap_err(), "time `at`: is missing; every record needs one");
        assert_eq!(plain("[1]").unwrap_err(), "\"[1]\" stands where an object, { ... }, is wanted");
        assert_eq!(plain("{\"a\"").unwrap_err(), "is not JSON: EOF while parsing an object at column 4");
    }
}
