//! Which paths are truth. One glob language for the whole policy, one decision per path.
//!
//! Precedence: state, then never (logs, audit, state dir, policy, marker, pause files, temp files), then
//! exclude, then include. A directory that is out takes everything below it out.
//!
//! Invariant: `verdict` and `unison_ignores` speak of the same paths, but for directories that only a
//! directories-only pattern takes out: unison cannot ask for the kind, so a run adds those as literals.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use globset::{Candidate, GlobBuilder, GlobSet, GlobSetBuilder};
use sha2::{Digest, Sha256};

use crate::model::glob::{Glob, GlobError, literal_regex};
use crate::model::path::RelPath;

/// What rules are made of.
#[derive(Debug, Clone, Default)]
pub struct Spec {
    /// Empty: the whole root.
    pub include: Vec<RelPath>,
    pub state: Vec<Glob>,
    pub never: Vec<Never>,
    pub exclude: Vec<Glob>,
}

/// Something that stays out without being listed, and what it is.
#[derive(Debug, Clone)]
pub struct Never {
    pub what: What,
    pub reason: String,
}

#[derive(Debug, Clone)]
pub enum What {
    /// This path and everything below it.
    Path(RelPath),
    Glob(Glob),
}

/// Compiled rules.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    spec: Spec,
    /// State, never and exclude patterns, in the order of precedence.
    entries: Vec<Entry>,
    /// Matches a path that some entry takes out whatever its kind, itself or through an ancestor.
    any: GlobSet,
    any_entry: Vec<usize>,
    /// Matches directories that a directories-only entry takes out.
    dirs: GlobSet,
    dirs_entry: Vec<usize>,
}

#[derive(Debug, Clone)]
struct Entry {
    glob: Glob,
    verdict: Verdict,
}

/// Why a path is or is not truth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Truth: it crosses. Holds the include entry that let it in, `None` when the whole root is truth.
    Truth(Option<String>),
    /// A `state` pattern (the text as written): never crosses.
    State(String),
    /// Kept out without being listed: what it is ("pulled log", "audit records", …).
    Never(String),
    /// An `exclude` pattern (the text as written).
    Excluded(String),
    /// Not below any include entry.
    NotIncluded,
}

impl Verdict {
    pub fn is_truth(&self) -> bool {
        matches!(self, Verdict::Truth(_))
    }
}

impl Rules {
    /// Compiles the patterns. Fails only when a set of them is too big to compile.
    pub fn new(mut spec: Spec) -> Result<Self, GlobError> {
        spec.include = outermost(spec.include);
        let entries = entries_of(&spec);
        let mut any = Collector::new();
        let mut dirs = Collector::new();
        for (i, entry) in entries.iter().enumerate() {
            let own = if entry.glob.is_dir_only() {
                &mut dirs
            } else {
                &mut any
            };
            own.add(&entry.glob.globset_self(), i)?;
            any.add(&entry.glob.globset_below(), i)?;
        }
        let (any, any_entry) = any.finish()?;
        let (dirs, dirs_entry) = dirs.finish()?;
        Ok(Self {
            spec,
            entries,
            any,
            any_entry,
            dirs,
            dirs_entry,
        })
    }

    /// The verdict on a path of the given kind; ancestors are taken into account.
    pub fn verdict(&self, path: &RelPath, is_dir: bool) -> Verdict {
        if path.is_root() {
            return Verdict::Truth(None);
        }
        let hit = self
            .first_entry(path, is_dir)
            .map(|i| &self.entries[i].verdict);
        if let Some(Verdict::State(_)) = hit {
            return hit.cloned().unwrap_or(Verdict::NotIncluded);
        }
        for never in &self.spec.never {
            if let What::Path(out) = &never.what
                && path.is_within(out.as_bytes())
            {
                return Verdict::Never(never.reason.clone());
            }
        }
        if let Some(verdict) = hit {
            return verdict.clone();
        }
        if self.spec.include.is_empty() {
            return Verdict::Truth(None);
        }
        match self
            .spec
            .include
            .iter()
            .find(|root| path.is_within(root.as_bytes()))
        {
            Some(root) => Verdict::Truth(Some(root.lossy())),
            None => Verdict::NotIncluded,
        }
    }

    /// The paths that truth is limited to; empty means the whole root. None lies below another.
    pub fn include_roots(&self) -> &[RelPath] {
        &self.spec.include
    }

