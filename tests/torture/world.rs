//! A pair on this machine on which a script is played: what users do is done to the trees, what the program is told is run.
//!
//! Invariants: a step that has no object (a file that is not there) does nothing, so that a shortened script still means
//! something; every step of the program is followed by the checks of `check.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::model::{Base, What, is_truth, what};
use super::script::{Damage, Deed, Host, How, Path, Script, Step, When};
use crate::lab::{Kind, Lab, Side, Snapshot, mtime_ns};
use crate::pair::T;

/// What went wrong, and at which step (from 1).
#[derive(Debug, Clone)]
pub struct Failure {
    pub step: usize,
    pub why: String,
}

pub type Checked = Result<(), String>;

/// Both trees and what lies beside them at one moment.
pub struct Seen {
    pub trees: [Snapshot; 2],
    pub memory: [Snapshot; 2],
}

pub struct World {
    pub lab: Lab,
    pub ssh: bool,
    /// What both may last have had.
    pub base: Base,
    /// Every value that a user ever put at a path, on either side.
    pub history: BTreeMap<Vec<u8>, BTreeSet<What>>,
    /// Values that the program took away: they must be retrievable from now on.
    pub owed: BTreeSet<What>,
    /// The plan that was shown last, when nothing happened since.
    pub shown: Option<(Host, String)>,
    /// A run broke off, and none has ended well since.
    pub broken: bool,
    /// The memory of the pair was damaged, so a run may ask before it unites.
    pub forgetful: bool,
    /// Hosts whose records were lost.
    pub lost_records: BTreeSet<&'static str>,
    /// How long the last whole run took.
    pub typical: Duration,
    /// Lines that a pull has brought.
    pub pulled: BTreeSet<String>,
    pub next_line: u32,
    pub outside: Snapshot,
}

pub fn index(side: Side) -> usize {
    match side {
        Side::Laptop => 0,
        Side::Server => 1,
    }
}

const REST: &str = "[guards]\nmin_free_space = \"1MiB\"\nmax_delete = 8\nmax_clock_skew = \"2s\"\n\
                    [snapshots]\nkeep = 60\n[truth]\nstate = [\"*_state.json\"]\nexclude = [\"*.tmp\"";
// The laptop pulls the log, so it knows that it is no truth; the server has to be told.
const HERE: &str = "]\n";
const THERE: &str = ", \"logs/m.log*\"]\n";
const LOG: &str = "[[peer.log]]\nremote = \"logs/m.log\"\nlocal = \"logs/m.log\"\n";

impl World {
    pub fn new(ssh: bool) -> World {
        let mut lab = match ssh {
            true => Lab::new(),
            false => Lab::builder().without_sshd().build(),
        };
        if ssh {
            lab.policy(&format!("{LOG}{REST}{HERE}"));
            lab.server_policy(&format!("{REST}{THERE}"));
        } else {
            let far = format!(
                "state_dir = {:?}\n{LOG}{REST}{HERE}",
                lab.state_dir(Side::Server)
            );
            lab.local_policy(&far);
            // Between two directories, too, either host may drive: each finds the other's memory where that one keeps it.
            let text = format!(
                "schema = 1\n[site]\nname = \"balaur\"\nroot = {:?}\n[[peer]]\nname = \"mac\"\nroot = {:?}\nstate_dir = {:?}\n{REST}{THERE}",
                lab.tree(Side::Server),
                lab.tree(Side::Laptop),
                lab.state_dir(Side::Laptop)
            );
            lab.write_policy(Side::Server, &text);
        }
        let outside = lab.root().join("outside");
        fs::create_dir_all(&outside).unwrap();
        fs::write(outside.join("precious"), "in no replica").unwrap();
        // Files that nobody touches: a side whose every file changed at once is refused.
        for n in 0..5 {
            lab.write_at(Side::Laptop, format!("keep/{n}"), format!("kept {n}"), T);
        }
        lab.write(Side::Server, "logs/m.log", "");
        let mut world = World {
            ssh,
            base: Base::new(),
            history: BTreeMap::new(),
            owed: BTreeSet::new(),
            shown: None,
            broken: false,
            forgetful: false,
            lost_records: BTreeSet::new(),
            typical: Duration::from_millis(if ssh { 700 } else { 250 }),
            pulled: BTreeSet::new(),
            next_line: 0,
            outside: Snapshot::default(),
            lab,
        };
        world.outside = world.beside();
        world.remember();
        world
    }

