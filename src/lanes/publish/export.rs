//! The tree of a commit, laid out in a private directory: what is scanned is what travels, to the byte.
//!
//! Invariants: contents come from git's objects, never from a working directory; an export is complete exactly when its manifest
//! stands beside it; state, what the policy excludes and names of ours are never in it.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::host::{export as lay, files, process};
use crate::lanes::publish::source::{self, Source, Stop, warn};
use crate::model::entry::{ContentHash, Entry, File};
use crate::model::finding::Finding;
use crate::model::manifest::Manifest;
use crate::model::path::RelPath;
use crate::model::policy::{Policy, Publish, always_excluded};
use crate::model::record::Outcome;
use crate::model::rules::Verdict;
use crate::model::sorted::Sorted;
use crate::tool::git::{self, Item, ItemKind};

/// Exports that are kept for the next run.
const KEPT: usize = 3;
/// How much content is asked for at once.
const CHUNK_BYTES: u64 = 32 << 20;
const CHUNK_ITEMS: usize = 1000;

pub struct Export {
    pub dir: PathBuf,
    pub want: Sorted<Entry>,
    /// Names it among exports: the commit's tree under these rules.
    pub key: String,
    pub findings: Vec<Finding>,
    /// The tree's own rules for the scanner.
    pub scan_rules: Option<Vec<u8>>,
}

/// Whether publishing keeps its hands off a path: state, what is excluded, what is ours.
pub fn is_apart(policy: &Policy, publish: &Publish, path: &RelPath) -> bool {
    let ours = |part: &[u8]| part == b".sync_rev" || part.starts_with(files::STAGE.as_bytes());
    let part = |name: &[u8]| {
        ours(name)
            || always_excluded()
                .iter()
                .any(|g| g.literal_name().is_some_and(|n| n.as_bytes() == name))
    };
    path.as_bytes().split(|b| *b == b'/').any(part)
        || matches!(policy.truth.rules.verdict(path, false), Verdict::State(_))
        || !publish.exclude.verdict(path, false).is_truth()
}

pub fn export(
    policy: &Policy,
    publish: &Publish,
    source: &Source,
    scratch: &Path,
) -> Result<Export, Stop> {
    let fail = |e: String| {
        Stop::failed(
            format!("the commit cannot be laid out: {e}"),
            "df -h the state directory",
        )
    };
    let listed = run(&git::list(&source.mirror, &source.commit), b"", scratch)?;
    let items = git::parse_list(&listed)
        .ok_or_else(|| fail("git's list of the tree was not understood".into()))?;
    let mut findings = Vec::new();
    let (wanted, scan_rules) = sort(policy, publish, source, &items, scratch, &mut findings)?;
    let key = key(source, &wanted);
    let base = source::private(policy).join("exports");
    files::private_dir(&base).map_err(|e| fail(e.to_string()))?;
    let (dir, list) = (base.join(&key), base.join(format!("{key}.list")));
    let known = lay::read(&list).ok().and_then(|b| Manifest::parse(&b));
    let want = match known {
        Some(m) => m.entries,
        None => {
            let stage = base.join(format!("stage-{key}"));
            let _ = files::remove_tree(&stage);
            let _ = files::remove_tree(&dir);
            let want = write(source, &wanted, &stage, scratch)?;
            lay::open_dirs(&stage).map_err(|e| fail(e.to_string()))?;
            lay::rename(&stage, &dir).map_err(|e| fail(e.to_string()))?;
            let m = Manifest {
                entries: want,
                facts: BTreeMap::new(),
            };
            let objects: Vec<Vec<u8>> = wanted
                .iter()
                .map(|i| [object_of(i).as_bytes(), b"\t", i.path.as_bytes()].concat())
                .collect();
            files::write_atomic(
                &base.join(format!("{key}.objects")),
                &objects.join(&0),
                files::Sync::Content,
            )
            .map_err(|e| fail(e.to_string()))?;
            files::write_atomic(&list, &Manifest::default().delta(&m), files::Sync::Content)
                .map_err(|e| fail(e.to_string()))?;
            m.entries
        }
    };
    pointers(&want, &dir, &mut findings);
    Ok(Export {
        dir,
        want,
        key,
        findings,
        scan_rules,
    })
}

fn run(
    call: &crate::model::invocation::Invocation,
    stdin: &[u8],
    scratch: &Path,
) -> Result<Vec<u8>, Stop> {
    let errors = scratch.join("git-export.err");
    let _ = files::remove_file(&errors);
    let out = process::run_within(call, stdin, &errors, Duration::from_secs(900));
    match out {
        Ok(out) if out.code == Some(0) => Ok(out.stdout),
        Ok(_) if crate::host::signals::stop_wish().is_some() => Err(Stop {
            outcome: Outcome::Interrupted,
            message: "stopped on request".into(),
            hint: String::new(),
        }),
        Ok(out) => Err(Stop::failed(
            format!(
                "git cannot read the commit: {}",
                crate::model::text::neutral(
                    String::from_utf8_lossy(&out.stderr)
                        .lines()
                        .last()
                        .unwrap_or("no message")
                )
            ),
            "git fsck",
        )),
        Err(e) => Err(Stop::failed(
            format!("git cannot be started: {e}"),
            "install git",
        )),
    }
}

