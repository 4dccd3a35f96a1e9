//! What else the program is told to do: taking back, pulling, running without a root; and how a sequence ends.
//!
//! Invariant: an exit code is believed only after the trees were looked at.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use super::check;
use super::runs::{APPLY, doc};
use super::script::{Host, Missing};
use super::world::{Checked, World, index};
use crate::lab::{Side, Snapshot, truth_difference};

impl World {
    /// A run of one pair that is taken back, by either of both.
    pub fn undo(&mut self, driver: Host, by: Host, at: Option<u64>) -> Checked {
        let (driver, by) = (self.ask(driver, None).driver, self.ask(by, None).driver);
        let spoke = match (driver, by) {
            (Host::Mac, Host::Mac) => Host::Balaur,
            (Host::Mac, spoke) | (spoke, _) => spoke,
        };
        let ask = self.ask(driver, Some(spoke));
        let by = if by == Host::Mac { by } else { spoke };
        let pair = self.pairs_of(ask)[0];
        // What a dead run had done would be taken back as well, or not: another test looks at that.
        if self.is_broken(ask) || self.is_forgetful(ask) {
            return self.apply(ask, None);
        }
        let known = &self.pairs[pair];
        let (base, ever, before) = (known.base.clone(), known.ever.clone(), self.look());
        let out = self.run(ask, &APPLY);
        let said = doc(&out);
        if !matches!(out.code, 0 | 4) {
            return match out.code {
                3 => self.apply(ask, None),
                _ => Err(format!("exit {} without a fault\n{out}", out.code)),
            };
        }
        let middle = self.look();
        self.done(&before, &middle, &[(ask, &said)], out.code, None)
            .map_err(|why| format!("{why}\n{out}"))?;
        let list = |doc: &Value, key: &str| {
            let all = doc["lanes"][0][key].as_array();
            all.cloned().unwrap_or_default()
        };
        // A time that lay in the future may have come when the plan is made again.
        let waited = list(&said, "left");
        let waits = |c: &Value| {
            let soon = |l: &Value| {
                l["why"]
                    .as_str()
                    .is_some_and(|w| w.contains("in the future"))
            };
            waited.iter().any(|l| l["path"] == c["path"] && soon(l))
        };
        let changes = |doc: &Value| -> BTreeSet<String> {
            let all = list(doc, "changes").into_iter().filter(|c| !waits(c));
            all.map(|c| format!("{} {} {}", c["path"], c["kind"], c["to"]))
                .collect()
        };
        if changes(&said).is_empty() {
            return Ok(());
        }
        let run = said["run"].as_str().unwrap_or_default();
        let back = ["rollback", run, "--apply", "--json", "--wait", "20s"];
        if let Some(at) = at {
            self.killed(by, &back, at);
            let now = self.look();
            self.common(&middle, &now, None)
                .map_err(|why| format!("a rollback was killed: {why}"))?;
        }
        let mut by = by;
        let mut undone = self.lab.run_on(by.side(), &back);
        // Of a run that the other host drove only the second is known: one of its own in the same second counts as later. That is
        // refused, safely, and the driver knows better.
        if by != driver && undone.code == 3 && undone.stderr.contains("runs after") {
            by = driver;
            undone = self.lab.run_on(by.side(), &back);
        }
        let is_done_already = at.is_some() && undone.stderr.contains("already");
        if undone.code != 0 && !is_done_already {
            return Err(format!("I19: the rollback failed\n{undone}\nof\n{out}"));
        }
        let after = self.look();
        for host in self.hosts() {
            let [was, is] = [&before, &after].map(|s| &s.trees[index(*host)]);
            let difference = truth_difference(was, is, &[]);
            if !difference.is_empty() {
                let host = host.name();
                return Err(format!(
                    "I19: {host} is not as before\n{difference}\n{out}\n{undone}"
                ));
            }
        }
        self.common(&middle, &after, None)?;
        self.pairs[pair].base = base;
        self.pairs[pair].ever = ever;
        self.pairs[pair].may_have_met([Host::Mac, spoke].map(|h| &after.trees[index(h)]));
        let peer = if by == Host::Mac { spoke } else { Host::Mac };
        self.lab
            .run_on(by.side(), &["release", peer.name()])
            .expect(0);
        let again = self.run(ask, &["truth", "--json"]);
        if changes(&doc(&again)) != changes(&said) {
            return Err(format!(
                "I19: the plan is another one after the rollback\n{again}\nit was\n{out}"
            ));
        }
        Ok(())
    }

    /// A run that is killed at a moment.
    pub fn killed(&self, host: Host, args: &[&str], at: u64) {
        let mut run = self.lab.spawn_on(host.side(), args);
        self.moment(&mut run, at);
        run.kill();
        run.wait();
        self.settle();
    }

