//! The way back: from what runs changed, and what is there now, to what has to be put back. Pure.
//!
//! Invariant: a path that is not what the run made it is never touched, unless it already is what it was before.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::entry::ContentHash;
use super::path::RelPath;
use super::plan::Side;
use super::record::{ChangeDoc, EntryDoc, ResultWord, TruthLane};
use super::text::{neutral_bytes, unhex};
use super::tree::{Stat, What};

/// One path that runs changed, as it has to become again.
#[derive(Debug, Clone, PartialEq)]
pub struct Back {
    pub path: RelPath,
    pub side: Side,
    /// What the run made of it; `None`: it deleted it.
    pub after: Option<EntryDoc>,
    /// What it was before; `None`: nothing was there.
    pub before: Option<EntryDoc>,
    /// The run in whose folder the earlier version lies.
    pub from: String,
    /// Between two of the runs somebody changed it: the way back ends there.
    pub cut: bool,
    /// The run died, and for a moment of it nothing was here: the engine takes away what it replaces by something of another kind.
    /// A user who took it away since cannot be told from that; what he gets back is the version before the run.
    pub gap: bool,
}

/// What is at a path now.
#[derive(Debug, Clone, PartialEq)]
pub struct Now {
    pub stat: Stat,
    pub hash: Option<ContentHash>,
}

/// What is to be done about a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Restore,
    /// It is as it was before the run already.
    Already,
    /// Somebody changed it since.
    Edited,
}

/// One line for the script that puts things back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    pub what: &'static str,
    pub mode: String,
    pub time: String,
    /// The run in whose folder the content lies.
    pub from: String,
    pub path: RelPath,
}

/// Everything that a run did to one peer and that can be taken back; `None` for a name that cannot be read back. Of a run that
/// died nobody knows how far it came: each of its changes may have been made.
pub fn of_lane(run: &str, lane: &TruthLane, died: bool) -> Option<Vec<Back>> {
    let made = lane
        .changes
        .iter()
        .filter(|c| c.result == ResultWord::Done || (died && c.result != ResultWord::Skipped));
    made.map(|c| back(run, c, died)).collect()
}

fn back(run: &str, c: &ChangeDoc, died: bool) -> Option<Back> {
    let kind = |d: &Option<Box<EntryDoc>>| d.as_ref().map(|d| d.r#type.clone());
    let (before, after) = (kind(&c.target), kind(&c.source));
    let bytes = match &c.path_hex {
        Some(hex) => unhex(hex)?,
        None => c.path.as_bytes().to_vec(),
    };
    Some(Back {
        // A name that leads out of the root is none.
        path: RelPath::new(bytes).filter(|p| !p.is_root())?,
        side: match c.to.as_str() {
            "peer" => Side::Peer,
            _ => Side::Local,
        },
        after: c.source.as_deref().cloned(),
        before: c.target.as_deref().cloned(),
        from: run.to_owned(),
        cut: false,
        gap: died && before.is_some() && after.is_some() && before != after,
    })
}

/// Several runs taken back at once, given newest first: of each path the newest tells what is there, the oldest what to put
/// back. Where an older run did not leave what a newer one found, somebody's edit lay in between, and the way back ends at it.
pub fn compose(runs: Vec<Vec<Back>>) -> Vec<Back> {
    let mut all: BTreeMap<(bool, RelPath), Back> = BTreeMap::new();
    for older in runs.into_iter().flatten() {
        let key = (older.side == Side::Peer, older.path.clone());
        match all.get_mut(&key) {
            None => {
                all.insert(key, older);
            }
            Some(newer) if newer.cut => {}
            Some(newer) if same(&newer.before, &older.after) => {
                newer.before = older.before;
                newer.from = older.from;
            }
            // It broke off before it came to this path, or somebody had put it back already.
            Some(newer) if same(&newer.before, &older.before) => {}
            Some(newer) => newer.cut = true,
        }
    }
    all.into_values().collect()
}

/// Whether two documents tell of the same version, up to its times.
fn same(a: &Option<EntryDoc>, b: &Option<EntryDoc>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => {
            a.r#type == b.r#type && a.hash == b.hash && a.link == b.link && a.mode == b.mode
        }
        (a, b) => a.is_none() && b.is_none(),
    }
}

/// `resumed`: an earlier attempt to take the same run back broke off on this host, so what it may have left half-done (gone
/// already, or back but for its mode and time) is not taken for an edit.
pub fn fate(back: &Back, now: Option<&Now>, resumed: bool) -> Fate {
    if is(&back.before, now, true) {
        return Fate::Already;
    }
    let half_done = || match (&back.before, now) {
        (Some(_), None) => true,
        (Some(b), Some(n)) if b.r#type == "directory" => n.stat.what == What::Dir,
        (Some(b), Some(n)) => b.r#type == "file" && n.hash.is_some_and(|h| h.is(b.hash.as_deref())),
        (None, _) => false,
    };
    let between = back.gap && now.is_none();
    match is(&back.after, now, false) || between || (resumed && half_done()) {
        true => Fate::Restore,
        false => Fate::Edited,
    }
}

