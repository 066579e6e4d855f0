//! docker-compose.kafka.yml and deploy/: they parse, and run every processor that there is.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::fs;
use std::path::{Path, PathBuf};

use serde_yaml_ng::Value;
use unchain_processors::{Config, processors};

const MERGE_LEVELS: usize = 3;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The file, with its merges (`<<`) carried out as Compose does.
fn compose() -> Value {
    let text = fs::read_to_string(root().join("docker-compose.kafka.yml")).unwrap();
    let mut file: Value = serde_yaml_ng::from_str(&text).unwrap();
    // One pass per level: what a merge brings in may itself have one.
    for _ in 0..MERGE_LEVELS {
        file.apply_merge().unwrap();
    }
    file
}

fn service(name: &str) -> Value {
    let service = compose()["services"][name].clone();
    assert!(service.is_mapping(), "docker-compose.kafka.yml has no service `{name}`: add it");
    service
}

fn words(value: &Value) -> Vec<&str> {
    value.as_sequence().map(|words| words.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
}

fn processor_names() -> Vec<String> {
    processors(&Config::default()).iter().map(|processor| processor.name().to_owned()).collect()
}

#[test]
fn every_processor_has_its_service() {
    for name in processor_names() {
        let service = service(&name);
        assert_eq!(words(&service["command"]), ["run", &name], "service {name}");
        assert_eq!(service["restart"], "unless-stopped", "service {name}");
        assert_eq!(service["environment"]["UNCHAIN_BOOTSTRAP_SERVERS"], "kafka:9092", "service {name}");
        assert_eq!(service["depends_on"]["topics"]["condition"], "service_completed_successfully", "service {name}");
        assert!(service["stop_grace_period"].is_string(), "service {name} is killed before it has drained");
    }
}

#[test]
fn no_service_runs_a_processor_that_is_gone() {
    let known = processor_names();
    for (name, service) in compose()["services"].as_mapping().unwrap() {
        if let ["run", run @ ..] = words(&service["command"]).as_slice() {
            for processor in run {
                assert!(
                    known.iter().any(|known| known == processor),
                    "service {name:?} runs `{processor}`, which is no processor"
                );
            }
        }
    }
}

#[test]
fn topics_are_applied_before_anything_runs() {
    let topics = service("topics");
    assert_eq!(words(&topics["command"]), ["topics", "apply"]);
    assert_eq!(topics["depends_on"]["kafka"]["condition"], "service_healthy");
    assert!(service("kafka")["healthcheck"]["test"].is_sequence());
}

#[test]
fn kafka_is_published_on_loopback_alone() {
    let kafka = service("kafka");
    let ports = words(&kafka["ports"]);
    assert!(!ports.is_empty() && ports.iter().all(|port| port.starts_with("127.0.0.1:")), "{ports:?}");
}

#[test]
fn what_the_services_wait_for_and_mount_exists() {
    let file = compose();
    let services = file["services"].as_mapping().unwrap();
    for (name, service) in services {
        for (needed, _) in service["depends_on"].as_mapping().into_iter().flatten() {
            assert!(services.contains_key(needed), "{name:?} waits for {needed:?}, which is no service");
        }
        for volume in words(&service["volumes"]) {
            let source = volume.split(':').next().unwrap();
            assert!(file["volumes"].get(source).is_some(), "{name:?} mounts {source}, which is no volume");
        }
    }
}

#[test]
fn the_image_is_built_from_files_that_exist_and_runs_as_nobody_special() {
    let dockerfile = service("topics")["build"]["dockerfile"].as_str().unwrap().to_owned();
    let dockerfile = fs::read_to_string(root().join(dockerfile)).unwrap();
    for line in dockerfile.lines().filter(|line| line.starts_with("COPY")) {
        let paths: Vec<&str> = line.split_whitespace().skip(1).filter(|word| !word.starts_with("--")).collect();
        let source = paths[0].strip_prefix("/src/").unwrap_or(paths[0]);
        assert!(
            source.starts_with("target/") || root().join(source).exists(),
            "deploy/Dockerfile copies {source}, which does not exist"
        );
    }
    assert!(dockerfile.lines().any(|line| line.starts_with("USER ") && !line.contains("root") && !line.contains(" 0")));
}
