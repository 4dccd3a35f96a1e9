//! Each guard just over and just under its line, what it says, and what `--allow` does to it.

use std::time::Duration;

use super::*;
use crate::model::entry::{Entry, File};
use crate::model::path::RelPath;
use crate::model::plan::Change;

fn host(name: &str, root: &str) -> HostFacts {
    HostFacts {
        name: name.into(),
        root: root.into(),
        real_root: Some(root.into()),
        root_is_usable: true,
        root_identity: "1:2".into(),
        root_identity_before: Some("1:2".into()),
        marker: true,
        free_bytes: Some(1 << 40),
        unison: "unison version 2.52.1 (ocaml 4.13.1)".into(),
        files: 100,
        before: 100,
        unchanged: 100,
        ..HostFacts::default()
    }
}

/// A pair about which no guard has anything to say.
fn quiet() -> Facts {
    Facts {
        peer: "balaur".into(),
        local: host("mac", "/home/th/UBOS"),
        remote: host("balaur", "/srv/janus/repo"),
        rules_before: Some("r1".into()),
        rules_now: "r1".into(),
        marker_name: ".ubos-root".into(),
        ..Facts::default()
    }
}

fn limits() -> Guards {
    Guards {
        max_delete: DeleteLimit::Percent(20.0),
        max_delete_floor: 20,
        max_clock_skew: Duration::from_secs(2),
        min_free_space: 1000,
        marker: ".ubos-root".into(),
    }
}

fn file(size: u64) -> Entry {
    Entry::File(File {
        size,
        mode: 0o644,
        mtime_ns: 0,
        hash: "h".into(),
    })
}

fn change(path: &str, to: Side, source: Option<Entry>, target: Option<Entry>) -> Change {
    let kind = match (&source, &target) {
        (None, _) => Kind::Delete,
        (_, None) => Kind::Create,
        _ => Kind::Update,
    };
    Change {
        path: RelPath::new(path).unwrap(),
        kind,
        to,
        source,
        target,
        conflict: None,
        moved: false,
    }
}

fn deletes(n: usize, to: Side) -> Vec<Change> {
    (0..n)
        .map(|i| change(&format!("{}{i:04}", to.word()), to, None, Some(file(1))))
        .collect()
}

fn plan_of(changes: Vec<Change>) -> TruthPlan {
    TruthPlan {
        changes,
        ..TruthPlan::default()
    }
}

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

/// Whether the plan passed, and all findings.
fn judge(plan: TruthPlan, facts: &Facts, limits: &Guards, allow: &[&str]) -> (bool, Vec<Finding>) {
    let allow: Vec<String> = allow.iter().map(|a| (*a).to_owned()).collect();
    match guard(plan, facts, limits, &allow) {
        Ok(guarded) => (true, guarded.into_parts().1),
        Err(findings) => (false, findings),
    }
}

