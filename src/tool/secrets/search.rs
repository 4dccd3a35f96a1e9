//! One text, searched with rules: words first, then expressions, then what makes a match no finding. Pure.
//!
//! Invariant: a text of any length is searched whole, in windows that overlap, so that what lies across a seam is found.

use std::collections::BTreeSet;

use crate::tool::gitleaks::Leak;
use crate::tool::secrets::rules::{Allow, Rule, Rules, Target};

/// As much is searched at once, and as much of it again with the next part: longer than any key.
const WINDOW: usize = 256 << 10;
const OVERLAP: usize = 16 << 10;
/// Somebody has looked at a line that says so, if the repository's own word counts.
const LOOKED_AT: &[u8] = b"gitleaks:allow";

struct Hit<'a> {
    rule: &'a str,
    line: u64,
    secret: &'a [u8],
}

impl Rules {
    /// Everything in a file that looks like a secret. `marks`: a line may be marked as looked at.
    pub fn search(&self, path: &[u8], bytes: &[u8], marks: bool) -> Result<BTreeSet<Leak>, String> {
        let name = String::from_utf8_lossy(path);
        let mut leaks = BTreeSet::new();
        if allowed_by_path(&self.allow, path)? {
            return Ok(leaks);
        }
        let mut leak = |rule: &str, line| {
            leaks.insert(Leak {
                path: name.to_string(),
                line,
                rule: rule.to_owned(),
            });
        };
        for rule in self.all.iter().filter(|r| r.regex.is_none()) {
            let Some(pattern) = &rule.path else { continue };
            if pattern.get()?.is_match(path) && !allowed_by_path(&rule.allow, path)? {
                leak(&rule.id, 0);
            }
        }
        let wide = from_utf16(bytes);
        let bytes = wide.as_deref().unwrap_or(bytes);
        let (mut from, mut lines) = (0, 0);
        loop {
            let end = bytes.len().min(from + WINDOW);
            for hit in self.window(path, &bytes[from..end], marks)? {
                leak(hit.rule, lines + hit.line);
            }
            if end == bytes.len() {
                return Ok(leaks);
            }
            let next = whole_line(bytes, end - OVERLAP, end);
            lines += newlines(&bytes[from..next]);
            from = next;
        }
    }

    fn window<'a>(
        &'a self,
        path: &[u8],
        text: &'a [u8],
        marks: bool,
    ) -> Result<Vec<Hit<'a>>, String> {
        let mut wanted: BTreeSet<usize> = (0..self.all.len())
            .filter(|i| self.all[*i].words.is_empty())
            .collect();
        let mut seen = vec![false; self.by_word.len()];
        for found in self.words.find_overlapping_iter(text) {
            let word = found.pattern().as_usize();
            if !std::mem::replace(&mut seen[word], true) {
                wanted.extend(&self.by_word[word]);
            }
        }
        let mut hits = Vec::new();
        for i in wanted {
            self.apply(&self.all[i], path, text, marks, &mut hits)?;
        }
        // A general rule has nothing to add where a special one has found the same.
        let is_general = |h: &Hit| h.rule.to_lowercase().contains("generic");
        let better = |h: &Hit| {
            hits.iter()
                .any(|b| b.line == h.line && !is_general(b) && contains(b.secret, h.secret))
        };
        let keep: Vec<bool> = hits.iter().map(|h| !(is_general(h) && better(h))).collect();
        let mut keep = keep.into_iter();
        hits.retain(|_| keep.next().unwrap_or(true));
        Ok(hits)
    }

    fn apply<'a>(
        &'a self,
        rule: &'a Rule,
        path: &[u8],
        text: &'a [u8],
        marks: bool,
        hits: &mut Vec<Hit<'a>>,
    ) -> Result<(), String> {
        let Some(regex) = &rule.regex else {
            return Ok(());
        };
        if let Some(wanted) = &rule.path
            && !wanted.get()?.is_match(path)
        {
            return Ok(());
        }
        if allowed_by_path(&rule.allow, path)? {
            return Ok(());
        }
        let regex = regex.get()?;
        for found in regex.find_iter(text) {
            let (start, matched) = (found.start(), trim_lines(found.as_bytes()));
            let line = line_around(text, start, start + matched.len());
            if marks && contains(line, LOOKED_AT) {
                continue;
            }
            let groups = regex.captures(matched);
            let group = |n: usize| groups.as_ref().and_then(|g| g.get(n)).map(|m| m.as_bytes());
            let many = groups.as_ref().map_or(0, regex::bytes::Captures::len);
            let secret = match rule.group {
                0 => (1..many).filter_map(group).find(|s| !s.is_empty()),
                n => group(n),
            };
            let secret = secret.unwrap_or(matched);
            if rule.entropy != 0.0 && entropy(secret) <= rule.entropy {
                continue;
            }
            let of = |target| match target {
                Target::Secret => secret,
                Target::Match => matched,
                Target::Line => line,
            };
            let mut is_allowed = false;
            for list in self.allow.iter().chain(&rule.allow) {
                is_allowed = is_allowed || allowed(list, path, of(list.target), secret)?;
            }
            if !is_allowed {
                let line = 1 + newlines(&text[..text.len().min(start + 1)]);
                hits.push(Hit {
                    rule: &rule.id,
                    line,
                    secret,
                });
            }
        }
        Ok(())
    }
}

