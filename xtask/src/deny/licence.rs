//! Whether an SPDX licence expression is satisfied by allowed licences alone.
//!
//! The grammar is SPDX's (annex D): `OR` binds loosest, then `AND`, then `WITH`. Old crates write `/` for `OR`.

/// Whether what `allowed` allows satisfies the expression; an error where the expression cannot be read.
pub fn satisfied(expression: &str, allowed: &dyn Fn(&str) -> bool) -> Result<bool, String> {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let satisfied = any_of(&mut rest, allowed)?;
    match rest.first() {
        Some(word) => Err(format!("unexpected `{word}`")),
        None => Ok(satisfied),
    }
}

fn any_of(words: &mut &[&str], allowed: &dyn Fn(&str) -> bool) -> Result<bool, String> {
    let mut satisfied = all_of(words, allowed)?;
    while skip(words, "OR") {
        satisfied |= all_of(words, allowed)?;
    }
    Ok(satisfied)
}

fn all_of(words: &mut &[&str], allowed: &dyn Fn(&str) -> bool) -> Result<bool, String> {
    let mut satisfied = one(words, allowed)?;
    while skip(words, "AND") {
        satisfied &= one(words, allowed)?;
    }
    Ok(satisfied)
}

fn one(words: &mut &[&str], allowed: &dyn Fn(&str) -> bool) -> Result<bool, String> {
    if skip(words, "(") {
        let satisfied = any_of(words, allowed)?;
        return if skip(words, ")") { Ok(satisfied) } else { Err("a bracket is not closed".to_owned()) };
    }
    let id = next(words)?;
    if skip(words, "WITH") {
        // With an exception, a licence grants more, but by another text: the pair is allowed as a pair.
        return Ok(allowed(&format!("{id} WITH {}", next(words)?)));
    }
    Ok(allowed(id))
}

fn next<'a>(words: &mut &[&'a str]) -> Result<&'a str, String> {
    match words.split_first() {
        Some((word, rest)) if !["OR", "AND", "WITH", "(", ")"].contains(word) => {
            *words = rest;
            Ok(word)
        }
        Some((word, _)) => Err(format!("`{word}` stands where a licence should")),
        None => Err("it ends too early".to_owned()),
    }
}

fn skip(words: &mut &[&str], word: &str) -> bool {
    let skipped = words.first() == Some(&word);
    if skipped {
        *words = &words[1..];
    }
    skipped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expression: &str) -> Result<bool, String> {
        satisfied(expression, &|id| ["MIT", "Unicode-3.0", "Apache-2.0 WITH LLVM-exception"].contains(&id))
    }

    #[test]
    fn expressions_bind_as_spdx_says() {
        for (expression, expected) in [
            ("MIT", true),
            ("GPL-3.0", false),
            ("GPL-3.0 OR MIT", true),
            ("GPL-3.0/MIT", true),
            ("GPL-3.0 AND MIT", false),
            ("MIT OR GPL-3.0 AND GPL-2.0", true),
            ("(MIT OR GPL-3.0) AND GPL-2.0", false),
            ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("Apache-2.0", false),
        ] {
            assert_eq!(check(expression), Ok(expected), "{expression}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_not_allowed() {
        for expression in ["", "MIT OR", "(MIT", "MIT MIT", "AND MIT", "MIT WITH"] {
            assert!(check(expression).is_err(), "{expression}");
        }
    }
}