/// Whether what is there is this version. Exactly, or as the engine carried it: its times lose what is below a microsecond, and
/// a time alone that it takes for equal is not carried at all.
fn is(version: &Option<EntryDoc>, now: Option<&Now>, exactly: bool) -> bool {
    let (Some(doc), Some(now)) = (version, now) else {
        return version.is_none() && now.is_none();
    };
    let mode = format!("{:04o}", now.stat.mode);
    let same_mode = doc.mode.as_ref().is_none_or(|m| *m == mode);
    match (&now.stat.what, doc.r#type.as_str()) {
        (What::File, "file") => {
            let time = super::time::rfc3339_ns(now.stat.mtime_ns);
            now.hash.is_some_and(|h| h.is(doc.hash.as_deref()))
                && same_mode
                && (!exactly || doc.mtime.as_ref() == Some(&time))
        }
        (What::Dir, "directory") => same_mode,
        (What::Link(target), "link") => doc.link.as_deref() == Some(neutral_bytes(target).as_str()),
        _ => false,
    }
}

/// The phases of putting back: each can be done when those before it are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// Closed directories become writable for what follows.
    Open,
    Remove,
    RemoveDir,
    MakeDir,
    Lay,
    /// Modes and times, from the bottom up: a directory is closed when all below it is done.
    Finish,
}

