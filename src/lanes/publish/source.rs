//! Which commit is published: found in a private mirror of the checkout, so that looking changes nothing there.
//!
//! Invariants: the mirror borrows the checkout's objects and keeps what is fetched to itself; the checkout is only moved by
//! [`update`], forward, and never when somebody has work in it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::host::{files, plain_files, process};
use crate::model::finding::{Finding, Severity};
use crate::model::invocation::Invocation;
use crate::model::policy::{Policy, Publish};
use crate::model::record::Outcome;
use crate::model::text::neutral;
use crate::tool::git;

/// Fetching may take long; hanging for ever it may not.
const FETCH: Duration = Duration::from_secs(900);
const QUICK: Duration = Duration::from_secs(120);

/// A commit, and where its objects are.
pub struct Source {
    pub mirror: PathBuf,
    pub commit: String,
    pub tree: String,
    pub seconds: u64,
    /// Where the checkout's branch stands; `None` when there is no checkout or no such branch.
    local: Option<String>,
    pub findings: Vec<Finding>,
}

/// Why nothing can be published.
#[derive(Debug)]
pub struct Stop {
    pub outcome: Outcome,
    pub message: String,
    pub hint: String,
}

impl Stop {
    pub fn failed(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Outcome::Failed, message, hint)
    }

    pub fn refused(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Outcome::Refused, message, hint)
    }

    fn new(outcome: Outcome, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            outcome,
            message: message.into(),
            hint: hint.into(),
        }
    }
}

pub struct Wish<'a> {
    pub rev: Option<&'a str>,
    pub force: bool,
    /// What cannot be fetched is no reason to stop: the last known commit is good enough to compare with.
    pub lenient: bool,
}

pub fn private(policy: &Policy) -> PathBuf {
    policy.site.state_dir.join("publish")
}

pub fn warn(guard: &str, message: String, hint: &str) -> Finding {
    Finding {
        guard: guard.into(),
        severity: Severity::Warn,
        peer: None,
        message,
        hint: hint.into(),
    }
}

/// One call of git; its answer without the last line break, or what it complained about.
fn ask(call: &Invocation, scratch: &Path, limit: Duration) -> Result<String, String> {
    let errors = scratch.join("git.err");
    let _ = files::remove_file(&errors);
    let out = process::run_within(call, b"", &errors, limit)
        .map_err(|e| format!("git cannot be started: {e}"))?;
    match out.code {
        Some(0) => Ok(String::from_utf8_lossy(&out.stdout).trim_end().to_owned()),
        Some(_) => Err(last_line(&out.stderr)),
        None => Err("git was stopped, or took too long".into()),
    }
}

fn last_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let line = text.lines().rfind(|l| !l.trim().is_empty());
    neutral(line.unwrap_or("no message").trim())
}

struct Checkout {
    objects: String,
    shallow: Option<String>,
    format: String,
}

fn checkout(publish: &Publish, scratch: &Path) -> Result<Option<Checkout>, Stop> {
    let dir = &publish.source;
    if !plain_files::leads_to_dir(dir) {
        return match publish.url.is_empty() {
            true => Err(Stop::refused(
                format!("there is no checkout at {}", dir.display()),
                "make it, or give [publish] url, from which it can be cloned",
            )),
            false => Ok(None),
        };
    }
    let said = ask(&git::describe(dir), scratch, QUICK).map_err(|e| {
        Stop::refused(
            format!("{} is not a git checkout: {e}", dir.display()),
            format!("git -C {} status", dir.display()),
        )
    })?;
    let lines: Vec<&str> = said.split('\n').collect();
    let [prefix, format, shallow, _bare, objects, file] = lines[..] else {
        return Err(Stop::failed(
            "this git is too old: 2.31 or newer is needed",
            "git --version",
        ));
    };
    if !prefix.is_empty() {
        return Err(Stop::refused(
            format!("{} is not the top of its checkout", dir.display()),
            "set [publish] source to the top of the checkout",
        ));
    }
    Ok(Some(Checkout {
        objects: objects.to_owned(),
        shallow: (shallow == "true").then(|| file.to_owned()),
        format: format.to_owned(),
    }))
}

