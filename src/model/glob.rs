//! The one glob language of the policy: parsed once, then emitted for globset and for unison.
//!
//! It is gitignore's, without negation: a pattern without a slash matches at any depth, one with a
//! slash is anchored at the root, a trailing slash means directories only, and whatever matches
//! takes everything below it along. `*` and `?` match bytes, dotfiles included, never a slash.
//!
//! Invariants: both translations mean the same set of paths (a property test asks globset, the
//! translation and real unison); a unison pattern never holds a line break, a leading or trailing
//! blank, or ` -> `, and backslashes only what unison lets be backslashed.

mod emit;

use std::fmt;

pub use emit::literal_regex;

/// Longest pattern accepted; longer ones are mistakes or attacks.
const MAX_LEN: usize = 1024;
/// Deepest nesting of braces, so that parsing cannot exhaust the stack.
const MAX_BRACES: usize = 4;

/// A parsed pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    text: String,
    /// Begins with [`Component::Deep`] when the pattern floats; never two of those in a row.
    components: Vec<Component>,
    dir_only: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Component {
    /// `**`: any number of directories.
    Deep,
    Nodes(Vec<Node>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Literal(char),
    /// `*`
    Many,
    /// `?`
    One,
    Class(Class),
    /// `{a,b}`
    Either(Vec<Vec<Node>>),
}

/// A set of printable ASCII characters, or all bytes but those.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Class {
    negated: bool,
    set: u128,
}

/// Why a pattern is not accepted, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GlobError {
    pub reason: String,
    pub suggestion: Option<String>,
}

impl fmt::Display for GlobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

fn fault<T>(reason: &str) -> Result<T, GlobError> {
    Err(GlobError {
        reason: reason.to_owned(),
        suggestion: None,
    })
}

fn fault_with<T>(reason: &str, suggestion: impl Into<String>) -> Result<T, GlobError> {
    Err(GlobError {
        reason: reason.to_owned(),
        suggestion: Some(suggestion.into()),
    })
}

impl Glob {
    /// Parses one pattern as written in the policy.
    pub fn parse(text: &str) -> Result<Self, GlobError> {
        check_whole(text)?;
        let (body, dir_only) = match text.strip_suffix('/') {
            Some(body) => (body, true),
            None => (text, false),
        };
        let (body, rooted) = strip_root(body)?;
        if body.is_empty() {
            return fault("a slash alone names nothing");
        }
        let parts: Vec<&str> = body.split('/').collect();
        let mut components = Vec::with_capacity(parts.len() + 1);
        if parts.len() == 1 && !rooted {
            components.push(Component::Deep);
        }
        for part in parts {
            let component = parse_component(part)?;
            if component != Component::Deep || components.last() != Some(&Component::Deep) {
                components.push(component);
            }
        }
        if components == [Component::Deep] {
            return fault_with(
                "`**` alone matches every path",
                "name a directory before or a file after it",
            );
        }
        Ok(Self {
            text: text.to_owned(),
            components,
            dir_only,
        })
    }

    /// The pattern as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it matches directories only (and all below them).
    pub fn is_dir_only(&self) -> bool {
        self.dir_only
    }

    /// The name, when the pattern is nothing but one name at any depth.
    pub fn literal_name(&self) -> Option<String> {
        let [Component::Deep, Component::Nodes(nodes)] = self.components.as_slice() else {
            return None;
        };
        nodes
            .iter()
            .map(|n| match n {
                Node::Literal(c) => Some(*c),
                _ => None,
            })
            .collect()
    }
}

/// Backslashes what is special, so that `text` becomes a pattern that means itself.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_special(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Whether the text holds an unescaped wildcard.
pub fn has_wildcards(text: &str) -> bool {
    text.contains(['*', '?', '[', '{'])
}

fn is_special(c: char) -> bool {
    matches!(c, '*' | '?' | '[' | ']' | '{' | '}' | '\\' | '!' | ',')
}