    pub fn pull(&mut self, at: Option<u64>) -> Checked {
        let before = self.look();
        let mut run = self
            .lab
            .spawn(&["logs", "--apply", "--json", "--wait", "20s"]);
        if let Some(at) = at {
            self.moment(&mut run, at);
            run.kill();
        }
        let out = run.wait();
        self.settle();
        let after = self.look();
        let is_log = |path: &[u8]| path == b"logs" || path.starts_with(b"logs/m.log");
        let near = |tree: &Snapshot| {
            let mut tree = tree.clone();
            // A directory above what was pulled has a new time, the root when it was made.
            tree.entries
                .retain(|p, _| !is_log(p) && !p.is_empty() && !p.starts_with(b"logs/.ubos-sync."));
            tree
        };
        let source = before.trees[1].diff(&after.trees[1]);
        let rest = near(&before.trees[0]).diff(&near(&after.trees[0]));
        if !source.is_empty() || !rest.is_empty() {
            return Err(format!("I3: a pull changed\n{source}{rest}\n{out}"));
        }
        let lines = self.lines_here();
        if let Some(lost) = self.pulled.iter().find(|l| !lines.contains(*l)) {
            return Err(format!("I12: the log here has lost {lost}\n{out}"));
        }
        if matches!(out.code, 0 | 4) {
            let [here, there] =
                Side::BOTH.map(|s| fs::read(self.lab.at(s, "logs/m.log")).unwrap_or_default());
            if here != there {
                return Err(format!("I5: the log is not what it is over there\n{out}"));
            }
            self.pulled = lines;
        } else if at.is_none() {
            return Err(format!("a pull ended so: {out}"));
        }
        Ok(())
    }

    /// Whole lines of the log and its generations on this side.
    fn lines_here(&self) -> BTreeSet<String> {
        let logs = self.lab.tree(Side::Laptop).join("logs");
        let files = fs::read_dir(logs).into_iter().flatten().flatten();
        let ours = files.filter(|e| e.file_name().to_string_lossy().starts_with("m.log"));
        let text = ours.map(|e| String::from_utf8_lossy(&fs::read(e.path()).unwrap()).into_owned());
        text.flat_map(|t| {
            let whole = t.split_inclusive('\n').filter(|l| l.ends_with('\n'));
            whole.map(str::to_owned).collect::<Vec<_>>()
        })
        .collect()
    }

    pub fn unmounted(&mut self, host: Host, driver: Host, how: Missing) -> Checked {
        let host = self.ask(host, None).driver;
        let ask = match driver {
            Host::Mac => self.ask(driver, Some(host)),
            driver if host == Host::Mac => self.ask(driver, None),
            _ => self.ask(host, None),
        };
        // Before a pair has synced, an empty root is as good as any.
        let fresh = |at: usize| self.pairs[at].base.is_empty();
        if self.is_forgetful(ask) || self.pairs_of(ask).into_iter().any(fresh) {
            return Ok(());
        }
        let side = host.side();
        let (tree, away) = (self.lab.tree(side), self.lab.root().join("unmounted"));
        let before = self.look();
        fs::rename(&tree, &away).unwrap();
        match how {
            Missing::Gone => {}
            Missing::File => fs::write(&tree, "a file").unwrap(),
            Missing::Empty | Missing::Marker => fs::create_dir(&tree).unwrap(),
        }
        if how == Missing::Marker {
            fs::write(tree.join(".ubos-root"), "").unwrap();
        }
        let bare = Snapshot::of(&tree);
        let out = self.run(ask, &APPLY);
        let is_bare = bare.diff(&Snapshot::of(&tree));
        let _ = fs::remove_file(&tree);
        let _ = fs::remove_dir_all(&tree);
        fs::rename(&away, &tree).unwrap();
        if out.code != 3 || !is_bare.is_empty() {
            return Err(format!(
                "I13: a run on a root that is not there\n{is_bare}\n{out}"
            ));
        }
        let mut all = [before, self.look()];
        // It was us who moved the root.
        for seen in &mut all {
            seen.trees[index(host)].entries.remove(b"".as_slice());
        }
        check::untouched(
            &all[0],
            &all[1],
            false,
            "I13: a run on a root that is not there",
        )
    }

    /// The end of a sequence: everything comes to rest by itself, is proven equal, and nothing lies about.
    pub fn rest(&mut self) -> Checked {
        let all = self.ask(Host::Mac, None);
        // Whoever had a run that was killed sweeps up after it, too.
        for host in self.hosts().iter().rev() {
            self.apply(self.ask(*host, None), None)?;
        }
        self.pull(None)?;
        self.publish_at_last()?;
        for host in self.hosts() {
            if !self.lost_records.contains(host.name()) {
                let out = self.lab.run_on(host.side(), &["runs", "verify"]);
                if out.code != 0 {
                    return Err(format!("I18: the records of {}\n{out}", host.name()));
                }
            }
        }
        let out = self.run(all, &["truth", "--json"]);
        let peers = self.hosts()[1..].iter().map(|h| h.name());
        let args: Vec<&str> = std::iter::once("verify").chain(peers).collect();
        let verified = self.lab.run(&args);
        if out.code == 0 && verified.code != 0 {
            return Err(format!("I11: in sync, and yet verify says\n{verified}"));
        }
        check::clean(&self.lab, self.hosts())
    }
}