fn mirror(
    policy: &Policy,
    publish: &Publish,
    found: Option<&Checkout>,
    scratch: &Path,
) -> Result<PathBuf, Stop> {
    use sha2::{Digest, Sha256};
    let fail = |e: String| {
        Stop::failed(
            format!("the private mirror cannot be made: {e}"),
            "df -h; ls -ld the state directory",
        )
    };
    let key = Sha256::digest(format!(
        "{:?}",
        (&publish.source, &publish.url, found.map(|c| &c.format))
    ));
    let name: String = key.iter().take(6).map(|b| format!("{b:02x}")).collect();
    let dir = private(policy).join(format!("mirror-{name}.git"));
    files::private_dir(&private(policy)).map_err(|e| fail(e.to_string()))?;
    if !plain_files::exists(&dir.join("HEAD")) {
        let format = found.map_or("sha1", |c| c.format.as_str());
        let init = git::git(&private(policy))
            .args(["init", "--quiet", "--bare", "--template="])
            .args([
                format!("--object-format={format}"),
                "--".into(),
                dir.display().to_string(),
            ]);
        ask(&init, scratch, QUICK).map_err(fail)?;
    }
    if let Some(found) = found {
        let info = dir.join("objects/info");
        let put = |at: PathBuf, bytes: &[u8]| {
            files::write_atomic(&at, bytes, files::Sync::Content).map_err(|e| fail(e.to_string()))
        };
        plain_files::make_dir(&info).map_err(|e| fail(e.to_string()))?;
        put(
            info.join("alternates"),
            format!("{}\n", found.objects).as_bytes(),
        )?;
        if let Some(file) = &found.shallow {
            let bytes = plain_files::read_if_any(Path::new(file))
                .ok()
                .flatten()
                .unwrap_or_default();
            put(dir.join("shallow"), &bytes)?;
        }
    }
    Ok(dir)
}

/// Finds the commit to publish. Fetches into the mirror only.
pub fn resolve(
    policy: &Policy,
    publish: &Publish,
    wish: &Wish,
    scratch: &Path,
) -> Result<Source, Stop> {
    let found = checkout(publish, scratch)?;
    let mirror = mirror(policy, publish, found.as_ref(), scratch)?;
    let mut findings = Vec::new();
    let branch = &publish.branch;
    let tip = |dir: &Path, name: &str| {
        git::resolve(dir, name).and_then(|call| ask(&call, scratch, QUICK).ok())
    };
    let local = found
        .as_ref()
        .and_then(|_| tip(&publish.source, &format!("refs/heads/{branch}")));
    let url = match &found {
        None => publish.url.clone(),
        Some(_) if publish.remote.is_empty() => String::new(),
        Some(_) => {
            let call = git::git(&publish.source).args(["remote", "get-url", "--", &publish.remote]);
            ask(&call, scratch, QUICK).map_err(|e| {
                Stop::failed(
                    format!("the checkout has no remote {}: {e}", publish.remote),
                    "name one in [publish] remote, or \"\" to publish local commits only",
                )
            })?
        }
    };
    let remote = if url.is_empty() {
        None
    } else {
        // A relative address is one from the checkout.
        let url = match url.contains(':') || url.starts_with('/') {
            true => url,
            false => publish.source.join(url).display().to_string(),
        };
        if url.starts_with('-') || url.contains("::") {
            return Err(Stop::refused(
                "the remote's address is one that runs commands",
                "git remote -v",
            ));
        }
        match ask(&git::fetch(&mirror, &url, branch), scratch, FETCH) {
            Ok(_) => {}
            Err(e) if wish.lenient => findings.push(warn(
                "source",
                format!("nothing could be fetched: {e}; compared with what was known before"),
                "",
            )),
            Err(e) => {
                return Err(Stop::failed(
                    format!("branch {branch} cannot be fetched: {e}"),
                    "try it by hand: git fetch; or publish what is here with [publish] remote = \"\"",
                ));
            }
        }
        tip(&mirror, &format!("refs/remote/{branch}"))
    };
    let commit = choose(
        publish,
        wish,
        &mirror,
        local.as_deref(),
        remote.as_deref(),
        scratch,
        &mut findings,
    )?;
    let said = ask(&git::facts(&mirror, &commit), scratch, QUICK)
        .map_err(|e| Stop::failed(format!("commit {commit} cannot be read: {e}"), "git fsck"))?;
    let (tree, time) = said.split_once(' ').unwrap_or((&said, "0"));
    Ok(Source {
        tree: tree.to_owned(),
        seconds: time.trim().parse().unwrap_or(0),
        mirror,
        commit,
        local,
        findings,
    })
}

fn choose(
    publish: &Publish,
    wish: &Wish,
    mirror: &Path,
    local: Option<&str>,
    remote: Option<&str>,
    scratch: &Path,
    findings: &mut Vec<Finding>,
) -> Result<String, Stop> {
    let branch = &publish.branch;
    if let Some(rev) = wish.rev {
        let here = |dir: &Path, name: &str| {
            git::resolve(dir, name).and_then(|c| ask(&c, scratch, QUICK).ok())
        };
        let found = here(mirror, rev)
            .or_else(|| here(mirror, &format!("refs/remote/{rev}")))
            .or_else(|| here(&publish.source, rev));
        return found.filter(|h| git::is_hash(h)).ok_or_else(|| {
            Stop::refused(
                format!("there is no commit {} after fetching", neutral(rev)),
                "git log --oneline   # names a commit by hash or tag",
            )
        });
    }
    let older = |a: &str, b: &str| ask(&git::is_ancestor(mirror, a, b), scratch, QUICK).is_ok();
    match (local, remote) {
        (None, None) => Err(Stop::refused(
            format!("there is no branch {branch}"),
            "git branch -a   # then set [publish] branch",
        )),
        (Some(only), None) | (None, Some(only)) => Ok(only.to_owned()),
        (Some(l), Some(r)) if l == r || older(l, r) => Ok(r.to_owned()),
        (Some(_), Some(r)) if wish.force => Ok(r.to_owned()),
        (Some(l), Some(r)) if older(r, l) => {
            let n = ask(&git::count(mirror, r, l), scratch, QUICK).unwrap_or_default();
            findings.push(warn(
                "source",
                format!(
                    "{branch} is {n} commits ahead of {}; they are published too",
                    publish.remote
                ),
                "git push",
            ));
            Ok(l.to_owned())
        }
        (Some(_), Some(r)) => Err(Stop::refused(
            format!(
                "{branch} here and on {} have diverged, so it cannot go forward to {}",
                publish.remote,
                &r[..12.min(r.len())]
            ),
            format!(
                "git -C {0} rebase {1}/{branch}; or give up the local commits: --force",
                publish.source.display(),
                publish.remote
            ),
        )),
    }
}

