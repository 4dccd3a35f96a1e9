//! Hostile names (catalogue NM): each is created, edited and deleted across a real pair, and no output lets one of them act.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

mod lab;

use lab::{Lab, Output, Side, need};
use serde_json::Value;

const T0: i128 = 1_700_000_000_000_000_000;
const SECOND: i128 = 1_000_000_000;

fn ready() -> bool {
    need(&["ssh", "sshd", "ssh-keygen", "unison"])
}

fn pair() -> Lab {
    let lab = Lab::new();
    lab.policy("");
    // Files that never change keep the guards against wholesale changes out of these tests.
    for n in 0..6 {
        lab.write_at(Side::Laptop, format!("still/{n}"), format!("still {n}"), T0);
    }
    lab
}

fn changes(document: &Value) -> &Vec<Value> {
    document["lanes"][0]["changes"].as_array().unwrap()
}

/// Fails when an output holds a byte that a terminal would obey, or that makes one line look like two.
#[track_caller]
fn assert_harmless(out: &Output) {
    for text in [&out.stdout, &out.stderr] {
        let bad = text.chars().find(|c| {
            (c.is_control() && *c != '\n')
                || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        });
        assert_eq!(bad, None, "a raw {bad:?} in the output\n{out}");
    }
}

/// Creates, edits and deletes every name as a file and as a directory, from alternating sides.
fn round_trip(names: &[&[u8]]) -> Lab {
    let lab = pair();
    let file = |name: &[u8]| [b"f/", name].concat();
    let inside = |name: &[u8]| [b"d/", name, b"/inside"].concat();
    let dir = |name: &[u8]| [b"d/", name].concat();
    let home = |n: usize| Side::BOTH[n % 2];
    for (n, name) in names.iter().enumerate() {
        lab.write_at(home(n), file(name), format!("file {n}"), T0);
        lab.write_at(home(n), inside(name), format!("inside {n}"), T0);
    }
    let dry = lab.run(&["truth", "--json"]).expect(0);
    assert_harmless(&dry);
    let dry = dry.json();
    for (n, name) in names.iter().enumerate() {
        let to = ["peer", "local"][n % 2];
        for path in [file(name), inside(name)] {
            let shown = changes(&dry).iter().find(|c| is(c, &path));
            let shown = shown.unwrap_or_else(|| panic!("{} is not in\n{dry:#}", show(&path)));
            assert_eq!(
                (&shown["kind"], &shown["to"]),
                (&"create".into(), &to.into())
            );
        }
    }
    assert_harmless(&lab.run(&["truth", "--apply", "--all"]).expect(0));
    lab.assert_equal_truth(&[]);
    for (n, name) in names.iter().enumerate() {
        let there = home(n).other();
        assert_eq!(lab.read_text(there, file(name)), format!("file {n}"));
        assert_eq!(lab.read_text(there, inside(name)), format!("inside {n}"));
        lab.write_at(
            there,
            file(name),
            format!("file {n}, edited"),
            T0 + 60 * SECOND,
        );
        lab.write_at(
            there,
            inside(name),
            format!("inside {n}, edited"),
            T0 + 60 * SECOND,
        );
    }
    assert_harmless(&lab.run(&["truth", "--apply"]).expect(0));
    lab.assert_equal_truth(&[]);
    for (n, name) in names.iter().enumerate() {
        assert_eq!(
            lab.read_text(home(n), file(name)),
            format!("file {n}, edited")
        );
        assert_eq!(
            lab.read_text(home(n), inside(name)),
            format!("inside {n}, edited")
        );
        lab.remove(home(n), file(name));
        lab.remove(home(n), dir(name));
    }
    let gone = lab
        .run(&["truth", "--apply", "--json", "--allow", "max_delete"])
        .expect(0);
    assert_harmless(&gone);
    for (n, name) in names.iter().enumerate() {
        assert!(!lab.exists(home(n).other(), file(name)), "{}", show(name));
        assert!(!lab.exists(home(n).other(), dir(name)), "{}", show(name));
        let kept = gone.json()["lanes"][0]["kept"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        assert!(
            kept.iter().any(|k| is(k, &file(name))),
            "{} was not kept",
            show(name)
        );
    }
    lab.assert_equal_truth(&[]);
    let idle = lab.run(&["truth", "--apply", "--json"]).expect(0).json();
    assert_eq!(idle["outcome"], "in-sync", "{idle:#}");
    lab
}

/// Whether a change speaks of this path: by text, or by hex when it is not text.
fn is(change: &Value, path: &[u8]) -> bool {
    match std::str::from_utf8(path) {
        Ok(text) => change["path"] == text && change.get("path_hex").is_none(),
        Err(_) => {
            let hex: String = path.iter().map(|b| format!("{b:02x}")).collect();
            change["path_hex"] == hex && change["path"] == *String::from_utf8_lossy(path)
        }
    }
}

fn show(path: &[u8]) -> String {
    path.escape_ascii().to_string()
}

#[test]
fn nm_01_02_blanks_and_leading_dashes_travel_literally() {
    if !ready() {
        return;
    }
    round_trip(&[
        b"a b  c",
        b" leading",
        b"trailing ",
        b"   ",
        b"-rf",
        b"--delete",
        b"-oProxyCommand=x",
        b"--",
        b"-",
        b"@f",
        b"path = x",
        b"# no comment",
    ]);
}

#[test]
fn nm_03_12_shell_words_and_remote_looking_names_are_never_read_as_code() {
    if !ready() {
        return;
    }
    let lab = round_trip(&[
        b"it's \"quoted\"",
        b"`touch pwned`",
        b"$(touch pwned)",
        b"; touch pwned;",
        b"a|b&c>d<e",
        b"back\\slash\\n",
        b"trailing\\",
        b"host:path",
        b"C:foo",
        b"%h %n",
        b"~root",
        b"~",
        b"a -> b",
        b"x  [f] ",
    ]);
    for side in Side::BOTH {
        assert!(!lab.home(side).join("pwned").exists());
        assert!(!lab.exists(side, "pwned"));
    }
}

#[test]
fn nm_04_05_07_08_control_bidi_and_raw_bytes_are_literal_on_disk_and_escaped_in_output() {
    if !ready() {
        return;
    }
    round_trip(&[
        b"new\nline",
        b"carriage\rreturn",
        b"tab\tbed",
        b"\n",
        b"ends in newline\n",
        b"evil  \n  deleted  ---->            still/0",
        b"\x1b[2J\x1b]0;title\x07",
        b"\x01\x02\x7f",
        "c1 \u{9b}31m".as_bytes(),
        "漢字 кириллица".as_bytes(),
        "👩‍👩‍👧".as_bytes(),
        "abc\u{202e}fdp.exe".as_bytes(),
        b"\xff\xfe",
        b"caf\xe9 latin",
        b"bad \x81\n\xff",
    ]);
}

#[test]
fn nm_06_11_normal_forms_and_cases_are_different_files() {
    if !ready() {
        return;
    }
    let lab = round_trip(&[
        "caf\u{e9}".as_bytes(),
        "cafe\u{301}".as_bytes(),
        b"Readme",
        b"README",
        b"readme",
    ]);
    lab.write_at(Side::Laptop, "case/Name", "case", T0);
    lab.run(&["truth", "--apply"]).expect(0);
    lab.rename(Side::Server, "case/Name", "case/name");
    lab.run(&["truth", "--apply"]).expect(0);
    assert!(!lab.exists(Side::Laptop, "case/Name"));
    assert_eq!(lab.read_text(Side::Laptop, "case/name"), "case");
}

#[test]
fn nm_09_names_of_255_bytes_and_paths_of_1000_travel_with_backups_kept() {
    if !ready() {
        return;
    }
    let plain = "n".repeat(255);
    let umlauts = "ä".repeat(127);
    let odd = format!("{}\n", "o".repeat(254));
    let mut raw = vec![b'r'; 254];
    raw.push(0xff);
    let deep = vec!["p".repeat(240); 4].join("/");
    round_trip(&[
        plain.as_bytes(),
        umlauts.as_bytes(),
        odd.as_bytes(),
        &raw,
        deep.as_bytes(),
    ]);
}

#[test]
fn nm_10_glob_characters_touch_only_the_file_that_is_so_named() {
    if !ready() {
        return;
    }
    let names: [&[u8]; 8] = [
        b"*", b"?", b"[ab]", b"{a,b}", b"x,y", b"*.txt", b"!x", b"a*",
    ];
    let lab = round_trip(&names);
    let siblings = ["a", "b", "x", "y", "z.txt", "ab", "x,y2"];
    for name in siblings {
        lab.write_at(Side::Laptop, format!("f/{name}"), name, T0);
    }
    for name in names {
        lab.write_at(Side::Laptop, [b"f/", name].concat(), "globs", T0);
    }
    lab.run(&["truth", "--apply"]).expect(0);
    let before = lab.snapshot(Side::Server);
    for name in names {
        lab.write_at(
            Side::Laptop,
            [b"f/", name].concat(),
            "globs, edited",
            T0 + SECOND,
        );
    }
    // Same contents: only what is named like a glob may change.
    lab.run(&["truth", "--apply"]).expect(0);
    for name in names {
        lab.remove(Side::Laptop, [b"f/", name].concat());
    }
    lab.run(&["truth", "--apply"]).expect(0);
    let after = lab.snapshot(Side::Server);
    for name in siblings {
        let path = format!("f/{name}").into_bytes();
        assert_eq!(before.entries[&path], after.entries[&path], "{name}");
    }
    for name in names {
        assert!(!lab.exists(Side::Server, [b"f/", name].concat()));
    }
}

#[test]
fn nm_12_a_git_directory_is_ordinary_truth_unless_excluded() {
    if !ready() {
        return;
    }
    let lab = pair();
    lab.policy("[truth]\nexclude = []");
    lab.write_at(Side::Laptop, "repo/.git/HEAD", "ref", T0);
    lab.write_at(Side::Laptop, "repo/.git/objects/aa", "blob", T0);
    lab.run(&["truth", "--apply"]).expect(0);
    lab.write_at(Side::Laptop, "repo/.git/HEAD", "ref: main", T0 + SECOND);
    lab.write_at(Side::Server, "repo/.git/objects/bb", "blob 2", T0);
    lab.run(&["truth", "--apply"]).expect(0);
    lab.assert_equal_truth(&[]);
    assert_eq!(lab.read_text(Side::Server, "repo/.git/HEAD"), "ref: main");
    assert_eq!(
        lab.read_text(Side::Laptop, "repo/.git/objects/bb"),
        "blob 2"
    );
}

#[test]
fn nm_13_names_like_temp_and_backup_files_travel_or_are_explained() {
    if !ready() {
        return;
    }
    let lab = pair();
    let names = [
        "f.bak",
        "f~",
        ".f.swp",
        ".bak.0.f",
        ".unison.backup.f",
        "f (conflict_on_2026-01-01)",
        ".f.AbCdEf",
        "lock",
        ".nfs0001",
        ".unison.f.0123456789abcdef0123456789abcdef.unison.tmp",
        ".ubos-sync.stage",
    ];
    for name in names {
        lab.write_at(Side::Laptop, format!("t/{name}"), name, T0);
    }
    lab.run(&["truth", "--apply"]).expect(0);
    for name in names {
        let path = format!("t/{name}");
        if lab.exists(Side::Server, &path) {
            continue;
        }
        let why = lab.run(&["explain", &path, "--json"]).expect(0);
        let said = why.stdout.to_lowercase();
        assert!(
            said.contains("temp"),
            "{name} stayed without a reason\n{why}"
        );
    }
}
