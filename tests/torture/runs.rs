//! Dry runs and applies, with what befalls them, and what has to be true afterwards. The checks themselves: `check.rs`.
//!
//! Invariant: an exit code is believed only after the trees were looked at.

use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use super::check;
use super::model::{learn_from_crash, upwards};
use super::script::{Blow, Fault, Host, Ill, Place, Victim};
use super::users::touched;
use super::world::{Ask, Checked, Seen, World, index};
use crate::lab::{Disk, Output, Running, Snapshot, libfaketime, signal, wait_until};

pub const APPLY: [&str; 5] = ["truth", "--apply", "--json", "--wait", "20s"];

pub fn now() -> i128 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap().as_nanos() as i128
}

/// The document of a run, or null when it had no time to write one.
pub fn doc(out: &Output) -> Value {
    serde_json::from_str(&out.stdout).unwrap_or_default()
}

/// What the first lane lists under a key.
pub fn list(doc: &Value, key: &str) -> Vec<Value> {
    let list = doc["lanes"][0][key].as_array();
    list.cloned().unwrap_or_default()
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

    pub fn run(&self, ask: Ask, args: &[&str]) -> Output {
        self.lab.start(self.command(ask, args, None)).wait()
    }

    /// Who else works on the same pair: the hub, or the one that the hub works with.
    pub fn other(&self, ask: Ask) -> Ask {
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
                match broken || self.pairs_of(ask).len() > 1 {
                    true => Ok(()),
                    false => self.looks_agree(ask, &doc),
                }
            }
            3 => self.may_refuse(ask, &guards(&doc), &out),
            // One of several peers was refused.
            1 if !guards(&doc).is_empty() => self.may_refuse(ask, &guards(&doc), &out),
            _ if broken => Ok(()),
            _ => Err(format!("a dry run ended so: {out}")),
        }
    }

    /// A look at some paths alone, and one that reads every file, have the same plan as the one before.
    fn looks_agree(&self, ask: Ask, first: &Value) -> Checked {
        let path = |v: &Value| v["path"].as_str().unwrap_or_default().to_owned();
        let is_plain = |p: &String| p.bytes().all(|b| b.is_ascii_graphic());
        let all = [list(first, "changes"), list(first, "left")].concat();
        let named: Vec<String> = all.iter().map(path).filter(is_plain).step_by(3).collect();
        let within = |p: &str, dir: &str| p == dir || p.starts_with(&format!("{dir}/"));
        let is_asked = |change: &Value| {
            let p = path(change);
            let is_made = change["kind"] == "create";
            named
                .iter()
                .any(|n| within(&p, n) || is_made && within(n, &p))
        };
        let told = |changes: &[Value]| -> Vec<String> {
            let keys = ["path", "kind", "to"];
            let words = |c: &Value| keys.map(|k| c[k].to_string()).join(" ");
            changes.iter().map(words).collect()
        };
        let of_part: Vec<String> = named.iter().map(|n| format!("--path={n}")).collect();
        let mut part = vec!["truth", "--json"];
        part.extend(of_part.iter().map(String::as_str));
        'kinds: for (args, is_part) in [
            (part, true),
            (vec!["truth", "--json", "--full-scan"], false),
        ] {
            if is_part && named.is_empty() {
                continue;
            }
            let mut out = self.run(ask, &args);
            let mut whole = first.clone();
            // What lay in the future may lie there no more: then all of it is asked again.
            for _ in 0..3 {
                let mut planned = list(&whole, "changes");
                planned.retain(|c| !is_part || is_asked(c));
                if !matches!(out.code, 0 | 4)
                    || told(&planned) == told(&list(&doc(&out), "changes"))
                {
                    continue 'kinds;
                }
                whole = doc(&self.run(ask, &["truth", "--json"]));
                out = self.run(ask, &args);
            }
            return Err(format!("{args:?} has another plan than {whole:#}: {out}"));
        }
        Ok(())
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
    pub fn judge(
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
            let base = learn_from_crash(&pair.base, two(before), two(after), pairs.len() > 1);
            pair.know(base);
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
    pub fn allowed(&mut self, ask: Ask, guards: &[String]) -> Checked {
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
