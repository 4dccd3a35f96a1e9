//! What the program is told to do, with what befalls it, and what has to be true afterwards. The checks themselves: `check.rs`.
//!
//! Invariant: an exit code is believed only after the trees were looked at.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use super::check::{self, Said, Two};
use super::model::{Base, Clock, Replica, Run, learn_from_crash, upwards, val};
use super::script::{Blow, Fault, Host, Ill, Missing, Place, Victim};
use super::users::touched;
use super::world::{Ask, Checked, Seen, World, index};
use crate::lab::{
    Disk, Output, Running, Side, Snapshot, libfaketime, signal, truth_difference, wait_until,
};

const APPLY: [&str; 5] = ["truth", "--apply", "--json", "--wait", "20s"];

pub fn now() -> i128 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap().as_nanos() as i128
}

/// The document of a run, or null when it had no time to write one.
pub fn doc(out: &Output) -> Value {
    serde_json::from_str(&out.stdout).unwrap_or_default()
}

pub fn guards(doc: &Value) -> Vec<String> {
    let all = doc["findings"].as_array().into_iter().flatten();
    all.filter(|f| f["severity"] == "refuse")
        .map(|f| f["guard"].as_str().unwrap_or_default().to_owned())
        .collect()
}

impl World {
    /// The program on a host; `ask` names the one peer if there is a choice.
    fn command(&self, ask: Ask, args: &[&str], fault: Option<&Fault>) -> Command {
        let side = ask.driver.side();
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
        command.args(args).args(ask.with.map(Host::name));
        command
    }

    fn run(&self, ask: Ask, args: &[&str]) -> Output {
        self.lab.start(self.command(ask, args, None)).wait()
    }

    /// Who else works on the same pair: the hub, or the one that the hub works with.
    fn other(&self, ask: Ask) -> Ask {
        match ask.driver {
            Host::Mac => self.ask(ask.with.unwrap_or(Host::Balaur), None),
            driver => self.ask(Host::Mac, Some(driver)),
        }
    }

    pub fn moment(&self, run: &mut Running, at: u64) {
        let wanted = self.typical * u32::try_from(at).unwrap() / 1000;
        let began = Instant::now();
        wait_until("the moment has come", || {
            run.finished() || began.elapsed() >= wanted
        });
    }

    pub fn strike(&mut self, run: &Running, driver: Host, who: Victim, blow: Blow) {
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
            (true, Host::Nas) => None,
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
                    let engine = ["unison", "rsync"]
                        .iter()
                        .any(|e| p.program().starts_with(e));
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
        ask: Ask,
        args: &[&str],
        fault: Option<&Fault>,
    ) -> (Output, Option<Output>) {
        let mut run = self.lab.start(self.command(ask, args, fault));
        let mut twin = None;
        match fault {
            Some(Fault::Kill { who, blow, at }) => {
                self.moment(&mut run, *at);
                self.strike(&run, ask.driver, *who, *blow);
            }
            Some(Fault::Edit { host, deed, at }) => {
                self.moment(&mut run, *at);
                self.deed(*host, deed);
            }
            Some(Fault::Twin { at }) => {
                self.moment(&mut run, *at);
                let args = &["truth", "--apply", "--json"];
                let other = self.command(self.other(ask), args, None);
                twin = Some(self.lab.start(other).wait());
            }
            _ => {}
        }
        let out = run.wait();
        if fault.is_some() {
            self.settle();
        }
        (out, twin)
    }

    // -- the steps

    pub fn dry(&mut self, ask: Ask) -> Checked {
        let before = self.look();
        let out = self.run(ask, &["truth", "--json"]);
        let after = self.look();
        let broken = self.is_broken(ask);
        // What a dead run had delivered is booked before anything is planned, by whichever run comes next.
        check::untouched(&before, &after, !broken, "I4: a dry run")?;
        let doc = doc(&out);
        match out.code {
            0 | 4 => {
                let plan = doc["plan"].as_str().unwrap_or_default().to_owned();
                self.shown = (!broken && !plan.is_empty()).then_some((ask, plan));
                Ok(())
            }
            3 => self.may_refuse(ask, &guards(&doc), &out),
            // One of several peers was refused.
            1 if !guards(&doc).is_empty() => self.may_refuse(ask, &guards(&doc), &out),
            _ if broken => Ok(()),
            _ => Err(format!("a dry run ended so: {out}")),
        }
    }

