//! Reconciliation, case by case: who keeps what when one side deleted, replaced, renamed or could not read it.

use super::*;
use crate::model::decide::Clocks;
use crate::model::policy::Strategy;
use crate::model::rules::Verdict;
use crate::model::tree::Stat;

const S: i128 = 1_000_000_000;

pub(super) fn judge_by(strategy: Strategy, permissions: bool) -> Judge {
    Judge {
        strategy,
        permissions,
        clocks: Clocks {
            apart: None,
            latest_local_ns: 1_000 * S,
            latest_peer_ns: 1_000 * S,
        },
        local_name: "mac".into(),
        peer_name: "balaur".into(),
    }
}

fn path(p: &str) -> RelPath {
    RelPath::new(p).unwrap()
}

/// A tree in short: `d/` a directory, `f=content@seconds` a file, `l>target` a link, `s!` state, `e/!` an excluded
/// directory, `n/^` a directory above the included ones, `n^` a file there, `u/?` an unreadable directory, `f?` an
/// unreadable file, `p|` a pipe.
fn tree(lines: &[&str]) -> Replica {
    let (mut r, mut contents) = (Replica::default(), BTreeMap::new());
    for line in lines {
        let end = line
            .find(['=', '>', '!', '?', '|', '^'])
            .unwrap_or(line.len());
        let (name, rest) = line.split_at(end);
        let is_dir = name.ends_with('/');
        let p = path(name.trim_end_matches('/'));
        let verdict = match rest {
            "!" if is_dir => Some(Verdict::Excluded(name.into())),
            "!" => Some(Verdict::State(name.into())),
            "^" => Some(Verdict::NotIncluded),
            _ => None,
        };
        if let Some(verdict) = verdict {
            r.tree.apart.insert(p, (verdict, is_dir));
            continue;
        }
        let (content, at) = rest
            .trim_start_matches('=')
            .split_once('@')
            .unwrap_or((&rest[rest.len().min(1)..], "1"));
        let what = match rest.as_bytes().first() {
            Some(b'|') => What::Other,
            Some(b'>') => What::Link(rest[1..].into()),
            _ if is_dir => What::Dir,
            _ => What::File,
        };
        let stat = Stat {
            what,
            size: content.len() as u64,
            mtime_ns: at.parse::<i128>().unwrap() * S,
            ctime_ns: 0,
            ino: 1,
            mode: if is_dir { 0o755 } else { 0o644 },
        };
        if rest == "?" {
            if is_dir {
                r.tree.unreadable.insert(p.clone());
            }
        } else {
            contents.insert(p.clone(), content.into());
        }
        r.tree.truth.insert(p, stat);
    }
    Replica::of(r.tree, |p, _| contents.get(p).copied())
}

fn had(lines: &[&str]) -> Manifest {
    let entries = tree(lines);
    let entries = entries.entries().map(|(p, e)| (p.clone(), e));
    Manifest {
        entries: entries.collect(),
        ..Manifest::default()
    }
}

fn plan_by(strategy: Strategy, base: &[&str], local: &[&str], peer: &[&str]) -> Reconciled {
    let base = had(base);
    let (local, peer) = (tree(local), tree(peer));
    let r = reconcile(&judge_by(strategy, true), &base, &local, &peer);
    let paths: Vec<_> = r.plan.changes.iter().map(|c| &c.path).collect();
    assert!(paths.windows(2).all(|w| w[0] < w[1]), "sorted and unique");
    for l in &r.plan.left {
        assert!(
            !paths.contains(&&l.path),
            "{:?} is left and changed",
            l.path
        );
    }
    r
}

fn plan(base: &[&str], local: &[&str], peer: &[&str]) -> Reconciled {
    plan_by(Strategy::Newer, base, local, peer)
}

