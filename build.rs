//! Puts the commit into the program's version, when it is built from a checkout.

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
}
