//! Apache Kafka's jar files: fetched once by Maven into the user's cache, shared by all runs and clones.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::KafkaError;
use crate::paths;

const POM: &str = include_str!("../../kafka/pom.xml");
const OLDEST_JAVA: u32 = 17;
const LOGGING: [&str; 2] =
    ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true"];

pub struct Libraries {
    folder: PathBuf,
}

impl Libraries {
    /// The jar files, fetched if the cache has not got them.
    pub fn fetch() -> Result<Self, KafkaError> {
        check_java()?;
        let folder = paths::cache().join("unchain").join(folder_name(POM));
        if !folder.is_dir() {
            copy_by_maven(&folder)?;
        }
        Ok(Self { folder })
    }

    /// `java` with Kafka on its class path.
    pub fn java(&self) -> Command {
        let mut java = Command::new("java");
        java.args(LOGGING).arg("-cp").arg(self.folder.join("*"));
        java
    }

    /// Runs one of Kafka's tools on this terminal.
    pub fn tool(&self, class: &str, arguments: &[String]) -> Result<(), KafkaError> {
        let status = self.java().arg(class).args(arguments).status().map_err(KafkaError::io(Path::new("java")))?;
        if status.success() {
            return Ok(());
        }
        Err(KafkaError::Tool { class: class.to_owned(), code: status.code() })
    }
}

/// Maven copies beside the final folder, which then appears whole by a rename: a broken fetch leaves nothing half-filled,
/// and of two fetches at once the first wins.
fn copy_by_maven(folder: &Path) -> Result<(), KafkaError> {
    if paths::program("mvn").is_none() {
        return Err(KafkaError::Missing { program: "mvn", what: "Maven to be fetched", package: "maven" });
    }
    eprintln!("fetching Apache Kafka {} into {} (about 125 MB, once)", version(POM), folder.display());
    let partial = folder.with_extension(format!("partial-{}", std::process::id()));
    fs::create_dir_all(&partial).map_err(KafkaError::io(&partial))?;
    let status = Command::new("mvn")
        .args(["-q", "-B", "-f"])
        .arg(paths::root().join("xtask/kafka/pom.xml"))
        .arg("dependency:copy-dependencies")
        .arg(format!("-DoutputDirectory={}", partial.display()))
        .stdin(Stdio::null())
        // Standard output carries the bootstrap address alone.
        .stdout(std::io::stderr())
        .status()
        .map_err(KafkaError::io(Path::new("mvn")))?;
    if !status.success() {
        let _ = fs::remove_dir_all(&partial);
        return Err(KafkaError::Fetch { folder: folder.to_owned(), code: status.code() });
    }
    if fs::rename(&partial, folder).is_err() {
        let _ = fs::remove_dir_all(&partial);
    }
    fs::metadata(folder).map_err(KafkaError::io(folder)).map(drop)
}

fn check_java() -> Result<(), KafkaError> {
    let missing =
        KafkaError::Missing { program: "java", what: "Java 17 or newer to run", package: "default-jre-headless" };
    let Ok(output) = Command::new("java").arg("-version").output() else { return Err(missing) };
    // `java -version` has always written to standard error.
    let said = String::from_utf8_lossy(&output.stderr);
    match java_major(&said) {
        Some(major) if major >= OLDEST_JAVA => Ok(()),
        Some(major) => Err(KafkaError::OldJava { found: major.to_string() }),
        None => Err(missing),
    }
}

/// The major version in `openjdk version "17.0.15" 2025-04-15`; before Java 9 it was the second number.
fn java_major(said: &str) -> Option<u32> {
    let quoted = said.split('"').nth(1)?;
    let mut numbers = quoted.split(['.', '-', '_', '+']).map(str::parse::<u32>);
    match numbers.next()?.ok()? {
        1 => numbers.next()?.ok(),
        major => Some(major),
    }
}

/// A name that changes with the pom, so that a cache filled by another is not taken for this one's. Should a Rust release
/// hash differently, the files are fetched anew.
fn folder_name(pom: &str) -> String {
    let mut hasher = DefaultHasher::new();
    pom.hash(&mut hasher);
    format!("apache-kafka-{}-{:08x}", version(pom), hasher.finish() as u32)
}

fn version(pom: &str) -> &str {
    let (_, rest) = pom.split_once("<kafka.version>").expect("the pom names Kafka's version");
    rest.split('<').next().expect("split yields one piece at least")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pom_tells_the_version() {
        assert_eq!(version(POM), "4.1.0");
        assert_ne!(folder_name(POM), folder_name(&POM.replace("1.7.36", "1.7.35")));
    }

    #[test]
    fn java_names_its_version_in_three_ways() {
        assert_eq!(java_major("openjdk version \"17.0.15\" 2025-04-15\nOpenJDK Runtime"), Some(17));
        assert_eq!(java_major("java version \"1.8.0_411\""), Some(8));
        assert_eq!(java_major("openjdk version \"25\" 2025-09-16"), Some(25));
        assert_eq!(java_major("command not found"), None);
    }
}
