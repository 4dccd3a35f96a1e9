//! A side that the policy prefers has its way, with all that lies below.

use super::*;

#[test]
fn a_named_winner_has_its_way_with_all_below() {
    let (file, dir) = (&["f=2@9"][..], &["f/", "f/a=1", "f/e/", "f/e/b=1"][..]);
    for base in [&[][..], &["f=1"], &["f/", "f/a=1"]] {
        let r = plan_by(Strategy::Local, base, file, dir);
        assert_eq!(left(&r), NONE, "{base:?} {r:#?}");
        let gone = ["replace", "delete", "delete", "delete"];
        let kinds: Vec<String> = changes(&r).iter().map(|c| c.replace('!', "")).collect();
        let of = |kind: &str, path: &str| format!("{kind} {path} > peer");
        let paths = ["f", "f/a", "f/e", "f/e/b"];
        let wanted: Vec<String> = gone.iter().zip(paths).map(|(k, p)| of(k, p)).collect();
        assert_eq!(kinds, wanted);
        let r = plan_by(Strategy::Local, base, dir, file);
        assert_eq!(left(&r), NONE);
        let kinds: Vec<String> = changes(&r).iter().map(|c| c.replace('!', "")).collect();
        let made = ["replace", "create", "create", "create"];
        let wanted: Vec<String> = made.iter().zip(paths).map(|(k, p)| of(k, p)).collect();
        assert_eq!(kinds, wanted);
    }
    // What never crosses stays, and the directory around it.
    let r = plan_by(Strategy::Local, &[], file, &["f/", "f/a_state.json!"]);
    assert_eq!((changes(&r).len(), left(&r)), (0, vec!["f!".to_owned()]));
}

#[test]
fn whoever_the_policy_prefers_is_named_as_the_one_who_decided_all_below() {
    let (file, dir) = (&["f=2@9"][..], &["f/", "f/a=1"][..]);
    for (strategy, how, to, name) in [
        (Strategy::Local, Decided::Local, Side::Peer, "mac"),
        (Strategy::Peer, Decided::Peer, Side::Local, "balaur"),
    ] {
        let (local, peer) = match to {
            Side::Peer => (file, dir),
            Side::Local => (dir, file),
        };
        let r = plan_by(strategy, &[], local, peer);
        let below = &r.plan.changes[1];
        let word = Some((how, format!("the policy prefers {name}")));
        assert_eq!((below.to, &below.conflict), (to, &word));
    }
}

#[test]
fn a_named_winner_does_not_carry_what_nobody_could_read() {
    let dir = ["f/", "f/a=1", "f/u/?"];
    let r = plan_by(Strategy::Local, &[], &dir, &["f=2@9"]);
    assert_eq!(changes(&r), ["replace! f > peer", "create f/a > peer"]);
    assert_eq!(left(&r), ["f/u"]);
    let r = plan_by(Strategy::Local, &[], &["f=2@9"], &dir);
    assert_eq!(
        (changes(&r), left(&r)),
        (vec![], vec!["f!".into(), "f/u".into()])
    );
}

#[test]
fn a_file_against_a_directory_in_which_a_named_winner_changed_nothing_is_no_conflict() {
    let base = ["d/", "d/a=1"];
    let r = plan_by(Strategy::Peer, &base, &["d=new@5"], &base);
    assert_eq!(changes(&r), ["replace d > peer", "delete d/a > peer"]);
    // A directory beside it that begins alike has no say in it.
    let (base, peer) = (["d/", "d-e/"], ["d/", "d-e/", "d-e/new=1"]);
    let r = plan(&base, &["d=new@5", "d-e/"], &peer);
    assert_eq!(changes(&r), ["replace d > peer", "create d-e/new > local"]);
}

#[test]
fn a_pipe_in_a_directory_that_wins_by_name_goes_nowhere() {
    let r = plan_by(Strategy::Local, &[], &["a/", "a/b=1", "a/p|"], &["a=2"]);
    assert_eq!(changes(&r), ["replace! a > peer", "create a/b > peer"]);
}
