//! The built-in demo, as a new user types it: every step checks itself, and nothing stays behind unless that is asked for.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

use std::path::PathBuf;
use std::process::{Command, Output};

fn demo(dir: &std::path::Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ubos-sync"))
        .arg("demo")
        .args(args)
        .env("TMPDIR", dir)
        .env("HOME", dir)
        .output()
        .unwrap()
}

fn left(dir: &std::path::Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap();
    entries.map(|e| e.unwrap().path()).collect()
}

#[test]
fn the_demo_shows_the_main_job_and_cleans_up() {
    let installed = |p: &str| Command::new(p).arg("--version").output().is_ok();
    if !["unison", "rsync", "git"].iter().all(|p| installed(p)) {
        assert!(std::env::var_os("CI").is_none(), "an engine is absent");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let out = demo(dir.path(), &[]);
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(
        out.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&out.stderr)
    );
    for step in [
        "REFUSED max_delete",
        "rollback last --apply",
        "mission_log.jsonl.g0001.",
        "vm01  modified",
        "Whole: ",
        "The losing edit was not destroyed",
    ] {
        assert!(said.contains(step), "{step} is missing:\n{said}");
    }
    assert_eq!(left(dir.path()), Vec::<PathBuf>::new());
    let out = demo(dir.path(), &["--keep"]);
    assert!(out.status.success());
    let kept = left(dir.path());
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert!(kept[0].join("laptop/docs/mission-1.md").is_file());
}
