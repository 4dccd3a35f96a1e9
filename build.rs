//! Puts the commit into the program's version: that of the checkout, or the one that git wrote into a source tarball.

#![allow(clippy::disallowed_methods, reason = "the build is not the program")]

use std::process::Command;

fn main() {
    let git = |args: &[&str]| {
        let out = Command::new("git").args(args).output().ok()?;
        let text = String::from_utf8(out.stdout).ok()?;
        (out.status.success()).then(|| text.trim().to_owned())
    };
    // A package that lies inside somebody else's checkout is not that checkout's commit.
    let own = git(&["rev-parse", "--show-prefix"]).is_some_and(|p| p.is_empty());
    let commit = git(&["rev-parse", "--short=12", "HEAD"]).filter(|_| own);
    let commit = commit.or_else(|| {
        let text = std::fs::read_to_string("packaging/commit").ok()?;
        // In a checkout, and in what was made from one without git, it holds a placeholder.
        let is_commit =
            text.trim().len() >= 40 && text.trim().bytes().all(|b| b.is_ascii_hexdigit());
        is_commit.then(|| text[..12].to_owned())
    });
    let version = std::env::var("CARGO_PKG_VERSION").unwrap_or_default();
    println!(
        "cargo::rustc-env=UBOS_SYNC_VERSION={}",
        match commit {
            Some(commit) => format!("{version} ({commit})"),
            None => version,
        }
    );
    // A path that is not there would have everything built anew each time: a package has no git, and a worktree has it elsewhere.
    for name in ["HEAD", "refs/heads"] {
        let path = git(&["rev-parse", "--git-path", name]).filter(|_| own);
        if let Some(path) = path.filter(|p| std::path::Path::new(p).exists()) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    println!("cargo::rerun-if-changed=build.rs");
    if std::path::Path::new("packaging/commit").exists() {
        println!("cargo::rerun-if-changed=packaging/commit");
    }
}
