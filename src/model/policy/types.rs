//! The resolved policy: every key of the file with defaults filled in and paths made absolute.
//!
//! Invariant: a value of type [`Policy`] has passed validation; nothing downstream checks it again.

use std::path::PathBuf;
use std::time::Duration;

use super::settings::Setting;
use crate::model::rules::Rules;

/// A whole policy, ready to use.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The file it came from, absolute.
    pub file: PathBuf,
    /// sha256 of the file's text, lower-case hex.
    pub digest: String,
    pub site: Site,
    pub truth: Truth,
    pub guards: Guards,
    pub peers: Vec<Peer>,
    pub writer: Option<Writer>,
    pub schedule: Schedule,
    pub snapshots: Snapshots,
    pub service: Service,
    pub audit: Audit,
    pub notify: Notify,
    pub metrics_textfile: Option<PathBuf>,
    pub publish: Option<Publish>,
    /// Every resolved value with where it came from, in the order of the sections.
    pub settings: Vec<Setting>,
}

#[derive(Debug, Clone)]
pub struct Site {
    pub name: String,
    pub root: PathBuf,
    pub state_dir: PathBuf,
}

#[derive(Debug, Clone)]
pub struct Truth {
    /// Which paths are truth: include, state, exclude, and what is never truth (logs, audit, state dir, policy).
    pub rules: Rules,
    pub conflicts: Strategy,
    pub permissions: bool,
    pub full_scan_every: Duration,
}

/// How a path that both sides changed is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    Newer,
    Manual,
    Local,
    Peer,
}

#[derive(Debug, Clone)]
pub struct Guards {
    pub max_delete: DeleteLimit,
    pub max_delete_floor: u64,
    pub max_clock_skew: Duration,
    pub min_free_space: u64,
    /// File name of the marker in every root.
    pub marker: String,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum DeleteLimit {
    Count(u64),
    /// 0.0 ..= 100.0
    Percent(f64),
}

#[derive(Debug, Clone)]
pub struct Peer {
    pub name: String,
    /// `None`: `root` is a directory on this machine.
    pub remote: Option<Remote>,
    /// Absolute. Over ssh it may also be relative to the peer's home (`~/…` has become relative).
    pub root: String,
    /// As `root`; of a local peer always absolute.
    pub state_dir: String,
    pub keep_connection: Duration,
    /// How long a transfer of a log may stand still before it is ended and tried again.
    pub stall: Duration,
    /// Bytes per second, 0 = none.
    pub bwlimit: u64,
    pub compress: Compress,
    pub unison: String,
    pub rsync: String,
    pub truth: bool,
    pub logs: Vec<LogPull>,
}

/// How a host is reached over ssh; every field has passed the strict grammar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    pub host: String,
    pub user: Option<String>,
    pub port: Option<u16>,
    pub identity: Option<PathBuf>,
    pub ssh_config: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compress {
    Auto,
    Off,
}

#[derive(Debug, Clone)]
pub struct LogPull {
    /// As written: relative to the peer's root or absolute; may hold globs.
    pub remote: String,
    /// Absolute local file, or directory when `remote` is a glob.
    pub local: PathBuf,
    pub is_glob: bool,
}

#[derive(Debug, Clone)]
pub struct Writer {
    pub local: bool,
    pub peer: bool,
    pub pause_file: String,
    pub ack_file: String,
    pub ack_timeout: Duration,
    pub max_pause: Duration,
    pub proceed_on_timeout: bool,
}

#[derive(Debug, Clone)]
pub struct Schedule {
    pub interval: Duration,
    pub jitter: Duration,
    pub min_interval: Duration,
    pub threshold: u64,
    pub max_failures: u64,
    pub on_start: bool,
    pub on_exit: bool,
    pub debounce: Duration,
}

#[derive(Debug, Clone)]
pub struct Snapshots {
    pub keep: u64,
    pub keep_losers: Duration,
}

#[derive(Debug, Clone)]
pub struct Service {
    pub memory_max: String,
    pub cpu_quota: String,
    pub wants: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct Audit {
    pub dir: PathBuf,
    pub keep: Duration,
}

#[derive(Debug, Clone)]
pub struct Notify {
    pub webhook_url_env: Option<String>,
    pub webhook_url_file: Option<PathBuf>,
    pub on: Vec<Event>,
    pub ping_url_env: Option<String>,
    pub command: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    Failure,
    Conflict,
    Recovery,
    Success,
}

#[derive(Debug, Clone)]
pub struct Publish {
    pub source: PathBuf,
    pub remote: String,
    pub url: String,
    pub branch: String,
    pub exclude: Rules,
    pub scan: Scan,
    pub scan_config: Option<PathBuf>,
    /// How long the search for secrets may take.
    pub scan_timeout: Duration,
    pub allow: Vec<String>,
    pub parallel: u64,
    pub layout: Layout,
    pub keep_releases: u64,
    pub targets: Vec<Target>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scan {
    Gitleaks,
    Builtin,
    Off,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    InPlace,
    Releases,
}

#[derive(Debug, Clone)]
pub struct Target {
    pub name: String,
    pub remote: Option<Remote>,
    pub path: String,
}
