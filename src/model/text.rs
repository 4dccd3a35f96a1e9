//! Text made safe to show: the one function through which foreign bytes reach a terminal, a log or a table.
//!
//! Invariant: what comes out holds no control character, no bidirectional override and no line break.

use std::fmt::Write;

/// Escapes control (C0, DEL, C1), bidi and invisible characters; leaves other text alone.
pub fn neutral(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        push_neutral(&mut out, c);
    }
    out
}

/// As [`neutral`], for bytes that may not be UTF-8 (such bytes become `\xNN`).
pub fn neutral_bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            push_neutral(&mut out, c);
        }
        for b in chunk.invalid() {
            let _ = write!(out, "\\x{b:02x}");
        }
    }
    out
}

/// As [`neutral`], for a JSON document: what could drive a terminal becomes a JSON escape, so the document means
/// what it meant. (Such characters only ever stand inside its strings; line breaks between its lines stay.)
pub fn neutral_json(document: String) -> String {
    let is_loud = |c: char| c != '\n' && (c.is_control() || is_invisible(c));
    // Mostly there is nothing of that in it, and it may be long.
    if !document.contains(is_loud) {
        return document;
    }
    let mut out = String::with_capacity(document.len());
    for c in document.chars() {
        if is_loud(c) {
            let _ = write!(out, "\\u{:04x}", c as u32);
        } else {
            out.push(c);
        }
    }
    out
}

/// Characters that reorder, join or hide text without being controls.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{2069}'
        | '\u{feff}'
        | '\u{061c}')
}

fn push_neutral(out: &mut String, c: char) {
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{1b}' => out.push_str("\\e"),
        c if c.is_control() && (c as u32) < 0x100 => {
            let _ = write!(out, "\\x{:02x}", c as u32);
        }
        c if is_invisible(c) => {
            let _ = write!(out, "\\u{{{:x}}}", c as u32);
        }
        c => out.push(c),
    }
}

/// Hexadecimal bytes, only when they are no text.
pub fn hex_if_not_utf8(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).is_err().then(|| hex(bytes))
}

/// The bytes that [`hex`] wrote down.
pub fn unhex(hex: &str) -> Option<Vec<u8>> {
    let digits = hex.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut out = String::with_capacity(bytes.len() * 2);
    for b in bytes {
        let _ = write!(out, "{b:02x}");
    }
    out
}

/// Sizes for people: `0 B`, `1.2 KiB`, `579.0 MiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// `1 file`, `2 files`.
pub fn count(n: usize, one: &str) -> String {
    match n {
        1 => format!("1 {one}"),
        n => format!("{} {one}s", thousands(n)),
    }
}

/// `98,000`
pub fn thousands(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, d) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(d);
    }
    out
}

/// The candidate that a misspelt word most likely meant.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|c| (strsim::damerau_levenshtein(word, c), c))
        .filter(|(d, c)| *d <= 1 + c.len().max(word.len()) / 4)
        .min_by_key(|(d, _)| *d)
        .map(|(_, c)| c)
}

/// An age for people: `4 min`, `3 h`, `2 days`.
pub fn age(seconds: i64) -> String {
    match seconds {
        ..=89 => format!("{} s", seconds.max(0)),
        90..=5399 => format!("{} min", (seconds + 30) / 60),
        5400..=129_599 => format!("{} h", (seconds + 1800) / 3600),
        _ => format!("{} days", (seconds + 43_200) / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_cannot_drive_a_terminal() {
        assert_eq!(neutral("a\x1b[31m\nb\u{202e}c"), "a\\e[31m\\nb\\u{202e}c");
        assert_eq!(neutral_bytes(b"x\xff\x07y\xc2\x9b"), "x\\xff\\x07y\\x9b");
        assert_eq!(neutral("naïve 日本"), "naïve 日本");
    }

    #[test]
    fn a_json_document_keeps_its_meaning_and_loses_its_teeth() {
        assert_eq!(
            neutral_json("{\n\"\u{9b}\u{202e}\u{7f}é\"}".into()),
            "{\n\"\\u009b\\u202e\\u007fé\"}"
        );
    }

    #[test]
    fn sizes_read_well() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(1024 * 1024 - 1), "1.0 MiB");
        assert_eq!(count(1, "file"), "1 file");
        assert_eq!(count(1_234_567, "file"), "1,234,567 files");
        assert_eq!(
            (thousands(999), thousands(1000)),
            ("999".into(), "1,000".into())
        );
    }

    #[test]
    fn nearest_finds_typos_and_refuses_strangers() {
        assert_eq!(nearest("exlude", ["include", "exclude"]), Some("exclude"));
        assert_eq!(nearest("zzz", ["include", "exclude"]), None);
    }
}
