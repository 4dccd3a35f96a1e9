//! The shape of the house, held by reading `src/`: imports point down only, every file says what it is for and
//! stays short, and nothing below the command line prints.
//!
//! It reads text, not syntax: names built by macros escape it, and clippy's lints hold the rest.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

use std::fs;
use std::path::Path;

/// From the ground up; the inner names share a floor.
const FLOORS: [&[&str]; 7] = [
    &["model"],
    &["tool"],
    &["host"],
    &["audit"],
    &["lanes", "flow"],
    &["worker"],
    &["cli"],
];
/// Lines of a file that are not tests.
const MOST_LINES: usize = 500;

#[test]
fn the_sources_keep_to_their_floors() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&src, &mut files);
    assert!(files.len() > 10, "src/ was not found");
    let mut faults = Vec::new();
    for file in files {
        let path = file
            .strip_prefix(&src)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        faults.extend(check(&path, &fs::read_to_string(&file).unwrap()));
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

fn collect(dir: &Path, files: &mut Vec<std::path::PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
}

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|names| names.contains(&module))
}

/// All faults of one file, `path` being relative to `src/`.
fn check(path: &str, source: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if !source.trim_start().starts_with("//!") {
        faults.push(format!("{path}: does not open with //!"));
    }
    let modules = module_path(path);
    // Also tests that are too many for one file: `schema_tests`.
    let of_tests = |m: &String| m == "tests" || m.ends_with("_tests");
    if modules.iter().any(of_tests) {
        return faults;
    }
    let code = without_tests(&code_only(source));
    let lines = code.trim_end().lines().count();
    if lines > MOST_LINES {
        faults.push(format!(
            "{path}: {lines} lines without tests, {MOST_LINES} are allowed"
        ));
    }
    let top = modules.first().map(String::as_str);
    if top != Some("cli") {
        for name in ["print", "println", "eprint", "eprintln"] {
            for line in macro_lines(&code, name) {
                faults.push(format!("{path}:{line}: {name}! outside cli"));
            }
        }
    }
    // lib.rs and main.rs stand above all floors.
    let Some(top) = top else { return faults };
    let Some(own) = floor(top) else {
        faults.push(format!("{path}: `{top}` belongs to no floor"));
        return faults;
    };
    for (line, target) in root_references(&code, modules.len()) {
        if floor(&target).is_some_and(|theirs| theirs > own) {
            faults.push(format!("{path}:{line}: `{top}` reaches up to `{target}`"));
        }
    }
    faults
}

/// `lanes/truth.rs` is `[lanes, truth]`, `lanes/mod.rs` is `[lanes]`, the two roots are nothing.
fn module_path(path: &str) -> Vec<String> {
    let mut parts: Vec<String> = path
        .trim_end_matches(".rs")
        .split('/')
        .map(str::to_owned)
        .collect();
    let last = parts.last().map(String::as_str);
    if last == Some("mod") || (parts.len() == 1 && matches!(last, Some("lib" | "main"))) {
        parts.pop();
    }
    parts
}

/// The source with comments, strings and characters blanked out; lines stay where they are.
fn code_only(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut code = String::with_capacity(source.len());
    let mut i = 0;
    while i < chars.len() {
        let end = end_of_blank(&chars, i);
        if end == i {
            code.push(chars[i]);
            i += 1;
        } else {
            code.push(' ');
            code.extend(chars[i..end].iter().filter(|&&c| c == '\n'));
            i = end;
        }
    }
    code
}

/// Where the comment or literal that begins at `i` ends; `i` itself when none begins there.
fn end_of_blank(chars: &[char], i: usize) -> usize {
    let at = |k: usize| chars.get(k).copied().unwrap_or('\0');
    match (at(i), at(i + 1)) {
        ('/', '/') => (i..chars.len())
            .find(|&k| chars[k] == '\n')
            .unwrap_or(chars.len()),
        ('/', '*') => end_of_block(chars, i),
        ('"', _) => end_of_quoted(chars, i, '"'),
        ('r', '"' | '#') if i == 0 || !is_word(at(i - 1)) || at(i - 1) == 'b' => {
            end_of_raw(chars, i)
        }
        // A character, not a lifetime: `'x'` or an escape.
        ('\'', '\\') => end_of_quoted(chars, i, '\''),
        ('\'', _) if at(i + 2) == '\'' => i + 3,
        _ => i,
    }
}

fn end_of_block(chars: &[char], start: usize) -> usize {
    let mut depth = 0;
    let mut k = start;
    while k < chars.len() {
        match (chars[k], chars.get(k + 1)) {
            ('/', Some('*')) => depth += 1,
            ('*', Some('/')) => depth -= 1,
            _ => {
                k += 1;
                continue;
            }
        }
        k += 2;
        if depth == 0 {
            return k;
        }
    }
    chars.len()
}

