//! Every guard of the two-way lane (catalogue GD), tripped over a real pair: nothing is touched, `--allow` waives it for one run.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

mod lab;

use lab::{Lab, Side, libfaketime, need};
use serde_json::Value;

const T0: i128 = 1_700_000_000_000_000_000;
const SECOND: i128 = 1_000_000_000;

fn ready() -> bool {
    need(&["ssh", "sshd", "ssh-keygen", "unison"])
}

/// A pair in sync with `n` files in `docs`.
fn synced(n: usize) -> Lab {
    synced_with(Lab::new(), n)
}

fn synced_with(lab: Lab, n: usize) -> Lab {
    lab.policy("");
    for i in 0..n {
        lab.write_at(Side::Laptop, format!("docs/{i}"), format!("file {i}"), T0);
    }
    apply(&lab, &[], 0);
    lab
}

fn apply(lab: &Lab, more: &[&str], code: i32) -> Value {
    let args = [&["truth", "--apply", "--json"], more].concat();
    lab.run(&args).expect(code).json()
}

fn severity<'a>(document: &'a Value, guard: &str) -> Vec<&'a str> {
    let list = document["findings"].as_array().unwrap();
    list.iter()
        .filter(|f| f["guard"] == guard)
        .map(|f| f["severity"].as_str().unwrap())
        .collect()
}

/// An applied run is refused by this guard with a way out, and nothing at all has changed on either side.
#[track_caller]
fn refused(lab: &Lab, guard: &str, more: &[&str]) {
    let before = Side::BOTH.map(|side| lab.snapshot(side));
    let document = apply(lab, more, 3);
    assert_eq!(document["outcome"], "refused", "{document:#}");
    assert!(
        severity(&document, guard).contains(&"refuse"),
        "{document:#}"
    );
    for finding in document["findings"].as_array().unwrap() {
        assert_ne!(finding["hint"], "", "{finding:#}");
    }
    for (side, before) in Side::BOTH.iter().zip(&before) {
        before.assert_unchanged(&lab.tree(*side), "a refused run");
    }
}

#[test]
fn gd_01_13_an_emptied_root_is_refused_on_either_side_and_on_both() {
    if !ready() {
        return;
    }
    for emptied in [&[Side::Laptop][..], &[Side::Server], &Side::BOTH] {
        let lab = synced(8);
        for side in emptied {
            lab.remove(*side, "docs");
        }
        refused(&lab, "roots", &[]);
        if emptied.len() == 1 {
            let all = [
                "--allow",
                "roots",
                "--allow",
                "max_delete",
                "--allow",
                "all_changed",
            ];
            let waived = apply(&lab, &all, 0);
            assert!(severity(&waived, "roots").contains(&"waived"), "{waived:#}");
            lab.assert_equal_truth(&[]);
        }
    }
}

#[test]
fn gd_02_a_root_that_is_missing_or_a_file_is_refused_and_not_made() {
    if !ready() {
        return;
    }
    let lab = synced(3);
    for side in Side::BOTH {
        let (tree, aside) = (lab.tree(side), lab.home(side).join("aside"));
        std::fs::rename(&tree, &aside).unwrap();
        refused(&lab, "roots", &[]);
        assert!(!tree.exists());
        std::fs::write(&tree, "a file").unwrap();
        refused(&lab, "roots", &[]);
        // Nothing waives a root that is not there: it would count as empty.
        refused(
            &lab,
            "roots",
            &[
                "--allow",
                "roots",
                "--allow",
                "max_delete",
                "--allow",
                "all_changed",
            ],
        );
        std::fs::remove_file(&tree).unwrap();
        std::fs::rename(&aside, &tree).unwrap();
    }
    assert_eq!(apply(&lab, &[], 0)["outcome"], "in-sync");
}

