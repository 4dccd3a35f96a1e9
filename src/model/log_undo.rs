//! How a pulled log is put back to the bytes it had before a run: what lay there then, what lies there now, and the moves between
//! the two. Pure.
//!
//! Invariants: a file is known by its inode, never by its name; what a run brought gets a name of its own and is never thrown away;
//! planning again in the middle of a half-done plan gives the rest of it.

use serde::{Deserialize, Serialize};

use super::log_state::{Facts, State};

pub const SCHEMA: u32 = 1;
/// In the name of everything that a rollback has set aside.
pub const ASIDE: &[u8] = b".undone.";

/// One file of a log: the live one, an archived generation, an edit that was set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The file's name in the log's directory, in hex: any bytes.
    pub name: String,
    pub facts: Facts,
}

/// What lay there before a run pulled, written down before its first effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    pub schema: u32,
    pub run: String,
    pub peer: String,
    /// The log as the peer names it, in hex.
    pub remote: String,
    /// The live file's path here, in hex.
    pub local: String,
    pub state: Option<State>,
    pub members: Vec<Member>,
    /// What the run left, which is written down beside this; unknown when it died.
    #[serde(skip)]
    pub after: Option<Vec<Member>>,
}

/// One move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Move {
    /// A second name of a file that has its own back already.
    Drop {
        name: String,
    },
    /// What the run brought as a whole file gets another name.
    Aside {
        name: String,
        bytes: u64,
    },
    Rename {
        from: String,
        to: String,
    },
    /// What the run brought behind `size` gets a file of its own.
    Cut {
        name: String,
        size: u64,
        bytes: u64,
    },
    /// The time it had.
    Time {
        name: String,
        mtime_ns: i128,
    },
}

/// What is to be done with one log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    pub moves: Vec<Move>,
    /// Files that somebody changed since the run.
    pub edited: Vec<String>,
    /// Files of which the bytes they had are no longer there.
    pub lost: Vec<String>,
}

impl Plan {
    /// Bytes that would be set aside.
    pub fn bytes(&self) -> u64 {
        self.moves
            .iter()
            .map(|m| match m {
                Move::Aside { bytes, .. } | Move::Cut { bytes, .. } => *bytes,
                _ => 0,
            })
            .sum()
    }

    /// Bytes for which a copy is made while they still lie where they are.
    pub fn room(&self) -> u64 {
        let cut = |m: &Move| match m {
            Move::Cut { bytes, .. } => *bytes,
            _ => 0,
        };
        self.moves.iter().map(cut).sum()
    }
}

fn by_ino(all: &[Member], ino: u64) -> impl Iterator<Item = &Member> {
    all.iter().filter(move |m| m.facts.ino == ino)
}

