//! Both sides changed the same thing (catalogue CF): who wins, where the loser lies, and what is left for a person.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

mod lab;
mod pair;

use lab::{Lab, Side};
use pair::{
    BALAUR, DAY, HOUR, MAC, S, T, apply, both, change, decided, done, found, idle, kept, kept_at,
    left, neither, pair, pair_with, said, seed, settled, sync,
};

/// Both sides write `path`; the times are in seconds after [`T`].
fn edit(lab: &Lab, path: &str, mac: (&str, i128), balaur: (&str, i128)) {
    lab.write_at(MAC, path, mac.0, T + mac.1 * S);
    lab.write_at(BALAUR, path, balaur.0, T + balaur.1 * S);
}

#[test]
fn cf_01_02_14_newer_wins_the_loser_is_kept_and_the_plan_names_both() {
    let Some(lab) = pair() else { return };
    seed(&lab, &["m.txt", "b.txt", "hair.txt"]);
    sync(&lab);
    edit(&lab, "m.txt", ("mac newer", 20), ("balaur older", 10));
    edit(&lab, "b.txt", ("mac older", 10), ("balaur newer", 20));
    lab.write_at(MAC, "hair.txt", "mac by 0.6 s", T + HOUR + 6 * S / 10);
    lab.write_at(BALAUR, "hair.txt", "balaur", T + HOUR);

    let dry = said(lab.run(&["truth", "--json"]), 0);
    let planned = change(&dry, "m.txt");
    assert_eq!(planned["conflict"], "newer");
    assert_eq!(planned["to"], "peer");
    assert!(planned["why"].as_str().unwrap().contains("mac is newer"));
    for (which, at) in [("source", "22:13:40"), ("target", "22:13:30")] {
        let mtime = planned[which]["mtime"].as_str().unwrap();
        assert!(mtime.contains(at), "{which}: {mtime}");
    }
    let text = lab.run(&["truth"]).expect(0).stdout;
    for word in ["m.txt", "mac is newer by 10.0 s", "kept"] {
        assert!(text.contains(word), "no {word:?} in\n{text}");
    }

    let json = sync(&lab);
    decided(&json, "m.txt", "newer", "peer");
    decided(&json, "b.txt", "newer", "local");
    decided(&json, "hair.txt", "newer", "peer");
    both(&lab, "m.txt", "mac newer");
    both(&lab, "b.txt", "balaur newer");
    both(&lab, "hair.txt", "mac by 0.6 s");
    assert_eq!(kept(&json, "m.txt", "peer"), b"balaur older");
    assert_eq!(kept(&json, "b.txt", "local"), b"mac older");
    assert_eq!(kept(&json, "hair.txt", "peer"), b"balaur");

    // The record of the run names the loser's place as well.
    let record = lab
        .home(MAC)
        .join(format!("logs/runs/{}.json", json["run"].as_str().unwrap()));
    let record = std::fs::read_to_string(record).unwrap();
    assert!(
        record.contains(&kept_at(&json, "m.txt", "peer")),
        "{record}"
    );
    settled(&lab);
}

#[test]
fn cf_03_12_a_first_run_with_differing_versions_and_mixed_winners() {
    let Some(lab) = pair() else { return };
    for i in 0..10 {
        let (a, b) = if i % 3 == 0 { (20, 10) } else { (10, 20) };
        let path = format!("made/both/{i}.txt");
        edit(
            &lab,
            &path,
            (&format!("mac {i}"), a),
            (&format!("balaur {i}"), b),
        );
    }
    let json = sync(&lab);
    for i in 0..10 {
        let path = format!("made/both/{i}.txt");
        let (winner, loser, to) = if i % 3 == 0 {
            ("mac", "balaur", "peer")
        } else {
            ("balaur", "mac", "local")
        };
        decided(&json, &path, "newer", to);
        both(&lab, &path, &format!("{winner} {i}"));
        assert_eq!(
            kept(&json, &path, to),
            format!("{loser} {i}").into_bytes(),
            "{path}"
        );
    }
    settled(&lab);
}

