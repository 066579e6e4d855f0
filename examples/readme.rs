//! README.md shows the examples' code as it is.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::fs;
use std::path::{Path, PathBuf};

/// The sections whose code stands in the examples.
const SECTIONS: [&str; 3] = ["### Windows", "### Joins", "## Testing a processor"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// The lines without their indents, so that code may stand deeper in its file than on the page.
fn dedented(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

fn examples() -> Vec<String> {
    let folders = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let numbered = folders.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(char::is_numeric));
    let files = numbered.flat_map(|folder| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
    files.map(|file| dedented(&fs::read_to_string(file).unwrap())).collect()
}

#[test]
fn its_blocks_of_code_stand_in_the_examples() {
    let readme = fs::read_to_string(root().join("../README.md")).unwrap();
    let examples = examples();
    for section in SECTIONS {
        let (_, text) = readme.split_once(&format!("\n{section}\n")).expect("README.md has the section");
        let end = text.find("\n#").unwrap_or(text.len());
        let blocks: Vec<_> =
            text[..end].split("```rust\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
        assert!(!blocks.is_empty(), "{section} shows no code");
        for block in blocks {
            assert!(examples.iter().any(|example| example.contains(&dedented(block))), "no example has:\n{block}");
        }
    }
}
