//! A dry run changes nothing (catalogue DR), and a plan is carried out only as it was shown (`--plan`, `--path`, `--exit-code`).
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

mod lab;

use lab::{Lab, Side, Snapshot, need, wait_until};
use serde_json::Value;

const T0: i128 = 1_700_000_000_000_000_000;
const SECOND: i128 = 1_000_000_000;

fn ready() -> bool {
    need(&["ssh", "sshd", "ssh-keygen", "unison"])
}

fn synced() -> Lab {
    let lab = Lab::new();
    lab.policy("");
    for path in [
        "edit", "contest", "tie", "gone", "chmod", "touch", "type", "dir/a", "dir/b", "moved/x",
        "still",
    ] {
        lab.write_at(Side::Laptop, path, path, T0);
    }
    lab.symlink(Side::Laptop, "link", "still");
    lab.run(&["truth", "--apply"]).expect(0);
    lab
}

/// Every sort of change at once, a conflict that is decided and (with `tie`) one that is not.
fn change_everything(lab: &Lab, tie: bool) {
    lab.write_at(Side::Laptop, "edit", "edited", T0 + SECOND);
    lab.write_at(Side::Server, "new/deep/file", "new", T0);
    lab.write_at(Side::Laptop, "contest", "on mac", T0 + SECOND);
    lab.write_at(Side::Server, "contest", "on balaur", T0 + 2 * SECOND);
    if tie {
        lab.write_at(Side::Laptop, "tie", "one", T0 + SECOND);
        lab.write_at(Side::Server, "tie", "two", T0 + SECOND);
    }
    lab.remove(Side::Server, "gone");
    lab.chmod(Side::Laptop, "chmod", 0o600);
    lab.set_mtime(Side::Server, "touch", T0 + 9 * SECOND);
    lab.remove(Side::Laptop, "type");
    lab.write_at(Side::Laptop, "type/inside", "a directory now", T0);
    lab.remove(Side::Server, "dir");
    lab.rename(Side::Laptop, "moved", "moved-on");
    lab.remove(Side::Server, "link");
    lab.symlink(Side::Server, "link", "edit");
    lab.write_at(Side::Server, "x_state.json", "state", T0);
}

/// Everything of both sides that a dry run may not touch.
fn both(lab: &Lab) -> Vec<(std::path::PathBuf, Snapshot)> {
    let places = Side::BOTH.into_iter().flat_map(|side| {
        let archives = lab.state_dir(side).join("pairs/balaur+mac/archives");
        [lab.tree(side), archives]
    });
    places.map(|p| (p.clone(), Snapshot::of(&p))).collect()
}

#[track_caller]
fn assert_untouched(before: &[(std::path::PathBuf, Snapshot)], why: &str) {
    for (place, snapshot) in before {
        snapshot.assert_unchanged(place, why);
    }
}

/// What a plan says, without how it went.
fn said(document: &Value) -> Vec<String> {
    let list = document["lanes"][0]["changes"].as_array().unwrap();
    list.iter()
        .map(|c| format!("{} {} {} {}", c["path"], c["kind"], c["to"], c["conflict"]))
        .collect()
}

#[test]
fn dr_01_06_07_a_dry_run_leaves_no_trace_and_says_what_the_apply_does() {
    if !ready() {
        return;
    }
    let lab = synced();
    change_everything(&lab, true);
    let before = both(&lab);
    let first = lab.run(&["truth", "--json"]).expect(4).json();
    assert_untouched(&before, "a dry run");
    let second = lab
        .run(&["truth", "--dry-run", "--json", "--full-scan"])
        .expect(4)
        .json();
    lab.run(&["truth", "-v", "--all"]).expect(4);
    assert_untouched(&before, "further dry runs");
    assert_eq!(said(&first), said(&second));
    assert_eq!(first["plan"], second["plan"]);
    assert_eq!(first["mode"], "dry-run");
    // No run folder, lock or temp file of it stays behind.
    for side in Side::BOTH {
        let state = lab.state_dir(side);
        // A session lets its lock go as it ends, which may be a moment after the run itself.
        wait_until("the lock is gone", || !state.join("lock.d").exists());
        let runs = std::fs::read_dir(state.join("pairs/balaur+mac/runs")).unwrap();
        assert_eq!(
            runs.count(),
            1,
            "only the applied run has a folder on {}",
            side.host()
        );
    }
    let plan = first["plan"].as_str().unwrap();
    let applied = lab
        .run(&["truth", "--apply", "--json", "--plan", plan])
        .expect(4)
        .json();
    assert_eq!(said(&first), said(&applied));
    assert_eq!(applied["plan"], plan);
    let results = applied["lanes"][0]["changes"].as_array().unwrap();
    assert!(results.iter().all(|c| c["result"] == "done"), "{applied:#}");
    assert_eq!(applied["lanes"][0]["left"][0]["path"], "tie");
    lab.assert_equal_truth(&["tie", "*_state.json"]);
}

