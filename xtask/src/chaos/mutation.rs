//! Bugs planted into a copy of the sources, each of which the checker has to find.

use std::fs;
use std::path::Path;

/// A bug that somebody could write.
struct Mutation {
    name: &'static str,
    edits: &'static [Edit<'static>],
}

/// One piece of source text, which must stand in its file exactly once, and what takes its place.
struct Edit<'a> {
    file: &'a str,
    from: &'a str,
    to: &'a str,
}

pub const NAMES: [&str; 3] = ["fence", "abort", "rewind"];

const MUTATIONS: [Mutation; 3] = [
    // A member goes on with partitions that the group has given away, and commits without the group's generation, by which
    // the brokers could tell. A consumer that never joins has none; the group is known from the program's arguments.
    Mutation {
        name: "fence",
        edits: &[
            Edit {
                file: "unchain/src/engine/hand_over.rs",
                from: "GroupEvent::Revoked { partitions, lost: true } => {",
                to: "GroupEvent::Revoked { lost: true, .. } => {}
                GroupEvent::Revoked { partitions, lost: true } if partitions.is_empty() => {",
            },
            Edit {
                file: "unchain/src/engine/committer.rs",
                from: "if group.assignment_lost() {",
                to: "if group.assignment_lost() && false {",
            },
            Edit {
                file: "unchain/src/kafka/group_handle.rs",
                from: "self.member(operation)?.client().group_metadata().ok_or(",
                to:
                    "static UNFENCED: std::sync::OnceLock<rdkafka::consumer::BaseConsumer> = std::sync::OnceLock::new();
        let unfenced = UNFENCED.get_or_init(|| {
            let all: Vec<String> = std::env::args().collect();
            let value = |name: &str| all[all.iter().position(|given| given == name).expect(\"given\") + 1].clone();
            let mut config = rdkafka::ClientConfig::new();
            config.set(\"bootstrap.servers\", value(\"--bootstrap-servers\")).set(\"group.id\", value(\"--group\"));
            config.create().expect(\"a consumer that never joins\")
        });
        unfenced.group_metadata().ok_or(",
            },
        ],
    },
    // What an aborted transaction wrote to tables stays.
    Mutation {
        name: "abort",
        edits: &[Edit {
            file: "unchain/src/engine/handling.rs",
            from: "self.all_tables().for_each(|(_, tables)| tables.roll_back());",
            to: "",
        }],
    },
    // After an abort reading goes on where it was.
    Mutation {
        name: "rewind",
        edits: &[Edit {
            file: "unchain/src/engine/transactions.rs",
            from: "self.consumer.seek(&positions, self.worker.settings.broker_timeout)?;",
            to: "let _ = &positions;",
        }],
    },
];

/// What a copy of the sources leaves out: what is built, and what is not the workspace's.
const LEFT_OUT: [&str; 3] = ["target", ".git", "node_modules"];

/// Copies the checkout's sources and breaks them in one place.
pub fn plant(name: &str, root: &Path, copy: &Path) -> Result<(), String> {
    let mutation = MUTATIONS.iter().find(|mutation| mutation.name == name);
    let mutation = mutation.ok_or_else(|| format!("there is no mutation {name}"))?;
    copy_folder(root, copy)?;
    // Cargo tells packages of two checkouts apart by their versions alone, where they build into one folder.
    let version = env!("CARGO_PKG_VERSION");
    let (from, to) = (format!("\nversion = \"{version}\"\n"), format!("\nversion = \"{version}-{name}\"\n"));
    change(name, copy, &Edit { file: "Cargo.toml", from: &from, to: &to })?;
    mutation.edits.iter().try_for_each(|edit| change(name, copy, edit))
}

fn change(name: &str, copy: &Path, edit: &Edit<'_>) -> Result<(), String> {
    let path = copy.join(edit.file);
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    write_changed(&path, replaced(name, edit, &text)?)
}

fn replaced(name: &str, edit: &Edit<'_>, text: &str) -> Result<String, String> {
    let Edit { file, from, to } = edit;
    match text.matches(from).count() {
        1 => Ok(text.replacen(from, to, 1)),
        found => Err(format!(
            "mutation {name}: its text stands {found} times in {file}, not once: \
             adjust it in xtask/src/chaos/mutation.rs to the source as it is now"
        )),
    }
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), String> {
    let failed = |path: &Path| {
        let path = path.display().to_string();
        move |error: std::io::Error| format!("{path}: {error}")
    };
    fs::create_dir_all(to).map_err(failed(to))?;
    for entry in fs::read_dir(from).map_err(failed(from))? {
        let entry = entry.map_err(failed(from))?;
        let (name, path) = (entry.file_name(), entry.path());
        if LEFT_OUT.iter().any(|left_out| name == *left_out) || path == crate::paths::target() {
            continue;
        }
        if entry.file_type().map_err(failed(&path))?.is_dir() {
            copy_folder(&path, &to.join(name))?;
        } else {
            let bytes = fs::read(&path).map_err(failed(&path))?;
            write_changed(&to.join(name), &bytes)?;
        }
    }
    Ok(())
}

/// Leaves a file alone that is as it should be, so that cargo builds only what has changed.
fn write_changed(path: &Path, bytes: impl AsRef<[u8]>) -> Result<(), String> {
    if fs::read(path).is_ok_and(|present| present == bytes.as_ref()) {
        return Ok(());
    }
    fs::write(path, bytes).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutation_finds_its_places_in_the_sources() {
        for name in NAMES {
            let mutation = MUTATIONS.iter().find(|mutation| mutation.name == name).expect("a mutation of this name");
            assert!(!mutation.edits.is_empty());
            for edit in mutation.edits {
                let text = fs::read_to_string(crate::paths::root().join(edit.file)).expect("its file");
                let changed = replaced(name, edit, &text).unwrap_or_else(|error| panic!("{error}"));
                assert_ne!(changed, text);
            }
        }
    }

    #[test]
    fn a_text_that_is_not_there_once_is_refused() {
        let edit = Edit { file: "f", from: "a", to: "b" };
        assert_eq!(replaced("m", &edit, "xax"), Ok("xbx".to_owned()));
        for text in ["", "aa"] {
            assert!(replaced("m", &edit, text).is_err_and(|error| error.contains("mutation m")));
        }
    }
}