#[test]
fn cf_04_equal_times_have_no_silent_winner() {
    let Some(lab) = pair() else { return };
    seed(&lab, &["tie.txt", "other.txt"]);
    sync(&lab);
    edit(&lab, "tie.txt", ("mac's", 10), ("balaur's", 10));
    lab.write_at(MAC, "other.txt", "goes anyway", T + HOUR);
    assert_eq!(said(lab.run(&["truth", "--json"]), 4)["outcome"], "partial");
    let json = apply(&lab, 4);
    assert_eq!(json["outcome"], "partial");
    assert!(left(&json, "tie.txt").contains("very same time"));
    done(&json, "other.txt", "update", "peer");
    for _ in 0..2 {
        assert_eq!(lab.read_text(MAC, "tie.txt"), "mac's");
        assert_eq!(lab.read_text(BALAUR, "tie.txt"), "balaur's");
        let again = idle(&lab, "partial", 4);
        left(&again, "tie.txt");
    }
    // A person decides by editing once more.
    lab.write_at(BALAUR, "tie.txt", "settled", T + HOUR);
    decided(&sync(&lab), "tie.txt", "newer", "local");
    both(&lab, "tie.txt", "settled");
    settled(&lab);
}

#[test]
fn cf_05_06_an_edit_outlives_a_delete() {
    let Some(lab) = pair() else { return };
    seed(
        &lab,
        &[
            "m", "b", "old", "d1/child", "d1/gone", "d2/x", "d3/in/x", "d3/y",
        ],
    );
    sync(&lab);
    lab.remove(MAC, "m");
    lab.write_at(BALAUR, "m", "edited on balaur", T + HOUR);
    lab.remove(BALAUR, "b");
    lab.write_at(MAC, "b", "edited on mac", T + HOUR);
    lab.remove(MAC, "old");
    lab.write_at(BALAUR, "old", "edited, with an old time", T - DAY);
    lab.remove(MAC, "d1");
    lab.write_at(BALAUR, "d1/child", "child edited", T + HOUR);
    lab.remove(BALAUR, "d2");
    lab.write_at(MAC, "d2/sub/born", "child born", T + HOUR);
    lab.remove(MAC, "d3");
    lab.mkdir(BALAUR, "d3/in/born");
    let json = sync(&lab);
    decided(&json, "m", "newer", "local");
    decided(&json, "b", "newer", "peer");
    decided(&json, "old", "newer", "local");
    done(&json, "d1/gone", "delete", "peer");
    done(&json, "d2/x", "delete", "local");
    both(&lab, "m", "edited on balaur");
    both(&lab, "b", "edited on mac");
    both(&lab, "old", "edited, with an old time");
    both(&lab, "d1/child", "child edited");
    both(&lab, "d2/sub/born", "child born");
    for side in Side::BOTH {
        assert!(lab.at(side, "d3/in/born").is_dir());
    }
    for gone in ["d1/gone", "d2/x", "d3/in/x", "d3/y"] {
        neither(&lab, gone);
    }
    settled(&lab);
}

#[test]
fn cf_07_a_file_against_a_directory_loses_nothing() {
    let Some(lab) = pair() else { return };
    seed(&lab, &["was/child", "was/other", "plain"]);
    sync(&lab);
    lab.write_at(MAC, "born", "a file here", T + HOUR);
    lab.write_at(BALAUR, "born/inside", "a directory there", T + HOUR);
    lab.remove(MAC, "was");
    lab.write_at(MAC, "was", "now a file", T + 2 * HOUR);
    lab.write_at(BALAUR, "was/child", "child edited", T + HOUR);
    let json = apply(&lab, 4);
    left(&json, "born");
    left(&json, "was");
    assert_eq!(lab.read_text(MAC, "born"), "a file here");
    assert_eq!(lab.read_text(BALAUR, "born/inside"), "a directory there");
    assert_eq!(lab.read_text(MAC, "was"), "now a file");
    assert_eq!(lab.read_text(BALAUR, "was/child"), "child edited");
    assert_eq!(lab.read_text(BALAUR, "was/other"), "base of was/other\n");
    idle(&lab, "partial", 4);
}

