//! One glob language, three readers: the verdict (globset), our translation (read by the small
//! matcher below) and real unison must agree about the same names.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use ubos_sync::model::glob::{Glob, literal_regex};
use ubos_sync::model::path::RelPath;
use ubos_sync::model::rules::{Never, Rules, Spec, Verdict, What};

#[path = "../fuzz/src/unison_regex.rs"]
mod unison_regex;

use unison_regex::as_rust_regex;

/// Names made of what breaks such tools: blanks, dots, every special character, newlines, bytes
/// that are not UTF-8. Few characters, so that patterns have something to match.
fn name() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        6 => proptest::sample::select(vec![&b"a"[..], b"b", b"ab", b".", b"_state.json", b".tmp"]),
        2 => proptest::sample::select(vec![&b" "[..], b" -> ", b"  ", b"-", b">", b"~", b"#", b"%"]),
        2 => proptest::sample::select(vec![&b"{"[..], b"}", b"[", b"]", b"*", b"?", b"\\", b"!", b",", b"^", b"$", b"(", b")", b"|", b"+", b"=", b":", b"&"]),
        2 => proptest::sample::select(vec![&b"\xc3\xa9"[..], b"e\xcc\x81", b"\xff", b"\xe6\x97", b"\n", b"\t", b"\r", b"\x7f", b"\x1b[m"]),
    ];
    vec(piece, 1..4)
        .prop_map(|pieces| pieces.concat())
        .prop_filter("reserved", |n| n != b"." && n != b"..")
}

fn path() -> impl Strategy<Value = RelPath> {
    vec(name(), 1..4).prop_filter_map("unsound", |names| RelPath::new(names.join(&b'/')))
}

/// One component of a pattern.
fn component() -> impl Strategy<Value = String> {
    let literal = proptest::sample::select(vec![
        "a",
        "b",
        "ab",
        ".",
        "_state.json",
        ".tmp",
        " ",
        " -> ",
        "-",
        "é",
        "\\{",
        "\\}",
        "\\[",
        "]",
        "\\*",
        "\\?",
        "\\\\",
        "\\!",
        ",",
        "^",
        "$",
        "(",
        "|",
        "+",
        "#",
    ]);
    let wild = proptest::sample::select(vec![
        "*",
        "*",
        "?",
        "[ab]",
        "[a-c.]",
        "[!a]",
        "[!.a-b]",
        "[^]-]",
        "[]^-]",
        "[[:.=]",
        "[!\\[ -]",
        "[ -~]",
        "[!!]",
        "[\\]\\\\]",
        "{a,b}",
        "{a*,.?}",
        "{ab,{b,[.]}}",
        "{_state,x}",
        "[!&~|]",
    ]);
    vec(prop_oneof![3 => literal, 2 => wild], 1..4).prop_map(|parts| parts.concat())
}

fn pattern() -> impl Strategy<Value = Glob> {
    let head = proptest::sample::select(vec!["", "", "", "**/", "/"]);
    let tail = proptest::sample::select(vec!["", "", "", "/", "/**", "/**/"]);
    let middle = prop_oneof![Just("/"), Just("/**/")];
    (head, vec(component(), 1..3), middle, tail).prop_filter_map(
        "not a pattern",
        |(head, parts, middle, tail)| {
            Glob::parse(&format!("{head}{}{tail}", parts.join(middle))).ok()
        },
    )
}

/// How many rounds: a few by default, `UBOS_SYNC_ROUNDS` for the full count.
fn rounds(few: u32) -> u32 {
    let asked = std::env::var("UBOS_SYNC_ROUNDS").ok();
    asked.and_then(|n| n.parse().ok()).unwrap_or(few)
}

fn rules(globs: &[Glob], literals: &[RelPath]) -> Rules {
    let never = literals.iter().map(|path| Never {
        what: What::Path(path.clone()),
        reason: "literal".into(),
    });
    Rules::new(Spec {
        never: never.collect(),
        exclude: globs.to_vec(),
        ..Spec::default()
    })
    .expect("patterns compile")
}

