//! The one-way lane in a sequence: the user of mac commits, and the commit goes to a target on which somebody else works, too.
//!
//! Invariant: a publish is believed only after replicas, target and what lies beside them were looked at.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::check;
use super::fleet::{Fleet, Wanted, is_apart, is_ours, wants};
use super::runs::{cure, doc, guards, restless, spoil};
use super::script::{Deed, Fault, Host, Ill, Place};
use super::world::{Checked, World};
use crate::lab::{Disk, Kind, Output, Side};

const PUBLISH: [&str; 5] = ["publish", "--json", "--wait", "20s", "--apply"];

impl World {
    fn mac(&self) -> PathBuf {
        self.lab.tree(Side::Laptop)
    }

    pub fn target_deed(&mut self, deed: &Deed) {
        let mac = self.mac();
        if let Some(fleet) = &mut self.fleet {
            fleet.deed(deed, mac);
        }
    }

    pub fn commit(&mut self) {
        let Some(fleet) = &mut self.fleet else { return };
        // Git believes times, and users here set them as they like: it is to read every file.
        self.lab.git(&["read-tree", "--empty"]);
        self.lab.git(&["add", "-A"]);
        self.lab.git(&["commit", "-q", "--allow-empty", "-m", "m"]);
        let head = self.lab.git(&["rev-parse", "HEAD"]);
        let tree = self.lab.snapshot(Side::Laptop).entries;
        let wanted: Wanted = tree
            .iter()
            .filter(|(p, e)| e.kind != Kind::Dir && !is_apart(p) && !is_ours(p))
            .map(|(p, e)| (p.clone(), wants(e)))
            .collect();
        for (path, (what, _)) in &wanted {
            let known = fleet.history.entry(path.clone()).or_default();
            known.insert(what.clone());
        }
        fleet.commits.insert(head.clone(), wanted);
        fleet.head = Some(head);
    }

    pub fn publish(&mut self, dry: bool, fault: Option<&Fault>) -> Checked {
        if self.fleet.is_none() {
            return Ok(());
        }
        if self.fleet.as_ref().is_some_and(|f| f.head.is_none()) {
            self.commit();
        }
        if let Some(Fault::Disk { place, ill, .. }) = fault {
            return self.publish_on_an_ill_disk(*place, *ill);
        }
        let args = if dry { &PUBLISH[..4] } else { &PUBLISH };
        self.publish_with(args, fault)?;
        Ok(())
    }

    fn fleet(&mut self) -> &mut Fleet {
        self.fleet.as_mut().unwrap()
    }

    /// One run, and what has to be true afterwards; its exit code.
    fn publish_with(&mut self, args: &[&str], fault: Option<&Fault>) -> Result<i32, String> {
        let all = self.look();
        let (before, rev) = (self.fleet().look(), self.fleet().rev());
        let out = self.endure_publish(args, fault);
        let is_source = |f: &Fault| {
            matches!(
                f,
                Fault::Edit {
                    host: Host::Mac,
                    ..
                }
            )
        };
        if fault.is_some_and(is_source) {
            self.remember();
        } else {
            let after = self.look();
            check::untouched(&all, &after, true, "I3: a publish")?;
        }
        let outside = self.outside.diff(&self.beside());
        if !outside.is_empty() {
            return Err(format!("I2: outside of the roots\n{outside}"));
        }
        let restless = restless(fault.filter(|f| !is_source(f)));
        let failed = |why: String| format!("{why}\n{out}");
        let head = self.fleet().head.clone().unwrap();
        self.fleet().common(&before, &restless).map_err(failed)?;
        let is_dry = !args.contains(&"--apply");
        let said = doc(&out);
        let same = |fleet: &Fleet| match before.diff(&fleet.look()) {
            diff if diff.is_empty() => Ok(()),
            diff => Err(format!(
                "I4: a publish that was not carried out changed\n{diff}"
            )),
        };
        match out.code {
            0 if is_dry => same(self.fleet()).map_err(failed)?,
            0 => {
                let fleet = self.fleet();
                fleet.complete(&head, &before, &restless).map_err(failed)?;
                let run = said["run"].as_str().unwrap_or_default().to_owned();
                if said["outcome"] != "in-sync" {
                    fleet.last = rev.map(|rev| (run, rev));
                }
            }
            3 => {
                if fault.is_none() {
                    same(self.fleet()).map_err(failed)?;
                }
                let why = self.may_refuse_publish(&guards(&said)).map_err(failed)?;
                if let (Some(guard), false) = (why, is_dry || args.contains(&"--allow")) {
                    let args = [args, &["--allow", guard]].concat();
                    return self.publish_with(&args, None);
                }
            }
            1.. if fault.is_some() => {
                let before = (&before, rev.as_deref());
                let fleet = self.fleet();
                fleet.broke_off(&head, before, &restless).map_err(failed)?;
            }
            code => return Err(failed(format!("a publish ended with {code}"))),
        }
        Ok(out.code)
    }