#[test]
fn cf_08_a_rename_against_an_edit_and_two_renames() {
    let Some(lab) = pair() else { return };
    seed(&lab, &["f", "two"]);
    sync(&lab);
    lab.rename(MAC, "f", "g");
    lab.write_at(BALAUR, "f", "edited meanwhile", T + HOUR);
    lab.rename(MAC, "two", "two-mac");
    lab.rename(BALAUR, "two", "two-balaur");
    sync(&lab);
    both(&lab, "f", "edited meanwhile");
    both(&lab, "g", "base of f\n");
    both(&lab, "two-mac", "base of two\n");
    both(&lab, "two-balaur", "base of two\n");
    neither(&lab, "two");
    settled(&lab);
}

#[test]
fn cf_09_a_touch_or_a_chmod_never_beats_an_edit() {
    let Some(lab) = pair() else { return };
    seed(&lab, &["touched", "chmodded", "both-ways"]);
    sync(&lab);
    lab.set_mtime(MAC, "touched", T + DAY);
    lab.write_at(BALAUR, "touched", "an edit", T - HOUR);
    lab.chmod(BALAUR, "chmodded", 0o755);
    lab.write_at(MAC, "chmodded", "another edit", T - HOUR);
    lab.set_mtime(BALAUR, "both-ways", T + DAY);
    lab.write_at(MAC, "both-ways", "a third", T + HOUR);
    let json = sync(&lab);
    for (path, content, to) in [
        ("touched", "an edit", "local"),
        ("chmodded", "another edit", "peer"),
        ("both-ways", "a third", "peer"),
    ] {
        both(&lab, path, content);
        assert!(done(&json, path, "update", to)["conflict"].is_null());
    }
    settled(&lab);
}

#[test]
fn cf_10_three_conflicts_of_one_file_leave_three_losers() {
    let Some(lab) = pair() else { return };
    seed(&lab, &["f"]);
    sync(&lab);
    let mut losers = Vec::new();
    for round in 1..=3 {
        let (winner, loser) = (format!("wins {round}"), format!("loses {round}"));
        edit(&lab, "f", (&loser, round * 100), (&winner, round * 100 + 2));
        let json = sync(&lab);
        both(&lab, "f", &winner);
        losers.push((kept_at(&json, "f", "local"), loser));
    }
    for (at, loser) in &losers {
        assert_eq!(std::fs::read_to_string(at).unwrap(), *loser, "{at}");
    }
    settled(&lab);
}

#[test]
fn cf_11_a_time_in_the_future_wins_nothing_and_does_not_hold_up_honest_edits() {
    let Some(lab) = pair() else { return };
    let year_2100 = 4_102_444_800 * S;
    seed(&lab, &["clash", "later"]);
    sync(&lab);
    lab.write_at(BALAUR, "clash", "from the future", year_2100);
    lab.write_at(MAC, "clash", "honest", T + HOUR);
    lab.write_at(BALAUR, "later", "one-sided from the future", year_2100);
    let json = apply(&lab, 4);
    let why = left(&json, "clash");
    assert!(
        why.contains("balaur") && why.contains("2100-01-01"),
        "{why}"
    );
    assert_eq!(lab.read_text(MAC, "clash"), "honest");
    assert_eq!(lab.read_text(BALAUR, "clash"), "from the future");
    both(&lab, "later", "one-sided from the future");

    lab.write_at(MAC, "later", "an honest edit since", T + 2 * HOUR);
    lab.write_at(BALAUR, "clash", "dated right", T + 2 * HOUR);
    let json = sync(&lab);
    done(&json, "later", "update", "peer");
    both(&lab, "later", "an honest edit since");
    both(&lab, "clash", "dated right");
    assert_eq!(kept(&json, "clash", "local"), b"honest");
    settled(&lab);
}

