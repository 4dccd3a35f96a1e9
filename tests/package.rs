//! The packages: what is in them, and what Debian's own judge says.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

use std::path::{Path, PathBuf};
use std::process::Command;

fn text(command: &mut Command) -> String {
    let out = command.output().unwrap();
    let all = [out.stdout, out.stderr].concat();
    String::from_utf8_lossy(&all).into_owned()
}

#[test]
fn the_packages_hold_what_a_user_needs_and_a_judge_finds_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/build.sh");
    let said = text(
        Command::new("sh")
            .arg(script)
            .arg(env!("CARGO_BIN_EXE_ubos-sync"))
            .arg(dir.path()),
    );
    let files: Vec<PathBuf> = said
        .lines()
        .map(PathBuf::from)
        .filter(|p| p.is_file())
        .collect();
    let tarball = files
        .iter()
        .find(|f| f.extension().is_some_and(|x| x == "gz"));
    let listed = text(Command::new("tar").arg("-tzf").arg(tarball.expect(&said)));
    for name in [
        "/bin/ubos-sync",
        "man1/ubos-sync-truth.1.gz",
        "examples/federation.toml",
        "/LICENSE",
        "/LICENSE.gitleaks",
    ] {
        assert!(listed.contains(name), "{name}: {listed}");
    }
    assert!(!listed.contains("unit-failed"), "{listed}");
    let Some(deb) = files
        .iter()
        .find(|f| f.extension().is_some_and(|x| x == "deb"))
    else {
        // Only Debian's family has what it takes.
        assert!(said.contains("no dpkg-deb"), "{said}");
        return;
    };
    let control = text(Command::new("dpkg-deb").arg("-f").arg(deb));
    assert!(
        control.contains("unison, rsync, openssh-client"),
        "{control}"
    );
    let unpacked = dir.path().join("unpacked");
    text(Command::new("dpkg-deb").arg("-x").arg(deb).arg(&unpacked));
    let version = text(Command::new(unpacked.join("usr/bin/ubos-sync")).arg("--version"));
    assert!(version.starts_with("ubos-sync 0."), "{version}");
    if Command::new("lintian").arg("--version").output().is_ok() {
        let judged = text(Command::new("lintian").arg("--allow-root").arg(deb));
        let errors: Vec<&str> = judged.lines().filter(|l| l.starts_with("E:")).collect();
        assert!(errors.is_empty(), "{judged}");
    }
}
