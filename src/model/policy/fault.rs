//! Faults of a policy: where, what, why, and what to write instead.
//!
//! Invariant: a fault's `Display` is safe on a terminal; the raw text stays in the value only.

use std::fmt;
use std::ops::Range;

use serde::Serialize;

use crate::model::text::neutral;

/// One thing wrong with the policy. Lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Fault {
    /// From 1, like columns, which count characters.
    pub line: usize,
    pub column: usize,
    /// `truth.exclude[2]`, empty where the file as a whole is meant.
    pub key: String,
    /// What stands there, shortened.
    pub text: String,
    pub reason: String,
    pub suggestion: Option<String>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            write!(f, "{}: ", neutral(&self.key))?;
        }
        f.write_str(&neutral(&self.reason))?;
        if !self.text.is_empty() {
            write!(f, " (`{}`)", neutral(&self.text))?;
        }
        if let Some(suggestion) = &self.suggestion {
            write!(f, "; try {}", neutral(suggestion))?;
        }
        Ok(())
    }
}

/// Why one value is not accepted; the reader adds where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bad {
    pub reason: String,
    pub suggestion: Option<String>,
    /// The value may be a secret that was put in the wrong place: it is not repeated.
    pub hide: bool,
}

impl Bad {
    pub fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            suggestion: None,
            hide: false,
        }
    }

    pub fn with(reason: impl Into<String>, suggestion: impl Into<String>) -> Self {
        Self {
            suggestion: Some(suggestion.into()),
            ..Self::new(reason)
        }
    }

    pub fn hidden(mut self) -> Self {
        self.hide = true;
        self
    }
}

impl From<crate::model::glob::GlobError> for Bad {
    fn from(e: crate::model::glob::GlobError) -> Self {
        Self {
            reason: e.reason,
            suggestion: e.suggestion,
            hide: false,
        }
    }
}

/// Turns byte offsets of one text into lines and columns.
#[derive(Debug)]
pub struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub fn new(text: &'a str) -> Self {
        let breaks = text.match_indices('\n').map(|(i, _)| i + 1);
        Self {
            text,
            starts: std::iter::once(0).chain(breaks).collect(),
        }
    }

    /// Line and column of a byte offset; an offset past the end is the end.
    pub fn place(&self, offset: usize) -> (usize, usize) {
        let offset = self.boundary(offset);
        let line = self.starts.partition_point(|s| *s <= offset).max(1);
        let column = self.text[self.starts[line - 1]..offset].chars().count() + 1;
        (line, column)
    }

    /// The character boundary at or before an offset.
    fn boundary(&self, offset: usize) -> usize {
        let offset = offset.min(self.text.len());
        (0..=offset)
            .rev()
            .find(|i| self.text.is_char_boundary(*i))
            .unwrap_or(0)
    }

    /// The text of a span: its first line, at most 80 characters.
    pub fn excerpt(&self, span: &Range<usize>) -> String {
        let start = self.boundary(span.start);
        let end = self.boundary(span.end.max(start));
        let line = self.text[start..end].lines().next().unwrap_or_default();
        match line.char_indices().nth(80) {
            Some((cut, _)) => format!("{}…", &line[..cut]),
            None => line.to_owned(),
        }
    }
}
