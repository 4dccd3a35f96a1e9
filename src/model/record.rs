//! The record of a run: the one document that `--json` prints and the audit log keeps.
//!
//! Invariant: field names and words here are the contract with scripts; additions are free, changes are not.

use serde::{Deserialize, Serialize};

use super::finding::Finding;
use super::path::RelPath;
use super::plan::{Change, Left, Note};

pub const SCHEMA: u32 = 1;

/// How a run, or one lane of it, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    InSync,
    Pending,
    Applied,
    Partial,
    Refused,
    Failed,
    Offline,
    Locked,
    Skipped,
    Interrupted,
    Current,
    Behind,
    Missing,
    Modified,
    Unreachable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    DryRun,
    Apply,
}

impl Mode {
    /// As it stands in file names: `dry-run` or `apply`.
    pub fn word(self) -> &'static str {
        match self {
            Mode::DryRun => "dry-run",
            Mode::Apply => "apply",
        }
    }
}

/// One run, whole. Opened incomplete before the first effect, closed on every way out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub schema: u32,
    /// `20251007T120000Z-truth-1a2b3c`
    pub run: String,
    pub command: String,
    pub mode: Mode,
    pub outcome: Outcome,
    pub exit_code: u8,
    /// RFC 3339 UTC.
    pub started: String,
    pub seconds: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    pub lanes: Vec<Lane>,
    pub findings: Vec<Finding>,
    /// False until the run has been closed; a record that stays so belongs to a run that died.
    pub complete: bool,
    pub who: Who,
    pub policy: PolicyRef,
    /// sha256 of the file of the record before this one; empty for the first.
    pub previous: String,
    /// Place in the chain, from 1; 0 until the run has been closed.
    #[serde(default)]
    pub sequence: u64,
    /// Words of this command line that the next command must repeat (`--policy FILE`, `--path P`), unquoted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repeat: Vec<String>,
}

impl Record {
    /// A record as it stands before the first effect: should nothing more be heard of the run, it was interrupted.
    pub fn open(run: &str, command: &str, mode: Mode, started: &str) -> Self {
        Self {
            schema: SCHEMA,
            run: run.into(),
            command: command.into(),
            mode,
            outcome: Outcome::Interrupted,
            exit_code: super::exit::INTERRUPTED,
            started: started.into(),
            seconds: 0.0,
            plan: None,
            lanes: vec![],
            findings: vec![],
            complete: false,
            who: Who::default(),
            policy: PolicyRef::default(),
            previous: String::new(),
            sequence: 0,
            repeat: vec![],
        }
    }

    /// The record as the one JSON document: what `--json` prints and the audit log keeps. Characters that could
    /// drive a terminal stand escaped; any JSON reader gives them back as they were.
    pub fn document(&self) -> String {
        let text = serde_json::to_string_pretty(self).unwrap_or_else(|e| {
            // Strings, numbers and lists always serialise; should that ever change, say so instead of dying.
            format!("{{\"schema\":{SCHEMA},\"error\":{:?}}}", e.to_string())
        });
        super::text::neutral_json(&text) + "\n"
    }

    /// The part of the run id that tells runs of one second apart: `1a2b3c`.
    pub fn id(&self) -> &str {
        self.run.rsplit('-').next().unwrap_or(&self.run)
    }
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Who {
    pub user: String,
    pub host: String,
    pub site: String,
    pub pid: u32,
    pub version: String,
    pub reason: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PolicyRef {
    pub file: String,
    pub digest: String,
}

/// One lane of a run with one peer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "lane", rename_all = "lowercase")]
pub enum Lane {
    Truth(TruthLane),
}

impl Outcome {
    /// The word of the contract.
    pub fn word(self) -> &'static str {
        match self {
            Outcome::InSync => "in-sync",
            Outcome::Pending => "pending",
            Outcome::Applied => "applied",
            Outcome::Partial => "partial",
            Outcome::Refused => "refused",
            Outcome::Failed => "failed",
            Outcome::Offline => "offline",
            Outcome::Locked => "locked",
            Outcome::Skipped => "skipped",
            Outcome::Interrupted => "interrupted",
            Outcome::Current => "current",
            Outcome::Behind => "behind",
            Outcome::Missing => "missing",
            Outcome::Modified => "modified",
            Outcome::Unreachable => "unreachable",
        }
    }
}

impl Lane {
    pub fn outcome(&self) -> Outcome {
        match self {
            Lane::Truth(t) => t.outcome,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResultWord {
    Planned,
    Done,
    Failed,
    Skipped,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    pub source: Option<EntryDoc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<EntryDoc>,
    pub result: ResultWord,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One version of a path, as the record keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
pub struct KeptDoc {
    pub path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_hex: Option<String>,
    /// `local` or `peer`: the host on which it lies.
    pub side: String,
    /// The file on that host.
    pub at: String,
}

impl ChangeDoc {
    pub fn of(change: &Change, result: ResultWord) -> Self {
        Self {
            path: change.path.lossy(),
            path_hex: change.path.hex_if_not_utf8(),
            kind: change.kind.word().into(),
            to: change.to.word().into(),
            bytes: change.bytes(),
            conflict: change.conflict.as_ref().map(|(d, _)| d.word().into()),
            why: change.conflict.as_ref().map(|(_, why)| why.clone()),
            moved: change.moved,
            source: change.source.as_ref().map(EntryDoc::of),
            target: change.target.as_ref().map(EntryDoc::of),
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
                Entry::File(f) => Some(f.hash.clone()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_document() {
        for o in [Outcome::InSync, Outcome::Applied, Outcome::Unreachable] {
            assert_eq!(
                serde_json::to_string(&o).unwrap(),
                format!("\"{}\"", o.word())
            );
        }
    }

    #[test]
    fn a_document_is_inert_on_a_terminal_and_reads_back_as_it_was() {
        let mut record = Record::open("20251007T120000Z-truth-1a2b3c", "truth", Mode::DryRun, "t");
        record.who.reason = "a\x1b[31m\u{9b}\u{202e}\u{7f}b".into();
        let text = record.document();
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text}");
        assert!(!text.contains('\u{202e}'));
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
        assert_eq!(record.id(), "1a2b3c");
    }
}
