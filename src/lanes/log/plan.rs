//! One step per log: what is here and what is there decide it. Pure.
//!
//! Invariant: only bytes that are proven to continue what is held are appended; everything else keeps what is held as it is.

use std::collections::HashMap;

use crate::lanes::log::held::Mine;
use crate::lanes::log::probe::There;
use crate::model::log_state::{Range, ranges, window};

/// What is to be done with a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing new.
    Nothing {
        held: u64,
    },
    First {
        size: u64,
    },
    Append {
        at: u64,
        size: u64,
    },
    /// Another generation began: the old one is archived.
    Rotated {
        held: u64,
        size: u64,
    },
    /// Its history was rewritten: nothing is touched.
    Refused {
        held: u64,
    },
    /// Somebody edited the local file: it is set aside, and the log is fetched anew.
    Aside {
        size: u64,
    },
    Missing,
    /// Cannot be pulled: why.
    Failed(String),
}

/// The ranges to ask for. What is compared: `local` hashes of the very same ranges.
pub fn wanted(mine: &Mine, salt: u64) -> Vec<Range> {
    match mine {
        Mine::Ours(held) => ranges(*held, salt),
        Mine::Longer { held, size } => {
            let mut all = ranges(*held, salt);
            all.push((*held, size - held));
            all
        }
        // Nothing vouches for it but the other side, so all of it is compared.
        Mine::Unknown(0) => Vec::new(),
        Mine::Unknown(size) => {
            let mut all = vec![window(*size)];
            if all[0] != (0, *size) {
                all.push((0, *size));
            }
            all
        }
        Mine::Nothing | Mine::Edited | Mine::Blocked(_) => Vec::new(),
    }
}

/// Decides. `local` has this host's hashes of the wanted ranges.
pub fn decide(mine: &Mine, there: &There, local: &HashMap<Range, String>) -> Step {
    let file = match there {
        There::Missing => return Step::Missing,
        There::Not(why) => return Step::Failed(format!("it {why}; nothing of it was read")),
        There::File(file) => file,
    };
    let same = |range: &Range| {
        let ours = local.get(range);
        ours.is_some() && ours == file.hashes.get(range)
    };
    let size = file.size;
    match mine {
        Mine::Blocked(what) => Step::Failed(format!("{what} stands where it belongs on this host")),
        Mine::Nothing => Step::First { size },
        Mine::Edited => Step::Aside { size },
        Mine::Unknown(held) => match *held <= size && local.keys().all(same) {
            true => Step::Append { at: *held, size },
            false => Step::Aside { size },
        },
        Mine::Ours(held) => continued(*held, size, local, &same),
        Mine::Longer { held, size: now } => {
            let extra = (*held, now - held);
            if same(&extra) && local.keys().all(same) {
                return Step::Append { at: *now, size };
            }
            // In another generation the unfinished commit may have been of the old one's end; otherwise it is an edit.
            match *held > 0 && !same(&window(*held)) {
                true => Step::Rotated { held: *held, size },
                false => Step::Aside { size },
            }
        }
    }
}

fn continued(
    held: u64,
    size: u64,
    local: &HashMap<Range, String>,
    same: &dyn Fn(&Range) -> bool,
) -> Step {
    if held == 0 {
        return match size {
            0 => Step::Nothing { held },
            _ => Step::Append { at: 0, size },
        };
    }
    if size < held || !same(&window(held)) {
        return Step::Rotated { held, size };
    }
    if !local.keys().all(same) {
        return Step::Refused { held };
    }
    match size == held {
        true => Step::Nothing { held },
        false => Step::Append { at: held, size },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::log::probe::File;

    fn hashes(all: &[(Range, &str)]) -> HashMap<Range, String> {
        all.iter().map(|(r, h)| (*r, (*h).to_owned())).collect()
    }

    fn there(size: u64, all: &[(Range, &str)]) -> There {
        There::File(File {
            size,
            hashes: hashes(all),
            ..File::default()
        })
    }

    #[test]
    fn growth_rotation_and_rewriting_are_told_apart() {
        let (w, all) = (window(100_000), (0, 100_000));
        let mine = Mine::Ours(100_000);
        assert_eq!(wanted(&mine, 3), [w, all]);
        let local = hashes(&[(w, "w"), (all, "a")]);
        for (size, remote, step) in [
            (
                100_000,
                vec![(w, "w"), (all, "a")],
                Step::Nothing { held: 100_000 },
            ),
            (
                100_001,
                vec![(w, "w"), (all, "a")],
                Step::Append {
                    at: 100_000,
                    size: 100_001,
                },
            ),
            (
                99_999,
                vec![],
                Step::Rotated {
                    held: 100_000,
                    size: 99_999,
                },
            ),
            (
                200_000,
                vec![(w, "x"), (all, "y")],
                Step::Rotated {
                    held: 100_000,
                    size: 200_000,
                },
            ),
            (
                200_000,
                vec![(w, "w"), (all, "y")],
                Step::Refused { held: 100_000 },
            ),
        ] {
            assert_eq!(decide(&mine, &there(size, &remote), &local), step);
        }
        assert_eq!(decide(&mine, &There::Missing, &local), Step::Missing);
    }

    #[test]
    fn what_somebody_wrote_here_is_never_taken_for_ours() {
        let extra = (10, 5);
        let mine = Mine::Longer { held: 10, size: 15 };
        let local = hashes(&[((0, 10), "h"), (extra, "mine")]);
        let theirs = |x| there(20, &[((0, 10), "h"), (extra, x)]);
        assert_eq!(
            decide(&mine, &theirs("mine"), &local),
            Step::Append { at: 15, size: 20 }
        );
        assert_eq!(
            decide(&mine, &theirs("other"), &local),
            Step::Aside { size: 20 }
        );
        let unknown = Mine::Unknown(10);
        let local = hashes(&[((0, 10), "h")]);
        assert_eq!(
            decide(&unknown, &there(20, &[((0, 10), "h")]), &local),
            Step::Append { at: 10, size: 20 }
        );
        assert_eq!(
            decide(&unknown, &there(20, &[((0, 10), "x")]), &local),
            Step::Aside { size: 20 }
        );
        assert_eq!(
            decide(&unknown, &there(5, &[]), &local),
            Step::Aside { size: 5 }
        );
    }
}
