//! Unison's `Regex` as its own parser reads it, so that a translation into it can be tried on names without unison.

/// Reads a unison `Regex` as unison's own parser does and writes it for the regex crate.
pub fn as_rust_regex(pattern: &[u8]) -> regex::bytes::Regex {
    let mut out = String::from("(?s-u)\\A(?:");
    let mut at = 0;
    while at < pattern.len() {
        let byte = pattern[at];
        at += 1;
        match byte {
            b'(' | b')' | b'|' | b'*' | b'+' | b'?' | b'.' => out.push(byte as char),
            b'[' => at = class(pattern, at, &mut out),
            b'\\' => {
                assert!(
                    b"|()*+?[.^${\\".contains(&pattern[at]),
                    "unison refuses this escape"
                );
                push_byte(pattern[at], &mut out);
                at += 1;
            }
            b'^' | b'$' | b'{' => panic!("special and not escaped: {}", byte as char),
            byte => push_byte(byte, &mut out),
        }
    }
    out.push_str(")\\z");
    regex::bytes::Regex::new(&out).expect("translated pattern")
}

/// Brackets: no escapes; `]` first and `-` last are themselves; `[.`, `[:`, `[=` are refused.
fn class(pattern: &[u8], mut at: usize, out: &mut String) -> usize {
    out.push('[');
    if pattern[at] == b'^' {
        out.push('^');
        at += 1;
    }
    let mut is_first = true;
    loop {
        let low = pattern[at];
        at += 1;
        if low == b']' && !is_first {
            break;
        }
        assert!(
            low != b'[' || !b".:=".contains(&pattern[at]),
            "unison refuses this class"
        );
        is_first = false;
        push_byte(low, out);
        if pattern[at] == b'-' {
            if pattern[at + 1] == b']' {
                push_byte(b'-', out);
                at += 2;
                break;
            }
            out.push('-');
            push_byte(pattern[at + 1], out);
            at += 2;
        }
    }
    out.push(']');
    at
}

fn push_byte(byte: u8, out: &mut String) {
    out.push_str(&format!("\\x{byte:02x}"));
}
