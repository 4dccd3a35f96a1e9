//! The engine that is asked while the peer still lists its tree: used when the plan asks for exactly that, and for nothing else.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

mod lab;
mod pair;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use lab::{Lab, Side};
use pair::{BALAUR, MAC, pair, pair_with, said, seed, sync};
use serde_json::Value;

/// Whether the engine that carried the plan out had been asked before there was a plan.
fn was_early(run: &Value) -> bool {
    let argv = run["lanes"][0]["engine_argv"].as_array();
    let argv = argv.unwrap_or_else(|| panic!("no engine ran: {run:#}"));
    argv.iter().any(|word| word == "ubos0")
}

fn folders(lab: &Lab, side: Side) -> usize {
    let runs = lab.state_dir(side).join("pairs/balaur+mac/runs");
    fs::read_dir(runs).map_or(0, Iterator::count)
}

fn assert_same(lab: &Lab) {
    let content = |side| {
        let entries = lab.snapshot(side).entries;
        entries
            .into_iter()
            .map(|(path, e)| (path, e.sha256))
            .collect::<Vec<_>>()
    };
    assert_eq!(content(MAC), content(BALAUR));
}

fn synced() -> Option<Lab> {
    let lab = pair()?;
    seed(&lab, &["docs/a.md", "docs/b.md", "docs/deep/c.md"]);
    sync(&lab);
    Some(lab)
}

#[test]
fn what_was_edited_here_alone_goes_by_the_engine_that_was_asked_early() {
    let Some(lab) = synced() else { return };
    lab.write(MAC, "docs/a.md", "edited here");
    lab.write(MAC, "docs/deep/new.md", "made here");
    let before = [MAC, BALAUR].map(|side| folders(&lab, side));
    let dry = said(lab.run(&["truth", "--json"]), 0);
    assert!(was_early(&dry));
    assert_eq!([MAC, BALAUR].map(|side| folders(&lab, side)), before);
    let run = sync(&lab);
    assert!(was_early(&run));
    assert_eq!(run["plan"], dry["plan"]);
    assert_same(&lab);
    lab.run(&["rollback", run["run"].as_str().unwrap(), "--apply"])
        .expect(0);
    assert_eq!(lab.read_text(BALAUR, "docs/a.md"), "base of docs/a.md\n");
    assert!(!lab.exists(BALAUR, "docs/deep/new.md"));
}

#[test]
fn where_the_plan_is_another_one_the_guess_is_dropped() {
    let Some(lab) = synced() else { return };
    let both = |here: &[(&str, &str)], there: &[(&str, &str)]| {
        for (side, edits) in [(MAC, here), (BALAUR, there)] {
            for (path, text) in edits {
                lab.write(side, path, text);
            }
        }
    };
    both(
        &[("docs/a.md", "here 1")],
        &[("docs/b.md", "there, longer 1")],
    );
    assert!(!was_early(&sync(&lab)), "an edit on each host");
    assert_same(&lab);
    lab.write_at(BALAUR, "docs/a.md", "there, and older", pair::T + pair::S);
    both(&[("docs/a.md", "here 2")], &[]);
    let run = sync(&lab);
    assert!(!was_early(&run), "a conflict that this host wins");
    let kept = run["lanes"][0]["kept"].as_array().unwrap();
    assert_eq!(kept.len(), 1, "{run:#}");
    assert_eq!(lab.read_text(BALAUR, "docs/a.md"), "here 2");
    lab.write_at(MAC, "docs/a.md", "here, and older", pair::T + pair::S);
    both(&[], &[("docs/a.md", "there, and newer")]);
    assert!(
        !was_early(&sync(&lab)),
        "a conflict that the other host wins"
    );
    assert_same(&lab);
    lab.remove(MAC, "docs/deep");
    both(&[("docs/a.md", "here 4")], &[]);
    assert!(!was_early(&sync(&lab)), "a delete beside the edit");
    assert_same(&lab);
}

#[test]
fn what_both_edited_alike_leaves_no_trace_of_the_guess() {
    let Some(lab) = synced() else { return };
    for side in [MAC, BALAUR] {
        lab.write_at(side, "docs/a.md", "the same edit", pair::T + pair::HOUR);
    }
    let before = [MAC, BALAUR].map(|side| folders(&lab, side));
    let run = said(lab.run(&["truth", "--json"]), 0);
    assert_eq!(run["lanes"][0]["changes"], Value::Array(Vec::new()));
    assert_eq!([MAC, BALAUR].map(|side| folders(&lab, side)), before);
}

#[test]
fn a_refused_plan_leaves_no_trace_of_the_guess_either() {
    let Some(lab) = synced() else { return };
    seed(&lab, &["docs/d.md", "docs/e.md"]);
    sync(&lab);
    let mut all = vec!["docs/anchor.md"];
    all.extend([
        "docs/a.md",
        "docs/b.md",
        "docs/deep/c.md",
        "docs/d.md",
        "docs/e.md",
    ]);
    for path in &all {
        lab.write(MAC, path, "edited, like everything here");
    }
    let before = [MAC, BALAUR].map(|side| folders(&lab, side));
    let run = said(lab.run(&["truth", "--apply", "--json"]), 3);
    assert!(was_early(&run));
    assert_eq!([MAC, BALAUR].map(|side| folders(&lab, side)), before);
    for path in all {
        assert_ne!(lab.read(BALAUR, path), lab.read(MAC, path));
    }
}

#[test]
fn a_peer_that_dies_while_it_lists_leaves_nothing_here_and_what_lies_there_goes_with_the_next_run()
{
    let Some(lab) = pair_with(Lab::builder().hide(BALAUR, &["find"]), "") else {
        return;
    };
    let find = lab.root().join("server-bin/find");
    let work = "#!/bin/sh\nexec /usr/bin/find \"$@\"\n";
    // Not before the engine is there.
    let engine = lab.state_dir(BALAUR).join("lock.d/engine.*");
    let die = format!(
        "#!/bin/sh\ncase \"$*\" in '. '*) until ls {} >/dev/null 2>&1; do sleep 0.1; done; kill -9 $PPID ;; esac\nexec /usr/bin/find \"$@\"\n",
        engine.display(),
    );
    let does = |script: &str| {
        fs::write(&find, script).unwrap();
        fs::set_permissions(&find, PermissionsExt::from_mode(0o755)).unwrap();
    };
    does(work);
    seed(&lab, &["docs/a.md"]);
    sync(&lab);
    lab.write(MAC, "docs/a.md", "edited here");
    let before = [MAC, BALAUR].map(|side| folders(&lab, side));
    does(&die);
    let out = lab.run(&["truth", "--apply"]);
    assert!([1, 5].contains(&out.code), "{out}");
    let left = [MAC, BALAUR].map(|side| folders(&lab, side));
    assert_eq!(left, [before[0], before[1] + 1]);
    assert_eq!(lab.read_text(BALAUR, "docs/a.md"), "base of docs/a.md\n");
    does(work);
    assert!(was_early(&sync(&lab)));
    let after = [MAC, BALAUR].map(|side| folders(&lab, side));
    assert_eq!(after, before.map(|n| n + 1));
    assert_same(&lab);
}
