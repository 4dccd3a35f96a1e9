//! Which paths are truth. One glob language for the whole policy, one decision per path.
//!
//! Precedence: state, then never (logs, audit, state dir, policy, marker, pause files, temp files), then
//! exclude, then include. A directory that is out takes everything below it out.

use crate::model::path::RelPath;

/// Compiled rules. (Body belongs to the policy work; this is the face the lanes use.)
#[derive(Debug, Clone, Default)]
pub struct Rules {}

/// Why a path is or is not truth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Truth: it crosses. Holds the include entry that let it in, `None` when the whole root is truth.
    Truth(Option<String>),
    /// A `state` pattern (the text as written): never crosses.
    State(String),
    /// Kept out without being listed: what it is ("pulled log", "audit records", …).
    Never(String),
    /// An `exclude` pattern (the text as written).
    Excluded(String),
    /// Not below any include entry.
    NotIncluded,
}

impl Rules {
    /// The verdict on a path of the given kind; ancestors are taken into account.
    pub fn verdict(&self, _path: &RelPath, _is_dir: bool) -> Verdict {
        Verdict::Truth(None)
    }
}
