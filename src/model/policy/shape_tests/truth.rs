//! What is synced both ways.

use schemars::JsonSchema;
use serde::Serialize;

use super::words::{Span, Text};

/// What is synced both ways
#[derive(JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Truth {
    /// Paths below the root; none: the whole root
    include: Vec<Text>,
    /// Globs of what never crosses, whatever else says so
    state: Vec<Text>,
    /// Globs of what is left alone on both sides
    exclude: Vec<Text>,
    /// Who wins when both sides changed; manual: left for you
    conflicts: Strategy,
    /// Carry the permission bits
    permissions: bool,
    /// How often everything is hashed instead of trusting size and time
    full_scan_every: Span,
}

#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
#[allow(dead_code, reason = "only its shape counts")]
enum Strategy {
    Newer,
    Manual,
    Local,
    Peer,
}

impl Default for Truth {
    fn default() -> Self {
        let all = |globs: &[&'static str]| globs.iter().map(|g| Text::from(*g)).collect();
        Self {
            include: vec![],
            state: all(&["*_state.json"]),
            exclude: all(&[".git/", ".cache/", "__pycache__/", "models/", "*.tmp"]),
            conflicts: Strategy::Newer,
            permissions: true,
            full_scan_every: "1d".into(),
        }
    }
}