    /// sha256 over what the rules mean: two policies that let the same paths through by the same
    /// patterns agree, whatever the order or spelling of the lists around them.
    pub fn digest(&self) -> String {
        let mut lines: Vec<Vec<u8>> = Vec::new();
        for root in &self.spec.include {
            lines.push([b"include ", root.as_bytes()].concat());
        }
        for never in &self.spec.never {
            if let What::Path(path) = &never.what {
                lines.push([b"never-path ", path.as_bytes()].concat());
            }
        }
        for entry in &self.entries {
            let kind: &[u8] = match entry.verdict {
                Verdict::State(_) => b"state ",
                Verdict::Never(_) => b"never ",
                _ => b"exclude ",
            };
            lines.push([kind, &entry.glob.unison_regex()].concat());
        }
        lines.sort();
        lines.dedup();
        let mut hash = Sha256::new();
        for line in lines {
            hash.update((line.len() as u64).to_be_bytes());
            hash.update(line);
        }
        hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
    }

    /// Names of directories that a `find` may prune wherever they stand: nothing below them is
    /// truth. A name that some include root has as a component is never among them.
    pub fn prune_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .spec
            .exclude
            .iter()
            .filter_map(Glob::literal_name)
            .filter(|name| {
                !self.spec.include.iter().any(|root| {
                    root.as_bytes()
                        .split(|b| *b == b'/')
                        .any(|part| part == name.as_bytes())
                })
            })
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// The right-hand sides of unison's `ignore = …` lines, most important first.
    pub fn unison_ignores(&self) -> Vec<Vec<u8>> {
        let mut patterns = Vec::new();
        let is_state = |e: &&Entry| matches!(e.verdict, Verdict::State(_));
        patterns.extend(
            self.entries
                .iter()
                .filter(is_state)
                .map(|e| e.glob.unison_regex()),
        );
        for never in &self.spec.never {
            if let What::Path(path) = &never.what {
                let mut regex = literal_regex(path.as_bytes());
                regex.extend_from_slice(b"(/.+)?");
                patterns.push(regex);
            }
        }
        patterns.extend(
            self.entries
                .iter()
                .filter(|e| !is_state(e))
                .map(|e| e.glob.unison_regex()),
        );
        let mut seen = std::collections::HashSet::new();
        patterns.retain(|p| seen.insert(p.clone()));
        patterns
            .into_iter()
            .map(|p| [b"Regex ", p.as_slice()].concat())
            .collect()
    }

    /// Whether a directory is out only because it IS one (`name/`): unison cannot be told so by
    /// `unison_ignores`, and a run adds `unison_literal` of it.
    pub fn is_out_as_directory(&self, dir: &RelPath) -> bool {
        self.verdict(dir, false).is_truth() && !self.verdict(dir, true).is_truth()
    }

    /// The right-hand side of an `ignore = …` line for exactly this path.
    pub fn unison_literal(path: &RelPath) -> Vec<u8> {
        [b"Regex ", literal_regex(path.as_bytes()).as_slice()].concat()
    }

    /// What the rules were made of.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    fn first_entry(&self, path: &RelPath, is_dir: bool) -> Option<usize> {
        let path = Candidate::new(OsStr::from_bytes(path.as_bytes()));
        let mut first = None;
        // Most paths match nothing, and `is_match` allocates nothing.
        if self.any.is_match_candidate(&path) {
            let hits = self.any.matches_candidate(&path);
            first = hits.into_iter().map(|i| self.any_entry[i]).min();
        }
        if is_dir && self.dirs.is_match_candidate(&path) {
            let hits = self.dirs.matches_candidate(&path);
            first = hits
                .into_iter()
                .map(|i| self.dirs_entry[i])
                .chain(first)
                .min();
        }
        first
    }
}

fn entries_of(spec: &Spec) -> Vec<Entry> {
    let state = spec.state.iter().map(|glob| Entry {
        glob: glob.clone(),
        verdict: Verdict::State(glob.text().to_owned()),
    });
    let never = spec.never.iter().filter_map(|never| match &never.what {
        What::Glob(glob) => Some(Entry {
            glob: glob.clone(),
            verdict: Verdict::Never(never.reason.clone()),
        }),
        What::Path(_) => None,
    });
    let exclude = spec.exclude.iter().map(|glob| Entry {
        glob: glob.clone(),
        verdict: Verdict::Excluded(glob.text().to_owned()),
    });
    state.chain(never).chain(exclude).collect()
}

