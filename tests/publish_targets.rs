//! What stands on a target and what becomes of it: kinds that change, names, locks, stops, targets on this machine.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

mod fleet;
mod lab;

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};

use fleet::Fleet;
use lab::{Lab, Side, Snapshot, need, wait_until};

fn ready() -> bool {
    need(&["git", "rsync", "ssh", "sshd"])
}

#[test]
fn files_directories_and_links_change_into_one_another() {
    if !ready() {
        return;
    }
    for layout in ["in-place", "releases"] {
        let fleet = Fleet::new(&format!("layout = \"{layout}\""));
        for (path, text) in [
            ("a", "file"),
            ("b/x", "in dir"),
            ("b/y/z", "deep"),
            ("c", "file"),
        ] {
            fleet.write(path, text);
        }
        fleet.lab.symlink(Side::Laptop, "d", "b");
        fleet.commit();
        fleet.publish(&["vm1"]).expect(0);
        for path in ["a", "b", "c", "d"] {
            fleet.lab.remove(Side::Laptop, path);
        }
        fleet.write("a/in/side", "now a directory");
        fleet.write("b", "now a file");
        fleet.lab.symlink(Side::Laptop, "c", "a");
        fleet.write("d/e", "no link any more");
        fleet.commit();
        fleet.publish(&["vm1"]).expect(0);
        let at = |p: &str| match layout {
            "releases" => format!("current/{p}"),
            _ => p.to_owned(),
        };
        assert_eq!(fleet.read(1, &at("a/in/side")).unwrap(), "now a directory");
        assert_eq!(fleet.read(1, &at("b")).unwrap(), "now a file");
        assert_eq!(
            fs::read_link(fleet.target(1).join(at("c")))
                .unwrap()
                .to_str(),
            Some("a")
        );
        assert_eq!(fleet.read(1, &at("d/e")).unwrap(), "no link any more");
        assert!(!fleet.target(1).join(at("d")).is_symlink());
        fleet.lab.run(&["verify", "vm1", "--full"]).expect(0);
    }
}

#[test]
fn what_is_in_the_way_is_kept_however_long_its_name_is() {
    if !ready() {
        return;
    }
    let long = "n".repeat(255);
    let fleet = Fleet::new("");
    fleet.commit();
    fleet.publish(&["vm1"]).expect(0);
    for (dir, text) in [("docs", "theirs"), ("", "at the top")] {
        let there = fleet.target(1).join(dir).join(&long);
        fs::create_dir_all(&there).unwrap();
        fs::write(there.join("own"), text).unwrap();
    }
    fleet.write(&format!("docs/{long}"), "ours");
    fleet.write(&long, "ours");
    fleet.commit();
    fleet.publish(&["vm1"]).expect(0);
    assert_eq!(fleet.read(1, &format!("docs/{long}")).unwrap(), "ours");
    fleet.lab.run(&["verify", "vm1", "--full"]).expect(0);
    let trash = Snapshot::of(&fleet.target(1).join(".ubos-sync.publish/trash"));
    for own in [format!("/{long}/own"), format!("/docs/{long}/own")] {
        let is_kept = |p: &Vec<u8>| p.ends_with(own.as_bytes());
        assert!(trash.entries.keys().any(is_kept), "{own}: {trash:?}");
    }
}

#[test]
fn names_are_taken_as_they_are() {
    if !ready() {
        return;
    }
    let fleet = Fleet::new("");
    let long = "n".repeat(250);
    let names = [
        "-rf",
        "--delete",
        "a'b",
        "a\"b",
        "$(touch x)",
        "`id`",
        "*",
        "[z]",
        "back\\slash",
        "tab\there",
        " lead",
        "trail ",
        "日本 é",
        "#hash",
        "~",
        "x=y",
        "+plus",
        &long,
    ];
    for dir in ["", "-d/", "sp ace/", "r\\/"] {
        for name in names {
            fleet.write(&format!("{dir}{name}"), name);
        }
    }
    fleet.commit();
    fleet.publish(&[]).expect(0);
    for dir in ["", "-d/", "sp ace/", "r\\/"] {
        for name in names {
            let name_there = format!("{dir}{name}");
            let is_there = |i| fleet.read(i, &name_there).as_deref() == Some(name);
            assert!((0..8).all(is_there), "{name_there}");
        }
    }
    fleet.lab.remove(Side::Laptop, "-d");
    fleet.write("sp ace/--delete", "changed");
    fleet.commit();
    fleet
        .publish(&["vm0", "vm4", "--allow", "max_delete"])
        .expect(0);
    assert!(!fleet.target(0).join("-d").exists());
    assert_eq!(fleet.read(0, "sp ace/--delete").unwrap(), "changed");
    fleet.lab.run(&["verify", "vm0", "vm4", "--full"]).expect(0);
    fleet.write("line\nbreak", "x");
    fleet.commit();
    fleet.publish(&["vm0"]).expect(3);
}

