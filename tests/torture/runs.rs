//! What the program is told to do, with what befalls it, and what has to be true afterwards. The checks themselves: `check.rs`.
//!
//! Invariant: an exit code is believed only after the trees were looked at.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use super::check;
use super::model::{Clock, learn_from_crash, upwards};
use super::script::{Blow, Deed, Fault, Host, Missing, Path, Victim};
use super::world::{Checked, Seen, World, index};
use crate::lab::{
    Output, Running, Side, Snapshot, libfaketime, signal, truth_difference, wait_until,
};

const APPLY: [&str; 5] = ["truth", "--apply", "--json", "--wait", "20s"];

pub fn now() -> i128 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap().as_nanos() as i128
}

/// The document of a run, or null when it had no time to write one.
fn doc(out: &Output) -> Value {
    serde_json::from_str(&out.stdout).unwrap_or_default()
}

fn guards(doc: &Value) -> Vec<String> {
    let all = doc["findings"].as_array().into_iter().flatten();
    all.filter(|f| f["severity"] == "refuse")
        .map(|f| f["guard"].as_str().unwrap_or_default().to_owned())
        .collect()
}

/// Paths that a deed may change on its host.
fn touched(deed: &Deed) -> Vec<&Path> {
    match deed {
        Deed::Write { path, .. }
        | Deed::Remove { path }
        | Deed::Mkdir { path }
        | Deed::Link { path, .. }
        | Deed::Chmod { path, .. }
        | Deed::Touch { path, .. } => vec![path],
        Deed::Rename { path, to } => vec![path, to],
        Deed::Swap { path, with } => vec![path, with],
    }
}

impl World {
    fn command(&self, driver: Host, args: &[&str], fault: Option<&Fault>) -> Command {
        let side = driver.side();
        let mut command = self.lab.command(side);
        match fault {
            Some(Fault::Full { blocks }) => {
                let program = command.get_program().to_owned();
                command = self.lab.tool(side, "sh");
                command.env("UBOS_SYNC_POLICY", self.lab.policy_file(side));
                let limit = format!("ulimit -f {blocks}; exec \"$0\" \"$@\"");
                command.arg("-c").arg(limit).arg(program);
            }
            Some(Fault::Skew { seconds }) => {
                if let Some(library) = libfaketime() {
                    command
                        .env("LD_PRELOAD", library)
                        .env("FAKETIME", format!("{seconds:+}s"))
                        .env("FAKETIME_DISABLE_SHM", "1");
                }
            }
            _ => {}
        }
        command.args(args);
        command
    }

    fn moment(&self, run: &mut Running, at: u64) {
        let wanted = self.typical * u32::try_from(at).unwrap() / 1000;
        let began = Instant::now();
        wait_until("the moment has come", || {
            run.finished() || began.elapsed() >= wanted
        });
    }

    fn strike(&mut self, run: &Running, driver: Host, who: Victim, blow: Blow) {
        let blow = match blow {
            Blow::Kill => Signal::KILL,
            Blow::Term => Signal::TERM,
            Blow::Int => Signal::INT,
        };
        let ssh = self.ssh;
        let far = match (ssh, driver) {
            (false, _) => None,
            (true, Host::Mac) => Some(self.lab.sshd()),
            (true, Host::Balaur) => Some(self.lab.laptop_sshd()),
        };
        let hit: Vec<u32> = match (who, far) {
            (Victim::Itself, _) => vec![run.pid()],
            (Victim::Link, Some(far)) => {
                far.drop_connections();
                Vec::new()
            }
            (Victim::Far, Some(far)) => far.sessions().iter().map(|p| p.pid).collect(),
            (who, _) => {
                let all = run.children();
                let is_hit = |p: &&crate::lab::Proc| {
                    let engine = p.program().starts_with("unison");
                    match who {
                        Victim::Engine => engine,
                        Victim::Far => engine && p.command.contains("-server"),
                        _ => p.program() == "sh",
                    }
                };
                all.iter().filter(is_hit).map(|p| p.pid).collect()
            }
        };
        for pid in hit {
            signal(pid, blow);
        }
    }

    /// Runs to the end, with what befalls it on the way. The second: what the other host's run said, if there was one.
    fn endure(
        &mut self,
        driver: Host,
        args: &[&str],
        fault: Option<&Fault>,
    ) -> (Output, Option<Output>) {
        let mut run = self.lab.start(self.command(driver, args, fault));
        let mut twin = None;
        match fault {
            Some(Fault::Kill { who, blow, at }) => {
                self.moment(&mut run, *at);
                self.strike(&run, driver, *who, *blow);
            }
            Some(Fault::Edit { host, deed, at }) => {
                self.moment(&mut run, *at);
                self.deed(host.side(), deed);
            }
            Some(Fault::Twin { at }) => {
                self.moment(&mut run, *at);
                let other = self.command(driver.other(), &["truth", "--apply", "--json"], None);
                twin = Some(self.lab.start(other).wait());
            }
            _ => {}
        }
        let out = run.wait();
        self.settle();
        (out, twin)
    }

