//! The way back: from what a run changed, and what is there now, to what has to be put back. Pure.
//!
//! Invariant: a path that is not what the run made it is never touched, unless it already is what it was before.

use std::cmp::Reverse;

use super::path::RelPath;
use super::plan::Side;
use super::record::{ChangeDoc, EntryDoc, ResultWord, TruthLane};
use super::text::neutral_bytes;
use super::tree::{Stat, What};

/// One path that the run changed, as it has to become again.
#[derive(Debug, Clone, PartialEq)]
pub struct Back {
    pub path: RelPath,
    pub side: Side,
    /// What the run made of it; `None`: it deleted it.
    pub after: Option<EntryDoc>,
    /// What it was before; `None`: nothing was there.
    pub before: Option<EntryDoc>,
}

/// What is at a path now.
#[derive(Debug, Clone, PartialEq)]
pub struct Now {
    pub stat: Stat,
    pub hash: Option<String>,
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
    pub path: RelPath,
}

/// Everything that a lane's run did and that can be taken back; `None` for a name that cannot be read back.
pub fn of_lane(lane: &TruthLane) -> Option<Vec<Back>> {
    let done = lane.changes.iter().filter(|c| c.result == ResultWord::Done);
    done.map(back).collect()
}

fn back(c: &ChangeDoc) -> Option<Back> {
    let bytes = match &c.path_hex {
        Some(hex) => (0..hex.len() / 2)
            .map(|i| u8::from_str_radix(hex.get(i * 2..i * 2 + 2)?, 16).ok())
            .collect::<Option<Vec<u8>>>()?,
        None => c.path.as_bytes().to_vec(),
    };
    Some(Back {
        // A name that leads out of the root is none.
        path: RelPath::new(bytes).filter(|p| !p.is_root())?,
        side: match c.to.as_str() {
            "peer" => Side::Peer,
            _ => Side::Local,
        },
        after: c.source.clone(),
        before: c.target.clone(),
    })
}

pub fn fate(back: &Back, now: Option<&Now>) -> Fate {
    if is(&back.before, now, true) {
        return Fate::Already;
    }
    match is(&back.after, now, false) {
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
            doc.hash.is_some()
                && doc.hash == now.hash
                && same_mode
                && (!exactly || doc.mtime.as_ref() == Some(&time))
        }
        (What::Dir, "directory") => same_mode,
        (What::Link(target), "link") => doc.link.as_deref() == Some(neutral_bytes(target).as_str()),
        _ => false,
    }
}

/// The lines for one side, in an order in which each can be done: what is in the way goes first (the deepest first), then
/// directories come (the highest first), then what lies in them.
pub fn actions(all: &[&Back]) -> Vec<Action> {
    let mut out: Vec<(u8, Reverse<usize>, usize, Action)> = Vec::new();
    for b in all {
        let depth = b.path.ancestors().count();
        let kind = |d: &Option<EntryDoc>| d.as_ref().map(|d| d.r#type.clone());
        let (before, after) = (kind(&b.before), kind(&b.after));
        let mut add = |phase: u8, what: &'static str| {
            let doc = b.before.as_ref();
            // What goes is taken from the bottom up, what comes from the top down.
            let (up, down) = if phase < 2 { (depth, 0) } else { (0, depth) };
            out.push((
                phase,
                Reverse(up),
                down,
                Action {
                    what,
                    mode: doc
                        .and_then(|d| d.mode.clone())
                        .unwrap_or_else(|| "0644".into()),
                    time: doc.and_then(|d| d.mtime.clone()).unwrap_or_default(),
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
            (Some("directory"), Some("directory")) => add(4, "meta"),
            (Some("file"), Some("file")) if same_content => add(4, "meta"),
            (Some("link"), Some("link")) if same_content => {}
            (before, after) => {
                match after {
                    Some("directory") => add(1, "rmdir"),
                    Some(_) if before.is_none() || before == Some("directory") => add(0, "remove"),
                    _ => {}
                }
                match before {
                    Some("directory") => add(2, "mkdir"),
                    Some("link") => add(3, "link"),
                    Some(_) => add(3, "file"),
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
            hash: (kind == "file").then(|| hash.into()),
            link: None,
        }
    }

    fn b(path: &str, before: Option<EntryDoc>, after: Option<EntryDoc>) -> Back {
        Back {
            path: RelPath::new(path).unwrap(),
            side: Side::Peer,
            before,
            after,
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
        let lines: Vec<String> = actions(&all.iter().collect::<Vec<_>>())
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
                "file edited",
                "file swap",
                "file old/g",
                "meta moded"
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
        assert_eq!(fate(&back, Some(&now("new"))), Fate::Restore);
        assert_eq!(fate(&back, Some(&now("old"))), Fate::Already);
        assert_eq!(fate(&back, Some(&now("mine"))), Fate::Edited);
        assert_eq!(fate(&back, None), Fate::Edited);
        let deleted = b("f", Some(doc("file", "old", "0644")), None);
        assert_eq!(fate(&deleted, None), Fate::Restore);
        assert_eq!(fate(&deleted, Some(&now("born"))), Fate::Edited);
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
        assert_eq!(of_lane(&lane), None);
    }
}
