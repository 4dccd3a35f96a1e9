//! The `[truth]` section, and the rules that follow from the whole policy.
//!
//! Invariant: what ubos-sync itself writes or is run by (marker, pause files, logs, audit, state,
//! the policy, keys, temp files) is in `never`, without anyone having to list it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::fault::Bad;
use super::place;
use super::publish::always_excluded;
use super::reader::{Reader, Section};
use super::resolve::Context;
use super::settings::quoted;
use super::types::*;
use super::values::{self, show_duration};
use crate::model::glob::{self, Glob};
use crate::model::path::RelPath;
use crate::model::rules::{Never, Rules, Spec, Verdict, What};

/// The schema for editors that `init` puts beside the policy.
pub const SCHEMA_FILE: &str = "ubos-sync.schema.json";

const STRATEGIES: [(&str, Strategy); 4] = [
    ("newer", Strategy::Newer),
    ("manual", Strategy::Manual),
    ("local", Strategy::Local),
    ("peer", Strategy::Peer),
];

pub fn truth(root: &Section) -> Truth {
    let section = root.table("truth");
    let include = section.list(
        "include",
        Vec::new(),
        |v| include_path(values::text(v)?),
        |p| quoted(&p.lossy()),
    );
    let spec = Spec {
        include,
        state: glob_list(&section, "state", &["*_state.json"]),
        never: Vec::new(),
        exclude: glob_list(
            &section,
            "exclude",
            &[".git/", ".cache/", "__pycache__/", "models/", "*.tmp"],
        ),
    };
    let truth = Truth {
        rules: rules(&section, "exclude", spec),
        conflicts: section.or(
            "conflicts",
            Strategy::Newer,
            |v| values::word(v, &STRATEGIES),
            |s| {
                quoted(
                    STRATEGIES
                        .iter()
                        .find(|(_, x)| x == s)
                        .map_or("", |(word, _)| word),
                )
            },
        ),
        permissions: section.or("permissions", true, values::boolean, bool::to_string),
        full_scan_every: section.or(
            "full_scan_every",
            Duration::from_secs(86_400),
            values::duration,
            |d| quoted(&show_duration(*d)),
        ),
    };
    section.close();
    truth
}

fn include_path(text: &str) -> Result<RelPath, Bad> {
    if glob::has_wildcards(text) {
        return Err(Bad::with(
            "an include is a plain path, not a pattern",
            "the directory, and `exclude` for what should stay out of it",
        ));
    }
    place::below_root(text)
}

/// A list of patterns. One that takes everything out is a mistake, never a wish.
pub fn glob_list(section: &Section, key: &'static str, default: &[&str]) -> Vec<Glob> {
    let default = default
        .iter()
        .filter_map(|text| Glob::parse(text).ok())
        .collect();
    section.list(
        key,
        default,
        |v| {
            let glob = Glob::parse(
                v.as_str()
                    .ok_or_else(|| values::wrong_type(v, "a pattern"))?,
            )?;
            if takes_all(&glob) {
                return Err(Bad::with(
                    "matches every path: nothing would be left",
                    "a narrower pattern",
                ));
            }
            Ok(glob)
        },
        |g| quoted(g.text()),
    )
}

/// Whether names that have nothing in common all match.
fn takes_all(glob: &Glob) -> bool {
    let spec = Spec {
        exclude: vec![glob.clone()],
        ..Spec::default()
    };
    let Ok(rules) = Rules::new(spec) else {
        return false;
    };
    [
        "a",
        "Zq7.txt",
        ".hidden-9",
        "_long name with blanks~",
        "\u{65e5}",
    ]
    .iter()
    .filter_map(|name| RelPath::new(*name))
    .all(|path| !rules.verdict(&path, false).is_truth())
}

/// Compiles; a set too big to compile is reported at `key`.
pub fn rules(section: &Section, key: &'static str, spec: Spec) -> Rules {
    Rules::new(spec).unwrap_or_else(|error| {
        section.fault(key, error.into());
        Rules::default()
    })
}

