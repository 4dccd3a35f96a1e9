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
fn the_formula_for_homebrew_is_of_this_version_and_of_that_tarball() {
    use sha2::Digest as _;
    let dir = tempfile::tempdir().unwrap();
    let tarball = dir.path().join("source.tar.gz");
    std::fs::write(&tarball, "the source").unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/homebrew.sh");
    let ask = |url: &str| {
        let mut command = Command::new("sh");
        command
            .arg(&script)
            .arg(&tarball)
            .arg(url)
            .output()
            .unwrap()
    };
    let out = ask("https://example.org/ubos-sync.tar.gz");
    let formula = String::from_utf8(out.stdout).unwrap();
    let sum: String = sha2::Sha256::digest("the source")
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    for line in [
        "url \"https://example.org/ubos-sync.tar.gz\"",
        &format!("version \"{}\"", env!("CARGO_PKG_VERSION")),
        &format!("desc \"{}\"", env!("CARGO_PKG_DESCRIPTION")),
        &format!("sha256 \"{sum}\""),
        "license \"MIT\"",
        "depends_on \"unison\"",
        "depends_on \"rsync\"",
    ] {
        assert!(
            formula.lines().any(|l| l.trim() == line),
            "{line}: {formula}"
        );
    }
    let words = |all: &[&str]| {
        let first = |l: &&str| all.contains(&l.split_whitespace().next().unwrap_or(""));
        formula.lines().filter(first).count()
    };
    assert_eq!(
        words(&["class", "def", "test"]),
        words(&["end"]),
        "{formula}"
    );
    let file = dir.path().join("ubos-sync.rb");
    std::fs::write(&file, &formula).unwrap();
    if let Ok(judged) = Command::new("ruby").arg("-c").arg(&file).output() {
        let said = String::from_utf8_lossy(&judged.stderr).into_owned();
        assert!(judged.status.success(), "{said}");
    }
    // A URL is text in a formula, not code.
    assert_eq!(ask("https://x/\"; system \"id").status.code(), Some(2));
    assert_eq!(ask("https://x/#{1}").status.code(), Some(2));
}

#[test]
fn a_source_tarball_knows_its_commit_and_makes_another_without_git() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dir = tempfile::tempdir().unwrap();
    let make = |tree: &Path, name: &str| {
        let file = dir.path().join(name);
        let script = tree.join("packaging/source.sh");
        let out = Command::new("sh").arg(script).arg(&file).output().unwrap();
        assert!(out.status.success(), "{out:?}");
        file
    };
    let read = |tarball: &Path, name: &str| {
        let mut tar = Command::new("tar");
        let out = tar
            .arg("-xzOf")
            .arg(tarball)
            .arg(format!("ubos-sync/{name}"));
        String::from_utf8(out.output().unwrap().stdout).unwrap()
    };
    let first = make(here, "first.tar.gz");
    let commit = read(&first, "packaging/commit");
    let head = Command::new("git")
        .current_dir(here)
        .args(["rev-parse", "HEAD"])
        .output();
    let head = head.ok().filter(|_| here.join(".git").exists());
    if let Some(head) = head.filter(|h| h.status.success()) {
        assert_eq!(commit, String::from_utf8(head.stdout).unwrap());
    }
    let unpack = Command::new("tar")
        .arg("-xzf")
        .arg(&first)
        .current_dir(dir.path())
        .status();
    assert!(unpack.unwrap().success());
    let tree = dir.path().join("ubos-sync");
    std::fs::create_dir(tree.join("target")).unwrap();
    std::fs::write(tree.join("target/big"), "built").unwrap();
    let second = make(&tree, "second.tar.gz");
    assert_eq!(read(&second, "packaging/commit"), commit);
    assert_eq!(read(&second, "Cargo.lock"), read(&first, "Cargo.lock"));
    let listed = text(Command::new("tar").arg("-tzf").arg(&second));
    assert!(
        listed.contains("ubos-sync/build.rs") && !listed.contains("target/big"),
        "{listed}"
    );
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
        "schema/ubos-sync.schema.json",
        "schema/ubos-sync.status.schema.json",
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
