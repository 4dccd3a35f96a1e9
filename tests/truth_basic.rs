//! Plain propagation (catalogue BP), and the acceptance tests of the two-way lane, over a real sshd and two homes.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

mod lab;
mod pair;

use lab::{Side, mtime_ns};
use pair::{
    BALAUR, DAY, HOUR, MAC, S, T, both, change, changes, decided, done, idle, kept, neither, pair,
    rewrite, seed, settled, sync,
};

#[test]
fn bp_01_02_03_first_and_later_files_of_both_sides_unite() {
    let Some(lab) = pair() else { return };
    lab.write_at(MAC, "a.txt", "a", T + 123_456_789);
    lab.write_at(MAC, "sub/deep/b.txt", "b", T - 40 * 365 * DAY);
    lab.mkdir(MAC, "empty");
    let first = sync(&lab);
    assert_eq!(first["outcome"], "applied");
    done(&first, "sub/deep/b.txt", "create", "peer");
    done(&first, "empty", "create", "peer");
    assert!(lab.at(BALAUR, "empty").is_dir());
    let arrived = mtime_ns(&lab.at(BALAUR, "a.txt"));
    assert!(
        arrived.abs_diff(T + 123_456_789) <= 1500,
        "sub-second times arrive"
    );
    settled(&lab);

    lab.write_at(MAC, "new/mac.txt", "from mac", T);
    lab.write_at(BALAUR, "new/balaur.txt", "from balaur", T);
    lab.write_at(BALAUR, "top.txt", "top", T);
    let json = sync(&lab);
    done(&json, "new/mac.txt", "create", "peer");
    done(&json, "new/balaur.txt", "create", "local");
    both(&lab, "new/mac.txt", "from mac");
    both(&lab, "new/balaur.txt", "from balaur");
    settled(&lab);
}

#[test]
fn bp_02_disjoint_files_of_a_first_run_become_a_union() {
    let Some(lab) = pair() else { return };
    lab.write_at(MAC, "docs/m.md", "m", T);
    lab.write_at(MAC, "only/mac/x", "x", T);
    lab.write_at(BALAUR, "docs/b.md", "b", T);
    lab.write_at(BALAUR, "only/balaur/y", "y", T);
    let json = sync(&lab);
    done(&json, "docs/b.md", "create", "local");
    done(&json, "only/mac/x", "create", "peer");
    both(&lab, "docs/m.md", "m");
    both(&lab, "only/balaur/y", "y");
    settled(&lab);
}

#[test]
fn bp_04_05_06_07_one_sided_edits_propagate_whatever_their_times() {
    let Some(lab) = pair() else { return };
    seed(
        &lab,
        &["m.txt", "b.txt", "older.txt", "same.txt", "append.txt"],
    );
    sync(&lab);

    lab.write_at(MAC, "m.txt", "edited on mac", T + HOUR);
    lab.write_at(BALAUR, "b.txt", "edited on balaur", T + HOUR);
    lab.write_at(BALAUR, "older.txt", "an edit with an old time", T - DAY);
    lab.write_at(MAC, "same.txt", "the same edit", T + 60 * S);
    lab.write_at(BALAUR, "same.txt", "the same edit", T + 90 * S);
    lab.write_at(MAC, "born.txt", "born twice", T + 60 * S);
    lab.write_at(BALAUR, "born.txt", "born twice", T + 90 * S);
    lab.write_at(MAC, "append.txt", "base of append.txt\nand more\n", T);
    let json = sync(&lab);
    done(&json, "m.txt", "update", "peer");
    done(&json, "b.txt", "update", "local");
    done(&json, "older.txt", "update", "local");
    done(&json, "append.txt", "update", "peer");
    // Equal bytes are nobody's conflict; only the later time travels.
    done(&json, "same.txt", "meta", "local");
    done(&json, "born.txt", "meta", "local");
    for c in json["lanes"][0]["changes"].as_array().unwrap() {
        assert!(c["conflict"].is_null(), "{c:#}");
    }
    both(&lab, "older.txt", "an edit with an old time");
    both(&lab, "append.txt", "base of append.txt\nand more\n");
    both(&lab, "m.txt", "edited on mac");
    both(&lab, "b.txt", "edited on balaur");
    both(&lab, "same.txt", "the same edit");
    assert_eq!(mtime_ns(&lab.at(MAC, "same.txt")), T + 90 * S);
    assert_eq!(mtime_ns(&lab.at(BALAUR, "older.txt")), T - DAY);
    assert_eq!(kept(&json, "older.txt", "local"), b"base of older.txt\n");
    settled(&lab);
}