    // -- the steps

    pub fn dry(&mut self, driver: Host) -> Checked {
        let before = self.look();
        let out = self.lab.run_on(driver.side(), &["truth", "--json"]);
        let after = self.look();
        // What a dead run had delivered is booked before anything is planned, by whichever run comes next.
        check::untouched(&before, &after, !self.broken, "I4: a dry run")?;
        let doc = doc(&out);
        match out.code {
            0 | 4 => {
                let plan = doc["plan"].as_str().unwrap_or_default().to_owned();
                self.shown = (!self.broken && !plan.is_empty()).then_some((driver, plan));
                Ok(())
            }
            3 => self.may_refuse(&guards(&doc), &out),
            _ if self.broken => Ok(()),
            _ => Err(format!("a dry run ended so: {out}")),
        }
    }

    /// Guards speak only when they have a reason.
    fn may_refuse(&self, guards: &[String], out: &Output) -> Checked {
        let known = |g: &String| match g.as_str() {
            "max_delete" => true,
            "first_sync" => self.forgetful,
            "clock_skew" => true,
            _ => false,
        };
        if guards.iter().all(known) && !guards.is_empty() {
            return Ok(());
        }
        Err(format!("a guard without a reason: {guards:?}\n{out}"))
    }

    pub fn apply(&mut self, driver: Host, fault: Option<&Fault>) -> Checked {
        let mut args = APPLY.to_vec();
        if matches!(fault, Some(Fault::Twin { .. })) {
            args.truncate(3);
        }
        let before = self.look();
        let began = Instant::now();
        let (out, twin) = self.endure(driver, &args, fault);
        if fault.is_none() && matches!(out.code, 0 | 4) && !self.broken {
            self.typical = began
                .elapsed()
                .clamp(Duration::from_millis(80), Duration::from_secs(3));
        }
        let after = self.look();
        let shown = self.shown.take();
        let said = doc(&out);
        if let (Some((host, plan)), None, 0 | 4) = (shown, fault, out.code)
            && host == driver
            && said["plan"] != plan.as_str()
        {
            return Err(format!(
                "I17: {plan} was shown, another plan was applied\n{out}"
            ));
        }
        if let Some(twin) = twin {
            return self.two_at_once(driver, &before, &after, &out, &twin);
        }
        match (out.code, fault) {
            (0 | 4, _) => {
                self.done(driver, &before, &after, &[(driver, &said)], out.code, fault)
                    .map_err(|why| format!("{why}\n{out}"))?;
                match fault {
                    Some(Fault::Edit { .. }) => Ok(()),
                    _ => self.idle(driver.other(), out.code, &said),
                }
            }
            (3, _) => {
                // Unless its user has made the change, in the middle of it.
                if !matches!(fault, Some(Fault::Edit { .. })) {
                    check::untouched(&before, &after, false, "a refused run")?;
                }
                let guards = guards(&said);
                self.may_refuse(&guards, &out)?;
                self.common(&before, &after, fault)?;
                self.allowed(driver, &guards)
            }
            (_, Some(_)) => {
                let base = [&before, &after].map(|s| [&s.trees[0], &s.trees[1]]);
                self.base = learn_from_crash(&self.base, base[0], base[1]);
                self.loosen(fault, &before, &after);
                self.broken = true;
                self.common(&before, &after, fault)
                    .map_err(|why| format!("after exit {}: {why}\n{out}", out.code))
            }
            (code, None) if self.broken => {
                self.common(&before, &after, None)?;
                // I15: one more, and it has to end well.
                let again = self.lab.run_on(driver.side(), &APPLY);
                if !matches!(again.code, 0 | 3 | 4) {
                    return Err(format!(
                        "I15: two runs after a crash ended with {code} and {}\n{out}\n{again}",
                        again.code
                    ));
                }
                self.apply(driver, None)
            }
            (code, None) => Err(format!("exit {code} without a fault\n{out}")),
        }
    }

    /// The same again, with what the guards asked about allowed for once.
    fn allowed(&mut self, driver: Host, guards: &[String]) -> Checked {
        let mut args = APPLY.to_vec();
        for guard in guards {
            args.extend(["--allow", guard.as_str()]);
        }
        let before = self.look();
        let out = self.lab.run_on(driver.side(), &args);
        let after = self.look();
        if !matches!(out.code, 0 | 4) {
            return Err(format!("allowed, and yet exit {}\n{out}", out.code));
        }
        let said = doc(&out);
        self.done(driver, &before, &after, &[(driver, &said)], out.code, None)
            .map_err(|why| format!("{why}\n{out}"))?;
        self.idle(driver.other(), out.code, &said)
    }

