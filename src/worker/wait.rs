//! Waiting between cycles: for the turn, for changed files that have come to rest, for a changed policy, for a wish to stop.
//!
//! Invariants: both clocks are watched, so that a machine that slept is not behind its turn; where events cannot be heard the
//! turns alone are taken, which is said once.

use std::collections::{BTreeSet, HashSet};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::changed_stamp;
use crate::host::events::{self, Events, Heard};
use crate::host::{clock, signals, supervisor};
use crate::model::path::RelPath;
use crate::model::policy::Policy;
use crate::model::rules::Verdict;

/// More changed paths than this are a reason to look at everything.
const MOST: usize = 500;
/// How often the things that make no event are looked at.
const TICK: Duration = Duration::from_millis(200);

pub enum Woken {
    Stop,
    Turn,
    /// Files changed; which, unless that is not known.
    Changes(Option<Vec<RelPath>>),
    Policy,
}

pub struct Wait {
    events: Option<Events>,
    changed: BTreeSet<RelPath>,
    /// Something changed of which the place is not known.
    unknown: bool,
    rest_since: Instant,
    /// Changes wait until then.
    not_before: Option<Instant>,
    turn: DateTime<Utc>,
    policy: Option<(u64, i128)>,
}

impl Wait {
    pub fn new(policy: &Policy) -> Self {
        let mut wait = Self {
            events: None,
            changed: BTreeSet::new(),
            unknown: false,
            rest_since: clock::monotonic(),
            not_before: None,
            turn: clock::now(),
            policy: events::stamp(&policy.file),
        };
        wait.listen(policy);
        wait
    }

    fn listen(&mut self, policy: &Policy) {
        let root = &policy.site.root;
        let below = policy.truth.rules.include_roots();
        let place = |p: &RelPath| root.join(std::ffi::OsStr::from_bytes(p.as_bytes()));
        let dirs: Vec<PathBuf> = match below.is_empty() {
            true => vec![root.clone()],
            false => below.iter().map(place).filter(|d| d.exists()).collect(),
        };
        self.events = match events::listen(&dirs) {
            Ok(events) => Some(events),
            Err(why) => {
                tracing::warn!("file events cannot be heard, so only turns are taken: {why}");
                None
            }
        };
    }

    pub fn turn(&self) -> DateTime<Utc> {
        self.turn
    }

    /// How many changed files wait.
    pub fn pending(&self) -> u64 {
        self.changed.len() as u64 + u64::from(self.unknown)
    }

    /// A cycle takes everything that waits.
    pub fn taken(&mut self) {
        self.changed.clear();
        self.unknown = false;
        self.not_before = None;
    }

    pub fn not_before(&mut self, later: Duration) {
        self.not_before = clock::monotonic().checked_add(later);
        if self.turn <= clock::now() {
            let later = chrono::Duration::from_std(later).unwrap_or(chrono::Duration::days(1));
            self.turn = clock::now() + later.min(chrono::Duration::days(1));
        }
    }

    pub fn next_turn(&mut self, interval: Duration, jitter: Duration) {
        let spread = u64::try_from(jitter.as_millis()).unwrap_or(0) * 2 + 1;
        let dice = u64::try_from(clock::now_ns() / 1000).unwrap_or(0) % spread;
        let shifted = (interval + Duration::from_millis(dice)).saturating_sub(jitter);
        let shifted = chrono::Duration::from_std(shifted).unwrap_or(chrono::Duration::days(1));
        self.turn = clock::now() + shifted;
    }

    /// Waits. `ours`: what the cycle before has brought here itself.
    pub fn wait(&mut self, policy: &Policy, ours: &[RelPath]) -> Woken {
        let ours: HashSet<&[u8]> = ours
            .iter()
            .flat_map(|p| p.ancestors().chain([p.as_bytes()]))
            .collect();
        // Echoes of the cycle wait in the queue by now; what comes after a silence is somebody's work.
        let mut echo = true;
        loop {
            supervisor::alive();
            if signals::stop_wish().is_some() {
                return Woken::Stop;
            }
            if clock::now() >= self.turn {
                return Woken::Turn;
            }
            if changed_stamp(policy, &mut self.policy) {
                return Woken::Policy;
            }
            echo &= self.hear(policy, &ours, echo);
            let rested = self.rest_since.elapsed() >= policy.schedule.debounce;
            let many = self.pending() >= policy.schedule.threshold.max(1);
            let may = many || self.not_before.is_none_or(|t| clock::monotonic() >= t);
            if self.pending() > 0 && rested && may {
                let known = !self.unknown && self.changed.len() <= MOST;
                return Woken::Changes(known.then(|| self.changed.iter().cloned().collect()));
            }
        }
    }

    /// Whether there was anything to hear.
    fn hear(&mut self, policy: &Policy, ours: &HashSet<&[u8]>, may_echo: bool) -> bool {
        let Some(events) = &self.events else {
            clock::sleep(TICK);
            return false;
        };
        let news = |paths: Vec<PathBuf>| -> Vec<RelPath> {
            let all = paths.iter().filter_map(|p| truth(policy, p));
            all.filter(|p| !(may_echo && ours.contains(p.as_bytes())))
                .collect()
        };
        match events.hear(TICK) {
            Heard::Nothing => return false,
            Heard::Renamed(paths) => {
                if !news(paths).is_empty() {
                    self.unknown = true;
                    self.rest_since = clock::monotonic();
                }
            }
            Heard::Lost(why) => {
                tracing::debug!("looking at everything: {why}");
                self.unknown = true;
                self.rest_since = clock::monotonic();
            }
            Heard::Paths(paths) => {
                for path in news(paths) {
                    self.changed.insert(path);
                    self.rest_since = clock::monotonic();
                }
            }
        }
        true
    }
}

/// The path of an event, when it may be truth.
fn truth(policy: &Policy, path: &std::path::Path) -> Option<RelPath> {
    let below = path.strip_prefix(&policy.site.root).ok()?;
    let path = RelPath::new(below.as_os_str().as_bytes()).filter(|p| !p.is_root())?;
    let rules = &policy.truth.rules;
    let is = |is_dir| matches!(rules.verdict(&path, is_dir), Verdict::Truth(_));
    (is(false) || is(true)).then_some(path)
}
