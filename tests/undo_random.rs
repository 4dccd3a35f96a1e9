//! Random edits on both sides, applied and rolled back, with kills of either at random moments: afterwards both sides are as they
//! were before, and the next plan is the first one again. `UBOS_TORTURE=N` for N rounds in each half, `UBOS_SEED=S` to repeat one.
#![expect(clippy::print_stderr, reason = "the seed is what repeats a failure")]
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

mod lab;
mod pair;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use lab::{Dice, Lab, Output, Side, Snapshot, truth_difference, wait_until};
use pair::{BALAUR, MAC, S, T, pair_with};

const DIRS: [&str; 6] = ["docs", "docs/deep", "-dash", "a b'c", "é\nx", "docs/[g]*"];
const NAMES: [&str; 9] = [
    "a.md", "b.md", "-rf", "c d\"e", "li\nne", "ü", ".hid", "x*?", "t\\ab ",
];

struct World {
    lab: Lab,
    dice: Dice,
    serial: u64,
    did: Vec<String>,
}

impl World {
    fn path(&mut self) -> String {
        let dir = self.dice.pick(&DIRS);
        let name = self.dice.pick(&NAMES);
        format!("{dir}/{name}")
    }

    fn at(&self, side: Side, path: &str) -> PathBuf {
        self.lab.tree(side).join(path)
    }

    fn clear(&self, side: Side, path: &str) {
        let at = self.at(side, path);
        match fs::symlink_metadata(&at) {
            Ok(m) if m.is_dir() => fs::remove_dir_all(at).unwrap(),
            Ok(_) => fs::remove_file(at).unwrap(),
            Err(_) => {}
        }
    }

    /// A place for an entry: what lies on the way to it are directories.
    fn room(&self, side: Side, path: &str) {
        let mut way = String::new();
        for part in path.split('/').collect::<Vec<_>>().split_last().unwrap().1 {
            way = if way.is_empty() {
                (*part).into()
            } else {
                format!("{way}/{part}")
            };
            if !self.at(side, &way).is_dir() || self.at(side, &way).is_symlink() {
                self.clear(side, &way);
                fs::create_dir(self.at(side, &way)).unwrap();
            }
        }
        self.clear(side, path);
    }

    fn edit(&mut self) {
        let side = if self.dice.roll(2) == 0 { MAC } else { BALAUR };
        let path = self.path();
        self.serial += 1;
        let what = self.dice.roll(12);
        self.did.push(format!("{} {what} {path:?}", side.host()));
        match what {
            0..=3 => {
                self.room(side, &path);
                let size = self.dice.roll(3000) as usize;
                let text = format!("{} of {}\n", self.serial, side.host()) + &"x".repeat(size);
                let time =
                    T + i128::from(self.serial) * 10 * S + i128::from(self.dice.roll(999_999_999));
                self.lab.write_at(side, &path, text, time);
            }
            4 => self.clear(side, &path),
            5 => {
                let to = self.path();
                if self.at(side, &path).symlink_metadata().is_ok() && to != path {
                    let from = self.at(side, &path);
                    self.room(side, &to);
                    if from.symlink_metadata().is_ok() {
                        fs::rename(from, self.at(side, &to)).unwrap();
                    }
                }
            }
            6 => {
                let mode = [0o755, 0o600, 0o444, 0o644][self.dice.roll(4) as usize];
                if self.at(side, &path).is_file() && !self.at(side, &path).is_symlink() {
                    self.lab.chmod(side, &path, mode);
                }
            }
            7 => {
                self.room(side, &path);
                let target = self.dice.pick(&["a.md", "../docs", "no where", "b.md"]);
                self.lab.symlink(side, &path, target);
            }
            8 => {
                self.room(side, &path);
                let time = T + i128::from(self.serial) * S;
                self.lab
                    .write_at(side, format!("{path}/inner/f"), "a directory now", time);
            }
            9 => {
                let dir = self.dice.pick(&DIRS);
                let mode = [0o755, 0o700, 0o555][self.dice.roll(3) as usize];
                if self.at(side, dir).is_dir() && !self.at(side, dir).is_symlink() {
                    self.lab.chmod(side, dir, mode);
                }
            }
            10 => {
                let dir = self.dice.pick(&DIRS);
                self.room(side, &format!("{dir}/x"));
                self.lab.write(
                    side,
                    format!("{dir}/run_state.json"),
                    format!("{}", self.serial),
                );
            }
            _ => {
                let dir = self.dice.pick(&DIRS[1..]);
                let at = self.at(side, dir);
                // Never with state in it: that stays at home, and the directory with it.
                if at.is_dir() && !at.is_symlink() && !at.join("run_state.json").exists() {
                    fs::remove_dir_all(at).unwrap();
                }
            }
        }
    }

