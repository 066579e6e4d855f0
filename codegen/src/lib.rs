//! Turns Avro schemas and `topics.toml` into Rust types and contracts, from a crate's `build.rs`.
//!
//! ```no_run
//! // build.rs; the crate's source then says `unchain::contracts!();`
//! unchain_codegen::generate("schemas");
//! ```
//!
//! One Rust type is made of each named Avro type below the folder, and one `unchain::contract::Contract` of each topic.
//! The types carry their own Avro encoding as straight code, so that no schema is interpreted per record.
//! `rsgen-avro` was weighed: it pulls in a second apache-avro and a template engine, and knows no topics.

mod catalogue;
mod contracts;
mod defaults;
mod error;
mod parse;
mod rust;
mod topics;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

pub use error::CodegenError;

use catalogue::Catalogue;

/// The file that lists the topics, directly in the schema folder.
const TOPICS_FILE: &str = "topics.toml";

/// Folders nested deeper than this below the schema folder are not searched.
const MAX_FOLDER_DEPTH: usize = 16;

/// Generates `$OUT_DIR/contracts.rs` from the schemas below `folder` (relative to the manifest) and its `topics.toml`.
///
/// Where something is wrong, the build fails with a message that says the file, the place and what to do.
pub fn generate(folder: &str) {
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("contracts.rs");
    println!("cargo::rerun-if-changed={folder}");
    let written = contracts_of(&manifest.join(folder))
        .and_then(|code| fs::write(&out, code).map_err(|source| CodegenError::Io { file: out, source }));
    if let Err(error) = written {
        for line in error.to_string().lines() {
            println!("cargo::error={line}");
        }
        #[allow(
            clippy::disallowed_methods,
            reason = "a build script ends so: a panic would bury the message under its trace"
        )]
        std::process::exit(1);
    }
}

/// The Rust source of a schema folder's types and contracts.
pub fn contracts_of(folder: &Path) -> Result<String, CodegenError> {
    let mut files = Vec::new();
    find_schemas(folder, MAX_FOLDER_DEPTH, &mut files)?;
    files.sort();
    let mut catalogue = Catalogue::default();
    for file in &files {
        parse::add_file(&mut catalogue, shown(folder, file), &read(file)?)?;
    }
    catalogue.check()?;
    let topics_file = folder.join(TOPICS_FILE);
    let topics = topics::parse(&catalogue, shown(folder, &topics_file), &read(&topics_file)?)?;

    let mut code = String::new();
    rust::types(&catalogue, &mut code)?;
    // Last: our own messages name the field, the library's name the type.
    catalogue.check_library_agrees()?;
    contracts::contracts(&catalogue, &topics, &mut code);
    Ok(code)
}

fn read(file: &Path) -> Result<String, CodegenError> {
    fs::read_to_string(file).map_err(|source| CodegenError::Io { file: file.to_owned(), source })
}

/// The path as messages show it: with the schema folder's name, without the folders above.
fn shown(folder: &Path, file: &Path) -> PathBuf {
    let below = file.strip_prefix(folder).unwrap_or(file);
    folder.file_name().map_or_else(|| below.to_owned(), |name| Path::new(name).join(below))
}

fn find_schemas(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), CodegenError> {
    let io = |source| CodegenError::Io { file: folder.to_owned(), source };
    for entry in fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        let path = entry.path();
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        if entry.file_type().map_err(io)?.is_dir() {
            if depth > 0 && !hidden && entry.file_name() != "target" {
                find_schemas(&path, depth - 1, found)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "avsc") {
            found.push(path);
        }
    }
    Ok(())
}
