//! Waiting between cycles: for the turn, for changed files that have come to rest, for a changed policy, for a wish to stop.
//!
//! Invariants: both clocks are watched, so that a machine that slept is not behind its turn; where events cannot be heard the
//! turns alone are taken, which is said once; files that never come to rest are taken all the same.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::changed_stamp;
use super::echo::{Brought, Echoes, Tree};
use crate::host::events::{self, Events, Heard, Root};
use crate::host::{clock, signals, supervisor};
use crate::lanes::kept::Kept;
use crate::model::alarm_clock::{AlarmClock, Moment, Tick};
use crate::model::path::RelPath;
use crate::model::policy::Policy;
use crate::model::rules::Verdict;
use crate::tool::ear::Word;

/// More changed paths than this are a reason to look at everything.
const MOST: usize = 500;
/// How often the things that make no event are looked at, and how often when peers tell of their changes.
const TICK: Duration = Duration::from_millis(200);
const WITH_EARS: Duration = Duration::from_millis(50);
/// Files that do not come to rest within so many debounces are taken as they are.
const RESTLESS: u32 = 10;

pub enum Woken {
    Stop,
    Turn,
    /// The machine slept, or its clock was set.
    Wake,
    /// Files changed; which, unless that is not known.
    Changes(Option<Vec<RelPath>>),
    Policy,
}

pub struct Wait {
    events: Option<Events>,
    /// Whose trees the events are of, in the order of the listened roots; the last root holds our marks.
    trees: Vec<Tree>,
    home: PathBuf,
    marks: u64,
    echoes: Echoes,
    changed: BTreeSet<RelPath>,
    /// Something changed of which the place is not known.
    unknown: bool,
    /// Since when something has waited, and since when nothing has been added.
    since: Option<Instant>,
    rest_since: Instant,
    began: Instant,
    alarm: AlarmClock,
    policy: Option<(u64, i128)>,
}

impl Wait {
    pub fn new(policy: &Policy, kept: &Kept) -> Self {
        let began = clock::monotonic();
        let mut wait = Self {
            events: None,
            trees: Vec::new(),
            home: kept.home().to_owned(),
            marks: 0,
            echoes: Echoes::default(),
            changed: BTreeSet::new(),
            unknown: false,
            since: None,
            rest_since: began,
            began,
            alarm: AlarmClock::new(Moment {
                wall: clock::now(),
                steady: Duration::ZERO,
            }),
            policy: events::stamp(&policy.file),
        };
        wait.listen(policy);
        wait
    }

    fn listen(&mut self, policy: &Policy) {
        let below = policy.truth.rules.include_roots();
        let mut roots = vec![Root::new(&policy.site.root, below)];
        self.trees = vec![None];
        for peer in policy.peers.iter().filter(|p| p.truth) {
            if let Some(root) = peer.local_root() {
                roots.push(Root::new(&root, below));
                self.trees.push(Some(peer.name.clone()));
            }
        }
        roots.push(Root::new(&self.home, &[]));
        self.events = match events::listen(&roots) {
            Ok(events) => Some(events),
            Err(why) => {
                tracing::warn!("file events cannot be heard, so only turns are taken: {why}");
                None
            }
        };
    }

    fn now(&self) -> Moment {
        Moment {
            wall: clock::now(),
            steady: self.began.elapsed(),
        }
    }

    pub fn turn(&self) -> DateTime<Utc> {
        self.alarm.turn()
    }

    /// How many changed files wait.
    pub fn pending(&self) -> u64 {
        self.changed.len() as u64 + u64::from(self.unknown)
    }

    /// A cycle takes everything that waits.
    pub fn taken(&mut self) {
        self.changed.clear();
        self.unknown = false;
        self.since = None;
        self.alarm.taken();
    }

    pub fn not_before(&mut self, later: Duration) {
        self.alarm.hold_back(self.now(), later);
    }

    pub fn next_turn(&mut self, interval: Duration, jitter: Duration) {
        let spread = u64::try_from(jitter.as_millis()).unwrap_or(0) * 2 + 1;
        let dice = u64::try_from(clock::now_ns() / 1000).unwrap_or(0) % spread;
        let later = (interval + Duration::from_millis(dice)).saturating_sub(jitter);
        self.alarm.set(self.now(), later);
    }

