//! What the record says of one target of a publish.
//!
//! Invariant: field names and words here are the contract with scripts; additions are free, changes are not.

use serde::{Deserialize, Serialize};

use super::record::{ChangeDoc, LeftDoc, Outcome};

/// One target of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PublishLane {
    pub target: String,
    pub outcome: Outcome,
    /// The commit that is, or was, to be there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// What the target's sentinel said when it was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// How many commits the target was behind, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind: Option<u64>,
    pub changes: Vec<ChangeDoc>,
    /// Published files whose content on the target is nobody's commit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modified: Vec<LeftDoc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Where on the target everything lies that was overwritten or removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<String>,
    /// The release that was made, and the one that was live before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Runs that this one takes back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undoes: Vec<String>,
}

impl PublishLane {
    pub fn new(target: &str) -> Self {
        Self {
            target: target.into(),
            outcome: Outcome::Failed,
            commit: None,
            found: None,
            behind: None,
            changes: vec![],
            modified: vec![],
            message: None,
            hint: None,
            backup: None,
            release: None,
            previous: None,
            notes: vec![],
            undoes: vec![],
        }
    }
}