/// Completes the rules with what is never truth, and checks what only then can be checked.
pub fn compile(policy: &mut Policy, context: &Context, reader: &Reader) {
    let mut spec = policy.truth.rules.spec().clone();
    spec.never = never(policy, context);
    let state = spec.state.clone();
    match Rules::new(spec) {
        Ok(rules) => policy.truth.rules = rules,
        Err(error) => return reader.fault_at("truth.exclude", error.into()),
    }
    check_includes(policy, reader);
    check_logs(policy, reader, &state);
    if let Some(publish) = &mut policy.publish {
        let mut spec = publish.exclude.spec().clone();
        spec.state = state;
        spec.never = always_excluded()
            .into_iter()
            .map(|g| of_glob(g, "never published"))
            .collect();
        match Rules::new(spec) {
            Ok(rules) => publish.exclude = rules,
            Err(error) => reader.fault_at("publish.exclude", error.into()),
        }
    }
}

fn check_includes(policy: &Policy, reader: &Reader) {
    let rules = &policy.truth.rules;
    for root in rules.include_roots() {
        let why = match rules.verdict(root, true) {
            Verdict::State(pattern) => format!("state pattern `{pattern}`"),
            Verdict::Excluded(pattern) => format!("exclude pattern `{pattern}`"),
            Verdict::Never(what) => format!("being never truth: {what}"),
            _ => continue,
        };
        let bad = Bad::with(
            format!(
                "`{}` is included and at the same time taken out by {why}",
                root.lossy()
            ),
            "leaving one of the two out",
        );
        reader.fault_at("truth.include", bad);
    }
}

/// State never crosses, in any lane: not as a log either.
fn check_logs(policy: &Policy, reader: &Reader, state: &[Glob]) {
    let spec = Spec {
        state: state.to_vec(),
        ..Spec::default()
    };
    let Ok(rules) = Rules::new(spec) else { return };
    for (i, peer) in policy.peers.iter().enumerate() {
        for (j, log) in peer.logs.iter().enumerate() {
            let path = RelPath::new(log.remote.trim_start_matches('/')).unwrap_or_default();
            if let Verdict::State(pattern) = rules.verdict(&path, false) {
                let bad = Bad::new(format!("is state (`{pattern}`), and state never crosses"));
                reader.fault_at(&format!("peer[{i}].log[{j}].remote"), bad);
            }
        }
    }
}

fn of_path(path: RelPath, reason: &str) -> Never {
    Never {
        what: What::Path(path),
        reason: reason.to_owned(),
    }
}

fn of_glob(glob: Glob, reason: &str) -> Never {
    Never {
        what: What::Glob(glob),
        reason: reason.to_owned(),
    }
}

/// Everything that is never truth, and what it is.
fn never(policy: &Policy, context: &Context) -> Vec<Never> {
    let mut all = Vec::new();
    all.extend(RelPath::new(policy.guards.marker.as_str()).map(|p| of_path(p, "the marker")));
    if let Some(writer) = &policy.writer {
        for (file, what) in [
            (&writer.pause_file, "the pause file"),
            (&writer.ack_file, "the pause's answer"),
        ] {
            all.extend(RelPath::new(file.as_str()).map(|p| of_path(p, what)));
        }
    }
    let roots: Vec<PathBuf> = std::iter::once(policy.site.root.clone())
        .chain(policy.peers.iter().filter_map(Peer::local_root))
        .collect();
    let schema = context.base.join(SCHEMA_FILE);
    for (path, what) in own_paths(policy, context, &schema) {
        let below = roots
            .iter()
            .filter_map(|root| place::relative_to(path, root));
        all.extend(below.filter(|p| !p.is_root()).map(|p| of_path(p, what)));
    }
    for peer in &policy.peers {
        let state = below_peer(&peer.state_dir, &peer.root);
        all.extend(state.map(|p| of_path(p, "ubos-sync's state")));
        for log in &peer.logs {
            push_log(policy, peer, log, &mut all);
        }
    }
    for (pattern, what) in [
        (".unison.*.unison.tmp", "a temp file of unison"),
        (".ubos-sync.*", "a temp file of ubos-sync"),
    ] {
        all.extend(Glob::parse(pattern).ok().map(|g| of_glob(g, what)));
    }
    let mut seen = Vec::new();
    all.retain(|never| {
        let key = format!("{:?}", never.what);
        let is_new = !seen.contains(&key);
        seen.push(key);
        is_new
    });
    all
}

