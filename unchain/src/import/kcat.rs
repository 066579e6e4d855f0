//! The envelope that `kcat -C -J` prints: one JSON object a record.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::draft::Draft;
use super::error::{Fault, FaultReason, shown};
use super::json::without_line;
use super::mapping::MAX_PARTITIONS;

/// What is read of the envelope; what else it has is not of the record.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    topic: Cow<'a, str>,
    partition: Option<i32>,
    offset: Option<i64>,
    ts: Option<i64>,
    /// Names and values in turn.
    #[serde(borrow, default)]
    headers: Vec<Option<Cow<'a, str>>>,
    #[serde(borrow)]
    key: Option<&'a RawValue>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
}

/// Reads one line.
pub(super) fn read(line: &[u8], draft: &mut Draft) -> Result<(), Fault> {
    let text = std::str::from_utf8(line);
    let text = text.map_err(|error| Fault::whole(FaultReason::NotUtf8 { byte: error.valid_up_to() + 1 }))?;
    let envelope: Envelope<'_> =
        serde_json::from_str(text).map_err(|error| Fault::whole(FaultReason::Json { reason: without_line(&error) }))?;
    draft.clear();
    draft.topic.push_str(&envelope.topic);
    if let Some(partition) = envelope.partition {
        if !(0..MAX_PARTITIONS).contains(&partition) {
            return Err(unfit("partition", partition.to_string(), "a number from 0 to 9999"));
        }
        draft.partition = Some(partition);
    }
    if let Some(offset) = envelope.offset {
        if offset < 0 {
            return Err(unfit("offset", offset.to_string(), "a number from 0 on"));
        }
        draft.offset = Some(offset);
    }
    draft.timestamp_ms = envelope.ts.filter(|ts| *ts >= 0).unwrap_or(-1);
    draft.set_key(bytes(envelope.key)?.as_deref().map(str::as_bytes));
    draft.set_value(bytes(envelope.payload)?.as_deref().map(str::as_bytes));
    for pair in envelope.headers.chunks(2) {
        match pair {
            [Some(name), value] => {
                draft.headers.push((name.to_string(), value.as_ref().map(|value| value.as_bytes().to_vec())));
            }
            _ => {
                return Err(unfit(
                    "headers",
                    format!("{} texts", envelope.headers.len()),
                    "a list of names and values in turn",
                ));
            }
        }
    }
    Ok(())
}

fn unfit(place: &str, found: String, wanted: &'static str) -> Fault {
    Fault::new(place, FaultReason::Envelope { found: shown(&found), wanted })
}

/// A text's characters, or the JSON itself where kcat has decoded it (`-s value=avro`).
fn bytes(value: Option<&RawValue>) -> Result<Option<Cow<'_, str>>, Fault> {
    let Some(value) = value else { return Ok(None) };
    let json = value.get();
    if !json.starts_with('"') {
        return Ok(Some(Cow::Borrowed(json)).filter(|json| *json != "null"));
    }
    let text: Result<Cow<'_, str>, _> = serde_json::from_str::<String>(json).map(Cow::Owned);
    text.map(Some).map_err(|error| Fault::whole(FaultReason::Json { reason: without_line(&error) }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn of(line: &str) -> Result<Draft, String> {
        let mut draft = Draft::default();
        read(line.as_bytes(), &mut draft).map_err(|fault| fault.to_string())?;
        Ok(draft)
    }

    #[test]
    fn a_line_of_kcat_is_the_record_that_it_was() {
        let line = r#"{"topic":"orders","partition":3,"offset":42,"tstype":"create","ts":1700000000000,"broker":1,"headers":["a","1","b",null],"key":"k\u00fc","payload":"line\n2"}"#;
        let draft = of(line).unwrap();
        assert_eq!((draft.topic.as_str(), draft.partition, draft.offset), ("orders", Some(3), Some(42)));
        assert_eq!((draft.timestamp_ms, draft.key()), (1_700_000_000_000, Some("kü".as_bytes())));
        assert_eq!(draft.value(), Some(&b"line\n2"[..]));
        assert_eq!(draft.headers, [("a".to_owned(), Some(b"1".to_vec())), ("b".to_owned(), None)]);
    }

    #[test]
    fn null_is_a_tombstone_and_decoded_values_stay_json() {
        let draft = of(r#"{"topic":"t","partition":0,"offset":0,"key":null,"payload":null}"#).unwrap();
        assert_eq!((draft.key(), draft.value(), draft.timestamp_ms), (None, None, -1));
        let draft = of(r#"{"topic":"t","partition":0,"offset":0,"key":"","payload":{"b":1, "a":2}}"#).unwrap();
        assert_eq!((draft.key(), draft.value()), (Some(&b""[..]), Some(&br#"{"b":1, "a":2}"#[..])));
    }

    #[test]
    fn what_is_no_envelope_is_told() {
        assert_eq!(of("{}").unwrap_err(), "is not JSON: missing field `topic` at column 2");
        let partition = of(r#"{"topic":"t","partition":-1}"#).unwrap_err();
        assert_eq!(partition, "partition: \"-1\" stands where a number from 0 to 9999 is wanted");
        assert!(of(r#"{"topic":"t","headers":["a"]}"#).unwrap_err().starts_with("headers: "));
    }

    proptest! {
        #[test]
        fn what_kcat_would_print_comes_back(
            key: Option<String>,
            payload: Option<String>,
            headers: Vec<(String, Option<String>)>,
            offset in 0..i64::MAX,
        ) {
            let flat: Vec<_> = headers.iter().flat_map(|(name, value)| [Some(name.clone()), value.clone()]).collect();
            let line = json!({"topic": "t", "partition": 1, "offset": offset, "tstype": "create", "ts": 5, "broker": 0,
                "headers": flat, "key": key, "payload": payload});
            let draft = of(&line.to_string()).unwrap();
            prop_assert_eq!(draft.key(), key.as_deref().map(str::as_bytes));
            prop_assert_eq!(draft.value(), payload.as_deref().map(str::as_bytes));
            prop_assert_eq!(draft.offset, Some(offset));
            let found: Vec<_> = headers.into_iter().map(|(name, value)| (name, value.map(String::into_bytes))).collect();
            prop_assert_eq!(draft.headers, found);
        }
    }
}
