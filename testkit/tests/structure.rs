//! The architecture as tests: who may use whom, and what every file has. They read the sources as text.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "structure/source.rs"]
mod source;

use std::collections::BTreeSet;
use std::fs;

use source::{Source, files, first_names, mentions, product_code, root, rust_files};

/// Each crate, by its folder, with the workspace's crates that its code may use. Build and test dependencies are free.
const CRATE_EDGES: &[(&str, &[&str])] = &[
    ("broker", &[]),
    ("chaos", &["unchain", "unchain-measure"]),
    (
        "cli",
        &[
            "unchain",
            "unchain-broker",
            "unchain-experiment",
            "unchain-processors",
            "unchain-producers",
            "unchain-schemas",
            "unchain-workload",
        ],
    ),
    ("codegen", &[]),
    ("experiment", &["unchain", "unchain-measure", "unchain-producers", "unchain-schemas"]),
    ("measure", &[]),
    ("processors", &["unchain", "unchain-schemas"]),
    ("producers", &["unchain", "unchain-schemas"]),
    ("schemas", &["unchain"]),
    ("testkit", &["unchain", "unchain-broker"]),
    ("unchain", &[]),
    ("workload", &["unchain", "unchain-measure"]),
    ("xtask", &[]),
];
/// What measures everything and what shows how to use it may use everything.
const FREE_FOLDERS: &[&str] = &["benches/", "examples/"];

const MAX_FILE_LINES: usize = 500;
/// Files over the limit, each with the reason.
const LONG_FILES: &[(&str, &str)] = &[];

const MAX_ARCHITECTURE_WORDS: usize = 1_500;

/// Fails with all findings, one a line, and with what to do about them.
fn expect_none(findings: &[String], what_to_do: &str) {
    assert!(findings.is_empty(), "\n{}\n\n{what_to_do}\n", findings.join("\n"));
}

#[test]
fn rooms_use_only_rooms_listed_before_them() {
    let rooms = rooms(&fs::read_to_string(root().join("unchain/src/lib.rs")).unwrap());
    assert!(rooms.len() > 1, "unchain/src/lib.rs lists no rooms");
    let files = rust_files();
    let findings: Vec<String> =
        files.iter().filter(|file| !file.is_for_tests()).flat_map(|file| upward_uses(file, &rooms)).collect();
    expect_none(
        &findings,
        "Move the shared part into a lower room, or let the higher room hand it in; the order is that of unchain/src/lib.rs.",
    );
}

/// The modules in the order of their `pub mod` lines.
fn rooms(lib: &str) -> Vec<String> {
    let room = |line: &str| Some(line.strip_prefix("pub mod ")?.trim_end_matches([';', ' ', '{']).to_owned());
    product_code(lib).lines().filter_map(room).collect()
}

fn upward_uses(file: &Source, rooms: &[String]) -> Vec<String> {
    let Some(inner) = file.path.strip_prefix("unchain/src/").and_then(|path| path.strip_suffix(".rs")) else {
        return vec![];
    };
    let modules: Vec<&str> = inner.split('/').filter(|module| *module != "mod").collect();
    let rank = |name: &str| rooms.iter().position(|room| room == name);
    let Some(own) = rank(modules[0]) else { return vec![] };
    let code = product_code(&file.text);
    let root_by_super = vec!["super"; modules.len()].join("::");
    let mut findings = Vec::new();
    for prefix in ["crate", "unchain", &root_by_super] {
        for (line, after) in mentions(&code, prefix) {
            for name in first_names(after) {
                if rank(&name).is_some_and(|used| used > own) {
                    findings.push(format!("{}:{line}: room `{}` uses `{name}`, a higher room", file.path, rooms[own]));
                }
            }
        }
    }
    findings
}

#[test]
fn crates_use_only_the_crates_that_the_design_gives_them() {
    let manifests = files(&["Cargo.toml"]);
    let mut findings = Vec::new();
    for manifest in &manifests {
        let Some(folder) = manifest.path.strip_suffix("/Cargo.toml") else { continue };
        if FREE_FOLDERS.iter().any(|free| manifest.path.starts_with(free)) {
            continue;
        }
        let used = workspace_dependencies(&manifest.text);
        match CRATE_EDGES.iter().find(|(known, _)| *known == folder) {
            None => findings.push(format!("{}: this crate has no row in CRATE_EDGES", manifest.path)),
            Some((_, allowed)) => {
                let allowed: BTreeSet<String> = allowed.iter().map(|name| (*name).to_owned()).collect();
                if used != allowed {
                    findings.push(format!("{}: [dependencies] has {used:?}, the design {allowed:?}", manifest.path));
                }
            }
        }
    }
    expect_none(
        &findings,
        "Take the dependency out; where the design itself changes, change CRATE_EDGES and ARCHITECTURE.md too.",
    );
}

