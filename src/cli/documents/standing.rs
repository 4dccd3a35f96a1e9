//! The documents of `status`, `doctor` and `health`: how everything stands.

use serde::Serialize;

use crate::cli::worker_state::Worker;
use crate::lanes::installed::Standing as Unit;
use crate::model::overview::Standing;
use crate::model::record::{Action, Mode, Outcome};
use crate::model::streak::Streak;

/// `status`
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Status<'a> {
    pub schema: u32,
    #[cfg_attr(test, schemars(extend("const" = "status")))]
    pub command: &'static str,
    pub site: &'a str,
    pub peers: Vec<StatusPeer<'a>>,
    /// Who holds the lock, when that kept `status` from looking
    pub lock: Option<String>,
    /// Always null: a pause lasts only while a run does
    pub pause: (),
    pub worker: Option<&'a Worker>,
    /// The newest applied run
    pub last_run: Option<LastRun<'a>>,
    /// RFC 3339, like every time here
    pub next_run: Option<String>,
    /// Null where neither a worker nor a timer is there to be late
    pub overdue: Option<bool>,
    /// No peer was asked
    pub offline: bool,
    /// How each lane stands, as the records tell it
    pub lanes: Vec<Standing>,
    pub now: String,
    pub streak: Streak,
    /// The units that are installed on this host
    pub service: Vec<Unit>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct StatusPeer<'a> {
    pub name: &'a str,
    /// Null where it was not asked
    pub reachable: Option<bool>,
    pub lanes: Vec<StatusLane<'a>>,
    /// Changes that a run would make
    pub pending: usize,
    /// Conflicts that a run would leave for a person
    pub conflicts: usize,
    /// Why no run may be applied with it
    pub held: Option<String>,
    /// When the pair last passed the acceptance tests
    pub librarian: Option<String>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "lane", rename_all = "lowercase")]
pub enum StatusLane<'a> {
    Truth {
        outcome: Outcome,
        pending: usize,
        conflicts: usize,
        to_peer: usize,
        to_local: usize,
        message: Option<&'a str>,
    },
    Log {
        log: &'a str,
        outcome: Outcome,
        action: Action,
        pending: usize,
        bytes: u64,
        have: u64,
        message: Option<&'a str>,
    },
    Publish {
        target: &'a str,
        outcome: Outcome,
        commit: Option<&'a str>,
        message: Option<&'a str>,
    },
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LastRun<'a> {
    pub run: &'a str,
    pub command: &'a str,
    pub mode: Mode,
    pub outcome: Outcome,
    pub started: &'a str,
    pub age_seconds: Option<i64>,
}

/// `doctor`
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Doctor<'a> {
    pub schema: u32,
    #[cfg_attr(test, schemars(extend("const" = "doctor")))]
    pub command: &'static str,
    pub at: String,
    pub checks: Vec<DoctorCheck<'a>>,
    pub exit_code: u8,
    pub mode: Mode,
    /// What was, or would be, mended; absent without --fix
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mended: Option<Vec<DoctorMended<'a>>>,
    /// The record of the mending; absent when nothing was to be carried out
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DoctorCheck<'a> {
    #[cfg_attr(test, schemars(extend("enum" = ["bad", "look", "ok"])))]
    pub result: &'static str,
    pub host: &'a str,
    pub check: &'static str,
    pub found: &'a str,
    /// What to type; empty for what is well
    pub fix: &'a str,
    /// `doctor --fix` would do it
    pub can_mend: bool,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DoctorMended<'a> {
    pub host: &'a str,
    pub check: &'static str,
    pub does: String,
    pub path: &'a str,
    #[cfg_attr(test, schemars(extend("enum" = ["done", "planned", "failed", "skipped"])))]
    pub result: &'static str,
    /// Why it is not, or could not be, done
    pub why: Option<&'a str>,
}

/// `health`
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Health<'a> {
    pub schema: u32,
    #[cfg_attr(test, schemars(extend("const" = "health")))]
    pub command: &'static str,
    pub healthy: bool,
    pub exit_code: u8,
    pub max_age_seconds: u64,
    pub lanes: Vec<HealthLane<'a>>,
    pub worker: Option<&'a Worker>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct HealthLane<'a> {
    pub peer: &'a str,
    #[cfg_attr(test, schemars(extend("enum" = ["truth", "logs"])))]
    pub lane: &'static str,
    pub healthy: bool,
    pub last_success: Option<String>,
}
