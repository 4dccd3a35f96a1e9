//! Which engines can talk to each other, and what is said of one that is absent or strange.

use super::*;

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
