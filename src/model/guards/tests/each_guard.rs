//! Each guard just over and just under its line, what it says, and what `--allow` does to it: one table of them all.

use super::*;

type Bend = fn(&mut Facts, &mut TruthPlan);

/// One guard: how to go just over its line, what stays just under it, and words that must be said.
struct Case {
    guard: &'static str,
    severity: Severity,
    over: Bend,
    under: Bend,
    message: &'static [&'static str],
    hint: &'static str,
}

const CASES: [Case; 12] = [
    Case {
        guard: "marker",
        severity: Severity::Refuse,
        over: |f, _| f.remote.marker = false,
        under: |_, _| {},
        message: &["balaur", ".ubos-root", "/srv/janus/repo"],
        hint: "touch /srv/janus/repo/.ubos-root",
    },
    Case {
        guard: "roots",
        severity: Severity::Refuse,
        over: |f, _| {
            f.remote.real_root = None;
            f.remote.root_problem = Some("a file".into());
        },
        under: |f, _| f.remote.root_identity_before = None,
        message: &["balaur", "/srv/janus/repo", "a file"],
        hint: "ls -ld /srv/janus/repo",
    },
    Case {
        guard: "max_delete",
        severity: Severity::Refuse,
        // The peer deleted them: it has the rest.
        over: |f, p| {
            f.remote.files = 100 - 21;
            p.changes = deletes(21, Side::Local);
        },
        under: |f, p| {
            f.remote.files = 100 - 20;
            p.changes = deletes(20, Side::Local);
        },
        message: &["21 files", "21 on mac", "0 on balaur", "20% of 100 files"],
        hint: "--allow max_delete",
    },
    Case {
        guard: "all_changed",
        severity: Severity::Refuse,
        over: |f, _| f.local.unchanged = 0,
        under: |f, _| f.local.unchanged = 1,
        message: &["mac", "100 files"],
        hint: "--allow all_changed",
    },
    Case {
        guard: "first_sync",
        severity: Severity::Refuse,
        over: |f, _| f.base_lost = Some("records of 3 runs on balaur".into()),
        under: |f, _| f.first_time = true,
        message: &["records of 3 runs on balaur", "come back"],
        hint: "--allow first_sync",
    },
    Case {
        guard: "clock_skew",
        severity: Severity::Warn,
        over: |f, _| f.clocks_apart = Some("balaur is 9 s ahead of mac".into()),
        under: |_, _| {},
        message: &["balaur is 9 s ahead of mac", "left to you"],
        hint: "--allow clock_skew",
    },
    Case {
        guard: "free_space",
        severity: Severity::Refuse,
        // 70 arrive, 30 are kept for undo, 1000 must stay free.
        over: |f, p| {
            f.remote.free_bytes = Some(1099);
            p.changes = vec![change("a", Side::Peer, Some(file(70)), Some(file(30)))];
        },
        under: |f, p| {
            f.remote.free_bytes = Some(1100);
            p.changes = vec![change("a", Side::Peer, Some(file(70)), Some(file(30)))];
        },
        message: &["balaur", "70 B", "30 B", "kept for undo"],
        hint: "free 1 B on balaur",
    },
    Case {
        guard: "engine_version",
        severity: Severity::Refuse,
        over: |f, _| f.remote.unison = "unison version 2.48.4".into(),
        under: |f, _| f.remote.unison = "unison version 2.51.5 (ocaml 4.13.1)".into(),
        message: &["2.48", "balaur", "too old"],
        hint: "on balaur",
    },
    Case {
        guard: "state_leak",
        severity: Severity::Refuse,
        over: |f, _| f.leaks = vec!["missions/m_state.json".into()],
        under: |_, _| {},
        message: &["missions/m_state.json", "never cross"],
        hint: "report it",
    },
    Case {
        guard: "root_mode",
        severity: Severity::Refuse,
        over: |f, _| f.local.root_is_usable = false,
        under: |_, _| {},
        message: &["mac", "/home/th/UBOS"],
        hint: "chmod u+rwx /home/th/UBOS",
    },
    Case {
        guard: "rules_changed",
        severity: Severity::Warn,
        over: |f, _| f.rules_now = "r2".into(),
        under: |f, _| f.rules_before = None,
        message: &["truth has changed"],
        hint: "ubos-sync explain",
    },
    Case {
        guard: "held",
        severity: Severity::Refuse,
        over: |f, _| f.held = Some("rolled back run X".into()),
        under: |_, _| {},
        message: &["rolled back run X"],
        hint: "ubos-sync release balaur",
    },
];

/// All findings, whether they stop the run or not.
fn look(bend: Bend, allow: &[&str]) -> Vec<Finding> {
    let (mut facts, mut plan) = (quiet(), TruthPlan::default());
    bend(&mut facts, &mut plan);
    judge(plan, &facts, &limits(), allow).1
}

#[test]
fn the_table_has_every_guard_of_the_contract_once() {
    let mut table: Vec<_> = CASES.iter().map(|c| c.guard).collect();
    let mut all = NAMES.to_vec();
    table.sort_unstable();
    all.sort_unstable();
    assert_eq!(table, all);
}

#[test]
fn a_quiet_pair_passes_without_a_word() {
    assert_eq!(look(|_, _| {}, &[]), []);
}

#[test]
fn each_guard_trips_just_over_its_line_and_passes_just_under() {
    for case in &CASES {
        let over = look(case.over, &[]);
        assert_eq!(names(&over), [case.guard]);
        assert_eq!(over[0].severity, case.severity, "{}", case.guard);
        assert_eq!(look(case.under, &[]), [], "{}", case.guard);
    }
}

#[test]
fn each_guard_names_what_is_wrong_the_peer_and_the_way_out() {
    for case in &CASES {
        let over = look(case.over, &[]);
        for word in case.message {
            assert!(
                over[0].message.contains(word),
                "{word}: {}",
                over[0].message
            );
        }
        assert!(over[0].hint.contains(case.hint), "{}", over[0].hint);
        assert_eq!(over[0].peer.as_deref(), Some("balaur"));
    }
}

#[test]
fn all_findings_are_reported_together() {
    let (mut facts, mut plan) = (quiet(), TruthPlan::default());
    for case in &CASES {
        let mut mine = TruthPlan::default();
        (case.over)(&mut facts, &mut mine);
        plan.changes.extend(mine.changes);
    }
    // A root that is not there hides what would be said about its inside: the marker of the other one.
    facts.local.marker = false;
    let (passed, findings) = judge(plan, &facts, &limits(), &[]);
    assert!(!passed);
    for name in NAMES {
        assert!(names(&findings).contains(&name), "{name} is missing");
    }
}

#[test]
fn allow_waives_exactly_the_one_it_names() {
    for case in &CASES {
        // A root that is not there, as in the case of `roots`, has a test of its own.
        let never = ["state_leak", "roots"].contains(&case.guard);
        if case.severity == Severity::Refuse && !never {
            let waived = look(case.over, &[case.guard]);
            assert_eq!(waived[0].severity, Severity::Waived, "{}", case.guard);
        }
        let others: Vec<_> = NAMES.into_iter().filter(|n| *n != case.guard).collect();
        let kept = look(case.over, &others);
        assert_eq!(kept[0].severity, case.severity, "{}", case.guard);
    }
}