    /// I20: at most one of two works, and the other has no effect.
    fn two_at_once(
        &mut self,
        driver: Host,
        before: &Seen,
        after: &Seen,
        one: &Output,
        two: &Output,
    ) -> Checked {
        let both = [(driver, one), (driver.other(), two)];
        if let Some((_, odd)) = both.iter().find(|(_, o)| !matches!(o.code, 0 | 3 | 4 | 6)) {
            return Err(format!("I20: two at once, and one ended so: {odd}"));
        }
        let docs: Vec<(Host, Value)> = both
            .iter()
            .filter(|(_, o)| matches!(o.code, 0 | 4))
            .map(|(h, o)| (*h, doc(o)))
            .collect();
        let said: Vec<(Host, &Value)> = docs.iter().map(|(h, d)| (*h, d)).collect();
        match both.iter().find(|(_, o)| matches!(o.code, 0 | 4)) {
            Some((_, out)) => self
                .done(driver, before, after, &said, out.code, None)
                .map_err(|why| format!("{why}\n{one}\n{two}")),
            None => {
                check::untouched(before, after, false, "I20: two that hindered each other")?;
                self.common(before, after, None)
            }
        }
    }

    /// I6: what has ended well has nothing more to do, whoever asks. Only a time that was to come may be past by now, or past for the
    /// other one's clock, or that clock be right: what was left for it is decided then, and nothing is left to do after that.
    fn idle(&mut self, driver: Host, code: i32, said: &Value) -> Checked {
        let (mut driver, mut code, mut said) = (driver, code, said.clone());
        for _ in 0..4 {
            let before = self.look();
            let out = self.lab.run_on(driver.side(), &APPLY);
            let after = self.look();
            let again = doc(&out);
            let list = |doc: &Value, key: &str| -> Vec<Value> {
                let list = doc["lanes"][0][key].as_array();
                list.cloned().unwrap_or_default()
            };
            let changes = list(&again, "changes");
            if out.code == code && changes.is_empty() {
                return check::untouched(&before, &after, false, "I6: a run with nothing to do");
            }
            let waits = |l: &Value| {
                let why = l["why"].as_str().unwrap_or_default();
                why.contains("lies in the future") || why.contains("times cannot decide")
            };
            let left = list(&said, "left");
            let waited: Vec<&Value> = left
                .iter()
                .filter(|l| waits(l))
                .map(|l| &l["path"])
                .collect();
            let known = changes.iter().all(|c| waited.contains(&&c["path"]));
            if changes.is_empty() || !known || !matches!(out.code, 0 | 4) {
                return Err(format!("I6: a second run after exit {code}\n{out}"));
            }
            self.done(driver, &before, &after, &[(driver, &again)], out.code, None)
                .map_err(|why| format!("{why}\n{out}"))?;
            (driver, code, said) = (driver.other(), out.code, again);
        }
        Err("I6: four runs, and each found something to do".into())
    }

    /// A run that says it is done.
    fn done(
        &mut self,
        driver: Host,
        before: &Seen,
        after: &Seen,
        docs: &[(Host, &Value)],
        code: i32,
        fault: Option<&Fault>,
    ) -> Checked {
        let restless = restless(fault);
        let clock = Clock {
            now: now(),
            skewed: matches!(fault, Some(Fault::Skew { .. })),
        };
        let run = check::run(&self.base, before, after, docs, code, clock, &restless);
        let mut faults = run.faults();
        let base = run.learn();
        if fault.is_none_or(|f| !matches!(f, Fault::Edit { .. })) {
            let is_only = docs.len() == 1 && !self.broken;
            faults.extend(check::recorded(before, after, docs, is_only));
        }
        if !faults.is_empty() {
            return Err(format!(
                "{} drives: {}",
                driver.side().host(),
                faults.join("\n")
            ));
        }
        self.base = base;
        self.broken = false;
        self.forgetful = false;
        self.common(before, after, fault)
    }

    /// After an edit in the middle of a run that broke off: it may have been seen or not.
    fn loosen(&mut self, fault: Option<&Fault>, before: &Seen, after: &Seen) {
        let restless = restless(fault);
        let trees = before.trees.iter().chain(&after.trees);
        for (path, entry) in trees.flat_map(|t| &t.entries) {
            if restless(path) {
                let known = self.base.entry(path.clone()).or_insert_with(|| vec![None]);
                known.push(Some(super::model::val(entry)));
                known.push(None);
            }
        }
    }

