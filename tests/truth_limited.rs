//! A run that is limited to some paths looks at these alone, and plans what a look at everything would have it plan there.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

mod lab;
mod pair;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use lab::{Lab, Side};
use pair::{BALAUR, MAC, pair_with, said, seed, sync};
use serde_json::Value;

/// A pair on whose server every `find` says what it was asked for, then does it.
fn listened() -> Option<(Lab, PathBuf)> {
    let lab = pair_with(Lab::builder().hide(BALAUR, &["find"]), "")?;
    let (find, said) = (lab.root().join("server-bin/find"), lab.root().join("asked"));
    let script = format!(
        "#!/bin/sh\nprintf '%s ' \"$@\" >>'{said}'; echo >>'{said}'\nexec /usr/bin/find \"$@\"\n",
        said = said.display(),
    );
    fs::write(&find, script).unwrap();
    fs::set_permissions(&find, fs::Permissions::from_mode(0o755)).unwrap();
    Some((lab, said))
}

/// Whether the server was asked for its whole tree since the last time.
fn listed_all(asked: &Path) -> bool {
    let all = fs::read_to_string(asked).unwrap_or_default();
    let _ = fs::remove_file(asked);
    assert!(!all.is_empty(), "the server was asked nothing");
    all.lines().any(|l| l.starts_with(". "))
}

fn limited(lab: &Lab, paths: &[&str], more: &[&str], code: i32) -> Value {
    let _ = fs::remove_file(lab.root().join("asked"));
    let mut args = vec!["truth", "--json"];
    args.extend(more);
    let named: Vec<String> = paths.iter().map(|p| format!("--path={p}")).collect();
    args.extend(named.iter().map(String::as_str));
    said(lab.run(&args), code)
}

fn plan(json: &Value) -> [&Value; 3] {
    ["changes", "left", "notes"].map(|k| &json["lanes"][0][k])
}

#[test]
fn a_limited_run_lists_what_it_is_limited_to_and_sees_what_a_full_one_sees_there() {
    let Some((lab, asked)) = listened() else {
        return;
    };
    seed(
        &lab,
        &[
            "a/deep/f",
            "a/deep/g",
            "a/x",
            "b/f",
            "gone/f",
            "gone/g",
            "type",
            "odd name/é",
            "--opt/f",
        ],
    );
    sync(&lab);
    lab.write(MAC, "a/deep/f", "edited here");
    lab.write(BALAUR, "a/deep/g", "edited there, longer");
    lab.write(BALAUR, "a/deep/new/er/n", "new there");
    lab.remove(BALAUR, "gone");
    lab.write(MAC, "gone/x_state.json", "{}");
    lab.remove(MAC, "type");
    lab.write(MAC, "type/f", "a directory");
    lab.write(MAC, "odd name/é", "edited");
    lab.write(MAC, "--opt/f", "edited");
    lab.write(MAC, "b/f", "of another day");
    for (paths, is_part) in [
        (&["a/deep/f"][..], true),
        (&["a/deep"], true),
        (&["a/deep/f", "a/deep", "gone", "--opt", "odd name/é"], true),
        (&["type"], true),
        (&["nowhere", "a/x"], true),
        // Its directory is there on one side only.
        (&["a/deep/new/er/n"], false),
        (&["type/f"], false),
        (&["gone/g"], false),
    ] {
        let part = limited(&lab, paths, &[], 0);
        assert_eq!(listed_all(&asked), !is_part, "{paths:?}");
        let whole = limited(&lab, paths, &["--full-scan"], 0);
        assert!(listed_all(&asked));
        assert_eq!(plan(&part), plan(&whole), "{paths:?}");
        assert_eq!(part["plan"], whole["plan"]);
    }
    let paths = ["a/deep", "gone", "odd name/é", "--opt/f", "type"];
    let done = limited(&lab, &paths, &["--apply"], 0);
    assert!(!listed_all(&asked));
    assert_eq!(done["outcome"], "applied", "{done:#}");
    assert_eq!(lab.read_text(BALAUR, "a/deep/f"), "edited here");
    assert_eq!(lab.read_text(MAC, "a/deep/new/er/n"), "new there");
    assert!(!lab.exists(MAC, "gone/f") && lab.exists(MAC, "gone/x_state.json"));
    assert_eq!(lab.read_text(BALAUR, "type/f"), "a directory");
    assert_ne!(lab.read_text(BALAUR, "b/f"), "of another day");
    // What was not looked at is neither forgotten nor taken for gone.
    lab.remove(BALAUR, "a/x");
    assert_eq!(sync(&lab)["outcome"], "applied");
    assert!(!lab.exists(MAC, "a/x"));
    lab.assert_equal_truth(&["*_state.json", "gone"]);
    // And all of it goes back.
    let run = done["run"].as_str().unwrap();
    lab.run(&["rollback", "--to", run, "--apply", "--force"])
        .expect(0);
    assert_eq!(lab.read_text(MAC, "type/f"), "a directory");
    assert_eq!(lab.read_text(BALAUR, "type"), "base of type\n");
    assert!(lab.exists(MAC, "gone/f") && !lab.exists(BALAUR, "gone"));
    assert!(lab.exists(BALAUR, "a/deep/new/er/n") && !lab.exists(MAC, "a/deep/new"));
}