fn end_of_quoted(chars: &[char], start: usize, quote: char) -> usize {
    let mut k = start + 1;
    while k < chars.len() {
        match chars[k] {
            '\\' => k += 2,
            c if c == quote => return k + 1,
            _ => k += 1,
        }
    }
    chars.len()
}

fn end_of_raw(chars: &[char], start: usize) -> usize {
    let hashes = chars[start + 1..].iter().take_while(|&&c| c == '#').count();
    let open = start + 1 + hashes;
    if chars.get(open) != Some(&'"') {
        return start;
    }
    let close: Vec<char> = std::iter::once('"')
        .chain(std::iter::repeat_n('#', hashes))
        .collect();
    (open + 1..chars.len())
        .find(|&k| chars[k..].starts_with(&close))
        .map_or(chars.len(), |k| k + close.len())
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The code without its `#[cfg(test)] mod … { … }` blocks. Their lines go, except when blocks are not last in
/// the file: then line numbers behind them are off by the block, which a reader forgives.
fn without_tests(code: &str) -> String {
    let mut kept = String::new();
    let mut rest = code;
    while let Some(start) = rest.find("#[cfg(test)]") {
        let tail = &rest[start..];
        let after = tail["#[cfg(test)]".len()..].trim_start();
        let block = tail
            .find('{')
            .filter(|_| after.starts_with("mod ") || after.starts_with("pub mod "));
        let Some(open) = block.filter(|&open| !tail[..open].contains(';')) else {
            kept.push_str(&rest[..start + 1]);
            rest = &rest[start + 1..];
            continue;
        };
        kept.push_str(&rest[..start]);
        let mut depth = 0;
        let close = tail[open..].char_indices().find(|(_, c)| {
            depth += i32::from(*c == '{') - i32::from(*c == '}');
            depth == 0
        });
        rest = close.map_or("", |(k, _)| &tail[open + k + 1..]);
    }
    kept + rest
}

fn macro_lines(code: &str, name: &str) -> Vec<usize> {
    let called = |rest: &str| rest.starts_with('!') && !rest.starts_with("!=");
    words(code)
        .into_iter()
        .filter(|(at, word)| *word == name && called(code[at + word.len()..].trim_start()))
        .map(|(at, _)| line_of(code, at))
        .collect()
}

/// Every name that is reached from the crate's root, with its line: through `crate::`, through as many `super::`
/// as the file is deep, and inside the braces of either.
fn root_references(code: &str, depth: usize) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, word) in words(code) {
        let mut rest = &code[at + word.len()..];
        let from_root = match word {
            "crate" => true,
            "super" if !code[..at].trim_end().ends_with("::") => {
                let mut climbed = 1;
                while let Some(next) = path_rest(rest).and_then(|r| strip_word(r, "super")) {
                    climbed += 1;
                    rest = next;
                }
                climbed >= depth
            }
            _ => false,
        };
        if from_root && let Some(rest) = path_rest(rest) {
            found.extend(
                first_names(rest)
                    .into_iter()
                    .map(|name| (line_of(code, at), name)),
            );
        }
    }
    found
}

fn path_rest(rest: &str) -> Option<&str> {
    rest.trim_start().strip_prefix("::").map(str::trim_start)
}

fn strip_word<'a>(rest: &'a str, word: &str) -> Option<&'a str> {
    rest.strip_prefix(word).filter(|r| !r.starts_with(is_word))
}

