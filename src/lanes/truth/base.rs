//! What both sides last had in common: the newest generation that both hold, and what dead runs had already delivered.
//!
//! Invariants: a base is only used when its digest is right, both hosts have it and no rollback has taken it back; an unfinished
//! run is rolled forward (what it delivered is committed) before anything is planned.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::audit::catalog::Summary;
use crate::audit::store::Store;
use crate::host::files;
use crate::host::link::LinkError;
use crate::lanes::truth::commit;
use crate::lanes::truth::hosts::Pair;
use crate::lanes::truth::said::{Held, held};
use crate::lanes::versions;
use crate::model::entry::Entry;
use crate::model::manifest::{self, Manifest};
use crate::model::path::RelPath;
use crate::model::plan::{Side, TruthPlan};
use crate::model::policy::{Policy, Snapshots};
use crate::model::reconcile::Replica;
use crate::model::record::{Lane, Outcome};
use crate::model::text::hex;
use crate::model::time::run_order;
use crate::tool::unison::{Ended, Extent};
use crate::tool::{remote, unison};

/// The base of this run.
#[derive(Debug, Clone, Default)]
pub struct Base {
    /// Name of the generation; `None` before the first.
    pub generation: Option<String>,
    /// The highest place in the sequence on either host. Names tell the time of whichever host drove, and clocks differ.
    pub serial: u64,
    pub manifest: Manifest,
    /// Evidence of an earlier sync although no common generation was found.
    pub lost: Option<String>,
    /// What was said since its manifest was written has become long, the manifest is damaged here, or a damage over there would be
    /// seen by nobody else: the next one is written whole.
    pub worn: bool,
}

const MOST: u64 = 1 << 30;

/// The generations that both hosts hold, the newest last.
pub fn common(pair: &Pair) -> Vec<&Held> {
    let theirs = &pair.peer.said.generations;
    let ours = pair.local.said.generations.iter();
    let mut common: Vec<&Held> = ours.filter(|g| theirs.contains(g)).collect();
    common.sort();
    common
}

pub fn newest_common(pair: &Pair) -> Option<&Held> {
    bases(pair).next()
}

/// The generations that may be a base, the newest first. Whoever believed in what a rollback took back would take what was put back
/// for somebody's wish.
fn bases(pair: &Pair) -> impl Iterator<Item = &Held> {
    let ours = pair.local.said.generations.iter();
    let all: Vec<&Held> = ours.chain(&pair.peer.said.generations).collect();
    let common = common(pair).into_iter().rev();
    common.filter(move |g| !is_taken_back(&all, g))
}

/// Whether a later generation was made from an earlier one, as by a rollback: what lies between the two never was. One that was
/// made from what nobody holds any more is believed alone.
fn is_taken_back(all: &[&Held], g: &Held) -> bool {
    let serial = |name: &str| all.iter().find(|o| o.name == name).map_or(0, |o| o.serial);
    let goes_past = |later: &Held| {
        let from = later.from.as_deref();
        later.serial > g.serial && from.is_some_and(|from| serial(from) < g.serial)
    };
    all.iter().any(|later| goes_past(later))
}

/// The generation that one was made from, among all in their order.
pub fn made_from<'a>(all: &[&'a Held], g: &Held) -> Option<&'a Held> {
    let is_it = |o: &&Held| g.from.as_ref().is_none_or(|from| *from == o.name);
    let older = all.iter().rev().filter(|o| o.serial < g.serial);
    older.copied().find(is_it)
}

/// The manifest of a generation that both hosts hold: this host's when it is whole, or else the peer's.
pub fn manifest(pair: &Pair, g: &Held) -> Option<Read> {
    read(&archives(pair).join(&g.name), &g.digest).or_else(|| over_there(pair, g))
}

/// A manifest as it was read.
pub struct Read {
    pub manifest: Manifest,
    /// As [`Base::worn`].
    worn: bool,
}