fn check_whole(text: &str) -> Result<(), GlobError> {
    if text.is_empty() {
        return fault("an empty pattern matches nothing");
    }
    if text.len() > MAX_LEN {
        return fault("the pattern is longer than 1024 bytes");
    }
    if text.chars().any(char::is_control) {
        return fault("a pattern may not hold control characters");
    }
    if let Some(rest) = text.strip_prefix('!') {
        return fault_with(
            "`!` would take a path back in, and unison cannot do that below an ignored directory",
            format!(
                "narrow the pattern that excludes `{rest}`, or write `\\!` for a name that begins with `!`"
            ),
        );
    }
    Ok(())
}

/// A leading slash on ONE name anchors it, there being no other way to say so; before a longer path
/// it is a mistake for an absolute path.
fn strip_root(body: &str) -> Result<(&str, bool), GlobError> {
    match body.strip_prefix('/') {
        None => Ok((body, false)),
        Some(rest) if !rest.contains('/') => Ok((rest, true)),
        Some(rest) => fault_with(
            "patterns are matched below the root, never against absolute paths",
            format!("`{}`", rest.trim_start_matches('/')),
        ),
    }
}

fn parse_component(part: &str) -> Result<Component, GlobError> {
    match part {
        "" => fault("two slashes in a row never match"),
        "." => fault_with("`.` never matches", "leave the `./` out"),
        ".." => fault("`..` would leave the root"),
        "**" => Ok(Component::Deep),
        _ => {
            let chars: Vec<char> = part.chars().collect();
            let mut parser = Parser {
                chars: &chars,
                at: 0,
            };
            let nodes = parser.sequence(0)?;
            Ok(Component::Nodes(nodes))
        }
    }
}