/// Changes as `kind path > side`, a decided conflict marked `!`, a rename `~`.
fn changes(r: &Reconciled) -> Vec<String> {
    let mark = |c: &Change| match (&c.conflict, c.moved) {
        (Some(_), _) => "!",
        (None, true) => "~",
        _ => "",
    };
    let show = |c: &Change| format!("{}{} {} > {}", c.kind.word(), mark(c), c.path, c.to.word());
    r.plan.changes.iter().map(show).collect()
}

/// What is left: a true conflict is marked `!`.
fn left(r: &Reconciled) -> Vec<String> {
    let show = |l: &Left| format!("{}{}", l.path, if l.conflict { "!" } else { "" });
    r.plan.left.iter().map(show).collect()
}

fn notes(r: &Reconciled) -> Vec<String> {
    r.plan.notes.iter().map(|n| n.path.to_string()).collect()
}

const NONE: [&str; 0] = [];

/// `local` deleted the directory `d`; what the peer did inside it, and what comes of that.
#[track_caller]
fn dir_deleted(peer: &[&str], expected: &[&str], left_over: &[&str], noted: &[&str]) {
    let base = ["d/", "d/a=1", "d/e/", "d/e/b=1", "z=1"];
    let r = plan(&base, &["z=1"], &[peer, &["z=1"]].concat());
    assert_eq!(changes(&r), expected);
    assert_eq!(left(&r), left_over);
    assert_eq!(notes(&r), noted);
}

#[test]
fn a_deleted_directory_is_deleted_file_by_file_when_nothing_in_it_changed() {
    dir_deleted(
        &["d/", "d/a=1", "d/e/", "d/e/b=1"],
        &[
            "delete d > peer",
            "delete d/a > peer",
            "delete d/e > peer",
            "delete d/e/b > peer",
        ],
        &NONE,
        &NONE,
    );
}

#[test]
fn an_edit_in_a_deleted_directory_brings_it_back_with_its_ancestors_and_no_more() {
    dir_deleted(
        &["d/", "d/a=1", "d/e/", "d/e/b=2@9"],
        &[
            "create d > local",
            "delete d/a > peer",
            "create d/e > local",
            "create! d/e/b > local",
        ],
        &NONE,
        &NONE,
    );
}

#[test]
fn a_new_file_in_a_deleted_directory_brings_it_back() {
    dir_deleted(
        &["d/", "d/a=1", "d/e/", "d/e/b=1", "d/new=1"],
        &[
            "create d > local",
            "delete d/a > peer",
            "delete d/e > peer",
            "delete d/e/b > peer",
            "create d/new > local",
        ],
        &NONE,
        &NONE,
    );
}

#[test]
fn a_deleted_directory_stays_where_something_in_it_cannot_be_read() {
    dir_deleted(
        &["d/", "d/a=1", "d/e/", "d/e/b?"],
        &["delete d/a > peer"],
        &["d/e/b"],
        &NONE,
    );
    dir_deleted(
        &["d/", "d/a=1", "d/e/?"],
        &["delete d/a > peer"],
        &["d/e"],
        &NONE,
    );
}

#[test]
fn a_deleted_directory_stays_around_an_edit_that_a_person_must_decide() {
    let base = ["d/", "d/a=1", "d/b=1"];
    let r = plan_by(Strategy::Manual, &base, &[], &["d/", "d/a=1", "d/b=2@9"]);
    assert_eq!(changes(&r), ["delete d/a > peer"]);
    assert_eq!(left(&r), ["d/b!"]);
}

#[test]
fn a_deleted_directory_stays_around_state_and_excluded_files_and_says_so() {
    let gone = [
        "delete d/a > peer",
        "delete d/e > peer",
        "delete d/e/b > peer",
    ];
    dir_deleted(
        &["d/", "d/a=1", "d/e/", "d/e/b=1", "d/x_state.json!"],
        &gone,
        &NONE,
        &["d"],
    );
    dir_deleted(
        &["d/", "d/a=1", "d/e/", "d/e/b=1", "d/.cache/!"],
        &gone,
        &NONE,
        &["d"],
    );
    dir_deleted(
        &["d/", "d/a=1", "d/e/", "d/e/b=1", "d/e/x_state.json!"],
        &["delete d/a > peer", "delete d/e/b > peer"],
        &NONE,
        &["d", "d/e"],
    );
}