/// A manifest that was read before it was known whether it is the one.
pub struct Early {
    held: Held,
    read: Read,
}

impl Early {
    pub fn held(&self) -> &Held {
        &self.held
    }

    pub fn manifest(&self) -> &Manifest {
        &self.read.manifest
    }
}

/// Reads the newest manifest of this host, while the peer is not there yet.
pub fn early(state: &Path, pair: &str) -> Option<Early> {
    let archives = state.join("pairs").join(pair).join("archives");
    let newest = files::names(&archives)
        .ok()?
        .into_iter()
        .filter_map(|name| {
            let ok = files::read_bounded(&archives.join(&name).join("ok"), 4096).ok()?;
            held(&format!("{} {}", name.to_str()?, str::from_utf8(&ok).ok()?))
        })
        .max()?;
    let read = read(&archives.join(&newest.name), &newest.digest)?;
    Some(Early { held: newest, read })
}

/// The newest generation that both hosts hold and whose manifest is whole on one of them.
pub fn choose(pair: &Pair, early: Option<Early>) -> Base {
    let mut early = early;
    let theirs = &pair.peer.said.generations;
    let all = pair.local.said.generations.iter().chain(theirs);
    let highest = all.map(|g| g.serial).max().unwrap_or(0);
    for g in bases(pair) {
        let known = early.take_if(|e| e.held == *g);
        let found = match known {
            Some(e) => Some(e.read),
            None => manifest(pair, g),
        };
        if let Some(Read { manifest, worn }) = found {
            return Base {
                generation: Some(g.name.clone()),
                serial: highest,
                manifest,
                lost: None,
                worn,
            };
        }
    }
    Base {
        serial: highest,
        lost: evidence(pair),
        ..Base::default()
    }
}

fn evidence(pair: &Pair) -> Option<String> {
    for host in [&pair.local, &pair.peer] {
        if let Some(g) = host.said.generations.iter().max() {
            return Some(format!("{} still has generation {}", host.name, g.name));
        }
        if host.said.synced {
            return Some(format!("{} remembers an applied run", host.name));
        }
    }
    None
}

/// Records that are looked through for a pair whose memory is gone.
const RECORDS: usize = 200;

/// Both memories of the pair are gone, but a record tells that it has synced: what was deleted since would come back.
pub fn on_record(policy: &Policy, peer: &str) -> Option<String> {
    let store = Store::open(&policy.audit.dir).ok()?;
    let is_of_truth = |s: &Summary| {
        s.facts.as_ref().is_some_and(|f| {
            let good = matches!(
                f.outcome,
                Outcome::Applied | Outcome::InSync | Outcome::Partial
            );
            let lane = ["truth", "full"].contains(&f.command.as_str());
            f.is_applied() && good && lane && f.peers.iter().any(|p| p == peer)
        })
    };
    let has_synced =
        |l: &Lane| matches!(l, Lane::Truth(t) if t.peer == peer && t.generation.is_some());
    // Not only the newest: a run that found nothing to do made no generation.
    let synced = store.newest(RECORDS).ok()?.into_iter().find(|s| {
        let record = is_of_truth(s).then(|| store.read(&s.run).ok());
        record
            .flatten()
            .is_some_and(|r| r.lanes.iter().any(has_synced))
    })?;
    Some(format!(
        "{} is on record as an applied run of this pair",
        synced.run
    ))
}

fn read(generation: &Path, digest: &str) -> Option<Read> {
    let manifest = files::read_bounded(&generation.join("manifest"), MOST).ok()?;
    let delta = files::read_bounded(&generation.join("delta"), MOST).ok();
    understood(manifest, delta.as_deref(), digest)
}

