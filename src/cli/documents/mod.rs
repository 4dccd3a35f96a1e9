//! What `--json` prints beside the record of a run: one type for each document. From these types comes `schema/`.
//!
//! Invariants: names and words here are the contract with scripts: additions are free, changes are not. What has no value is
//! null, unless the field says that it may be absent.
//!
//! `UPDATE_SCHEMAS=1 cargo test --lib schema` writes the schemas anew.

mod services;
mod standing;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use serde::Serialize;

pub use self::services::{
    ServiceCommands, ServiceFile, ServicePrint, ServiceStatus, ServiceUninstall,
};
pub use self::standing::{
    Doctor, DoctorCheck, DoctorMended, Health, HealthLane, LastRun, Status, StatusLane, StatusPeer,
};
use crate::audit::catalog::Summary;
use crate::model::conflict::Conflict;
use crate::model::policy::Fault;

/// A command that ends without having done what was asked: a faulty policy, bad usage, a refusal, a peer that is away
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Failed<'a> {
    pub schema: u32,
    pub command: &'a str,
    #[cfg_attr(test, schemars(extend("const" = "failed")))]
    pub outcome: &'static str,
    #[cfg_attr(test, schemars(range(min = 1)))]
    pub exit_code: u8,
    /// In words, with the way out
    pub error: &'a str,
    /// Everything that is wrong with the policy, when that is what is wrong
    pub faults: &'a [PolicyFault],
    /// The run whose name is the nearest to one that is not there
    pub nearest: Option<&'a str>,
}

#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PolicyFault {
    pub file: String,
    #[serde(flatten)]
    pub fault: Fault,
}

/// A sound policy (`check`); one that is not is an error
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Check<'a> {
    pub schema: u32,
    #[cfg_attr(test, schemars(extend("const" = "check")))]
    pub command: &'static str,
    #[cfg_attr(test, schemars(extend("const" = "in-sync")))]
    pub outcome: &'static str,
    pub exit_code: u8,
    pub policy: Cow<'a, str>,
    pub digest: &'a str,
    /// The digest of what decides which paths cross
    pub rules: String,
    pub faults: [PolicyFault; 0],
    /// Every value, with where it came from
    pub settings: Vec<CheckSetting<'a>>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CheckSetting<'a> {
    pub key: &'a str,
    /// As it could stand in a policy
    pub value: &'a str,
    #[cfg_attr(test, schemars(extend("enum" = ["policy", "default"])))]
    pub from: &'static str,
    /// Of the policy; absent of a default
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
}

/// `conflicts list`; of `conflicts keep` it is the record of the run
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Conflicts<'a> {
    pub schema: u32,
    #[cfg_attr(test, schemars(extend("const" = "conflicts")))]
    pub command: &'static str,
    /// The open ones first, then the newest first
    pub conflicts: &'a [Conflict],
    pub exit_code: u8,
}

/// `conflicts show`
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ConflictShown<'a> {
    pub schema: u32,
    #[cfg_attr(test, schemars(extend("const" = "conflicts")))]
    pub command: &'static str,
    pub conflict: &'a Conflict,
    /// The content on this side; null: it was deleted there, or is no longer kept
    pub local: Option<String>,
    pub peer: Option<String>,
    pub exit_code: u8,
}

/// `runs list`, the newest first; of `runs show` it is the record itself
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Runs {
    pub schema: u32,
    pub runs: Vec<Summary>,
}

/// `runs verify`
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RunsVerified<'a> {
    pub schema: u32,
    pub exit_code: u8,
    /// No record was altered, removed, added or reordered
    pub whole: bool,
    /// Closed records that are there
    pub records: u64,
    /// Older ones that retention removed
    pub before: u64,
    /// Runs that are not closed: under way, or dead
    pub open: usize,
    /// The digest of the last record: kept elsewhere, it proves this state later
    pub head: &'a str,
    pub faults: Vec<String>,
}

/// `snapshots list`
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Snapshots<'a> {
    pub schema: u32,
    #[cfg_attr(test, schemars(extend("const" = "snapshots")))]
    pub command: &'static str,
    pub snapshots: Vec<Snapshot<'a>>,
    /// Hosts that could not be asked, and why
    pub unreachable: &'a [String],
    pub exit_code: u8,
}

/// `snapshots prune`
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SnapshotsPruned<'a> {
    pub schema: u32,
    #[cfg_attr(test, schemars(extend("const" = "snapshots")))]
    pub command: &'static str,
    /// What went, or would go
    pub dropped: Vec<Snapshot<'a>>,
    pub bytes: u64,
    /// False: it was only shown
    pub applied: bool,
    /// Hosts that could not be asked, and why
    pub unreachable: &'a [String],
    pub exit_code: u8,
}