#[test]
fn a_directory_kept_for_its_state_is_not_pending_again_and_new_files_in_it_still_travel() {
    let r = plan(&["d/"], &[], &["d/", "d/x_state.json!"]);
    assert_eq!((changes(&r), left(&r)), (vec![], vec![]));
    assert_eq!(notes(&r), ["d"]);
    assert!(r.plan.is_empty() && r.agreed.is_empty());
    let r = plan(&["d/"], &[], &["d/", "d/x_state.json!", "d/new=1"]);
    assert_eq!(changes(&r), ["create d > local", "create d/new > local"]);
}

#[test]
fn a_state_file_inside_is_no_reason_to_bring_a_directory_back_or_to_touch_it() {
    let r = plan(
        &["d/", "d/a=1"],
        &["d/x_state.json!"],
        &["d/", "d/a=1", "d/x_state.json!"],
    );
    assert!(
        !r.plan
            .changes
            .iter()
            .any(|c| c.path.name().ends_with(b"_state.json"))
    );
}

#[test]
fn names_that_begin_alike_are_not_inside() {
    let base = ["d/", "d/a=1", "d-e/", "d-e/a=1"];
    let r = plan(
        &base,
        &["d-e/", "d-e/a=1"],
        &["d/", "d/a=1", "d-e/", "d-e/a=2@9", "d-e/x_state.json!"],
    );
    assert_eq!(
        changes(&r),
        [
            "delete d > peer",
            "update d-e/a > local",
            "delete d/a > peer"
        ]
    );
}

/// `local` replaced the directory `d` by a file.
fn dir_to_file(peer: &[&str]) -> Reconciled {
    plan(&["d/", "d/a=1", "d/e/", "d/e/b=1"], &["d=new@5"], peer)
}

#[test]
fn a_directory_gives_way_to_a_file_when_all_in_it_is_known() {
    let r = dir_to_file(&["d/", "d/a=1", "d/e/", "d/e/b=1"]);
    assert_eq!(
        changes(&r),
        [
            "replace d > peer",
            "delete d/a > peer",
            "delete d/e > peer",
            "delete d/e/b > peer"
        ]
    );
    assert_eq!(left(&r), NONE);
}

#[test]
fn a_directory_does_not_give_way_when_something_in_it_is_edited_new_kept_apart_or_unreadable() {
    for inside in [
        "d/a=2@9",
        "d/new=1",
        "d/x_state.json!",
        "d/.cache/!",
        "d/e/x_state.json!",
        "d/e/p|",
        "d/u?",
        "d/u/?",
    ] {
        let mut peer = vec!["d/", "d/a=1", "d/e/", "d/e/b=1"];
        peer.retain(|p| !inside.starts_with("d/a") || *p != "d/a=1");
        peer.push(inside);
        let r = dir_to_file(&peer);
        assert_eq!(changes(&r), NONE, "{inside}");
        assert!(
            left(&r).contains(&"d!".to_owned()),
            "{inside}: {:?}",
            left(&r)
        );
    }
}

#[test]
fn an_unreadable_directory_that_was_swept_by_name_only_still_keeps_what_holds_it() {
    let mut peer = tree(&["d/", "d/a=1"]);
    peer.tree.unreadable.insert(path("d/u"));
    let base = had(&["d/", "d/a=1"]);
    let judge = judge_by(Strategy::Newer, true);
    let r = reconcile(&judge, &base, &tree(&["d=new@5"]), &peer);
    assert_eq!(changes(&r), NONE);
    let r = reconcile(&judge, &base, &tree(&[]), &peer);
    assert_eq!(changes(&r), ["delete d/a > peer"]);
    assert_eq!(left(&r), ["d/u"]);
}