#[test]
fn cf_13_links_that_point_to_different_places() {
    let Some(lab) = pair() else { return };
    lab.symlink(MAC, "l", "base");
    sync(&lab);
    for (side, target, at) in [(MAC, "to-mac", 10), (BALAUR, "to-balaur", 20)] {
        lab.remove(side, "l");
        lab.symlink(side, "l", target);
        lab.set_mtime(side, "l", T + at * S);
    }
    let json = sync(&lab);
    decided(&json, "l", "newer", "local");
    for side in Side::BOTH {
        let target = std::fs::read_link(lab.at(side, "l")).unwrap();
        assert_eq!(target.to_str(), Some("to-balaur"));
    }
    let loser = std::fs::read_link(kept_at(&json, "l", "local")).unwrap();
    assert_eq!(loser.to_str(), Some("to-mac"));
    settled(&lab);
}

#[test]
fn strategy_manual_leaves_every_conflict_and_syncs_the_rest() {
    let policy = "[truth]\nconflicts = \"manual\"\n";
    let Some(lab) = pair_with(Lab::builder(), policy) else {
        return;
    };
    seed(&lab, &["f", "gone", "one-sided", "same"]);
    sync(&lab);
    edit(&lab, "f", ("mac's", 10), ("balaur's", 20));
    lab.remove(MAC, "gone");
    lab.write_at(BALAUR, "gone", "edited", T + HOUR);
    lab.write_at(BALAUR, "one-sided", "arrives", T + HOUR);
    edit(&lab, "same", ("alike", 10), ("alike", 10));
    let json = apply(&lab, 4);
    assert!(left(&json, "f").contains("a person decides"));
    left(&json, "gone");
    done(&json, "one-sided", "update", "local");
    assert_eq!(lab.read_text(MAC, "f"), "mac's");
    assert_eq!(lab.read_text(BALAUR, "f"), "balaur's");
    assert!(!lab.exists(MAC, "gone"));
    both(&lab, "one-sided", "arrives");
    idle(&lab, "partial", 4);
}

#[test]
fn strategies_local_and_peer_name_the_winner_whatever_the_times() {
    for (strategy, winner, to) in [("local", "mac", "peer"), ("peer", "balaur", "local")] {
        let policy = format!("[truth]\nconflicts = \"{strategy}\"\n");
        let Some(lab) = pair_with(Lab::builder(), &policy) else {
            return;
        };
        seed(&lab, &["m", "b", "tie", "gone", "one-sided"]);
        sync(&lab);
        edit(&lab, "m", ("mac", 20), ("balaur", 10));
        edit(&lab, "b", ("mac", 10), ("balaur", 20));
        edit(&lab, "tie", ("mac", 10), ("balaur", 10));
        lab.remove(MAC, "gone");
        lab.write_at(BALAUR, "gone", "edited", T + HOUR);
        // The side that loses conflicts still has its say where there is none.
        let other = if winner == "mac" { BALAUR } else { MAC };
        lab.write_at(other, "one-sided", "arrives", T + HOUR);
        let json = sync(&lab);
        let loser = if winner == "mac" { "balaur" } else { "mac" };
        for path in ["m", "b", "tie"] {
            decided(&json, path, strategy, to);
            both(&lab, path, winner);
            assert_eq!(kept(&json, path, to), loser.as_bytes(), "{path}");
        }
        decided(&json, "gone", strategy, to);
        match winner {
            "mac" => {
                neither(&lab, "gone");
                assert_eq!(kept(&json, "gone", "peer"), b"edited");
            }
            _ => both(&lab, "gone", "edited"),
        }
        both(&lab, "one-sided", "arrives");
        settled(&lab);
    }
}

