//! What never crosses (catalogue EX): state and excluded files stay where they are, whatever happens to what is around them.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

mod lab;

use lab::{Lab, Side, need};
use serde_json::Value;

const T0: i128 = 1_700_000_000_000_000_000;
const SECOND: i128 = 1_000_000_000;

fn ready() -> bool {
    need(&["ssh", "sshd", "ssh-keygen", "unison"])
}

fn pair(truth: &str) -> Lab {
    let lab = Lab::new();
    lab.policy(&format!("[truth]\n{truth}"));
    for n in 0..6 {
        lab.write_at(Side::Laptop, format!("still/{n}"), format!("still {n}"), T0);
    }
    lab
}

fn apply(lab: &Lab, code: i32) -> Value {
    lab.run(&["truth", "--apply", "--json"]).expect(code).json()
}

fn paths(document: &Value, list: &str) -> Vec<String> {
    let list = document["lanes"][0][list].as_array();
    let path = |c: &Value| c["path"].as_str().unwrap().to_owned();
    list.into_iter().flatten().map(path).collect()
}

fn findings(document: &Value) -> Vec<String> {
    let list = document["findings"].as_array().unwrap();
    list.iter()
        .map(|f| f["guard"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn ex_01_05_state_never_moves_and_near_names_do() {
    if !ready() {
        return;
    }
    let lab = pair("");
    let state = [
        "a_state.json",
        "d/b_state.json",
        "d/e/.c_state.json",
        "d/_state.json",
    ];
    for path in state {
        for side in Side::BOTH {
            lab.write_at(side, path, format!("{path} of {}", side.host()), T0);
        }
    }
    lab.write_at(
        Side::Laptop,
        "x_state.json/inside",
        "in a directory named like state",
        T0,
    );
    let near = [
        "state.json",
        "x_state.json.bak",
        "x_state.jsonl",
        "X_STATE.JSON",
        "x-state.json",
    ];
    for path in near {
        lab.write_at(Side::Server, path, path, T0);
    }
    apply(&lab, 0);
    for path in near {
        assert_eq!(lab.read_text(Side::Laptop, path), path);
    }
    assert!(!lab.exists(Side::Server, "x_state.json"));
    lab.remove(Side::Laptop, state[0]);
    lab.write_at(
        Side::Laptop,
        state[1],
        "newer by a day",
        T0 + 86_400 * SECOND,
    );
    lab.remove(Side::Server, state[2]);
    let idle = apply(&lab, 0);
    assert_eq!(idle["outcome"], "in-sync", "{idle:#}");
    assert_eq!(
        lab.read_text(Side::Server, state[0]),
        "a_state.json of balaur"
    );
    assert_eq!(
        lab.read_text(Side::Server, state[1]),
        "d/b_state.json of balaur"
    );
    assert_eq!(
        lab.read_text(Side::Laptop, state[2]),
        "d/e/.c_state.json of mac"
    );
    assert!(!lab.exists(Side::Laptop, state[0]) && !lab.exists(Side::Server, state[2]));
    lab.assert_equal_truth(&["*_state.json"]);
}

/// A directory with truth and with state on side `holder`, which the other side takes away.
fn directories_with_state(holder: Side) {
    let lab = pair("exclude = [\"*.cache\", \"local/\"]");
    let other = holder.other();
    for dir in ["deleted", "renamed", "replaced", "linked"] {
        lab.write_at(
            Side::Laptop,
            format!("{dir}/doc.md"),
            format!("doc of {dir}"),
            T0,
        );
        lab.write_at(
            Side::Laptop,
            format!("{dir}/deep/note.md"),
            format!("note of {dir}"),
            T0,
        );
    }
    apply(&lab, 0);
    for dir in ["deleted", "renamed", "replaced", "linked"] {
        lab.write_at(holder, format!("{dir}/deep/run_state.json"), "precious", T0);
        lab.write_at(holder, format!("{dir}/x.cache"), "excluded", T0);
        lab.write_at(holder, format!("{dir}/local/keep"), "excluded too", T0);
    }
    lab.remove(other, "deleted");
    lab.rename(other, "renamed", "new-name");
    lab.remove(other, "replaced");
    lab.write_at(other, "replaced", "now a file", T0 + SECOND);
    lab.remove(other, "linked");
    lab.symlink(other, "linked", "still");
    let first = apply(&lab, 4);
    for dir in ["deleted", "renamed", "replaced", "linked"] {
        assert_eq!(
            lab.read_text(holder, format!("{dir}/deep/run_state.json")),
            "precious"
        );
        assert_eq!(lab.read_text(holder, format!("{dir}/x.cache")), "excluded");
        assert_eq!(
            lab.read_text(holder, format!("{dir}/local/keep")),
            "excluded too"
        );
    }
    for dir in ["deleted", "renamed"] {
        assert!(!lab.exists(holder, format!("{dir}/doc.md")));
        assert!(!lab.exists(holder, format!("{dir}/deep/note.md")));
        assert!(!lab.exists(other, dir));
        assert!(
            paths(&first, "notes").contains(&dir.to_owned()),
            "{first:#}"
        );
    }
    assert_eq!(lab.read_text(holder, "new-name/doc.md"), "doc of renamed");
    assert!(!lab.exists(holder, "new-name/deep/run_state.json"));
    // Both stand on their side until a person decides.
    assert_eq!(paths(&first, "left"), ["linked", "replaced"]);
    assert_eq!(lab.read_text(other, "replaced"), "now a file");
    assert_eq!(lab.read_text(holder, "replaced/doc.md"), "doc of replaced");
    lab.remove(other, "replaced");
    lab.remove(other, "linked");
    apply(&lab, 0);
    let idle = apply(&lab, 0);
    assert_eq!(
        idle["outcome"], "in-sync",
        "kept directories are not pending again: {idle:#}"
    );
    assert_eq!(
        lab.read_text(holder, "replaced/deep/run_state.json"),
        "precious"
    );
}

#[test]
fn ex_02_state_on_the_peer_outlives_its_directory_here() {
    if ready() {
        directories_with_state(Side::Server);
    }
}

#[test]
fn ex_02_state_here_outlives_its_directory_on_the_peer() {
    if ready() {
        directories_with_state(Side::Laptop);
    }
}

#[test]
fn ex_02_a_new_directory_arrives_without_the_state_in_it() {
    if !ready() {
        return;
    }
    let lab = pair("exclude = [\"target/\"]");
    for (side, dir) in [(Side::Laptop, "from-mac"), (Side::Server, "from-balaur")] {
        lab.write_at(side, format!("{dir}/a.md"), "a", T0);
        lab.write_at(side, format!("{dir}/deep/b.md"), "b", T0);
        lab.write_at(side, format!("{dir}/deep/me_state.json"), "mine", T0);
        lab.write_at(side, format!("{dir}/target/out"), "built", T0);
        lab.write_at(side, format!("{dir}/only-state/x_state.json"), "mine", T0);
    }
    apply(&lab, 0);
    for (side, dir) in [(Side::Server, "from-mac"), (Side::Laptop, "from-balaur")] {
        assert_eq!(lab.read_text(side, format!("{dir}/a.md")), "a");
        assert_eq!(lab.read_text(side, format!("{dir}/deep/b.md")), "b");
        assert!(!lab.exists(side, format!("{dir}/deep/me_state.json")));
        assert!(!lab.exists(side, format!("{dir}/target")));
        assert!(lab.exists(side, format!("{dir}/only-state")));
        assert!(!lab.exists(side, format!("{dir}/only-state/x_state.json")));
    }
    let idle = apply(&lab, 0);
    assert_eq!(idle["outcome"], "in-sync", "{idle:#}");
    lab.assert_equal_truth(&["*_state.json", "from-mac/target", "from-balaur/target"]);
}

#[test]
fn ex_03_04_06_a_rule_added_deletes_nothing_and_one_removed_is_announced() {
    if !ready() {
        return;
    }
    let lab = pair("exclude = []");
    for side in Side::BOTH {
        lab.write_at(side, "cache/x", "same", T0);
    }
    lab.write_at(Side::Laptop, "cache/y", "y", T0);
    lab.write_at(Side::Laptop, "a.tmp", "tmp", T0);
    let first = apply(&lab, 0);
    assert!(
        !findings(&first).contains(&"rules_changed".to_owned()),
        "{first:#}"
    );
    lab.policy("[truth]\nexclude = [\"cache/\", \"*.tmp\"]");
    let added = apply(&lab, 0);
    assert!(
        findings(&added).contains(&"rules_changed".to_owned()),
        "{added:#}"
    );
    assert_eq!(paths(&added, "changes"), Vec::<String>::new());
    for side in Side::BOTH {
        assert!(lab.exists(side, "cache/y") && lab.exists(side, "a.tmp"));
    }
    let again = apply(&lab, 0);
    assert!(
        !findings(&again).contains(&"rules_changed".to_owned()),
        "{again:#}"
    );
    // While it is excluded each side goes its own way.
    lab.write_at(Side::Laptop, "cache/x", "older, from mac", T0 + 10 * SECOND);
    lab.write_at(
        Side::Server,
        "cache/x",
        "newer, from balaur",
        T0 + 20 * SECOND,
    );
    lab.remove(Side::Server, "a.tmp");
    lab.policy("[truth]\nexclude = []");
    let removed = apply(&lab, 0);
    assert!(
        findings(&removed).contains(&"rules_changed".to_owned()),
        "{removed:#}"
    );
    assert_eq!(lab.read_text(Side::Laptop, "cache/x"), "newer, from balaur");
    let kept = removed["lanes"][0]["kept"].as_array().unwrap();
    let loser = kept.iter().find(|k| k["path"] == "cache/x").unwrap();
    assert_eq!(
        std::fs::read(loser["at"].as_str().unwrap()).unwrap(),
        b"older, from mac"
    );
    lab.assert_equal_truth(&[]);
}

#[test]
fn ex_03_an_include_removed_deletes_nothing_either() {
    if !ready() {
        return;
    }
    let lab = pair("include = [\"still\", \"docs\", \"config/app\"]");
    lab.write_at(Side::Laptop, "docs/a", "a", T0);
    lab.write_at(Side::Laptop, "config/app/b", "b", T0);
    lab.write_at(Side::Laptop, "config/other", "not included", T0);
    lab.write_at(Side::Laptop, "elsewhere/c", "not included", T0);
    apply(&lab, 0);
    assert_eq!(lab.read_text(Side::Server, "config/app/b"), "b");
    assert!(!lab.exists(Side::Server, "config/other") && !lab.exists(Side::Server, "elsewhere"));
    lab.policy("[truth]\ninclude = [\"still\"]");
    lab.remove(Side::Laptop, "docs");
    assert_eq!(paths(&apply(&lab, 0), "changes"), Vec::<String>::new());
    assert_eq!(lab.read_text(Side::Server, "docs/a"), "a");
    // An include that neither side has is no fault, and none that one side lost whole is carried unseen.
    lab.policy("[truth]\ninclude = [\"still\", \"nowhere\"]");
    apply(&lab, 0);
}

#[test]
fn ex_a_pattern_for_directories_lets_a_file_of_that_name_cross() {
    if !ready() {
        return;
    }
    let lab = pair("exclude = [\"models/\", \"/top\", \"docs/**/draft/\"]");
    lab.write_at(Side::Laptop, "models/big", "stays", T0);
    lab.write_at(Side::Laptop, "a/models/big", "stays", T0);
    lab.write_at(Side::Laptop, "b/models", "a file named so", T0);
    lab.write_at(Side::Laptop, "top", "stays", T0);
    lab.write_at(Side::Laptop, "c/top", "crosses", T0);
    lab.write_at(Side::Laptop, "docs/x/y/draft/z", "stays", T0);
    lab.write_at(Side::Laptop, "docs/x/y/draft.md", "crosses", T0);
    apply(&lab, 0);
    for path in ["b/models", "c/top", "docs/x/y/draft.md"] {
        assert!(lab.exists(Side::Server, path), "{path}");
    }
    for path in ["models", "a/models", "top", "docs/x/y/draft"] {
        assert!(!lab.exists(Side::Server, path), "{path}");
    }
    // A file of truth on one side where the other has an excluded directory is left for a person.
    lab.write_at(Side::Server, "d/models/big", "excluded here", T0);
    lab.write_at(Side::Laptop, "d/models", "truth here", T0);
    let left = apply(&lab, 4);
    assert_eq!(paths(&left, "left"), ["d/models"]);
    assert_eq!(lab.read_text(Side::Server, "d/models/big"), "excluded here");
    assert_eq!(lab.read_text(Side::Laptop, "d/models"), "truth here");
    // A file that becomes an excluded directory: nothing is lost on either side.
    lab.remove(Side::Laptop, "d/models");
    lab.remove(Side::Laptop, "b/models");
    lab.write_at(Side::Laptop, "b/models/big", "excluded now", T0);
    let out = lab.run(&["truth", "--apply", "--json"]);
    assert!(matches!(out.code, 0 | 4), "{out}");
    assert_eq!(lab.read_text(Side::Laptop, "b/models/big"), "excluded now");
    assert!(!lab.exists(Side::Server, "b/models/big"));
}
