//! The record of a run: the one document that `--json` prints and the audit log keeps.
//!
//! Invariant: field names and words here are the contract with scripts; additions are free, changes are not.

use serde::{Deserialize, Serialize};

use super::finding::Finding;
pub use super::log_doc::{Action, LogLane};
pub use super::publish_doc::PublishLane;
pub use super::truth_doc::{ChangeDoc, EntryDoc, KeptDoc, LeftDoc, ResultWord, TruthLane};

pub const SCHEMA: u32 = 1;

/// How a run, or one lane of it, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
    /// Carried out, and closed: not a dry run, nor one that is under way or died.
    pub fn is_applied(&self) -> bool {
        self.mode == Mode::Apply && self.complete
    }

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
        super::text::neutral_json(text) + "\n"
    }

    /// The part of the run id that tells runs of one second apart: `1a2b3c`.
    pub fn id(&self) -> &str {
        self.run.rsplit('-').next().unwrap_or(&self.run)
    }
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Who {
    pub user: String,
    pub host: String,
    pub site: String,
    pub pid: u32,
    pub version: String,
    pub reason: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PolicyRef {
    pub file: String,
    pub digest: String,
}

/// One lane of a run with one peer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "lane", rename_all = "lowercase")]
pub enum Lane {
    Truth(TruthLane),
    Log(LogLane),
    Publish(PublishLane),
}

/// What a lane did to one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Carried {
    /// `local` or `peer`.
    pub to: &'static str,
    pub files: u64,
    /// Of files that arrived; what was deleted had bytes too, but none that travelled.
    pub bytes: u64,
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
            Lane::Log(l) => l.outcome,
            Lane::Publish(p) => p.outcome,
        }
    }

    /// Its kind, as the document's `lane` has it.
    pub fn word(&self) -> &'static str {
        match self {
            Lane::Truth(_) => "truth",
            Lane::Log(_) => "log",
            Lane::Publish(_) => "publish",
        }
    }

    /// The peer it is about, as the command line names it.
    pub fn subject(&self) -> &str {
        match self {
            Lane::Truth(t) => &t.peer,
            Lane::Log(l) => &l.peer,
            Lane::Publish(p) => &p.target,
        }
    }

    /// What a person has to know of it, when there is something.
    pub fn message(&self) -> Option<&str> {
        match self {
            Lane::Truth(t) => t.message.as_deref(),
            Lane::Log(l) => l.message.as_deref(),
            Lane::Publish(p) => p.message.as_deref(),
        }
    }

    /// Its changes by path; a log has none.
    pub fn changes(&self) -> &[ChangeDoc] {
        match self {
            Lane::Truth(t) => &t.changes,
            Lane::Log(_) => &[],
            Lane::Publish(p) => &p.changes,
        }
    }

    /// What it really carried, by the side that changed.
    pub fn carried(&self) -> [Carried; 2] {
        let mut all = ["local", "peer"].map(|to| Carried {
            to,
            files: 0,
            bytes: 0,
        });
        match self {
            Lane::Log(l) if l.outcome == Outcome::Applied => {
                (all[0].files, all[0].bytes) = (u64::from(l.bytes > 0), l.bytes);
            }
            Lane::Log(_) => {}
            _ => {
                for c in self
                    .changes()
                    .iter()
                    .filter(|c| c.result == ResultWord::Done)
                {
                    let side = &mut all[usize::from(c.to == "peer")];
                    side.files += 1;
                    if ["create", "update", "replace"].contains(&c.kind.as_str()) {
                        side.bytes += c.bytes;
                    }
                }
            }
        }
        all
    }

    /// The next command to type, when this lane knows a special one.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Lane::Truth(t) => t.hint.as_deref(),
            Lane::Log(l) => l.hint.as_deref(),
            Lane::Publish(p) => p.hint.as_deref(),
        }
    }

    /// The runs that it takes back.
    pub fn undoes(&self) -> &[String] {
        match self {
            Lane::Truth(t) => &t.undoes,
            Lane::Log(l) => &l.undoes,
            Lane::Publish(p) => &p.undoes,
        }
    }

    /// Whether it failed for a reason that may be gone the next time.
    pub fn is_transient(&self) -> bool {
        match self {
            Lane::Truth(t) => t.transient,
            Lane::Log(l) => l.transient,
            Lane::Publish(_) => false,
        }
    }

    /// Whether something of it was left for a person to decide.
    pub fn has_left(&self) -> bool {
        match self {
            Lane::Truth(t) => !t.left.is_empty(),
            Lane::Log(l) => l.outcome == Outcome::Partial,
            Lane::Publish(_) => false,
        }
    }

    /// Whether an apply would do something: what is left for a person does not keep the rest from being applied.
    pub fn is_applicable(&self) -> bool {
        match self {
            Lane::Truth(t) if t.outcome == Outcome::Partial => !t.changes.is_empty(),
            _ => self.outcome() == Outcome::Pending,
        }
    }

    /// The id of its plan, when it has one that `--plan` takes.
    pub fn plan(&self) -> Option<&str> {
        match self {
            Lane::Truth(t) => t.plan.as_deref(),
            Lane::Log(_) | Lane::Publish(_) => None,
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