#[test]
fn gd_03_10_an_unmounted_root_has_no_marker_and_stays_bare() {
    if !ready() {
        return;
    }
    let lab = synced(6);
    for side in Side::BOTH {
        let (tree, aside) = (lab.tree(side), lab.home(side).join("aside"));
        std::fs::rename(&tree, &aside).unwrap();
        std::fs::create_dir(&tree).unwrap();
        lab.write_at(side.other(), "docs/0", "edited meanwhile", T0 + SECOND);
        refused(&lab, "marker", &[]);
        assert_eq!(std::fs::read_dir(&tree).unwrap().count(), 0);
        std::fs::remove_dir(&tree).unwrap();
        std::fs::rename(&aside, &tree).unwrap();
        apply(&lab, &[], 0);
        assert_eq!(lab.read_text(side, "docs/0"), "edited meanwhile");
        // The marker alone: refused, never made by a sync, and waived for one run only.
        lab.remove(side, ".ubos-root");
        lab.write_at(
            side,
            "docs/1",
            format!("edited without a marker on {}", side.host()),
            T0 + SECOND,
        );
        refused(&lab, "marker", &[]);
        apply(&lab, &["--allow", "marker"], 0);
        assert!(!lab.exists(side, ".ubos-root"));
        refused(&lab, "marker", &[]);
        lab.write(side, ".ubos-root", "");
    }
    lab.assert_equal_truth(&[]);
}

#[test]
fn gd_04_05_06_mass_deletes_are_refused_just_above_the_limit_and_waived_once() {
    if !ready() {
        return;
    }
    let lab = synced(40);
    for i in 0..20 {
        lab.remove(Side::Server, format!("docs/{i}"));
    }
    apply(&lab, &[], 0);
    assert!(
        !lab.exists(Side::Laptop, "docs/19"),
        "up to the floor nothing trips"
    );
    for i in 40..62 {
        lab.write_at(Side::Laptop, format!("docs/{i}"), format!("file {i}"), T0);
    }
    apply(&lab, &[], 0);
    for i in 40..61 {
        lab.remove(Side::Laptop, format!("docs/{i}"));
    }
    refused(&lab, "max_delete", &[]);
    // Another guard's waiver does not help.
    refused(&lab, "max_delete", &["--allow", "roots"]);
    let waived = apply(&lab, &["--allow", "max_delete"], 0);
    assert_eq!(severity(&waived, "max_delete"), ["waived"]);
    assert!(!lab.exists(Side::Server, "docs/60"));
    // Not sticky; and all but one stray file gone is the same story.
    for i in 100..130 {
        lab.write_at(Side::Laptop, format!("docs/{i}"), format!("file {i}"), T0);
    }
    apply(&lab, &[], 0);
    lab.remove(Side::Server, "docs");
    lab.write_at(Side::Server, "docs/20", "file 20", T0);
    refused(&lab, "max_delete", &[]);
}

#[test]
fn gd_07_renaming_the_directory_with_nearly_everything_is_no_mass_delete() {
    if !ready() {
        return;
    }
    let lab = synced(30);
    lab.rename(Side::Server, "docs", "documents");
    let run = apply(&lab, &[], 0);
    assert_eq!(severity(&run, "max_delete"), Vec::<&str>::new());
    assert_eq!(severity(&run, "all_changed"), Vec::<&str>::new());
    assert_eq!(lab.read_text(Side::Laptop, "documents/29"), "file 29");
    assert!(!lab.exists(Side::Laptop, "docs"));
    lab.assert_equal_truth(&[]);
}

#[test]
fn gd_08_the_same_or_nested_roots_are_refused() {
    if !ready() {
        return;
    }
    let lab = Lab::builder().without_sshd().build();
    lab.write(Side::Laptop, "a", "a");
    let tree = lab.tree(Side::Laptop);
    let state = lab.state_dir(Side::Laptop);
    let policy = |root: &std::path::Path, peer: &std::path::Path| {
        let text = format!(
            "schema = 1\n[site]\nname = \"mac\"\nroot = {root:?}\n[[peer]]\nname = \"balaur\"\nroot = {peer:?}\n"
        );
        lab.write_policy(Side::Laptop, &text);
    };
    std::fs::create_dir_all(tree.join("inner")).unwrap();
    std::fs::create_dir_all(state.join("inner")).unwrap();
    for (root, peer) in [
        (&tree, &tree),
        (&tree, &tree.join("inner")),
        (&state.join("inner"), &tree),
    ] {
        policy(root, peer);
        let out = lab.run(&["truth", "--apply"]).expect(2);
        assert!(out.stderr.contains("root"), "{out}");
    }
    // Through a link as well.
    let alias = lab.root().join("alias");
    std::os::unix::fs::symlink(&tree, &alias).unwrap();
    policy(&tree, &alias);
    lab.run(&["truth", "--apply"]).expect(2);
}