#[test]
fn a_directory_gives_way_to_a_link() {
    let r = plan(&["d/", "d/a=1"], &["d>elsewhere"], &["d/", "d/a=1"]);
    assert_eq!(changes(&r), ["replace d > peer", "delete d/a > peer"]);
}

#[test]
fn a_file_gives_way_to_a_directory_with_all_that_is_in_it() {
    let r = plan(&["f=1"], &["f/", "f/a=1"], &["f=1"]);
    assert_eq!(changes(&r), ["replace f > peer", "create f/a > peer"]);
}

#[test]
fn a_file_here_and_a_directory_there_are_left_with_all_below() {
    for strategy in [Strategy::Newer, Strategy::Manual] {
        for base in [&[][..], &["f=1"]] {
            let r = plan_by(
                strategy,
                base,
                &["f=2@9"],
                &["f/", "f/a=1", "f/e/", "f/e/b=1"],
            );
            assert_eq!(changes(&r), NONE);
            assert_eq!(left(&r), ["f!", "f/a", "f/e", "f/e/b"]);
        }
    }
}

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
fn what_changes_by_time_by_content_and_by_type_are_different_things() {
    let r = plan(
        &["a=1", "b=1", "c=1", "d>t"],
        &["a=1@9", "b=2@9", "c>t", "d>u"],
        &["a=1", "b=1", "c=1", "d>t"],
    );
    let wanted = ["meta a", "update b", "replace c", "update d"];
    assert_eq!(changes(&r), wanted.map(|w| format!("{w} > peer")));
}

#[test]
fn an_edit_beats_a_delete_even_when_the_edit_made_a_directory() {
    let r = plan(&["f=1"], &[], &["f/", "f/a=1"]);
    assert_eq!(changes(&r), ["create! f > local", "create f/a > local"]);
    let r = plan_by(Strategy::Manual, &["f=1"], &[], &["f/", "f/a=1"]);
    assert_eq!(
        (changes(&r).len(), left(&r)),
        (0, vec!["f!".into(), "f/a".into()])
    );
}

#[test]
fn a_parent_does_not_arrive_for_a_child_that_is_left() {
    // d/f was a file in a directory that local deleted; on the peer it is a directory now.
    let r = plan_by(
        Strategy::Manual,
        &["d/", "d/f=1", "d/g=1"],
        &[],
        &["d/", "d/f/", "d/f/a=1", "d/g=1"],
    );
    assert_eq!(changes(&r), ["delete d/g > peer"]);
    assert_eq!(left(&r), ["d/f!", "d/f/a"]);
}

#[test]
fn nothing_below_an_undecided_path_is_deleted() {
    // On the peer a pipe, or a file that cannot be read, stands where the directory was.
    for there in ["d|", "d?"] {
        let r = plan(
            &["d/", "d/a=1", "d/e/", "d/e/b=1"],
            &["d/", "d/a=1", "d/e/", "d/e/b=1"],
            &[there],
        );
        assert_eq!(changes(&r), NONE, "{there}");
        assert_eq!(r.plan.left.len(), 1, "{there}");
    }
}

#[test]
fn a_renamed_file_is_a_delete_that_counts_for_nothing() {
    let r = plan(&["a=x", "b=y"], &["c=x", "b=y"], &["a=x", "b=y"]);
    assert_eq!(changes(&r), ["delete~ a > peer", "create c > peer"]);
    // One copy arrives, two were deleted: one of them is gone for good.
    let r = plan(&["a=x", "b=x"], &["c=x"], &["a=x", "b=x"]);
    assert_eq!(
        changes(&r),
        ["delete~ a > peer", "delete b > peer", "create c > peer"]
    );
    // What the other side creates is no rename of this side's.
    let r = plan(&["a=x"], &[], &["a=x", "c=x"]);
    assert_eq!(changes(&r), ["delete a > peer", "create c > local"]);
}

