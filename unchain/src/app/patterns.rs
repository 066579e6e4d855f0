//! Names of topics as a command line gives them: whole, or with `*` for any text.

use std::str::FromStr;

use super::AppError;
use crate::replay::NamePattern;

/// Patterns with commas between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePatterns(Vec<NamePattern>);

/// A pattern that no name matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoMatch {
    pattern: String,
}

impl NoMatch {
    pub(super) fn on_the_cluster(self, names: &[&str]) -> AppError {
        let mut known: Vec<&str> = names.iter().copied().filter(|name| !name.starts_with('_')).collect();
        known.sort_unstable();
        AppError::UnknownTopic { name: self.pattern, known: known.join(", ") }
    }
}

impl FromStr for NamePatterns {
    type Err = String;

    fn from_str(text: &str) -> Result<NamePatterns, String> {
        let patterns = text.split(',').map(str::trim);
        if patterns.clone().any(str::is_empty) {
            return Err("give names or patterns such as 'orders.*', with commas between them".to_owned());
        }
        Ok(NamePatterns(patterns.map(NamePattern::new).collect()))
    }
}

impl NamePatterns {
    /// The names that match, each once, in order. Names that begin with `_` are internal: `*` does not stand for them.
    pub fn choose(&self, names: &[&str]) -> Result<Vec<String>, NoMatch> {
        let mut chosen = Vec::new();
        for pattern in &self.0 {
            let is_internal_meant = pattern.to_string().starts_with('_');
            let is_meant = |name: &str| pattern.matches(name) && (is_internal_meant || !name.starts_with('_'));
            let before = chosen.len();
            chosen.extend(names.iter().filter(|name| is_meant(name)).map(|name| (*name).to_owned()));
            if chosen.len() == before {
                return Err(NoMatch { pattern: pattern.to_string() });
            }
        }
        chosen.sort();
        chosen.dedup();
        Ok(chosen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_chosen_once_and_internal_ones_only_by_name() {
        let names = ["_unchain.schemas", "b", "a1", "a2"];
        let choose = |text: &str| text.parse::<NamePatterns>().unwrap().choose(&names);
        assert_eq!(choose("a*, a1").unwrap(), ["a1", "a2"]);
        assert_eq!(choose("*").unwrap(), ["a1", "a2", "b"]);
        assert_eq!(choose("_unchain.*").unwrap(), ["_unchain.schemas"]);
        assert_eq!(choose("b,c"), Err(NoMatch { pattern: "c".to_owned() }));
        assert!("a,,b".parse::<NamePatterns>().is_err());
    }
}
