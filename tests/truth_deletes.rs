//! Deletes (catalogue DL): they travel, they stay, what was deleted is kept, and no engine version changes that (VM-01).
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

mod lab;
mod pair;

use lab::{Lab, Side, Unison};
use pair::{
    BALAUR, DAY, HOUR, MAC, T, apply, both, changes, decided, done, found, idle, kept, neither,
    pair, pair_with, seed, settled, sync,
};

#[test]
fn dl_01_02_04_05_files_and_trees_deleted_on_either_side_are_gone_and_kept() {
    let Some(lab) = pair() else { return };
    let odd = ["a (1).txt", "b [x].txt", " blank  s ", "{c,d}.txt", "*.txt"];
    seed(&lab, &odd);
    seed(
        &lab,
        &[
            "a 1.txt", "b x.txt", "e.txt", "sub/1", "sub/in/2", "last/one",
        ],
    );
    lab.mkdir(MAC, "sub/empty");
    sync(&lab);
    for (i, name) in odd.iter().enumerate() {
        lab.remove(Side::BOTH[i % 2], name);
    }
    lab.remove(BALAUR, "sub");
    lab.remove(MAC, "last/one");
    let json = sync(&lab);
    for (i, name) in odd.iter().enumerate() {
        let to = ["peer", "local"][i % 2];
        done(&json, name, "delete", to);
        neither(&lab, name);
        // Until there is a command for it, the kept file itself is the way back.
        assert_eq!(
            kept(&json, name, to),
            format!("base of {name}\n").into_bytes()
        );
    }
    done(&json, "sub", "delete", "local");
    done(&json, "sub/in/2", "delete", "local");
    neither(&lab, "sub");
    assert_eq!(kept(&json, "sub/in/2", "local"), b"base of sub/in/2\n");
    for side in Side::BOTH {
        assert!(lab.at(side, "last").is_dir(), "an emptied directory stays");
        assert!(!lab.exists(side, "last/one"));
    }
    // Neighbours whose names a careless pattern would also have hit.
    for stays in ["a 1.txt", "b x.txt", "e.txt"] {
        both(&lab, stays, &format!("base of {stays}\n"));
    }
    for _ in 0..2 {
        settled(&lab);
    }
    neither(&lab, "sub");
}

#[test]
fn dl_03_all_of_a_directory_deleted_here_and_a_part_there() {
    let Some(lab) = pair() else { return };
    seed(&lab, &["d/1", "d/2", "d/in/3", "whole/x"]);
    sync(&lab);
    lab.remove(MAC, "d");
    lab.remove(BALAUR, "d/1");
    lab.remove(BALAUR, "d/in");
    for side in Side::BOTH {
        lab.remove(side, "whole");
    }
    let json = sync(&lab);
    done(&json, "d/2", "delete", "peer");
    neither(&lab, "d");
    neither(&lab, "whole");
    settled(&lab);
    // What both had deleted is nobody's memory: the same name is simply new.
    lab.write_at(BALAUR, "whole/x", "anew", T - DAY);
    done(&sync(&lab), "whole/x", "create", "local");
    both(&lab, "whole/x", "anew");
    settled(&lab);
}

#[test]
fn dl_03_what_goes_in_a_kept_directory_goes_although_the_one_above_changes_its_mode() {
    let Some(lab) = pair() else { return };
    seed(&lab, &["docs/deep/1", "docs/deep/in/2", "docs/stays"]);
    sync(&lab);
    lab.write(BALAUR, "docs/deep/run_state.json", "{}");
    lab.remove(MAC, "docs/deep");
    lab.chmod(MAC, "docs", 0o750);
    // The same the other way about: a new directory that cannot go as one for what is in it.
    seed(&lab, &["more/kept"]);
    sync(&lab);
    neither(&lab, "docs/deep/1");
    neither(&lab, "docs/deep/in");
    lab.write(BALAUR, "more/new/run_state.json", "{}");
    lab.write_at(BALAUR, "more/new/3", "three", T);
    lab.chmod(BALAUR, "more", 0o750);
    let json = sync(&lab);
    done(&json, "more/new/3", "create", "local");
    both(&lab, "more/new/3", "three");
    assert!(lab.exists(BALAUR, "docs/deep/run_state.json"));
    assert!(!lab.exists(MAC, "docs/deep") && !lab.exists(MAC, "more/new/run_state.json"));
    for (side, dir) in Side::BOTH.into_iter().zip(["more", "docs"]) {
        assert_eq!(lab.mode(side, dir) & 0o777, 0o750, "{dir}");
    }
    idle(&lab, "in-sync", 0);
}

#[test]
fn dl_06_a_directory_that_may_not_be_written_fails_alone_and_later_completes() {
    let Some(lab) = pair() else { return };
    seed(&lab, &["locked/f", "free/f"]);
    sync(&lab);
    lab.remove(MAC, "locked/f");
    lab.remove(MAC, "free/f");
    // Permissions do not hold back root, so the directory is made immutable where that is who runs the tests.
    let locked = lab.at(BALAUR, "locked");
    let Some(lock) = Lock::on(&locked) else {
        return;
    };
    let json = apply(&lab, 1);
    assert_eq!(json["outcome"], "failed");
    done(&json, "free/f", "delete", "peer");
    let stuck = pair::change(&json, "locked/f");
    assert_eq!(stuck["result"], "failed");
    assert!(stuck["error"].as_str().is_some_and(|e| !e.is_empty()));
    assert_eq!(lab.read_text(BALAUR, "locked/f"), "base of locked/f\n");
    drop(lock);
    let json = sync(&lab);
    done(&json, "locked/f", "delete", "peer");
    neither(&lab, "locked/f");
    settled(&lab);
}