#[test]
fn a_renamed_directory_moves_all_its_files_and_leaves_the_state_behind() {
    let old = ["d/", "d/a=x", "d/b=y"];
    let r = plan(
        &old,
        &["e/", "e/a=x", "e/b=y"],
        &["d/", "d/a=x", "d/b=y", "d/x_state.json!"],
    );
    assert_eq!(
        changes(&r),
        [
            "delete~ d/a > peer",
            "delete~ d/b > peer",
            "create e > peer",
            "create e/a > peer",
            "create e/b > peer"
        ]
    );
    assert_eq!(notes(&r), ["d"]);
}

#[test]
fn a_rename_against_an_edit_keeps_both_names() {
    let r = plan(&["a=x"], &["c=x"], &["a=edit@9"]);
    assert_eq!(changes(&r), ["create! a > local", "create c > peer"]);
}

#[test]
fn the_same_rename_on_both_sides_is_agreed() {
    let r = plan(&["a=x"], &["c=x"], &["c=x"]);
    assert!(r.plan.is_empty());
    assert_eq!(r.agreed.len(), 2);
}

#[test]
fn an_unreadable_directory_is_never_a_delete_in_either_direction() {
    let base = ["d/", "d/a=1", "d/e/", "d/e/b=1"];
    for (local, peer) in [
        (&["d/?"][..], &base[..]),
        (&["d/?"], &["d/", "d/a=2@9"]),
        (&["d/?"], &[]),
        (&base, &["d/?"]),
        (&["d/?"], &["d/?"]),
    ] {
        let r = plan(&base, local, peer);
        assert_eq!(changes(&r), NONE, "{local:?} {peer:?}");
        assert_eq!(left(&r), ["d"], "{local:?} {peer:?}");
        assert!(r.agreed.is_empty(), "the base keeps what is unknown");
    }
}

#[test]
fn an_unreadable_root_stops_everything() {
    let mut local = Replica::default();
    local.tree.unreadable.insert(RelPath::root());
    let base = had(&["a=1"]);
    let r = reconcile(
        &judge_by(Strategy::Newer, true),
        &base,
        &local,
        &tree(&["a=2@9"]),
    );
    assert_eq!(
        (changes(&r).len(), r.plan.left.len(), r.agreed.len()),
        (0, 1, 0)
    );
}

#[test]
fn an_unreadable_directory_above_the_included_ones_hides_them_and_one_beside_them_says_nothing() {
    let base = ["docs/pub/", "docs/pub/a=1"];
    let mut local = Replica::default();
    local.tree.unreadable.insert(path("docs"));
    local.tree.unreadable.insert(path("private"));
    let base = had(&base);
    let r = reconcile(
        &judge_by(Strategy::Newer, true),
        &base,
        &local,
        &tree(&["docs/pub/", "docs/pub/a=1"]),
    );
    assert_eq!(changes(&r), NONE);
    assert_eq!(left(&r), ["docs"]);
}

#[test]
fn an_unreadable_directory_is_named_where_truth_is_known_at_above_or_below_it() {
    for (unreadable, base, peer, named) in [
        ("", &[][..], &[][..], true),
        ("docs", &["docs/"], &[], true),
        ("docs", &["docs/pub/"], &[], true),
        ("docs", &[], &["docs/"], true),
        ("docs", &[], &["docs/pub/"], true),
        ("docs/private", &[], &["docs/"], true),
        ("docs", &["docs-old/"], &["docs-old/"], false),
        ("docs/private", &[], &["a=1"], false),
    ] {
        let mut local = Replica::default();
        local.tree.unreadable.insert(path(unreadable));
        let base = had(base);
        let judge = judge_by(Strategy::Newer, true);
        let r = reconcile(&judge, &base, &local, &tree(peer));
        let all: Vec<_> = r.plan.left.iter().map(|l| &l.path).collect();
        assert_eq!(
            all.contains(&&path(unreadable)),
            named,
            "{unreadable} {base:?} {peer:?}"
        );
    }
}

