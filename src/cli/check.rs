//! `check`: is the policy sound, and what does it come to?

use clap::{Args, ValueEnum};

use super::args::Global;
use super::failure::Failure;
use super::{documents, out};
use crate::host::policy_file;
use crate::model::exit;
use crate::model::policy::{Origin, Policy, Setting};
use crate::model::record::SCHEMA;
use crate::model::text::{count, neutral};

/// Validate the policy
#[derive(Debug, Args)]
pub struct Check {
    /// Print the resolved policy: every value, with where it came from
    #[arg(long)]
    show: bool,
    /// How to print it
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

impl Check {
    pub fn wants_json(&self) -> bool {
        self.format == Format::Json
    }

    pub fn run(&self, global: &Global) -> Result<u8, Failure> {
        let policy = policy_file::load(global.policy.as_deref())?;
        if global.json || self.wants_json() {
            out::json(&document(&policy));
        } else if self.show {
            out::line(&shown(&policy));
        } else if !global.quiet {
            out::line(&summary(&policy));
            if policy.peers.is_empty() && policy.publish.is_none() {
                out::note("It names no [[peer]] and no [publish]: there is nothing to sync yet.");
            }
        }
        Ok(exit::DONE)
    }
}

fn summary(policy: &Policy) -> String {
    let targets = policy.publish.as_ref().map_or(0, |p| p.targets.len());
    let logs = policy.peers.iter().map(|p| p.logs.len()).sum();
    format!(
        "{}: sound; site {}, {}, {}, {}",
        neutral(&policy.file.to_string_lossy()),
        policy.site.name,
        count(policy.peers.len(), "peer"),
        count(logs, "log"),
        count(targets, "target"),
    )
}

fn document(policy: &Policy) -> documents::Check<'_> {
    let settings = policy.settings.iter().map(|s| {
        let (from, line) = match s.origin {
            Origin::Line(n) => ("policy", Some(n)),
            Origin::Default => ("default", None),
        };
        documents::CheckSetting {
            key: &s.key,
            value: &s.value,
            from,
            line,
        }
    });
    documents::Check {
        schema: SCHEMA,
        command: "check",
        outcome: "in-sync",
        exit_code: exit::DONE,
        policy: policy.file.to_string_lossy(),
        digest: &policy.digest,
        rules: policy.truth.rules.digest(),
        faults: [],
        settings: settings.collect(),
    }
}

/// The resolved policy as TOML, one comment per value: it says the same when it is read again.
pub fn shown(policy: &Policy) -> String {
    let mut text = format!("# {}", neutral(&policy.file.to_string_lossy()));
    let mut table = "";
    for setting in &policy.settings {
        let (of, key) = setting.key.rsplit_once('.').unwrap_or(("", &setting.key));
        if of != table {
            table = of;
            text += &format!("\n\n{}", header(of));
        }
        text += &format!("\n{}", row(key, setting));
    }
    text
}

fn row(key: &str, setting: &Setting) -> String {
    let text = format!("{key} = {}", neutral(&setting.value));
    format!("{text:<50} # {}", setting.origin)
}

/// `peer[0].log` stands for one of `[[peer.log]]`.
fn header(table: &str) -> String {
    let is_array = table.ends_with(']');
    let mut name = String::new();
    let mut inside = false;
    for c in table.chars() {
        match c {
            '[' => inside = true,
            ']' => inside = false,
            c if !inside => name.push(c),
            _ => {}
        }
    }
    if is_array {
        format!("[[{name}]]")
    } else {
        format!("[{name}]")
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::model::policy::{self, Env};

    #[test]
    fn a_policy_that_is_shown_can_be_read_again() {
        let text = "[site]\nname = \"m\"\nroot = \"a\"\nstate_dir = \"s\"\n[[peer]]\nname = \"p\"\nroot = \"b\"\nbwlimit = \"1MiB\"\n\
                    [[peer.log]]\nremote = \"l\"\nlocal = \"l\"\n[[peer]]\nname = \"q\"\nroot = \"c\"\n";
        let read =
            |text: &str| policy::read(text.as_bytes(), Path::new("/p/p.toml"), &Env::default());
        let policy = read(text).unwrap();
        let again = read(&super::shown(&policy)).unwrap();
        let values = |p: &policy::Policy| -> Vec<(String, String)> {
            p.settings
                .iter()
                .map(|s| (s.key.clone(), s.value.clone()))
                .collect()
        };
        assert_eq!(values(&policy), values(&again));
    }

    #[test]
    fn headers_read_like_the_policy() {
        assert_eq!(super::header("guards"), "[guards]");
        assert_eq!(super::header("peer[0]"), "[[peer]]");
        assert_eq!(super::header("peer[0].log[12]"), "[[peer.log]]");
    }
}