type Sifted<'a> = (Vec<&'a Item>, Option<Vec<u8>>);

fn sort<'a>(
    policy: &Policy,
    publish: &Publish,
    source: &Source,
    items: &'a [Item],
    scratch: &Path,
    findings: &mut Vec<Finding>,
) -> Result<Sifted<'a>, Stop> {
    let mut wanted = Vec::new();
    let mut scan_rules = None;
    let mut modules = Vec::new();
    for item in items {
        if item.path.as_bytes() == b".gitleaks.toml" {
            let body = run(
                &git::contents(&source.mirror),
                format!("{}\n", item.object).as_bytes(),
                scratch,
            )?;
            scan_rules =
                git::parse_contents(&body, &[item]).and_then(|c| Some(c.first()?.to_vec()));
        }
        if is_apart(policy, publish, &item.path) {
            continue;
        }
        if item.path.as_bytes().contains(&b'\n') {
            return Err(Stop::refused(
                format!("a published name holds a line break: {}", item.path),
                "rename it, or list it in [publish] exclude",
            ));
        }
        match item.kind {
            ItemKind::Submodule => modules.push(item.path.to_string()),
            _ => wanted.push(item),
        }
    }
    if !modules.is_empty() {
        findings.push(warn(
            "source",
            format!("submodules are not published: {}", modules.join(", ")),
            "",
        ));
    }
    Ok((wanted, scan_rules))
}

fn key(source: &Source, wanted: &[&Item]) -> String {
    let mut hash = Sha256::new();
    hash.update(format!("{}\0", source.tree));
    for item in wanted {
        hash.update(format!("{:?}\0", item.kind));
        hash.update(item.path.as_bytes());
        hash.update([0]);
    }
    hash.finalize()
        .iter()
        .take(16)
        .map(|b| format!("{b:02x}"))
        .collect()
}

fn write(
    source: &Source,
    wanted: &[&Item],
    stage: &Path,
    scratch: &Path,
) -> Result<Sorted<Entry>, Stop> {
    let fail = |e: std::io::Error| {
        Stop::failed(
            format!("the commit cannot be laid out: {e}"),
            "df -h the state directory",
        )
    };
    lay::make_dir(stage).map_err(fail)?;
    let mut want = BTreeMap::new();
    let known = Known::newest(stage);
    let (again, fresh): (Vec<&Item>, Vec<&Item>) = wanted.iter().partition(|i| known.has(i));
    for item in again {
        if let Some(entry) = known.lay(stage, item).map_err(fail)? {
            want.insert(item.path.clone(), entry);
        }
    }
    let mut rest = fresh.as_slice();
    let mtime_ns = i128::from(source.seconds) * 1_000_000_000;
    while !rest.is_empty() {
        let mut bytes = 0;
        let n = rest
            .iter()
            .take(CHUNK_ITEMS)
            .take_while(|i| {
                let first = bytes == 0;
                bytes += i.size + 1;
                first || bytes < CHUNK_BYTES
            })
            .count();
        let (chunk, later) = rest.split_at(n);
        rest = later;
        let order: String = chunk.iter().map(|i| format!("{}\n", i.object)).collect();
        let answer = run(&git::contents(&source.mirror), order.as_bytes(), scratch)?;
        let bodies = git::parse_contents(&answer, chunk)
            .ok_or_else(|| Stop::failed("an object of the commit is missing", "git fsck"))?;
        for (item, body) in chunk.iter().zip(bodies) {
            let entry = match item.kind {
                ItemKind::Link => {
                    lay::lay_link(stage, &item.path, body).map_err(fail)?;
                    Entry::Link {
                        target: body.to_vec(),
                        mtime_ns,
                    }
                }
                kind => {
                    let mode = if kind == ItemKind::Executable {
                        0o755
                    } else {
                        0o644
                    };
                    lay::lay_file(stage, &item.path, body, mode, source.seconds).map_err(fail)?;
                    let hash = <[u8; 32]>::from(Sha256::digest(body)).into();
                    Entry::File(File {
                        size: body.len() as u64,
                        mode,
                        mtime_ns,
                        hash,
                    })
                }
            };
            want.insert(item.path.clone(), entry);
        }
    }
    Ok(want.into_iter().collect())
}