#[test]
fn bp_08_09_edits_that_size_and_time_do_not_show_are_found() {
    let Some(lab) = pair() else { return };
    let names = ["zero", "soon", "hour", "back"];
    for name in names {
        lab.write_at(MAC, name, "0000", T);
    }
    sync(&lab);
    settled(&lab);
    // In place: same inode, same size; the time is the same, or off by what engines take for equal.
    for (name, by) in names.into_iter().zip([0, S * 8 / 10, HOUR, -HOUR]) {
        lab.write_at(MAC, name, "1111", T + by);
    }
    let json = sync(&lab);
    for name in names {
        done(&json, name, "update", "peer");
        both(&lab, name, "1111");
    }
    settled(&lab);
    // By a new inode, on the other side.
    rewrite(&lab, BALAUR, "zero", "2222", T);
    done(&sync(&lab), "zero", "update", "local");
    both(&lab, "zero", "2222");
    settled(&lab);
}

#[test]
fn bp_10_a_thousand_files_a_deep_tree_and_the_middle_of_a_large_file() {
    let Some(lab) = pair() else { return };
    for i in 0..1000 {
        lab.write_at(MAC, format!("many/{}/f{i}", i % 17), format!("file {i}"), T);
    }
    let deep = (0..60).map(|i| format!("d{i}/")).collect::<String>() + "bottom.txt";
    lab.write_at(BALAUR, &deep, "sixty down", T);
    let mut large: Vec<u8> = (0..24u32 << 20)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    lab.write_at(MAC, "large.bin", &large, T);
    let json = sync(&lab);
    assert!(changes(&json) > 1060, "{}", changes(&json));
    both(&lab, &deep, "sixty down");
    lab.assert_equal_truth(&[]);

    let middle = large.len() / 2;
    large[middle..middle + 5].copy_from_slice(b"HELLO");
    lab.write_at(BALAUR, "large.bin", &large, T + HOUR);
    let json = sync(&lab);
    done(&json, "large.bin", "update", "local");
    assert_eq!(changes(&json), 1);
    assert!(lab.read(MAC, "large.bin") == large);
    settled(&lab);
}

#[test]
fn bp_11_renames_swaps_and_recreations_follow_their_content() {
    let Some(lab) = pair() else { return };
    seed(
        &lab,
        &["f.txt", "dir/1", "dir/in/2", "twin.txt", "x", "y", "again"],
    );
    sync(&lab);
    lab.rename(MAC, "f.txt", "moved/g.txt");
    lab.rename(BALAUR, "dir", "folder");
    for side in Side::BOTH {
        lab.rename(side, "twin.txt", "twin-moved.txt");
    }
    lab.rename(MAC, "x", "aside");
    lab.rename(MAC, "y", "x");
    lab.rename(MAC, "aside", "y");
    lab.remove(BALAUR, "again");
    lab.write_at(BALAUR, "again", "made anew", T + HOUR);
    let json = sync(&lab);
    assert_eq!(done(&json, "f.txt", "delete", "peer")["moved"], true);
    done(&json, "moved/g.txt", "create", "peer");
    done(&json, "folder/in/2", "create", "local");
    done(&json, "dir/in/2", "delete", "local");
    done(&json, "again", "update", "local");
    both(&lab, "moved/g.txt", "base of f.txt\n");
    both(&lab, "folder/in/2", "base of dir/in/2\n");
    both(&lab, "twin-moved.txt", "base of twin.txt\n");
    both(&lab, "x", "base of y\n");
    both(&lab, "y", "base of x\n");
    both(&lab, "again", "made anew");
    for gone in ["f.txt", "dir", "twin.txt", "aside"] {
        neither(&lab, gone);
    }
    settled(&lab);
}