#[test]
fn gd_09_a_root_link_that_points_elsewhere_is_refused() {
    if !ready() {
        return;
    }
    let lab = Lab::new();
    for side in Side::BOTH {
        std::fs::rename(lab.tree(side), lab.home(side).join("real")).unwrap();
        std::os::unix::fs::symlink("real", lab.tree(side)).unwrap();
    }
    let lab = synced_with(lab, 6);
    for side in Side::BOTH {
        let other = lab.home(side).join("other");
        std::fs::create_dir(&other).unwrap();
        std::fs::write(other.join(".ubos-root"), "").unwrap();
        std::fs::remove_file(lab.tree(side)).unwrap();
        std::os::unix::fs::symlink("other", lab.tree(side)).unwrap();
        refused(&lab, "roots", &[]);
        assert_eq!(std::fs::read_dir(&other).unwrap().count(), 1);
        std::fs::remove_file(lab.tree(side)).unwrap();
        std::os::unix::fs::symlink("real", lab.tree(side)).unwrap();
    }
    assert_eq!(apply(&lab, &[], 0)["outcome"], "in-sync");
}

#[test]
fn gd_11_every_file_rewritten_is_refused_and_when_waived_recoverable() {
    if !ready() {
        return;
    }
    let lab = synced(8);
    for i in 0..8 {
        lab.write_at(Side::Server, format!("docs/{i}"), "", T0 + SECOND);
    }
    refused(&lab, "all_changed", &[]);
    let run = apply(&lab, &["--allow", "all_changed"], 0);
    for kept in run["lanes"][0]["kept"].as_array().unwrap() {
        let name = kept["path"].as_str().unwrap().replace("docs/", "file ");
        assert_eq!(
            std::fs::read(kept["at"].as_str().unwrap()).unwrap(),
            name.as_bytes()
        );
    }
    assert_eq!(run["lanes"][0]["kept"].as_array().unwrap().len(), 8);
}

#[test]
fn gd_12_the_delete_limit_may_be_nothing_everything_or_a_count() {
    if !ready() {
        return;
    }
    let lab = synced(40);
    for bad in ["-1", "\"abc\"", "\"120%\"", "1.5", "\"\"", "true"] {
        lab.policy(&format!("[guards]\nmax_delete = {bad}"));
        let out = lab.run(&["truth", "--apply"]).expect(2);
        assert!(out.stderr.contains("max_delete"), "{bad}: {out}");
    }
    lab.remove(Side::Laptop, "docs/0");
    lab.policy("[guards]\nmax_delete = 0");
    refused(&lab, "max_delete", &[]);
    lab.policy("[guards]\nmax_delete = 1");
    apply(&lab, &[], 0);
    for i in 1..39 {
        lab.remove(Side::Laptop, format!("docs/{i}"));
    }
    lab.policy("[guards]\nmax_delete = 37");
    refused(&lab, "max_delete", &[]);
    lab.policy("[guards]\nmax_delete = \"100%\"");
    apply(&lab, &[], 0);
    lab.assert_equal_truth(&[]);
}

#[test]
fn guard_first_sync_lost_archives_bring_nothing_back_unasked() {
    if !ready() {
        return;
    }
    for side in Side::BOTH {
        let lab = synced(6);
        lab.remove(Side::Laptop, "docs/0");
        let archives = lab.state_dir(side).join("pairs/balaur+mac/archives");
        std::fs::remove_dir_all(&archives).unwrap();
        refused(&lab, "first_sync", &[]);
        apply(&lab, &["--allow", "first_sync"], 0);
        assert!(
            lab.exists(Side::Laptop, "docs/0"),
            "a union deletes nothing"
        );
        assert_eq!(apply(&lab, &[], 0)["outcome"], "in-sync");
    }
}

#[test]
fn guard_clock_skew_leaves_conflicts_and_nothing_else() {
    if !ready() || libfaketime().is_none() {
        return;
    }
    let lab = synced_with(Lab::builder().skew(-3600).build(), 6);
    lab.write_at(Side::Laptop, "docs/0", "mac, newer", T0 + 20 * SECOND);
    lab.write_at(Side::Server, "docs/0", "balaur", T0 + 10 * SECOND);
    lab.write_at(Side::Server, "docs/1", "no conflict", T0 + 10 * SECOND);
    let run = apply(&lab, &[], 4);
    assert_eq!(severity(&run, "clock_skew"), ["warn"]);
    assert_eq!(run["lanes"][0]["left"][0]["path"], "docs/0");
    assert_eq!(lab.read_text(Side::Server, "docs/0"), "balaur");
    assert_eq!(lab.read_text(Side::Laptop, "docs/1"), "no conflict");
    apply(&lab, &[], 4);
    apply(&lab, &["--allow", "clock_skew"], 0);
    assert_eq!(lab.read_text(Side::Server, "docs/0"), "mac, newer");
}

