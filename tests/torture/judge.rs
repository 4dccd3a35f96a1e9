//! What is true of a run by what it said: that it is done, that nothing is left to do, that one of two held back, that it broke off.
//!
//! Invariant: a run with two peers is two runs, one behind the other; the tree between them is put together from the record.

use serde_json::Value;

use super::check::{self, Said, Two};
use super::model::{Base, Clock, Replica, Run, val};
use super::runs::{APPLY, doc, list, now, restless};
use super::script::{Fault, Host};
use super::world::{Ask, Checked, Seen, World, index};
use crate::lab::{Output, Snapshot};

impl World {
    /// I16 for three: after a few rounds of the hub nothing more comes, and all are equal.
    pub fn quiet(&mut self, ask: Ask) -> Checked {
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
    pub fn two_at_once(
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
    pub fn idle(&mut self, ask: Ask, code: i32, said: &Value) -> Checked {
        let (mut ask, mut code, mut said) = (ask, code, said.clone());
        for _ in 0..4 {
            let before = self.look();
            let out = self.run(ask, &APPLY);
            let after = self.look();
            let again = doc(&out);
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
    pub fn done(
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
            pair.know(base);
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
    pub fn loosen(&mut self, at: usize, fault: Option<&Fault>, before: &Seen, after: &Seen) {
        let restless = restless(fault);
        let trees = before.trees.iter().chain(&after.trees);
        let mut base = self.pairs[at].base.clone();
        for (path, entry) in trees.flat_map(|t| &t.entries) {
            if restless(path) {
                let known = base.entry(path.clone()).or_insert_with(|| vec![None]);
                known.push(Some(val(entry)));
                known.push(None);
            }
        }
        self.pairs[at].know(base);
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
}