/// A cursor over one component.
struct Parser<'a> {
    chars: &'a [char],
    at: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek();
        self.at += usize::from(c.is_some());
        c
    }

    /// Up to the end, or (inside braces) up to the `,` or `}` that ends this alternative.
    fn sequence(&mut self, depth: usize) -> Result<Vec<Node>, GlobError> {
        let mut nodes = Vec::new();
        while let Some(c) = self.peek() {
            if depth > 0 && (c == ',' || c == '}') {
                break;
            }
            self.at += 1;
            nodes.push(match c {
                '*' if self.peek() == Some('*') => {
                    return fault_with(
                        "`**` must stand alone between slashes",
                        "one `*`, or `**/` in front",
                    );
                }
                '*' => Node::Many,
                '?' => Node::One,
                '[' => Node::Class(self.class()?),
                '{' => Node::Either(self.either(depth + 1)?),
                '}' => return fault_with("`}` without `{`", "`\\}` for the character itself"),
                '\\' => match self.next() {
                    Some(c) => Node::Literal(c),
                    None => {
                        return fault_with(
                            "a backslash at the end escapes nothing",
                            "`\\\\` for the character itself",
                        );
                    }
                },
                c => Node::Literal(c),
            });
        }
        Ok(nodes)
    }

    fn either(&mut self, depth: usize) -> Result<Vec<Vec<Node>>, GlobError> {
        if depth > MAX_BRACES {
            return fault("braces are nested too deeply");
        }
        let mut all = Vec::new();
        loop {
            let one = self.sequence(depth)?;
            if one.is_empty() {
                return fault_with(
                    "an empty alternative in braces",
                    "two patterns instead of one",
                );
            }
            all.push(one);
            match self.next() {
                Some(',') => {}
                Some(_) => return Ok(all),
                None => {
                    return fault_with(
                        "`{` is never closed in this path component (braces cannot span a slash)",
                        "close it with `}`, or write `\\{` for the character itself",
                    );
                }
            }
        }
    }

    fn class(&mut self) -> Result<Class, GlobError> {
        let negated = matches!(self.peek(), Some('!' | '^'));
        self.at += usize::from(negated);
        let mut set = 0u128;
        let mut first = true;
        loop {
            let Some(low) = self.next() else {
                return fault_with(
                    "`[` is never closed in this path component (a class cannot hold a slash)",
                    "close it with `]`, or write `\\[` for the character itself",
                );
            };
            if low == ']' && !first {
                break;
            }
            first = false;
            let low = self.class_char(low)?;
            let is_range =
                self.peek() == Some('-') && self.chars.get(self.at + 1).is_some_and(|c| *c != ']');
            let high = if is_range {
                self.at += 1;
                let high = self.next().unwrap_or('-');
                self.class_char(high)?
            } else {
                low
            };
            if high < low {
                return fault("a range in a class runs backwards");
            }
            for c in low..=high {
                set |= 1 << c;
            }
        }
        Ok(Class { negated, set })
    }

    fn class_char(&mut self, c: char) -> Result<u8, GlobError> {
        let c = match c {
            '\\' => self.next().unwrap_or('\\'),
            c => c,
        };
        if !c.is_ascii() {
            return fault_with(
                "a class matches single bytes, so it cannot hold non-ASCII characters",
                "`{é,è}` instead of `[éè]`",
            );
        }
        Ok(c as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn regex(text: &str) -> String {
        String::from_utf8(Glob::parse(text).unwrap().unison_regex()).unwrap()
    }

    #[test]
    fn translations_into_unison_patterns() {
        let table = [
            ("*_state.json", r"(.*/)?[^/]*_state\.json(/.+)?"),
            (".git/", r"(.*/)?\.git/.+"),
            ("docs/*.md", r"docs/[^/]*\.md(/.+)?"),
            ("docs/**", "docs/.+"),
            ("**/docs/**", "(.*/)?docs/.+"),
            ("a/**/b", "a/(.*/)?b(/.+)?"),
            ("/build", "build(/.+)?"),
            ("/build/", "build/.+"),
            ("a b -> c", "(.*/)?a[ ]b[ ]->[ ]c(/.+)?"),
            ("[a-c]", "(.*/)?([a-c])(/.+)?"),
            ("[]a-]", "(.*/)?(-|]|[a])(/.+)?"),
            ("[!]^x-]", "(.*/)?[^]x^/-](/.+)?"),
            ("{a,b?}", "(.*/)?(a|b[^/])(/.+)?"),
            (r"\*x\!", r"(.*/)?\*x!(/.+)?"),
        ];
        for (glob, want) in table {
            assert_eq!(regex(glob), want, "{glob}");
        }
    }

    #[test]
    fn bad_patterns_say_why() {
        for (bad, why) in [
            ("", "empty"),
            ("[abc", "never closed"),
            ("[]", "never closed"),
            ("{a", "never closed"),
            ("{a/b,c}", "never closed"),
            ("{a,}", "empty alternative"),
            ("a}", "without"),
            ("a\\", "backslash"),
            ("**", "every path"),
            ("**/", "every path"),
            ("/**", "every path"),
            ("a**", "alone between slashes"),
            ("!a", "take a path back in"),
            ("/a/b", "absolute"),
            ("../a", "leave the root"),
            ("./a", "never matches"),
            ("a//b", "two slashes"),
            ("/", "names nothing"),
            ("a\nb", "control"),
            ("[é]", "non-ASCII"),
            ("[z-a]", "backwards"),
            ("{{{{{a}}}}}", "too deeply"),
        ] {
            let error = Glob::parse(bad).expect_err(bad);
            assert!(error.reason.contains(why), "{bad:?}: {error}");
        }
        assert!(Glob::parse(&"a".repeat(2000)).is_err());
    }

    #[test]
    fn every_accepted_pattern_is_one_globset_accepts() {
        for text in [
            "[]a-]",
            "[!]^x-]",
            "{a,{b,c}}",
            "a,b",
            "x[[]y",
            "[\\]]",
            "[ -~]",
            "é/**",
        ] {
            let glob = Glob::parse(text).unwrap();
            globset::Glob::new(&glob.globset_self()).expect(text);
            globset::Glob::new(&glob.globset_below()).expect(text);
        }
    }

    #[test]
    fn names_that_are_plain_are_known() {
        assert_eq!(
            Glob::parse("models/").unwrap().literal_name().as_deref(),
            Some("models")
        );
        assert_eq!(Glob::parse("/models").unwrap().literal_name(), None);
        assert_eq!(Glob::parse("*.tmp").unwrap().literal_name(), None);
    }

    #[test]
    fn a_literal_pattern_holds_no_line_break() {
        let regex = literal_regex(b"a b\n\xff.x");
        assert_eq!(regex, b"a[ ]b[^\x01-\x09\x0b-\xff]\xff\\.x");
    }
}