/// What the export before this one holds: most of a commit is what was there before it.
#[derive(Default)]
struct Known {
    dir: PathBuf,
    objects: HashMap<RelPath, String>,
    entries: Sorted<Entry>,
}

impl Known {
    fn newest(stage: &Path) -> Known {
        let Some(base) = stage.parent() else {
            return Known::default();
        };
        let lists = files::names(base).unwrap_or_default().into_iter();
        let newest = lists
            .filter_map(|n| Some(n.to_str()?.strip_suffix(".list")?.to_owned()))
            .max_by_key(|key| files::modified(&base.join(format!("{key}.list"))).unwrap_or(0));
        let read = |key: &str, end: &str| lay::read(&base.join(format!("{key}.{end}"))).ok();
        let found = newest.and_then(|key| {
            let entries = Manifest::parse(&read(&key, "list")?)?.entries;
            let objects = read(&key, "objects")?
                .split(|b| *b == 0)
                .filter_map(|line| {
                    let tab = line.iter().position(|b| *b == b'\t')?;
                    let object = String::from_utf8(line[..tab].to_vec()).ok()?;
                    Some((RelPath::new(&line[tab + 1..])?, object))
                })
                .collect();
            Some(Known {
                dir: base.join(key),
                objects,
                entries,
            })
        });
        found.unwrap_or_default()
    }

    fn has(&self, item: &Item) -> bool {
        self.objects
            .get(&item.path)
            .is_some_and(|o| *o == object_of(item))
            && matches!(self.entries.get(&item.path), Some(Entry::File(_)))
    }

    fn lay(&self, stage: &Path, item: &Item) -> std::io::Result<Option<Entry>> {
        lay::lay_again(&self.dir, stage, &item.path)?;
        Ok(self.entries.get(&item.path).cloned())
    }
}

/// What another export holds, if it is still there.
pub fn listed(export: &Export, key: &str) -> Option<Sorted<Entry>> {
    let list = export.dir.with_file_name(format!("{key}.list"));
    Some(Manifest::parse(&lay::read(&list).ok()?)?.entries)
}

/// The object of an item with its kind, because the same bytes may be executable in one commit and not in the next.
fn object_of(item: &Item) -> String {
    format!("{:?} {}", item.kind, item.object)
}

/// Only the newest exports stay; what a dead run began goes.
pub fn sweep(export: &Export) {
    let Some(base) = export.dir.parent() else {
        return;
    };
    let current = export.key.as_str();
    let mut lists: Vec<(i64, String)> = Vec::new();
    for name in files::names(base).unwrap_or_default() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("stage-") {
            let _ = files::remove_tree(&base.join(&name));
        } else if let Some(key) = name.strip_suffix(".list").filter(|k| *k != current) {
            lists.push((
                files::modified(&base.join(&name)).unwrap_or(0),
                key.to_owned(),
            ));
        }
    }
    lists.sort_unstable();
    for (_, key) in lists.iter().rev().skip(KEPT - 1) {
        let _ = files::remove_file(&base.join(format!("{key}.list")));
        let _ = files::remove_file(&base.join(format!("{key}.objects")));
        let _ = files::remove_tree(&base.join(key));
    }
}

/// Takes an export away again.
pub fn discard(export: &Export) {
    let _ = files::remove_file(&export.dir.with_extension("list"));
    let _ = files::remove_file(&export.dir.with_extension("objects"));
    let _ = files::remove_tree(&export.dir);
}

/// Pointers of git-lfs are small texts: told, because the files they stand for do not travel.
fn pointers(want: &Sorted<Entry>, dir: &Path, findings: &mut Vec<Finding>) {
    let small = want
        .iter()
        .filter(|(_, e)| matches!(e, Entry::File(f) if (100..200).contains(&f.size)));
    let mut seen: HashMap<ContentHash, bool> = HashMap::new();
    let found: Vec<String> = small
        .filter(|(p, e)| {
            let Entry::File(f) = e else { return false };
            *seen.entry(f.hash).or_insert_with(|| {
                lay::read(&lay::at(dir, p)).is_ok_and(|b| b.starts_with(b"version https://git-lfs"))
            })
        })
        .map(|(p, _)| p.to_string())
        .collect();
    if !found.is_empty() {
        let shown = found.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
        findings.push(warn("source", format!("{} are pointers of git-lfs; the pointers are published, not what they stand for: {shown}", found.len()), ""));
    }
}

/// A tree of exactly these paths, by second names, for rsync to send whole.
pub fn subset(export: &Export, paths: &[&RelPath], into: &Path) -> std::io::Result<()> {
    lay::make_dir(into)?;
    for path in paths {
        match export.want.get(path) {
            Some(Entry::Link { target, .. }) => lay::lay_link(into, path, target)?,
            Some(_) => lay::lay_again(&export.dir, into, path)?,
            None => {}
        }
    }
    lay::open_dirs(into)
}
