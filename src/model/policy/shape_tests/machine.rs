//! The sections about this machine and how it runs.

use schemars::JsonSchema;
use serde::Serialize;

use super::words::{Any, EnvName, Limit, Memory, Name, Quota, Size, Span, Text, Unit};

/// This host
#[derive(JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Site {
    /// Its name in the federation; without it, the host's name
    name: Option<Name>,
    /// The local replica; ~ is your home, a relative path starts at this file's directory
    root: Text,
    /// Where locks, archives and snapshots lie; without it, $XDG_STATE_HOME/ubos-sync
    state_dir: Option<Text>,
}

/// When to refuse
#[derive(JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Guards {
    /// Most deletes of one run: "20%" of the smaller replica's files, or a count; renames are no deletes
    max_delete: Limit,
    /// So many deletes never trip the percentage
    max_delete_floor: u64,
    /// Beyond it, times decide nothing
    max_clock_skew: Span,
    /// Left on the receiving side after the plan
    min_free_space: Size,
    /// The file that must lie in every root
    marker: Text,
}

impl Default for Guards {
    fn default() -> Self {
        Self {
            max_delete: "20%".into(),
            max_delete_floor: 20,
            max_clock_skew: "2s".into(),
            min_free_space: "256MiB".into(),
            marker: ".ubos-root".into(),
        }
    }
}

/// A process that has to hold still while truth is carried over
#[derive(JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Writer {
    /// Where such a process runs
    sides: Vec<Side>,
    /// Relative to each root
    pause_file: Text,
    /// Relative to each root
    ack_file: Text,
    /// How long its answer may take
    ack_timeout: Span,
    /// How long it may be held; at most 5 minutes
    max_pause: Span,
    /// What to do when it does not answer
    on_timeout: OnTimeout,
}

#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
enum Side {
    Local,
    Peer,
}

#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
#[allow(dead_code, reason = "only its shape counts")]
enum OnTimeout {
    Skip,
    Proceed,
}

impl Default for Writer {
    fn default() -> Self {
        Self {
            sides: vec![Side::Local, Side::Peer],
            pause_file: ".ubos/sync-pause".into(),
            ack_file: ".ubos/sync-pause.ack".into(),
            ack_timeout: "30s".into(),
            max_pause: "5m".into(),
            on_timeout: OnTimeout::Skip,
        }
    }
}

/// When the worker and the timer sync
#[derive(JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Schedule {
    interval: Span,
    /// Wait up to so long, so that not every host begins at the same moment
    jitter: Span,
    /// Between two runs, whatever changes
    min_interval: Span,
    /// Changed files that end the wait early
    threshold: u64,
    /// So many failures in a row, then the worker gives up
    #[schemars(range(min = 1, max = 1_000_000))]
    max_failures: u64,
    /// A cycle when the worker starts
    on_start: bool,
    /// A cycle when the worker ends
    on_exit: bool,
    /// How long files must have been quiet
    debounce: Span,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            interval: "5m".into(),
            jitter: "30s".into(),
            min_interval: "5m".into(),
            threshold: 50,
            max_failures: 5,
            on_start: true,
            on_exit: false,
            debounce: "300ms".into(),
        }
    }
}

/// What is kept for a way back
#[derive(JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Snapshots {
    /// Applied runs that can be rolled back
    #[schemars(range(min = 1, max = 100_000))]
    keep: u64,
    /// Losing versions of conflicts, whatever keep says
    keep_losers: Span,
}

impl Default for Snapshots {
    fn default() -> Self {
        Self {
            keep: 10,
            keep_losers: "90d".into(),
        }
    }
}

/// What goes into the units
#[derive(JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Service {
    memory_max: Memory,
    cpu_quota: Quota,
    /// Units that this one is a companion of
    wants: Vec<Unit>,
}

impl Default for Service {
    fn default() -> Self {
        Self {
            memory_max: "768M".into(),
            cpu_quota: "50%".into(),
            wants: vec![],
        }
    }
}

/// The records of runs
#[derive(JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Audit {
    /// Without it, logs beside the policy
    dir: Option<Text>,
    keep: Span,
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            dir: None,
            keep: "90d".into(),
        }
    }
}

/// Who is told
#[derive(JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Notify {
    /// The environment variable that holds the address, never the address
    webhook_url_env: Option<EnvName>,
    /// The file that holds the address
    webhook_url_file: Option<Text>,
    on: Vec<Event>,
    /// The environment variable that holds the address of a dead-man's switch
    ping_url_env: Option<EnvName>,
    /// A program and its arguments; the event comes as JSON on its standard input
    command: Vec<Any>,
}

#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
#[allow(dead_code, reason = "only its shape counts")]
enum Event {
    Failure,
    Conflict,
    Recovery,
    Success,
}

impl Default for Notify {
    fn default() -> Self {
        Self {
            webhook_url_env: None,
            webhook_url_file: None,
            on: vec![Event::Failure, Event::Conflict, Event::Recovery],
            ping_url_env: None,
            command: vec![],
        }
    }
}

/// For Prometheus
#[derive(JsonSchema, Serialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Metrics {
    /// Where node_exporter looks for it
    textfile: Option<Text>,
}
