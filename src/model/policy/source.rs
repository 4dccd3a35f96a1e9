//! From the bytes of the file to a table with spans: encoding, line ends and TOML syntax.
//!
//! Invariant: no input panics; every fault has a line and a column.

use toml::Spanned;
use toml::de::DeTable;

use super::fault::{Fault, Lines};

/// Largest policy accepted. A real one has a few KiB; the largest imaginable, some hundred peers.
pub const MAX_BYTES: usize = 1024 * 1024;

/// The text of the file, or why it is not text that a policy may be.
pub fn decode(bytes: &[u8]) -> Result<&str, Vec<Fault>> {
    if bytes.len() > MAX_BYTES {
        return Err(vec![whole_file(
            format!(
                "the file has {} bytes; a policy has at most {MAX_BYTES}",
                bytes.len()
            ),
            "the right file",
        )]);
    }
    let text = std::str::from_utf8(bytes).map_err(|error| vec![not_utf8(bytes, &error)])?;
    let mut faults = Vec::new();
    let checks = [
        (
            '\u{feff}',
            "the file has a byte order mark",
            "saving it as UTF-8 without one",
        ),
        ('\0', "the file has a NUL byte", "removing it"),
        (
            '\r',
            "the file has carriage returns (CRLF line ends)",
            "saving it with LF line ends",
        ),
    ];
    let lines = Lines::new(text);
    for (c, reason, suggestion) in checks {
        if let Some(at) = text.find(c) {
            let (line, column) = lines.place(at);
            faults.push(Fault {
                line,
                column,
                key: String::new(),
                text: c.to_string(),
                reason: reason.into(),
                suggestion: Some(suggestion.into()),
            });
        }
    }
    if text.trim().is_empty() {
        faults.push(whole_file(
            "the file is empty".into(),
            "`ubos-sync init` for a starter",
        ));
    }
    if faults.is_empty() {
        Ok(text)
    } else {
        Err(faults)
    }
}

fn not_utf8(bytes: &[u8], error: &std::str::Utf8Error) -> Fault {
    let (before, rest) = bytes.split_at(error.valid_up_to());
    let before = std::str::from_utf8(before).unwrap_or_default();
    let (line, column) = Lines::new(before).place(before.len());
    let bad = rest.first().copied().unwrap_or_default();
    Fault {
        line,
        column,
        key: String::new(),
        text: format!("\\x{bad:02x}"),
        reason: "the file is not UTF-8".into(),
        suggestion: Some("saving it as UTF-8".into()),
    }
}

/// The table, as far as it could be read, and the syntax faults.
pub fn parse<'a>(text: &'a str, lines: &Lines) -> (Spanned<DeTable<'a>>, Vec<Fault>) {
    let (table, errors) = DeTable::parse_recoverable(text);
    let faults = errors
        .iter()
        .take(super::reader::MAX_FAULTS)
        .map(|error| syntax_fault(error, lines))
        .collect();
    (table, faults)
}

fn syntax_fault(error: &toml::de::Error, lines: &Lines) -> Fault {
    let span = error.span().unwrap_or(0..0);
    let (line, column) = lines.place(span.start);
    Fault {
        line,
        column,
        key: String::new(),
        text: lines.excerpt(&span),
        reason: format!("not valid TOML: {}", error.message()),
        suggestion: None,
    }
}

fn whole_file(reason: String, suggestion: &str) -> Fault {
    Fault {
        line: 1,
        column: 1,
        key: String::new(),
        text: String::new(),
        reason,
        suggestion: Some(suggestion.into()),
    }
}