#[test]
fn bp_12_an_idle_run_touches_nothing_and_says_so() {
    let Some(lab) = pair() else { return };
    seed(&lab, &["docs/a.md", "docs/b c.md"]);
    lab.symlink(MAC, "docs/link", "a.md");
    lab.write_at(MAC, "scripts/run.sh", "#!/bin/sh\n", T + 987_654_321);
    lab.chmod(MAC, "scripts/run.sh", 0o755);
    sync(&lab);
    for _ in 0..2 {
        let json = idle(&lab, "in-sync", 0);
        assert_eq!(json["mode"], "apply");
        assert_eq!(json["lanes"][0]["outcome"], "in-sync");
    }
    let dry = pair::said(lab.run(&["truth", "--json", "--exit-code"]), 0);
    assert_eq!(
        (&dry["outcome"], &dry["mode"]),
        (&"in-sync".into(), &"dry-run".into())
    );
}

#[test]
fn bp_13_ten_classic_changes_in_one_run() {
    let Some(lab) = pair() else { return };
    let names: Vec<String> = (1..=9).map(|n| format!("file{n}.txt")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    seed(&lab, &names);
    sync(&lab);
    lab.write_at(MAC, "new-mac.txt", "n1", T);
    lab.write_at(BALAUR, "new-balaur.txt", "n2", T);
    lab.write_at(MAC, "file1.txt", "mac", T + HOUR);
    lab.write_at(BALAUR, "file2.txt", "balaur", T + HOUR);
    lab.remove(MAC, "file3.txt");
    lab.remove(BALAUR, "file4.txt");
    lab.write_at(MAC, "file5.txt", "loses", T + HOUR);
    lab.write_at(BALAUR, "file5.txt", "wins", T + 2 * HOUR);
    lab.write_at(MAC, "file6.txt", "edit beats delete", T + HOUR);
    lab.remove(BALAUR, "file6.txt");
    lab.remove(MAC, "file7.txt");
    lab.write_at(BALAUR, "file7.txt", "edit beats delete too", T + HOUR);
    for side in Side::BOTH {
        lab.remove(side, "file8.txt");
    }
    let json = sync(&lab);
    both(&lab, "new-mac.txt", "n1");
    both(&lab, "new-balaur.txt", "n2");
    both(&lab, "file1.txt", "mac");
    both(&lab, "file2.txt", "balaur");
    both(&lab, "file5.txt", "wins");
    both(&lab, "file6.txt", "edit beats delete");
    both(&lab, "file7.txt", "edit beats delete too");
    both(&lab, "file9.txt", "base of file9.txt\n");
    for gone in ["file3.txt", "file4.txt", "file8.txt"] {
        neither(&lab, gone);
    }
    decided(&json, "file5.txt", "newer", "local");
    decided(&json, "file6.txt", "newer", "peer");
    decided(&json, "file7.txt", "newer", "local");
    assert_eq!(kept(&json, "file5.txt", "local"), b"loses");
    assert_eq!(kept(&json, "file3.txt", "peer"), b"base of file3.txt\n");
    assert_eq!(kept(&json, "file4.txt", "local"), b"base of file4.txt\n");
    settled(&lab);
}

#[test]
fn librarian_1_two_edits_two_seconds_apart_and_the_newer_wins_on_both_sides() {
    let Some(lab) = pair() else { return };
    seed(&lab, &["docs/mine.md", "docs/theirs.md"]);
    sync(&lab);
    lab.write_at(MAC, "docs/mine.md", "mac, later", T + HOUR + 2 * S);
    lab.write_at(BALAUR, "docs/mine.md", "balaur, earlier", T + HOUR);
    lab.write_at(MAC, "docs/theirs.md", "mac, earlier", T + HOUR);
    lab.write_at(BALAUR, "docs/theirs.md", "balaur, later", T + HOUR + 2 * S);
    let json = sync(&lab);
    decided(&json, "docs/mine.md", "newer", "peer");
    decided(&json, "docs/theirs.md", "newer", "local");
    both(&lab, "docs/mine.md", "mac, later");
    both(&lab, "docs/theirs.md", "balaur, later");
    assert_eq!(kept(&json, "docs/mine.md", "peer"), b"balaur, earlier");
    assert_eq!(kept(&json, "docs/theirs.md", "local"), b"mac, earlier");
    settled(&lab);
}

#[test]
fn librarian_2_3_5_permissions_arrive_state_never_does_and_a_second_run_is_idle() {
    let Some(lab) = pair() else { return };
    sync(&lab);
    lab.write_at(MAC, "scripts/deploy.sh", "#!/bin/sh\n", T);
    lab.chmod(MAC, "scripts/deploy.sh", 0o755);
    lab.write_at(BALAUR, "scripts/back.sh", "#!/bin/sh\n", T);
    lab.chmod(BALAUR, "scripts/back.sh", 0o755);
    let state = "COMMS_HUB/claude_strategic_state.json";
    lab.write_at(MAC, state, "what a process is right now", T);
    lab.write_at(MAC, "COMMS_HUB/decided.md", "what people decided", T);
    lab.write_at(BALAUR, "hub/other_state.json", "balaur's own", T);

    let dry = pair::said(lab.run(&["truth", "--json"]), 0);
    let applied = sync(&lab);
    for json in [&dry, &applied] {
        assert!(
            !json.to_string().contains("_state.json\",\"kind"),
            "{json:#}"
        );
        for c in json["lanes"][0]["changes"].as_array().unwrap() {
            assert!(!c["path"].as_str().unwrap().contains("_state"), "{c:#}");
        }
    }
    change(&dry, "COMMS_HUB/decided.md");
    both(&lab, "COMMS_HUB/decided.md", "what people decided");
    assert!(!lab.exists(BALAUR, state));
    assert!(!lab.exists(MAC, "hub/other_state.json"));
    assert_eq!(lab.mode(BALAUR, "scripts/deploy.sh"), 0o755);
    assert_eq!(lab.mode(MAC, "scripts/back.sh"), 0o755);

    // An executable bit alone travels too, both ways.
    lab.chmod(MAC, "scripts/back.sh", 0o644);
    lab.chmod(BALAUR, "COMMS_HUB/decided.md", 0o700);
    let json = sync(&lab);
    done(&json, "scripts/back.sh", "meta", "peer");
    done(&json, "COMMS_HUB/decided.md", "meta", "local");
    assert_eq!(lab.mode(BALAUR, "scripts/back.sh"), 0o644);
    lab.assert_equal_truth(&["*_state.json"]);
    idle(&lab, "in-sync", 0);
    assert!(!lab.exists(BALAUR, state));
}

#[test]
fn directories_of_ours_may_have_any_name() {
    for name in ["Application Support", "100% \"q\" 'q' $x \\z"] {
        let Some(lab) = pair() else { return };
        let text = lab.policy_text(MAC, &format!("state_dir = {:?}", format!("there/{name}")));
        let own = format!("[site]\nstate_dir = {:?}\n", lab.home(MAC).join(name));
        lab.write_policy(MAC, &text.replacen("[site]\n", &own, 1));
        let path = "docs/a.md";
        lab.write_at(MAC, path, name, T);
        sync(&lab);
        both(&lab, path, name);
        settled(&lab);
        lab.run(&["doctor"]).expect(0);
        assert!(lab.home(BALAUR).join("there").join(name).is_dir());
    }
}
