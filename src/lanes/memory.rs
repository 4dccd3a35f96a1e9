//! Small facts about the lanes that outlive the records they come from: the streak, and which pair has passed the Librarian.
//!
//! Invariant: nothing depends on them but what is shown; what cannot be kept is missed by nobody.

use std::path::PathBuf;

use crate::host::files;
use crate::model::policy::Policy;
use crate::model::record::{Outcome, Record};
use crate::model::streak::Streak;

pub fn streak(policy: &Policy) -> Streak {
    let at = policy.site.state_dir.join(Streak::FILE);
    let bytes = files::read_bounded(&at, 1 << 16).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

/// Keeps what a run adds.
pub fn remember(policy: &Policy, record: &Record) {
    // A run may have been refused because this is not ours to write to.
    if files::private_dir(&policy.site.state_dir).is_err() {
        return;
    }
    let before = streak(policy);
    let after = before.clone().after(record);
    if after != before {
        let text = serde_json::to_string(&after).unwrap_or_default();
        let at = policy.site.state_dir.join(Streak::FILE);
        let _ = files::write_atomic(&at, text.as_bytes(), files::Sync::Later);
    }
    if record.command == "librarian" && record.outcome == Outcome::InSync {
        for lane in &record.lanes {
            keep(policy, lane.subject(), "passed", &record.started);
        }
    }
}

fn place(policy: &Policy, peer: &str, what: &str) -> PathBuf {
    let dir = policy.site.state_dir.join("acceptance");
    dir.join(format!("{peer}.{what}"))
}

fn keep(policy: &Policy, peer: &str, what: &str, text: &str) {
    let at = place(policy, peer, what);
    if files::private_dir(&policy.site.state_dir).is_ok()
        && let Some(dir) = at.parent()
        && files::private_dir(dir).is_ok()
    {
        let _ = files::write_atomic(&at, text.as_bytes(), files::Sync::Later);
    }
}

/// When the pair last passed all five tests (RFC 3339).
pub fn passed(policy: &Policy, peer: &str) -> Option<String> {
    let bytes = files::read_bounded(&place(policy, peer, "passed"), 64).ok()?;
    String::from_utf8(bytes).ok()
}

/// Whether it is time to say that a pair never passed: once.
pub fn is_to_be_told(policy: &Policy, peer: &str) -> bool {
    let is_news = passed(policy, peer).is_none()
        && files::read_bounded(&place(policy, peer, "told"), 64).is_err();
    if is_news {
        keep(policy, peer, "told", "");
    }
    is_news
}
