//! What the record says of the two-way lane: its changes, what was left, what was kept.
//!
//! Invariant: field names and words here are the contract with scripts; additions are free, changes are not.

use serde::{Deserialize, Serialize};

use super::path::RelPath;
use super::plan::{Change, Left, Note};
use super::record::Outcome;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TruthLane {
    pub peer: String,
    pub outcome: Outcome,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// One sentence for a person when it did not go well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The next command to type, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    pub changes: Vec<ChangeDoc>,
    pub left: Vec<LeftDoc>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<LeftDoc>,
    /// `unison` on each side, for the record.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub engine_argv: Vec<String>,
    /// What the engine said, neutralised (goes into the human log).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub engine_output: Vec<String>,
    /// Where the versions that lost are kept, by side.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<KeptDoc>,
    /// The archive generation that this run made current.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skew_ms: Option<i64>,
    /// It failed for a reason that may be gone the next time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub transient: bool,
    /// Only some paths were looked at.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub limited: bool,
    /// Whether the writers of the roots held still.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writer: Option<String>,
    /// The runs that this one took back, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undoes: Vec<String>,
}

impl TruthLane {
    pub fn new(peer: &str) -> Self {
        Self {
            peer: peer.into(),
            outcome: Outcome::Failed,
            plan: None,
            message: None,
            hint: None,
            changes: vec![],
            left: vec![],
            notes: vec![],
            versions: vec![],
            engine_argv: vec![],
            engine_output: vec![],
            kept: vec![],
            generation: None,
            skew_ms: None,
            transient: false,
            limited: false,
            writer: None,
            undoes: vec![],
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum ResultWord {
    Planned,
    Done,
    Failed,
    Skipped,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ChangeDoc {
    pub path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_hex: Option<String>,
    pub kind: String,
    pub to: String,
    pub bytes: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflict: Option<String>,
    /// In words, for a conflict: who won and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub moved: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Box<EntryDoc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Box<EntryDoc>>,
    pub result: ResultWord,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One version of a path, as the record keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct EntryDoc {
    pub r#type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// RFC 3339 UTC with nanoseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtime: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LeftDoc {
    pub path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_hex: Option<String>,
    pub why: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub conflict: bool,
}

/// A version that lost or was deleted, and where it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct KeptDoc {
    pub path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_hex: Option<String>,
    /// `local` or `peer`: the host on which it lies.
    pub side: String,
    /// The file on that host.
    pub at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_hex: Option<String>,
}

impl KeptDoc {
    /// A version in a folder of this side's host.
    pub fn of(path: &super::path::RelPath, side: super::plan::Side, folder: &str) -> Self {
        let at = [folder.as_bytes(), b"/", path.as_bytes()].concat();
        Self {
            path: path.lossy(),
            path_hex: path.hex_if_not_utf8(),
            side: side.word().into(),
            at_hex: super::text::hex_if_not_utf8(&at),
            at: String::from_utf8_lossy(&at).into_owned(),
        }
    }
}

impl ChangeDoc {
    pub fn of(change: &Change, result: ResultWord) -> Self {
        let version = |e| Box::new(EntryDoc::of(e));
        Self {
            path: change.path.lossy(),
            path_hex: change.path.hex_if_not_utf8(),
            kind: change.kind.word().into(),
            to: change.to.word().into(),
            bytes: change.bytes(),
            conflict: change.conflict.as_ref().map(|(d, _)| d.word().into()),
            why: change.conflict.as_ref().map(|(_, why)| why.clone()),
            moved: change.moved,
            source: change.source.as_ref().map(version),
            target: change.target.as_ref().map(version),
            result,
            error: None,
        }
    }
}

impl EntryDoc {
    pub fn of(entry: &super::entry::Entry) -> Self {
        use super::entry::Entry;
        Self {
            r#type: entry.word().into(),
            size: matches!(entry, Entry::File(_)).then(|| entry.bytes()),
            mode: entry.mode().map(|m| format!("{m:04o}")),
            mtime: entry.mtime_ns().map(super::time::rfc3339_ns),
            hash: match entry {
                Entry::File(f) => Some(f.hash.to_string()),
                _ => None,
            },
            link: match entry {
                Entry::Link { target, .. } => Some(super::text::neutral_bytes(target)),
                _ => None,
            },
        }
    }
}

impl LeftDoc {
    pub fn of(left: &Left) -> Self {
        Self::new(&left.path, left.why.clone(), left.conflict)
    }

    pub fn note(note: &Note) -> Self {
        Self::new(&note.path, note.text.clone(), false)
    }

    fn new(path: &RelPath, why: String, conflict: bool) -> Self {
        Self {
            path: path.lossy(),
            path_hex: path.hex_if_not_utf8(),
            why,
            conflict,
        }
    }
}
