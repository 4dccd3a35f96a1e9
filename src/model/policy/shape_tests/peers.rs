//! Who is synced with, and which logs are pulled.

use schemars::JsonSchema;
use serde::Serialize;

use super::words::{Host, Name, Program, Size, Span, Text, User};

/// Another replica
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "only its shape counts")]
pub(super) struct Peer {
    /// Its site name
    name: Name,
    /// How ssh reaches it; absent: root is a directory on this machine
    host: Option<Host>,
    user: Option<User>,
    #[schemars(range(min = 1, max = 65535))]
    port: Option<u16>,
    /// The file of the key
    identity: Option<Text>,
    /// Handed to ssh -F
    ssh_config: Option<Text>,
    /// The replica over there
    root: Text,
    /// Over there; of a local peer below the site's own
    state_dir: Option<Text>,
    /// How long the shared ssh connection may outlive a run
    #[schemars(default = "keep_connection")]
    keep_connection: Span,
    /// How long a log's transfer may stand still before it is ended and tried again
    #[schemars(default = "stall")]
    stall: Span,
    /// Bytes per second for rsync; 0: no limit
    #[schemars(default = "bwlimit")]
    bwlimit: Size,
    /// auto: rsync compresses when both ends can and the line answers slowly
    #[schemars(default = "compress")]
    compress: Compress,
    /// The program over there
    #[schemars(default = "unison")]
    unison: Program,
    /// The program over there
    #[schemars(default = "rsync")]
    rsync: Program,
    /// Takes part in truth
    #[schemars(default = "yes")]
    truth: bool,
    /// An append-only file that is pulled; any number of them
    #[schemars(default)]
    log: Vec<Log>,
}

fn keep_connection() -> Span {
    "0s".into()
}

fn stall() -> Span {
    "2m".into()
}

fn bwlimit() -> Size {
    "0".into()
}

fn compress() -> Compress {
    Compress::Auto
}

fn unison() -> Program {
    "unison".into()
}

fn rsync() -> Program {
    "rsync".into()
}

fn yes() -> bool {
    true
}

#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
#[allow(dead_code, reason = "only its shape counts")]
enum Compress {
    Auto,
    Off,
}

/// An append-only file that is pulled
#[derive(JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
struct Log {
    /// Relative to the peer's root, or absolute; may be a glob, then local is a directory
    remote: Text,
    /// Relative to the local root, or absolute
    local: Text,
}
