//! A seeded torture of the append-only lane: a writer that numbers its lines, rotation of every kind, kills of everything at
//! every moment, scribbles on this side. `UBOS_TORTURE=N` for more rounds, `UBOS_SEED=S` to repeat one.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

mod lab;
mod pair;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use lab::{Dice, Lab, Side, need};
use pair::{BALAUR, MAC};
use rustix::process::Signal;

struct World {
    lab: Lab,
    dice: Dice,
    /// The number of the next line.
    next: u64,
    /// What a pull that ended well must have brought, or kept: numbers of lines.
    owed: BTreeSet<u64>,
    history: Vec<String>,
}

impl World {
    fn new(seed: u64) -> World {
        let lab = Lab::new();
        fs::create_dir_all(lab.tree(BALAUR).join("logs")).unwrap();
        lab.policy("\n[[peer.log]]\nremote = \"logs/m.log\"\nlocal = \"logs/m.log\"\n");
        fs::write(lab.tree(BALAUR).join("logs/m.log"), "").unwrap();
        World {
            lab,
            dice: Dice::new(seed),
            next: 0,
            owed: BTreeSet::new(),
            history: Vec::new(),
        }
    }

    fn far(&self, name: &str) -> PathBuf {
        self.lab.tree(BALAUR).join("logs").join(name)
    }

    fn grow(&mut self) {
        let lines = self.dice.roll(200) + 1;
        let width = self.dice.roll(4000) as usize;
        let mut text = String::new();
        for _ in 0..lines {
            text += &format!("#{} {}\n", self.next, "x".repeat(width));
            self.next += 1;
        }
        let mut file = fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.far("m.log"))
            .unwrap();
        // In two halves, so that a pull may see half a line.
        let cut = self.dice.roll(text.len() as u64) as usize;
        file.write_all(&text.as_bytes()[..cut]).unwrap();
        file.write_all(&text.as_bytes()[cut..]).unwrap();
        self.history.push(format!("grow {lines} lines of {width}"));
    }

    fn shift(&mut self) {
        for ending in ["", ".gz"] {
            let (from, to) = (format!("m.log.1{ending}"), format!("m.log.2{ending}"));
            if self.far(&from).exists() {
                for old in ["m.log.2", "m.log.2.gz"] {
                    let _ = fs::remove_file(self.far(old));
                }
                fs::rename(self.far(&from), self.far(&to)).unwrap();
            }
        }
    }

    fn rotate(&mut self) {
        match self.dice.roll(5) {
            3 => {
                self.shift();
                fs::rename(self.far("m.log"), self.far("m.log.1")).unwrap();
                // The older one is packed, as logrotate's delaycompress does; the youngest sometimes as well.
                for (name, odds) in [("m.log.2", 1), ("m.log.1", 2)] {
                    if self.far(name).exists() && self.dice.roll(odds) == 0 {
                        let packed = std::process::Command::new("gzip")
                            .arg("-f")
                            .arg(self.far(name))
                            .status();
                        assert!(packed.unwrap().success());
                    }
                }
                fs::write(self.far("m.log"), "").unwrap();
                self.history.push("rotate by rename and gzip".into());
            }
            4 => {
                // Gone, and back before or after somebody looks; longer than it was at once.
                fs::remove_file(self.far("m.log")).unwrap();
                if self.dice.roll(2) == 0 {
                    let out = self.lab.run(&["logs", "--apply"]);
                    assert!(matches!(out.code, 0 | 1 | 4), "{:?}\n{out}", self.history);
                }
                self.grow();
                self.grow();
                self.history.push("deleted and back".into());
            }
            0 => {
                self.shift();
                fs::rename(self.far("m.log"), self.far("m.log.1")).unwrap();
                fs::write(self.far("m.log"), "").unwrap();
                self.history.push("rotate by rename".into());
            }
            1 => {
                self.shift();
                fs::copy(self.far("m.log"), self.far("m.log.1")).unwrap();
                fs::OpenOptions::new()
                    .write(true)
                    .open(self.far("m.log"))
                    .unwrap()
                    .set_len(0)
                    .unwrap();
                self.history.push("rotate by copy and truncate".into());
            }
            _ => {
                // What nobody kept, nobody owes: only lines that were pulled before are.
                fs::write(self.far("m.log"), "").unwrap();
                self.history.push("truncate".into());
            }
        }
        // Every generation begins with a line of its own.
        self.grow();
    }

    fn numbers(text: &[u8]) -> Vec<u64> {
        text.split(|b| *b == b'\n')
            .filter_map(|l| {
                std::str::from_utf8(l)
                    .ok()?
                    .strip_prefix('#')?
                    .split(' ')
                    .next()?
                    .parse()
                    .ok()
            })
            .collect()
    }

    /// Lines held in the live file and its archived generations, in their order.
    fn held(&self) -> Vec<u64> {
        let dir = self.lab.tree(MAC).join("logs");
        let mut files: Vec<PathBuf> = fs::read_dir(&dir)
            .map(|d| d.map(|e| e.unwrap().path()).collect())
            .unwrap_or_default();
        files.retain(|p| {
            let name = p.file_name().unwrap().to_string_lossy().into_owned();
            name.starts_with("m.log.g") || name == "m.log"
        });
        // Generations sort by number, and the live file is the newest.
        files.sort_by_key(|p| {
            let name = p.file_name().unwrap().to_string_lossy().into_owned();
            (name == "m.log", name)
        });
        files
            .iter()
            .flat_map(|p| Self::numbers(&fs::read(p).unwrap()))
            .collect()
    }

    fn quiet_pull(&mut self) {
        let out = self.lab.run(&["logs", "--apply", "--json"]);
        assert!(
            matches!(out.code, 0 | 4),
            "{:?}\n{}\n{}",
            self.history,
            out.stdout,
            out.stderr
        );
        let live = fs::read(self.far("m.log")).unwrap();
        assert_eq!(
            fs::read(self.lab.tree(MAC).join("logs/m.log")).unwrap(),
            live,
            "live equals live: {:?}",
            self.history
        );
        self.owed.extend(Self::numbers(&live));
        self.judge();
    }

    fn judge(&self) {
        let held = self.held();
        let distinct: BTreeSet<u64> = held.iter().copied().collect();
        assert_eq!(
            distinct.len(),
            held.len(),
            "a line is held twice: {:?}",
            self.history
        );
        assert!(
            held.is_sorted(),
            "lines are out of order: {:?}",
            self.history
        );
        let missing: Vec<&u64> = self.owed.difference(&distinct).collect();
        assert!(
            missing.is_empty(),
            "lines were lost: {missing:?}: {:?}",
            self.history
        );
    }

    /// A pull that something ends at a random moment.
    fn killed_pull(&mut self) {
        let mut run = self.lab.spawn(&["logs", "--apply"]);
        let until = Instant::now() + Duration::from_millis(120 + self.dice.roll(350));
        while Instant::now() < until && !run.finished() {
            std::thread::yield_now();
        }
        let how = self.dice.roll(6);
        match how {
            0 => run.kill(),
            1 => run.signal(Signal::TERM),
            2 => run.signal(Signal::INT),
            3 => drop(run.kill_program("rsync")),
            4 => self.lab.sshd().kill_sessions(),
            _ => self.lab.sshd().drop_connections(),
        }
        run.wait();
        self.history.push(format!("killed pull {how}"));
        // Whatever was held at any time stays held, but not more is owed.
        self.judge_prefix();
    }

    /// After a cut the live file is a beginning of a real generation: its lines are whole but for the last.
    fn judge_prefix(&self) {
        let held = self.held();
        assert!(
            held.is_sorted(),
            "lines are out of order: {:?}",
            self.history
        );
    }
}

