//! Names by pattern: which topics and headers are taken, and what a topic is called in the target.

use std::fmt;
use std::str::FromStr;

/// A name, or with `*` for any characters many of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePattern(String);

impl NamePattern {
    pub fn new(pattern: impl Into<String>) -> NamePattern {
        NamePattern(pattern.into())
    }

    pub fn matches(&self, name: &str) -> bool {
        let Some((first, rest)) = self.0.split_once('*') else { return self.0 == name };
        let Some(mut left) = name.strip_prefix(first) else { return false };
        let mut parts = rest.split('*').peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                return left.ends_with(part);
            }
            let Some(at) = left.find(part) else { return false };
            left = &left[at + part.len()..];
        }
        true
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which headers are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderFilter(Vec<NamePattern>);

impl HeaderFilter {
    pub fn new(allowed: impl IntoIterator<Item = NamePattern>) -> HeaderFilter {
        HeaderFilter(allowed.into_iter().collect())
    }

    pub fn allows(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| pattern.matches(name))
    }

    pub(super) fn patterns(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }
}

impl Default for HeaderFilter {
    /// What says which event a record is. Traces, deadlines, retries and failures are of the recorded run, and would
    /// mislead whoever reads the replay.
    fn default() -> Self {
        HeaderFilter::new(["ce_*", "content-type"].map(NamePattern::new))
    }
}

/// What a recorded topic is called in the target; `{topic}` stands for its recorded name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetName(String);

const PLACEHOLDER: &str = "{topic}";
/// The length that Kafka allows.
const MAX_TOPIC_NAME_BYTES: usize = 249;

impl TargetName {
    pub(super) fn of(&self, recorded: &str) -> String {
        self.0.replace(PLACEHOLDER, recorded)
    }

    pub(super) fn pattern(&self) -> &str {
        &self.0
    }
}

impl Default for TargetName {
    fn default() -> Self {
        TargetName(PLACEHOLDER.to_owned())
    }
}

impl FromStr for TargetName {
    type Err = String;

    fn from_str(pattern: &str) -> Result<TargetName, String> {
        let target = TargetName(pattern.to_owned());
        is_topic_name(&target.of("t"))?;
        Ok(target)
    }
}

/// Whether Kafka takes a topic's name, or why not.
pub(super) fn is_topic_name(name: &str) -> Result<(), String> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.is_empty() || name == "." || name == ".." {
        return Err("a topic's name must not be empty, `.` or `..`".to_owned());
    }
    if !name.bytes().all(is_allowed) {
        return Err(
            "a topic's name has letters, digits, `.`, `_` and `-` only; `{topic}` stands for the recorded name"
                .to_owned(),
        );
    }
    if name.len() > MAX_TOPIC_NAME_BYTES {
        return Err(format!("a topic's name has {MAX_TOPIC_NAME_BYTES} characters at most, this one {}", name.len()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        let matches = |pattern: &str, name: &str| NamePattern::new(pattern).matches(name);
        for (pattern, name) in
            [("a", "a"), ("*", ""), ("*", "a.b"), ("a.*", "a.b"), ("*.b", "a.b"), ("a*c*e", "abcde"), ("a*a", "aba")]
        {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("a", "ab"), ("a.*", "ab"), ("a*a", "a"), ("a*c*e", "acb"), ("", "a"), ("*b*b", "ab")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn headers_of_the_recorded_run_stay_behind() {
        let filter = HeaderFilter::default();
        assert!(filter.allows("ce_id") && filter.allows("content-type"));
        for name in ["traceparent", "deadline", "retry-attempt", "dead-letter-error"] {
            assert!(!filter.allows(name), "{name}");
        }
    }

    #[test]
    fn a_targets_name_follows_the_recorded_one_and_is_a_topics_name() {
        let target: TargetName = "replayed.{topic}".parse().unwrap();
        assert_eq!(target.of("orders"), "replayed.orders");
        for refused in ["", "..", "a b", "{name}", &"x".repeat(250)] {
            assert!(refused.parse::<TargetName>().is_err(), "{refused}");
        }
    }
}
