//! The short way: equal lists of files mean nothing to do. Whatever changes a tree, however quietly, must lead to the same plan
//! as a run that reads every file again.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

mod lab;
mod pair;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use lab::{Lab, Side, wait_until};
use pair::{BALAUR, MAC, T, pair, said, seed, sync};

fn calm_file(lab: &Lab) -> std::path::PathBuf {
    lab.state_dir(MAC).join("pairs/balaur+mac/calm")
}

/// Runs until the state is remembered: facts younger than two seconds are not trusted with it.
fn calm_down(lab: &Lab) {
    wait_until("a run remembers that nothing is to do", || {
        sync(lab);
        calm_file(lab).exists()
    });
}

fn plan(lab: &Lab, more: &[&str]) -> serde_json::Value {
    let mut args = vec!["truth", "--json"];
    args.extend(more);
    let json = said(lab.run(&args), 0);
    json["lanes"][0]["changes"].clone()
}

#[test]
fn every_quiet_change_is_planned_as_by_a_run_that_reads_everything() {
    let Some(lab) = pair() else { return };
    seed(
        &lab,
        &["docs/a.md", "docs/b.md", "docs/c.md", "docs/run.sh"],
    );
    symlink("a.md", lab.tree(MAC).join("docs/link")).unwrap();
    sync(&lab);
    type Change = fn(&Lab);
    let quiet: [(&str, Change); 7] = [
        ("an edit of the same size at the same time", |lab| {
            lab.write_at(BALAUR, "docs/a.md", "best of docs/a.md\n", T);
        }),
        ("two files that trade places", |lab| {
            lab.rename(MAC, "docs/b.md", "docs/x");
            lab.rename(MAC, "docs/c.md", "docs/b.md");
            lab.rename(MAC, "docs/x", "docs/c.md");
        }),
        ("a mode", |lab| {
            let file = lab.tree(BALAUR).join("docs/run.sh");
            fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
        }),
        ("another target of a link", |lab| {
            let link = lab.tree(MAC).join("docs/link");
            fs::remove_file(&link).unwrap();
            symlink("b.md", &link).unwrap();
        }),
        ("an empty directory", |lab| {
            fs::create_dir(lab.tree(BALAUR).join("docs/empty")).unwrap();
        }),
        ("an empty file", |lab| lab.write(MAC, "docs/none", "")),
        ("a delete", |lab| lab.remove(BALAUR, "docs/none")),
    ];
    for (what, change) in quiet {
        calm_down(&lab);
        change(&lab);
        let short = plan(&lab, &[]);
        assert_ne!(short.as_array().unwrap().len(), 0, "{what} was not seen");
        assert_eq!(short, plan(&lab, &["--full-scan"]), "{what}");
        sync(&lab);
        lab.assert_equal_truth(&[]);
    }
}

#[test]
fn guards_have_their_say_also_when_both_trees_look_as_before() {
    let Some(lab) = pair() else { return };
    seed(&lab, &["docs/a.md"]);
    sync(&lab);
    calm_down(&lab);
    let held = lab.state_dir(Side::Server).join("pairs/balaur+mac/held");
    fs::write(&held, "because of a test\n").unwrap();
    let json = said(lab.run(&["truth", "--apply", "--json"]), 3);
    pair::found(&json, "held", "refuse");
}

#[test]
fn a_changed_rule_or_a_damaged_memory_leads_the_long_way() {
    let Some(lab) = pair() else { return };
    seed(&lab, &["docs/a.md", "docs/b.tmp"]);
    sync(&lab);
    calm_down(&lab);
    fs::write(calm_file(&lab), "ubos-sync calm 1\nnonsense").unwrap();
    assert_eq!(sync(&lab)["outcome"], "in-sync");
    calm_down(&lab);
    lab.policy("[truth]\nexclude = [\"*.tmp\"]\n");
    let json = said(lab.run(&["truth", "--json"]), 0);
    pair::found(&json, "rules_changed", "warn");
}