#[test]
fn what_was_seen_of_a_directory_before_it_could_not_be_read_any_more_is_not_believed() {
    let edited = ["d/", "d/a=2@9", "z=2@9"];
    let half = ["d/?", "d/a=1", "z=1"];
    for (local, peer, to) in [(edited, half, "peer"), (half, edited, "local")] {
        let r = plan(&["d/", "d/a=1", "z=1"], &local, &peer);
        assert_eq!(changes(&r), [format!("update z > {to}")]);
        assert_eq!(left(&r), ["d"]);
    }
}

#[test]
fn what_is_left_or_noted_says_on_which_host_it_stands() {
    for (local, peer, why) in [
        (
            &["d/?"][..],
            &["d/"][..],
            "cannot be read on mac; nothing below",
        ),
        (&["f=1"], &["f?"], "the file cannot be read on balaur"),
        (&["f|"], &["f=1"], "it is a pipe, socket or device on mac"),
        (
            &["f=1"],
            &["f/!"],
            "never crosses stands at this place on balaur",
        ),
        (&["a^"], &["a/^", "a/b/"], "a is not a directory on mac"),
        (&["a/^", "a/b/"], &["a^"], "a is not a directory on balaur"),
    ] {
        let r = plan(&[], local, peer);
        assert!(r.plan.left[0].why.contains(why), "{}", r.plan.left[0].why);
    }
    let gone = plan(&["d/"], &[], &["d/", "d/x_state.json!"]);
    assert!(gone.plan.notes[0].text.contains("kept on balaur"));
    let pipe = plan(&[], &["p|"], &[]);
    assert!(pipe.plan.notes[0].text.contains("device on mac;"));
    for (inside, why) in [
        ("d/x_state.json!", "on balaur holds state or excluded files"),
        (
            "d/new=1",
            "inside the directory on balaur is new or changed",
        ),
    ] {
        let r = plan(&["d/"], &["d=new@5"], &["d/", inside]);
        assert!(r.plan.left[0].why.contains(why), "{}", r.plan.left[0].why);
    }
}

#[test]
fn a_file_without_known_content_is_neither_deleted_nor_overwritten() {
    for base in [&["a=1"][..], &[]] {
        for peer in [&["a=2@9"][..], &[]] {
            let r = plan(base, &["a?"], peer);
            assert_eq!((changes(&r), left(&r)), (vec![], vec!["a".to_owned()]));
        }
    }
    // Also when nobody said that it could not be read.
    let mut local = tree(&["a=1"]);
    local = Replica::of(local.tree, |_, _| None);
    local.unread.clear();
    let base = had(&["a=1"]);
    let r = reconcile(
        &judge_by(Strategy::Newer, true),
        &base,
        &local,
        &tree(&["a=1"]),
    );
    assert_eq!((changes(&r), left(&r)), (vec![], vec!["a".to_owned()]));
}

#[test]
fn pipes_are_noted_alone_and_left_against_anything_else() {
    let r = plan(&[], &["p|", "a=1"], &[]);
    assert_eq!(
        (changes(&r), notes(&r)),
        (vec!["create a > peer".to_owned()], vec!["p".to_owned()])
    );
    let r = plan(&[], &["p|"], &["p|"]);
    assert_eq!((left(&r), notes(&r)), (vec![], vec!["p".to_owned()]));
    let r = plan(&["p=1"], &["p|"], &["p=1"]);
    assert_eq!((changes(&r), left(&r)), (vec![], vec!["p!".to_owned()]));
    let r = plan(&["d/", "d/p=1"], &[], &["d/", "d/p|"]);
    assert_eq!((changes(&r), notes(&r)), (vec![], vec!["d/p".to_owned()]));
}

#[test]
fn a_truth_file_against_an_excluded_directory_is_left_on_both() {
    for base in [&["x=1"][..], &["x/", "x/a=1"], &[]] {
        let r = plan(base, &["x=1"], &["x/!", "x/a!"]);
        assert_eq!((changes(&r), left(&r)), (vec![], vec!["x!".to_owned()]));
        let r = plan(base, &["x/!", "x/a!"], &["x=1"]);
        assert_eq!((changes(&r), left(&r)), (vec![], vec!["x!".to_owned()]));
    }
}