    /// Guards speak only when they have a reason.
    fn may_refuse(&self, ask: Ask, guards: &[String], out: &Output) -> Checked {
        let known = |g: &String| match g.as_str() {
            "max_delete" => true,
            "first_sync" => self.is_forgetful(ask),
            "clock_skew" => true,
            _ => false,
        };
        if guards.iter().all(known) && !guards.is_empty() {
            return Ok(());
        }
        Err(format!("a guard without a reason: {guards:?}\n{out}"))
    }

    pub fn apply(&mut self, ask: Ask, fault: Option<&Fault>) -> Checked {
        if let Some(Fault::Disk { host, place, ill }) = fault {
            return self.on_an_ill_disk(ask, *host, *place, *ill);
        }
        let several = self.pairs_of(ask).len() > 1;
        // Which of two peers saw what of it would be anybody's guess.
        let guess = |f: &&Fault| several && matches!(f, Fault::Edit { .. } | Fault::Twin { .. });
        let fault = fault.filter(|f| !guess(f));
        let mut args = APPLY.to_vec();
        if matches!(fault, Some(Fault::Twin { .. })) {
            args.truncate(3);
        }
        let before = self.look();
        let began = Instant::now();
        let (out, twin) = self.endure(ask, &args, fault);
        if fault.is_none() && matches!(out.code, 0 | 4) && !self.is_broken(ask) {
            self.typical = began
                .elapsed()
                .clamp(Duration::from_millis(80), Duration::from_secs(3));
        }
        let after = self.look();
        let shown = self.shown.take();
        if let (Some((asked, plan)), None, 0 | 4) = (shown, fault, out.code)
            && asked == ask
            && doc(&out)["plan"] != plan.as_str()
        {
            return Err(format!(
                "I17: {plan} was shown, another plan was applied\n{out}"
            ));
        }
        self.strangers(ask, &before, &after, fault)?;
        match twin {
            Some(twin) => self.two_at_once(ask, &before, &after, &out, &twin),
            None => self.judge(ask, &before, &after, &out, fault),
        }
    }

    /// A host that takes no part in a run is not touched by it.
    fn strangers(&self, ask: Ask, before: &Seen, after: &Seen, fault: Option<&Fault>) -> Checked {
        let pairs = self.pairs_of(ask);
        let all = self.pairs.iter().enumerate();
        for (_, pair) in all.filter(|(i, _)| !pairs.contains(i)) {
            let [was, is] = [before, after].map(|s| &s.trees[index(pair.spoke)]);
            let by_user = matches!(fault, Some(Fault::Edit { host, .. }) if *host == pair.spoke);
            let diff = was.diff(is);
            if !by_user && !diff.is_empty() {
                let host = pair.spoke.name();
                return Err(format!("I2: {host} took no part and has changed\n{diff}"));
            }
        }
        Ok(())
    }

    /// What a run has to have done by its exit code.
    fn judge(
        &mut self,
        ask: Ask,
        before: &Seen,
        after: &Seen,
        out: &Output,
        fault: Option<&Fault>,
    ) -> Checked {
        let said = doc(out);
        let several = self.pairs_of(ask).len() > 1;
        match (out.code, fault) {
            (0 | 4, _) => {
                self.done(before, after, &[(ask, &said)], out.code, fault)
                    .map_err(|why| format!("{why}\n{out}"))?;
                match fault {
                    Some(Fault::Edit { .. }) => Ok(()),
                    _ if several => self.quiet(ask),
                    _ => self.idle(self.other(ask), out.code, &said),
                }
            }
            (3, _) => {
                // Unless its user has made the change, in the middle of it.
                if !matches!(fault, Some(Fault::Edit { .. })) {
                    check::untouched(before, after, false, "a refused run")?;
                }
                let guards = guards(&said);
                self.may_refuse(ask, &guards, out)?;
                self.common(before, after, fault)?;
                self.allowed(ask, &guards)
            }
            (_, Some(_)) => {
                self.broke_off(ask, before, after, fault);
                self.common(before, after, fault)
                    .map_err(|why| format!("after exit {}: {why}\n{out}", out.code))
            }
            (1, None) if several && !guards(&said).is_empty() => {
                // One peer was refused and the other was not: what is true is seen with one at a time.
                self.may_refuse(ask, &guards(&said), out)?;
                self.common(before, after, None)?;
                self.learn_loosely(ask, before, after);
                for spoke in [Host::Balaur, Host::Nas] {
                    self.apply(self.ask(ask.driver, Some(spoke)), None)?;
                }
                Ok(())
            }
            (code, None) if self.is_broken(ask) => {
                self.common(before, after, None)?;
                self.learn_loosely(ask, before, after);
                // I15: one more, and it has to end well.
                let (before, again) = (self.look(), self.run(ask, &APPLY));
                if !matches!(again.code, 0 | 3 | 4) {
                    return Err(format!(
                        "I15: two runs after a crash ended with {code} and {}\n{out}\n{again}",
                        again.code
                    ));
                }
                let after = self.look();
                self.judge(ask, &before, &after, &again, None)
            }
            (code, None) => Err(format!("exit {code} without a fault\n{out}")),
        }
    }