/// The workspace's own crates in `[dependencies]`.
fn workspace_dependencies(manifest: &str) -> BTreeSet<String> {
    let lines = manifest.lines().skip_while(|line| line.trim() != "[dependencies]").skip(1);
    let lines = lines.take_while(|line| !line.starts_with('['));
    let names = lines.filter_map(|line| line.split(['.', '=', ' ']).next()).map(str::to_owned);
    names.filter(|name| name == "unchain" || name.starts_with("unchain-")).collect()
}

#[test]
fn the_architecture_page_is_short_and_its_paths_exist() {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md is there");
    let words = page.split_whitespace().count();
    assert!(
        words <= MAX_ARCHITECTURE_WORDS,
        "ARCHITECTURE.md has {words} words, {MAX_ARCHITECTURE_WORDS} at most: shorten it"
    );
    expect_none(
        &missing_paths("ARCHITECTURE.md", &page),
        "Name the path as it is from the root (or from unchain/src); what is no path goes without backticks.",
    );
}

#[test]
fn the_patterns_of_the_readme_are_where_it_says() {
    let page = fs::read_to_string(root().join("README.md")).expect("README.md is there");
    let (_, patterns) = page.split_once("\n## Patterns\n").expect("README.md lists the patterns");
    let patterns = &patterns[..patterns.find("\n## ").unwrap_or(patterns.len())];
    assert!(paths_in(patterns).len() > 10, "the patterns name their files and tests");
    expect_none(&missing_paths("README.md, Patterns", patterns), "Name the path as it is from the root.");
}

fn missing_paths(name: &str, page: &str) -> Vec<String> {
    let exists = |path: &str| ["", "unchain/src/"].iter().any(|base| root().join(base).join(path).exists());
    let missing = paths_in(page)
        .into_iter()
        .filter(|(_, path)| !exists(path))
        .map(|(line, path)| format!("{name}:{line}: `{path}` does not exist"));
    missing.collect()
}

/// What stands in backticks, outside blocks, and looks like a path: with a slash, or ending as our files do.
fn paths_in(page: &str) -> Vec<(usize, &str)> {
    let mut within_block = false;
    let mut found = Vec::new();
    for (index, line) in page.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            within_block = !within_block;
        } else if !within_block {
            let quoted = line.split('`').skip(1).step_by(2);
            found.extend(quoted.filter(|text| looks_like_path(text)).map(|path| (index + 1, path)));
        }
    }
    found
}

fn looks_like_path(text: &str) -> bool {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c));
    let ends_as_file = [".rs", ".toml", ".md", ".yml", ".avsc", ".py"].iter().any(|ending| text.ends_with(ending));
    let begins_as_path = text.starts_with(".ci/") || text.starts_with(".cargo/") || !text.starts_with(['/', '.', '-']);
    plain && begins_as_path && (text.contains('/') || ends_as_file)
}

#[test]
fn every_file_opens_with_what_it_is_for() {
    let opens =
        |file: &Source| file.text.lines().next().is_some_and(|line| line.starts_with("//! ") && line.len() > 10);
    let findings: Vec<String> = rust_files()
        .iter()
        .filter(|file| !opens(file))
        .map(|file| format!("{}:1: no `//! ` sentence", file.path))
        .collect();
    expect_none(&findings, "Say in the first line, in one sentence, what the file is for.");
}

#[test]
fn the_client_library_is_named_in_one_room_only() {
    let files = rust_files();
    let findings: Vec<String> = files.iter().filter(|file| !file.is_for_tests()).flat_map(client_uses).collect();
    expect_none(&findings, "Use unchain::kafka; what it lacks is added there.");
}