/// A directory nobody may change, until dropped.
struct Lock(std::path::PathBuf, &'static str);

impl Lock {
    fn on(dir: &std::path::Path) -> Option<Lock> {
        for (program, shut, open) in [("chmod", "a-w", "u+w"), ("chattr", "+i", "-i")] {
            let Some(tool) = lab::find_program(program) else {
                continue;
            };
            let mut run = std::process::Command::new(tool);
            let shut = run.arg(shut).arg(dir).output().unwrap().status.success();
            let lock = Lock(dir.to_owned(), open);
            if shut && std::fs::write(dir.join("probe"), "").is_err() {
                return Some(lock);
            }
            let _ = std::fs::remove_file(dir.join("probe"));
        }
        None
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let program = if self.1 == "-i" { "chattr" } else { "chmod" };
        let mut run = std::process::Command::new(program);
        let _ = run.arg(self.1).arg(&self.0).output();
    }
}

#[test]
fn dl_07_a_delete_against_a_touch_or_a_chmod_converges() {
    let Some(lab) = pair() else { return };
    seed(&lab, &["touched", "chmodded"]);
    sync(&lab);
    lab.remove(MAC, "touched");
    lab.set_mtime(BALAUR, "touched", T + DAY);
    lab.remove(BALAUR, "chmodded");
    lab.chmod(MAC, "chmodded", 0o600);
    let json = sync(&lab);
    assert!(done(&json, "touched", "delete", "peer")["conflict"].is_null());
    done(&json, "chmodded", "delete", "local");
    neither(&lab, "touched");
    neither(&lab, "chmodded");
    assert_eq!(kept(&json, "touched", "peer"), b"base of touched\n");
    settled(&lab);
}

#[test]
fn dl_08_one_directory_deleted_and_made_anew_three_times() {
    let Some(lab) = pair() else { return };
    for round in 1..=3 {
        let content = format!("round {round}");
        lab.write_at(Side::BOTH[round % 2], "d/in/f", &content, T + HOUR);
        sync(&lab);
        both(&lab, "d/in/f", &content);
        lab.remove(Side::BOTH[(round / 2) % 2], "d");
        sync(&lab);
        neither(&lab, "d");
    }
    settled(&lab);
}

/// Everything once: create, update, delete, conflict, chmod, both ways.
fn a_bit_of_everything(lab: &Lab) {
    seed(lab, &["m", "b", "gone", "clash", "dir/x", "run.sh"]);
    sync(lab);
    lab.write_at(MAC, "m", "from mac", T + HOUR);
    lab.write_at(BALAUR, "b", "from balaur", T + HOUR + 123_456_000);
    lab.remove(BALAUR, "gone");
    lab.rename(MAC, "dir", "folder");
    lab.chmod(BALAUR, "run.sh", 0o755);
    lab.write_at(MAC, "clash", "loses", T + HOUR);
    lab.write_at(BALAUR, "clash", "wins", T + 2 * HOUR);
    let json = sync(lab);
    decided(&json, "clash", "newer", "local");
    assert_eq!(kept(&json, "clash", "local"), b"loses");
    assert_eq!(kept(&json, "gone", "local"), b"base of gone\n");
    both(lab, "m", "from mac");
    both(lab, "b", "from balaur");
    both(lab, "folder/x", "base of dir/x\n");
    assert_eq!(lab.mode(MAC, "run.sh"), 0o755);
    neither(lab, "gone");
    neither(lab, "dir");
    settled(lab);
}

#[test]
fn vm_01_unison_2_51_on_both_ends() {
    if lab::unison_251().is_none() {
        return;
    }
    let both_old = Lab::builder()
        .unison(MAC, Unison::V251)
        .unison(BALAUR, Unison::V251);
    if let Some(lab) = pair_with(both_old, "") {
        a_bit_of_everything(&lab);
    }
}

#[test]
fn vm_01_unison_2_51_against_2_52_both_ways() {
    if lab::unison_251().is_none() {
        return;
    }
    for old in Side::BOTH {
        if let Some(lab) = pair_with(Lab::builder().unison(old, Unison::V251), "") {
            a_bit_of_everything(&lab);
        }
    }
}

#[test]
fn vm_01_no_unison_on_a_host_is_named_and_nothing_happens() {
    for without in Side::BOTH {
        let lab = Lab::builder().unison(without, Unison::Missing);
        let Some(lab) = pair_with(lab, "") else {
            return;
        };
        let before = Side::BOTH.map(|side| lab.snapshot(side));
        let json = apply(&lab, 3);
        assert_eq!(json["outcome"], "refused");
        let message = found(&json, "engine_version", "refuse");
        assert!(message.contains(without.host()), "{message}");
        assert_eq!(changes(&json), 0);
        for (side, before) in Side::BOTH.iter().zip(&before) {
            before.assert_unchanged(&lab.tree(*side), "a refused run");
        }
    }
}

#[test]
fn vm_01_a_noisy_login_shell_is_named_and_nothing_happens() {
    let noisy = Lab::builder().noisy("Welcome to balaur!\nYou have mail.");
    let Some(lab) = pair_with(noisy, "") else {
        return;
    };
    let json = apply(&lab, 3);
    let message = found(&json, "engine_version", "refuse");
    assert!(
        message.contains("balaur") && message.contains("login shell"),
        "{message}"
    );
    assert!(!lab.exists(BALAUR, "docs"));
}