    /// Plays a whole script, then sees to it that everything comes to rest.
    pub fn play(script: &Script) -> Result<(), Failure> {
        let mut world = World::new(script.ssh);
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
                self.deed(host.side(), deed);
                self.remember();
                Ok(())
            }
            Step::Log { lines, rotate } => {
                self.log_grows(*lines, *rotate);
                Ok(())
            }
            Step::Dry { driver } => self.dry(*driver),
            Step::Apply { driver, fault } => self.apply(*driver, fault.as_ref()),
            Step::Undo { driver, by, at } => self.undo(*driver, *by, *at),
            Step::Pull { at } => self.pull(*at),
            Step::Unmount { host, driver, how } => self.unmounted(*host, *driver, *how),
            Step::Damage { host, what } => {
                self.damage(*host, *what);
                Ok(())
            }
        }
    }

    // -- looking

    pub fn look(&self) -> Seen {
        let memory = |side: Side| {
            let mut all = Snapshot::of(&self.lab.state_dir(side).join("pairs"));
            // An empty directory remembers nothing.
            all.entries.retain(|p, e| {
                let mut names = p.split(|b| *b == b'/');
                e.kind != Kind::Dir && names.any(|n| n == b"archives" || n == b"synced")
            });
            all
        };
        Seen {
            trees: Side::BOTH.map(|s| self.lab.snapshot(s)),
            memory: Side::BOTH.map(memory),
        }
    }

    /// What lies outside the roots, the state directories and the records.
    pub fn beside(&self) -> Snapshot {
        let mut all = Snapshot::default();
        let mut places = vec![self.lab.root().join("outside")];
        for side in Side::BOTH {
            let ours = ["tree", ".local", "logs"];
            let home = fs::read_dir(self.lab.home(side)).unwrap().flatten();
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
        for side in Side::BOTH {
            for (path, entry) in self.lab.snapshot(side).entries {
                if is_truth(&path) {
                    self.history.entry(path).or_default().insert(what(&entry));
                }
            }
        }
    }

    // -- users

    fn at(&self, side: Side, path: &Path) -> PathBuf {
        self.lab.tree(side).join(OsStr::from_bytes(&path.0))
    }

    fn time(&self, side: Side, path: &Path, when: When) -> i128 {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_nanos() as i128;
        let of = |side: Side| {
            let at = self.at(side, path);
            at.symlink_metadata().map_or(now, |_| mtime_ns(&at))
        };
        match when {
            When::At(ns) => T + i128::from(ns),
            When::Now(ns) => now + i128::from(ns),
            When::Other(ns) => of(side.other()) + i128::from(ns),
            When::Was(ns) => of(side) + i128::from(ns),
        }
    }

    fn is_dir(&self, side: Side, path: &Path) -> bool {
        let meta = self.at(side, path).symlink_metadata();
        meta.is_ok_and(|m| m.is_dir())
    }

    fn is_there(&self, side: Side, path: &Path) -> bool {
        self.at(side, path).symlink_metadata().is_ok()
    }

    fn clear(&self, side: Side, path: &Path) {
        let at = self.at(side, path);
        match at.symlink_metadata() {
            Ok(m) if m.is_dir() => fs::remove_dir_all(at).unwrap(),
            Ok(_) => fs::remove_file(at).unwrap(),
            Err(_) => {}
        }
    }

    /// Makes what lies on the way to a path directories.
    fn way(&self, side: Side, path: &Path) {
        for (n, _) in path.0.iter().enumerate().filter(|(_, b)| **b == b'/') {
            let dir = Path(path.0[..n].to_vec());
            if !self.is_dir(side, &dir) {
                self.clear(side, &dir);
                fs::create_dir(self.at(side, &dir)).unwrap();
            }
        }
    }

    /// What a user does, as far as it can be done.
    pub fn deed(&self, side: Side, deed: &Deed) {
        match deed {
            Deed::Write {
                path,
                tag,
                len,
                how,
                when,
            } => self.write(side, path, &content(*tag, *len), *how, *when),
            Deed::Remove { path } => self.clear(side, path),
            Deed::Mkdir { path } => {
                self.way(side, path);
                if !self.is_dir(side, path) {
                    self.clear(side, path);
                    fs::create_dir(self.at(side, path)).unwrap();
                }
            }
            Deed::Link { path, tag } => {
                self.way(side, path);
                self.clear(side, path);
                self.lab.symlink(side, &path.0, format!("no where {tag}"));
            }
            Deed::Rename { path, to } => self.rename(side, path, to),
            Deed::Swap { path, with } => {
                let inside = |a: &Path, b: &Path| super::model::is_below(&a.0, &b.0);
                if inside(path, with) || inside(with, path) || !self.is_there(side, with) {
                    return;
                }
                let aside = Path(b"swap.tmp".to_vec());
                self.rename(side, path, &aside);
                self.rename(side, with, path);
                self.rename(side, &aside, with);
            }
            Deed::Chmod { path, mode } => {
                let at = self.at(side, path);
                match at.symlink_metadata() {
                    // Who may not enter a directory is another story.
                    Ok(m) if m.is_dir() => self.lab.chmod(side, &path.0, mode | 0o700),
                    Ok(m) if m.is_file() => self.lab.chmod(side, &path.0, *mode),
                    _ => {}
                }
            }
            Deed::Touch { path, when } => {
                if self.is_there(side, path) {
                    let ns = self.time(side, path, *when);
                    self.lab.set_mtime(side, &path.0, ns);
                }
            }
        }
    }

    fn rename(&self, side: Side, path: &Path, to: &Path) {
        let inside = super::model::is_below(&to.0, &path.0);
        if path == to || inside || !self.is_there(side, path) {
            return;
        }
        // Out of the way first: making room for the new name may take the old one away.
        let aside = Path(b"aside.tmp".to_vec());
        fs::rename(self.at(side, path), self.at(side, &aside)).unwrap();
        self.way(side, to);
        self.clear(side, to);
        fs::rename(self.at(side, &aside), self.at(side, to)).unwrap();
    }

    fn write(&self, side: Side, path: &Path, text: &[u8], how: How, when: When) {
        let ns = self.time(side, path, when);
        self.way(side, path);
        let at = self.at(side, path);
        if !at.symlink_metadata().is_ok_and(|m| m.is_file()) {
            self.clear(side, path);
        }
        match how {
            How::Append if at.exists() => {
                let mut old = fs::read(&at).unwrap();
                // Bounded, however often the dice say so.
                old.truncate(1 << 17);
                fs::write(&at, [&old, text].concat()).unwrap();
            }
            How::Rename => {
                let aside = self.lab.tree(side).join("aside.tmp");
                fs::write(&aside, text).unwrap();
                fs::rename(aside, &at).unwrap();
            }
            _ => fs::write(&at, text).unwrap(),
        }
        self.lab.set_mtime(side, &path.0, ns);
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
        let pair = self.lab.state_dir(host.side()).join("pairs/balaur+mac");
        let newest = |dir: PathBuf| {
            let all = fs::read_dir(dir).into_iter().flatten().flatten();
            all.map(|e| e.path()).max()
        };
        match what {
            Damage::Pair => {
                if fs::remove_dir_all(&pair).is_ok() {
                    // Nobody knows anything any more, and nobody can be asked for what was kept there.
                    self.forgetful = true;
                    for known in self.base.values_mut() {
                        match self.broken {
                            true => known.push(None),
                            false => *known = vec![None],
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
                    self.forgetful = true;
                    for (path, known) in &mut self.base {
                        known.push(None);
                        let ever = self.history.get(path).into_iter().flatten();
                        known.extend(ever.map(|w| {
                            Some(super::model::Val {
                                what: w.clone(),
                                mode: 0,
                            })
                        }));
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
            Damage::Records => {
                let records = self.lab.home(host.side()).join("logs");
                if fs::remove_dir_all(records).is_ok() {
                    self.lost_records.insert(host.side().host());
                }
            }
        }
    }

    /// Every content and link target that lies anywhere in the backups of either host.
    pub fn retrievable(&self) -> BTreeSet<What> {
        let mut all = BTreeSet::new();
        for side in Side::BOTH {
            let pairs = Snapshot::of(&self.lab.state_dir(side).join("pairs"));
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

/// Content that says whose it is; of equal length for many tags.
fn content(tag: u32, len: usize) -> Vec<u8> {
    if len == 0 {
        return Vec::new();
    }
    let mut text = format!("value {tag:08}\n").into_bytes();
    text.resize(len.max(text.len()), b'.');
    text
}

fn halve(file: &std::path::Path) {
    if let Ok(mut bytes) = fs::read(file) {
        bytes.truncate(bytes.len() / 2);
        let mode = file.metadata().unwrap().permissions().mode();
        fs::write(file, bytes).unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
    }
}