/// What a run has put aside on one host.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Snapshot<'a> {
    pub run: &'a str,
    pub peer: &'a str,
    pub host: &'a str,
    pub kib: u64,
    /// Holds losing versions of conflicts
    pub losers: bool,
    pub unfinished: bool,
    pub age_seconds: Option<u64>,
}

/// `librarian`
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Librarian<'a> {
    pub schema: u32,
    #[cfg_attr(test, schemars(extend("const" = "librarian")))]
    pub command: &'static str,
    pub tests: Vec<LibrarianTest<'a>>,
    pub exit_code: u8,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum LibrarianTest<'a> {
    /// Without --apply
    Told {
        name: &'static str,
        would: &'static str,
    },
    Done {
        name: &'static str,
        peer: &'a str,
        #[cfg_attr(test, schemars(extend("enum" = ["pass", "fail"])))]
        result: &'static str,
        evidence: &'a str,
    },
}

/// `explain`
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Explain<'a> {
    pub schema: u32,
    #[cfg_attr(test, schemars(extend("const" = "explain")))]
    pub command: &'static str,
    #[cfg_attr(test, schemars(extend("const" = "in-sync")))]
    pub outcome: &'static str,
    pub exit_code: u8,
    pub path: String,
    #[cfg_attr(test, schemars(extend("enum" = ["directory", "file"])))]
    pub kind: &'static str,
    /// `truth`, `log`, or null where neither carries it
    pub lane: Option<&'static str>,
    #[cfg_attr(test, schemars(extend("enum" = ["truth", "state", "never", "excluded", "not-included"])))]
    pub verdict: &'static str,
    /// The pattern that decides
    pub rule: Option<&'a str>,
    pub logs: Vec<ExplainLog<'a>>,
    /// What the newest run that names it did with it
    pub last: Option<ExplainLast<'a>>,
    /// The verdict on the published tree; null where it does not lie in it
    pub publish: Option<&'static str>,
    /// Its exact bytes, when they are not UTF-8; else absent
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_hex: Option<String>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ExplainLog<'a> {
    pub peer: &'a str,
    pub remote: &'a str,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ExplainLast<'a> {
    pub run: &'a str,
    pub started: &'a str,
    pub peer: &'a str,
    pub what: &'a str,
}

/// `profile`
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Profiles<'a> {
    pub schema: u32,
    #[cfg_attr(test, schemars(extend("const" = "profile")))]
    pub command: &'static str,
    #[cfg_attr(test, schemars(extend("enum" = ["in-sync", "failed"])))]
    pub outcome: &'static str,
    pub exit_code: u8,
    pub profiles: Vec<Profile<'a>>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Profile<'a> {
    pub peer: &'a str,
    #[cfg_attr(test, schemars(extend("enum" = ["rendered", "written", "current", "stale", "missing"])))]
    pub state: &'static str,
    pub content: Cow<'a, str>,
}

/// `init`
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Init<'a> {
    pub schema: u32,
    #[cfg_attr(test, schemars(extend("const" = "init")))]
    pub command: &'static str,
    #[cfg_attr(test, schemars(extend("const" = "applied")))]
    pub outcome: &'static str,
    pub exit_code: u8,
    pub written: Vec<Cow<'a, str>>,
}

/// `hold` and `release`
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Hold<'a> {
    pub schema: u32,
    #[cfg_attr(test, schemars(extend("enum" = ["hold", "release", "abandon"])))]
    pub command: &'a str,
    pub peer: &'a str,
    #[cfg_attr(test, schemars(extend("enum" = ["held", "released"])))]
    pub outcome: &'static str,
    /// Why it was held before
    pub was: Option<String>,
    /// Else only this host's half was done
    pub peer_reached: bool,
    pub exit_code: u8,
}

/// `stop`
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Stop<'a> {
    pub schema: u32,
    #[cfg_attr(test, schemars(extend("const" = "stop")))]
    pub command: &'static str,
    /// Processes
    pub asked: &'a [u32],
    pub killed: &'a [u32],
    pub ended: bool,
    pub exit_code: u8,
}

/// `report --out`
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Report<'a> {
    pub schema: u32,
    #[cfg_attr(test, schemars(extend("const" = "report")))]
    pub command: &'static str,
    #[cfg_attr(test, schemars(extend("const" = "applied")))]
    pub outcome: &'static str,
    pub exit_code: u8,
    pub file: Cow<'a, str>,
    pub bytes: usize,
    /// How many it tells of
    pub runs: usize,
}
