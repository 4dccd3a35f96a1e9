//! One command puts both replicas back to how they were before a run, and the pair is held so that the next run does not redo it.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

mod lab;
mod pair;

use std::fs;

use lab::{Lab, Side, Snapshot, truth_difference, wait_until};
use pair::{BALAUR, MAC, S, T, apply, changes, found, left, pair, said, seed, sync};
use serde_json::Value;

/// A synced pair with one of everything, and then edits of every kind on both sides.
fn edited() -> Option<Lab> {
    let lab = pair()?;
    seed(
        &lab,
        &[
            "docs/a.md",
            "docs/b.md",
            "docs/gone.md",
            "docs/both.md",
            "scripts/run.sh",
            "old/deep/x.md",
            "old/y.md",
            "swap/in.md",
            "odd/a b'c.md",
        ],
    );
    lab.symlink(MAC, "docs/link", "a.md");
    sync(&lab);
    lab.write_at(MAC, "docs/a.md", "edited on mac", T + 5 * S + 123_456_789);
    lab.write_at(BALAUR, "docs/b.md", "edited on balaur", T + 6 * S + 7);
    lab.write_at(MAC, "docs/both.md", "older", T + 10 * S);
    lab.write_at(BALAUR, "docs/both.md", "newer, and it wins", T + 20 * S);
    lab.remove(MAC, "docs/gone.md");
    lab.chmod(BALAUR, "scripts/run.sh", 0o755);
    fs::remove_dir_all(lab.tree(MAC).join("old")).unwrap();
    fs::remove_dir_all(lab.tree(BALAUR).join("swap")).unwrap();
    lab.write_at(BALAUR, "swap", "a file now", T + 30 * S);
    lab.remove(MAC, "docs/link");
    lab.symlink(MAC, "docs/link", "b.md");
    lab.write_at(MAC, "new/deep/file\nwith break.md", "new", T);
    lab.write_at(BALAUR, "new2/é.md", "new too", T);
    lab.write_at(BALAUR, "odd/a b'c.md", "odd", T + S);
    lab.write(MAC, "old_state.json", "{}");
    Some(lab)
}

fn trees(lab: &Lab) -> [Snapshot; 2] {
    Side::BOTH.map(|s| lab.snapshot(s))
}

#[track_caller]
fn as_before(lab: &Lab, before: &[Snapshot; 2]) {
    for (side, before) in Side::BOTH.into_iter().zip(before) {
        let difference = truth_difference(before, &lab.snapshot(side), &[]);
        assert!(
            difference.is_empty(),
            "{} is not as before\n{difference}",
            side.host()
        );
    }
}

/// What a dry run would do, a line for each change.
fn plan_of(lab: &Lab) -> Vec<String> {
    let json = said(lab.run(&["truth", "--allow", "held", "--json"]), 0);
    let changes = json["lanes"][0]["changes"].as_array().unwrap();
    changes.iter().map(Value::to_string).collect()
}