/// Files and directories of this machine that would be wrong to sync, wherever they lie.
fn own_paths<'a>(
    policy: &'a Policy,
    context: &'a Context,
    schema: &'a Path,
) -> Vec<(&'a Path, &'static str)> {
    let mut all: Vec<(&Path, &str)> = vec![
        (context.file, "the policy"),
        (schema, "the policy's schema"),
        (&policy.audit.dir, "the audit log"),
        (&policy.site.state_dir, "ubos-sync's state"),
    ];
    all.extend(
        policy
            .metrics_textfile
            .as_deref()
            .map(|p| (p, "the metrics file")),
    );
    all.extend(
        policy
            .notify
            .webhook_url_file
            .as_deref()
            .map(|p| (p, "a secret address")),
    );
    let remotes = policy.peers.iter().filter_map(|p| p.remote.as_ref());
    let targets = policy
        .publish
        .iter()
        .flat_map(|p| &p.targets)
        .filter_map(|t| t.remote.as_ref());
    all.extend(
        remotes
            .chain(targets)
            .filter_map(|r| r.identity.as_deref())
            .map(|p| (p, "an ssh key")),
    );
    all
}

/// `path` of a peer as seen from its root; both absolute, or both relative to its home.
fn below_peer(path: &str, root: &str) -> Option<RelPath> {
    let rest = path.strip_prefix(root)?.strip_prefix('/')?;
    RelPath::new(rest).filter(|p| !p.is_root())
}

/// A pulled log, where it comes from and where it goes, and whatever is named after it.
fn push_log(policy: &Policy, peer: &Peer, log: &LogPull, all: &mut Vec<Never>) {
    for pattern in log.patterns(&peer.root, &policy.site.root) {
        let siblings =
            anchored(&format!("{pattern}.*")).filter(|_| !log.is_glob || !pattern.ends_with('*'));
        all.extend(anchored(&pattern).map(|g| of_glob(g, "a pulled log")));
        all.extend(siblings.map(|g| of_glob(g, "beside a pulled log")));
    }
}

impl LogPull {
    /// The log as patterns below the roots, there and here; a place outside them has none.
    fn patterns(&self, peer_root: &str, site_root: &Path) -> Vec<String> {
        let from = match self.remote.starts_with('/') {
            true => below_peer(&self.remote, peer_root).map(|p| p.lossy()),
            false => Some(self.remote.clone()),
        };
        let to = place::relative_to(&self.local, site_root)
            .and_then(|p| String::from_utf8(p.as_bytes().to_vec()).ok());
        if !self.is_glob {
            let both = from.into_iter().chain(to).filter(|path| !path.is_empty());
            return both.map(|path| glob::escape(&path)).collect();
        }
        let (_, tail) = self.base_and_tail();
        let to = to.map(|dir| match dir.as_str() {
            "" => tail.to_owned(),
            dir => format!("{}/{tail}", glob::escape(dir)),
        });
        from.into_iter().chain(to).collect()
    }

    /// Whether a path of the replicas is this log itself, there or here.
    pub fn holds(&self, path: &RelPath, peer: &Peer, site_root: &Path) -> bool {
        let spec = Spec {
            exclude: self
                .patterns(&peer.root, site_root)
                .iter()
                .filter_map(|p| anchored(p))
                .collect(),
            ..Spec::default()
        };
        Rules::new(spec).is_ok_and(|rules| !rules.verdict(path, false).is_truth())
    }
}

impl LogPull {
    /// Whether a file below a glob's directory is one of its members.
    pub fn is_member(&self, below: &RelPath) -> bool {
        let (_, tail) = self.base_and_tail();
        // Below a directory, because a pattern alone may not be `**`.
        let spec = Spec {
            exclude: anchored(&format!("base/{tail}")).into_iter().collect(),
            ..Spec::default()
        };
        let path = RelPath::new([b"base/", below.as_bytes()].concat());
        path.is_some_and(|path| {
            Rules::new(spec).is_ok_and(|rules| !rules.verdict(&path, false).is_truth())
        })
    }

    /// How many directories deep a glob's members may lie; `**` reaches any depth.
    pub fn depth(&self) -> usize {
        let (_, tail) = self.base_and_tail();
        match tail.contains("**") {
            true => 64,
            false => tail.matches('/').count() + 1,
        }
    }
}

fn anchored(pattern: &str) -> Option<Glob> {
    let rooted = if pattern.contains('/') {
        pattern.to_owned()
    } else {
        format!("/{pattern}")
    };
    Glob::parse(&rooted).ok()
}
