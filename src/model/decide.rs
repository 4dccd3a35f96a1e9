//! One path, three versions: what this side has, what the other has, what both last had. Who decides?
//!
//! Invariants: content is judged by hash, never by time alone; an edit beats a delete, a touch and a chmod; what cannot be
//! decided by the policy without a guess is left for a person.

use super::entry::Entry;
use super::plan::{Decided, Side};
use super::policy::Strategy;
use super::time::rfc3339_ns;

/// What may be believed about clocks when times decide.
#[derive(Debug, Clone, Default)]
pub struct Clocks {
    /// Set when the two clocks differ by more than the policy allows: in words, by how much.
    pub apart: Option<String>,
    /// Now, by each host's own clock, plus the tolerance: a later mtime is in the future.
    pub latest_local_ns: i128,
    pub latest_peer_ns: i128,
}

/// Everything that decisions rest on beside the three versions.
#[derive(Debug, Clone)]
pub struct Judge {
    pub strategy: Strategy,
    pub permissions: bool,
    pub clocks: Clocks,
    pub local_name: String,
    pub peer_name: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Both sides have the same.
    Equal,
    /// One side's version goes to side `to`.
    Flow {
        to: Side,
        conflict: Option<(Decided, String)>,
    },
    Left {
        why: String,
        conflict: bool,
    },
}

fn flow(to: Side) -> Decision {
    Decision::Flow { to, conflict: None }
}

impl Judge {
    /// Equal in everything that the policy carries.
    pub fn same(&self, a: &Entry, b: &Entry) -> bool {
        a.same_content(b) && a.same_time(b) && (!self.permissions || a.mode() == b.mode())
    }

    /// What a change of times or modes alone had to bring about: the engine leaves a time that it takes for equal.
    pub fn same_as_carried(&self, a: &Entry, b: &Entry) -> bool {
        a.same_content(b)
            && a.engine_sees_same_time(b)
            && (!self.permissions || a.mode() == b.mode())
    }

    pub fn decide(
        &self,
        local: Option<&Entry>,
        peer: Option<&Entry>,
        base: Option<&Entry>,
    ) -> Decision {
        let (a, b) = match (local, peer) {
            (None, None) => return Decision::Equal,
            (Some(a), Some(b)) if self.same(a, b) => return Decision::Equal,
            pair => pair,
        };
        let edited = |now: Option<&Entry>| match (now, base) {
            (None, None) => false,
            (Some(x), Some(s)) => !x.same_content(s),
            _ => true,
        };
        match (edited(a), edited(b)) {
            (true, false) => flow(Side::Peer),
            (false, true) => flow(Side::Local),
            (true, true) => self.contested(a, b),
            (false, false) => self.meta(a, b, base),
        }
    }

    fn contested(&self, a: Option<&Entry>, b: Option<&Entry>) -> Decision {
        let (Some(x), Some(y)) = (a, b) else {
            return self.edit_and_delete(a.is_some());
        };
        if x.same_content(y) {
            return self.meta(a, b, None);
        }
        match self.strategy {
            Strategy::Manual => {
                left("changed on both sides; the policy says that a person decides")
            }
            Strategy::Newer if x.is_dir() != y.is_dir() => left(&format!(
                "it is a {} on {} and a {} on {}",
                x.word(),
                self.local_name,
                y.word(),
                self.peer_name
            )),
            Strategy::Local => {
                self.won(Side::Local, Decided::Local, "the policy prefers this host")
            }
            Strategy::Peer => self.won(Side::Peer, Decided::Peer, "the policy prefers the peer"),
            Strategy::Newer => self.newer(x, y),
        }
    }

