//! Conflicts are listed, shown and decided; nothing that was written is ever out of reach.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

mod lab;
mod pair;

use std::fs;
use std::os::unix::ffi::OsStringExt as _;

use lab::Lab;
use pair::{BALAUR, MAC, S, T, apply, pair_with, said, seed, sync};
use serde_json::Value;

fn all(lab: &Lab) -> Vec<Value> {
    let json = lab.run(&["conflicts", "--json"]).expect(0).json();
    json["conflicts"].as_array().unwrap().clone()
}

fn states(lab: &Lab) -> Vec<String> {
    let all = all(lab);
    let one = |c: &Value| {
        format!(
            "{} {}",
            c["path"].as_str().unwrap(),
            c["state"].as_str().unwrap()
        )
    };
    all.iter().map(one).collect()
}

/// Two conflicts that wait for a person.
fn open() -> Option<Lab> {
    let lab = pair_with(Lab::builder(), "[truth]\nconflicts = \"manual\"\n")?;
    seed(&lab, &["docs/a.md", "docs/b.md", "docs/c.md"]);
    sync(&lab);
    for name in ["a", "b"] {
        lab.write_at(
            MAC,
            format!("docs/{name}.md"),
            format!("{name} of mac\n"),
            T + 10 * S,
        );
        lab.write_at(
            BALAUR,
            format!("docs/{name}.md"),
            format!("{name} of balaur\n"),
            T + 20 * S,
        );
    }
    apply(&lab, 4);
    Some(lab)
}

#[test]
fn open_ones_are_listed_shown_and_decided_for_either_side() {
    let Some(lab) = open() else { return };
    assert_eq!(states(&lab), ["docs/a.md open", "docs/b.md open"]);
    let shown = lab.run(&["conflicts", "show", "docs/a.md"]).expect(0);
    assert!(
        shown.stdout.contains("-a of mac") && shown.stdout.contains("+a of balaur"),
        "{shown}"
    );
    // Dry by default.
    said(
        lab.run(&["conflicts", "keep", "peer", "docs/a.md", "--json"]),
        0,
    );
    assert_eq!(lab.read_text(MAC, "docs/a.md"), "a of mac\n");
    let done = said(
        lab.run(&[
            "conflicts",
            "keep",
            "peer",
            "docs/a.md",
            "--apply",
            "--json",
        ]),
        0,
    );
    assert_eq!(
        done["lanes"][0]["changes"].as_array().unwrap().len(),
        1,
        "{done:#}"
    );
    assert_eq!(lab.read_text(MAC, "docs/a.md"), "a of balaur\n");
    assert_eq!(states(&lab), ["docs/b.md open", "docs/a.md settled"]);
    let settled = &all(&lab)[1];
    assert_eq!(
        (&settled["winner"]["host"], &settled["loser"]["host"]),
        (&"balaur".into(), &"mac".into())
    );
    let at = settled["loser"]["at"].as_str().unwrap();
    assert_eq!(fs::read_to_string(at).unwrap(), "a of mac\n");
    said(
        lab.run(&[
            "conflicts",
            "keep",
            "local",
            "docs/*.md",
            "--apply",
            "--json",
        ]),
        0,
    );
    assert_eq!(lab.read_text(BALAUR, "docs/b.md"), "b of mac\n");
    sync(&lab);
    lab.assert_equal_truth(&[]);
}

#[test]
fn both_are_kept_beside_each_other_on_both_hosts() {
    let Some(lab) = open() else { return };
    let dry = lab.run(&["conflicts", "keep", "both", "docs/*"]).expect(0);
    assert!(dry.stderr.contains("would write"), "{dry}");
    lab.run(&["conflicts", "keep", "both", "docs/*", "--apply"])
        .expect(0);
    for side in [MAC, BALAUR] {
        for name in ["a", "b"] {
            assert_eq!(
                lab.read_text(side, format!("docs/{name}.md")),
                format!("{name} of mac\n")
            );
            let beside: Vec<String> = fs::read_dir(lab.tree(side).join("docs"))
                .unwrap()
                .map(|e| e.unwrap().file_name().into_string().unwrap())
                .filter(|n| n.starts_with(&format!("{name}.md.balaur-")))
                .collect();
            assert_eq!(beside.len(), 1);
            assert_eq!(
                lab.read_text(side, format!("docs/{}", beside[0])),
                format!("{name} of balaur\n")
            );
        }
    }
    sync(&lab);
    lab.assert_equal_truth(&[]);
}

#[test]
fn the_loser_of_a_decided_one_is_brought_back_unless_the_winner_was_changed_since() {
    let Some(lab) = pair_with(Lab::builder(), "") else {
        return;
    };
    seed(&lab, &["docs/a.md", "docs/b.md"]);
    sync(&lab);
    lab.write_at(MAC, "docs/a.md", "older, of mac\n", T + 10 * S);
    lab.write_at(BALAUR, "docs/a.md", "newer, of balaur\n", T + 20 * S);
    lab.write_at(MAC, "docs/b.md", "newer, of mac\n", T + 30 * S);
    lab.write_at(BALAUR, "docs/b.md", "older, of balaur\n", T + 20 * S);
    sync(&lab);
    let screen = lab.run(&["conflicts"]).expect(0);
    assert!(screen.stdout.contains("DECIDED  2 paths"), "{screen}");
    lab.run(&["conflicts", "keep", "local", "docs/a.md", "--apply"])
        .expect(0);
    for side in [MAC, BALAUR] {
        assert_eq!(lab.read_text(side, "docs/a.md"), "older, of mac\n");
    }
    lab.run(&["conflicts", "keep", "peer", "docs/b.md", "--apply"])
        .expect(0);
    for side in [MAC, BALAUR] {
        assert_eq!(lab.read_text(side, "docs/b.md"), "older, of balaur\n");
    }
    lab.write(MAC, "docs/b.md", "precious, since then\n");
    lab.run(&["conflicts", "keep", "peer", "docs/b.md", "--apply"])
        .expect(3);
    assert_eq!(lab.read_text(MAC, "docs/b.md"), "precious, since then\n");
    lab.run(&["conflicts", "show", "docs/none.md"]).expect(2);
}

#[test]
fn a_loser_with_an_odd_name_is_shown_and_brought_back_all_the_same() {
    let Some(lab) = pair_with(Lab::builder(), "") else {
        return;
    };
    let odd = "docs/li\nne\\n.md";
    seed(&lab, &[odd]);
    lab.write_at(MAC, b"docs/\xff.md".as_slice(), "base", T);
    sync(&lab);
    for name in [odd.as_bytes(), b"docs/\xff.md"] {
        lab.write_at(MAC, name, "of mac\n", T + 10 * S);
        lab.write_at(BALAUR, name, "of balaur\n", T + 20 * S);
    }
    let json = sync(&lab);
    // The record leads to the very file, whatever its name.
    for kept in json["lanes"][0]["kept"].as_array().unwrap() {
        let bytes = match kept["at_hex"].as_str() {
            None => kept["at"].as_str().unwrap().as_bytes().to_vec(),
            Some(hex) => (0..hex.len() / 2)
                .map(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).unwrap())
                .collect(),
        };
        let at = std::ffi::OsString::from_vec(bytes);
        assert_eq!(fs::read_to_string(at).unwrap(), "of mac\n", "{kept:#}");
    }
    let shown = lab.run(&["conflicts", "show", odd]).expect(0);
    assert!(shown.stdout.contains("-of mac"), "{shown}");
    let keep = ["conflicts", "keep", "local", odd, "--apply", "--json"];
    said(lab.run(&keep), 0);
    pair::both(&lab, odd, "of mac\n");
}