    fn broke_off(&mut self, ask: Ask, before: &Seen, after: &Seen, fault: Option<&Fault>) {
        self.learn_loosely(ask, before, after);
        for at in self.pairs_of(ask) {
            self.loosen(at, fault, before, after);
            self.pairs[at].broken = true;
        }
    }

    /// What the pairs of a run may last have had when it did not end well.
    fn learn_loosely(&mut self, ask: Ask, before: &Seen, after: &Seen) {
        let pairs = self.pairs_of(ask);
        for at in &pairs {
            let pair = &mut self.pairs[*at];
            let two = |s| trees(s, pair.spoke);
            pair.base = learn_from_crash(&pair.base, two(before), two(after), pairs.len() > 1);
        }
    }

    /// A run whose disk is full or closed, tried again, then with the guard out of the way; when there is room, it ends well.
    fn on_an_ill_disk(&mut self, ask: Ask, host: Host, place: Place, ill: Ill) -> Checked {
        let host = match self.hosts().contains(&host) {
            true => host,
            false => Host::Mac,
        };
        let at = match place {
            Place::Tree => self.lab.tree(host.side()),
            Place::State => self.lab.state_dir(host.side()),
            Place::Records => self.lab.home(host.side()).join("logs"),
        };
        let Some(disk) = Disk::under(&at) else {
            return self.apply(ask, None);
        };
        self.shown = None;
        spoil(&disk, ill);
        for allow in [None, Some("free_space")] {
            let mut args = APPLY.to_vec();
            args.extend(allow.iter().flat_map(|a| ["--allow", a]));
            let before = self.look();
            let out = self.run(ask, &args);
            let after = self.look();
            let failed = |why: String| format!("{place:?} of {host:?} {ill:?}: {why}\n{out}");
            match out.code {
                0 | 4 => {
                    let said = doc(&out);
                    self.done(&before, &after, &[(ask, &said)], out.code, None)
                        .map_err(failed)?;
                }
                3 => {
                    check::untouched(&before, &after, false, "a refused run").map_err(failed)?;
                }
                1 => {
                    self.broke_off(ask, &before, &after, None);
                }
                _ => return Err(failed("that is no way to end".into())),
            }
            self.common(&before, &after, None).map_err(failed)?;
        }
        cure(&disk, ill);
        let before = self.look();
        let out = self.run(ask, &APPLY);
        let after = self.look();
        let may_fail = self.pairs_of(ask).len() > 1 && !guards(&doc(&out)).is_empty();
        if !matches!(out.code, 0 | 3 | 4) && !may_fail {
            return Err(format!(
                "I15: the disk ({place:?} of {host:?}) is well again, and yet\n{out}"
            ));
        }
        let judged = self.judge(ask, &before, &after, &out, None);
        drop(disk);
        judged
    }

    /// The same again, with what the guards asked about allowed for once.
    fn allowed(&mut self, ask: Ask, guards: &[String]) -> Checked {
        let mut args = APPLY.to_vec();
        for guard in guards {
            args.extend(["--allow", guard.as_str()]);
        }
        let before = self.look();
        let out = self.run(ask, &args);
        let after = self.look();
        if !matches!(out.code, 0 | 4) {
            return Err(format!("allowed, and yet exit {}\n{out}", out.code));
        }
        let said = doc(&out);
        self.done(&before, &after, &[(ask, &said)], out.code, None)
            .map_err(|why| format!("{why}\n{out}"))?;
        match self.pairs_of(ask).len() > 1 {
            true => self.quiet(ask),
            false => self.idle(self.other(ask), out.code, &said),
        }
    }

