//! The two translations of a pattern: globset's syntax and unison's `Regex`.
//!
//! Invariant: classes and literals are written so that both readers mean the same bytes by them; what
//! one of them could misread (brackets, `^`, `-`, blanks) never stands where it could.

use super::{Class, Component, Glob, Node, escape};

impl Glob {
    /// In globset's syntax: what the pattern itself matches (for a directories-only pattern: those).
    pub fn globset_self(&self) -> String {
        let mut out = String::new();
        for (i, component) in self.components.iter().enumerate() {
            if i > 0 {
                out.push('/');
            }
            match component {
                Component::Deep => out.push_str("**"),
                Component::Nodes(nodes) => globset_nodes(nodes, &mut out),
            }
        }
        out
    }

    /// In globset's syntax: everything below what the pattern matches.
    pub fn globset_below(&self) -> String {
        let mut out = self.globset_self();
        match (self.components.last(), self.dir_only) {
            // globset reads `**/**` as one `**`; here the first names directories, the second what they hold.
            (Some(Component::Deep), true) => out.push_str("/*/**"),
            (Some(Component::Deep), false) => {}
            _ => out.push_str("/**"),
        }
        out
    }

    /// The unison `Regex` pattern. Of a directories-only pattern it matches what is BELOW the
    /// directories: unison cannot ask for the kind, so a run adds those it sees as literals.
    pub fn unison_regex(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let last = self.components.len() - 1;
        for (i, component) in self.components.iter().enumerate() {
            let after_deep = i > 0 && self.components[i - 1] == Component::Deep;
            match component {
                Component::Deep if i == last => out.extend_from_slice(b"/.+"),
                Component::Deep if i == 0 => out.extend_from_slice(b"(.*/)?"),
                Component::Deep => out.extend_from_slice(b"/(.*/)?"),
                Component::Nodes(nodes) => {
                    if i > 0 && !after_deep {
                        out.push(b'/');
                    }
                    unison_nodes(nodes, &mut out);
                }
            }
        }
        if self.dir_only {
            out.extend_from_slice(b"/.+");
        } else if self.components[last] != Component::Deep {
            out.extend_from_slice(b"(/.+)?");
        }
        out
    }
}

/// A unison `Regex` that matches exactly this path, whatever bytes it holds.
pub fn literal_regex(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len() + 8);
    for byte in path {
        unison_byte(*byte, &mut out);
    }
    out
}

/// The members of a class as ranges of characters that are harmless inside brackets everywhere, and
/// the few that are not.
fn class_parts(class: &Class) -> (Vec<(u8, u8)>, Vec<u8>) {
    let mut ranges: Vec<(u8, u8)> = Vec::new();
    let mut awkward = Vec::new();
    for c in 0..128u8 {
        if class.set & (1 << c) == 0 || c == b'/' {
            continue;
        }
        if matches!(c, b'[' | b']' | b'^' | b'-' | b'!' | b'\\' | b' ') {
            awkward.push(c);
            continue;
        }
        match ranges.last_mut() {
            Some((_, high)) if *high + 1 == c => *high = c,
            _ => ranges.push((c, c)),
        }
    }
    (ranges, awkward)
}

fn push_ranges(ranges: &[(u8, u8)], out: &mut Vec<u8>) {
    for (low, high) in ranges {
        out.push(*low);
        if high > low {
            if *high > low + 1 {
                out.push(b'-');
            }
            out.push(*high);
        }
    }
}

/// The characters of a negated class in the one order that both dialects read alike: `]` first, `-`
/// last, nothing that could form a range by accident, and always the slash.
fn negated_body(class: &Class) -> Vec<u8> {
    let (ranges, awkward) = class_parts(class);
    let mut out = Vec::new();
    if awkward.contains(&b']') {
        out.push(b']');
    }
    push_ranges(&ranges, &mut out);
    out.extend(awkward.iter().filter(|c| !matches!(c, b']' | b'-')));
    out.push(b'/');
    if awkward.contains(&b'-') {
        out.push(b'-');
    }
    out
}

fn globset_nodes(nodes: &[Node], out: &mut String) {
    for node in nodes {
        match node {
            Node::Literal(c) => out.push_str(&escape(c.encode_utf8(&mut [0; 4]))),
            Node::Many => out.push('*'),
            Node::One => out.push('?'),
            Node::Class(class) => globset_class(class, out),
            Node::Either(all) => {
                out.push('{');
                for (i, one) in all.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    globset_nodes(one, out);
                }
                out.push('}');
            }
        }
    }
}

fn globset_class(class: &Class, out: &mut String) {
    if class.negated {
        out.push_str("[!");
        out.push_str(&String::from_utf8_lossy(&negated_body(class)));
        out.push(']');
        return;
    }
    let (ranges, awkward) = class_parts(class);
    let mut parts: Vec<String> = awkward
        .iter()
        .map(|c| format!("\\{}", *c as char))
        .collect();
    if !ranges.is_empty() {
        let mut body = Vec::new();
        push_ranges(&ranges, &mut body);
        parts.push(format!("[{}]", String::from_utf8_lossy(&body)));
    }
    out.push_str(&format!("{{{}}}", parts.join(",")));
}

fn unison_nodes(nodes: &[Node], out: &mut Vec<u8>) {
    for node in nodes {
        match node {
            Node::Literal(c) => {
                for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                    unison_byte(byte, out);
                }
            }
            Node::Many => out.extend_from_slice(b"[^/]*"),
            Node::One => out.extend_from_slice(b"[^/]"),
            Node::Class(class) => unison_class(class, out),
            Node::Either(all) => {
                out.push(b'(');
                for (i, one) in all.iter().enumerate() {
                    if i > 0 {
                        out.push(b'|');
                    }
                    unison_nodes(one, out);
                }
                out.push(b')');
            }
        }
    }
}

fn unison_class(class: &Class, out: &mut Vec<u8>) {
    if class.negated {
        out.extend_from_slice(b"[^");
        out.extend_from_slice(&negated_body(class));
        out.push(b']');
        return;
    }
    let (ranges, awkward) = class_parts(class);
    out.push(b'(');
    for (i, c) in awkward.iter().enumerate() {
        if i > 0 {
            out.push(b'|');
        }
        unison_byte(*c, out);
    }
    if !ranges.is_empty() {
        if !awkward.is_empty() {
            out.push(b'|');
        }
        out.push(b'[');
        push_ranges(&ranges, out);
        out.push(b']');
    }
    out.push(b')');
}

/// One byte that means itself. A line break cannot stand in a profile, so it becomes "no byte but
/// this"; blanks and other control bytes go into brackets, where nothing trims them.
fn unison_byte(byte: u8, out: &mut Vec<u8>) {
    match byte {
        b'|' | b'(' | b')' | b'*' | b'+' | b'?' | b'[' | b'.' | b'^' | b'$' | b'{' | b'\\' => {
            out.extend_from_slice(&[b'\\', byte]);
        }
        b'\n' => out.extend_from_slice(b"[^\x01-\x09\x0b-\xff]"),
        b' ' | 0x01..=0x1f | 0x7f => out.extend_from_slice(&[b'[', byte, b']']),
        _ => out.push(byte),
    }
}