/// The lines for one side, in an order in which each can be done. `kept` tells what the folder of the run holds of a path: where
/// that has the right mode and time, nothing is left to mend.
pub fn actions<'a>(all: &[&Back], kept: &dyn Fn(&Back) -> Option<&'a Now>) -> Vec<Action> {
    let mut out: Vec<(Phase, Reverse<usize>, usize, Action)> = Vec::new();
    for b in all {
        let depth = b.path.ancestors().count();
        let kind = |d: &Option<EntryDoc>| d.as_ref().map(|d| d.r#type.clone());
        let (before, after) = (kind(&b.before), kind(&b.after));
        let mut add = |phase: Phase, what: &'static str| {
            let doc = b.before.as_ref();
            let up = matches!(phase, Phase::Remove | Phase::RemoveDir | Phase::Finish);
            // Neighbours are done together, so nothing stands in a line that its action has no use for.
            let with_mode = what == "meta";
            let with_time = with_mode && doc.is_some_and(|d| d.r#type == "file");
            let with_time = with_time || what == "linktime";
            out.push((
                phase,
                Reverse(if up { depth } else { 0 }),
                if up { 0 } else { depth },
                Action {
                    what,
                    mode: doc
                        .and_then(|d| d.mode.clone())
                        .filter(|_| with_mode)
                        .unwrap_or_default(),
                    time: doc
                        .and_then(|d| d.mtime.clone())
                        .filter(|_| with_time)
                        .unwrap_or_default(),
                    from: b.from.clone(),
                    path: b.path.clone(),
                },
            ));
        };
        let same_content = b
            .before
            .as_ref()
            .zip(b.after.as_ref())
            .is_some_and(|(x, y)| x.r#type == y.r#type && x.hash == y.hash && x.link == y.link);
        match (before.as_deref(), after.as_deref()) {
            (Some("directory"), Some("directory")) => {
                add(Phase::Open, "open");
                add(Phase::Finish, "meta");
            }
            (Some("file"), Some("file")) if same_content => add(Phase::Finish, "meta"),
            (Some("link"), Some("link")) if same_content => {}
            (before, after) => {
                match after {
                    Some("directory") => add(Phase::RemoveDir, "rmdir"),
                    Some(_) if before.is_none() || before == Some("directory") => {
                        add(Phase::Remove, "remove");
                    }
                    _ => {}
                }
                match before {
                    Some("directory") => {
                        add(Phase::MakeDir, "mkdir");
                        add(Phase::Finish, "meta");
                    }
                    Some(kind) => {
                        add(Phase::Lay, "lay");
                        let whole = kept(b).is_some_and(|k| is(&b.before, Some(k), true));
                        match kind {
                            "file" if !whole => add(Phase::Finish, "meta"),
                            // The engine's copy of a link has a time of its own.
                            "link" => add(Phase::Finish, "linktime"),
                            _ => {}
                        }
                    }
                    None => {}
                }
            }
        }
    }
    out.sort_by(|a, b| (a.0, a.1, a.2, &a.3.path).cmp(&(b.0, b.1, b.2, &b.3.path)));
    out.into_iter().map(|(_, _, _, action)| action).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doc(kind: &str, hash: &str, mode: &str) -> EntryDoc {
        EntryDoc {
            r#type: kind.into(),
            size: None,
            mode: Some(mode.into()),
            mtime: Some("2025-10-07T12:00:00.000000001Z".into()),
            hash: (kind == "file").then(|| ContentHash::from(hash).to_string()),
            link: None,
        }
    }

    fn b(path: &str, before: Option<EntryDoc>, after: Option<EntryDoc>) -> Back {
        Back {
            path: RelPath::new(path).unwrap(),
            side: Side::Peer,
            before,
            after,
            from: "R".into(),
            cut: false,
            gap: false,
        }
    }

    #[test]
    fn what_goes_goes_from_the_bottom_and_what_comes_comes_from_the_top() {
        let file = || Some(doc("file", "h", "0644"));
        let dir = || Some(doc("directory", "", "0755"));
        let all = [
            b("new", None, dir()),
            b("new/deep", None, dir()),
            b("new/deep/f", None, file()),
            b("old", dir(), None),
            b("old/g", file(), None),
            b("edited", Some(doc("file", "x", "0600")), file()),
            b("moded", Some(doc("file", "h", "0755")), file()),
            b("swap", file(), dir()),
            b("swap/in", None, file()),
        ];
        let lines: Vec<String> = actions(&all.iter().collect::<Vec<_>>(), &|_| None)
            .iter()
            .map(|a| format!("{} {}", a.what, a.path))
            .collect();
        assert_eq!(
            lines,
            [
                "remove new/deep/f",
                "remove swap/in",
                "rmdir new/deep",
                "rmdir new",
                "rmdir swap",
                "mkdir old",
                "lay edited",
                "lay swap",
                "lay old/g",
                "meta old/g",
                "meta edited",
                "meta moded",
                "meta old",
                "meta swap"
            ]
        );
    }

    #[test]
    fn an_edit_since_the_run_is_never_taken_for_its_work() {
        let back = b(
            "f",
            Some(doc("file", "old", "0644")),
            Some(doc("file", "new", "0644")),
        );
        let now = |hash: &str| Now {
            stat: Stat {
                what: What::File,
                size: 1,
                mtime_ns: 1_759_838_400_000_000_001,
                ctime_ns: 0,
                ino: 1,
                mode: 0o644,
            },
            hash: Some(hash.into()),
        };
        for resumed in [false, true] {
            assert_eq!(fate(&back, Some(&now("new")), resumed), Fate::Restore);
            assert_eq!(fate(&back, Some(&now("old")), resumed), Fate::Already);
            assert_eq!(fate(&back, Some(&now("mine")), resumed), Fate::Edited);
        }
        assert_eq!(fate(&back, None, false), Fate::Edited);
        let deleted = b("f", Some(doc("file", "old", "0644")), None);
        assert_eq!(fate(&deleted, None, false), Fate::Restore);
        assert_eq!(fate(&deleted, Some(&now("born")), false), Fate::Edited);
        // What an attempt that broke off had taken away already is not somebody's wish.
        assert_eq!(fate(&back, None, true), Fate::Restore);
        // Nor is what a run that died had taken away to put something of another kind there.
        let gap = Back {
            gap: true,
            ..b("f", Some(doc("directory", "", "0755")), back.after.clone())
        };
        assert_eq!(fate(&gap, None, false), Fate::Restore);
        assert_eq!(fate(&gap, Some(&now("mine")), false), Fate::Edited);
    }

    #[test]
    fn several_runs_go_back_to_the_oldest_and_stop_at_an_edit_between_them() {
        let v = |hash: &str| Some(doc("file", hash, "0644"));
        let of = |run: &str, before: &str, after: &str| Back {
            from: run.into(),
            ..b("f", v(before), v(after))
        };
        let whole = compose(vec![
            vec![of("2", "one", "two")],
            vec![of("1", "zero", "one")],
        ]);
        let seen = |b: &Back| (b.before.clone(), b.after.clone(), b.from.clone(), b.cut);
        assert_eq!(seen(&whole[0]), (v("zero"), v("two"), "1".into(), false));
        let cut = compose(vec![
            vec![of("2", "mine", "two")],
            vec![of("1", "zero", "one")],
        ]);
        assert_eq!(seen(&cut[0]), (v("mine"), v("two"), "2".into(), true));
    }

    #[test]
    fn a_name_that_leads_out_of_the_root_is_refused_as_a_whole() {
        let mut lane = TruthLane::new("balaur");
        let mut change = crate::model::record::ChangeDoc::of(
            &crate::model::plan::Change {
                path: RelPath::new("a").unwrap(),
                kind: crate::model::plan::Kind::Delete,
                to: Side::Peer,
                source: None,
                target: None,
                conflict: None,
                moved: false,
            },
            ResultWord::Done,
        );
        change.path = "../../etc/passwd".into();
        lane.changes = vec![change];
        assert_eq!(of_lane("R", &lane, false), None);
    }
}
