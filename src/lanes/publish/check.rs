//! Where each target is: its sentinel compared with the source, and its content with the commit that the sentinel names.
//!
//! Invariant: nothing is changed anywhere, neither on a target nor in the checkout.

use std::path::Path;

use crate::host::link::LinkError;
use crate::lanes::flow::Ended;
use crate::lanes::publish::export::{self, Export};
use crate::lanes::publish::run::{each, not_begun, not_reached, scratch};
use crate::lanes::publish::source::{self, Source, Wish};
use crate::lanes::publish::target::{self, Opened};
use crate::lanes::reach::Sockets;
use crate::model::entry::Entry;
use crate::model::index::Index;
use crate::model::path::RelPath;
use crate::model::policy::{Policy, Publish, Target};
use crate::model::progress::Progress;
use crate::model::publish_plan::same;
use crate::model::record::{Lane, LeftDoc, Outcome, PublishLane};
use crate::model::sorted::Sorted;
use crate::model::text::count;

/// Looks at every target at the same time. `full`: every file is read again; otherwise only those whose facts have changed.
pub fn check(policy: &Policy, targets: &[&Target], full: bool, progress: &dyn Progress) -> Ended {
    let Some(publish) = &policy.publish else {
        return Ended::default();
    };
    let known = scratch(policy).and_then(|dir| {
        let wish = Wish {
            rev: None,
            force: true,
            lenient: true,
        };
        let source = source::resolve(policy, publish, &wish, dir.path())?;
        let export = export::export(policy, publish, &source, dir.path())?;
        Ok((dir, source, export))
    });
    let (dir, source, export) = match known {
        Ok(known) => known,
        Err(stop) => return not_begun(targets, &stop),
    };
    let sockets = Sockets::beside(dir.path()).ok();
    let lanes = each(targets, publish.parallel, |target| {
        let progress = progress.beside(&target.name);
        progress.phase("looking", None);
        let mut lane = PublishLane::new(&target.name);
        lane.commit = Some(source.commit.clone());
        let about = About {
            policy,
            publish,
            source: &source,
            export: &export,
            full,
        };
        if let Err(e) = about.one(target, dir.path(), sockets.as_ref(), &mut lane) {
            not_reached(&mut lane, e);
        }
        progress.done();
        Lane::Publish(lane)
    });
    export::sweep(&export);
    Ended {
        lanes,
        findings: source.findings.clone(),
        ..Ended::default()
    }
}

struct About<'a> {
    policy: &'a Policy,
    publish: &'a Publish,
    source: &'a Source,
    export: &'a Export,
    full: bool,
}

impl About<'_> {
    fn one(
        &self,
        target: &Target,
        scratch: &Path,
        sockets: Option<&Sockets>,
        lane: &mut PublishLane,
    ) -> Result<(), LinkError> {
        let no_room = |e: std::io::Error| {
            LinkError::failed(
                format!("no room for a run: {e}"),
                "df -h the state directory",
            )
        };
        let own = tempfile::tempdir_in(scratch).map_err(no_room)?;
        let at = sockets.map_or(own.path(), Sockets::dir);
        let socket = tempfile::Builder::new()
            .prefix("")
            .rand_bytes(4)
            .tempdir_in(at)
            .map_err(no_room)?;
        let link = target::link(target, socket.path());
        let on = target::open(
            self.policy,
            self.publish,
            target,
            &link,
            false,
            "",
            own.path(),
        )?;
        lane.found.clone_from(&on.rev);
        if let Some(bad) = &on.bad {
            lane.outcome = Outcome::Failed;
            lane.message = Some(crate::model::text::neutral(bad));
            return Ok(());
        }
        let mut index = match self.full {
            true => Index::begun(0),
            false => target::index(self.policy, target),
        };
        self.judge(&on, &mut index, lane, own.path())?;
        let list = on.base.as_ref().map(|(_, bytes)| bytes.as_slice());
        target::remember(self.policy, target, &index, list);
        if lane.outcome != Outcome::Current {
            let name = crate::model::words::word(&target.name);
            lane.hint = Some(format!("ubos-sync publish {name}"));
        }
        Ok(())
    }

    fn judge(
        &self,
        on: &Opened,
        index: &mut Index,
        lane: &mut PublishLane,
        scratch: &Path,
    ) -> Result<(), LinkError> {
        let Some(rev) = &on.rev else {
            lane.outcome = Outcome::Missing;
            lane.message = Some("nothing was published there".into());
            return Ok(());
        };
        if let Some(wanted) = rev.strip_prefix("INCOMPLETE") {
            lane.outcome = Outcome::Behind;
            lane.message = Some(format!(
                "a publish of{wanted} was cut off: the tree is not complete"
            ));
            return Ok(());
        }
        lane.behind = match *rev == self.source.commit {
            true => Some(0),
            false => source::behind(self.source, rev, scratch),
        };
        match self.expected(on, rev) {
            Some(expected) => {
                let held = on.content(expected.keys(), index)?;
                lane.modified = differences(expected, &held.have);
            }
            None => lane.notes.push(
                "what was published there is not known here, so its content was not compared"
                    .into(),
            ),
        }
        lane.outcome = match (lane.modified.is_empty(), *rev == self.source.commit) {
            (false, _) => Outcome::Modified,
            (true, true) => Outcome::Current,
            (true, false) => Outcome::Behind,
        };
        if lane.outcome == Outcome::Behind && lane.behind.is_none_or(|n| n == 0) {
            lane.message = Some("it holds a commit that does not lead to the source's".into());
        }
        if lane.outcome == Outcome::Modified {
            lane.message = Some(format!(
                "{} there {} not what the commit holds",
                count(lane.modified.len(), "file"),
                if lane.modified.len() == 1 {
                    "is"
                } else {
                    "are"
                }
            ));
        }
        Ok(())
    }

    /// What the commit that a target names should look like.
    fn expected<'b>(&'b self, on: &'b Opened, rev: &str) -> Option<&'b Sorted<Entry>> {
        if rev == self.source.commit {
            return Some(&self.export.want);
        }
        let (base, _) = on.base.as_ref()?;
        (base.facts.get("commit").map(String::as_str) == Some(rev)).then_some(&base.entries)
    }
}

fn differences(expected: &Sorted<Entry>, have: &Sorted<Entry>) -> Vec<LeftDoc> {
    let why = |path: &RelPath, wanted: &Entry| match have.get(path) {
        None => Some("missing"),
        Some(found) if same(found, wanted) => None,
        Some(found) if found.same_content(wanted) => Some("another mode"),
        Some(_) => Some("another content"),
    };
    expected
        .iter()
        .filter_map(|(path, wanted)| {
            Some(LeftDoc {
                path: path.lossy(),
                path_hex: path.hex_if_not_utf8(),
                why: why(path, wanted)?.into(),
                conflict: false,
            })
        })
        .collect()
}