#[test]
fn guard_free_space_and_held_and_state_leak() {
    if !ready() {
        return;
    }
    let lab = synced(6);
    lab.policy("[guards]\nmin_free_space = \"8000000GiB\"");
    assert_eq!(
        apply(&lab, &[], 0)["outcome"],
        "in-sync",
        "nothing to write needs no room"
    );
    for side in Side::BOTH {
        lab.write_at(
            side,
            "docs/0",
            format!("edited on {}", side.host()),
            T0 + SECOND,
        );
        refused(&lab, "free_space", &[]);
        apply(&lab, &["--allow", "free_space"], 0);
        lab.write_at(
            side,
            "docs/0",
            format!("again on {}", side.host()),
            T0 + 2 * SECOND,
        );
        refused(&lab, "free_space", &[]);
        apply(&lab, &["--allow", "free_space"], 0);
    }
    lab.policy("");
    for side in Side::BOTH {
        let held = lab.state_dir(side).join("pairs/balaur+mac/held");
        std::fs::write(&held, "rolled back by hand\n").unwrap();
        lab.write_at(
            side,
            "docs/1",
            format!("held on {}", side.host()),
            T0 + 3 * SECOND,
        );
        refused(&lab, "held", &[]);
        let run = apply(&lab, &["--allow", "held"], 0);
        assert_eq!(severity(&run, "held"), ["waived"]);
        std::fs::remove_file(&held).unwrap();
    }
    let out = lab
        .run(&["truth", "--apply", "--allow", "state_leak"])
        .expect(2);
    assert!(out.stderr.contains("cannot be waived"), "{out}");
}

#[test]
fn guard_engine_version_a_host_without_unison_is_named() {
    if !ready() {
        return;
    }
    for side in Side::BOTH {
        let lab = Lab::builder().hide(side, &["unison"]).build();
        lab.policy("");
        lab.write(Side::Laptop, "a", "a");
        refused(&lab, "engine_version", &[]);
        let out = lab.run(&["truth"]).expect(3);
        assert!(
            out.stdout
                .contains(&format!("not found on {}", side.host())),
            "{out}"
        );
    }
}

#[test]
fn guard_root_mode_a_root_that_may_not_be_written_is_refused() {
    if !ready() || (rustix::process::geteuid().is_root() && !need(&["setpriv"])) {
        return;
    }
    let lab = synced_with(Lab::builder().unprivileged_server().build(), 6);
    lab.write_at(Side::Laptop, "docs/0", "edited", T0 + SECOND);
    for mode in [0o555, 0o311, 0o644] {
        lab.chmod(Side::Server, "", mode);
        let before = Side::BOTH.map(|side| lab.snapshot(side));
        let out = lab.run(&["truth", "--apply", "--json"]).expect(3).json();
        assert!(
            !severity(&out, "root_mode").is_empty() || !severity(&out, "roots").is_empty(),
            "{out:#}"
        );
        for (side, before) in Side::BOTH.iter().zip(&before) {
            before.assert_unchanged(&lab.tree(*side), "a refused run");
        }
    }
    lab.chmod(Side::Server, "", 0o755);
    apply(&lab, &[], 0);
}

#[test]
fn guards_all_report_at_once() {
    if !ready() {
        return;
    }
    let lab = synced(30);
    lab.policy("[guards]\nmin_free_space = \"8000000GiB\"");
    for i in 0..30 {
        lab.remove(Side::Server, format!("docs/{i}"));
    }
    lab.write_at(Side::Server, "docs/new", "new", T0);
    std::fs::write(
        lab.state_dir(Side::Server).join("pairs/balaur+mac/held"),
        "why\n",
    )
    .unwrap();
    let out = lab.run(&["truth", "--json"]).expect(3).json();
    for guard in ["max_delete", "all_changed", "free_space", "held"] {
        assert_eq!(severity(&out, guard), ["refuse"], "{guard}: {out:#}");
    }
}