#[test]
fn dr_02_03_a_dry_first_run_is_no_memory_of_a_sync() {
    if !ready() {
        return;
    }
    let lab = Lab::new();
    lab.policy("");
    lab.write_at(Side::Laptop, "a", "a", T0);
    lab.write_at(Side::Laptop, "b", "b", T0);
    lab.write_at(Side::Server, "b", "b", T0);
    lab.run(&["truth"]).expect(0);
    lab.run(&["truth"]).expect(0);
    lab.remove(Side::Server, "b");
    // Had the dry run remembered `b`, this would delete it.
    lab.run(&["truth", "--apply"]).expect(0);
    assert_eq!(lab.read_text(Side::Server, "b"), "b");
    lab.assert_equal_truth(&[]);
}

#[test]
fn dr_04_a_refused_dry_run_says_so_and_touches_nothing() {
    if !ready() {
        return;
    }
    let lab = synced();
    change_everything(&lab, false);
    lab.policy("[guards]\nmax_delete = 0");
    let before = both(&lab);
    let out = lab
        .run(&["truth", "--json", "--exit-code"])
        .expect(3)
        .json();
    assert_eq!(out["outcome"], "refused");
    assert_untouched(&before, "a refused dry run");
}

#[test]
fn dr_05_read_only_roots_are_named_and_left_alone() {
    if !ready() || (rustix::process::geteuid().is_root() && !need(&["setpriv"])) {
        return;
    }
    let lab = Lab::builder().unprivileged_server().build();
    lab.policy("");
    lab.write_at(Side::Laptop, "a", "a", T0);
    lab.chmod(Side::Server, "", 0o555);
    let before = both(&lab);
    let out = lab.run(&["truth", "--json"]).expect(3).json();
    assert!(out["findings"].to_string().contains("root_mode"), "{out:#}");
    assert_untouched(&before, "a dry run on a read-only root");
    lab.chmod(Side::Server, "", 0o755);
    // A state directory that cannot be made is a clean failure.
    let home = lab.home(Side::Server);
    std::fs::remove_dir_all(home.join(".local")).unwrap();
    std::fs::set_permissions(&home, std::os::unix::fs::PermissionsExt::from_mode(0o555)).unwrap();
    let out = lab.run(&["truth"]).expect(1);
    assert!(out.stdout.contains("cannot be written"), "{out}");
    std::fs::set_permissions(&home, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    lab.run(&["truth", "--apply"]).expect(0);
}

#[test]
fn plan_id_an_overtaken_plan_is_refused_and_shows_what_differs() {
    if !ready() {
        return;
    }
    let lab = synced();
    lab.write_at(Side::Laptop, "edit", "edited", T0 + SECOND);
    lab.write_at(Side::Laptop, "calm", "new", T0);
    lab.remove(Side::Server, "gone");
    let shown = lab.run(&["truth", "--json"]).expect(0).json();
    let plan = shown["plan"].as_str().unwrap();
    lab.write_at(Side::Laptop, "edit", "edited once more", T0 + 2 * SECOND);
    lab.write_at(Side::Server, "gone", "gone", T0);
    lab.write_at(Side::Server, "came\u{1b}[31m", "came", T0);
    let before = both(&lab);
    let out = lab
        .run(&["truth", "--apply", "--json", "--plan", plan])
        .expect(3);
    assert_untouched(&before, "an overtaken plan");
    let document = out.json();
    assert_eq!(document["outcome"], "refused");
    let finding = document["findings"]
        .as_array()
        .unwrap()
        .iter()
        .find(|f| f["guard"] == "plan")
        .unwrap();
    let message = finding["message"].as_str().unwrap();
    for part in [
        "1 path added (came",
        "1 path gone (gone)",
        "1 path changed (edit)",
    ] {
        assert!(message.contains(part), "{message}");
    }
    let notes = document["lanes"][0]["notes"].as_array().unwrap();
    let named: Vec<_> = notes.iter().map(|n| n["path"].as_str().unwrap()).collect();
    assert_eq!(named, ["came\u{1b}[31m", "edit", "gone"]);
    let human = lab.run(&["truth", "--apply", "--plan", plan]).expect(3);
    assert!(
        human.stdout.contains("added") && human.stdout.contains("edit"),
        "{human}"
    );
    assert!(!human.stdout.contains('\u{1b}'), "{human}");
    // A plan that nobody was shown is refused as well.
    let unknown = lab
        .run(&["truth", "--apply", "--plan", "0123456789ab"])
        .expect(3);
    assert!(unknown.stdout.contains("not known"), "{unknown}");
    // The present one passes, and is spent afterwards.
    let now = lab.run(&["truth", "--json"]).expect(0).json();
    let now = now["plan"].as_str().unwrap();
    lab.run(&["truth", "--apply", "--plan", now]).expect(0);
    lab.assert_equal_truth(&[]);
    lab.run(&["truth", "--apply", "--plan", now]).expect(3);
}

#[test]
fn path_limits_a_run_and_the_rest_waits() {
    if !ready() {
        return;
    }
    let lab = synced();
    lab.write_at(Side::Laptop, "dir/a", "edited a", T0 + SECOND);
    lab.write_at(Side::Laptop, "dir/b", "edited b", T0 + SECOND);
    lab.write_at(Side::Laptop, "new/deep/file", "new", T0);
    lab.write_at(Side::Laptop, "new/other", "other", T0);
    lab.remove(Side::Server, "gone");
    lab.write_at(Side::Server, "x_state.json", "state", T0);
    let tree = lab.tree(Side::Laptop);
    lab.run(&[
        "truth",
        "--apply",
        "--path",
        "dir/a",
        "--path",
        "./new/deep/",
    ])
    .expect(0);
    assert_eq!(lab.read_text(Side::Server, "dir/a"), "edited a");
    assert_eq!(lab.read_text(Side::Server, "dir/b"), "dir/b");
    assert_eq!(lab.read_text(Side::Server, "new/deep/file"), "new");
    assert!(!lab.exists(Side::Server, "new/other"));
    assert!(lab.exists(Side::Laptop, "gone"));
    // A prefix of a name is not a path above it, and state stays state when it is named.
    for path in ["di", "x_state.json", "nowhere"] {
        let out = lab
            .run(&["truth", "--apply", "--json", "--path", path])
            .expect(0)
            .json();
        assert_eq!(out["outcome"], "in-sync", "{path}: {out:#}");
    }
    assert!(!lab.exists(Side::Laptop, "x_state.json"));
    for bad in [
        "..",
        "../x",
        "a/../../x",
        "",
        ".",
        "/",
        tree.to_str().unwrap(),
    ] {
        let out = lab.run(&["truth", "--apply", "--path", bad]);
        assert_eq!(out.code, 2, "--path {bad}\n{out}");
    }
    lab.run(&["truth", "--apply"]).expect(0);
    lab.assert_equal_truth(&["*_state.json"]);
}

#[test]
fn exit_code_7_means_pending_and_contradictions_are_usage_errors() {
    if !ready() {
        return;
    }
    let lab = synced();
    lab.run(&["truth", "--exit-code"]).expect(0);
    lab.write_at(Side::Laptop, "edit", "edited", T0 + SECOND);
    lab.run(&["truth"]).expect(0);
    let out = lab
        .run(&["truth", "--exit-code", "--json"])
        .expect(7)
        .json();
    assert_eq!(
        (&out["exit_code"], &out["outcome"]),
        (&7.into(), &"pending".into())
    );
    let before = both(&lab);
    for wrong in [
        &["truth", "--dry-run", "--apply"][..],
        &["truth", "--apply", "--dry-run"],
        &["truth", "--plan", "0123456789ab"],
        &["truth", "--apply", "--plan"],
        &["truth", "nobody"],
        &["truth", "--apply=yes"],
        &["truth", "--aply"],
    ] {
        let out = lab.run(wrong);
        assert_eq!(out.code, 2, "{wrong:?}\n{out}");
    }
    assert_untouched(&before, "a usage error");
    // With --apply there is nothing pending left to report.
    lab.run(&["truth", "--apply", "--exit-code"]).expect(0);
    lab.write_at(Side::Laptop, "tie", "one", T0 + SECOND);
    lab.write_at(Side::Server, "tie", "two", T0 + SECOND);
    lab.run(&["truth", "--exit-code"]).expect(4);
}

#[test]
fn se_15_nothing_but_the_switch_applies() {
    if !ready() {
        return;
    }
    let lab = synced();
    lab.write_at(Side::Laptop, "edit", "edited", T0 + SECOND);
    let before = both(&lab);
    let mut command = lab.command(Side::Laptop);
    for name in [
        "UBOS_SYNC_APPLY",
        "APPLY",
        "UBOS_SYNC_DRY_RUN",
        "UBOS_SYNC_ARGS",
    ] {
        command.env(name, "--apply");
    }
    lab.start({
        command.arg("truth");
        command
    })
    .wait()
    .expect(0);
    for text in [
        "[truth]\napply = true",
        "[schedule]\napply = true",
        "apply = true",
    ] {
        lab.policy(text);
        lab.run(&["truth"]).expect(2);
    }
    assert_untouched(&before, "a run without --apply");
}