fn client_uses(file: &Source) -> Vec<String> {
    if file.path.starts_with("unchain/src/kafka/") {
        return vec![];
    }
    let code = product_code(&file.text);
    let uses = mentions(&code, "rdkafka").into_iter();
    uses.map(|(line, _)| format!("{}:{line}: names `rdkafka` outside unchain/src/kafka/", file.path)).collect()
}

/// The one file that calls C by itself.
const UNSAFE_FILE: &str = "unchain/src/kafka/native.rs";

#[test]
fn one_audited_file_only_is_unsafe() {
    let files = rust_files();
    let findings: Vec<String> = files.iter().flat_map(unsafe_uses).collect();
    expect_none(&findings, "What needs unsafe code belongs into unchain/src/kafka/native.rs, behind safe types.");
    let audited = files.iter().find(|file| file.path == UNSAFE_FILE).expect("the audited file is there");
    let unexplained = unexplained_unsafe(audited);
    expect_none(&unexplained, "Say in a comment that begins with SAFETY why this is sound.");
}

fn unsafe_uses(file: &Source) -> Vec<String> {
    if file.path == UNSAFE_FILE {
        return vec![];
    }
    let code = product_code(&file.text);
    let uses = ["unsafe", "unsafe_code"].into_iter().flat_map(|word| mentions(&code, word));
    uses.map(|(line, _)| format!("{}:{line}: unsafe outside {UNSAFE_FILE}", file.path)).collect()
}

/// Lines that open an unsafe block or impl without a SAFETY comment right above it.
fn unexplained_unsafe(file: &Source) -> Vec<String> {
    let lines: Vec<&str> = file.text.lines().collect();
    let opens = |line: &str| line.contains("unsafe {") || line.contains("unsafe impl");
    let is_explained = |at: usize| {
        let comment = lines[..at].iter().rev().map(|line| line.trim()).take_while(|line| line.starts_with("//"));
        comment.into_iter().any(|line| line.starts_with("// SAFETY: "))
    };
    let findings = lines.iter().enumerate().filter(|(at, line)| opens(line) && !is_explained(*at));
    findings.map(|(at, _)| format!("{}:{}: unsafe without a SAFETY comment", file.path, at + 1)).collect()
}

#[test]
fn no_file_is_too_long_to_read() {
    let findings: Vec<String> = rust_files()
        .iter()
        .filter(|file| !LONG_FILES.iter().any(|(path, _)| *path == file.path))
        .filter_map(|file| Some((file, Some(file.text.lines().count()).filter(|lines| *lines > MAX_FILE_LINES)?)))
        .map(|(file, lines)| format!("{}:{MAX_FILE_LINES}: goes on to line {lines}", file.path))
        .collect();
    expect_none(&findings, "Split the file where its second idea begins, or list it in LONG_FILES with the reason.");
}

#[test]
fn no_file_names_a_path_of_one_machine() {
    let files = files(&[".rs", ".toml", ".md", ".yml", ".py", ".avsc", ".ci/run"]);
    let findings: Vec<String> = files.iter().flat_map(machine_paths).collect();
    expect_none(
        &findings,
        "Make the path relative to the checkout, or take it from the environment or a temporary folder.",
    );
}

fn machine_paths(file: &Source) -> Vec<String> {
    let mut findings = Vec::new();
    // Put together here, so that this file does not find itself.
    for folder in ["home", "root", "tmp", "work", "Users"].map(|name| format!("/{name}/")) {
        for (index, line) in file.text.lines().enumerate() {
            // `a/tmp/b` and `//root/` are parts of other paths and addresses.
            let own =
                |(at, _): (usize, &str)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-/}".contains(c));
            if line.match_indices(&folder).any(own) {
                findings.push(format!("{}:{}: a path under {folder}", file.path, index + 1));
            }
        }
    }
    findings
}

/// The scanners see what they are for: each is given text that breaks its rule.
mod scanners {
    use super::*;

    fn file(path: &str, text: &str) -> Source {
        Source { path: path.into(), text: text.into() }
    }

    fn upward(path: &str, text: &str) -> usize {
        upward_uses(&file(path, text), &["low".into(), "mid".into(), "high".into()]).len()
    }