#[test]
fn every_line_that_was_pulled_is_held_once_and_in_order_whatever_happens() {
    if !need(&["ssh", "sshd", "ssh-keygen", "rsync"]) {
        return;
    }
    let (seed, rounds) = (lab::seed(), lab::torture(40));
    let mut world = World::new(seed);
    for round in 0..rounds {
        for _ in 0..=world.dice.roll(2) {
            world.grow();
        }
        match world.dice.roll(6) {
            0 => world.rotate(),
            1 | 2 => world.killed_pull(),
            3 => {
                let local = world.lab.tree(MAC).join("logs/m.log");
                if local.exists() && world.dice.roll(3) == 0 {
                    // Nobody may write here, and somebody does: it goes aside, and no line is lost with it.
                    let mut file = fs::OpenOptions::new().append(true).open(&local).unwrap();
                    file.write_all(b"scribble\n").unwrap();
                    world.history.push("scribble".into());
                }
            }
            _ => {}
        }
        if round % 2 == 0 {
            world.quiet_pull();
        }
    }
    world.quiet_pull();
    assert_eq!(
        world
            .lab
            .snapshot(Side::Laptop)
            .entries
            .keys()
            .filter(|k| k.windows(11).any(|w| w == b".ubos-sync."))
            .count(),
        0,
        "stages are left"
    );
}