/// Every path and every directory on the way to it.
fn with_ancestors(paths: &[RelPath]) -> BTreeSet<RelPath> {
    let mut all: BTreeSet<RelPath> = paths.iter().cloned().collect();
    for path in paths {
        all.extend(path.ancestors().filter_map(RelPath::new));
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: rounds(400), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_verdict_and_the_translation_agree(globs in vec(pattern(), 1..6), literals in vec(path(), 0..3), paths in vec(path(), 1..40)) {
        let rules = rules(&globs, &literals);
        let regexes: Vec<_> = rules.unison_ignores().iter().map(|line| {
            assert!(!line.contains(&b'\n') && line.trim_ascii() == line.as_slice());
            assert!(!line.windows(4).any(|w| w == b" -> "));
            as_rust_regex(line.strip_prefix(b"Regex ").unwrap())
        }).collect();
        let mut paths = with_ancestors(&paths);
        paths.extend(with_ancestors(&literals));
        for path in paths {
            let is_ignored = regexes.iter().any(|r| r.is_match(path.as_bytes()));
            let verdict = rules.verdict(&path, false);
            prop_assert_eq!(!verdict.is_truth(), is_ignored, "{} under {:?}: {:?}", path, globs, verdict);
        }
    }

    #[test]
    fn a_literal_pattern_matches_its_path_and_no_other(path in path(), other in path()) {
        let regex = as_rust_regex(&literal_regex(path.as_bytes()));
        prop_assert!(regex.is_match(path.as_bytes()));
        prop_assert_eq!(regex.is_match(other.as_bytes()), path == other);
    }
}

/// The unisons of this machine.
fn engines() -> Vec<PathBuf> {
    let dirs: Vec<PathBuf> =
        std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    let mut found: Vec<PathBuf> = Vec::new();
    for dir in dirs {
        for name in ["unison", "unison-2.51+4.13.1"] {
            let program = dir.join(name);
            if program.is_file() && !found.iter().any(|f| f.file_name() == program.file_name()) {
                found.push(program);
            }
        }
    }
    found
}

#[test]
fn real_unison_agrees() {
    let engines = engines();
    if engines.is_empty() {
        assert!(std::env::var_os("CI").is_none(), "unison is missing");
        return;
    }
    let config = ProptestConfig {
        cases: rounds(40),
        failure_persistence: None,
        max_shrink_iters: 60,
        ..ProptestConfig::default()
    };
    let mut round = 0;
    let round = std::cell::RefCell::new(&mut round);
    let inputs = (vec(pattern(), 1..6), vec(path(), 0..3), vec(path(), 20..60));
    TestRunner::new(config)
        .run(&inputs, |(globs, literals, mut paths)| {
            let mut round = round.borrow_mut();
            **round += 1;
            paths.extend(literals.iter().cloned());
            compare(
                &engines[**round % engines.len()],
                &rules(&globs, &literals),
                &paths,
            )
            .map_err(|why| TestCaseError::fail(format!("{why}\nunder {globs:?}")))
        })
        .unwrap_or_else(|e| panic!("{e}"));
}

/// Makes the files in A, lets unison sync A to B, and compares what arrived with the verdicts.
fn compare(engine: &Path, rules: &Rules, paths: &[RelPath]) -> Result<(), String> {
    let lab = tempfile::tempdir().unwrap();
    let (a, b, home) = (
        lab.path().join("a"),
        lab.path().join("b"),
        lab.path().join("u"),
    );
    for dir in [&a, &b, &home] {
        std::fs::create_dir(dir).unwrap();
    }
    let at = |root: &Path, path: &RelPath| root.join(OsStr::from_bytes(path.as_bytes()));
    for path in paths {
        let file = at(&a, path);
        // A name that is a file already cannot be a directory as well: such paths are left out.
        if std::fs::create_dir_all(file.parent().unwrap()).is_ok() && !file.exists() {
            let _ = std::fs::write(file, path.as_bytes());
        }
    }
    let mut profile = format!("root = {}\nroot = {}\n", a.display(), b.display()).into_bytes();
    let mut push = |line: &[u8]| profile.extend_from_slice(&[b"ignore = ", line, b"\n"].concat());
    rules.unison_ignores().iter().for_each(|line| push(line));
    let all: Vec<RelPath> = with_ancestors(paths)
        .into_iter()
        .filter(|p| at(&a, p).symlink_metadata().is_ok())
        .collect();
    for dir in all.iter().filter(|p| at(&a, p).is_dir()) {
        // What a run does: directories that only a `name/` pattern takes out, as literals.
        if rules.is_out_as_directory(dir) {
            push(&Rules::unison_literal(dir));
        }
    }
    std::fs::write(home.join("p.prf"), &profile).unwrap();
    let output = sync(engine, &home);
    for path in &all {
        let verdict = rules.verdict(path, at(&a, path).is_dir());
        let arrived = at(&b, path).symlink_metadata().is_ok();
        if arrived != verdict.is_truth() {
            let profile = String::from_utf8_lossy(&profile).into_owned();
            return Err(format!(
                "{path}: {verdict:?}, arrived: {arrived}\n{output}\n{profile}"
            ));
        }
    }
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the test starts the engine itself"
)]
fn sync(engine: &Path, home: &Path) -> String {
    let output = std::process::Command::new(engine)
        .args([
            "p",
            "-ui",
            "text",
            "-batch",
            "-dumbtty",
            "-log=false",
            "-confirmbigdel=false",
        ])
        .env_clear()
        .env("HOME", home)
        .env("UNISON", home)
        .env("LC_ALL", "C")
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn real_unison_accepts_a_rendered_profile() {
    use ubos_sync::model::policy::{self, Env};
    use ubos_sync::tool::unison_profile;
    for engine in engines() {
        for (conflicts, permissions) in [
            ("newer", true),
            ("manual", false),
            ("local", true),
            ("peer", true),
        ] {
            let lab = tempfile::tempdir().unwrap();
            let home = lab.path().join("u");
            for dir in ["a", "b", "u"] {
                std::fs::create_dir(lab.path().join(dir)).unwrap();
            }
            for dir in ["a", "b"] {
                std::fs::write(lab.path().join(dir).join(".ubos-root"), "").unwrap();
            }
            std::fs::write(lab.path().join("a/x"), "1").unwrap();
            std::fs::write(lab.path().join("a/y_state.json"), "1").unwrap();
            let text = format!(
                "[site]\nname = \"m\"\nroot = \"a\"\nstate_dir = \"s\"\n[truth]\nconflicts = \"{conflicts}\"\npermissions = {permissions}\n[[peer]]\nname = \"p\"\nroot = \"b\"\n"
            );
            let policy =
                policy::read(text.as_bytes(), &lab.path().join("p.toml"), &Env::default()).unwrap();
            std::fs::write(
                home.join("p.prf"),
                unison_profile::render(&policy, &policy.peers[0]),
            )
            .unwrap();
            let output = sync(&engine, &home);
            assert!(
                lab.path().join("b/x").exists(),
                "{}: {output}",
                engine.display()
            );
            assert!(!lab.path().join("b/y_state.json").exists());
            assert!(!output.contains("deprecated"), "{output}");
        }
    }
}

#[test]
fn a_verdict_names_the_pattern_that_decided() {
    let rules = rules(
        &[
            Glob::parse("models/").unwrap(),
            Glob::parse("*.tmp").unwrap(),
        ],
        &[],
    );
    let path = RelPath::new("models/x.tmp").unwrap();
    assert_eq!(
        rules.verdict(&path, false),
        Verdict::Excluded("models/".into())
    );
}