#[test]
fn cf_07_a_named_winner_takes_a_directory_for_a_file_and_back_and_the_loser_is_kept() {
    for by_hand in [false, true] {
        for (strategy, winner, loser, side) in [
            ("local", MAC, BALAUR, "peer"),
            ("peer", BALAUR, MAC, "local"),
        ] {
            let rule = if by_hand { "manual" } else { strategy };
            let policy = format!("[truth]\nconflicts = \"{rule}\"\n");
            let Some(lab) = pair_with(Lab::builder(), &policy) else {
                return;
            };
            seed(&lab, &["file", "dir/child", "dir/still"]);
            sync(&lab);
            // A directory where the loser edited the file, and a file where the loser wrote in the directory.
            lab.remove(winner, "file");
            lab.write_at(winner, "file/inside", "a directory now", T + HOUR);
            lab.write_at(loser, "file", "edited", T + 2 * HOUR);
            lab.remove(winner, "dir");
            lab.write_at(winner, "dir", "a file now", T + HOUR);
            lab.write_at(loser, "dir/child", "edited child", T + 2 * HOUR);
            lab.write_at(loser, "dir/new", "new child", T + 2 * HOUR);
            let json = match by_hand {
                false => sync(&lab),
                true => {
                    left(&apply(&lab, 4), "file");
                    let keep = [
                        "conflicts",
                        "keep",
                        strategy,
                        "file",
                        "dir",
                        "--apply",
                        "--json",
                    ];
                    said(lab.run(&keep), 0)
                }
            };
            both(&lab, "file/inside", "a directory now");
            both(&lab, "dir", "a file now");
            for (path, text) in [
                ("file", "edited"),
                ("dir/child", "edited child"),
                ("dir/new", "new child"),
                ("dir/still", "base of dir/still\n"),
            ] {
                assert_eq!(kept(&json, path, side), text.as_bytes(), "{path}: {json:#}");
            }
            settled(&lab);
        }
    }
}

#[test]
fn ck_01_02_odd_times_on_one_side_harm_no_edit() {
    let Some(lab) = pair() else { return };
    seed(&lab, &["day", "year", "real", "more"]);
    sync(&lab);
    let day = i128::from(chrono::Utc::now().timestamp()) * S + DAY;
    lab.write_at(MAC, "day", "dated tomorrow", day);
    lab.write_at(BALAUR, "year", "dated last year", T - 365 * DAY);
    let json = sync(&lab);
    assert!(change(&json, "day")["conflict"].is_null());
    both(&lab, "day", "dated tomorrow");
    both(&lab, "year", "dated last year");
    settled(&lab);

    // A restored backup or a wrong time zone: every time of a side moves, and one edit on the other is real.
    for path in ["day", "year", "real", "more", "docs/anchor.md"] {
        let at = pair::modified(&lab.at(MAC, path));
        lab.set_mtime(MAC, path, at + 5 * HOUR);
    }
    lab.write_at(BALAUR, "real", "the real edit", T + 60 * S);
    let json = apply(&lab, 3);
    found(&json, "all_changed", "refuse");
    assert_eq!(lab.read_text(MAC, "real"), "base of real\n");
    assert_eq!(lab.read_text(BALAUR, "real"), "the real edit");
    let json = said(
        lab.run(&["truth", "--apply", "--json", "--allow", "all_changed"]),
        0,
    );
    done(&json, "real", "update", "local");
    both(&lab, "real", "the real edit");
    settled(&lab);
}