/// The first segment, or the first segment of every branch of a `{…}`.
fn first_names(rest: &str) -> Vec<String> {
    let name = |text: &str| {
        text.trim_start()
            .chars()
            .take_while(|&c| is_word(c))
            .collect::<String>()
    };
    let Some(group) = rest.strip_prefix('{') else {
        return vec![name(rest)];
    };
    let mut depth = 1;
    let mut names = vec![name(group)];
    for (k, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => names.push(name(&group[k + 1..])),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    names
}

fn words(code: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut start = None;
    for (k, c) in code.char_indices().chain([(code.len(), ' ')]) {
        match (start, is_word(c)) {
            (None, true) => start = Some(k),
            (Some(s), false) => {
                found.push((s, &code[s..k]));
                start = None;
            }
            _ => {}
        }
    }
    found
}

fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

/// The checker on sources that are made up: a check that never fails proves nothing.
mod the_checker {
    use super::check;

    fn faults(path: &str, body: &str) -> Vec<String> {
        check(path, &format!("//! A file.\n{body}"))
    }

    #[test]
    fn lets_imports_point_down_and_sideways() {
        let down =
            "use crate::host::clock;\nuse crate::{model::plan::Plan, tool};\nuse super::log;\n";
        assert_eq!(faults("lanes/truth.rs", down), [""; 0]);
        assert_eq!(faults("flow.rs", "use crate::lanes::truth;"), [""; 0]);
        assert_eq!(faults("lanes/log.rs", "use crate::flow::Stage;"), [""; 0]);
        assert_eq!(
            faults("main.rs", "use ubos_sync::cli;\npub mod cli;"),
            [""; 0]
        );
    }

    #[test]
    fn sees_an_upward_import_in_every_spelling() {
        let up = ["host/files.rs:2: `host` reaches up to `audit`"];
        assert_eq!(faults("host/files.rs", "use crate::audit::Store;"), up);
        assert_eq!(
            faults(
                "host/files.rs",
                "use crate :: { model, audit::{Store, Event} };"
            ),
            up
        );
        assert_eq!(
            faults("host/files.rs", "pub(crate) use super::super::audit;"),
            up
        );
        assert_eq!(
            faults("host/files.rs", "fn f() -> crate::audit::Store { todo() }"),
            up
        );
        assert_eq!(
            faults(
                "host/files.rs",
                "use crate::{\n  model::{a, b},\n  audit,\n};"
            ),
            up
        );
        assert_eq!(faults("model/mod.rs", "use super::cli;").len(), 1);
    }

    #[test]
    fn is_not_fooled_by_words_in_comments_and_strings() {
        let body = "// use crate::cli;\n/* crate::cli /* nested */ println!() */\n\
                    const A: &str = \"crate::cli \\\" println!()\";\n\
                    const B: &str = r#\"crate::cli \" println!()\"#;\n\
                    const C: char = '\"';\nfn f<'a>(x: &'a str) {}\n\
                    fn g() { super::cli_like(); my_println!(); }\n";
        assert_eq!(faults("model/text.rs", body), [""; 0]);
        let behind = format!("{body}use crate::cli;");
        assert_eq!(
            faults("model/text.rs", &behind).len(),
            1,
            "what follows is still read"
        );
    }

    #[test]
    fn lets_tests_reach_where_they_like() {
        let body =
            "#[cfg(test)]\nmod tests {\n  use crate::cli;\n  fn f() { println!(\"{}\", 1); }\n}\n";
        assert_eq!(faults("model/text.rs", body), [""; 0]);
        assert_eq!(faults("host/tests.rs", "use crate::cli;"), [""; 0]);
        let behind = format!("{body}use crate::cli;");
        assert_eq!(faults("model/text.rs", &behind).len(), 1);
        let declared = "#[cfg(test)]\nmod tests;\nfn f() { println!(); }";
        assert_eq!(faults("model/text.rs", declared).len(), 1);
    }

    #[test]
    fn asks_every_file_what_it_is_for() {
        assert_eq!(
            check("model/text.rs", "use std::fs;\n"),
            ["model/text.rs: does not open with //!"]
        );
        assert_eq!(check("model/text.rs", "//! Text.\n"), [""; 0]);
    }

    #[test]
    fn counts_lines_without_tests() {
        let long = "fn f() {}\n".repeat(499);
        assert_eq!(faults("model/text.rs", &long), [""; 0]);
        let tests = format!("{long}#[cfg(test)]\nmod tests {{\n{long}}}\n");
        assert_eq!(faults("model/text.rs", &tests), [""; 0]);
        let longer = format!("{long}fn g() {{}}\n");
        assert_eq!(
            faults("model/text.rs", &longer),
            ["model/text.rs: 501 lines without tests, 500 are allowed"]
        );
    }

    #[test]
    fn keeps_printing_to_the_command_line() {
        let print = "fn f() {\n    println!(\"x\");\n    eprint ! (\"y\");\n}\n";
        assert_eq!(
            faults("lanes/log.rs", print),
            [
                "lanes/log.rs:3: println! outside cli",
                "lanes/log.rs:4: eprint! outside cli"
            ]
        );
        assert_eq!(faults("cli/show.rs", print), [""; 0]);
        assert_eq!(faults("main.rs", print).len(), 2);
        assert_eq!(
            faults("lanes/log.rs", "fn f(print: u8) -> bool { print != 1 }"),
            [""; 0]
        );
    }

    #[test]
    fn knows_every_top_module() {
        assert_eq!(
            faults("util.rs", ""),
            ["util.rs: `util` belongs to no floor"]
        );
        assert_eq!(
            faults("util/mod.rs", ""),
            ["util/mod.rs: `util` belongs to no floor"]
        );
    }
}
