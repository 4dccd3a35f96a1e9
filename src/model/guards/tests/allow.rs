//! What `--allow` lifts, what it leaves standing, and what no word of a user lifts.

use super::*;

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