    /// What holds after every step, also after one that broke off: I1, I2, I12, I13.
    pub fn common(&mut self, before: &Seen, after: &Seen, fault: Option<&Fault>) -> Checked {
        if let Some(Fault::Edit { .. }) = fault {
            self.remember_only(fault);
        }
        check::whole(&self.history, after)?;
        let changed = match fault {
            Some(Fault::Edit { host, .. }) => Some(*host),
            _ => None,
        };
        check::apart(before, after, |side, path| {
            changed.is_some_and(|h| h.side() == side) && restless(fault)(path)
        })?;
        let diff = self.outside.diff(&self.beside());
        if !diff.is_empty() {
            return Err(format!("I2: outside of the roots\n{diff}"));
        }
        let author = |side: Side, path: &[u8]| {
            changed.is_some_and(|h| h.side() == side) && restless(fault)(path)
        };
        let mut owed = std::mem::take(&mut self.owed);
        let found = check::lost(before, after, &mut owed, author, || self.retrievable());
        self.owed = owed;
        found
    }

    /// Values that a user made in the middle of a run: they lie there now, or were replaced by what both had.
    fn remember_only(&mut self, fault: Option<&Fault>) {
        let restless = restless(fault);
        for side in Side::BOTH {
            for (path, entry) in self.lab.snapshot(side).entries {
                if restless(&path) {
                    let what = super::model::what(&entry);
                    self.history.entry(path).or_default().insert(what);
                }
            }
        }
    }

    pub fn undo(&mut self, driver: Host, by: Host, at: Option<u64>) -> Checked {
        // What a dead run had done would be taken back as well, or not: another test looks at that.
        if self.broken || self.forgetful {
            return self.apply(driver, None);
        }
        let (base, before) = (self.base.clone(), self.look());
        let out = self.lab.run_on(driver.side(), &APPLY);
        let said = doc(&out);
        if !matches!(out.code, 0 | 4) {
            return match out.code {
                3 => self.apply(driver, None),
                _ => Err(format!("exit {} without a fault\n{out}", out.code)),
            };
        }
        let middle = self.look();
        self.done(driver, &before, &middle, &[(driver, &said)], out.code, None)
            .map_err(|why| format!("{why}\n{out}"))?;
        let changes = |doc: &Value| -> BTreeSet<String> {
            let all = doc["lanes"][0]["changes"].as_array().into_iter().flatten();
            all.map(|c| format!("{} {} {}", c["path"], c["kind"], c["to"]))
                .collect()
        };
        if changes(&said).is_empty() {
            return Ok(());
        }
        let run = said["run"].as_str().unwrap_or_default();
        let back = ["rollback", run, "--apply", "--json", "--wait", "20s"];
        if let Some(at) = at {
            let mut first = self.lab.spawn_on(by.side(), &back);
            self.moment(&mut first, at);
            first.kill();
            first.wait();
            self.settle();
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
        for side in Side::BOTH {
            let [was, is] = [&before, &after].map(|s| &s.trees[index(side)]);
            let difference = truth_difference(was, is, &[]);
            if !difference.is_empty() {
                let host = side.host();
                return Err(format!(
                    "I19: {host} is not as before\n{difference}\n{out}\n{undone}"
                ));
            }
        }
        self.common(&middle, &after, None)?;
        self.base = base;
        self.lab
            .run_on(by.side(), &["release", by.other().side().host()])
            .expect(0);
        let again = self.lab.run_on(driver.side(), &["truth", "--json"]);
        if changes(&doc(&again)) != changes(&said) {
            return Err(format!(
                "I19: the plan is another one after the rollback\n{again}\nit was\n{out}"
            ));
        }
        Ok(())
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
        // Before a pair has synced, an empty root is as good as any.
        if self.base.is_empty() || self.forgetful {
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
        let out = self.lab.run_on(driver.side(), &APPLY);
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
            seen.trees[index(side)].entries.remove(b"".as_slice());
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
        self.apply(Host::Mac, None)?;
        self.pull(None)?;
        for side in Side::BOTH {
            if !self.lost_records.contains(side.host()) {
                let out = self.lab.run_on(side, &["runs", "verify"]);
                if out.code != 0 {
                    return Err(format!("I18: the records of {}\n{out}", side.host()));
                }
            }
        }
        let out = self.lab.run(&["truth", "--json"]);
        let verified = self.lab.run(&["verify"]);
        if out.code == 0 && verified.code != 0 {
            return Err(format!("I11: in sync, and yet verify says\n{verified}"));
        }
        check::clean(&self.lab)
    }
}

/// Whether a path, something above or below it was changed by a user in the middle of the run.
fn restless(fault: Option<&Fault>) -> impl Fn(&[u8]) -> bool + '_ {
    let paths = match fault {
        Some(Fault::Edit { deed, .. }) => touched(deed),
        _ => Vec::new(),
    };
    move |path: &[u8]| {
        paths
            .iter()
            .any(|t| upwards(path).any(|p| p == t.0.as_slice()) || upwards(&t.0).any(|p| p == path))
    }
}
