//! What counts as a delete, and how many are too many.

use super::*;

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
