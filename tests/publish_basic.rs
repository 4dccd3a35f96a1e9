//! The fan-out over a real sshd: eight targets with names that would break a shell.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

mod fleet;
mod lab;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use fleet::Fleet;
use lab::{At, Lab, Side, need};

fn ready() -> bool {
    need(&["git", "rsync", "ssh", "sshd"])
}

#[test]
fn fo_01_a_first_publish_an_update_a_rename_and_a_delete_arrive_everywhere() {
    if !ready() {
        return;
    }
    let fleet = Fleet::new("");
    let first = fleet.commit();
    let dry = fleet.lab.run(&["publish", "--json"]).expect(0).json();
    assert_eq!(dry["outcome"], "pending");
    assert!(!fleet.target(0).exists(), "a dry run made something");
    fleet.publish(&[]).expect(0);
    for i in 0..8 {
        assert_eq!(fleet.rev(i).as_deref(), Some(first.as_str()), "target {i}");
        assert_eq!(fleet.read(i, "docs/a b.md").unwrap(), "a");
        assert_eq!(
            fs::metadata(fleet.target(i).join("bin/run"))
                .unwrap()
                .mode()
                & 0o777,
            0o755
        );
        assert_eq!(
            fs::read_link(fleet.target(i).join("link"))
                .unwrap()
                .to_str(),
            Some("docs/a b.md")
        );
    }
    assert!((0..8).all(|i| !fleet.home(i).join("PWNED").exists()));
    let inode = |i: usize| {
        fs::metadata(fleet.target(i).join("docs/a b.md"))
            .unwrap()
            .ino()
    };
    let before = inode(3);
    fleet.write("README.md", "zweit");
    fleet.lab.remove(Side::Laptop, "docs/deep");
    fleet.lab.rename(Side::Laptop, "bin/run", "bin/walk");
    fleet.write("new/dir/n.txt", "n");
    let second = fleet.commit();
    fs::write(fleet.target(2).join("docs/own.txt"), "made there").unwrap();
    fs::write(fleet.target(4).join("README.md"), "edited").unwrap();
    let doc = fleet.publish(&["--json"]).expect(0).json();
    for i in 0..8 {
        assert_eq!(fleet.rev(i).as_deref(), Some(second.as_str()), "target {i}");
        assert_eq!(fleet.read(i, "README.md").unwrap(), "zweit");
        assert!(
            !fleet.target(i).join("docs/deep").exists()
                && !fleet.target(i).join("bin/run").exists()
        );
        assert_eq!(
            fs::metadata(fleet.target(i).join("bin/walk"))
                .unwrap()
                .mode()
                & 0o111,
            0o111
        );
        assert_eq!(fleet.read(i, "new/dir/n.txt").unwrap(), "n");
    }
    assert_eq!(inode(3), before, "an unchanged file was written again");
    // FO-05: what the target had is still there, or can be fetched.
    assert_eq!(fleet.read(2, "docs/own.txt").unwrap(), "made there");
    let lane = doc["lanes"]
        .as_array()
        .unwrap()
        .iter()
        .find(|l| l["target"] == "vm4")
        .unwrap();
    assert_eq!(lane["modified"][0]["path"], "README.md");
    let kept = lane["backup"].as_str().unwrap();
    assert_eq!(
        fs::read_to_string(format!("{kept}/README.md")).unwrap(),
        "edited"
    );
    let again = fleet.publish(&["--json"]).expect(0).json();
    assert_eq!(again["outcome"], "in-sync", "{again:#}");
}

#[test]
fn fo_05_verify_tells_current_behind_missing_and_modified_apart_and_an_edit_is_kept() {
    if !ready() {
        return;
    }
    let fleet = Fleet::new("");
    fleet.commit();
    fleet.publish(&["vm0", "vm1", "vm2"]).expect(0);
    fleet.write("README.md", "next");
    fleet.commit();
    fleet.publish(&["vm0", "vm1"]).expect(0);
    fs::write(fleet.target(1).join("docs/a b.md"), "B").unwrap();
    fs::write(fleet.target(1).join("docs/own.md"), "theirs").unwrap();
    let doc = fleet
        .lab
        .run(&["verify", "vm0", "vm1", "vm2", "vm3", "--json"])
        .expect(1)
        .json();
    let outcome = |t| Fleet::outcome(&doc, t);
    assert_eq!(
        (outcome("vm0"), outcome("vm1")),
        ("current".into(), "modified".into()),
        "{doc:#}"
    );
    assert_eq!(
        (outcome("vm2"), outcome("vm3")),
        ("behind".into(), "missing".into())
    );
    assert_eq!(doc["lanes"][2]["behind"], 1);
    fleet.publish(&["vm0", "vm1", "vm2", "vm3"]).expect(0);
    fleet
        .lab
        .run(&["verify", "vm0", "vm1", "vm2", "vm3", "--full"])
        .expect(0);
    // What somebody had added is still there, and what they had edited lies in that run's trash.
    let at = |path: &str| fs::read_to_string(fleet.target(1).join(path)).unwrap();
    assert_eq!(at("docs/own.md"), "theirs");
    let trash = fleet.target(1).join(".ubos-sync.publish/trash");
    let runs = fs::read_dir(trash).unwrap().flatten();
    let kept = |r: fs::DirEntry| fs::read_to_string(r.path().join("docs/a b.md")).ok();
    assert!(runs.filter_map(kept).any(|text| text == "B"));
}