    /// I16 for three: after a few rounds of the hub nothing more comes, and all are equal.
    fn quiet(&mut self, ask: Ask) -> Checked {
        for _ in 0..4 {
            let before = self.look();
            let out = self.run(ask, &APPLY);
            let after = self.look();
            let said = doc(&out);
            if !matches!(out.code, 0 | 4) {
                // What came from one peer may be more deletes than may go to the other at once.
                return self.judge(ask, &before, &after, &out, None);
            }
            self.done(&before, &after, &[(ask, &said)], out.code, None)
                .map_err(|why| format!("{why}\n{out}"))?;
            let lanes = said["lanes"].as_array().into_iter().flatten();
            if lanes
                .flat_map(|l| l["changes"].as_array())
                .all(Vec::is_empty)
            {
                return check::untouched(&before, &after, false, "I6: a run with nothing to do");
            }
        }
        Err("I16: four rounds, and still something to do".into())
    }

    /// I20: at most one of two works, and the other has no effect.
    fn two_at_once(
        &mut self,
        ask: Ask,
        before: &Seen,
        after: &Seen,
        one: &Output,
        two: &Output,
    ) -> Checked {
        let both = [(ask, one), (self.other(ask), two)];
        if let Some((_, odd)) = both.iter().find(|(_, o)| !matches!(o.code, 0 | 3 | 4 | 6)) {
            return Err(format!("I20: two at once, and one ended so: {odd}"));
        }
        let docs: Vec<(Ask, Value)> = both
            .iter()
            .filter(|(_, o)| matches!(o.code, 0 | 4))
            .map(|(ask, o)| (*ask, doc(o)))
            .collect();
        let said: Vec<(Ask, &Value)> = docs.iter().map(|(a, d)| (*a, d)).collect();
        match both.iter().find(|(_, o)| matches!(o.code, 0 | 4)) {
            Some((_, out)) => self
                .done(before, after, &said, out.code, None)
                .map_err(|why| format!("{why}\n{one}\n{two}")),
            None => {
                check::untouched(before, after, false, "I20: two that hindered each other")?;
                self.common(before, after, None)
            }
        }
    }

    /// I6: what has ended well has nothing more to do, whoever asks. Only a time that was to come may be past by now, or past for the
    /// other one's clock, or that clock be right: what was left for it is decided then, and nothing is left to do after that.
    fn idle(&mut self, ask: Ask, code: i32, said: &Value) -> Checked {
        let (mut ask, mut code, mut said) = (ask, code, said.clone());
        for _ in 0..4 {
            let before = self.look();
            let out = self.run(ask, &APPLY);
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
            self.done(&before, &after, &[(ask, &again)], out.code, None)
                .map_err(|why| format!("{why}\n{out}"))?;
            (ask, code, said) = (self.other(ask), out.code, again);
        }
        Err("I6: four runs, and each found something to do".into())
    }

    /// A run that says it is done; or two of the same pair at once.
    fn done(
        &mut self,
        before: &Seen,
        after: &Seen,
        docs: &[(Ask, &Value)],
        code: i32,
        fault: Option<&Fault>,
    ) -> Checked {
        let restless = restless(fault);
        let ask = docs[0].0;
        let pairs = self.pairs_of(ask);
        let said_of = |at: usize| -> Vec<Said> {
            let spoke = self.pairs[at].spoke;
            let said = docs.iter().map(|(a, d)| Said::of(d, a.driver, spoke));
            said.collect()
        };
        let left = pairs
            .iter()
            .any(|at| said_of(*at).iter().any(|s| !s.left().is_empty()));
        if (code == 4) != left {
            return Err(format!("I11: exit {code}, and something left: {left}"));
        }
        let judged = |at: usize, before: &Snapshot, after: &Snapshot, all: [&Seen; 2]| {
            let spoke = self.pairs[at].spoke;
            let two = Two {
                before: [before, &all[0].trees[index(spoke)]],
                after: [after, &all[1].trees[index(spoke)]],
                spoke,
            };
            self.one_pair(at, two, &said_of(at), fault, &restless)
        };
        let (was, is) = (&before.trees[0], &after.trees[0]);
        let learned = match pairs[..] {
            [at] => judged(at, was, is, [before, after]).map(|base| vec![(at, base)]),
            // Whose turn came first is not told: one of both orders must explain what is seen.
            [a, b] => {
                let try_order = |first: usize, second: usize| {
                    let peer = &after.trees[index(self.pairs[first].spoke)];
                    let mid = check::between([was, is], peer, said_of(first)[0]);
                    let one = judged(first, was, &mid, [before, after])?;
                    let two = judged(second, &mid, is, [before, after])?;
                    Ok(vec![(first, one), (second, two)])
                };
                try_order(a, b).or_else(|why: String| {
                    try_order(b, a)
                        .map_err(|other| format!("{why}\nor, the other way round: {other}"))
                })
            }
            _ => unreachable!("a host has one peer or two"),
        };
        let learned = learned.map_err(|why| format!("{} drives: {why}", ask.driver.name()))?;
        for (at, base) in learned {
            let pair = &mut self.pairs[at];
            pair.base = base;
            pair.broken = false;
            pair.forgetful = false;
        }
        self.common(before, after, fault)
    }

