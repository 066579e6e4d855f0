//! Reading the checkout as text: its files, and Rust source without comments, strings and test code.

use std::fs;
use std::path::{Path, PathBuf};

/// A file by its path from the checkout's root, with `/` between folders.
pub struct Source {
    pub path: String,
    pub text: String,
}

impl Source {
    /// Whether all of the file is test code or helps to test and measure.
    pub fn is_for_tests(&self) -> bool {
        let folders: Vec<&str> = self.path.split('/').collect();
        ["testkit", "benches", "chaos"].contains(&folders[0])
            || folders.contains(&"tests")
            || self.path.ends_with("/tests.rs")
    }
}

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every file of the checkout whose name ends in one of these, in the order of their paths.
pub fn files(endings: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    collect(&root(), "", endings, &mut found);
    assert!(!found.is_empty(), "no files end in {endings:?}: the scan looks at the wrong folder");
    found
}

/// The Rust sources that people write; what a `golden` folder holds is a generator's output.
pub fn rust_files() -> Vec<Source> {
    files(&[".rs"]).into_iter().filter(|file| !file.path.contains("/golden/")).collect()
}

fn collect(folder: &Path, path: &str, endings: &[&str], found: &mut Vec<Source>) {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()).collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().into_string().unwrap();
        let path = format!("{path}{name}");
        let hidden = name.starts_with('.') && ![".ci", ".cargo"].contains(&name.as_str());
        if entry.file_type().unwrap().is_dir() {
            if !hidden && !name.starts_with("target") && name != "node_modules" {
                collect(&entry.path(), &format!("{path}/"), endings, found);
            }
        } else if endings.iter().any(|ending| path.ends_with(ending)) {
            // A file that another program has just removed is no file of the checkout.
            found.extend(fs::read_to_string(entry.path()).ok().map(|text| Source { path, text }));
        }
    }
}

/// Rust source with comments, literals' contents and `#[cfg(test)]` items blanked; every line stays where it was.
pub fn product_code(text: &str) -> String {
    let mut code = without_comments_and_literals(text);
    while let Some(start) = code.find("#[cfg(test)]") {
        let end = start + end_of_item(&code[start..]);
        let blank: String = code[start..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        code.replace_range(start..end, &blank);
    }
    code
}

/// The end of the item that begins here: its semicolon, or the bracket that closes its first brace.
fn end_of_item(code: &str) -> usize {
    let mut depth = 0;
    for (index, c) in code.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return index + 1,
            '}' => depth -= 1,
            ';' if depth == 0 => return index + 1,
            _ => {}
        }
    }
    code.len()
}

fn without_comments_and_literals(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = literal_or_comment(rest, code.chars().last());
        if length == 0 {
            code.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            code.extend(rest[..length].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = &rest[length..];
        }
    }
    code
}

/// The length of the comment or literal that begins here; 0 where none does.
fn literal_or_comment(rest: &str, before: Option<char>) -> usize {
    let until = |end: &str, from: usize| rest[from..].find(end).map_or(rest.len(), |at| from + at + end.len());
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return until("*/", 2);
    }
    let within_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if rest.starts_with('r') && !within_word {
        let hashes = rest[1..].chars().take_while(|&c| c == '#').count();
        if rest[1 + hashes..].starts_with('"') {
            return until(&format!("\"{}", "#".repeat(hashes)), 2 + hashes);
        }
    }
    if rest.starts_with('"') {
        return closing_quote(rest, '"');
    }
    // A lifetime has no closing quote right after its first character.
    let mut chars = rest.chars();
    if chars.next() == Some('\'') && (chars.next() == Some('\\') || chars.next() == Some('\'')) {
        return closing_quote(rest, '\'');
    }
    0
}

fn closing_quote(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (index, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return index + 1,
            _ => {}
        }
    }
    rest.len()
}

/// The places of a word in code, as line numbers from 1 with what follows the word.
pub fn mentions<'a>(code: &'a str, word: &str) -> Vec<(usize, &'a str)> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let mut found = Vec::new();
    for (at, _) in code.match_indices(word) {
        let (before, after) = (&code[..at], &code[at + word.len()..]);
        if !before.ends_with(is_part) && !after.starts_with(is_part) {
            found.push((before.matches('\n').count() + 1, after));
        }
    }
    found
}

/// The first names after `crate::`, `unchain::` or the like: one for `::a::b`, several for `::{a, b::{c}}`.
pub fn first_names(after: &str) -> Vec<String> {
    let name = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let Some(path) = after.strip_prefix("::") else { return Vec::new() };
    let Some(group) = path.strip_prefix('{') else { return vec![name(path)] };
    let (mut depth, mut names, mut begins) = (0, Vec::new(), true);
    for (index, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => begins = true,
            _ if begins && !c.is_whitespace() => {
                names.push(name(&group[index..]));
                begins = false;
            }
            _ => {}
        }
    }
    names
}