#[test]
fn fo_02_state_of_a_target_is_kept_and_state_of_the_source_is_not_sent() {
    if !ready() {
        return;
    }
    let fleet = Fleet::new("");
    fleet.write("x_state.json", "source");
    fleet.commit();
    fleet.publish(&["vm1"]).expect(0);
    assert!(!fleet.target(1).join("x_state.json").exists());
    fs::write(fleet.target(1).join("x_state.json"), "own").unwrap();
    fs::write(fleet.target(1).join("docs/deep/y_state.json"), "own").unwrap();
    fleet.lab.remove(Side::Laptop, "docs/deep");
    fleet.commit();
    fleet.publish(&["vm1"]).expect(0);
    assert_eq!(fleet.read(1, "x_state.json").unwrap(), "own");
    assert_eq!(fleet.read(1, "docs/deep/y_state.json").unwrap(), "own");
    assert!(!fleet.target(1).join("docs/deep/er").exists());
}

#[test]
fn fo_03_fo_04_fo_07_an_emptied_a_missing_and_a_gutted_source_are_refused() {
    if !ready() {
        return;
    }
    let fleet = Fleet::of(Lab::new(), "", "max_delete_floor = 0");
    for i in 0..10 {
        fleet.write(&format!("many/{i}"), &i.to_string());
    }
    let first = fleet.commit();
    fleet.publish(&["vm0"]).expect(0);
    fleet.lab.remove(Side::Laptop, "many");
    fleet.commit();
    fleet.publish(&["vm0"]).expect(3);
    assert_eq!(fleet.rev(0).as_deref(), Some(first.as_str()));
    assert_eq!(fleet.read(0, "many/3").unwrap(), "3");
    fleet.git(&["rm", "-rq", "."]);
    fleet.commit();
    fleet.publish(&["vm0"]).expect(3);
    fs::remove_dir_all(fleet.lab.tree(Side::Laptop)).unwrap();
    fleet.publish(&["vm0"]).expect(3);
    assert_eq!(fleet.read(0, "many/3").unwrap(), "3");
}

#[test]
fn fo_09_a_planted_link_is_never_followed() {
    if !ready() {
        return;
    }
    let fleet = Fleet::new("");
    fleet.commit();
    fleet.publish(&["vm0"]).expect(0);
    let outside = fleet.lab.root().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("a b.md"), "precious").unwrap();
    fs::rename(fleet.target(0).join("docs"), fleet.target(0).join("moved")).unwrap();
    std::os::unix::fs::symlink(&outside, fleet.target(0).join("docs")).unwrap();
    fleet.write("docs/a b.md", "changed");
    let commit = fleet.commit();
    fleet.publish(&["vm0"]).expect(0);
    assert_eq!(
        fs::read_to_string(outside.join("a b.md")).unwrap(),
        "precious"
    );
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    assert_eq!(fleet.read(0, "docs/a b.md").unwrap(), "changed");
    assert_eq!(fleet.rev(0), Some(commit));
}

#[test]
fn a_foreign_directory_is_refused_unless_allowed_and_then_loses_nothing() {
    if !ready() {
        return;
    }
    let fleet = Fleet::new("");
    let commit = fleet.commit();
    fs::create_dir_all(fleet.target(1)).unwrap();
    fs::write(fleet.target(1).join("README.md"), "somebody's").unwrap();
    fs::write(fleet.target(1).join("other"), "o").unwrap();
    let doc = fleet.publish(&["vm1", "--json"]).expect(3).json();
    assert_eq!(
        doc["findings"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|f| f["guard"] == "roots")
            .count(),
        1
    );
    assert_eq!(
        fs::read_dir(fleet.target(1)).unwrap().count(),
        2,
        "something was made there"
    );
    let doc = fleet
        .publish(&["vm1", "--json", "--allow", "roots"])
        .expect(0)
        .json();
    assert_eq!(
        (fleet.rev(1), fleet.read(1, "other").unwrap()),
        (Some(commit), "o".into())
    );
    let kept = doc["lanes"][0]["backup"].as_str().unwrap();
    assert_eq!(
        fs::read_to_string(format!("{kept}/README.md")).unwrap(),
        "somebody's"
    );
}