    fn plan(&self) -> Vec<String> {
        let out = self.lab.run(&["truth", "--allow", "held", "--json"]);
        assert!(matches!(out.code, 0 | 4), "{out}");
        let json = out.json();
        let of = |list: &str| {
            json["lanes"][0][list]
                .as_array()
                .cloned()
                .unwrap_or_default()
        };
        of("changes")
            .iter()
            .chain(&of("left"))
            .map(ToString::to_string)
            .collect()
    }

    /// Runs to its end, being killed at random moments on the way if so wanted. Whether it was killed at least once.
    fn through(&mut self, args: &[&str], kills: bool) -> Output {
        let mut most = 700;
        loop {
            if !kills || most < 60 {
                return self.lab.run(args);
            }
            let millis = self.dice.roll(most);
            most -= 60;
            let started = Instant::now();
            let mut run = self.lab.spawn(args);
            wait_until("the moment of the kill", || {
                run.finished() || started.elapsed() >= Duration::from_millis(millis)
            });
            run.kill();
            let out = run.wait();
            if matches!(out.code, 0 | 3 | 4) {
                return out;
            }
        }
    }

    fn trees(&self) -> [Snapshot; 2] {
        Side::BOTH.map(|s| self.lab.snapshot(s))
    }

    fn round(&mut self, kills: bool) {
        self.did.clear();
        for _ in 0..3 + self.dice.roll(10) {
            self.edit();
        }
        let (before, first) = (self.trees(), self.plan());
        // Killed in the middle, a run is finished by the next; what is rolled back is then everything since.
        let known = self.applied();
        let applied = self.through(
            &[
                "truth",
                "--apply",
                "--json",
                "--allow",
                "all_changed",
                "--allow",
                "max_delete",
            ],
            kills,
        );
        assert!(matches!(applied.code, 0 | 4), "{applied}");
        let ours: Vec<String> = self
            .applied()
            .into_iter()
            .filter(|r| !known.contains(r))
            .collect();
        // One that was killed before it had a plan has nothing to roll back.
        let mut undone = None;
        for run in &ours {
            let out = self.through(&["rollback", "--to", run, "--apply", "--json"], kills);
            if !out.stderr.contains("changed no file") {
                undone = Some(out);
                break;
            }
        }
        let Some(undone) = undone else {
            assert!(
                first.iter().all(|l| !l.contains("\"planned\"")),
                "{first:#?}"
            );
            return;
        };
        // When killed after the last effect, the next attempt finds that it has been done.
        assert!(
            undone.code == 0 || undone.stderr.contains("already"),
            "{undone}"
        );
        for (side, before) in Side::BOTH.into_iter().zip(&before) {
            let difference = truth_difference(before, &self.lab.snapshot(side), &[]);
            assert!(
                difference.is_empty(),
                "{} is not as before\n{difference}",
                side.host()
            );
        }
        let again = self.plan();
        let only = |a: &[String], b: &[String]| {
            a.iter()
                .filter(|l| !b.contains(l))
                .cloned()
                .collect::<Vec<_>>()
        };
        assert_eq!(only(&first, &again), only(&again, &first), "another plan");
        self.lab.run(&["release", "balaur"]).expect(0);
        let end = self.lab.run(&[
            "truth",
            "--apply",
            "--allow",
            "all_changed",
            "--allow",
            "max_delete",
        ]);
        assert!(matches!(end.code, 0 | 4), "{end}");
        let rest = self.plan();
        assert!(rest.iter().all(|l| !l.contains("\"planned\"")), "{rest:#?}");
    }

    /// Applied runs, oldest first.
    fn applied(&self) -> Vec<String> {
        let runs = self.lab.run(&["runs", "list", "-n", "0", "--json"]).json();
        let all = runs["runs"].as_array().unwrap().iter().rev();
        all.filter(|r| r["mode"] == "apply" && r["command"] == "truth")
            .map(|r| r["run"].as_str().unwrap().to_owned())
            .collect()
    }
}

/// Two pairs at once, half of the rounds in each.
fn rounds(kills: bool) {
    let (seed, all) = (lab::seed(), lab::torture(24));
    std::thread::scope(|s| {
        for (half, rounds) in [(0, all.div_ceil(2)), (1, all / 2)] {
            s.spawn(move || some_rounds(kills, seed, half, rounds));
        }
    });
}

fn some_rounds(kills: bool, seed: u64, half: u64, rounds: u64) {
    let Some(lab) = pair_with(Lab::builder().in_memory(), "[snapshots]\nkeep = 40\n") else {
        return;
    };
    let mut world = World {
        lab,
        dice: Dice::new(seed ^ (half << 40)),
        serial: 0,
        did: Vec::new(),
    };
    pair::sync(&world.lab);
    for round in 0..rounds {
        eprintln!("half {half}, round {round}, UBOS_SEED={seed}");
        world.round(kills);
    }
}

#[test]
fn apply_and_rollback_leave_nothing_behind_whatever_was_edited() {
    rounds(false);
}

#[test]
fn neither_do_they_when_both_are_killed_at_random_moments() {
    rounds(true);
}
