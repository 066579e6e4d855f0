//! What differs between two JSON values, field by field.

use serde::Serialize;
use serde_json::Value;

/// Changes that are listed of one record; what differs in more of its fields is a different record.
const MAX_CHANGES: usize = 100;

/// A field that is not what it was.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FieldChange {
    /// The way to it, such as `lines[2].price`. What is no field of the value stands in parentheses.
    pub field: String,
    /// Absent where the older value has no such field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<Value>,
}

impl FieldChange {
    /// The way to it with all places of a list as one.
    pub(super) fn kind(&self) -> String {
        let (mut kind, mut within) = (String::with_capacity(self.field.len()), false);
        for c in self.field.chars() {
            within = (within || c == '[') && c != ']';
            if !within || c == '[' {
                kind.push(c);
            }
        }
        kind
    }
}

/// Appends what differs.
pub(super) fn compare(field: &str, old: Option<&Value>, new: Option<&Value>, changes: &mut Vec<FieldChange>) {
    if old == new || changes.len() >= MAX_CHANGES {
        return;
    }
    match (old, new) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let added = new.keys().filter(|name| !old.contains_key(*name));
            for name in old.keys().chain(added) {
                let within = if field.is_empty() { name.clone() } else { format!("{field}.{name}") };
                compare(&within, old.get(name), new.get(name), changes);
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) => {
            for place in 0..old.len().max(new.len()) {
                compare(&format!("{field}[{place}]"), old.get(place), new.get(place), changes);
            }
        }
        _ => changes.push(FieldChange {
            field: if field.is_empty() { "(value)".to_owned() } else { field.to_owned() },
            old: old.cloned(),
            new: new.cloned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_that_differ_are_named_by_the_way_to_them() {
        let old = json!({"id": 1, "lines": [{"price": 5}, {"price": 6}], "note": null, "gone": true});
        let new = json!({"id": 1, "lines": [{"price": 5}, {"price": 7}, {"price": 8}], "note": "x", "came": 2});
        let mut changes = Vec::new();
        compare("", Some(&old), Some(&new), &mut changes);
        let of = |value: &Option<Value>| value.as_ref().map_or("absent".to_owned(), ToString::to_string);
        let line = |change: &FieldChange| {
            format!("{} ({}): {} -> {}\n", change.field, change.kind(), of(&change.old), of(&change.new))
        };
        expect![[r#"
            gone (gone): true -> absent
            lines[1].price (lines[].price): 6 -> 7
            lines[2] (lines[]): absent -> {"price":8}
            note (note): null -> "x"
            came (came): absent -> 2
        "#]]
        .assert_eq(&changes.iter().map(line).collect::<String>());
    }
}