    /// What a run made of one pair; what both last had, from now on.
    fn one_pair(
        &self,
        at: usize,
        two: Two,
        said: &[Said],
        fault: Option<&Fault>,
        restless: &dyn Fn(&[u8]) -> bool,
    ) -> Result<Base, String> {
        let pair = &self.pairs[at];
        let run = Run {
            before: two.before.map(Replica::of),
            after: two.after.map(Replica::of),
            base: &pair.base,
            left: said.iter().flat_map(Said::left).collect(),
            clock: Clock {
                now: now(),
                skewed: matches!(fault, Some(Fault::Skew { .. })),
            },
            restless,
        };
        let mut faults = run.faults();
        if fault.is_none_or(|f| !matches!(f, Fault::Edit { .. })) {
            let is_only = said.len() == 1 && !pair.broken;
            faults.extend(check::recorded(two, said, is_only));
        }
        match faults.is_empty() {
            true => Ok(run.learn()),
            false => Err(faults.join("\n")),
        }
    }

    /// After an edit in the middle of a run that broke off: it may have been seen or not.
    fn loosen(&mut self, at: usize, fault: Option<&Fault>, before: &Seen, after: &Seen) {
        let restless = restless(fault);
        let trees = before.trees.iter().chain(&after.trees);
        let base = &mut self.pairs[at].base;
        for (path, entry) in trees.flat_map(|t| &t.entries) {
            if restless(path) {
                let known = base.entry(path.clone()).or_insert_with(|| vec![None]);
                known.push(Some(val(entry)));
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
        let author = |host: Host, path: &[u8]| changed == Some(host) && restless(fault)(path);
        check::apart(before, after, author)?;
        let diff = self.outside.diff(&self.beside());
        if !diff.is_empty() {
            return Err(format!("I2: outside of the roots\n{diff}"));
        }
        let mut owed = std::mem::take(&mut self.owed);
        let found = check::lost(before, after, &mut owed, author, || self.retrievable());
        self.owed = owed;
        found
    }

    /// Values that a user made in the middle of a run: they lie there now, or were replaced by what both had.
    fn remember_only(&mut self, fault: Option<&Fault>) {
        let restless = restless(fault);
        for host in self.hosts() {
            for (path, entry) in self.lab.snapshot(host.side()).entries {
                if restless(&path) {
                    let what = super::model::what(&entry);
                    self.history.entry(path).or_default().insert(what);
                }
            }
        }
    }

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
        let (base, before) = (self.pairs[pair].base.clone(), self.look());
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

/// The hub's tree and another one's.
fn trees(seen: &Seen, spoke: Host) -> [&Snapshot; 2] {
    [&seen.trees[0], &seen.trees[index(spoke)]]
}

pub fn spoil(disk: &Disk, ill: Ill) {
    match ill {
        Ill::Full(left) => disk.fill(left),
        Ill::Closed => disk.close(),
    }
}

pub fn cure(disk: &Disk, ill: Ill) {
    match ill {
        Ill::Full(_) => disk.empty(),
        Ill::Closed => disk.open(),
    }
}

/// Whether a path, something above or below it was changed by a user in the middle of the run.
pub fn restless(fault: Option<&Fault>) -> impl Fn(&[u8]) -> bool + '_ {
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
