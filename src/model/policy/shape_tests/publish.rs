//! What is fanned out, and to which targets.

use schemars::JsonSchema;
use serde::Serialize;

use super::words::{Any, Host, Name, Span, Text, User};

/// The fan-out of a commit to targets without git
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "only its shape counts")]
pub(super) struct Publish {
    /// A git checkout, relative to the root; cloned from url when absent; without it, the root
    source: Option<Text>,
    /// What is fetched; empty: local commits only
    #[schemars(default = "remote")]
    remote: Any,
    #[schemars(default = "empty")]
    url: Any,
    #[schemars(default = "branch")]
    branch: Text,
    /// Globs of what is never published, and left alone on targets
    #[schemars(default = "published_not")]
    exclude: Vec<Text>,
    /// The search for secrets
    #[schemars(default = "scan")]
    scan: Scan,
    /// A file of rules
    scan_config: Option<Text>,
    /// How long the search may take; one that takes longer blocks every target
    #[schemars(default = "scan_timeout")]
    scan_timeout: Span,
    /// Fingerprints of findings that were looked at
    #[schemars(default)]
    allow: Vec<Text>,
    /// Targets at the same time
    #[schemars(default = "parallel", range(min = 1, max = 256))]
    parallel: u64,
    /// releases: dated trees and a current link that is flipped at the end
    #[schemars(default = "layout")]
    layout: Layout,
    #[schemars(default = "keep_releases", range(min = 1, max = 10_000))]
    keep_releases: u64,
    #[schemars(default)]
    target: Vec<Target>,
}

fn remote() -> Any {
    "origin".into()
}

fn empty() -> Any {
    "".into()
}

fn branch() -> Text {
    "main".into()
}

fn published_not() -> Vec<Text> {
    [".git/", "__pycache__/", ".vscode/"].map(Text::from).into()
}

fn scan() -> Scan {
    Scan::Gitleaks
}

fn scan_timeout() -> Span {
    "15m".into()
}

fn parallel() -> u64 {
    8
}

fn layout() -> Layout {
    Layout::InPlace
}

fn keep_releases() -> u64 {
    3
}

#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
#[allow(dead_code, reason = "only its shape counts")]
enum Scan {
    Gitleaks,
    Builtin,
    Off,
}

#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
#[allow(dead_code, reason = "only its shape counts")]
enum Layout {
    InPlace,
    Releases,
}

/// Where a commit is published
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "only its shape counts")]
struct Target {
    name: Name,
    /// How ssh reaches it; absent: path is a directory on this machine
    host: Option<Host>,
    user: Option<User>,
    #[schemars(range(min = 1, max = 65535))]
    port: Option<u16>,
    /// The file of the key
    identity: Option<Text>,
    /// Handed to ssh -F
    ssh_config: Option<Text>,
    /// Taken literally but for a leading ~/
    path: Text,
}