#[test]
fn what_a_target_made_under_a_name_with_a_line_break_is_carried_over() {
    if !ready() {
        return;
    }
    let fleet = Fleet::new("layout = \"releases\"");
    fleet.commit();
    fleet.publish(&["vm1"]).expect(0);
    let own = ["line\nbreak", "li\nne/f", "li\nne/back\\n\n"];
    let live = fleet.target(1).join("current");
    fs::create_dir(live.join("li\nne")).unwrap();
    for name in own {
        fs::write(live.join(name), name).unwrap();
    }
    symlink("no\nwhere", live.join("li\nnk")).unwrap();
    fleet.write("README.md", "two");
    fleet.commit();
    fleet.publish(&["vm1"]).expect(0);
    assert_eq!(fleet.read(1, "current/README.md").unwrap(), "two");
    for name in own {
        let carried = fleet.read(1, &format!("current/{name}"));
        assert_eq!(carried.as_deref(), Some(name));
    }
    let link = fs::read_link(live.join("li\nnk")).unwrap();
    assert_eq!(link.to_str(), Some("no\nwhere"));
}

/// The name of a release tells the second and the commit, so two of them may want the same one.
#[test]
fn a_release_whose_name_is_taken_gets_another_one_and_goes_live() {
    if !ready() {
        return;
    }
    let fleet = Fleet::new("layout = \"releases\"");
    let commit = fleet.commit();
    fleet.publish(&["vm1"]).expect(0);
    let live = || fs::read_link(fleet.target(1).join("current")).unwrap();
    let first = live();
    fs::write(fleet.target(1).join("current/README.md"), "edited there").unwrap();
    let now = chrono::Utc::now();
    let taken = |second: i64| {
        let at = now + chrono::TimeDelta::seconds(second);
        format!("{}-{}", at.format("%Y%m%dT%H%M%SZ"), &commit[..12])
    };
    for second in 0..60 {
        let place = fleet.target(1).join("releases").join(taken(second));
        fs::create_dir_all(place).unwrap();
    }
    let doc = fleet.publish(&["vm1", "--json"]).expect(0).json();
    let name = doc["lanes"][0]["release"].as_str().unwrap().to_owned();
    assert!(name.ends_with("-2"), "{doc:#}");
    assert_eq!(live().to_str(), Some(&*format!("releases/{name}")));
    assert_eq!(fleet.read(1, "current/README.md").as_deref(), Some("first"));
    fleet.lab.run(&["verify", "vm1"]).expect(0);
    let edited = fleet.target(1).join(first).join("README.md");
    assert_eq!(fs::read_to_string(edited).unwrap(), "edited there");
    fleet.write("README.md", "second");
    fleet.commit();
    fleet.publish(&["vm1"]).expect(0);
    fleet.lab.run(&["rollback", "last", "--apply"]).expect(0);
    assert_eq!(live().to_str(), Some(&*format!("releases/{name}")));
}

#[test]
fn a_publish_ends_when_somebody_makes_another_release_live_under_it() {
    if !ready() {
        return;
    }
    let fleet = Fleet::injectable("layout = \"releases\"");
    let first = fleet.commit();
    fleet.publish(&["vm0"]).expect(0);
    let root = fleet.target(0);
    let live = root.join(fs::read_link(root.join("current")).unwrap());
    let other = root.join("releases/other");
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .args([&live, &other])
        .status();
    assert!(copied.unwrap().success());
    fleet.write("README.md", "second");
    fleet.commit();
    let gate = fleet.lab.gate_call(Side::Server, "rsync", "*--server*");
    let run = fleet.lab.spawn(&["publish", "vm0", "--apply"]);
    gate.wait();
    fs::remove_file(root.join("current")).unwrap();
    symlink("releases/other", root.join("current")).unwrap();
    gate.open();
    let out = run.wait();
    assert!(
        out.code == 1 && out.stdout.contains("another release has become live"),
        "{out}"
    );
    assert_eq!(
        fs::read_link(root.join("current")).unwrap().to_str(),
        Some("releases/other")
    );
    assert_eq!(fleet.rev(0), Some(first));
}