#[test]
fn ck_02_times_that_the_engine_takes_for_equal_are_no_change_for_ever() {
    let Some(lab) = pair() else { return };
    // Two checkouts of the same commit, made within a second; and one in another daylight saving time.
    for (path, by) in [("second", S / 2), ("hour", HOUR), ("mode", S / 2)] {
        lab.write_at(MAC, path, "same content", T);
        lab.write_at(BALAUR, path, "same content", T + by);
    }
    lab.chmod(BALAUR, "mode", 0o755);
    lab.write_at(MAC, "day", "same content", T);
    lab.write_at(BALAUR, "day", "same content", T + DAY);
    let json = sync(&lab);
    done(&json, "day", "meta", "local");
    let seen = json["lanes"][0]["changes"].to_string();
    assert!(
        !seen.contains("\"second\"") && !seen.contains("\"hour\""),
        "{seen}"
    );
    assert_eq!(lab.mode(MAC, "mode"), lab.mode(BALAUR, "mode"));
    idle(&lab, "in-sync", 0);
    lab.set_mtime(MAC, "day", T + DAY + HOUR);
    idle(&lab, "in-sync", 0);
    // An edit at such a time is an edit.
    lab.write_at(MAC, "hour", "more content", T + 2 * HOUR);
    lab.write_at(BALAUR, "second", "SAME CONTENT", T);
    let json = sync(&lab);
    done(&json, "hour", "update", "peer");
    done(&json, "second", "update", "local");
    both(&lab, "second", "SAME CONTENT");
    idle(&lab, "in-sync", 0);
}

#[test]
fn ck_03_clocks_that_disagree_decide_no_conflict() {
    if !lab::need(&["faketime"]) {
        return;
    }
    for skew in [-90, 90] {
        let Some(lab) = pair_with(Lab::builder().skew(skew), "") else {
            return;
        };
        seed(&lab, &["f", "plain"]);
        sync(&lab);
        edit(&lab, "f", ("mac's", 10), ("balaur's", 20));
        lab.write_at(BALAUR, "plain", "arrives", T + HOUR);
        let json = apply(&lab, 4);
        let word = if skew > 0 { "ahead of" } else { "behind" };
        assert!(found(&json, "clock_skew", "warn").contains(word));
        assert!(left(&json, "f").contains("times cannot decide"));
        assert_eq!(lab.read_text(MAC, "f"), "mac's");
        assert_eq!(lab.read_text(BALAUR, "f"), "balaur's");
        done(&json, "plain", "update", "local");
        idle(&lab, "partial", 4);

        let run = ["truth", "--apply", "--json", "--allow", "clock_skew"];
        let json = said(lab.run(&run), 0);
        decided(&json, "f", "newer", "local");
        both(&lab, "f", "balaur's");
        assert_eq!(kept(&json, "f", "local"), b"mac's");
    }
}

#[test]
fn cr_08_a_replica_from_an_old_backup_is_named_and_what_it_replaces_is_kept() {
    let Some(lab) = pair() else { return };
    for n in 0..4 {
        lab.write_at(MAC, format!("docs/{n}.md"), format!("old {n}"), T);
    }
    sync(&lab);
    for n in 0..3 {
        lab.write_at(
            BALAUR,
            format!("docs/{n}.md"),
            format!("newer {n}"),
            T + 9 * S,
        );
    }
    lab.write_at(BALAUR, "docs/later.md", "born later", T + 9 * S);
    sync(&lab);
    // The backup of the first day; one file has an edit of today beside it.
    for n in 0..3 {
        lab.write_at(MAC, format!("docs/{n}.md"), format!("old {n}"), T);
    }
    lab.write_at(MAC, "docs/3.md", "of today", T + 20 * S);
    lab.remove(MAC, "docs/later.md");
    let shown = said(lab.run(&["truth", "--json"]), 0);
    let words = found(&shown, "back_in_time", "warn");
    assert!(
        words.contains("3 files on mac went back in time"),
        "{words}"
    );
    let json = sync(&lab);
    for n in 0..3 {
        let path = format!("docs/{n}.md");
        assert_eq!(
            kept(&json, &path, "peer"),
            format!("newer {n}").into_bytes()
        );
    }
    assert_eq!(kept(&json, "docs/later.md", "peer"), b"born later");
    let run = json["run"].as_str().unwrap();
    lab.run(&["rollback", run, "--apply"]).expect(0);
    assert_eq!(lab.read_text(BALAUR, "docs/0.md"), "newer 0");
    assert!(lab.exists(BALAUR, "docs/later.md"));
}
