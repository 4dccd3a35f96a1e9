//! Where each resolved value came from, and where each key belongs.

use std::fmt;

/// One resolved value of the policy, in the order the sections are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// `guards.max_delete`, `peer[0].root`
    pub key: String,
    /// As it could stand in a policy.
    pub value: String,
    pub origin: Origin,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The policy's line.
    Line(usize),
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Line(n) => write!(f, "line {n}"),
            Origin::Default => f.write_str("default"),
        }
    }
}

/// The table that a key belongs to, for keys that live in exactly one: helps who forgot a header.
pub fn home_of(key: &str) -> Option<&'static str> {
    const HOMES: [(&str, &[&str]); 10] = [
        (
            "[truth]",
            &[
                "include",
                "state",
                "conflicts",
                "permissions",
                "full_scan_every",
            ],
        ),
        (
            "[guards]",
            &[
                "max_delete",
                "max_delete_floor",
                "max_clock_skew",
                "min_free_space",
                "marker",
            ],
        ),
        (
            "[[peer]]",
            &[
                "host",
                "user",
                "port",
                "identity",
                "ssh_config",
                "bwlimit",
                "keep_connection",
                "stall",
            ],
        ),
        (
            "[writer]",
            &[
                "sides",
                "pause_file",
                "ack_file",
                "ack_timeout",
                "max_pause",
                "on_timeout",
            ],
        ),
        (
            "[schedule]",
            &[
                "interval",
                "jitter",
                "min_interval",
                "threshold",
                "max_failures",
                "debounce",
            ],
        ),
        ("[snapshots]", &["keep_losers"]),
        ("[service]", &["memory_max", "cpu_quota", "wants"]),
        (
            "[notify]",
            &[
                "webhook_url_env",
                "webhook_url_file",
                "ping_url_env",
                "command",
            ],
        ),
        ("[metrics]", &["textfile"]),
        (
            "[publish]",
            &[
                "source",
                "branch",
                "scan",
                "scan_timeout",
                "layout",
                "parallel",
                "keep_releases",
            ],
        ),
    ];
    HOMES
        .iter()
        .find(|(_, keys)| keys.contains(&key))
        .map(|(table, _)| *table)
}

/// A string as TOML writes it.
pub fn quoted<T: AsRef<str> + ?Sized>(text: &T) -> String {
    toml::Value::String(text.as_ref().to_owned()).to_string()
}
