//! Hosts on this machine on which a script is played: what users do is done to the trees, what the program is told is run.
//!
//! Invariant: every step of the program is followed by the checks of `check.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::fleet::Fleet;
use super::model::{Base, What, is_truth, val, what};
use super::script::{Damage, Deed, Host, Script, Step};
use super::users::Ground;
use crate::lab::{Kind, Lab, Side, Snapshot};
use crate::pair::T;

/// What went wrong, and at which step (from 1).
#[derive(Debug, Clone)]
pub struct Failure {
    pub step: usize,
    pub why: String,
}

pub type Checked = Result<(), String>;

/// All trees and what is remembered of pairs at one moment, by host.
pub struct Seen {
    pub trees: Vec<Snapshot>,
    pub memory: Vec<Snapshot>,
}

/// What is known of two hosts that sync with each other: the hub and one more.
pub struct Pair {
    pub spoke: Host,
    /// What both may last have had.
    pub base: Base,
    /// What both may ever have had, but for what was taken back.
    pub ever: Base,
    /// A run broke off, and none has ended well since.
    pub broken: bool,
    /// The memory of the pair was damaged, so a run may ask before it unites.
    pub forgetful: bool,
}

impl Pair {
    pub fn know(&mut self, base: Base) {
        for (path, values) in &base {
            let ever = self.ever.entry(path.clone()).or_default();
            let new = values.iter().filter(|v| !ever.contains(v));
            let new: Vec<_> = new.cloned().collect();
            ever.extend(new);
        }
        self.base = base;
    }

    /// What both have alike now may have been found alike by a run that was taken back since: nothing of that had to be undone.
    pub fn may_have_met(&mut self, [here, there]: [&Snapshot; 2]) {
        let found = here.entries.keys().chain(there.entries.keys());
        let all: BTreeSet<Vec<u8>> = found.chain(self.base.keys()).cloned().collect();
        for path in all.into_iter().filter(|p| is_truth(p)) {
            let [now, other] = [here, there].map(|t| t.entries.get(&path).map(val));
            let may = self.base.entry(path).or_insert_with(|| vec![None]);
            if now == other && !may.contains(&now) {
                may.push(now);
            }
        }
    }
}

pub struct World {
    pub lab: Lab,
    pub ssh: bool,
    pub pairs: Vec<Pair>,
    /// Every value that a user ever put at a path, on any side.
    pub history: BTreeMap<Vec<u8>, BTreeSet<What>>,
    /// Values that the program took away: they must be retrievable from now on.
    pub owed: BTreeSet<What>,
    /// The plan that was shown last and to whom, when nothing happened since.
    pub shown: Option<(Ask, String)>,
    /// Hosts whose records were lost.
    pub lost_records: BTreeSet<&'static str>,
    /// How long the last whole run took.
    pub typical: Duration,
    /// Lines that a pull has brought.
    pub pulled: BTreeSet<String>,
    pub next_line: u32,
    pub outside: Snapshot,
    /// Where the commits of mac go.
    pub fleet: Option<Fleet>,
}

/// Who starts a run, and with whom when not with all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    pub driver: Host,
    pub with: Option<Host>,
}

pub fn index(host: Host) -> usize {
    host as usize
}

const REST: &str = "[guards]\nmin_free_space = \"1MiB\"\nmax_delete = 8\nmax_clock_skew = \"2s\"\n\
                    [snapshots]\nkeep = 60\n[truth]\nstate = [\"*_state.json\"]\nexclude = [\".git\", \"*.tmp\"";
// The laptop pulls the log, so it knows that it is no truth; the others have to be told.
const HERE: &str = "]\n";
const THERE: &str = ", \"logs/m.log*\"]\n";
const LOG: &str = "[[peer.log]]\nremote = \"logs/m.log\"\nlocal = \"logs/m.log\"\n";

/// A peer that is a directory here.
fn beside(lab: &Lab, host: Host) -> String {
    let side = host.side();
    format!(
        "[[peer]]\nname = {:?}\nroot = {:?}\nstate_dir = {:?}\n",
        host.name(),
        lab.tree(side),
        lab.state_dir(side)
    )
}

