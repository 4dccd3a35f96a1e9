//! Which commit is published: fetching, diverging, exact commits, clones, and what git is kept from doing.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

mod fleet;
mod lab;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use fleet::Fleet;
use lab::{Lab, Side, need};

fn ready() -> bool {
    need(&["git", "rsync", "ssh", "sshd"])
}

/// A fleet whose checkout follows a bare repository beside it.
fn followed(extra: &str) -> (Fleet, String) {
    let fleet = Fleet::of(Lab::new(), extra, "");
    let file = fleet.lab.policy_file(Side::Laptop);
    let text = fs::read_to_string(&file).unwrap();
    fleet.lab.write_policy(
        Side::Laptop,
        &text.replacen("remote = \"\"", "remote = \"origin\"", 1),
    );
    let commit = fleet.commit();
    let bare = fleet.lab.home(Side::Laptop).join("origin.git");
    let bare = bare.to_str().unwrap();
    fleet.git(&["clone", "-q", "--bare", ".", bare]);
    fleet.git(&["remote", "add", "origin", bare]);
    (fleet, commit)
}

#[test]
fn a_newer_commit_of_the_remote_is_published_and_the_checkout_follows_only_when_applied() {
    if !ready() {
        return;
    }
    let (fleet, first) = followed("");
    fleet.write("README.md", "newer");
    let newer = fleet.commit();
    fleet.git(&["push", "-q", "origin", "main"]);
    fleet.git(&["reset", "-q", "--hard", &first]);
    fleet.git(&["update-ref", "-d", "refs/remotes/origin/main"]);
    let doc = fleet
        .lab
        .run(&["publish", "vm0", "--json"])
        .expect(0)
        .json();
    assert_eq!(doc["lanes"][0]["commit"], newer);
    assert_eq!(
        fleet.git(&["rev-parse", "HEAD"]),
        first,
        "a dry run moved the checkout"
    );
    assert_eq!(fleet.git(&["for-each-ref", "refs/remotes"]), "");
    fleet.publish(&["vm0"]).expect(0);
    assert_eq!(
        (fleet.rev(0), fleet.git(&["rev-parse", "HEAD"])),
        (Some(newer.clone()), newer)
    );
    assert_eq!(fleet.lab.read_text(Side::Laptop, "README.md"), "newer");
    // An older commit, exactly; the branch stays where it is.
    fleet.publish(&["vm0", "--rev", &first[..10]]).expect(0);
    assert_eq!(
        (fleet.rev(0), fleet.read(0, "README.md")),
        (Some(first), Some("first".into()))
    );
    fleet.publish(&["vm0", "--rev", "no-such"]).expect(3);
    fleet
        .publish(&["vm0", "--rev=--upload-pack=touch x"])
        .expect(3);
}

#[test]
fn a_diverged_branch_is_refused_and_force_resets_it_without_losing_the_local_commit() {
    if !ready() {
        return;
    }
    let (fleet, first) = followed("");
    fleet.write("README.md", "theirs");
    let theirs = fleet.commit();
    fleet.git(&["push", "-q", "origin", "main"]);
    fleet.git(&["reset", "-q", "--hard", &first]);
    fleet.write("README.md", "ours");
    let ours = fleet.commit();
    let out = fleet.publish(&["vm0"]).expect(3);
    assert!(out.stdout.contains("diverged"), "{out}");
    assert!(!fleet.target(0).exists());
    // Uncommitted work keeps the checkout where it is, forced or not.
    fleet.write("docs/a b.md", "in progress");
    fleet.publish(&["vm0", "--force"]).expect(0);
    assert_eq!(fleet.rev(0), Some(theirs.clone()));
    assert_eq!(fleet.git(&["rev-parse", "HEAD"]), ours);
    assert_eq!(
        fleet.lab.read_text(Side::Laptop, "docs/a b.md"),
        "in progress"
    );
    fleet.git(&["checkout", "-q", "--", "."]);
    fleet.publish(&["vm0", "--force"]).expect(0);
    assert_eq!(fleet.git(&["rev-parse", "HEAD"]), theirs);
    assert!(
        fleet
            .git(&["for-each-ref", "refs/ubos-sync/before"])
            .contains(&ours)
    );
}

#[test]
fn an_absent_checkout_is_cloned_when_applied() {
    if !ready() {
        return;
    }
    let (fleet, first) = followed("");
    let bare = fleet.lab.home(Side::Laptop).join("origin.git");
    let file = fleet.lab.policy_file(Side::Laptop);
    let text = fs::read_to_string(&file).unwrap();
    let text = text.replacen(
        "remote = \"origin\"",
        &format!("remote = \"origin\"\nurl = {bare:?}"),
        1,
    );
    fleet.lab.write_policy(Side::Laptop, &text);
    fs::remove_dir_all(fleet.lab.tree(Side::Laptop)).unwrap();
    fleet.lab.run(&["publish", "vm0"]).expect(0);
    assert!(!fleet.lab.tree(Side::Laptop).exists());
    fleet.publish(&["vm0"]).expect(0);
    assert_eq!(
        (fleet.rev(0), fleet.git(&["rev-parse", "HEAD"])),
        (Some(first.clone()), first)
    );
}

