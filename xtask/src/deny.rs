//! `cargo xtask deny`: the licences and versions of all dependencies, against the lists in deny.toml.
//!
//! deny.toml is in cargo-deny's own format, so that cargo-deny reads the same lists where it is installed.

mod licence;
mod packages;

use std::fs;

use serde::Deserialize;

use crate::paths;
use crate::steps::{Outcome, Steps, cargo, output_of};
use packages::Metadata;

/// The one crate whose dependencies may lie outside the allow-list: it measures and is linked into nothing.
const MEASURING_CRATE: &str = "unchain-benches";

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Lists {
    licenses: Licences,
    bans: Bans,
}

#[derive(Deserialize)]
struct Licences {
    allow: Vec<String>,
    #[serde(default)]
    exceptions: Vec<Exception>,
}

#[derive(Deserialize)]
struct Exception {
    #[serde(rename = "crate")]
    name: String,
    allow: Vec<String>,
}

#[derive(Deserialize)]
struct Bans {
    #[serde(default)]
    skip: Vec<Skip>,
}

/// A version that may appear beside another of the same crate: `name@version`.
#[derive(Deserialize)]
struct Skip {
    #[serde(rename = "crate")]
    version: String,
}

pub fn step(steps: &mut Steps) {
    steps.step("licences and versions", |_| {
        let lists =
            fs::read_to_string(paths::root().join("deny.toml")).map_err(|error| format!("deny.toml: {error}"))?;
        let lists: Lists = toml::from_str(&lists).map_err(|error| format!("deny.toml: {error}"))?;
        let metadata = output_of(cargo(&["metadata", "--format-version", "1", "--locked"]))?;
        let metadata: Metadata =
            serde_json::from_slice(&metadata).map_err(|error| format!("cargo metadata: {error}"))?;
        let complaints: Vec<String> = licence_complaints(&lists, &metadata)
            .into_iter()
            .chain(metadata.doubled().into_iter().filter_map(|doubled| doubled.complaint(&lists.bans.skip)))
            .collect();
        if complaints.is_empty() {
            println!("    {} packages, licences and versions as deny.toml allows", metadata.packages.len());
            return Ok(Outcome::Passed);
        }
        for complaint in &complaints {
            eprintln!("    {complaint}");
        }
        Err(format!("{} complaints about dependencies", complaints.len()))
    });
    steps.not_checked(
        "known advisories: the RustSec database is a git repository and no package registry, so it cannot be assumed to be \
         reachable; `cargo deny check advisories` asks it",
    );
}

fn licence_complaints(lists: &Lists, metadata: &Metadata) -> Vec<String> {
    let mut complaints = Vec::new();
    for package in &metadata.packages {
        let Some(expression) = package.license.as_deref() else {
            complaints.push(format!("{package} names no licence"));
            continue;
        };
        let exception = lists.licenses.exceptions.iter().find(|exception| exception.name == package.name);
        let permissive = licence::satisfied(expression, &|id| lists.licenses.allow.iter().any(|allowed| allowed == id));
        match (permissive, exception) {
            (Ok(true), _) => {}
            (Err(wrong), _) => complaints.push(format!("{package}: cannot read its licence `{expression}`: {wrong}")),
            (Ok(false), Some(exception)) => {
                let allowed =
                    |id: &str| exception.allow.iter().chain(&lists.licenses.allow).any(|allowed| allowed == id);
                if licence::satisfied(expression, &allowed) != Ok(true) {
                    complaints.push(format!("{package}: the exception for it does not cover `{expression}`"));
                }
                let users = metadata.members_that_link(package);
                for user in users.into_iter().filter(|user| *user != MEASURING_CRATE) {
                    complaints
                        .push(format!("{package} ({expression}) is for {MEASURING_CRATE} alone; {user} links it too"));
                }
            }
            (Ok(false), None) => complaints.push(format!("{package}: `{expression}` is not in deny.toml's list")),
        }
    }
    complaints
}

impl packages::Doubled<'_> {
    /// All versions but one must be listed; that one is the version that the others should move to.
    fn complaint(&self, skips: &[Skip]) -> Option<String> {
        let listed = |version: &&&str| {
            skips.iter().any(|skip| match skip.version.split_once('@') {
                Some((name, listed)) => name == self.name && is_version(listed, version),
                None => skip.version == self.name,
            })
        };
        let unlisted = self.versions.iter().filter(|version| !listed(version)).count();
        let versions = self.versions.join(" and ");
        (unlisted > 1).then(|| format!("{} is there twice, {versions}: list one under [bans] skip, and why", self.name))
    }
}

/// `0.4` names `0.4.1`, and not `0.40.0`.
fn is_version(listed: &str, version: &str) -> bool {
    version.strip_prefix(listed).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '+']))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTS: &str = r#"
        [licenses]
        allow = ["MIT"]
        exceptions = [{ crate = "weak", allow = ["MPL-2.0"] }]
        [bans]
        skip = [{ crate = "twice@0.4" }]
    "#;

    fn metadata(weak_user: &str) -> Metadata {
        let text = format!(
            r#"{{ "packages": [
                {{ "id": "w", "name": "weak", "version": "1.0.0", "license": "MPL-2.0" }},
                {{ "id": "g", "name": "grave", "version": "1.0.0", "license": "GPL-3.0-only" }},
                {{ "id": "n", "name": "nameless", "version": "1.0.0", "license": null }},
                {{ "id": "t1", "name": "twice", "version": "0.4.9", "license": "MIT" }},
                {{ "id": "t2", "name": "twice", "version": "0.5.0", "license": "MIT" }},
                {{ "id": "u", "name": "{weak_user}", "version": "1.0.0", "license": "MIT" }} ],
              "workspace_members": ["u"],
              "resolve": {{ "nodes": [ {{ "id": "u", "deps": [ {{ "pkg": "w", "dep_kinds": [{{ "kind": null }}] }} ] }} ] }} }}"#
        );
        serde_json::from_str(&text).expect("cargo's format")
    }

    #[test]
    fn an_exception_holds_for_the_measuring_crate_alone() {
        let lists: Lists = toml::from_str(LISTS).expect("lists");
        let fixed = ["grave 1.0.0: `GPL-3.0-only` is not in deny.toml's list", "nameless 1.0.0 names no licence"];
        assert_eq!(licence_complaints(&lists, &metadata(MEASURING_CRATE)), fixed);
        let complaints = licence_complaints(&lists, &metadata("product"));
        assert_eq!(complaints[0], "weak 1.0.0 (MPL-2.0) is for unchain-benches alone; product links it too");
        assert_eq!(complaints[1..], fixed);
    }

    #[test]
    fn a_doubled_version_must_be_listed() {
        let metadata = metadata("product");
        let doubled = metadata.doubled();
        assert_eq!(doubled.len(), 1);
        let lists: Lists = toml::from_str(LISTS).expect("lists");
        assert_eq!(doubled[0].complaint(&lists.bans.skip), None);
        assert!(doubled[0].complaint(&[]).is_some());
        assert!(doubled[0].complaint(&[Skip { version: "twice@0.6".into() }]).is_some());
    }
}