/// The policy of a host that drives mac without ssh: each finds the other's memory where that one keeps it.
fn spoke_policy(lab: &Lab, host: Host) {
    let text = format!(
        "schema = 1\n[site]\nname = {:?}\nroot = {:?}\n{}{REST}{THERE}",
        host.name(),
        lab.tree(host.side()),
        beside(lab, Host::Mac)
    );
    lab.write_policy(host.side(), &text);
}

impl World {
    pub fn new(script: &Script) -> World {
        let builder = Lab::builder().in_memory();
        let mut lab = match script.ssh {
            true => builder.build(),
            false => builder.without_sshd().build(),
        };
        let mut more = String::new();
        let mut pairs = vec![Host::Balaur];
        if script.hub {
            fs::create_dir_all(lab.tree(Side::Third)).unwrap();
            lab.write(Side::Third, ".ubos-root", "");
            more = beside(&lab, Host::Nas);
            spoke_policy(&lab, Host::Nas);
            pairs.push(Host::Nas);
        }
        let fleet = script
            .target
            .map(|layout| Fleet::new(&lab, layout, script.ssh));
        let publish = fleet.as_ref().map(|f| f.policy.clone()).unwrap_or_default();
        if script.ssh {
            lab.policy(&format!("{LOG}{more}{REST}{HERE}{publish}"));
            lab.server_policy(&format!("{REST}{THERE}"));
        } else {
            let far = lab.state_dir(Side::Server);
            let far = format!("state_dir = {far:?}\n{LOG}{more}{REST}{HERE}{publish}");
            lab.local_policy(&far);
            spoke_policy(&lab, Host::Balaur);
        }
        let outside = lab.root().join("outside");
        fs::create_dir_all(&outside).unwrap();
        fs::write(outside.join("precious"), "in no replica").unwrap();
        // Files that nobody touches: a side whose every file changed at once is refused.
        for n in 0..5 {
            lab.write_at(Side::Laptop, format!("keep/{n}"), format!("kept {n}"), T);
        }
        lab.write(Side::Server, "logs/m.log", "");
        let pair = |spoke| Pair {
            spoke,
            base: Base::new(),
            ever: Base::new(),
            broken: false,
            forgetful: false,
        };
        let mut world = World {
            ssh: script.ssh,
            pairs: pairs.into_iter().map(pair).collect(),
            history: BTreeMap::new(),
            owed: BTreeSet::new(),
            shown: None,
            lost_records: BTreeSet::new(),
            typical: Duration::from_millis(if script.ssh { 700 } else { 250 }),
            pulled: BTreeSet::new(),
            next_line: 0,
            outside: Snapshot::default(),
            fleet,
            lab,
        };
        world.outside = world.beside();
        world.remember();
        world
    }

    /// Plays a whole script, then sees to it that everything comes to rest.
    pub fn play(script: &Script) -> Result<(), Failure> {
        let mut world = World::new(script);
        for (n, step) in script.steps.iter().enumerate() {
            let failed = |why| Failure { step: n + 1, why };
            world.step(step).map_err(failed)?;
        }
        let step = script.steps.len() + 1;
        world.rest().map_err(|why| Failure { step, why })
    }

    fn step(&mut self, step: &Step) -> Checked {
        if !matches!(step, Step::Apply { .. }) {
            self.shown = None;
        }
        match step {
            Step::User { host, deed } => {
                if self.hosts().contains(host) {
                    self.deed(*host, deed);
                    self.remember();
                }
                Ok(())
            }
            Step::Log { lines, rotate } => {
                self.log_grows(*lines, *rotate);
                Ok(())
            }
            Step::Dry { driver, with } => self.dry(self.ask(*driver, *with)),
            Step::Apply {
                driver,
                with,
                fault,
            } => self.apply(self.ask(*driver, *with), fault.as_ref()),
            Step::Undo { driver, by, at } => self.undo(*driver, *by, *at),
            Step::Pull { at } => self.pull(*at),
            Step::Unmount { host, driver, how } => self.unmounted(*host, *driver, *how),
            Step::Damage { host, what } => {
                self.damage(*host, *what);
                Ok(())
            }
            Step::Commit => {
                self.commit();
                Ok(())
            }
            Step::Target { deed } => {
                self.target_deed(deed);
                Ok(())
            }
            Step::Publish { dry, fault } => self.publish(*dry, fault.as_ref()),
            Step::Unpublish { at } => self.unpublish(*at),
        }
    }