/// The peer's copy of a manifest that is damaged here.
fn over_there(pair: &Pair, g: &Held) -> Option<Read> {
    let peer = &pair.peer;
    let file = |name: &str| {
        let path = format!("pairs/{}/archives/{}/{name}", pair.id, g.name);
        versions::read(&peer.link, &peer.said.state, path.as_bytes(), MOST).ok()
    };
    let read = understood(file("manifest")?, file("delta").as_deref(), &g.digest)?;
    Some(Read { worn: true, ..read })
}

/// So much that was said since, and so large a part of the whole, is written together with the rest at the next occasion.
const LONG: (usize, usize) = (64 << 10, 4);

/// What `commit.sh` wrote, when it is exactly that. Where there is no delta at all, an earlier version wrote it.
fn understood(mut manifest: Vec<u8>, delta: Option<&[u8]>, digest: &str) -> Option<Read> {
    let mut sum = hex(&Sha256::digest(&manifest));
    let whole = manifest.len();
    if let Some(delta) = delta {
        let said = delta.strip_prefix(sum.as_bytes())?.strip_prefix(b"\n")?;
        manifest.extend_from_slice(said);
        sum = hex(&Sha256::digest(delta));
    }
    let since = manifest.len() - whole;
    (sum == digest).then(|| {
        Some(Read {
            manifest: Manifest::parse(&manifest)?,
            worn: since > LONG.0 && since > whole / LONG.1,
        })
    })?
}

pub fn pair_dir(pair: &Pair) -> PathBuf {
    Path::new(&pair.local.said.state)
        .join("pairs")
        .join(&pair.id)
}

fn archives(pair: &Pair) -> PathBuf {
    pair_dir(pair).join("archives")
}

/// The plan of a run as it is laid down before its first effect: for each path what it will be, and what it was.
pub fn pending_bytes(plan: &TruthPlan, driver: Side) -> Vec<u8> {
    let mut out = Vec::new();
    for c in &plan.changes {
        // Named by role so that the other host can read it too: `d`river or `o`ther is the side that changes.
        out.extend_from_slice(if c.to == driver { b"d\t" } else { b"o\t" });
        match &c.source {
            Some(entry) => manifest::write_entry(&mut out, &c.path, entry),
            None => {
                out.extend_from_slice(b"-\t");
                out.extend_from_slice(&manifest::escape(c.path.as_bytes()));
                out.push(b'\n');
            }
        }
    }
    out.extend_from_slice(b"end\n");
    out
}

/// The paths of a pending plan and what each was to become.
pub fn parse_pending(bytes: &[u8]) -> Option<Vec<(RelPath, Option<Entry>)>> {
    let body = bytes.strip_suffix(b"end\n")?;
    let mut out = Vec::new();
    for line in body.split_inclusive(|b| *b == b'\n') {
        let mut f = line.strip_suffix(b"\n")?.split(|b| *b == b'\t');
        if !matches!(f.next()?, b"d" | b"o") {
            return None;
        }
        match f.next()? {
            b"-" => out.push((manifest::path(f.next()?)?, None)),
            kind => {
                let (p, e) = manifest::entry(kind, &mut f)?;
                out.push((p, Some(e)));
            }
        }
        if f.next().is_some() {
            return None;
        }
    }
    Some(out)
}

/// A dead run's plan and what its engine said it had finished.
pub struct Unfinished {
    pub run: String,
    changes: Vec<(RelPath, Option<Entry>)>,
    finished: Vec<Ended>,
}

impl Unfinished {
    /// The items of the plan that the engine said it had finished. A line that can mean two of them is not believed, and no line where
    /// a name could be taken for one.
    fn ended(&self) -> HashMap<&[u8], Extent> {
        let is_like_words = |path: &RelPath| {
            let has = |words: &str| remote::find(path.as_bytes(), words.as_bytes()).is_some();
            has("\n[") || has("\nSynchronization ")
        };
        if self.changes.iter().any(|(path, _)| is_like_words(path)) {
            return HashMap::new();
        }
        let planned: HashSet<&[u8]> = self.changes.iter().map(|(p, _)| p.as_bytes()).collect();
        let mut ended = HashMap::new();
        for line in &self.finished {
            let mut meant = line.iter().filter(|(path, _)| planned.contains(&**path));
            if let (Some((path, extent)), None) = (meant.next(), meant.next()) {
                let known = ended.entry(path.as_slice()).or_insert(*extent);
                *known = (*known).max(*extent);
            }
        }
        ended
    }
}