/// What a list says of a path alone; one whose conditions must all hold says it only when it has no others.
fn allowed_by_path(lists: &[Allow], path: &[u8]) -> Result<bool, String> {
    for list in lists {
        let more = !list.regexes.is_empty() || list.stop.is_some() || list.commits;
        if !(list.all_must_hold && more) && any(&list.paths, path)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn allowed(list: &Allow, path: &[u8], target: &[u8], secret: &[u8]) -> Result<bool, String> {
    let by_regex = any(&list.regexes, target)?;
    let by_word = list.stop.as_ref().is_some_and(|s| s.is_match(secret));
    if !list.all_must_hold {
        return Ok(by_regex || by_word);
    }
    // No commit is searched here, so a list that asks for one does not hold.
    Ok(!list.commits
        && (list.paths.is_empty() || any(&list.paths, path)?)
        && (list.regexes.is_empty() || by_regex)
        && (list.stop.is_none() || by_word))
}

fn any(regexes: &[super::regexes::Lazy], text: &[u8]) -> Result<bool, String> {
    for regex in regexes {
        if regex.get()?.is_match(text) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Bits for each character, if each is as likely as it is frequent.
fn entropy(secret: &[u8]) -> f64 {
    let text = String::from_utf8_lossy(secret);
    let mut seen = std::collections::HashMap::new();
    text.chars()
        .for_each(|c| *seen.entry(c).or_insert(0_u32) += 1);
    let whole = secret.len() as f64;
    let bits = |n: &u32| f64::from(*n) / whole * (f64::from(*n) / whole).log2();
    -seen.values().map(bits).sum::<f64>()
}

fn trim_lines(mut found: &[u8]) -> &[u8] {
    while let Some(rest) = found.strip_prefix(b"\n") {
        found = rest;
    }
    while let Some(rest) = found.strip_suffix(b"\n") {
        found = rest;
    }
    found
}

/// The lines in which a match lies.
fn line_around(text: &[u8], start: usize, end: usize) -> &[u8] {
    let from = text[..start].iter().rposition(|b| *b == b'\n');
    let to = text[end..].iter().position(|b| *b == b'\n');
    &text[from.map_or(0, |i| i + 1)..to.map_or(text.len(), |i| end + i)]
}

/// The first beginning of a line from `at` on, or `at` where a line has no end.
fn whole_line(bytes: &[u8], at: usize, end: usize) -> usize {
    let newline = bytes[at..end].iter().position(|b| *b == b'\n');
    newline.map_or(at, |i| at + i + 1)
}

fn newlines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|b| **b == b'\n').count() as u64
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    part.is_empty() || crate::tool::remote::find(text, part).is_some()
}

/// The text of a file that says by its first two bytes that each character is two.
fn from_utf16(bytes: &[u8]) -> Option<Vec<u8>> {
    let order: fn([u8; 2]) -> u16 = match bytes {
        [0xFF, 0xFE, ..] => u16::from_le_bytes,
        [0xFE, 0xFF, ..] => u16::from_be_bytes,
        _ => return None,
    };
    let (pairs, _) = bytes.as_chunks::<2>();
    let units: Vec<u16> = pairs.iter().map(|p| order(*p)).collect();
    Some(String::from_utf16_lossy(&units).into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool::secrets::DEFAULT;

    /// Nobody's token; put together here, so that no scan of this project finds one.
    fn token() -> String {
        ["ghp", "_", "0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT0uV1wX"].concat()
    }

    fn found(rules: &Rules, path: &str, text: &[u8]) -> Vec<String> {
        let leaks = rules.search(path.as_bytes(), text, true).unwrap();
        leaks
            .iter()
            .map(|l| format!("{}:{}", l.rule, l.line))
            .collect()
    }

    #[test]
    fn a_token_is_found_by_its_special_rule_alone_and_placeholders_are_not() {
        let rules = Rules::parse(DEFAULT).unwrap();
        let text = format!("a\nb\napi_token = \"{}\"\n", token());
        assert_eq!(found(&rules, "a.toml", text.as_bytes()), ["github-pat:3"]);
        let text = format!("token = ghp_{}", "X".repeat(36));
        assert_eq!(found(&rules, "a", text.as_bytes()), [""; 0]);
        let text = format!("{} # gitleaks:allow", token());
        assert_eq!(found(&rules, "a", text.as_bytes()), [""; 0]);
        assert_eq!(found(&rules, "go.sum", token().as_bytes()), [""; 0]);
        assert_eq!(found(&rules, "keys/x.P12", b""), ["pkcs12-file:0"]);
    }

    #[test]
    fn a_long_file_and_one_of_wide_characters_are_searched_whole() {
        let rules = Rules::parse(DEFAULT).unwrap();
        // Across every seam in turn, and at the very end.
        for at in [WINDOW - 20, WINDOW, 3 * WINDOW - 2 * OVERLAP - 7, 900_000] {
            let mut text = "filler filler\n".repeat(80_000).into_bytes();
            let line = newlines(&text[..at]) + 2;
            let put = format!("\n{}\n", token());
            text.splice(at..at, put.bytes());
            assert_eq!(
                found(&rules, "a", &text),
                [format!("github-pat:{line}")],
                "{at}"
            );
        }
        let mut one_line = vec![b'-'; 700_000];
        one_line.extend(format!(" {}", token()).bytes());
        assert_eq!(found(&rules, "a", &one_line), ["github-pat:1"]);
        let text = format!("\u{feff}eins\n{}\n", token());
        let le: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let be: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(found(&rules, "a", &le), ["github-pat:2"]);
        assert_eq!(found(&rules, "a", &be), ["github-pat:2"]);
    }

    #[test]
    fn groups_entropy_and_lists_have_their_say() {
        let rules = Rules::parse(
            r#"
            [[rules]]
            id = "pair"
            regex = '''(\w+)=(\w+);'''
            secretGroup = 2
            entropy = 2.0
            keywords = ["KEY"]
            [[rules.allowlists]]
            condition = "AND"
            paths = ["^doc/"]
            regexTarget = "line"
            regexes = ["sample"]
            [[rules.allowlists]]
            regexTarget = "match"
            regexes = ["^free="]
            stopwords = ["Dummy"]
            [[rules]]
            id = "generic-pair"
            regex = '''key=(\w+)'''
            "#,
        )
        .unwrap();
        let one = |path: &str, text: &str| found(&rules, path, text.as_bytes());
        assert_eq!(one("a", "key=abcdefgh;"), ["pair:1"]);
        assert_eq!(one("a", "key=aaaaaaaa;"), ["generic-pair:1"]);
        assert_eq!(one("a", "other=abcdefgh;"), [""; 0]);
        assert_eq!(one("a", "key free=abcdefgh;"), [""; 0]);
        assert_eq!(one("a", "key x=abdummyh;"), [""; 0]);
        assert_eq!(one("a", "key x=abcdefgh; sample"), ["pair:1"]);
        assert_eq!(one("doc/a", "key x=abcdefgh; sample"), [""; 0]);
        assert_eq!(one("doc/a", "sample\nkey x=abcdefgh;"), ["pair:2"]);
    }
}