    fn edit_and_delete(&self, local_lives: bool) -> Decision {
        let alive = if local_lives { Side::Local } else { Side::Peer };
        match self.strategy {
            Strategy::Manual => left(
                "edited on one side, deleted on the other; the policy says that a person decides",
            ),
            Strategy::Local => {
                self.won(Side::Local, Decided::Local, "the policy prefers this host")
            }
            Strategy::Peer => self.won(Side::Peer, Decided::Peer, "the policy prefers the peer"),
            Strategy::Newer => self.won(alive, Decided::Newer, "an edit beats a delete"),
        }
    }

    fn newer(&self, x: &Entry, y: &Entry) -> Decision {
        let (Some(tx), Some(ty)) = (x.mtime_ns(), y.mtime_ns()) else {
            return left("changed on both sides and without times to compare");
        };
        if let Some(apart) = &self.clocks.apart {
            return left(&format!(
                "changed on both sides, and {apart}: times cannot decide"
            ));
        }
        for (t, latest, host) in [
            (tx, self.clocks.latest_local_ns, &self.local_name),
            (ty, self.clocks.latest_peer_ns, &self.peer_name),
        ] {
            if t > latest {
                return left(&format!(
                    "changed on both sides, and the time on {host} ({}) lies in the future",
                    rfc3339_ns(t)
                ));
            }
        }
        let (winner, by) = match tx.cmp(&ty) {
            std::cmp::Ordering::Equal => {
                return left("changed on both sides at the very same time");
            }
            std::cmp::Ordering::Greater => (Side::Local, tx - ty),
            std::cmp::Ordering::Less => (Side::Peer, ty - tx),
        };
        let why = format!("{} is newer by {}", self.name(winner), span(by));
        self.won(winner, Decided::Newer, &why)
    }

    /// The content is the same on both sides; times or modes differ.
    fn meta(&self, a: Option<&Entry>, b: Option<&Entry>, base: Option<&Entry>) -> Decision {
        let (Some(x), Some(y)) = (a, b) else {
            return Decision::Equal;
        };
        let modes_differ = self.permissions && x.mode() != y.mode();
        // A time that the engine would not carry must not stand in a plan: it would fail in every run.
        let times_differ = !x.engine_sees_same_time(y);
        if let Some(s) = base {
            let chmod = |e: &Entry| self.permissions && e.mode() != s.mode();
            let touch = |e: &Entry| !e.engine_sees_same_time(s);
            match (chmod(x), chmod(y)) {
                (true, false) => return flow(Side::Peer),
                (false, true) => return flow(Side::Local),
                (false, false) if times_differ => match (touch(x), touch(y)) {
                    (true, false) => return flow(Side::Peer),
                    (false, true) => return flow(Side::Local),
                    _ => {}
                },
                _ => {}
            }
        }
        match (x.mtime_ns(), y.mtime_ns()) {
            (Some(tx), Some(ty)) if times_differ || (modes_differ && !x.same_time(y)) => {
                flow(if tx > ty { Side::Peer } else { Side::Local })
            }
            _ if modes_differ => self.stricter(x, y),
            _ => Decision::Equal,
        }
    }

    /// Two modes, no base, no times: the one that lets fewer others in, if the owner's own bits agree.
    fn stricter(&self, x: &Entry, y: &Entry) -> Decision {
        let (mx, my) = (x.mode().unwrap_or(0), y.mode().unwrap_or(0));
        if mx & 0o700 != my & 0o700 && !x.is_dir() {
            return left(&format!(
                "the mode is {mx:04o} on {} and {my:04o} on {}, and nothing says which is meant",
                self.local_name, self.peer_name
            ));
        }
        let open = |m: u32| ((m & 0o077).count_ones(), m);
        flow(if open(mx) < open(my) {
            Side::Peer
        } else {
            Side::Local
        })
    }

    fn won(&self, winner: Side, how: Decided, why: &str) -> Decision {
        Decision::Flow {
            to: winner.other(),
            conflict: Some((how, why.to_owned())),
        }
    }

    fn name(&self, side: Side) -> &str {
        match side {
            Side::Local => &self.local_name,
            Side::Peer => &self.peer_name,
        }
    }
}

