//! Eight targets over ssh, and every trouble at once: each one's is told, stops nobody else, and is mended by the command that the
//! report names.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]
#![allow(clippy::print_stderr, reason = "a skip must be seen")]

mod fleet;
mod lab;

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use fleet::Fleet;
use lab::{Side, need, wait_until};

fn ready() -> bool {
    need(&["git", "rsync", "ssh", "sshd"])
}

/// Changes the lines of one target in the policy.
fn of_target(fleet: &Fleet, name: &str, from: &str, to: &str) {
    let file = fleet.lab.policy_file(Side::Laptop);
    let text = fs::read_to_string(&file).unwrap();
    let (before, own) = text.split_at(text.find(&format!("name = \"{name}\"")).unwrap());
    let text = format!("{before}{}", own.replacen(from, to, 1));
    fleet.lab.write_policy(Side::Laptop, &text);
}

/// A small disk where a target's directory will be, if one can be had here.
fn small_disk(fleet: &Fleet, i: usize) -> bool {
    let dir = fleet.target(i);
    fs::create_dir_all(&dir).unwrap();
    let mut mount = Command::new("mount");
    mount
        .args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"])
        .arg(dir);
    rustix::process::geteuid().is_root() && mount.status().is_ok_and(|s| s.success())
}

#[test]
fn fo_10_each_of_eight_targets_has_a_trouble_of_its_own() {
    if !ready() {
        return;
    }
    let fleet = Fleet::injectable("");
    let is_small = small_disk(&fleet, 6);
    if !is_small {
        eprintln!("no small disk can be mounted here: vm6 has no trouble");
    }
    let first = fleet.commit();
    fs::create_dir_all(fleet.target(1)).unwrap();
    fs::write(fleet.target(1).join("theirs"), "o").unwrap();
    fleet
        .publish(&["vm0", "vm2", "vm3", "vm4", "vm5", "vm6", "vm7"])
        .expect(0);
    // vm2 is down, vm5 lets nobody in, vm3 has links where a directory and the sentinel were.
    let port = format!("port = {}", fleet.port);
    of_target(&fleet, "vm2", &port, "port = 1");
    of_target(&fleet, "vm5", "key-vm5", "no-key");
    let outside = fleet.lab.root().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("a b.md"), "precious").unwrap();
    fs::write(outside.join("rev"), "precious").unwrap();
    fs::remove_dir_all(fleet.target(3).join("docs")).unwrap();
    symlink(&outside, fleet.target(3).join("docs")).unwrap();
    fs::remove_file(fleet.target(3).join(".sync_rev")).unwrap();
    symlink(outside.join("rev"), fleet.target(3).join(".sync_rev")).unwrap();
    // vm4's rsync dies in the middle, vm7's hangs.
    let open = fleet.lab.root().join("tmp/open");
    let script = format!(
        "case \"$PWD $*\" in\n*uote*--server*) kill -9 $$ ;;\n*star*--server*) while [ ! -e {} ]; do sleep 0.02; done ;;\nesac\nexec \"$REAL\" \"$@\"",
        open.display()
    );
    fleet.lab.stand_in(Side::Server, "rsync", &script);
    fleet.write("docs/a b.md", "changed");
    fleet.write("big.bin", &"0123456789abcdef".repeat(150_000));
    let second = fleet.commit();
    let run = fleet.lab.spawn(&["publish", "--apply", "--json"]);
    wait_until("those without trouble are done", || {
        [0, 3]
            .iter()
            .all(|i| fleet.rev(*i).as_ref() == Some(&second))
    });
    assert_eq!(fleet.rev(7), Some(format!("INCOMPLETE {second}")));
    fs::write(open, "").unwrap();
    let doc = run.wait().expect(1).json();

    let full = if is_small { "refused" } else { "applied" };
    let expected = [
        ("vm0", "applied"),
        ("vm1", "refused"),
        ("vm2", "unreachable"),
        ("vm3", "applied"),
        ("vm4", "failed"),
        ("vm5", "failed"),
        ("vm6", full),
        ("vm7", "applied"),
    ];
    for (target, outcome) in expected {
        assert_eq!(Fleet::outcome(&doc, target), outcome, "{target}: {doc:#}");
    }
    let lane = |name: &str| {
        let all = doc["lanes"].as_array().unwrap();
        all.iter().find(|l| l["target"] == name).unwrap().clone()
    };
    let why = |name: &str| lane(name)["message"].as_str().unwrap().to_owned();
    assert!(why("vm5").contains("let nobody in"), "{}", why("vm5"));
    assert!(why("vm4").contains("names no commit"), "{}", why("vm4"));
    let guards: Vec<_> = doc["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| (&f["guard"], &f["peer"]))
        .collect();
    assert!(
        guards.iter().any(|(g, p)| *g == "roots" && *p == "vm1"),
        "{guards:?}"
    );
    assert_eq!(
        guards
            .iter()
            .any(|(g, p)| *g == "free_space" && *p == "vm6"),
        is_small
    );
    // Nothing was followed out, nobody's file is gone, and no sentinel lies.
    assert_eq!(
        fs::read_to_string(outside.join("a b.md")).unwrap(),
        "precious"
    );
    assert_eq!(fs::read_to_string(outside.join("rev")).unwrap(), "precious");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 2);
    assert_eq!(fleet.read(3, "docs/a b.md").unwrap(), "changed");
    assert_eq!(fs::read_dir(fleet.target(1)).unwrap().count(), 1);
    assert_eq!(fleet.rev(2), Some(first.clone()));
    assert_eq!(fleet.rev(4), Some(format!("INCOMPLETE {second}")));
    assert_eq!(fleet.rev(5), Some(first.clone()));
    if is_small {
        assert_eq!(fleet.rev(6), Some(first));
    }
    assert_eq!(fleet.read(4, "docs/a b.md").unwrap(), "a");

    // Worst first, and the state of each.
    let said = fleet.lab.run(&["verify"]).expect(1).stdout;
    let at = |name: &str| {
        said.find(&format!("  {name} "))
            .unwrap_or_else(|| panic!("{said}"))
    };
    assert!(
        at("vm2") < at("vm1") && at("vm1") < at("vm4") && at("vm4") < at("vm0"),
        "{said}"
    );
    if is_small {
        assert!(said.contains("(1 commit behind)"), "{said}");
        assert!(
            Command::new("umount")
                .arg("-l")
                .arg(fleet.target(6))
                .status()
                .unwrap()
                .success()
        );
    }

    // The command that the report names retries those that failed and no other.
    of_target(&fleet, "vm2", "port = 1\n", &format!("{port}\n"));
    of_target(&fleet, "vm5", "no-key", "key-vm5");
    fleet.lab.no_stand_in(Side::Server, "rsync");
    let hint = lane("vm4")["hint"].as_str().unwrap().to_owned();
    let words: Vec<&str> = hint.split_whitespace().skip(1).collect();
    assert!(hint.ends_with("--apply vm2 vm4 vm5"), "{hint}");
    fleet.lab.run(&words).expect(0);
    assert!(
        [2, 4, 5]
            .iter()
            .all(|i| fleet.rev(*i).as_ref() == Some(&second))
    );
}