#[test]
fn what_is_only_reached_through_a_link_or_cannot_be_read_leads_to_a_look_at_everything() {
    let Some((lab, asked)) = listened() else {
        return;
    };
    seed(&lab, &["a/f", "b/f", "closed/f"]);
    sync(&lab);
    lab.write(MAC, "a/f", "edited");
    fs::rename(lab.tree(BALAUR).join("a"), lab.tree(BALAUR).join("c")).unwrap();
    lab.symlink(BALAUR, "a", "c");
    let part = limited(&lab, &["a/f"], &["--apply"], 4);
    assert!(listed_all(&asked));
    assert_eq!(
        part["lanes"][0]["changes"],
        serde_json::json!([]),
        "{part:#}"
    );
    assert_ne!(lab.read_text(BALAUR, "c/f"), "edited");
    // A base is all that a part rests on.
    for side in Side::BOTH {
        fs::remove_dir_all(lab.state_dir(side).join("pairs/balaur+mac")).unwrap();
    }
    let json = limited(&lab, &["b/f"], &["--apply"], 3);
    pair::found(&json, "first_sync", "refuse");
}

#[test]
fn what_a_limited_run_leaves_out_still_counts_for_the_guards() {
    let Some((lab, asked)) = listened() else {
        return;
    };
    let all: Vec<String> = (0..60).map(|n| format!("d/f{n}")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    seed(&lab, &all);
    sync(&lab);
    let _ = fs::remove_file(&asked);
    // Fifteen of sixty: neither everything changed nor, with the one limit, too much deleted.
    all[..15].iter().for_each(|p| lab.remove(MAC, p));
    lab.policy("[guards]\nmax_delete = \"20%\"\nmax_delete_floor = 2\n");
    let json = limited(&lab, &all[..15], &["--apply"], 3);
    assert!(!listed_all(&asked));
    pair::found(&json, "max_delete", "refuse");
    lab.policy("[guards]\nmax_delete = \"30%\"\nmax_delete_floor = 2\n");
    let json = limited(&lab, &all[..15], &["--apply"], 0);
    assert!(!listed_all(&asked));
    assert_eq!(json["outcome"], "applied", "{json:#}");
    // Both ends of a rename are none.
    lab.policy("[guards]\nmax_delete = 3\n");
    lab.rename(MAC, "d", "e");
    let json = limited(&lab, &["d", "e"], &["--apply"], 0);
    assert_eq!(json["outcome"], "applied", "{json:#}");
    lab.assert_equal_truth(&[]);
}