fn left(why: &str) -> Decision {
    Decision::Left {
        why: why.to_owned(),
        conflict: true,
    }
}

/// A length of time for people.
fn span(ns: i128) -> String {
    let s = ns / 1_000_000_000;
    match s {
        0 => format!("{:.3} s", ns as f64 / 1e9),
        1..=119 => format!("{:.1} s", ns as f64 / 1e9),
        120..=7199 => format!("{} min", s / 60),
        7200..=172_799 => format!("{} h", s / 3600),
        _ => format!("{} days", s / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::entry::File;

    const S: i128 = 1_000_000_000;

    fn judge(strategy: Strategy) -> Judge {
        Judge {
            strategy,
            permissions: true,
            clocks: Clocks {
                apart: None,
                latest_local_ns: 1_000 * S,
                latest_peer_ns: 1_000 * S,
            },
            local_name: "mac".into(),
            peer_name: "balaur".into(),
        }
    }

    fn file(content: &str, at: i128, mode: u32) -> Entry {
        Entry::File(File {
            size: content.len() as u64,
            mode,
            mtime_ns: at,
            hash: content.into(),
        })
    }

    fn to(d: &Decision) -> Option<Side> {
        match d {
            Decision::Flow { to, .. } => Some(*to),
            _ => None,
        }
    }

    #[test]
    fn one_sided_changes_flow_whatever_their_times() {
        let j = judge(Strategy::Newer);
        let base = file("base", 500 * S, 0o644);
        let old_edit = file("edit", 100 * S, 0o644);
        let future = file("edit", 9_000 * S, 0o644);
        for edit in [&old_edit, &future] {
            assert_eq!(
                to(&j.decide(Some(edit), Some(&base), Some(&base))),
                Some(Side::Peer)
            );
            assert_eq!(
                to(&j.decide(Some(&base), Some(edit), Some(&base))),
                Some(Side::Local)
            );
        }
        assert_eq!(
            to(&j.decide(None, Some(&base), Some(&base))),
            Some(Side::Peer)
        );
        assert_eq!(to(&j.decide(Some(&base), None, None)), Some(Side::Peer));
    }

    #[test]
    fn a_touch_or_a_chmod_never_beats_an_edit() {
        let j = judge(Strategy::Newer);
        let base = file("base", 500 * S, 0o644);
        let edit = file("edit", 400 * S, 0o644);
        let touch = file("base", 900 * S, 0o644);
        let chmod = file("base", 500 * S, 0o755);
        for weak in [&touch, &chmod] {
            assert_eq!(
                to(&j.decide(Some(weak), Some(&edit), Some(&base))),
                Some(Side::Local)
            );
            assert_eq!(
                to(&j.decide(Some(&edit), Some(weak), Some(&base))),
                Some(Side::Peer)
            );
        }
    }

    #[test]
    fn newer_wins_to_the_nanosecond_and_ties_are_left() {
        let j = judge(Strategy::Newer);
        let base = file("base", 1, 0o644);
        let x = file("x", 500 * S + 1, 0o644);
        let y = file("y", 500 * S, 0o644);
        assert_eq!(
            to(&j.decide(Some(&x), Some(&y), Some(&base))),
            Some(Side::Peer)
        );
        let z = file("z", 500 * S, 0o644);
        assert!(matches!(
            j.decide(Some(&z), Some(&y), None),
            Decision::Left { conflict: true, .. }
        ));
    }

    #[test]
    fn clocks_apart_and_times_in_the_future_decide_nothing() {
        let mut j = judge(Strategy::Newer);
        let x = file("x", 2_000 * S, 0o644);
        let y = file("y", 500 * S, 0o644);
        assert!(matches!(
            j.decide(Some(&x), Some(&y), None),
            Decision::Left { .. }
        ));
        j.clocks.apart = Some("the clocks differ by 9 s".into());
        let x = file("x", 600 * S, 0o644);
        assert!(matches!(
            j.decide(Some(&x), Some(&y), None),
            Decision::Left { .. }
        ));
    }

    #[test]
    fn an_edit_beats_a_delete_unless_the_policy_names_a_winner() {
        let base = file("base", 1, 0o644);
        let edit = file("edit", 2, 0o644);
        let j = judge(Strategy::Newer);
        assert_eq!(
            to(&j.decide(None, Some(&edit), Some(&base))),
            Some(Side::Local)
        );
        assert_eq!(
            to(&judge(Strategy::Local).decide(None, Some(&edit), Some(&base))),
            Some(Side::Peer)
        );
        assert!(matches!(
            judge(Strategy::Manual).decide(None, Some(&edit), Some(&base)),
            Decision::Left { .. }
        ));
    }

    #[test]
    fn equal_edits_are_no_conflict_and_the_newer_time_travels() {
        let j = judge(Strategy::Manual);
        let base = file("base", 1, 0o644);
        let x = file("same", 5 * S, 0o644);
        let y = file("same", 9 * S, 0o644);
        assert_eq!(j.decide(Some(&x), Some(&x), Some(&base)), Decision::Equal);
        assert_eq!(
            j.decide(Some(&x), Some(&y), Some(&base)),
            Decision::Flow {
                to: Side::Local,
                conflict: None
            }
        );
    }

    #[test]
    fn of_equal_contents_the_changed_mode_or_time_travels() {
        let f = |at: i128, mode| file("c", at * S, mode);
        let d = |mode| Entry::Dir { mode };
        let (to_local, to_peer) = (Some(Side::Local), Some(Side::Peer));
        for (local, peer, base, expected) in [
            // Against the base, whoever changed something; also where the later time says otherwise.
            (f(5, 0o755), f(5, 0o644), Some(f(5, 0o644)), to_peer),
            (f(5, 0o755), f(50, 0o644), Some(f(5, 0o644)), to_peer),
            (f(50, 0o644), f(5, 0o644), Some(f(50, 0o644)), to_local),
            // Both are nearer to the base than the engine can tell, but not to each other.
            (f(1, 0o644), f(3, 0o644), Some(f(2, 0o644)), to_local),
            // A second is nothing that the engine would carry, whatever the base says.
            (f(2, 0o644), f(3, 0o644), Some(f(4, 0o644)), None),
            // Without a base, or where both changed it, the later one.
            (f(50, 0o644), f(5, 0o644), None, to_peer),
            (f(2, 0o755), f(3, 0o600), None, to_local),
            (f(5, 0o755), f(9, 0o600), Some(f(5, 0o644)), to_local),
            // At the same time, the one that lets fewer others in.
            (f(5, 0o603), f(5, 0o640), None, to_local),
            (f(5, 0o640), f(5, 0o600), Some(f(5, 0o644)), to_local),
            (d(0o755), d(0o700), None, to_local),
            (d(0o700), d(0o500), None, to_local),
        ] {
            let j = judge(Strategy::Newer);
            let here = j.decide(Some(&local), Some(&peer), base.as_ref());
            let there = j.decide(Some(&peer), Some(&local), base.as_ref());
            assert_eq!(to(&here), expected, "{local:?} {peer:?} {base:?}");
            assert_eq!(to(&there), expected.map(Side::other), "mirrored");
            assert!(!matches!(here, Decision::Left { .. }));
        }
    }

    #[test]
    fn modes_whose_owner_s_bits_differ_are_left_and_without_permissions_all_are_alike() {
        let (x, y) = (file("c", S, 0o755), file("c", S, 0o600));
        let mut j = judge(Strategy::Newer);
        assert_eq!(
            j.decide(Some(&x), Some(&y), None),
            left("the mode is 0755 on mac and 0600 on balaur, and nothing says which is meant")
        );
        j.permissions = false;
        for base in [None, Some(&x), Some(&y)] {
            assert_eq!(j.decide(Some(&x), Some(&y), base), Decision::Equal);
        }
    }

    #[test]
    fn a_time_that_the_engine_does_not_carry_is_the_same_only_as_carried() {
        for (other, permissions, same, as_carried) in [
            (file("c", 5 * S, 0o644), true, true, true),
            (file("c", 6 * S, 0o644), true, false, true),
            (file("c", 8 * S, 0o644), true, false, false),
            (file("c", 5 * S, 0o600), true, false, false),
            (file("c", 5 * S, 0o600), false, true, true),
            (file("x", 5 * S, 0o644), true, false, false),
            (file("x", 5 * S, 0o644), false, false, false),
        ] {
            let mine = file("c", 5 * S, 0o644);
            let mut j = judge(Strategy::Newer);
            j.permissions = permissions;
            let is = (j.same(&mine, &other), j.same_as_carried(&mine, &other));
            assert_eq!(is, (same, as_carried), "{other:?} {permissions}");
        }
    }

    #[test]
    fn a_decided_or_left_conflict_says_why() {
        let j = judge(Strategy::Newer);
        let (x, y) = (file("x", 500 * S, 0o644), file("y", 380 * S, 0o644));
        let newer = |to, name: &str| Decision::Flow {
            to,
            conflict: Some((Decided::Newer, format!("{name} is newer by 2 min"))),
        };
        assert_eq!(j.decide(Some(&x), Some(&y), None), newer(Side::Peer, "mac"));
        assert_eq!(
            j.decide(Some(&y), Some(&x), None),
            newer(Side::Local, "balaur")
        );
        let dir = Entry::Dir { mode: 0o755 };
        assert_eq!(
            j.decide(Some(&x), Some(&dir), None),
            left("it is a file on mac and a directory on balaur")
        );
    }

    #[test]
    fn the_latest_time_is_not_yet_in_the_future() {
        let j = judge(Strategy::Newer);
        let y = file("y", 500 * S, 0o644);
        for (at, expected) in [(1_000 * S, Some(Side::Peer)), (1_000 * S + 1, None)] {
            let x = file("x", at, 0o644);
            assert_eq!(to(&j.decide(Some(&x), Some(&y), None)), expected, "{at}");
        }
    }

    #[test]
    fn a_span_is_told_in_the_unit_that_people_would_use() {
        for (ns, text) in [
            (S / 2, "0.500 s"),
            (S, "1.0 s"),
            (119 * S + S / 2, "119.5 s"),
            (120 * S, "2 min"),
            (7_199 * S, "119 min"),
            (7_200 * S, "2 h"),
            (172_799 * S, "47 h"),
            (172_800 * S, "2 days"),
        ] {
            assert_eq!(span(ns), text);
        }
    }

    #[test]
    fn a_decision_does_not_depend_on_which_host_drives() {
        let entries = [
            None,
            Some(file("a", 5 * S, 0o644)),
            Some(file("b", 6 * S, 0o600)),
            Some(file("a", 6 * S, 0o755)),
            Some(Entry::Dir { mode: 0o755 }),
            Some(Entry::Dir { mode: 0o700 }),
            Some(Entry::Link {
                target: b"t".to_vec(),
                mtime_ns: 4 * S,
            }),
        ];
        let j = judge(Strategy::Newer);
        for a in &entries {
            for b in &entries {
                for s in &entries {
                    let here = j.decide(a.as_ref(), b.as_ref(), s.as_ref());
                    let there = j.decide(b.as_ref(), a.as_ref(), s.as_ref());
                    match (&here, &there) {
                        (Decision::Flow { to: x, .. }, Decision::Flow { to: y, .. }) => {
                            assert_eq!(*x, y.other(), "{a:?} {b:?} {s:?}");
                        }
                        (x, y) => assert_eq!(
                            std::mem::discriminant(x),
                            std::mem::discriminant(y),
                            "{a:?} {b:?} {s:?}"
                        ),
                    }
                }
            }
        }
    }
}