#[test]
fn why_a_path_is_left_does_not_depend_on_which_host_drives() {
    let (a, b) = (&["x?"][..], &["x/!", "x/a!"][..]);
    assert_eq!(left(&plan(&[], a, b)), left(&plan(&[], b, a)));
}

#[test]
fn what_both_deleted_and_what_both_made_alike_is_agreed_without_a_change() {
    let r = plan(
        &["a=1", "d/", "d/b=1"],
        &["n=1", "e/", "e/f=1"],
        &["n=1", "e/", "e/f=1"],
    );
    assert!(r.plan.is_empty());
    let shown: Vec<_> = r
        .agreed
        .iter()
        .map(|(p, e)| (p.to_string(), e.is_some()))
        .collect();
    let want = [
        ("a", false),
        ("d", false),
        ("d/b", false),
        ("e", true),
        ("e/f", true),
        ("n", true),
    ];
    assert_eq!(shown, want.map(|(p, e)| (p.to_owned(), e)));
}

#[test]
fn an_exclusion_added_later_deletes_nothing_and_the_base_forgets() {
    let base = ["m/", "m/a=1", "k=1", "x.tmp=1"];
    let r = plan(
        &base,
        &["k=1", "m/!", "m/a!", "x.tmp!"],
        &["k=1", "m/!", "x.tmp!"],
    );
    assert!(r.plan.is_empty());
    assert_eq!(r.agreed.len(), 3);
    assert!(r.agreed.iter().all(|(_, e)| e.is_none()));
}

#[test]
fn an_exclusion_removed_later_is_a_first_meeting() {
    let r = plan(&["k=1"], &["k=1", "x=1@5"], &["k=1", "x=2@6", "y=1"]);
    assert_eq!(changes(&r), ["update! x > local", "create y > local"]);
}

#[test]
fn directories_above_the_included_ones_need_not_be_there() {
    let r = plan(&[], &["docs/^", "docs/pub/", "docs/pub/a=1"], &[]);
    assert_eq!(
        changes(&r),
        ["create docs/pub > peer", "create docs/pub/a > peer"]
    );
}

#[test]
fn a_file_or_link_where_the_included_ones_need_a_directory_stops_both_directions() {
    let (tree, gone) = (["a/^", "a/b/^", "a/b/c/", "a/b/c/f=1"], ["a^"]);
    let r = plan(&[], &tree, &gone);
    assert_eq!(
        (changes(&r), left(&r)),
        (vec![], vec!["a/b/c!".to_owned(), "a/b/c/f".into()])
    );
    // Not a delete either: the peer's docs may be a link to where they are now.
    let r = plan(&["a/b/c/", "a/b/c/f=1"], &tree, &gone);
    assert_eq!(changes(&r), NONE);
    assert_eq!(left(&r), ["a/b/c!"]);
}

#[test]
fn without_a_base_nothing_is_ever_deleted() {
    let r = plan(&[], &["a=1", "d/", "d/x=1@5"], &["b=1", "d/", "d/x=2@6"]);
    assert_eq!(
        changes(&r),
        ["create a > peer", "create b > local", "update! d/x > local"]
    );
}

#[test]
fn a_type_change_against_a_delete_inside_is_carried_out() {
    // Both got rid of d/a; local went further and made d a file.
    let r = plan(&["d/", "d/a=1"], &["d=f@5"], &["d/"]);
    assert_eq!(changes(&r), ["replace d > peer"]);
    assert_eq!(r.agreed, [(path("d/a"), None)]);
}

#[test]
fn a_pipe_in_a_directory_that_wins_by_name_goes_nowhere() {
    let r = plan_by(Strategy::Local, &[], &["a/", "a/b=1", "a/p|"], &["a=2"]);
    assert_eq!(changes(&r), ["replace! a > peer", "create a/b > peer"]);
}
