//! Processes that can be killed: the test binary runs itself again and plays a part.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::site::Site;
use crate::{exactly_once, sharing};

const PART: &str = "UNCHAIN_CONFORMANCE_PART";
const BOOTSTRAP: &str = "UNCHAIN_CONFORMANCE_BOOTSTRAP";
const ARGUMENT: &str = "UNCHAIN_CONFORMANCE_ARGUMENT_";
/// A child whose parent died unseen ends by itself.
const LIFETIME: Duration = Duration::from_secs(90);

pub type Arguments = BTreeMap<String, String>;

/// A running child; dropping it kills it with SIGKILL, so that its client says no goodbye.
pub struct Child(std::process::Child);

impl Child {
    pub fn start(site: &Site, part: &str, arguments: &[(&str, &str)]) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["child::plays_its_part", "--exact", "--ignored", "--nocapture"]);
        command.env(PART, part).env(BOOTSTRAP, &site.bootstrap);
        command.envs(arguments.iter().map(|(name, value)| (format!("{ARGUMENT}{name}"), value)));
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "a part that checks start in a process of their own"]
fn plays_its_part() {
    let Ok(part) = std::env::var(PART) else { return };
    let site = Site { bootstrap: std::env::var(BOOTSTRAP).unwrap() };
    let arguments: Arguments =
        std::env::vars().filter_map(|(name, value)| Some((name.strip_prefix(ARGUMENT)?.to_owned(), value))).collect();
    let deadline = Instant::now() + LIFETIME;
    match part.as_str() {
        "member" => sharing::be_a_member(&site, &arguments, deadline),
        "pipeline" => exactly_once::be_a_pipeline(&site, &arguments, deadline),
        unknown => panic!("no part is called {unknown}"),
    }
}