    #[test]
    fn unsafe_code_is_seen_where_it_may_not_be_and_where_nobody_says_why() {
        assert_eq!(unsafe_uses(&file("a.rs", "// unsafe\nfn f() { unsafe { g() } }")).len(), 1);
        assert_eq!(unsafe_uses(&file("a.rs", "#![allow(unsafe_code)]")).len(), 1);
        assert_eq!(unsafe_uses(&file(UNSAFE_FILE, "fn f() { unsafe { g() } }")).len(), 0);
        assert_eq!(unexplained_unsafe(&file(UNSAFE_FILE, "// Fast.\nunsafe { g() }")).len(), 1);
        assert_eq!(
            unexplained_unsafe(&file(UNSAFE_FILE, "// SAFETY: g is\n// fine.\nlet a = unsafe { g() };")).len(),
            0
        );
    }

    #[test]
    fn upward_imports_are_seen_in_every_spelling() {
        let path = "unchain/src/mid/part.rs";
        assert_eq!(upward(path, "use crate::high::Thing;"), 1);
        assert_eq!(upward(path, "fn f() { unchain::high::call() }"), 1);
        assert_eq!(upward(path, "use crate::{low, high::{a, b}};"), 1);
        assert_eq!(upward(path, "use crate::{low::{a, b},\n    high};"), 1);
        assert_eq!(upward(path, "use super::super::high;"), 1);
        assert_eq!(upward("unchain/src/mid/mod.rs", "use super::high;"), 1);
        assert_eq!(upward("unchain/src/low.rs", "use crate::mid;"), 1);
    }

    #[test]
    fn lower_rooms_comments_strings_and_tests_are_free() {
        let path = "unchain/src/mid/part.rs";
        assert_eq!(upward(path, "use crate::{low, mid::high};"), 0);
        assert_eq!(
            upward(
                path,
                "// crate::high\n/* crate::high */ let s = \"crate::high\"; let c = '\"'; let q = r#\"crate::high\"#;"
            ),
            0
        );
        assert_eq!(upward(path, "fn f<'a>(s: &'a str) {}\n#[cfg(test)]\nmod tests { use crate::high; }"), 0);
        assert_eq!(
            upward(path, "#[cfg(test)]\nmod tests { fn f() {} }\nuse crate::high;"),
            1,
            "code after the tests counts"
        );
        assert_eq!(upward("cli/src/main.rs", "use unchain::high;"), 0);
    }

    #[test]
    fn rooms_stand_in_the_order_of_their_lines() {
        assert_eq!(rooms("//! x\npub mod b;\n\n/// doc\npub mod a;\nmod private;\n"), ["b", "a"]);
    }

    #[test]
    fn crate_edges_are_those_of_ordinary_dependencies() {
        let manifest = "[package]\nname = \"x\"\n[dependencies]\nserde.workspace = true\nunchain.workspace = true\n\
            unchain-broker = { path = \"../broker\" }\n[dev-dependencies]\nunchain-testkit.workspace = true\n";
        assert_eq!(
            workspace_dependencies(manifest),
            BTreeSet::from(["unchain".to_owned(), "unchain-broker".to_owned()])
        );
    }

    #[test]
    fn paths_in_a_page_are_told_from_other_words() {
        let page = "`unchain/src/lib.rs` and `clippy.toml`, `Entry<T>`, `crate::kafka`\n```\n`no/path`\n```\n`.ci/run` `/orders` `a b/c`";
        assert_eq!(paths_in(page), [(1, "unchain/src/lib.rs"), (1, "clippy.toml"), (5, ".ci/run")]);
    }

    #[test]
    fn the_client_library_is_seen_outside_its_room() {
        assert_eq!(client_uses(&file("unchain/src/engine/mod.rs", "use rdkafka::ClientConfig;")).len(), 1);
        assert_eq!(
            client_uses(&file("unchain/src/engine/mod.rs", "// librdkafka, rdkafka\nlet librdkafka = 1;")).len(),
            0
        );
        assert_eq!(client_uses(&file("unchain/src/kafka/mod.rs", "use rdkafka::ClientConfig;")).len(), 0);
    }

    #[test]
    fn machine_paths_are_seen() {
        let folder = ["/ho", "me/"].concat();
        let findings = machine_paths(&file("a.rs", &format!("let p = \"{folder}me/x\";")));
        assert_eq!(findings, [format!("a.rs:1: a path under {folder}")]);
        assert!(machine_paths(&file("a.rs", "see frame/work/x and https://x.org/root/")).is_empty());
    }
}
