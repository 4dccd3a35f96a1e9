//! Regular expressions as rule files write them (the syntax of Go), for the engine that we have. Pure.
//!
//! Invariant: the two syntaxes differ in what needs a backslash; nothing else is changed, and what the engine then refuses is an
//! error.

use std::sync::OnceLock;

use regex::bytes::{Regex, RegexBuilder};

/// An expression that is compiled when it is first needed: of the many rules most are never asked.
#[derive(Debug)]
pub struct Lazy {
    source: String,
    compiled: OnceLock<Result<Regex, String>>,
}

impl Lazy {
    pub fn new(source: &str) -> Lazy {
        Lazy {
            source: source.to_owned(),
            compiled: OnceLock::new(),
        }
    }

    pub fn get(&self) -> Result<&Regex, String> {
        let made = self.compiled.get_or_init(|| compile(&self.source));
        made.as_ref().map_err(Clone::clone)
    }
}

/// Classes such as `\w` and `\b` mean ASCII there, and so they do here, unless an expression asks for letters beyond it.
fn compile(source: &str) -> Result<Regex, String> {
    let ours = translate(source);
    let with = |unicode| {
        RegexBuilder::new(&ours)
            .unicode(unicode)
            .size_limit(64 << 20)
            .build()
    };
    with(false)
        .or_else(|_| with(true))
        .map_err(|e| format!("the expression {source:?} is not understood: {e}"))
}

/// Puts a backslash where Go takes a character as itself and our engine sees an operator: a brace that opens no repetition, and
/// in a class an opening bracket and doubled signs.
fn translate(go: &str) -> String {
    let mut out = String::with_capacity(go.len() + 8);
    let mut in_class = false;
    let mut rest = go;
    while let Some(c) = rest.chars().next() {
        let mut taken = c.len_utf8();
        match c {
            '\\' => {
                taken += rest[1..].chars().next().map_or(0, char::len_utf8);
                out.push_str(&rest[..taken]);
            }
            '[' if !in_class => {
                in_class = true;
                // A bracket that closes right away is a member.
                let first = rest[1..].strip_prefix('^').unwrap_or(&rest[1..]);
                taken = rest.len() - first.len();
                out.push_str(&rest[..taken]);
                if first.starts_with(']') {
                    out.push_str("\\]");
                    taken += 1;
                }
            }
            '[' => match rest.strip_prefix("[:").and_then(|r| r.find(":]")) {
                Some(end) => {
                    taken = end + 4;
                    out.push_str(&rest[..taken]);
                }
                None => out.push_str("\\["),
            },
            ']' => {
                in_class = false;
                out.push(']');
            }
            '&' | '~' | '-' if in_class && rest[1..].starts_with(c) => {
                taken = 2;
                // Two hyphens: a range that ends in one, or one beside one.
                out.push_str(if c == '-' { "-\\-" } else { "" });
                (c != '-').then(|| out.extend(['\\', c, '\\', c]));
            }
            '{' if !in_class && !repeats(&rest[1..]) => out.push_str("\\{"),
            _ => out.push(c),
        }
        rest = &rest[taken..];
    }
    out
}

/// Whether what follows a brace is `n}`, `n,}` or `n,m}`.
fn repeats(after: &str) -> bool {
    let digits = |s: &str| s.len() - s.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let n = digits(after);
    if n == 0 {
        return false;
    }
    match after[n..].strip_prefix(',') {
        None => after[n..].starts_with('}'),
        Some(more) => more[digits(more)..].starts_with('}'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_go_takes_as_itself_gets_a_backslash() {
        for (go, ours) in [
            (r"^\$(?:\d+|{\d+})$", r"^\$(?:\d+|\{\d+})$"),
            (r"a{2}b{2,}c{2,3}?{x{2,3", r"a{2}b{2,}c{2,3}?\{x\{2,3"),
            (r"[[:alpha:]_[]x]", r"[[:alpha:]_\[]x]"),
            (r"[]a][^]b]", r"[\]a][^\]b]"),
            (r"[!--&&~~]", r"[!-\-\&\&\~\~]"),
            (r"[{]\[{\{", r"[{]\[\{\{"),
        ] {
            assert_eq!(translate(go), ours);
            Lazy::new(go).get().unwrap();
        }
    }

    #[test]
    fn what_is_not_understood_is_said() {
        assert!(Lazy::new("a(").get().unwrap_err().contains("a("));
        assert!(Lazy::new("(?<!a)b").get().is_err());
        assert!(Lazy::new("[é-ü]+").get().unwrap().is_match("ö".as_bytes()));
    }
}