/// What is in one plan and not in the other.
#[track_caller]
fn same_plan(lab: &Lab, first: &[String]) {
    let now = plan_of(lab);
    let only = |a: &[String], b: &[String]| {
        a.iter()
            .filter(|l| !b.contains(l))
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(
        only(first, &now),
        only(&now, first),
        "the plan is not the same again"
    );
}

#[test]
fn cr_14_both_sides_are_exactly_as_before_and_the_plan_is_the_same_again() {
    let Some(lab) = edited() else { return };
    let before = trees(&lab);
    let first = plan_of(&lab);
    let run = sync(&lab)["run"].as_str().unwrap().to_owned();
    let after = trees(&lab);
    // Dry first: shown, nothing touched.
    let dry = said(lab.run(&["rollback", &run, "--json"]), 0);
    assert_eq!(dry["outcome"], "pending", "{dry:#}");
    for (side, after) in Side::BOTH.into_iter().zip(&after) {
        after.assert_unchanged(&lab.tree(side), "a dry rollback");
    }
    let done = said(lab.run(&["rollback", &run, "--apply", "--json"]), 0);
    assert_eq!(done["outcome"], "applied", "{done:#}");
    as_before(&lab, &before);
    // Held, so that no timer redoes it.
    let refused = said(lab.run(&["truth", "--apply", "--json"]), 3);
    assert!(
        found(&refused, "held", "refuse").contains(&run),
        "{refused:#}"
    );
    same_plan(&lab, &first);
    lab.run(&["release", "balaur"]).expect(0);
    sync(&lab);
    lab.assert_equal_truth(&["old_state.json"]);
}

#[test]
fn a_rollback_can_itself_be_rolled_back() {
    let Some(lab) = edited() else { return };
    let run = sync(&lab)["run"].as_str().unwrap().to_owned();
    let after = trees(&lab);
    let undo = said(lab.run(&["rollback", &run, "--apply", "--json"]), 0);
    let undo = undo["run"].as_str().unwrap();
    let again = lab.run(&["rollback", &run, "--apply"]).expect(3);
    assert!(again.stderr.contains("already"), "{}", again.stderr);
    said(lab.run(&["rollback", undo, "--apply", "--json"]), 0);
    as_before(&lab, &after);
    lab.run(&["release", "balaur"]).expect(0);
    let idle = apply(&lab, 0);
    assert_eq!(changes(&idle), 0, "{idle:#}");
}

#[test]
fn cr_15_what_was_edited_since_is_left_and_force_keeps_it_beside() {
    let Some(lab) = edited() else { return };
    let run = sync(&lab)["run"].as_str().unwrap().to_owned();
    lab.write_at(BALAUR, "docs/a.md", "precious, written since", T + 99 * S);
    lab.write_at(MAC, "new2/é.md", "precious too", T + 99 * S);
    let json = said(lab.run(&["rollback", &run, "--apply", "--json"]), 4);
    for path in ["docs/a.md", "new2/é.md"] {
        assert!(left(&json, path).contains("since that run"), "{json:#}");
    }
    assert_eq!(
        lab.read_text(BALAUR, "docs/a.md"),
        "precious, written since"
    );
    assert_eq!(lab.read_text(MAC, "new2/é.md"), "precious too");
    assert_eq!(lab.read_text(MAC, "docs/b.md"), "base of docs/b.md\n");
    // What was left can still be put back, with the edits kept beside it.
    let again = lab.run(&["rollback", &run, "--apply"]).expect(3);
    assert!(again.stderr.contains("--force"), "{}", again.stderr);
    said(
        lab.run(&["rollback", &run, "--apply", "--force", "--json"]),
        0,
    );
    assert_eq!(lab.read_text(BALAUR, "docs/a.md"), "base of docs/a.md\n");
    assert!(!lab.exists(MAC, "new2/é.md"));
}

#[test]
fn force_puts_back_and_keeps_the_edit_under_a_name_of_its_own() {
    let Some(lab) = edited() else { return };
    let run = sync(&lab)["run"].as_str().unwrap().to_owned();
    lab.write_at(BALAUR, "docs/a.md", "precious, written since", T + 99 * S);
    said(
        lab.run(&["rollback", &run, "--apply", "--force", "--json"]),
        0,
    );
    assert_eq!(lab.read_text(BALAUR, "docs/a.md"), "base of docs/a.md\n");
    let kept: Vec<String> = fs::read_dir(lab.tree(BALAUR).join("docs"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|n| n.starts_with("a.md.balaur-"))
        .collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!(
        lab.read_text(BALAUR, format!("docs/{}", kept[0])),
        "precious, written since"
    );
}

#[test]
fn newer_runs_stand_in_the_way_until_all_are_rolled_back_in_one_go() {
    let Some(lab) = edited() else { return };
    let before = trees(&lab);
    let first = sync(&lab)["run"].as_str().unwrap().to_owned();
    lab.write_at(MAC, "docs/a.md", "a third version", T + 50 * S);
    lab.write_at(MAC, "docs/late.md", "late", T + 50 * S);
    sync(&lab);
    let out = lab.run(&["rollback", &first, "--apply"]).expect(3);
    assert!(out.stderr.contains("--to"), "{}", out.stderr);
    let dry = said(lab.run(&["rollback", "--to", &first, "--json"]), 0);
    assert_eq!(dry["outcome"], "pending", "{dry:#}");
    let done = said(
        lab.run(&["rollback", "--to", &first, "--apply", "--json"]),
        0,
    );
    assert_eq!(done["lanes"][0]["undoes"].as_array().unwrap().len(), 2);
    // What mac wrote itself since the first run is its own and stays.
    for (side, before) in Side::BOTH.into_iter().zip(&before) {
        let difference = truth_difference(
            before,
            &lab.snapshot(side),
            &["docs/a.md", "docs/late.md", "docs"],
        );
        assert!(difference.is_empty(), "{}\n{difference}", side.host());
    }
    assert!(!lab.exists(BALAUR, "docs/late.md"));
    assert_eq!(lab.read_text(BALAUR, "docs/a.md"), "base of docs/a.md\n");
}

#[test]
fn what_changed_nothing_has_nothing_to_roll_back() {
    let Some(lab) = pair() else { return };
    seed(&lab, &["docs/a.md"]);
    let dry = said(lab.run(&["truth", "--json"]), 0);
    let out = lab
        .run(&["rollback", dry["run"].as_str().unwrap(), "--apply"])
        .expect(3);
    assert!(out.stderr.contains("dry run"), "{}", out.stderr);
    sync(&lab);
    let idle = sync(&lab);
    let out = lab
        .run(&["rollback", idle["run"].as_str().unwrap(), "--apply"])
        .expect(3);
    assert!(out.stderr.contains("changed no file"), "{}", out.stderr);
    let out = lab
        .run(&["rollback", "20200101T000000Z-truth-000000"])
        .expect(2);
    assert!(out.stderr.contains("there is no run"), "{}", out.stderr);
}

/// Kills `ubos-sync ARGS` after growing times until it has once run to its end.
fn kill_often(lab: &Lab, args: &[&str], first: u128, step: u128) {
    for n in 0..30 {
        let started = std::time::Instant::now();
        let mut run = lab.spawn(args);
        wait_until("the moment of the kill", || {
            run.finished() || started.elapsed().as_millis() >= first + n * step
        });
        run.kill();
        let out = run.wait();
        // Killed after its last word, it has been done without saying so.
        if out.code == 0 || out.stderr.contains("already") {
            return;
        }
    }
    lab.run(args).expect(0);
}

#[test]
fn cr_12_a_rollback_that_is_killed_is_simply_run_again() {
    let Some(lab) = edited() else { return };
    let before = trees(&lab);
    let first = plan_of(&lab);
    let run = sync(&lab)["run"].as_str().unwrap().to_owned();
    kill_often(&lab, &["rollback", &run, "--apply"], 150, 45);
    as_before(&lab, &before);
    same_plan(&lab, &first);
}

#[test]
fn a_half_done_rollback_keeps_every_other_run_out_until_it_is_done_or_given_up() {
    let Some(lab) = edited() else { return };
    let before = trees(&lab);
    let run = sync(&lab)["run"].as_str().unwrap().to_owned();
    // As a kill right after the mark leaves it.
    let pair = fs::read_dir(lab.state_dir(MAC).join("pairs"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    fs::write(pair.join("undoing"), format!("{run}\n")).unwrap();
    fs::write(pair.join("held"), "the rollback is under way\n").unwrap();
    let refused = said(
        lab.run(&["truth", "--apply", "--allow", "held", "--json"]),
        3,
    );
    assert!(
        found(&refused, "rollback", "refuse").contains(&run),
        "{refused:#}"
    );
    let out = lab.run(&["release", "balaur"]).expect(3);
    assert!(out.stderr.contains("--abandon-rollback"), "{}", out.stderr);
    lab.remove(MAC, "docs/b.md");
    said(lab.run(&["rollback", &run, "--apply", "--json"]), 0);
    as_before(&lab, &before);
    lab.run(&["release", "balaur"]).expect(0);
    sync(&lab);
    fs::write(pair.join("undoing"), format!("{run}\n")).unwrap();
    lab.run(&["release", "balaur", "--abandon-rollback"])
        .expect(0);
    sync(&lab);
}

/// Applied runs of the two-way lane, whole or not.
fn applied(lab: &Lab) -> Vec<String> {
    let runs = lab.run(&["runs", "list", "--json"]).expect(0).json();
    let all = runs["runs"].as_array().unwrap();
    all.iter()
        .filter(|r| r["mode"] == "apply" && r["command"] == "truth")
        .map(|r| r["run"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn cr_13_a_run_that_was_killed_can_be_rolled_back() {
    let Some(lab) = edited() else { return };
    let before = trees(&lab);
    let first = plan_of(&lab);
    for millis in [180, 260, 340, 420, 500, 600, 700] {
        let known = applied(&lab);
        let started = std::time::Instant::now();
        let mut run = lab.spawn(&["truth", "--apply"]);
        wait_until("the moment of the kill", || {
            run.finished() || started.elapsed().as_millis() >= millis
        });
        run.kill();
        run.wait();
        let killed = applied(&lab).into_iter().find(|r| !known.contains(r));
        // Killed before it had a record, it has done nothing.
        let Some(killed) = killed else {
            as_before(&lab, &before);
            continue;
        };
        let out = lab.run(&["rollback", &killed, "--apply"]);
        // Killed before it had a plan, it has changed nothing.
        assert!(matches!(out.code, 0 | 3), "{out}");
        as_before(&lab, &before);
        same_plan(&lab, &first);
        lab.run(&["release", "balaur"]).expect(0);
    }
    sync(&lab);
    lab.assert_equal_truth(&["old_state.json"]);
}

#[test]
fn either_host_takes_back_what_the_other_drove() {
    let Some(mut lab) = edited() else { return };
    lab.server_policy("");
    let before = trees(&lab);
    let run = sync(&lab)["run"].as_str().unwrap().to_owned();
    let dry = lab.run_on(Side::Server, &["rollback", &run, "--json"]);
    assert_eq!(dry.expect(0).json()["outcome"], "pending");
    let done = lab.run_on(Side::Server, &["rollback", &run, "--apply", "--json"]);
    assert_eq!(done.expect(0).json()["lanes"][0]["peer"], "mac");
    as_before(&lab, &before);
    said(lab.run(&["truth", "--apply", "--json"]), 3);
    lab.run(&["release", "balaur"]).expect(0);
    sync(&lab);
}

#[test]
fn the_snapshot_tells_what_will_change_and_what_git_had_uncommitted() {
    if !lab::need(&["git"]) {
        return;
    }
    let Some(lab) = pair() else { return };
    seed(&lab, &["docs/a.md"]);
    sync(&lab);
    let git = |args: &[&str]| {
        let mut git = lab.tool(MAC, "git");
        git.current_dir(lab.tree(MAC));
        let who = ["-c", "user.name=a", "-c", "user.email=a@b.c"];
        git.args(who).args(args);
        let out = git.output().unwrap();
        assert!(out.status.success(), "{args:?} {out:?}");
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    };
    git(&["init", "-q", "-b", "trunk"]);
    git(&["add", "docs"]);
    git(&["commit", "-qm", "first"]);
    let head = git(&["rev-parse", "HEAD"]);
    lab.write_at(MAC, "docs/a.md", "not committed", T + S);
    let run = sync(&lab)["run"].as_str().unwrap().to_owned();
    for side in Side::BOTH {
        let pairs = lab.state_dir(side).join("pairs");
        let pair = fs::read_dir(pairs).unwrap().next().unwrap().unwrap().path();
        let folder = pair.join("runs").join(&run);
        let snapshot = fs::read(folder.join("snapshot.json")).unwrap();
        let snapshot: Value = serde_json::from_slice(&snapshot).unwrap();
        assert_eq!(snapshot["changes"][0]["path"], "docs/a.md");
        assert!(snapshot["changes"][0]["target"]["hash"].is_string());
        if side == MAC {
            let facts = fs::read_to_string(folder.join("git")).unwrap();
            assert!(
                facts.contains(&head) && facts.contains("branch trunk"),
                "{facts}"
            );
            let patch = fs::read_to_string(folder.join("git.patch")).unwrap();
            assert!(patch.contains("+not committed"), "{patch}");
        }
    }
}

#[test]
fn se_08_a_link_on_the_way_is_never_followed() {
    let Some(lab) = pair() else { return };
    seed(&lab, &["docs/sub/a.md"]);
    sync(&lab);
    lab.write_at(MAC, "docs/sub/a.md", "edited", T + 5 * S);
    let run = sync(&lab)["run"].as_str().unwrap().to_owned();
    let (outside, seen) = pair::outside(&lab);
    fs::write(outside.join("a.md"), "edited").unwrap();
    let seen_now = Snapshot::of(&outside);
    let _ = seen;
    fs::remove_dir_all(lab.tree(BALAUR).join("docs/sub")).unwrap();
    lab.symlink(BALAUR, "docs/sub", outside.to_str().unwrap());
    lab.run(&["rollback", &run, "--apply"]);
    seen_now.assert_unchanged(&outside, "a rollback with a link on the way");
}

#[test]
fn a_pair_is_held_and_released_by_hand_also_when_the_peer_is_away() {
    let Some(mut lab) = pair() else { return };
    seed(&lab, &["docs/a.md"]);
    sync(&lab);
    lab.run(&["hold", "balaur", "--why", "migrating disks"])
        .expect(0);
    lab.write(MAC, "docs/b.md", "b");
    let json = said(lab.run(&["truth", "--apply", "--json"]), 3);
    let why = found(&json, "held", "refuse");
    assert!(why.contains("migrating disks"), "{why}");
    assert!(
        json["findings"].to_string().contains("release balaur"),
        "{json:#}"
    );
    lab.run(&["release", "balaur"]).expect(0);
    sync(&lab);
    lab.sshd().stop();
    let out = lab.run(&["hold", "balaur", "--why", "no peer"]).expect(1);
    assert!(
        out.stderr.contains("only the half on mac"),
        "{}",
        out.stderr
    );
    lab.sshd().start();
    said(lab.run(&["truth", "--apply", "--json"]), 3);
    lab.run(&["release", "balaur"]).expect(0);
    lab.run(&["hold", "balur", "--why", "x"]).expect(2);
    sync(&lab);
}

#[test]
fn a_rollback_that_cannot_begin_says_why_and_touches_nothing_until_it_can() {
    let Some(mut lab) = pair() else { return };
    seed(&lab, &["docs/a.md"]);
    sync(&lab);
    lab.write_at(MAC, "docs/a.md", "edited", T + S);
    let before = trees(&lab);
    let run = sync(&lab)["run"].as_str().unwrap().to_owned();
    let after = trees(&lab);
    #[track_caller]
    fn fails(lab: &Lab, run: &str, code: i32, outcome: &str) -> Value {
        let json = said(lab.run(&["rollback", run, "--apply", "--json"]), code);
        assert_eq!(json["lanes"][0]["outcome"], outcome, "{json:#}");
        json
    }
    lab.sshd().stop();
    let json = fails(&lab, &run, 5, "offline");
    let message = json["lanes"][0]["message"].as_str().unwrap();
    assert!(message.contains("the same command goes on"), "{json:#}");
    lab.sshd().start();

    let marker = lab.tree(BALAUR).join(".ubos-root");
    fs::remove_file(&marker).unwrap();
    let json = fails(&lab, &run, 3, "refused");
    assert!(found(&json, "marker", "refuse").contains("balaur"));
    fs::write(&marker, "").unwrap();

    let lock = lab.state_dir(BALAUR).join("lock.d");
    fs::write(&lock, "no lock of ours").unwrap();
    let json = fails(&lab, &run, 1, "failed");
    assert!(json.to_string().contains("cannot be taken"), "{json:#}");
    fs::remove_file(&lock).unwrap();

    as_before(&lab, &after);
    said(lab.run(&["rollback", &run, "--apply", "--json"]), 0);
    as_before(&lab, &before);
}

#[test]
fn a_directory_that_became_a_link_hides_what_lies_behind_the_link() {
    let Some(lab) = pair() else { return };
    seed(&lab, &["docs/x.md"]);
    sync(&lab);
    // Here a link to a directory, over there a directory of that name, and both directories hold a file of one name.
    lab.write_at(MAC, "docs/real/inner/f.md", "behind the link", T);
    lab.symlink(MAC, "docs/way", "real");
    sync(&lab);
    let before = trees(&lab);
    fs::remove_file(lab.tree(BALAUR).join("docs/way")).unwrap();
    lab.write_at(BALAUR, "docs/way/inner/f.md", "its own", T + S);
    let run = sync(&lab)["run"].as_str().unwrap().to_owned();
    let json = said(lab.run(&["rollback", &run, "--apply", "--json"]), 0);
    assert_eq!(json["outcome"], "applied", "{json:#}");
    let difference = truth_difference(&before[0], &lab.snapshot(MAC), &[]);
    assert!(difference.is_empty(), "{difference}");
    assert!(
        fs::symlink_metadata(lab.tree(MAC).join("docs/way"))
            .unwrap()
            .is_symlink()
    );
}

#[test]
fn what_was_taken_back_is_no_base_either_when_what_is_remembered_is_damaged() {
    let Some(lab) = pair() else { return };
    seed(&lab, &["docs/a.md", "docs/b.md"]);
    sync(&lab);
    lab.write_at(MAC, "docs/new.md", "mac's own", T);
    fs::create_dir(lab.tree(MAC).join("empty")).unwrap();
    let run = sync(&lab)["run"].as_str().unwrap().to_owned();
    let back = said(lab.run(&["rollback", &run, "--apply", "--json"]), 0);
    lab.run(&["release", "balaur"]).expect(0);
    for side in Side::BOTH {
        let archives = lab.state_dir(side).join("pairs/balaur+mac/archives");
        let newest = archives.join(back["run"].as_str().unwrap());
        fs::write(newest.join("manifest"), "damaged").unwrap();
    }
    let json = apply(&lab, 0);
    assert_eq!(
        lab.read_text(BALAUR, "docs/new.md"),
        "mac's own",
        "{json:#}"
    );
    assert!(lab.exists(MAC, "empty"), "{json:#}");
    lab.assert_equal_truth(&[]);
}