/// Moves the checkout to what is about to be published: forward, or wherever `--force` says; cloned when absent. Uncommitted work
/// is never touched: then the checkout stays where it is, with a warning.
pub fn update(
    publish: &Publish,
    source: &Source,
    wish: &Wish,
    run: &str,
    scratch: &Path,
) -> Vec<Finding> {
    let dir = &publish.source;
    if !plain_files::leads_to_dir(dir) {
        let parent = dir.parent().unwrap_or(Path::new("/"));
        let origin = if publish.remote.is_empty() {
            "origin"
        } else {
            &publish.remote
        };
        let call = git::git(parent)
            .args([
                "clone",
                "--quiet",
                "--template=",
                "--no-recurse-submodules",
                "--origin",
                origin,
                "--branch",
                &publish.branch,
                "--",
            ])
            .args([publish.url.clone(), dir.display().to_string()]);
        return match ask(&call, scratch, FETCH) {
            Ok(_) => Vec::new(),
            Err(e) => vec![warn(
                "source",
                format!("the checkout could not be cloned: {e}"),
                "git clone by hand",
            )],
        };
    }
    let moves = if wish.rev.is_some() { wish.force } else { true };
    if !moves || source.local.as_deref() == Some(&source.commit) || source.local.is_none() {
        return dirty(dir, scratch).into_iter().collect();
    }
    if let Some(warning) = dirty(dir, scratch) {
        return vec![warning];
    }
    let head = ask(
        &git::git(dir).args(["symbolic-ref", "--quiet", "HEAD"]),
        scratch,
        QUICK,
    )
    .unwrap_or_default();
    let full = format!("refs/heads/{}", publish.branch);
    let steps = [
        git::git(dir)
            .args([
                "fetch",
                "--quiet",
                "--no-write-fetch-head",
                "--no-tags",
                "--",
            ])
            .args([
                source.mirror.display().to_string(),
                "refs/remote/*:refs/ubos-sync/remote/*".into(),
            ]),
        // What the branch pointed at stays within reach, whatever happens to the branch.
        git::git(dir).args(["update-ref", &format!("refs/ubos-sync/before/{run}"), &full]),
        if head == full {
            git::git(dir).args([
                "checkout",
                "--quiet",
                "--no-overwrite-ignore",
                "-B",
                &publish.branch,
                &source.commit,
                "--",
            ])
        } else {
            git::git(dir).args([
                "branch",
                "--quiet",
                "--force",
                "--no-track",
                "--",
                &publish.branch,
                &source.commit,
            ])
        },
    ];
    for step in &steps {
        if let Err(e) = ask(step, scratch, FETCH) {
            return vec![warn(
                "source",
                format!("the checkout stays where it is: {e}"),
                "git status",
            )];
        }
    }
    Vec::new()
}

fn dirty(dir: &Path, scratch: &Path) -> Option<Finding> {
    let call = git::git(dir).args([
        "status",
        "--porcelain",
        "--untracked-files=no",
        "--ignore-submodules=all",
    ]);
    let said = ask(&call, scratch, QUICK).unwrap_or_default();
    (!said.is_empty()).then(|| {
        warn(
            "source",
            format!("the checkout at {} has uncommitted changes: they are not published, and the checkout was left as it is", dir.display()),
            "git status; commit them to publish them",
        )
    })
}

/// The warning about work that will not be published, for a dry run as well.
pub fn uncommitted(publish: &Publish, scratch: &Path) -> Option<Finding> {
    plain_files::leads_to_dir(&publish.source)
        .then(|| dirty(&publish.source, scratch))
        .flatten()
}

/// How many commits lie between what a target has and what it should have; `None` when its commit is not known here.
pub fn behind(source: &Source, has: &str, scratch: &Path) -> Option<u64> {
    if !git::is_hash(has) {
        return None;
    }
    ask(
        &git::count(&source.mirror, has, &source.commit),
        scratch,
        QUICK,
    )
    .ok()?
    .parse()
    .ok()
}