#[test]
fn se_11_hooks_and_git_variables_have_no_say() {
    if !ready() {
        return;
    }
    let (fleet, first) = followed("");
    fleet.write("README.md", "newer");
    let newer = fleet.commit();
    fleet.git(&["push", "-q", "origin", "main"]);
    fleet.git(&["reset", "-q", "--hard", &first]);
    let tree = fleet.lab.tree(Side::Laptop);
    let trap = fleet.lab.root().join("trapped");
    let script = format!("#!/bin/sh\ntouch {}\n", trap.display());
    for hook in [
        "post-checkout",
        "post-merge",
        "reference-transaction",
        "fsmonitor",
    ] {
        let file = tree.join(".git/hooks").join(hook);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, &script).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }
    fleet.git(&["config", "core.fsmonitor", ".git/hooks/fsmonitor"]);
    let _ = fs::remove_file(&trap);
    let mut command = fleet.lab.command(Side::Laptop);
    command.args(["publish", "vm0", "--apply"]);
    for (name, value) in [
        ("GIT_DIR", "/nowhere"),
        ("GIT_WORK_TREE", "/"),
        ("GIT_EXTERNAL_DIFF", "false"),
        ("RSYNC_RSH", "false"),
    ] {
        command.env(name, value);
    }
    fleet.lab.start(command).wait().expect(0);
    assert_eq!(fleet.rev(0), Some(newer));
    assert!(!trap.exists(), "a hook ran");
}

#[test]
fn fo_11_an_unreadable_directory_and_a_submodule_of_the_checkout_change_nothing() {
    if !ready() {
        return;
    }
    let fleet = Fleet::new("");
    // What git-lfs leaves in a repository instead of a big file.
    let oid = "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393";
    let pointer =
        format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize 12345\n");
    fleet.write("big.bin", &pointer);
    let first = fleet.commit();
    fleet.git(&[
        "update-index",
        "--add",
        "--cacheinfo",
        &format!("160000,{first},module"),
    ]);
    fleet.git(&["commit", "-q", "-m", "module"]);
    let shut = fleet.lab.at(Side::Laptop, "docs");
    fs::set_permissions(&shut, fs::Permissions::from_mode(0o000)).unwrap();
    let out = fleet.publish(&["vm0", "--json"]);
    fs::set_permissions(&shut, fs::Permissions::from_mode(0o755)).unwrap();
    let doc = out.expect(0).json();
    let told = |word: &str| {
        let all = doc["findings"].as_array().unwrap();
        all.iter()
            .any(|f| f["message"].as_str().unwrap().contains(word))
    };
    assert!(told("submodules are not published: module"), "{doc:#}");
    assert!(told("pointers of git-lfs") && told("big.bin"), "{doc:#}");
    assert_eq!(fleet.read(0, "big.bin").unwrap(), pointer);
    assert_eq!(fleet.read(0, "docs/a b.md").unwrap(), "a");
    assert!(!fleet.target(0).join("module").exists());
}

#[test]
fn a_source_that_cannot_be_what_was_meant_ends_the_run_before_any_target_is_touched() {
    if !ready() {
        return;
    }
    let (fleet, _) = followed("");
    let ends = |code: i32, why: &str| {
        let out = fleet.publish(&["vm0"]).expect(code);
        assert!(out.stdout.contains(why), "{why}: {out}");
        assert!(!fleet.target(0).exists(), "{why}: {out}");
    };
    let planted = fleet.lab.root().join("PWNED");
    let touch = format!("touch {}", planted.display());
    for url in [
        format!("ext::{touch}"),
        format!("-oProxyCommand={touch}:repo"),
    ] {
        fleet.git(&["config", "remote.origin.url", &url]);
        ends(3, "runs commands");
        assert!(!planted.exists(), "{url}");
    }
    fleet.git(&["config", "remote.origin.url", "../nowhere"]);
    ends(1, "cannot be fetched");
    fleet.git(&["remote", "remove", "origin"]);
    ends(1, "no remote origin");

    let text = fs::read_to_string(fleet.lab.policy_file(Side::Laptop)).unwrap();
    let bare = fleet.lab.root().join("no-git");
    fs::create_dir(&bare).unwrap();
    let below = fleet.lab.tree(Side::Laptop).join("docs");
    for (source, why) in [
        (below, "is not the top of its checkout"),
        (bare.clone(), "is not a git checkout"),
        (bare.join("absent"), "there is no checkout at"),
    ] {
        let with = format!("[publish]\nsource = {source:?}\n");
        let text = text.replacen("[publish]\n", &with, 1);
        fleet.lab.write_policy(Side::Laptop, &text);
        ends(3, why);
    }
}