/// Sorted, without those that lie below another: unison would visit them twice.
fn outermost(mut roots: Vec<RelPath>) -> Vec<RelPath> {
    roots.sort();
    let mut kept: Vec<RelPath> = Vec::new();
    for root in roots {
        if !kept.iter().any(|k| root.is_within(k.as_bytes())) {
            kept.push(root);
        }
    }
    kept
}

/// Patterns of one globset together with the entry each belongs to.
struct Collector {
    builder: GlobSetBuilder,
    entry: Vec<usize>,
}

impl Collector {
    fn new() -> Self {
        Self {
            builder: GlobSetBuilder::new(),
            entry: Vec::new(),
        }
    }

    fn add(&mut self, pattern: &str, entry: usize) -> Result<(), GlobError> {
        let glob = GlobBuilder::new(pattern)
            .literal_separator(true)
            .backslash_escape(true)
            .build()
            .map_err(as_fault)?;
        self.builder.add(glob);
        self.entry.push(entry);
        Ok(())
    }

    fn finish(self) -> Result<(GlobSet, Vec<usize>), GlobError> {
        Ok((self.builder.build().map_err(as_fault)?, self.entry))
    }
}

fn as_fault(error: globset::Error) -> GlobError {
    GlobError {
        reason: format!("the pattern cannot be compiled: {error}"),
        suggestion: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RelPath {
        RelPath::new(text).unwrap()
    }

    fn globs(list: &[&str]) -> Vec<Glob> {
        list.iter().map(|g| Glob::parse(g).unwrap()).collect()
    }

    fn never(what: What, reason: &str) -> Never {
        Never {
            what,
            reason: reason.into(),
        }
    }

    fn rules(include: &[&str]) -> Rules {
        Rules::new(Spec {
            include: include.iter().map(|p| path(p)).collect(),
            state: globs(&["*_state.json"]),
            never: vec![
                never(What::Path(path("logs/m.jsonl")), "pulled log"),
                never(
                    What::Glob(Glob::parse("logs/m.jsonl.*").unwrap()),
                    "beside a pulled log",
                ),
            ],
            exclude: globs(&[".git/", "models/", "*.tmp", "node_modules", "config/secret"]),
        })
        .unwrap()
    }

    #[test]
    fn precedence_and_ancestors() {
        let rules = rules(&["config", "docs/deep"]);
        let state = Verdict::State("*_state.json".into());
        let excluded = |p: &str| Verdict::Excluded(p.into());
        let table = [
            ("config/a_state.json", false, state.clone()),
            ("config/.z_state.json", false, state.clone()),
            ("config/a_state.json/x", false, state.clone()),
            ("models/a_state.json", false, state),
            (
                "config/a_state.json.bak",
                false,
                Verdict::Truth(Some("config".into())),
            ),
            ("logs/m.jsonl", false, Verdict::Never("pulled log".into())),
            (
                "logs/m.jsonl.1",
                false,
                Verdict::Never("beside a pulled log".into()),
            ),
            ("config/models", true, excluded("models/")),
            (
                "config/models",
                false,
                Verdict::Truth(Some("config".into())),
            ),
            ("config/models/x", false, excluded("models/")),
            ("config/.x.tmp", false, excluded("*.tmp")),
            ("config/secret/k", false, excluded("config/secret")),
            (
                "docs/deep/f",
                false,
                Verdict::Truth(Some("docs/deep".into())),
            ),
            ("docs", true, Verdict::NotIncluded),
            ("elsewhere", false, Verdict::NotIncluded),
            ("", true, Verdict::Truth(None)),
        ];
        for (p, is_dir, want) in table {
            assert_eq!(rules.verdict(&path(p), is_dir), want, "{p}");
        }
    }

    #[test]
    fn pruning_never_hides_an_include_root() {
        let names = rules(&["config/models/keep"]).prune_names();
        assert_eq!(names, [".git", "node_modules"]);
    }

    #[test]
    fn the_digest_follows_the_meaning() {
        let a = rules(&["config", "docs"]);
        let b = rules(&["docs", "config", "docs/below"]);
        assert_eq!(a.digest(), b.digest());
        assert_ne!(a.digest(), rules(&["config"]).digest());
    }

    #[test]
    fn ignores_are_ordered_and_anchored() {
        let all = rules(&[]).unison_ignores();
        assert_eq!(all[0], br"Regex (.*/)?[^/]*_state\.json(/.+)?");
        assert_eq!(all[1], br"Regex logs/m\.jsonl(/.+)?");
        assert!(all.contains(&br"Regex (.*/)?models/.+".to_vec()));
    }
}
