//! Whether what is held is still a true beginning of what is over there: every byte of it, compared by hash.
//!
//! Invariant: changes nothing, on either side.

use crate::host::link::LinkError;
use crate::host::log_files;
use crate::lanes::flow::Ended;
use crate::lanes::log::held::Mine;
use crate::lanes::log::probe::{self, Item, There};
use crate::lanes::log::run::{Request, not_begun};
use crate::lanes::log::survey::{Seen, Survey, survey};
use crate::model::record::{Action, Lane, LogLane, Outcome};

/// Compares all logs of a peer.
pub fn run(request: &Request) -> Ended {
    match compare(request) {
        Ok(lanes) => Ended {
            lanes: lanes.into_iter().map(Lane::Log).collect(),
            findings: Vec::new(),
            ..Ended::default()
        },
        Err(e) => not_begun(request.peer, &e),
    }
}

fn compare(request: &Request) -> Result<Vec<LogLane>, LinkError> {
    let peer = request.peer;
    request
        .progress
        .phase(&format!("comparing the logs of {}", peer.name), None);
    let Survey { seen, .. } = survey(request)?;
    let items: Vec<Item> = seen
        .iter()
        .map(|s| Item {
            path: s.log.remote.clone(),
            ranges: vec![(0, s.mine.held())],
            ..Item::default()
        })
        .collect();
    let answer = probe::ask(&request.reach.link, &peer.root, "", &[], &items)?;
    let lanes = seen
        .iter()
        .zip(answer.items)
        .map(|(seen, there)| judge(&peer.name, seen, &there))
        .collect();
    request.progress.done();
    Ok(lanes)
}

fn judge(peer: &str, seen: &Seen, there: &There) -> LogLane {
    let mut lane = LogLane::new(peer, &String::from_utf8_lossy(&seen.log.remote));
    lane.local = seen.log.local.to_string_lossy().into_owned();
    let held = seen.mine.held();
    lane.have = held;
    let (outcome, action, why) = match (&seen.trouble, &seen.mine, there) {
        (Some(why), ..) => (Outcome::Failed, Action::None, why.clone()),
        (_, Mine::Edited | Mine::Longer { .. }, _) => (
            Outcome::Partial,
            Action::None,
            "the file here is not what was pulled".into(),
        ),
        (_, Mine::Blocked(what), _) => (
            Outcome::Failed,
            Action::None,
            format!("{what} stands where it belongs on this host"),
        ),
        (_, _, There::Missing) => (
            Outcome::Failed,
            Action::None,
            format!("it is not on {peer}; what was pulled of it stays"),
        ),
        (_, _, There::Not(why)) => (Outcome::Failed, Action::None, format!("it {why}")),
        (_, Mine::Nothing, There::File(file)) if file.size > 0 => (
            Outcome::Pending,
            Action::First,
            "nothing of it has been pulled yet".into(),
        ),
        (_, _, There::File(file)) if file.size < held => (
            Outcome::Pending,
            Action::Rotated,
            "it is shorter there than what is held: another generation began".into(),
        ),
        (_, _, There::File(file)) => {
            lane.bytes = file.size - held;
            let ours = log_files::hash(&seen.log.local, 0, held).ok().flatten();
            match held == 0 || ours.as_ref() == file.hashes.get(&(0, held)) {
                true => (Outcome::InSync, Action::None, String::new()),
                false => (
                    Outcome::Partial,
                    Action::Refused,
                    format!(
                        "the {held} bytes held here are not the beginning of what is on {peer}"
                    ),
                ),
            }
        }
    };
    (lane.outcome, lane.action) = (outcome, action);
    lane.message = Some(why).filter(|w| !w.is_empty());
    lane
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::log::held::Log;
    use crate::lanes::log::probe::File;

    #[test]
    fn what_is_held_is_told_from_what_is_there() {
        let tmp = tempfile::tempdir().unwrap();
        let local = tmp.path().join("app.log");
        std::fs::write(&local, "ten bytes!").unwrap();
        let held = log_files::hash(&local, 0, 10).unwrap().unwrap();
        let there = |size, hash: &str| {
            There::File(File {
                size,
                hashes: [((0, 10), hash.to_owned())].into(),
                ..File::default()
            })
        };
        let longer = Mine::Longer { held: 10, size: 12 };
        for (mine, there, outcome, action, bytes, why) in [
            (
                Mine::Ours(10),
                there(15, &held),
                Outcome::InSync,
                Action::None,
                5,
                "",
            ),
            (
                Mine::Ours(10),
                there(15, "x"),
                Outcome::Partial,
                Action::Refused,
                5,
                "10 bytes held here are not the beginning",
            ),
            (
                Mine::Ours(10),
                there(9, ""),
                Outcome::Pending,
                Action::Rotated,
                0,
                "another generation began",
            ),
            (
                Mine::Nothing,
                there(1, ""),
                Outcome::Pending,
                Action::First,
                0,
                "nothing of it has been pulled",
            ),
            (
                Mine::Nothing,
                there(0, ""),
                Outcome::InSync,
                Action::None,
                0,
                "",
            ),
            (
                Mine::Edited,
                there(15, &held),
                Outcome::Partial,
                Action::None,
                0,
                "not what was pulled",
            ),
            (
                longer,
                there(15, &held),
                Outcome::Partial,
                Action::None,
                0,
                "not what was pulled",
            ),
            (
                Mine::Blocked("a directory"),
                There::Missing,
                Outcome::Failed,
                Action::None,
                0,
                "a directory stands where it belongs",
            ),
            (
                Mine::Ours(10),
                There::Missing,
                Outcome::Failed,
                Action::None,
                0,
                "not on balaur; what was pulled of it stays",
            ),
            (
                Mine::Ours(10),
                There::Not("is a pipe"),
                Outcome::Failed,
                Action::None,
                0,
                "it is a pipe",
            ),
        ] {
            let said = format!("{mine:?} {there:?}");
            let seen = Seen {
                log: Log {
                    remote: b"var/app.log".to_vec(),
                    local: local.clone(),
                    is_named: true,
                },
                mine,
                state: None,
                there: There::Missing,
                local: Default::default(),
                trouble: None,
            };
            let lane = judge("balaur", &seen, &there);
            assert_eq!(
                (lane.outcome, lane.action, lane.bytes),
                (outcome, action, bytes),
                "{said}"
            );
            let message = lane.message.unwrap_or_default();
            assert!(
                message.contains(why) && message.is_empty() == why.is_empty(),
                "{said}: {message}"
            );
            let trouble = Seen {
                trouble: Some("no access".into()),
                ..seen
            };
            let lane = judge("balaur", &trouble, &there);
            assert_eq!(
                (lane.outcome, lane.message.as_deref()),
                (Outcome::Failed, Some("no access")),
                "{said}"
            );
        }
    }
}