/// Every unfinished run that either host remembers, oldest first.
pub fn unfinished(pair: &Pair) -> Result<Vec<Unfinished>, LinkError> {
    let mut runs: Vec<&String> = pair
        .local
        .said
        .pending
        .iter()
        .chain(&pair.peer.said.pending)
        .collect();
    runs.sort_by(|a, b| run_order(a).cmp(&run_order(b)));
    runs.dedup();
    let mut out = Vec::new();
    for run in runs {
        let mut changes = None;
        let mut finished = Vec::new();
        // Both are asked: either may hold the plan, and the one that drove that run holds what its engine said.
        for host in [&pair.local, &pair.peer] {
            let (body, nonce) = host.link.call_with_nonce(
                remote::PENDING,
                &[&host.state_given, &pair.id, run],
                &[],
            )?;
            let mark = format!("{nonce} SAID\n");
            let Some(at) = remote::find(&body, mark.as_bytes()) else {
                continue;
            };
            changes = changes.or_else(|| parse_pending(&body[..at]));
            finished.extend(unison::finished(&body[at + mark.len()..]));
        }
        let Some(changes) = changes else { continue };
        out.push(Unfinished {
            run: run.clone(),
            changes,
            finished,
        });
    }
    Ok(out)
}

/// The base after what a dead run delivered: a path counts as delivered when both sides show it so now, or when its engine
/// had said so (its user may have changed or deleted it since).
pub fn roll_forward(
    base: &Manifest,
    dead: &Unfinished,
    local: &Replica,
    peer: &Replica,
) -> (Manifest, usize) {
    let mut next = base.clone();
    let mut delivered = 0;
    let ended = dead.ended();
    // What is below a directory came with it, but not with its mode.
    let came = |above: &[u8]| ended.get(above) == Some(&Extent::WithAllBelow);
    for (path, becomes) in &dead.changes {
        let shows = |r: &Replica| match (becomes, r.entry(path)) {
            // A touch or a chmod that has not arrived must not be taken for one on the other side.
            (Some(e), Some(now)) => {
                e.same_content(&now) && e.engine_sees_same_time(&now) && e.mode() == now.mode()
            }
            (None, None) => !r.tree.is_unknown(path) && !r.unread.contains(path),
            _ => false,
        };
        let said = ended.contains_key(path.as_bytes()) || path.ancestors().any(came);
        if said || (shows(local) && shows(peer)) {
            delivered += 1;
            match becomes {
                Some(e) => next.entries.insert(path.clone(), e.clone()),
                None => next.entries.remove(path),
            };
            // A directory on the way to it was made with it.
            for a in path.ancestors() {
                if let Some(a) = RelPath::new(a)
                    && !next.entries.contains_key(&a)
                    && becomes.is_some()
                    && let Some(e @ Entry::Dir { .. }) = local.entry(&a).or_else(|| peer.entry(&a))
                {
                    next.entries.insert(a, e);
                }
            }
        }
    }
    (next, delivered)
}