/// The way back from `now` to `before`. `after` is what the run left, when that is known.
pub fn plan(before: &[Member], after: Option<&[Member]>, now: &[Member]) -> Plan {
    let mut plan = Plan::default();
    let touched = |m: &Member, was: Option<&Member>| {
        let left = after.and_then(|a| by_ino(a, m.facts.ino).next());
        let is = |o: Option<&Member>| {
            o.is_some_and(|o| o.facts.size == m.facts.size && o.facts.mtime_ns == m.facts.mtime_ns)
        };
        // Cut already by a rollback that was killed before it gave it back its time.
        let is_cut = left.zip(was).is_some_and(|(left, was)| {
            m.facts.size == was.facts.size && left.facts.size > was.facts.size
        });
        after.is_some() && !is(left) && !is(was) && !is_cut
    };
    let (mut back, mut cut) = (Vec::new(), Vec::new());
    for was in before {
        let own = by_ino(now, was.facts.ino).find(|m| m.name == was.name);
        let found = own.or_else(|| by_ino(now, was.facts.ino).next());
        let Some(found) = found.filter(|f| f.facts.size >= was.facts.size) else {
            plan.lost.push(was.name.clone());
            continue;
        };
        if touched(found, Some(was)) {
            plan.edited.push(found.name.clone());
        }
        if found.name != was.name {
            back.push(Move::Rename {
                from: found.name.clone(),
                to: was.name.clone(),
            });
        }
        let others = by_ino(now, was.facts.ino).filter(|m| m.name != found.name);
        back.extend(others.map(|m| Move::Drop {
            name: m.name.clone(),
        }));
        if found.facts.size > was.facts.size {
            cut.push(Move::Cut {
                name: was.name.clone(),
                size: was.facts.size,
                bytes: found.facts.size - was.facts.size,
            });
        }
        if found.facts.mtime_ns != was.facts.mtime_ns || found.facts.size > was.facts.size {
            cut.push(Move::Time {
                name: was.name.clone(),
                mtime_ns: was.facts.mtime_ns,
            });
        }
    }
    for new in now {
        if by_ino(before, new.facts.ino).next().is_some() {
            continue;
        }
        if touched(new, None) {
            plan.edited.push(new.name.clone());
        }
        plan.moves.push(Move::Aside {
            name: new.name.clone(),
            bytes: new.facts.size,
        });
    }
    // Names are freed before they are given back.
    plan.moves.append(&mut back);
    plan.moves.append(&mut cut);
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, ino: u64, size: u64, mtime_ns: i128) -> Member {
        Member {
            name: name.into(),
            facts: Facts {
                size,
                ino,
                mtime_ns,
            },
        }
    }

    #[test]
    fn an_append_is_cut_off_and_a_rotation_turned_back() {
        let before = [member("log", 1, 10, 100)];
        let grown = [member("log", 1, 15, 200)];
        let cut = |bytes| {
            vec![
                Move::Cut {
                    name: "log".into(),
                    size: 10,
                    bytes,
                },
                Move::Time {
                    name: "log".into(),
                    mtime_ns: 100,
                },
            ]
        };
        assert_eq!(plan(&before, Some(&grown), &grown).moves, cut(5));
        let turned = [member("log.g0001", 1, 12, 150), member("log", 2, 3, 200)];
        let mut wanted = vec![
            Move::Aside {
                name: "log".into(),
                bytes: 3,
            },
            Move::Rename {
                from: "log.g0001".into(),
                to: "log".into(),
            },
        ];
        wanted.extend(cut(2));
        let found = plan(&before, Some(&turned), &turned);
        assert_eq!(found.moves, wanted);
        assert_eq!((found.bytes(), found.room()), (5, 2));
        assert!(plan(&before, Some(&turned), &before).moves.is_empty());
    }

    #[test]
    fn what_was_touched_since_and_what_is_lost_is_said() {
        let before = [member("log", 1, 10, 100)];
        let after = [member("log", 1, 15, 200)];
        let scribbled = [member("log", 1, 17, 300)];
        assert_eq!(plan(&before, Some(&after), &scribbled).edited, ["log"]);
        // Of a run that died nobody knows what it left.
        assert!(plan(&before, None, &scribbled).edited.is_empty());
        let replaced = [member("log", 9, 17, 300)];
        let found = plan(&before, Some(&after), &replaced);
        assert_eq!(
            (found.edited, found.lost),
            (vec!["log".into()], vec!["log".into()])
        );
    }

    #[test]
    fn a_cut_that_broke_off_before_the_time_was_given_back_is_no_edit() {
        let before = [member("log", 1, 10, 100)];
        let after = [member("log", 1, 15, 200)];
        let cut = [member("log", 1, 10, 300)];
        let time = Move::Time {
            name: "log".into(),
            mtime_ns: 100,
        };
        let found = plan(&before, Some(&after), &cut);
        assert_eq!((found.moves, found.edited), (vec![time], vec![]));
        // A run that only gave it another time cannot have been cut.
        let touched = [member("log", 1, 10, 200)];
        assert_eq!(plan(&before, Some(&touched), &cut).edited, ["log"]);
    }

    #[test]
    fn a_rename_that_broke_off_half_way_is_finished() {
        let before = [member("log", 1, 10, 100)];
        let both = [member("log.g0001", 1, 10, 100), member("log", 1, 10, 100)];
        let drop = Move::Drop {
            name: "log.g0001".into(),
        };
        assert_eq!(plan(&before, None, &both).moves, [drop]);
    }
}