    fn endure_publish(&mut self, args: &[&str], fault: Option<&Fault>) -> Output {
        let began = Instant::now();
        loop {
            let mut run = self.lab.spawn(args);
            match fault {
                Some(Fault::Kill { who, blow, at }) => {
                    self.moment(&mut run, *at);
                    self.strike(&run, Host::Mac, *who, *blow);
                }
                Some(Fault::Edit { host, deed, at }) => {
                    self.moment(&mut run, *at);
                    match host {
                        Host::Mac => self.deed(*host, deed),
                        _ => {
                            self.target_deed(deed);
                            let restless = restless(fault);
                            self.fleet().made_meanwhile(&restless);
                        }
                    }
                }
                _ => {}
            }
            let out = run.wait();
            if fault.is_some() {
                self.settle();
            }
            // The lock of a dead run is let go by the session that holds it, which may take a moment.
            if out.code != 6 || began.elapsed() > Duration::from_secs(20) {
                return out;
            }
        }
    }

    /// The guard that has to be waived, if there is one that may be.
    fn may_refuse_publish(&mut self, guards: &[String]) -> Result<Option<&'static str>, String> {
        let fleet = self.fleet();
        let is_broken_name = fleet.want().keys().any(|p| p.contains(&b'\n'));
        let going = fleet.ours.union(&fleet.maybe);
        let going = going.filter(|p| !fleet.want().contains_key(*p)).count();
        match guards {
            [g] if g == "max_delete" && going > 8 => Ok(Some("max_delete")),
            _ if is_broken_name => Ok(None),
            _ => Err(format!("a guard without a reason: {guards:?}")),
        }
    }

    fn publish_on_an_ill_disk(&mut self, place: Place, ill: Ill) -> Checked {
        let at = match place {
            Place::Tree => self.fleet().root.clone(),
            Place::State => self.lab.state_dir(Side::Laptop),
            Place::Records => self.lab.home(Side::Laptop).join("logs"),
        };
        let Some(disk) = at.exists().then(|| Disk::under(&at)).flatten() else {
            return self.publish(false, None);
        };
        spoil(&disk, ill);
        for allow in [None, Some("free_space")] {
            let mut args = PUBLISH.to_vec();
            args.extend(allow.iter().flat_map(|a| ["--allow", a]));
            let (before, rev) = (self.fleet().look(), self.fleet().rev());
            let out = self.lab.run(&args);
            let failed = |why: String| format!("{place:?} {ill:?}: {why}\n{out}");
            let fleet = self.fleet();
            fleet.common(&before, &|_| false).map_err(failed)?;
            let head = fleet.head.clone().unwrap();
            let rev = (&before, rev.as_deref());
            match out.code {
                0 => fleet.complete(&head, &before, &|_| false).map_err(failed)?,
                1 | 3 => fleet.broke_off(&head, rev, &|_| false).map_err(failed)?,
                _ => return Err(failed("that is no way to end".into())),
            }
        }
        cure(&disk, ill);
        let judged = self.publish_with(&PUBLISH, None);
        drop(disk);
        judged.map(|_| ())
    }

    /// The last publish goes back to the commit that was there before it.
    pub fn unpublish(&mut self, at: Option<u64>) -> Checked {
        let Some((run, commit)) = self.fleet.as_mut().and_then(|f| f.last.take()) else {
            return Ok(());
        };
        let mut back = vec!["rollback", &run, "--apply", "--json", "--wait", "20s"];
        let (all, mut before) = (self.look(), self.fleet().look());
        if let Some(at) = at {
            let rev = self.fleet().rev();
            self.killed(Host::Mac, &back, at);
            let fleet = self.fleet();
            let failed = |why| format!("a rollback was killed: {why}");
            fleet.common(&before, &|_| false).map_err(failed)?;
            let rev = (&before, rev.as_deref());
            fleet.broke_off(&commit, rev, &|_| false).map_err(failed)?;
            before = fleet.look();
        }
        let mut out = self.endure_publish(&back, None);
        if out.code == 3 && guards(&doc(&out)) == ["max_delete"] {
            back.extend(["--allow", "max_delete"]);
            out = self.endure_publish(&back, None);
        }
        let is_done_already = at.is_some() && out.stderr.contains("already");
        if out.code != 0 && !is_done_already {
            return Err(format!("I19: the rollback of a publish failed\n{out}"));
        }
        check::untouched(&all, &self.look(), false, "I3: a rollback of a publish")?;
        let failed = |why| format!("I19: {why}\n{out}");
        let fleet = self.fleet();
        fleet.common(&before, &|_| false).map_err(failed)?;
        fleet.complete(&commit, &before, &|_| false).map_err(failed)
    }

    /// Everything that mac has arrives, and is proven to be there.
    pub fn publish_at_last(&mut self) -> Checked {
        if self.fleet.is_none() {
            return Ok(());
        }
        self.commit();
        if self.publish_with(&PUBLISH, None)? != 0 {
            return Ok(());
        }
        let before = self.fleet().look();
        let again = self.lab.run(&PUBLISH);
        let diff = before.diff(&self.fleet().look());
        if again.code != 0 || doc(&again)["outcome"] != "in-sync" || !diff.is_empty() {
            return Err(format!("I6: a second publish\n{diff}\n{again}"));
        }
        let verified = self.lab.run(&["verify", "vm", "--full"]);
        match verified.code {
            0 => Ok(()),
            _ => Err(format!("I11: published, and yet verify says\n{verified}")),
        }
    }
}