    // -- who there is

    pub fn hosts(&self) -> &'static [Host] {
        &Host::ALL[..=self.pairs.len()]
    }

    /// A run as it can be asked for here.
    pub fn ask(&self, driver: Host, with: Option<Host>) -> Ask {
        let driver = match self.hosts().contains(&driver) {
            true => driver,
            false => Host::Balaur,
        };
        let is_choice = driver == Host::Mac && self.pairs.len() > 1;
        let with = with.filter(|w| is_choice && *w != Host::Mac);
        Ask { driver, with }
    }

    /// The pairs that take part in a run.
    pub fn pairs_of(&self, ask: Ask) -> Vec<usize> {
        let all = 0..self.pairs.len();
        let spoke = |i: usize| self.pairs[i].spoke;
        match ask.driver {
            Host::Mac => all
                .filter(|i| ask.with.is_none_or(|w| w == spoke(*i)))
                .collect(),
            driver => all.filter(|i| spoke(*i) == driver).collect(),
        }
    }

    pub fn is_broken(&self, ask: Ask) -> bool {
        self.pairs_of(ask).iter().any(|i| self.pairs[*i].broken)
    }

    pub fn is_forgetful(&self, ask: Ask) -> bool {
        self.pairs_of(ask).iter().any(|i| self.pairs[*i].forgetful)
    }

    // -- looking

    pub fn look(&self) -> Seen {
        let memory = |host: &Host| {
            let mut all = Snapshot::of(&self.lab.state_dir(host.side()).join("pairs"));
            // An empty directory remembers nothing.
            all.entries.retain(|p, e| {
                let mut names = p.split(|b| *b == b'/');
                e.kind != Kind::Dir && names.any(|n| n == b"archives" || n == b"synced")
            });
            all
        };
        let hosts = self.hosts().iter();
        Seen {
            trees: hosts.clone().map(|h| self.lab.snapshot(h.side())).collect(),
            memory: hosts.map(memory).collect(),
        }
    }

    /// What lies outside the roots, the state directories and the records.
    pub fn beside(&self) -> Snapshot {
        let mut all = Snapshot::default();
        let mut places = vec![self.lab.root().join("outside")];
        for host in self.hosts() {
            let ours = ["tree", ".local", "logs"];
            let home = fs::read_dir(self.lab.home(host.side())).unwrap().flatten();
            places.extend(
                home.filter(|e| !ours.iter().any(|o| e.file_name() == *o))
                    .map(|e| e.path()),
            );
        }
        for place in places {
            let name = place.as_os_str().as_bytes().to_vec();
            let found = Snapshot::of(&place).entries;
            all.entries.extend(
                found
                    .into_iter()
                    .map(|(p, e)| ([name.as_slice(), b"/", &p].concat(), e)),
            );
        }
        all
    }

    /// Takes note of every value that a user may have made.
    pub fn remember(&mut self) {
        for host in self.hosts() {
            for (path, entry) in self.lab.snapshot(host.side()).entries {
                if is_truth(&path) {
                    self.history.entry(path).or_default().insert(what(&entry));
                }
            }
        }
    }

    // -- users

    pub fn deed(&self, host: Host, deed: &Deed) {
        let others = self.hosts().iter().filter(|h| **h != host);
        let ground = Ground {
            root: self.lab.tree(host.side()),
            others: others.map(|h| self.lab.tree(h.side())).collect(),
        };
        ground.deed(deed);
    }

    // -- the log

    fn log_grows(&mut self, lines: u32, rotate: bool) {
        let logs = self.lab.tree(Side::Server).join("logs");
        let log = logs.join("m.log");
        if rotate {
            fs::rename(&log, logs.join("m.log.1")).unwrap();
        }
        let mut text = fs::read(&log).unwrap_or_default();
        for _ in 0..lines {
            text.extend(format!("#{} {}\n", self.next_line, "x".repeat(90)).bytes());
            self.next_line += 1;
        }
        // Appended in place, as a writer does.
        let mut file = fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(&log)
            .unwrap();
        let had = file.metadata().unwrap().len() as usize;
        std::io::Write::write_all(&mut file, &text[had..]).unwrap();
    }

    // -- damage

    fn damage(&mut self, host: Host, what: Damage) {
        for at in self.pairs_of(self.ask(host, None)) {
            self.damage_pair(host, at, what);
        }
        if what == Damage::Records {
            let records = self.lab.home(host.side()).join("logs");
            if fs::remove_dir_all(records).is_ok() {
                self.lost_records.insert(host.name());
            }
        }
    }

    fn damage_pair(&mut self, host: Host, at: usize, what: Damage) {
        let mut names = [Host::Mac.name(), self.pairs[at].spoke.name()];
        names.sort_unstable();
        let pairs = self.lab.state_dir(host.side()).join("pairs");
        let pair = pairs.join(names.join("+"));
        let known = &mut self.pairs[at];
        let newest = |dir: PathBuf| {
            let all = fs::read_dir(dir).into_iter().flatten().flatten();
            all.map(|e| e.path()).max()
        };
        match what {
            Damage::Pair => {
                if fs::remove_dir_all(&pair).is_ok() {
                    // Nobody knows anything any more, and nobody can be asked for what was kept there.
                    known.forgetful = true;
                    for values in known.base.values_mut() {
                        match known.broken {
                            true => values.push(None),
                            false => *values = vec![None],
                        }
                    }
                    let left = self.retrievable();
                    self.owed.retain(|v| left.contains(v));
                }
            }
            Damage::Manifest => {
                if let Some(dir) = newest(pair.join("archives"))
                    && let Ok(mut bytes) = fs::read(dir.join("manifest"))
                {
                    let half = bytes.len() / 2;
                    bytes[half..].iter_mut().for_each(|b| *b ^= 0x55);
                    fs::write(dir.join("manifest"), bytes).unwrap();
                    // An older one may be what is believed then.
                    known.forgetful = true;
                    for (path, ever) in &known.ever {
                        let values = known.base.entry(path.clone()).or_default();
                        values.push(None);
                        values.extend(ever.iter().cloned());
                    }
                }
            }
            Damage::Archive => {
                let archives = newest(pair.join("archives")).map(|d| d.join("unison"));
                for file in archives
                    .and_then(|d| fs::read_dir(d).ok())
                    .into_iter()
                    .flatten()
                {
                    halve(&file.unwrap().path());
                }
            }
            Damage::Index => halve(&pair.join("index")),
            Damage::Records => {}
        }
    }

    /// Every content and link target that lies anywhere in the backups of any host.
    pub fn retrievable(&self) -> BTreeSet<What> {
        let mut all = BTreeSet::new();
        for host in self.hosts() {
            let pairs = Snapshot::of(&self.lab.state_dir(host.side()).join("pairs"));
            for (path, entry) in &pairs.entries {
                let in_run = path.split(|b| *b == b'/').nth(1) == Some(b"runs");
                if in_run {
                    all.insert(what(entry));
                }
            }
        }
        all
    }

    /// Waits a moment for what a killed run left running; the next run has to cope with the rest.
    pub fn settle(&self) {
        let began = Instant::now();
        let is_quiet = || {
            let all = self.lab.processes();
            all.iter().all(|p| p.program() == "sshd")
        };
        while began.elapsed() < Duration::from_secs(3) && !is_quiet() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn halve(file: &std::path::Path) {
    if let Ok(mut bytes) = fs::read(file) {
        bytes.truncate(bytes.len() / 2);
        let mode = file.metadata().unwrap().permissions().mode();
        fs::write(file, bytes).unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
    }
}