#[test]
fn fo_10_a_target_that_is_down_stops_nobody_and_the_report_says_how_to_retry() {
    if !ready() {
        return;
    }
    let fleet = Fleet::new("");
    let file = fleet.lab.policy_file(Side::Laptop);
    let text = fs::read_to_string(&file).unwrap();
    let (before, vm5) = text.split_at(text.find("name = \"vm5\"").unwrap());
    let port = format!("port = {}", fleet.port);
    let text = format!("{before}{}", vm5.replacen(&port, "port = 1", 1));
    fleet.lab.write_policy(Side::Laptop, &text);
    let commit = fleet.commit();
    let doc = fleet.publish(&["--json"]).expect(1).json();
    for i in (0..8).filter(|i| *i != 5) {
        assert_eq!(fleet.rev(i), Some(commit.clone()), "target {i}");
    }
    let lane = doc["lanes"]
        .as_array()
        .unwrap()
        .iter()
        .find(|l| l["target"] == "vm5")
        .unwrap();
    assert!(
        lane["hint"].as_str().unwrap().ends_with("--apply vm5"),
        "{lane:#}"
    );
}

#[test]
fn everybody_away_is_exit_5() {
    if !ready() {
        return;
    }
    let mut fleet = Fleet::new("");
    fleet.commit();
    fleet.lab.sshd().stop();
    fleet.publish(&[]).expect(5);
    fleet.lab.run(&["verify"]).expect(5);
}

#[test]
fn fo_06_an_uncommitted_change_neither_travels_nor_is_touched() {
    if !ready() {
        return;
    }
    let fleet = Fleet::new("");
    fleet.commit();
    fleet.write("README.md", "work in progress");
    let doc = fleet.publish(&["vm0", "--json"]).expect(0).json();
    assert_eq!(fleet.read(0, "README.md").unwrap(), "first");
    assert_eq!(
        fleet.lab.read_text(Side::Laptop, "README.md"),
        "work in progress"
    );
    assert!(
        doc["findings"][1]["message"]
            .as_str()
            .unwrap()
            .contains("uncommitted"),
        "{doc:#}"
    );
}

#[test]
fn releases_flip_and_keep_what_the_target_made() {
    if !ready() {
        return;
    }
    let fleet = Fleet::new("layout = \"releases\"\nkeep_releases = 2");
    let mut last = fleet.commit();
    fleet.publish(&["vm0", "vm1"]).expect(0);
    assert_eq!(fleet.read(0, "current/.sync_rev").unwrap().trim(), last);
    fs::write(fleet.target(0).join("current/own.db"), "d").unwrap();
    for n in 0..3 {
        fleet.write("README.md", &format!("v{n}"));
        last = fleet.commit();
        let doc = fleet.publish(&["vm0", "vm1", "--json"]).expect(0).json();
        assert!(doc["lanes"][0]["previous"].is_string(), "{doc:#}");
        assert_eq!(fleet.read(0, "current/README.md").unwrap(), format!("v{n}"));
        assert_eq!(fleet.read(0, "current/own.db").unwrap(), "d");
    }
    assert_eq!(fleet.rev(0), Some(last));
    // A mode that changes does so in the new release only.
    let old = fs::read_link(fleet.target(0).join("current")).unwrap();
    fleet.lab.chmod(Side::Laptop, "bin/run", 0o644);
    fleet.commit();
    fleet.publish(&["vm0", "vm1"]).expect(0);
    let mode = |p: std::path::PathBuf| fs::metadata(p).unwrap().mode() & 0o777;
    assert_eq!(mode(fleet.target(0).join("current/bin/run")), 0o644);
    assert_eq!(mode(fleet.target(0).join(old).join("bin/run")), 0o755);
    assert_eq!(
        fs::read_dir(fleet.target(0).join("releases"))
            .unwrap()
            .count(),
        2
    );
    fleet.lab.run(&["verify", "vm0", "vm1"]).expect(0);
}

#[test]
fn a_cut_transfer_never_leaves_a_sentinel_that_names_the_commit() {
    if !ready() {
        return;
    }
    let fleet = Fleet::injectable("");
    let first = fleet.commit();
    fleet.publish(&["vm0"]).expect(0);
    fleet.write("README.md", "two");
    let second = fleet.commit();
    let gate = fleet.lab.gate_call(Side::Server, "rsync", "*--server*");
    let run = fleet.lab.spawn(&["publish", "vm0", "--apply"]);
    gate.wait();
    run.kill();
    drop(run);
    assert_eq!(fleet.rev(0), Some(format!("INCOMPLETE {second}")));
    assert_eq!(fleet.read(0, "README.md").unwrap(), "first", "{first}");
    gate.open();
    fleet.lab.run(&["verify", "vm0"]).expect(1);
    fleet.lab.no_stand_in(Side::Server, "rsync");
    fleet.publish(&["vm0"]).expect(0);
    assert_eq!(
        (fleet.rev(0), fleet.read(0, "README.md")),
        (Some(second), Some("two".into()))
    );
    let _ = At::Start;
}

#[test]
fn one_file_that_cannot_be_read_there_refuses_that_target_only() {
    if !ready() || rustix::process::geteuid().is_root() {
        return;
    }
    let fleet = Fleet::new("");
    fleet.commit();
    fleet.publish(&["vm0", "vm1"]).expect(0);
    let shut = fleet.target(0).join("docs");
    fs::set_permissions(&shut, fs::Permissions::from_mode(0o000)).unwrap();
    fleet.publish(&["vm0", "vm1"]).expect(3);
    fs::set_permissions(&shut, fs::Permissions::from_mode(0o755)).unwrap();
}
