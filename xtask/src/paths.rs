//! Where things lie: the checkout, its target folder, the user's cache.

use std::env;
use std::path::{Path, PathBuf};

/// The checkout's root, wherever it was cloned to.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in a folder of the workspace")
}

/// The folder that cargo builds into.
pub fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |named| root().join(named))
}

/// What is worth keeping between clones: the user's cache folder, by the XDG convention.
pub fn cache() -> PathBuf {
    let xdg = env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
    let home = || env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    xdg.or_else(home).unwrap_or_else(|| target().join("cache"))
}

/// Whether this is a CI run, in which nothing may be left out.
pub fn in_ci() -> bool {
    env::var("CI").is_ok_and(|value| !value.is_empty() && value != "false")
}

/// The file of this name in the folders of PATH.
pub fn program(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(name)).find(|file| file.is_file())
}
