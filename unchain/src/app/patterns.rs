//! Names of topics as a command line gives them: whole, or with `*` for any text.

use std::str::FromStr;

use super::AppError;

/// Patterns with commas between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePatterns(Vec<String>);

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
        let patterns: Vec<_> = text.split(',').map(|pattern| pattern.trim().to_owned()).collect();
        if patterns.iter().any(String::is_empty) {
            return Err("give names or patterns such as 'orders.*', with commas between them".to_owned());
        }
        Ok(NamePatterns(patterns))
    }
}

impl NamePatterns {
    /// The names that match, each once, in order. Names that begin with `_` are internal: `*` does not stand for them.
    pub fn choose(&self, names: &[&str]) -> Result<Vec<String>, NoMatch> {
        let mut chosen = Vec::new();
        for pattern in &self.0 {
            let is_meant = |name: &str| matches(pattern, name) && (!name.starts_with('_') || pattern.starts_with('_'));
            let before = chosen.len();
            chosen.extend(names.iter().filter(|name| is_meant(name)).map(|name| (*name).to_owned()));
            if chosen.len() == before {
                return Err(NoMatch { pattern: pattern.clone() });
            }
        }
        chosen.sort();
        chosen.dedup();
        Ok(chosen)
    }
}

/// Whether a name is a pattern's, in which `*` stands for any text.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else { return pattern == name };
    let Some(rest) = name.strip_prefix(before) else { return false };
    (0..=rest.len()).any(|at| rest.is_char_boundary(at) && matches(after, &rest[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, name, expected) in [
            ("orders", "orders", true),
            ("orders", "orders.x", false),
            ("orders.*", "orders.placed", true),
            ("orders.*", "orders", false),
            ("*placed", "orders.placed", true),
            ("o*s.*d", "orders.placed", true),
            ("o*s.*d", "orders.place", false),
            ("*", "", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

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
