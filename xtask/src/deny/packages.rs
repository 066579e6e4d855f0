//! What `cargo metadata` says of the dependencies, and two questions to it: what is doubled, and who links a package.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;

#[derive(Deserialize)]
pub struct Metadata {
    pub packages: Vec<Package>,
    workspace_members: Vec<String>,
    resolve: Resolve,
}

#[derive(Deserialize)]
pub struct Package {
    id: String,
    pub name: String,
    version: String,
    pub license: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Deserialize)]
struct DependencyKind {
    /// None for an ordinary dependency, else `dev` or `build`.
    kind: Option<String>,
}

/// A crate that is there in versions that cannot stand in for one another.
pub struct Doubled<'a> {
    pub name: &'a str,
    pub versions: Vec<&'a str>,
}

impl Metadata {
    pub fn doubled(&self) -> Vec<Doubled<'_>> {
        let mut lines: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
        for package in &self.packages {
            lines.entry(&package.name).or_default().insert(compatibility_line(&package.version), &package.version);
        }
        let doubled = lines.into_iter().filter(|(_, versions)| versions.len() > 1);
        doubled.map(|(name, versions)| Doubled { name, versions: versions.into_values().collect() }).collect()
    }

    /// The workspace's crates whose library or program contains the package: by ordinary dependencies, at any distance.
    pub fn members_that_link(&self, package: &Package) -> Vec<&str> {
        let mut reached = BTreeSet::from([package.id.as_str()]);
        loop {
            let links = |node: &&Node| {
                let ordinary = |dependency: &&Dependency| dependency.dep_kinds.iter().any(|kind| kind.kind.is_none());
                node.deps.iter().filter(ordinary).any(|dependency| reached.contains(dependency.pkg.as_str()))
            };
            let more: Vec<&str> = self.resolve.nodes.iter().filter(links).map(|node| node.id.as_str()).collect();
            let before = reached.len();
            reached.extend(more);
            if reached.len() == before {
                break;
            }
        }
        let members = self.packages.iter().filter(|member| self.workspace_members.contains(&member.id));
        members.filter(|member| reached.contains(member.id.as_str())).map(|member| member.name.as_str()).collect()
    }
}

/// The part of a version within which cargo takes one for another: `1` of 1.2.3, `0.4` of 0.4.1, `0.0.7` of 0.0.7.
fn compatibility_line(version: &str) -> &str {
    let significant = if version.starts_with("0.0.") {
        3
    } else if version.starts_with("0.") {
        2
    } else {
        1
    };
    let end = version.match_indices('.').nth(significant - 1).map_or(version.len(), |(index, _)| index);
    &version[..end]
}

impl fmt::Display for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_takes_one_version_for_another_within_a_line() {
        for (version, line) in [("1.2.3", "1"), ("0.4.1", "0.4"), ("0.0.7", "0.0.7"), ("12.0.0+x.1", "12")] {
            assert_eq!(compatibility_line(version), line);
        }
    }
}