fn names(findings: &[Finding]) -> Vec<&str> {
    findings.iter().map(|f| f.guard.as_str()).collect()
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

#[test]
fn a_waived_guard_lets_the_plan_pass_and_the_next_one_still_stops_it() {
    let mut facts = quiet();
    facts.held = Some("why".into());
    assert!(judge(TruthPlan::default(), &facts, &limits(), &["held"]).0);
    facts.local.marker = false;
    let (passed, findings) = judge(TruthPlan::default(), &facts, &limits(), &["held"]);
    assert!(!passed);
    assert_eq!(names(&findings), ["marker", "held"]);
}

#[test]
fn a_root_that_moved_may_be_waived_and_one_that_is_absent_may_not() {
    let mut facts = quiet();
    facts.remote.root_identity = "elsewhere".into();
    assert!(judge(TruthPlan::default(), &facts, &limits(), &["roots"]).0);
    facts.local.real_root = None;
    let (passed, findings) = judge(TruthPlan::default(), &facts, &limits(), &NAMES);
    assert!(!passed);
    assert!(findings.iter().any(|f| f.severity == Severity::Refuse));
}

#[test]
fn a_state_leak_cannot_be_waived() {
    let mut facts = quiet();
    facts.leaks = vec!["a_state.json".into(), "b_state.json".into()];
    let (passed, findings) = judge(TruthPlan::default(), &facts, &limits(), &NAMES);
    assert!(!passed);
    assert!(findings.iter().all(|f| f.severity == Severity::Refuse));
    assert_eq!(findings.len(), 2, "each leaked path is named");
}

#[test]
fn a_rollback_that_broke_off_is_finished_first_whatever_is_allowed() {
    let mut facts = quiet();
    facts.undoing = Some("20260301T000000Z-truth-000000".into());
    let allow = [&NAMES[..], &["rollback"]].concat();
    let (passed, findings) = judge(TruthPlan::default(), &facts, &limits(), &allow);
    assert!(!passed);
    assert_eq!(names(&findings), ["rollback"]);
    assert!(findings[0].message.contains("broke off half-way"));
    assert_eq!(
        findings[0].hint,
        "ubos-sync rollback 20260301T000000Z-truth-000000 --apply"
    );
}

#[test]
fn what_passed_is_the_plan_that_was_guarded_with_what_was_said() {
    let mut facts = quiet();
    facts.rules_now = "r2".into();
    let plan = plan_of(deletes(1, Side::Peer));
    let guarded = guard(plan.clone(), &facts, &limits(), &[]).unwrap();
    assert_eq!(guarded.plan(), &plan);
    assert_eq!(names(guarded.findings()), ["rules_changed"]);
    assert_eq!(guarded.into_parts().0, plan);
}

#[test]
fn warnings_stop_nothing() {
    let mut facts = quiet();
    facts.clocks_apart = Some("9 s".into());
    facts.rules_now = "r2".into();
    let (passed, findings) = judge(TruthPlan::default(), &facts, &limits(), &[]);
    assert!(passed);
    assert_eq!(names(&findings), ["clock_skew", "rules_changed"]);
    // Nor is there anything of them to waive.
    let allowed = judge(TruthPlan::default(), &facts, &limits(), &NAMES);
    assert_eq!(allowed, (passed, findings));
}

fn stopped_by(bend: impl Fn(&mut Facts)) -> Vec<String> {
    let mut facts = quiet();
    bend(&mut facts);
    let findings = judge(TruthPlan::default(), &facts, &limits(), &[]).1;
    findings.into_iter().map(|f| f.guard).collect()
}

#[test]
fn both_sides_are_looked_at() {
    let both = stopped_by(|f| {
        f.local.marker = false;
        f.remote.marker = false;
    });
    assert_eq!(both, ["marker", "marker"]);
}

#[test]
fn a_missing_root_is_not_also_one_without_a_marker() {
    let missing = stopped_by(|f| {
        f.local.real_root = None;
        f.local.marker = false;
        f.local.root_is_usable = false;
    });
    assert_eq!(missing, ["roots"]);
}

#[test]
fn another_directory_or_an_emptied_one_is_not_the_root_that_was() {
    assert_eq!(
        stopped_by(|f| f.local.root_identity = "1:3".into()),
        ["roots"]
    );
    assert_eq!(stopped_by(|f| f.remote.files = 0), ["roots"]);
    assert!(stopped_by(|f| (f.remote.files, f.remote.before) = (0, 0)).is_empty());
}

#[test]
fn roots_within_each_other_are_refused_on_one_machine_only() {
    for (a, b, bad) in [
        ("/a", "/a", true),
        ("/a", "/a/b", true),
        ("/a/b", "/a", true),
        ("/a", "/ab", false),
        ("/", "/a", true),
        ("/a", "/", true),
    ] {
        let bend = |same: bool| {
            stopped_by(move |f| {
                f.same_machine = same;
                f.local.real_root = Some(a.into());
                f.remote.real_root = Some(b.into());
            })
        };
        assert_eq!(bend(true) == ["roots"], bad, "{a} {b}");
        assert!(bend(false).is_empty(), "{a} {b}");
    }
}

#[test]
fn versions_that_cannot_talk_are_told_apart() {
    let with = |a: &str, b: &str| {
        stopped_by(|f| {
            f.local.unison = format!("unison version {a}");
            f.remote.unison = format!("unison version {b}");
        })
    };
    for (a, b, bad) in [
        ("2.51.2", "2.52.1", false),
        ("2.51.2", "2.53.3", false),
        ("2.51.2", "2.54.0", true),
        ("2.54.0", "2.51.5", true),
        ("2.52.1", "2.54.0", false),
        ("2.50.9", "2.52.1", true),
    ] {
        assert_eq!(!with(a, b).is_empty(), bad, "{a} {b}");
    }
}

#[test]
fn a_missing_tool_and_an_engine_that_says_something_else_are_named() {
    let mut facts = quiet();
    facts.local.tools_missing = vec!["rsync".into(), "sha256sum".into()];
    facts.remote.unison = "Welcome!\u{1b}[2J".into();
    let findings = judge(TruthPlan::default(), &facts, &limits(), &[]).1;
    assert_eq!(names(&findings), ["engine_version", "engine_version"]);
    assert!(findings[0].message.contains("mac lacks rsync, sha256sum"));
    assert!(findings[1].message.contains("Welcome!") && !findings[1].message.contains('\u{1b}'));
    facts.remote.unison.clear();
    let findings = judge(TruthPlan::default(), &facts, &limits(), &[]).1;
    assert!(findings[1].message.contains("not found on balaur"));
}

/// Whether `n` deletes told to `to` trip, of 100 files.
fn trips(limit: DeleteLimit, floor: u64, n: usize) -> bool {
    let mut facts = quiet();
    facts.remote.files = 100 - n;
    let limits = Guards {
        max_delete: limit,
        max_delete_floor: floor,
        ..limits()
    };
    !judge(
        plan_of(deletes(n, Side::Local)),
        &facts,
        &limits,
        &["roots"],
    )
    .0
}

#[test]
fn max_delete_as_count_percentage_floor_nothing_and_everything() {
    for (limit, floor, n, bad) in [
        (DeleteLimit::Count(10), 20, 10, false),
        (DeleteLimit::Count(10), 20, 11, true),
        (DeleteLimit::Count(0), 20, 1, true),
        (DeleteLimit::Percent(20.0), 0, 20, false),
        (DeleteLimit::Percent(20.0), 0, 21, true),
        (DeleteLimit::Percent(1.0), 20, 20, false),
        (DeleteLimit::Percent(1.0), 20, 21, true),
        (DeleteLimit::Percent(0.0), 0, 1, true),
        (DeleteLimit::Percent(100.0), 0, 100, false),
    ] {
        assert_eq!(trips(limit, floor, n), bad, "{limit:?} {floor} {n}");
    }
}

#[test]
fn a_limit_of_everything_is_none_even_for_links_which_do_not_count_as_files() {
    let mut facts = quiet();
    (facts.local.files, facts.remote.files) = (1, 1);
    let link = Entry::Link {
        target: b"t".to_vec(),
        mtime_ns: 0,
    };
    let links: Vec<Change> = Side::BOTH
        .into_iter()
        .flat_map(|to| (0..30).map(move |i| (format!("{}{i:02}", to.word()), to)))
        .map(|(path, to)| change(&path, to, None, Some(link.clone())))
        .collect();
    for (percent, passes) in [(100.0, true), (99.0, false)] {
        let limits = Guards {
            max_delete: DeleteLimit::Percent(percent),
            ..limits()
        };
        let passed = judge(plan_of(links.clone()), &facts, &limits, &[]).0;
        assert_eq!(passed, passes, "{percent}");
    }
}

#[test]
fn renames_and_directories_are_no_deletes() {
    let mut renamed = deletes(90, Side::Local);
    for c in &mut renamed {
        c.moved = true;
    }
    let dirs = (0..90).map(|i| {
        change(
            &format!("d{i}"),
            Side::Peer,
            None,
            Some(Entry::Dir { mode: 0o755 }),
        )
    });
    renamed.extend(dirs);
    assert!(judge(plan_of(renamed), &quiet(), &limits(), &[]).0);
}

#[test]
fn max_delete_counts_both_directions_and_says_the_same_whoever_drives() {
    // Both have 40 files now; 30 of what local had and nothing of the peer's is gone.
    for (local, peer) in [(40, 40), (40, 70), (35, 50), (70, 40)] {
        let told = |to: Side| {
            let mut facts = quiet();
            (facts.local.files, facts.remote.files) = match to {
                Side::Peer => (local, peer),
                Side::Local => (peer, local),
            };
            let limits = Guards {
                max_delete: DeleteLimit::Percent(60.0),
                ..limits()
            };
            judge(plan_of(deletes(30, to)), &facts, &limits, &[]).0
        };
        assert_eq!(told(Side::Peer), told(Side::Local), "{local} {peer}");
    }
    let mut facts = quiet();
    (facts.local.files, facts.remote.files) = (89, 89);
    let mut both = deletes(11, Side::Local);
    both.extend(deletes(11, Side::Peer));
    let findings = judge(plan_of(both), &facts, &limits(), &[]).1;
    assert!(findings[0].message.contains("11 on mac, 11 on balaur"));
}

#[test]
fn all_changed_says_nothing_of_first_syncs_and_of_a_handful() {
    assert!(stopped_by(|f| (f.local.before, f.local.unchanged) = (4, 0)).is_empty());
    assert!(stopped_by(|f| (f.local.unchanged, f.first_time) = (0, true)).is_empty());
    assert_eq!(
        stopped_by(|f| (f.local.before, f.local.unchanged) = (5, 0)),
        ["all_changed"]
    );
    let both = stopped_by(|f| (f.local.unchanged, f.remote.unchanged) = (0, 0));
    assert_eq!(both, ["all_changed", "all_changed"]);
    // Where no file is left, that is what is said.
    let none = stopped_by(|f| (f.local.files, f.local.unchanged) = (0, 0));
    assert_eq!(none, ["roots"]);
}

#[test]
fn free_space_counts_the_receiving_side_and_what_undo_keeps() {
    let passes = |free: u64, c: Change| {
        let mut facts = quiet();
        facts.remote.free_bytes = Some(free);
        judge(plan_of(vec![c]), &facts, &limits(), &[]).0
    };
    // A delete is kept for undo; a touch takes nothing; what goes the other way is not counted here.
    assert!(!passes(1029, change("a", Side::Peer, None, Some(file(30)))));
    assert!(passes(1030, change("a", Side::Peer, None, Some(file(30)))));
    let mut touch = change("a", Side::Peer, Some(file(30)), Some(file(30)));
    touch.kind = Kind::Meta;
    assert!(passes(0, touch));
    assert!(passes(0, change("a", Side::Local, Some(file(30)), None)));
    // Our own files on a disk of their own: each disk is asked for its part.
    let apart = |free: u64, state: u64| {
        let mut facts = quiet();
        (facts.remote.free_bytes, facts.remote.state_free) = (Some(free), Some(state));
        let c = change("a", Side::Peer, Some(file(50)), Some(file(30)));
        judge(plan_of(vec![c]), &facts, &limits(), &[]).0
    };
    assert!(apart(1050, 1030) && !apart(1049, 1030) && !apart(1050, 1029));
    // Absurd sizes do not wrap around to small ones.
    assert!(!passes(
        1 << 40,
        change("a", Side::Peer, Some(file(u64::MAX)), Some(file(u64::MAX)))
    ));
    let mut unknown = quiet();
    unknown.remote.free_bytes = None;
    assert!(
        judge(
            plan_of(vec![change("a", Side::Peer, Some(file(30)), None)]),
            &unknown,
            &limits(),
            &[]
        )
        .0
    );
}

#[test]
fn what_needs_no_plan_is_known_before_planning() {
    let mut facts = quiet();
    facts.local.marker = false;
    facts.held = Some("why".into());
    assert_eq!(names(&before_plan(&facts)), ["marker", "held"]);
}
