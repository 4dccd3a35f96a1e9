//! What the record says of one log of one peer.
//!
//! Invariant: field names and words here are the contract with scripts; additions are free, changes are not.

use serde::{Deserialize, Serialize};

use super::record::Outcome;

/// What is, or was, to be done with a log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Action {
    #[default]
    None,
    /// New bytes go behind those that are held.
    Append,
    /// Nothing is held yet.
    First,
    /// Another generation began over there: the old one is archived here, the new one starts.
    Rotated,
    /// Nothing was touched, because what is there cannot be a continuation of what is held.
    Refused,
    /// A rollback puts it back to the bytes it had.
    Back,
}

impl Action {
    pub fn word(self) -> &'static str {
        match self {
            Action::None => "none",
            Action::Append => "append",
            Action::First => "first",
            Action::Rotated => "rotated",
            Action::Refused => "refused",
            Action::Back => "back",
        }
    }
}

/// One log of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LogLane {
    pub peer: String,
    /// As the policy or the peer names it (a member of a glob by its own name).
    pub log: String,
    /// Its exact bytes in hex, when the name is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_hex: Option<String>,
    pub outcome: Outcome,
    pub action: Action,
    /// New bytes: to come in a dry run, that came in an apply.
    pub bytes: u64,
    /// Bytes held before.
    pub have: u64,
    /// New lines, where they are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines: Option<u64>,
    /// The local file.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub local: String,
    /// One sentence for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// It failed for a reason that may be gone the next time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub transient: bool,
    /// What else is worth knowing: generations archived, gaps, what was salvaged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Runs that this one takes back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undoes: Vec<String>,
}

impl LogLane {
    pub fn new(peer: &str, log: &str) -> Self {
        Self {
            peer: peer.into(),
            log: log.into(),
            log_hex: None,
            outcome: Outcome::Failed,
            action: Action::None,
            bytes: 0,
            have: 0,
            lines: None,
            local: String::new(),
            message: None,
            hint: None,
            transient: false,
            notes: vec![],
            undoes: vec![],
        }
    }
}
