//! A dry run beside the live screen: this very program as a child, so that whatever it meets, the screen goes on.
//!
//! Invariant: it ends with the screen at the latest, with everything it started.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::News;
use crate::cli::render::Meaning;
use crate::cli::render::live::Dry;
use crate::host::process::{self, Heard, Session};
use crate::host::{clock, policy_file};
use crate::model::finding::Severity;
use crate::model::invocation::Invocation;
use crate::model::record::{Lane, Outcome, Record};
use crate::model::text::count;

/// It has a lock to let go and a record to close.
const PATIENCE: Duration = Duration::from_secs(5);

pub struct DryRun {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl DryRun {
    pub fn start(policy: &Path, news: Sender<News>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (flag, policy) = (Arc::clone(&stop), policy.to_owned());
        let thread = std::thread::spawn(move || {
            let without = |meaning, words| Dry::Ended {
                meaning,
                words,
                run: None,
            };
            let dry = match carry_out(&policy, &flag) {
                Ok(_) if flag.load(Ordering::Relaxed) => without(Meaning::Aside, "ended".into()),
                Ok(document) => outcome(&document, clock::now()),
                Err(e) => without(Meaning::Loss, format!("it cannot be started: {e}")),
            };
            let _ = news.send(News::Dry(dry));
        });
        Self { stop, thread }
    }

    pub fn ask_to_end(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Ends it and waits until it has ended.
    pub fn end(self) {
        self.ask_to_end();
        let _ = self.thread.join();
    }
}

/// Its one document on standard output, or what there was of it.
fn carry_out(policy: &Path, stop: &AtomicBool) -> std::io::Result<Vec<u8>> {
    let program = process::own_program().ok_or(std::io::ErrorKind::NotFound)?;
    let mut what = Invocation::new(program)
        .args(["--json", "--no-progress", "full", "--policy"])
        .args([policy]);
    // Where state lies if the policy does not say so, and how connections are made.
    for name in ["XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"] {
        if let Some(value) = policy_file::variable(name) {
            what = what.env(name, value);
        }
    }
    let mut session = Session::start(&what, tempfile::tempfile()?)?;
    session.close_stdin();
    let mut document = Vec::new();
    loop {
        match session.hear(Duration::from_millis(100)) {
            Heard::Bytes(bytes) => document.extend_from_slice(&bytes),
            Heard::End => break,
            Heard::Nothing => {}
        }
        if stop.load(Ordering::Relaxed) {
            session.end(PATIENCE);
            break;
        }
    }
    Ok(document)
}

/// What it came to, in words.
fn outcome(document: &[u8], at: DateTime<Utc>) -> Dry {
    let when = at.format("%H:%M:%S");
    let Ok(record) = serde_json::from_slice::<Record>(document) else {
        let said: Value = serde_json::from_slice(document).unwrap_or_default();
        let said = said["error"].as_str().unwrap_or("it ended without a word");
        return Dry::Ended {
            meaning: Meaning::Loss,
            words: format!("{when} failed: {said}"),
            run: None,
        };
    };
    let meaning = match record.outcome {
        Outcome::InSync => Meaning::Good,
        Outcome::Failed | Outcome::Refused | Outcome::Interrupted => Meaning::Loss,
        _ => Meaning::Look,
    };
    let changes: usize = record.lanes.iter().map(|l| l.changes().len()).sum();
    let mut words = format!("{when} {}", record.outcome.word());
    if changes > 0 {
        words += &format!(", {}", count(changes, "change"));
    }
    if record.lanes.iter().any(Lane::has_left) {
        words += ", something is left for a person";
    }
    let refusal = record
        .findings
        .iter()
        .find(|f| f.severity == Severity::Refuse);
    words += "; o opens it";
    if let Some(finding) = refusal {
        words += &format!(": {}", finding.message);
    }
    Dry::Ended {
        meaning,
        words,
        run: Some(record.run),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::samples::record;

    #[test]
    fn its_outcome_is_told_in_a_line_whatever_it_said() {
        let told = |document: &[u8]| match outcome(document, DateTime::UNIX_EPOCH) {
            Dry::Ended {
                meaning,
                words,
                run,
            } => (meaning, words, run),
            other => panic!("{other:?}"),
        };
        let mut dry = record(1);
        dry.outcome = Outcome::Pending;
        let (meaning, words, run) = told(dry.document().as_bytes());
        assert_eq!((meaning, run), (Meaning::Look, Some(dry.run)));
        assert_eq!(words, "00:00:00 pending, 1 change; o opens it");
        let (meaning, words, _) = told(br#"{"error":"no policy"}"#);
        assert_eq!(
            (meaning, &*words),
            (Meaning::Loss, "00:00:00 failed: no policy")
        );
        assert!(told(b"").1.contains("without a word"));
    }
}
