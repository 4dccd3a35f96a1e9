//! What an agent says of its host, parsed. Pure.
//!
//! Invariant: nothing of it is believed that could not be read; what is missing counts as not there, or as unknown.

use crate::tool::{facts, remote};

/// What the agent said, parsed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    pub state: String,
    pub root: Option<String>,
    pub root_problem: Option<String>,
    pub root_identity: String,
    pub root_usable: bool,
    pub marker: bool,
    pub free_bytes: Option<u64>,
    /// Where our own files lie, when that is another disk.
    pub state_free: Option<u64>,
    pub unison: String,
    pub missing: Vec<String>,
    pub style: String,
    pub generations: Vec<Held>,
    pub pending: Vec<String>,
    pub synced: bool,
    pub held: Option<String>,
    /// The run that a rollback was taking back when it broke off.
    pub undoing: Option<String>,
    /// Includes that are reached through a link.
    pub through: Vec<String>,
    /// Its clock when it spoke, and ours when the connection began and when the answer was there.
    pub clock: Option<i128>,
    pub swept_at: i128,
    pub cleared: Option<String>,
    /// The engine, as it is called there.
    pub program: String,
    /// Only told to who looks: the dead run whose lock lies there, and what stands in a lock's place without being one.
    pub dead_lock: Option<String>,
    pub odd_lock: Option<String>,
}

/// A generation that a host holds; the newest sorts last.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Held {
    pub serial: u64,
    pub name: String,
    /// Of its manifest, with what was said since.
    pub digest: String,
    /// The one it was made from, `-` for none. Of those of an earlier version it is not told.
    pub from: Option<String>,
}

/// `NAME DIGEST SERIAL FROM`, as a generation says it of itself behind its name.
pub fn held(line: &str) -> Option<Held> {
    let mut words = line.split_whitespace();
    let name = words.next()?;
    Some(Held {
        name: name.to_owned(),
        digest: words.next()?.to_owned(),
        serial: words.next().and_then(|n| n.parse().ok()).unwrap_or(0),
        // Of a dead run whose generation had been published already, that was recorded as made from itself: it does not tell.
        from: words.next().filter(|from| *from != name).map(str::to_owned),
    })
}

pub fn parse_said(body: &[u8]) -> Said {
    let get = |key| remote::value(body, key).map(str::to_owned);
    let kib = |key| remote::value(body, key).and_then(|v| v.parse::<u64>().ok());
    let mut missing = Vec::new();
    if remote::value(body, "sha") == Some("none") {
        missing.push("sha256sum or shasum".to_owned());
    }
    if remote::value(body, "stat") == Some("none") {
        missing.push("a find or stat that tells nanoseconds".to_owned());
    }
    Said {
        state: get("state").unwrap_or_default(),
        root: get("root"),
        root_problem: get("rootbad"),
        root_identity: get("rootid").unwrap_or_default(),
        root_usable: remote::value(body, "rootrwx").is_some(),
        marker: remote::value(body, "marker").is_some(),
        free_bytes: kib("space").map(|k| k.saturating_mul(1024)),
        state_free: kib("statespace").map(|k| k.saturating_mul(1024)),
        unison: get("unison").unwrap_or_default(),
        missing,
        style: get("stat").unwrap_or_default(),
        generations: remote::values(body, "gen").filter_map(held).collect(),
        pending: remote::values(body, "pending").map(str::to_owned).collect(),
        synced: remote::value(body, "synced").is_some(),
        held: get("heldby"),
        undoing: get("undoing"),
        through: remote::values(body, "through").map(str::to_owned).collect(),
        clock: remote::value(body, "clock").and_then(|v| facts::seconds(v.as_bytes())),
        swept_at: remote::value(body, "swept")
            .and_then(|v| facts::seconds(v.as_bytes()))
            .unwrap_or(0),
        cleared: get("cleared"),
        program: String::new(),
        dead_lock: get("lockdead"),
        odd_lock: get("lockodd"),
    }
}