#[test]
fn two_publishes_to_one_target_do_not_meet_and_a_dead_one_s_lock_is_taken_over() {
    if !ready() {
        return;
    }
    let fleet = Fleet::injectable("");
    fleet.commit();
    fleet.publish(&["vm0"]).expect(0);
    fleet.write("README.md", "two");
    let second = fleet.commit();
    let gate = fleet.lab.gate_call(Side::Server, "rsync", "*--server*");
    let run = fleet.lab.spawn(&["publish", "vm0", "--apply"]);
    gate.wait();
    // Another host publishes there too: the same policy with a state directory of its own.
    let file = fleet.lab.policy_file(Side::Laptop);
    let text = fs::read_to_string(&file).unwrap();
    let other = fleet.lab.home(Side::Laptop).join("other.toml");
    fs::write(
        &other,
        text.replacen(
            "[guards]",
            "state_dir = \"~/other-state\"\n[audit]\ndir = \"~/other-logs\"\n[guards]",
            1,
        ),
    )
    .unwrap();
    fs::set_permissions(&other, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let mut command = fleet.lab.command(Side::Laptop);
    command
        .args(["publish", "vm0", "--apply", "--policy"])
        .arg(&other);
    let out = fleet.lab.start(command).wait().expect(6);
    assert!(out.stdout.contains("lock"), "{out}");
    run.kill();
    drop(run);
    gate.open();
    let mut command = fleet.lab.command(Side::Laptop);
    command
        .args(["publish", "vm0", "--apply", "--policy"])
        .arg(&other);
    wait_until("the lock of the dead run is free", || {
        let mut command = fleet.lab.command(Side::Laptop);
        command
            .args(["publish", "vm0", "--apply", "--policy"])
            .arg(&other);
        fleet.lab.start(command).wait().code == 0
    });
    assert_eq!(
        (fleet.rev(0), fleet.read(0, "README.md")),
        (Some(second), Some("two".into()))
    );
}

#[test]
fn a_stop_ends_cleanly_and_says_what_is_there() {
    if !ready() {
        return;
    }
    let fleet = Fleet::injectable("");
    fleet.commit();
    fleet.publish(&["vm0"]).expect(0);
    fleet.write("README.md", "two");
    fleet.commit();
    let gate = fleet.lab.gate_call(Side::Server, "rsync", "*--server*");
    let run = fleet.lab.spawn(&["publish", "vm0", "--apply", "--json"]);
    gate.wait();
    run.signal(rustix::process::Signal::TERM);
    let out = run.wait();
    gate.open();
    assert_eq!(out.code, 143, "{out}");
    assert_eq!(out.json()["outcome"], "interrupted");
    assert_eq!(fleet.read(0, "README.md").unwrap(), "first");
    fleet.publish(&["vm0"]).expect(0);
}

#[test]
fn a_slow_target_does_not_hold_up_the_others() {
    if !ready() {
        return;
    }
    let fleet = Fleet::injectable("");
    let commit = fleet.commit();
    let open = fleet.lab.root().join("tmp/slow-open");
    // The one whose directory is `it's` waits in rsync until it is let go.
    let script = format!(
        "case \"$PWD $*\" in *\"it's\"*--server*) while [ ! -e {} ]; do sleep 0.02; done ;; esac\nexec \"$REAL\" \"$@\"",
        open.display()
    );
    fleet.lab.stand_in(Side::Server, "rsync", &script);
    let run = fleet.lab.spawn(&["publish", "--apply"]);
    wait_until("all but the slow one are done", || {
        (0..8)
            .filter(|i| *i != 2)
            .all(|i| fleet.rev(i).as_ref() == Some(&commit))
    });
    assert_eq!(fleet.rev(2), Some(format!("INCOMPLETE {commit}")));
    fs::write(open, "").unwrap();
    run.wait().expect(0);
    assert_eq!(fleet.rev(2), Some(commit));
}

#[test]
fn a_local_target_and_one_that_another_tool_had_filled() {
    if !ready() {
        return;
    }
    let fleet = Fleet::new("");
    let file = fleet.lab.policy_file(Side::Laptop);
    let text = fs::read_to_string(&file).unwrap();
    let at = fleet.lab.home(Side::Laptop).join("a disk/it's");
    fleet.lab.write_policy(
        Side::Laptop,
        &format!("{text}[[publish.target]]\nname = \"disk\"\npath = {at:?}\n"),
    );
    let first = fleet.commit();
    // What equals the commit is taken over as it is.
    fs::create_dir_all(at.join("docs/deep/er")).unwrap();
    fs::create_dir_all(at.join("bin")).unwrap();
    for path in [
        ".ubos-root",
        "README.md",
        "docs/a b.md",
        "docs/deep/er/x.md",
        "bin/run",
    ] {
        fs::copy(fleet.lab.at(Side::Laptop, path), at.join(path)).unwrap();
    }
    symlink("docs/a b.md", at.join("link")).unwrap();
    fleet.publish(&["disk"]).expect(0);
    assert_eq!(
        fs::read_to_string(at.join(".sync_rev")).unwrap(),
        format!("{first}\n")
    );
    fleet.lab.remove(Side::Laptop, "docs/deep");
    fleet.commit();
    fleet.publish(&["disk"]).expect(0);
    assert!(!at.join("docs/deep").exists());
    fleet.lab.run(&["verify", "disk", "--full"]).expect(0);
}

#[test]
fn se_07_a_directory_that_turns_into_a_link_and_back_all_the_time_leads_nobody_out() {
    if !ready() {
        return;
    }
    let fleet = Fleet::new("");
    fleet.write("docs/x", "x");
    fleet.commit();
    fleet.publish(&["vm0"]).expect(0);
    let outside = fleet.lab.root().join("outside");
    fs::create_dir_all(outside.join("deep/er")).unwrap();
    for path in ["a b.md", "x", "deep/er/x.md"] {
        fs::write(outside.join(path), "precious").unwrap();
    }
    let before = lab::Snapshot::of(&outside);
    let (docs, aside) = (fleet.target(0).join("docs"), fleet.target(0).join("aside"));
    let done = AtomicBool::new(false);
    std::thread::scope(|s| {
        s.spawn(|| {
            // Each step may fail, because somebody else moves things too.
            while !done.load(Ordering::Relaxed) {
                let _ = fs::rename(&docs, &aside);
                let _ = symlink(&outside, &docs);
                let _ = fs::remove_file(&docs);
                let _ = fs::rename(&aside, &docs);
            }
        });
        for n in 0..4 {
            match n % 2 {
                0 => fleet.lab.remove(Side::Laptop, "docs/x"),
                _ => fleet.write("docs/x", &format!("{n}")),
            }
            fleet.write("docs/a b.md", &format!("{n}"));
            fleet.write("docs/deep/er/x.md", &format!("{n}"));
            fleet.commit();
            // It may be refused or fail; what it may not do is looked at below.
            let _ = fleet.publish(&["vm0", "--allow", "max_delete"]);
        }
        done.store(true, Ordering::Relaxed);
    });
    before.assert_unchanged(&outside, "a link was followed");
    let last = fleet.git(&["rev-parse", "HEAD"]);
    fleet.publish(&["vm0", "--allow", "max_delete"]).expect(0);
    assert_eq!(fleet.rev(0), Some(last));
    assert_eq!(fleet.read(0, "docs/a b.md").unwrap(), "3");
    fleet.lab.run(&["verify", "vm0", "--full"]).expect(0);
}

#[test]
fn what_somebody_made_in_a_release_outlives_it() {
    if !ready() {
        return;
    }
    let fleet = Fleet::new("layout = \"releases\"\nkeep_releases = 2");
    fleet.commit();
    fleet.publish(&["vm0"]).expect(0);
    let live = fleet.target(0).join("current");
    for (path, text) in [("README.md", "edited there"), ("own/deep.md", "made there")] {
        fs::create_dir_all(live.join("own")).unwrap();
        fs::write(live.join("new.tmp"), text).unwrap();
        fs::rename(live.join("new.tmp"), live.join(path)).unwrap();
    }
    // The one is changed again, the other is in the way of a file.
    fleet.write("own", "a file");
    for n in 2..6 {
        fleet.write("README.md", &format!("version {n}"));
        fleet.commit();
        fleet.publish(&["vm0"]).expect(0);
    }
    assert_eq!(fleet.read(0, "current/own").as_deref(), Some("a file"));
    let trash = Snapshot::of(&fleet.target(0).join(".ubos-sync.publish/trash"));
    for name in ["README.md", "own/deep.md"] {
        let is_kept = |p: &Vec<u8>| p.ends_with(name.as_bytes());
        assert!(trash.entries.keys().any(is_kept), "{name}: {trash:?}");
    }
    let text = fs::read_dir(fleet.target(0).join(".ubos-sync.publish/trash")).unwrap();
    let kept: Vec<_> = text.flatten().map(|e| e.path().join("README.md")).collect();
    let texts: Vec<_> = kept
        .iter()
        .filter_map(|p| fs::read_to_string(p).ok())
        .collect();
    assert_eq!(texts, ["edited there"]);
}

#[test]
fn what_somebody_makes_in_a_release_while_the_next_one_comes_outlives_it() {
    if !ready() {
        return;
    }
    let lab = Lab::builder().injectable().build();
    let fleet = Fleet::of(lab, "layout = \"releases\"\nkeep_releases = 2", "");
    fleet.write("big.bin", &"x".repeat(300 << 10));
    fleet.write("shared.md", "in two releases");
    fleet.commit();
    fleet.publish(&["vm0"]).expect(0);
    fleet.write("big.bin", &"z".repeat(300 << 10));
    fleet.commit();
    fleet.publish(&["vm0"]).expect(0);
    let live = fleet.target(0).join("current");
    fleet.write("README.md", "second");
    fleet.write("shared.md", "changed");
    fleet.write("big.bin", &"y".repeat(300 << 10));
    fleet.commit();
    let gate = fleet.lab.gate_call(Side::Server, "rsync", "*--server*");
    let run = fleet.lab.spawn(&["publish", "vm0", "--apply"]);
    gate.wait();
    fs::write(live.join("new.tmp"), "edited there").unwrap();
    fs::rename(live.join("new.tmp"), live.join("README.md")).unwrap();
    fs::write(live.join("docs/own.md"), "made there").unwrap();
    fs::write(live.join("shared.md"), "edited in place").unwrap();
    gate.open();
    run.wait().expect(0);
    for n in 3..6 {
        fleet.write("README.md", &format!("version {n}"));
        fleet.commit();
        fleet.publish(&["vm0"]).expect(0);
    }
    let trash = fs::read_dir(fleet.target(0).join(".ubos-sync.publish/trash")).unwrap();
    let of_run = trash
        .flatten()
        .map(|e| e.path())
        .find(|p| p.join("README.md").exists());
    let kept = Snapshot::of(&of_run.unwrap());
    assert_eq!(
        kept.paths(),
        [
            ".ubos-sync.edited",
            "README.md",
            "docs",
            "docs/own.md",
            "shared.md"
        ]
    );
}

#[test]
fn going_back_keeps_what_somebody_edited_in_the_release_that_is_left() {
    if !ready() {
        return;
    }
    let fleet = Fleet::new("layout = \"releases\"");
    let first = fleet.commit();
    fleet.publish(&["vm0"]).expect(0);
    fleet.write("README.md", "second");
    fleet.commit();
    fleet.publish(&["vm0"]).expect(0);
    let live = fleet.target(0).join("current");
    fs::write(live.join("new.tmp"), "edited there").unwrap();
    fs::rename(live.join("new.tmp"), live.join("README.md")).unwrap();
    fleet.lab.run(&["rollback", "last", "--apply"]).expect(0);
    assert_eq!(fleet.read(0, "current/.sync_rev").unwrap().trim(), first);
    assert_eq!(fleet.read(0, "current/README.md").as_deref(), Some("first"));
    let trash = fs::read_dir(fleet.target(0).join(".ubos-sync.publish/trash")).unwrap();
    let mut kept = trash.flatten().map(|e| e.path().join("README.md"));
    assert!(kept.any(|p| fs::read_to_string(p).is_ok_and(|t| t == "edited there")));
}