/// Commits what dead runs delivered as generations of their own. Returns (run, delivered) for the record.
pub fn recover(
    pair: &Pair,
    base: &mut Base,
    local: &Replica,
    peer: &Replica,
    keep: &Snapshots,
) -> Result<Vec<(String, usize)>, LinkError> {
    let mut told = Vec::new();
    for dead in unfinished(pair)? {
        let (next, delivered) = roll_forward(&base.manifest, &dead, local, peer);
        let generation = commit::Generation {
            run: &dead.run,
            from: base.generation.as_deref(),
            serial: base.serial + 1,
            old: &base.manifest,
            new: &next,
            with_run_archives: false,
            whole: base.worn,
        };
        commit::commit(pair, &generation, keep)?;
        base.worn = false;
        base.generation = Some(dead.run.clone());
        base.serial += 1;
        base.manifest = next;
        told.push((dead.run, delivered));
    }
    Ok(told)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::entry::File;
    use crate::model::tree::{Stat, Tree, What};

    fn file(mode: u32, seconds: i128) -> Entry {
        Entry::File(File {
            size: 1,
            mode,
            mtime_ns: seconds * 1_000_000_000,
            hash: "h".into(),
        })
    }

    #[test]
    fn what_any_rollback_took_back_is_no_base() {
        let held = |serial, from: Option<&str>| Held {
            serial,
            name: format!("g{serial}"),
            digest: String::new(),
            from: from.map(str::to_owned),
        };
        let bases = |all: &[Held]| -> Vec<u64> {
            let all: Vec<&Held> = all.iter().collect();
            let stand = all.iter().filter(|g| !is_taken_back(&all, g));
            stand.map(|g| g.serial).collect()
        };
        let (one, two) = (held(4, None), held(5, Some("g4")));
        let (three, four) = (held(6, Some("g5")), held(7, Some("g6")));
        let plain = [one, two, three, four];
        assert_eq!(bases(&plain), [4, 5, 6, 7]);
        // One rollback, and one more of an older run behind it.
        let one_back = [&plain[..], &[held(8, Some("g6"))]].concat();
        assert_eq!(bases(&one_back), [4, 5, 6, 8]);
        let two_back = [&one_back[..], &[held(9, Some("g4"))]].concat();
        assert_eq!(bases(&two_back), [4, 9]);
        let other_order = [&plain[..], &[held(8, Some("g4")), held(9, Some("g5"))]].concat();
        assert_eq!(bases(&other_order), [4, 9]);
        // From nothing, and from what is gone.
        for from in ["-", "g3"] {
            let gone = [&plain[..], &[held(8, Some(from))]].concat();
            assert_eq!(bases(&gone), [8]);
        }
    }

    #[test]
    fn a_manifest_is_its_file_and_what_was_said_since_or_nothing() {
        let (whole, since) = ("d\t755\ta\n", "d\t700\ta\n");
        let sum = |s: &str| hex(&Sha256::digest(s));
        let read = |whole: &str, delta: Option<&str>, digest: &str| {
            let mode = |r: Read| r.manifest.entries[&RelPath::new("a").unwrap()].mode();
            understood(whole.into(), delta.map(str::as_bytes), digest).and_then(mode)
        };
        let delta = format!("{}\n{since}", sum(whole));
        let digest = sum(&delta);
        assert_eq!(read(whole, Some(&delta), &digest), Some(0o700));
        // As an earlier version wrote it.
        assert_eq!(read(whole, None, &sum(whole)), Some(0o755));
        let other = format!("{}\n{since}", sum(since));
        for (whole, delta, digest) in [
            (whole, None, digest.as_str()),
            (whole, Some(delta.as_str()), &sum(whole)),
            ("d\t711\ta\n", Some(&delta), &digest),
            (whole, Some(&other), &sum(&other)),
            (whole, Some(since), &sum(since)),
            (whole, Some(&delta[..delta.len() - 1]), &digest),
        ] {
            assert_eq!(read(whole, delta, digest), None, "{delta:?}");
        }
    }

    #[test]
    fn what_was_said_since_is_written_together_with_the_rest_when_it_is_long_by_itself_and_beside_it()
     {
        let lines = |n: usize| -> String { (0..n).map(|i| format!("d\t755\t{i:09}\n")).collect() };
        let worn = |whole: usize, since: usize| {
            let whole = lines(whole);
            let delta = format!("{}\n{}", hex(&Sha256::digest(&whole)), lines(since));
            let digest = hex(&Sha256::digest(&delta));
            understood(whole.into(), Some(delta.as_bytes()), &digest)
                .unwrap()
                .worn
        };
        let long = LONG.0 / 16 + 1;
        assert!(!worn(10, long - 2) && worn(10, long));
        assert!(!worn(long * LONG.1 + LONG.1, long) && worn(long, long * 2));
    }

    #[test]
    fn a_pending_plan_is_read_whole_or_not_at_all() {
        assert_eq!(parse_pending(b"end\n"), Some(vec![]));
        let gone = (RelPath::new("a\tb").unwrap(), None);
        assert_eq!(parse_pending(b"o\t-\ta\\tb\nend\n"), Some(vec![gone]));
        for bad in [
            &b""[..],
            b"o\t-\ta\n",
            b"o\t-\taend\n",
            b"x\t-\ta\nend\n",
            b"o\t-\ta\tb\nend\n",
            b"\nend\n",
        ] {
            assert_eq!(parse_pending(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_dead_run_delivered_what_its_engine_said_and_no_more() {
        let paths = ["a", "a/b", "a/b/c", "properties for a", "q", "q/x"];
        let path = |p: &str| RelPath::new(p).unwrap();
        let dead = |said: &str| Unfinished {
            run: "R".into(),
            changes: paths.map(|p| (path(p), Some(file(0o644, 10)))).into(),
            finished: unison::finished(said.as_bytes()),
        };
        let delivered = |dead: &Unfinished| -> Vec<String> {
            let none = Replica::default();
            let (next, n) = roll_forward(&Manifest::default(), dead, &none, &none);
            assert_eq!(next.entries.len(), n);
            next.entries.keys().map(RelPath::to_string).collect()
        };
        assert_eq!(
            delivered(&dead("[END] Copying a/b\n")),
            ["a/b", "a/b/c"],
            "with all below"
        );
        assert_eq!(delivered(&dead("[END] Copying properties for q\n")), ["q"]);
        // The mode of `a`, or the file of that name?
        let either = dead("[END] Copying properties for a\n");
        assert_eq!(delivered(&either), [""; 0]);
        let alone = Unfinished {
            changes: vec![either.changes[3].clone()],
            ..either
        };
        assert_eq!(delivered(&alone), ["properties for a"]);
        let mut forged = dead("[END] Copying x\n[END] Copying q\n");
        let name = path("x\n[END] Copying q");
        forged.changes.push((name, Some(file(0o644, 10))));
        assert_eq!(delivered(&forged), [""; 0]);
    }

    #[test]
    fn a_touch_or_chmod_that_did_not_arrive_does_not_count_as_delivered() {
        let path = RelPath::new(b"a".as_slice()).unwrap();
        let side = |entry: &Entry| {
            let stat = Stat {
                what: What::File,
                size: entry.bytes(),
                mtime_ns: entry.mtime_ns().unwrap(),
                ctime_ns: 0,
                ino: 1,
                mode: entry.mode().unwrap(),
            };
            let tree = Tree {
                truth: [(path.clone(), stat)].into(),
                ..Tree::default()
            };
            Replica::of(tree, |_, _| Some("h".into()))
        };
        let base = Manifest {
            entries: [(path.clone(), file(0o644, 10))].into(),
            ..Manifest::default()
        };
        for becomes in [file(0o755, 10), file(0o644, 20)] {
            let dead = Unfinished {
                run: "R".into(),
                changes: vec![(path.clone(), Some(becomes.clone()))],
                finished: Default::default(),
            };
            let (next, n) = roll_forward(&base, &dead, &side(&becomes), &side(&file(0o644, 10)));
            assert_eq!((n, next.entries), (0, base.entries.clone()));
            let (next, n) = roll_forward(&base, &dead, &side(&becomes), &side(&becomes));
            assert_eq!((n, &next.entries[&path]), (1, &becomes));
        }
    }
}
