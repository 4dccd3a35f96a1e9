//! The policy as a whole, read from text: the shortest one that is valid, to which each file below adds.

mod defaults;
mod faults;
mod hostile;
mod never_truth;

use std::path::Path;

use super::*;

fn env() -> Env {
    Env {
        home: Some("/home/u".into()),
        hostname: "mac.example".into(),
        state_home: None,
    }
}

fn parse(text: &str) -> Result<Policy, Vec<Fault>> {
    read(text.as_bytes(), Path::new("/etc/ubos/policy.toml"), &env())
}

const SITE: &str = "schema = 1\n[site]\nroot = \"~/ubos\"\n";

fn with(rest: &str) -> Result<Policy, Vec<Fault>> {
    parse(&format!("{SITE}{rest}"))
}
