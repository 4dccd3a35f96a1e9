//! What comes out of the guards: the plan as it went in, warnings that stop nothing, and what is known before planning.

use super::*;

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

#[test]
fn what_needs_no_plan_is_known_before_planning() {
    let mut facts = quiet();
    facts.local.marker = false;
    facts.held = Some("why".into());
    assert_eq!(names(&before_plan(&facts)), ["marker", "held"]);
}
