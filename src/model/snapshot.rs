//! What a run writes beside its backups before its first effect, on both hosts: every path that it is about to change, as it
//! is and as it shall become. With the backups it is all that a rollback needs, also when the run died, and on either host.

use serde::{Deserialize, Serialize};

use super::plan::TruthPlan;
use super::record::{ChangeDoc, LeftDoc, Mode, Record, ResultWord, SCHEMA, TruthLane};

/// The file's name in the folder of the run.
pub const FILE: &str = "snapshot.json";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    pub schema: u32,
    pub run: String,
    pub time: String,
    /// The host that drove; `local` is its side.
    pub site: String,
    pub peer: String,
    /// The generation that was current.
    pub before: Option<String>,
    /// Files in the truth of each side.
    pub files: [usize; 2],
    pub changes: Vec<ChangeDoc>,
    #[serde(default)]
    pub left: Vec<LeftDoc>,
    /// What came of asking the writers to hold still, when there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writer: Option<String>,
}

impl Snapshot {
    pub fn of(run: &str, time: &str, pair: [&str; 2], plan: &TruthPlan) -> Self {
        Self {
            schema: SCHEMA,
            run: run.into(),
            time: time.into(),
            site: pair[0].into(),
            peer: pair[1].into(),
            before: None,
            files: [0, 0],
            changes: plan
                .changes
                .iter()
                .map(|c| ChangeDoc::of(c, ResultWord::Planned))
                .collect(),
            left: plan.left.iter().map(LeftDoc::of).collect(),
            writer: None,
        }
    }

    /// The lane of this run as the host `site` sees it; `None` when it has no part in it.
    pub fn lane(&self, site: &str) -> Option<TruthLane> {
        let is_driver = site == self.site;
        if !is_driver && site != self.peer {
            return None;
        }
        let mut lane = TruthLane::new(if is_driver { &self.peer } else { &self.site });
        lane.changes.clone_from(&self.changes);
        if !is_driver {
            for change in &mut lane.changes {
                change.to = match change.to.as_str() {
                    "peer" => "local".into(),
                    _ => "peer".into(),
                };
            }
        }
        Some(lane)
    }

    /// A record of the run in the place of the one that is not here: nothing is known but what was about to happen.
    pub fn record(&self, site: &str) -> Option<Record> {
        let mut record = Record::open(&self.run, "truth", Mode::Apply, &self.time);
        record
            .lanes
            .push(super::record::Lane::Truth(self.lane(site)?));
        Some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::path::RelPath;
    use crate::model::plan::{Change, Kind, Side};

    #[test]
    fn the_other_host_reads_it_the_other_way_round() {
        let mut plan = TruthPlan::default();
        plan.changes.push(Change {
            path: RelPath::new("a").unwrap(),
            kind: Kind::Delete,
            to: Side::Peer,
            source: None,
            target: None,
            conflict: None,
            moved: false,
        });
        let s = Snapshot::of("R", "2026-01-01T00:00:00Z", ["mac", "balaur"], &plan);
        let seen = |site: &str| s.lane(site).map(|l| (l.peer, l.changes[0].to.clone()));
        assert_eq!(seen("mac"), Some(("balaur".into(), "peer".into())));
        assert_eq!(seen("balaur"), Some(("mac".into(), "local".into())));
        assert_eq!(seen("else"), None);
    }
}