    /// Waits. `brought`: what the cycle before has brought to each tree itself.
    pub fn wait(&mut self, policy: &Policy, kept: &Kept, brought: Brought) -> Woken {
        self.echoes = Echoes::of(brought, &self.set_marks(kept));
        loop {
            supervisor::alive();
            if signals::stop_wish().is_some() {
                return Woken::Stop;
            }
            match self.alarm.look(self.now()) {
                Tick::NotYet => {}
                Tick::Due => return Woken::Turn,
                Tick::Woke(for_about) => {
                    tracing::info!("awake after {} s", for_about.as_secs());
                    return Woken::Wake;
                }
            }
            if changed_stamp(policy, &mut self.policy) {
                return Woken::Policy;
            }
            self.hear_here(policy, self.patience(policy, kept));
            self.hear_peers(policy, kept);
            let debounce = policy.schedule.debounce;
            let rested = self.rest_since.elapsed() >= debounce
                || self
                    .since
                    .is_some_and(|t| t.elapsed() >= debounce * RESTLESS);
            let many = self.pending() >= policy.schedule.threshold.max(1);
            if self.pending() > 0 && rested && (many || self.alarm.changes_may(self.now())) {
                let known = !self.unknown && self.changed.len() <= MOST;
                return Woken::Changes(known.then(|| self.changed.iter().cloned().collect()));
            }
        }
    }

    /// Marks behind the cycle, in every tree that is heard.
    fn set_marks(&mut self, kept: &Kept) -> BTreeMap<Tree, u64> {
        let mut marks: BTreeMap<Tree, u64> = kept
            .mark()
            .into_iter()
            .map(|(peer, mark)| (Some(peer), mark))
            .collect();
        self.marks += 1;
        if self.events.is_some() && events::mark(&self.home, self.marks) {
            marks.extend(self.trees.iter().map(|t| (t.clone(), self.marks)));
        }
        marks
    }

    /// How long one look at the events of this host may take.
    fn patience(&self, policy: &Policy, kept: &Kept) -> Duration {
        let tick = if kept.has_ears() { WITH_EARS } else { TICK };
        let rest = policy
            .schedule
            .debounce
            .saturating_sub(self.rest_since.elapsed());
        match self.pending() > 0 && !rest.is_zero() {
            true => tick.min(rest),
            false => tick,
        }
    }

    fn hear_here(&mut self, policy: &Policy, patience: Duration) {
        let Some(events) = &self.events else {
            return clock::sleep(patience);
        };
        let mut heard = events.hear(patience);
        // What is there already is taken in one go; a storm does not keep us from looking at the rest.
        for _ in 0..MOST {
            match heard {
                Heard::Nothing => return,
                Heard::Lost(why) => {
                    if !self.unknown {
                        tracing::warn!(
                            "file events were missed, so everything is looked at: {why}"
                        );
                    }
                    self.missed();
                }
                Heard::Renamed(paths) => paths
                    .iter()
                    .for_each(|(root, path)| self.here(policy, *root, path, true)),
                Heard::Paths(paths) => paths
                    .iter()
                    .for_each(|(root, path)| self.here(policy, *root, path, false)),
            }
            let Some(events) = &self.events else { return };
            heard = events.hear(Duration::ZERO);
        }
    }

    fn here(&mut self, policy: &Policy, root: usize, path: &[u8], is_rename: bool) {
        match self.trees.get(root) {
            Some(tree) => {
                if let Some(path) = RelPath::new(path) {
                    self.changed(policy, &tree.clone(), path, is_rename);
                }
            }
            None => {
                if let Some(mark) = events::marked(path) {
                    let trees = self.trees.iter();
                    trees.for_each(|tree| self.echoes.heard(tree, mark));
                }
            }
        }
    }

    fn hear_peers(&mut self, policy: &Policy, kept: &Kept) {
        for (peer, word) in kept.hear() {
            let tree = Some(peer);
            match word {
                Word::Changed(path) => self.changed(policy, &tree, path, false),
                Word::Renamed(path) => self.changed(policy, &tree, path, true),
                Word::Mark(mark) => self.echoes.heard(&tree, mark),
                Word::Missed => self.missed(),
                Word::None | Word::Tool(_) | Word::Died(_) => {}
            }
        }
    }

    fn changed(&mut self, policy: &Policy, tree: &Tree, path: RelPath, is_rename: bool) {
        if !may_be_truth(policy, &path) || self.echoes.is_echo(tree, &path) {
            return;
        }
        match is_rename {
            true => self.unknown = true,
            // One more than are carried by name is enough to know that they are too many; the threshold counts them, too.
            false if (self.changed.len() as u64) <= policy.schedule.threshold.max(MOST as u64) => {
                self.changed.insert(path);
            }
            false => {}
        }
        self.news();
    }

    fn missed(&mut self) {
        self.unknown = true;
        self.news();
    }

    fn news(&mut self) {
        self.rest_since = clock::monotonic();
        self.since.get_or_insert(self.rest_since);
    }
}

fn may_be_truth(policy: &Policy, path: &RelPath) -> bool {
    let rules = &policy.truth.rules;
    let is = |is_dir| matches!(rules.verdict(path, is_dir), Verdict::Truth(_));
    !path.is_root() && (is(false) || is(true))
}
